"""Weights as the encoder kernel reads them: nothing that is folded changes what comes out, and what cannot run is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aura_edge import encoders, testing
from aura_edge.encoders import presets
from aura_edge.errors import BundleError, EngineError
from aura_edge.kernels import encoder_reference, packing
from aura_edge.kernels.shape import shape_of
from aura_edge.manifest import EncoderSpec

torch = pytest.importorskip("torch")

WINDOWS = np.stack([testing.motion(label, seed=4) for label in testing.TINY_LABELS[:2]])
SMALL = {"width": 64, "depth": 2, "heads": 2, "dimension": 48, "invariant_filters": 16, "vector_filters": 16}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "edge-xs": presets.resolve("edge-xs", {"dimension": 384}),
    "edge": presets.resolve("edge", {"dimension": 384}),
    "edge-l": presets.resolve("edge-l", {"dimension": 384}),
    "aura": presets.resolve("aura"),
    "released": ("senvt_released", {"depth": 2}),
    "sinusoids without biases": ("transformer", SMALL | {"positions": "sinusoidal", "qkv_bias": False}),
    "all stems": ("transformer", SMALL | {"plain_stem": True, "channel_filters": 16, "attention_pools": 2}),
}


def made(kind: str, options: dict[str, Any]) -> tuple[EncoderSpec, Any, dict[str, NDArray[Any]]]:
    """A spec, its module with weights away from where they start, and those weights."""
    spec = encoders.make_spec(kind, options)
    torch.manual_seed(1)
    module = encoders.build(spec)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "norm" in name or "bias" in name or "positions" in name:
                parameter += 0.2 * torch.randn_like(parameter)
    return spec, module, {name: tensor.numpy() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("case", CASES)
def test_folded_weights_compute_the_same(case: str) -> None:
    """The reference on packed weights gives the module's vectors, for every encoder that the kernel runs."""
    spec, module, tensors = made(*CASES[case])
    shape = shape_of(spec)
    packed = packing.pack(spec, tensors, matrix_type=np.float64)
    with torch.no_grad():
        expected = module(torch.from_numpy(WINDOWS)).numpy()
    found = encoder_reference.encode(shape, packed, WINDOWS)
    assert np.abs(found - expected).max() < 1e-5
    assert np.abs(expected[0] - expected[1]).max() > 1e-4


@pytest.mark.parametrize("case", ["edge-xs", "aura"])
def test_half_precision_costs_little(case: str) -> None:
    """FP16 matrices, and every value rounded that the kernel rounds, leave the direction of the vectors alone."""
    spec, module, tensors = made(*CASES[case])
    packed = packing.pack(spec, tensors)
    assert {array.dtype for array in packed.values()} == {np.dtype(np.float16), np.dtype(np.float32)}
    with torch.no_grad():
        expected = module(torch.from_numpy(WINDOWS)).numpy()
    found = encoder_reference.encode(shape_of(spec), packed, WINDOWS, rounded=True)
    assert (found * expected).sum(1).min() > 0.9999


@pytest.mark.parametrize(("n", "k"), [(8, 32), (16, 48), (24, 400), (8, 80)])
def test_fragments_come_back(n: int, k: int) -> None:
    """Nothing is lost in the order of the fragments, and what fills them up is zero."""
    matrix = np.arange(1, 2 * n * k + 1, dtype=np.float64).reshape(2, n, k)
    packed = packing.fragments(matrix)
    assert packed.shape == (2, n // 8, -(-k // 32), 32, 8)
    assert np.array_equal(packing.from_fragments(packed, k), matrix)
    assert np.count_nonzero(packed) == matrix.size


def test_a_lane_holds_what_the_instruction_takes() -> None:
    """Lane l of mma.m16n8k16 feeds output l / 4 and, in its two registers, inputs 2 (l % 4) + {0, 1} and those + 8."""
    matrix = np.arange(8 * 32, dtype=np.float64).reshape(8, 32)
    lane = packing.fragments(matrix)[0, 0, 14]
    output, quad = 14 // 4, 14 % 4
    assert lane.tolist() == [matrix[output, 2 * quad + k] for k in (0, 1, 8, 9, 16, 17, 24, 25)]


def test_one_buffer_holds_all() -> None:
    """Every array lies in the buffer at its aligned place, and none over another."""
    spec, _, tensors = made(*CASES["edge-xs"])
    packed = packing.pack(spec, tensors)
    places, size = packing.offsets(packed)
    buffer = packing.blob(packed)
    assert buffer.nbytes == size
    for name, place in places.items():
        assert place % packing.ALIGNMENT_BYTES == 0
        array = packed[name]
        assert np.array_equal(buffer[place : place + array.nbytes].view(array.dtype), array.reshape(-1))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (
            *presets.resolve("imu2clip", {"gru_axis": "time", "pool": "max"}),
            "'transformer' and 'senvt_released', this one is 'cnn_rnn'",
        ),
        (*presets.resolve("aura-mocap"), "51 channels, the kernel reads the 6 of an IMU"),
        ("transformer", SMALL | {"width": 72, "heads": 3}, "width 72 with heads of 24"),
        ("transformer", SMALL | {"stride": 10, "patch": 16}, "stride 10 and patch 16"),
        ("transformer", SMALL | {"window_samples": 1024, "stride": 16, "vector_filters": 0}, "windows of 1024 samples"),
        ("transformer", SMALL | {"vector_filters": 20}, "filters .16, 20, 0."),
    ],
)
def test_what_cannot_run_is_refused(kind: str, options: dict[str, Any], message: str) -> None:
    """An encoder that the kernel does not compute is named, with what to use in its place."""
    spec = encoders.make_spec(kind, options)
    with pytest.raises(EngineError, match=f"(?s){message}.*[Uu]se --engine ort or trt"):
        packing.pack(spec, {})


def test_weights_of_another_encoder_are_refused() -> None:
    """A missing tensor, one of another shape and one that FP16 cannot hold each say so."""
    spec, _, tensors = made(*CASES["edge-xs"])
    with pytest.raises(BundleError, match=r"no 'norm\.weight'"):
        packing.pack(spec, {name: tensor for name, tensor in tensors.items() if name != "norm.weight"})
    with pytest.raises(BundleError, match=r"norm\.weight is \(3,\), expected \(64,\)"):
        packing.pack(spec, tensors | {"norm.weight": np.ones(3)})
    with pytest.raises(BundleError, match=r"blocks\.down is not finite in float16"):
        packing.pack(spec, tensors | {"blocks.1.down.weight": tensors["blocks.1.down.weight"] * 1e7})


def test_the_stems_constants_are_the_kernels() -> None:
    """Numbers that packing cannot import, for it must not need torch, are those of the stems."""
    from aura_edge.encoders import stems

    assert packing.RATE_SCALE_RAD_S == stems.RATE_SCALE_RAD_S
    assert packing.REFERENCES == stems.SEGMENTS + stems.GATES
