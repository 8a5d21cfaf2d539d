"""The cuda engine, whole, on a fake GPU that runs its kernel on the emulator: the demo's golden vectors, and a clear word where it cannot run."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from gpu_fakes import HOPPER, ORIN, fake_cubin, gpu_that_runs
from kernel_cases import demo
from safetensors.numpy import save as to_safetensors

from aura_edge import bundle as bundles
from aura_edge import testing
from aura_edge.bundle import Bundle
from aura_edge.cuda.fake import FACTS, FakeDriver
from aura_edge.encoders import checkpoint
from aura_edge.engines import cuda
from aura_edge.engines.cuda import WEIGHTS, is_built, open_cuda
from aura_edge.errors import EngineError
from aura_edge.kernels import build, packing
from aura_edge.kernels.shape import shape_of

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="the emulator is compiled by g++, which is not here"
)


@pytest.fixture(autouse=True)
def cubins(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Nothing is compiled for a GPU that is not there: architecture and blocks of what would have been."""
    made: list[tuple[int, int]] = []

    def cubin(name: str, defines: Mapping[str, int], architecture: int) -> bytes:
        assert name == "encoder"
        made.append((architecture, defines["AURA_BLOCKS"]))
        return fake_cubin(name, defines, architecture)

    monkeypatch.setattr(build, "cubin", cubin)
    return made


def with_weights(folder: Path) -> Bundle:
    """The demo, exported with --target cuda."""
    shipped, spec, tensors = demo()
    files = {name: shipped.read(name) for name in shipped.manifest.files}
    packed = to_safetensors(packing.pack(spec, tensors))
    return bundles.save(folder / "demo.aura", shipped.manifest, files | {WEIGHTS: packed})


def gpu(facts: Any = ORIN) -> FakeDriver:
    _, spec, tensors = demo()
    return gpu_that_runs(shape_of(spec), packing.pack(spec, tensors), facts)


@needs_compiler
@pytest.mark.parametrize(
    ("facts", "compiled"), [(ORIN, [(87, 1)]), (HOPPER, [(90, 4), (90, 1)])], ids=["Orin", "Hopper"]
)
def test_the_golden_vectors_come_out(
    tmp_path: Path, facts: Any, compiled: list[tuple[int, int]], cubins: list[Any]
) -> None:
    """One window through the graph and several in one launch give the bundle's golden vectors, with and without clusters; nothing is left."""
    opened = with_weights(tmp_path)
    windows, golden = bundles.load_golden(opened)
    driver = gpu(facts)
    engine = open_cuda(opened, driver=driver)
    assert cubins == compiled
    assert (engine.info.name, engine.info.precision, engine.info.max_batch) == ("cuda", "fp16", None)
    assert engine.info.device == f"cuda:0 ({facts.name})"
    assert engine.info.weights == opened.manifest.files[WEIGHTS].sha256
    together = engine.embed(windows[:3])
    before = len(driver.log)
    alone = engine.embed(windows[1:2])
    assert driver.log[before] == "launch_graph"
    assert not any("allocate" in step for step in driver.log[before:])
    for found, expected in ((together, golden[:3]), (alone, golden[1:2])):
        assert found.dtype == np.float32
        assert (found * expected).sum(1).min() >= 0.999
        assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert np.allclose(alone[0], together[1], atol=1e-4)
    engine.close()
    engine.close()
    assert not driver.closed, "a driver that was given stays the caller's"
    assert driver.leaks == {}
    with pytest.raises(EngineError, match="this engine is closed"):
        engine.embed(windows)


@needs_compiler
def test_more_windows_than_a_launch_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch larger than the buffers is divided, in order, its rest too."""
    monkeypatch.setattr(cuda, "MAX_BATCH", 2)
    opened = with_weights(tmp_path)
    windows, golden = bundles.load_golden(opened)
    driver = gpu()
    engine = open_cuda(opened, driver=driver)
    found = engine.embed(windows[:5])
    assert (found * golden[:5]).sum(1).min() >= 0.999
    assert (
        driver.log.count("launch aura_encoder") == 4
    )  # two outside of the graph, one while it was captured, the warm-up
    engine.close()


@needs_compiler
@pytest.mark.parametrize("shape", [(1, 6, 999), (1, 3, 1000), (0, 6, 1000)])
def test_other_windows_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Nothing but float32 windows of the right length."""
    with pytest.raises(EngineError, match=r"expected float32 of shape \(B, 6, 1000\)"):
        open_cuda(with_weights(tmp_path), driver=gpu()).embed(np.zeros(shape, np.float32))


def test_a_bundle_without_its_weights_says_how_to_get_them() -> None:
    """An ONNX graph is not what this engine runs."""
    with pytest.raises(EngineError, match=r"has no encoder\.cuda\.safetensors.*--target cuda.*--checkpoint"):
        open_cuda(demo()[0], driver=FakeDriver())


def test_an_encoder_it_cannot_run_is_refused(tmp_path: Path) -> None:
    """Before a GPU is asked for."""
    with pytest.raises(
        EngineError, match="'transformer' and 'senvt_released', this one is 'tiny': use --engine ort or trt"
    ):
        open_cuda(testing.tiny_bundle(tmp_path / "tiny.aura"))


def test_other_precisions_are_refused() -> None:
    """It computes in FP16 and in nothing else."""
    with pytest.raises(EngineError, match="computes in fp16, found --precision int8"):
        open_cuda(demo()[0], precision="int8", driver=FakeDriver())


@pytest.mark.parametrize("own", [True, False])
def test_a_failure_while_opening_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    """A module without the kernel: the error names the bundle, and everything is given back, the driver too where it was opened for this."""
    driver = FakeDriver(FACTS, {})
    monkeypatch.setattr(cuda, "open_driver", lambda: driver)
    with pytest.raises(EngineError, match=r"cannot run demo\.aura here: .*no kernel aura_encoder"):
        open_cuda(with_weights(tmp_path), driver=None if own else driver)
    assert driver.closed == own
    assert driver.leaks == {}


@needs_compiler
def test_auto_learns_what_was_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`is_built` is true of a bundle that was opened here before, in the one precision there is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    opened = with_weights(tmp_path)
    assert not is_built(opened, "fp16")
    open_cuda(opened, driver=gpu()).close()
    assert is_built(opened, "fp16")
    assert not is_built(opened, "int8")
    assert not is_built(demo()[0], "fp16")


@needs_compiler
def test_weights_of_the_run_folder_serve_as_well(tmp_path: Path) -> None:
    """With --checkpoint the weights are folded here; a run folder that the bundle was not exported from is refused."""
    torch = pytest.importorskip("torch")
    shipped, spec, tensors = demo()
    from aura_edge import encoders

    module = encoders.build(spec)
    state = {name: torch.tensor(array) for name, array in tensors.items()}
    module.load_state_dict(module.state_dict() | state)
    manifest = shipped.manifest
    header = checkpoint.Header(name="demo", encoder=spec, text_space=manifest.text_space, captions={})
    digest = checkpoint.save(tmp_path / "run", module, header).weights_sha256
    ours = msgspec.structs.replace(manifest, training={"weights_sha256": digest})
    windows, golden = bundles.load_golden(shipped)
    engine = open_cuda(Bundle(shipped.path, ours), checkpoint=tmp_path / "run", driver=gpu())
    assert engine.info.weights == digest
    assert (engine.embed(windows[:2]) * golden[:2]).sum(1).min() >= 0.999
    other = msgspec.structs.replace(manifest, training={"weights_sha256": "0" * 64})
    with pytest.raises(EngineError, match=r"is not the checkpoint that .* was exported from"):
        open_cuda(Bundle(shipped.path, other), checkpoint=tmp_path / "run", driver=FakeDriver())
