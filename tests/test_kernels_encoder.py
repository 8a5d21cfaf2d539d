"""Rung 4, the whole encoder in one launch, on the emulator: every shipped encoder end to end, and planted mistakes are found."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from kernel_cases import demo, made, preset

from aura_edge import bundle
from aura_edge.errors import EngineError
from aura_edge.kernels import build, encoder_reference, packing
from aura_edge.kernels.emulated import SCHEDULES, EmulatedKernel, Schedule
from aura_edge.kernels.plan import SHARED_HOPPER_BYTES, SHARED_PORTABLE_BYTES, Plan, plan_for
from aura_edge.kernels.shape import EncoderShape, shape_of

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None, reason="the emulator is compiled by g++, which is not here"
)

TOLERANCE = 1e-3
"""Largest difference of a component of a unit vector from float64, with the same FP16 weights."""
BATCHED, ALONE = "a window a block", "a window in a cluster"


def plan_of(shape: EncoderShape, way: str) -> Plan:
    if way == BATCHED:
        return plan_for(shape, blocks=1, shared_bytes=SHARED_PORTABLE_BYTES)
    return plan_for(shape, shared_bytes=SHARED_HOPPER_BYTES)


@pytest.mark.parametrize("way", [BATCHED, ALONE])
def test_the_demo_gives_its_golden_vectors(way: str) -> None:
    """The shipped encoder on the real windows of its bundle: the FP32 golden vectors, in both ways of dividing it."""
    shipped, spec, tensors = demo()
    windows, golden = bundle.load_golden(shipped)
    packed = packing.pack(spec, tensors)
    found, counts = EmulatedKernel("encoder", plan_of(shape_of(spec), way), packed).run(windows)
    cosine = (found * golden).sum(1)
    assert len(cosine) == 8
    assert cosine.min() >= 0.999
    assert counts.bank_conflicts == 0


@pytest.mark.parametrize("way", [BATCHED, ALONE])
@pytest.mark.parametrize(
    ("name", "schedules"),
    [("edge-xs", SCHEDULES), ("edge-l", SCHEDULES[3:]), ("aura", SCHEDULES[3:]), ("released", SCHEDULES[4:])],
)
def test_an_encoder_end_to_end(name: str, schedules: tuple[Schedule, ...], way: str) -> None:
    """Real windows through the whole encoder: float64 within tolerance, torch's own direction, the same bits under every schedule."""
    torch = pytest.importorskip("torch")
    spec, module, tensors = made("senvt_released", {"depth": 2}) if name == "released" else preset(name)
    windows = bundle.load_golden(demo()[0])[0][2:4]
    packed = packing.pack(spec, tensors)
    shape = shape_of(spec)
    expected = encoder_reference.encode(shape, packed, windows)
    with torch.no_grad():
        in_torch = module(torch.from_numpy(windows)).numpy()
    kernel = EmulatedKernel("encoder", plan_of(shape, way), packed)
    results = []
    for schedule in schedules:
        found, counts = kernel.run(windows, schedule)
        assert np.abs(found - expected).max() <= TOLERANCE
        assert counts.bank_conflicts == 0
        results.append(found)
    assert (results[0] * in_torch).sum(1).min() >= 0.999
    assert all(np.array_equal(each, results[0]) for each in results)


def test_sensors_at_rest_and_silent_stay_finite() -> None:
    """A window of zeros, one at rest and one of full scale have vectors, and a window's vector does not depend on its neighbours."""
    _, spec, tensors = demo()
    windows = np.zeros((3, 6, 1000), np.float32)
    windows[1, 2] = 9.80665
    windows[2] = np.sign(np.sin(np.arange(1000))) * np.array([160, 160, 160, 35, 35, 35])[:, None]
    packed = packing.pack(spec, tensors)
    kernel = EmulatedKernel("encoder", plan_of(shape_of(spec), BATCHED), packed)
    found, _ = kernel.run(windows)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert np.abs(found - encoder_reference.encode(shape_of(spec), packed, windows)).max() <= 5e-3
    assert np.array_equal(kernel.run(windows[1:2])[0][0], found[1])


PLANTED = [
    ("encoder_layer.inl", "        barrier();  // the rows are written, and the projection", "        // the rows are written, and the projection"),
    ("encoder_layer.inl", "values);\n        cluster_barrier();\n", "values);\n"),
    ("encoder_layer.inl", "        cluster_barrier();  // and no block writes", "        // and no block writes"),
    ("encoder_layer.inl", "        barrier();\n        add_product<PASS_HIDDEN", "        add_product<PASS_HIDDEN"),
    ("encoder_layer.inl", "(lane() & 3) * 2 + (i & 1) >= TOKENS", "(lane() & 3) * 2 + (i & 1) > TOKENS"),
    ("encoder_layer.inl", "ldsm4t(b, values", "ldsm4(b, values"),
    ("encoder_layer.inl", "(lane() >> 4) * 8, column = k * 16", "(lane() >> 4) * 4, column = k * 16"),
    ("encoder_layer.inl", "rank < BLOCKS", "rank < 1"),
    ("encoder_layer.inl", "total[half] * shrink + sum", "total[half] + sum"),
    ("encoder_layer.inl", "pass * PASS_HIDDEN / 32", "pass * PASS_HIDDEN / 64"),
    ("encoder_tiles.inl", "    barrier();\n    for (int r = tid(); r < ROWS", "    for (int r = tid(); r < ROWS"),
    ("encoder_tiles.inl", "NORM_EPSILON);\n    }\n    barrier();", "NORM_EPSILON);\n    }"),
    ("encoder_shape.cuh", "{ return columns + 8; }", "{ return columns + (columns % 8); }"),
    ("encoder_shape.cuh", "constexpr int HIDDEN_AT = BLOCKS == 1 ?", "constexpr int HIDDEN_AT = BLOCKS >= 1 ?"),
    ("encoder_stem.inl", "    barrier();\n    add_product<FILTERS / 16", "    add_product<FILTERS / 16"),
    ("encoder_stem.inl", "i >= 0 && i < SAMPLES) at(", "i >= -1 && i <= SAMPLES) at("),
    ("encoder_vectors.inl", "            });\n    barrier();", "            });"),
    ("encoder_head.inl", "    cluster_barrier();\n    for (int f = tid()", "    for (int f = tid()"),
]  # fmt: skip


@pytest.mark.parametrize("mistake", range(len(PLANTED)))
def test_planted_mistakes_are_found(mistake: int, tmp_path: Path) -> None:
    """Without one barrier, with a wrong row, mask, offset or bank, or reading past an end: some schedule, count or value gives it away."""
    file, right, wrong = PLANTED[mistake]
    sources = tmp_path / "kernels"
    shutil.copytree(build.SOURCES, sources, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    text = (sources / file).read_text("utf-8")
    assert text.count(right) == 1, "the sources have changed: plant the mistake anew"
    (sources / file).write_text(text.replace(right, wrong), "utf-8")
    spec, _, tensors = preset("edge-xs", depth=2, stride=8, patch=16)
    packed = packing.pack(spec, tensors)
    windows = bundle.load_golden(demo()[0])[0][:1]
    expected = encoder_reference.encode(shape_of(spec), packed, windows)
    plan = Plan(shape_of(spec), 2, 1, 64)
    try:
        kernel = EmulatedKernel("encoder", plan, packed, sources=sources)
    except EngineError as error:
        if "plan.py counts shared memory otherwise" not in str(error):
            raise
        return
    for schedule in SCHEDULES:
        try:
            found, counts = kernel.run(windows, schedule)
        except EngineError:
            return
        if not np.abs(found - expected).max() <= TOLERANCE / 10 or counts.bank_conflicts:
            return
    pytest.fail(f"{file}: {wrong!r} in place of {right!r} went unnoticed")
