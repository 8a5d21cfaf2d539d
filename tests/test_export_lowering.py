"""Less precision is taken only where it is proved on real windows: FP16 as a device with nothing else computes it, INT8 by what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_graphs import SAMPLES, graph_of

from aura_edge import prototypes, testing
from aura_edge.errors import ParityError
from aura_edge_export import integers, layers, lowering, parity
from aura_edge_export.bisection import keep_what_fails
from aura_edge_export.half import to_half
from aura_edge_export.lowering import Reference
from aura_edge_export.rounding import rounded
from aura_edge_export.sessions import embed, values
from aura_edge_export.weights_only import quantised, weights_to_int8
from aura_edge_export.windows import RealWindows

onnx = pytest.importorskip("onnx", reason="looks into graphs; it comes with aura-edge[export]")
pytest.importorskip("onnxscript", reason="torch's exporter needs it; it comes with aura-edge[export]")

WINDOWS = np.stack(
    [testing.motion(label, samples=SAMPLES, seed=seed) for label in testing.TINY_LABELS for seed in range(40)]
)
REAL = RealWindows(WINDOWS, np.ones(len(WINDOWS), np.bool_), {"motions": np.repeat(np.arange(3), 40)})


@pytest.fixture
def content() -> bytes:
    """The graph of a Transformer that never trained."""
    return graph_of("edge")


@pytest.fixture
def gru() -> bytes:
    """The graph of a CNN-RNN, whose first norm sees signals in SI units."""
    return graph_of("imu2clip")


def reference_of(content: bytes, real: RealWindows = REAL) -> Reference:
    """A model compared with itself, and prototypes that tell its own embeddings apart."""
    calibration, compared = real.split()
    embeddings = embed(content, compared.samples)
    known = compared.captions["motions"]
    means = np.stack([embeddings[known == label].mean(axis=0) for label in range(3)]) - embeddings.mean(axis=0) * 0.99
    space = replace_dimension(embeddings.shape[1])
    sets = {"motions": prototypes.make(testing.TINY_LABELS, [["x"]] * 3, means, space)}
    return Reference(content, compared, calibration, embeddings, sets)


def replace_dimension(dimension: int) -> Any:
    import msgspec

    return msgspec.structs.replace(testing.TINY_SPACE, dimension=dimension)


def parsed(body: str, constants: str = "", inputs: str = "float[B,6,4] imu") -> bytes:
    """A graph in ONNX's own text form, ending in `embedding`; its nodes are layers of their outputs' names."""
    text = f'<ir_version: 8, opset_import: ["" : 18]> g ({inputs}) => (float[B,D] embedding) <{constants}> {{ {body} }}'
    model = onnx.parser.parse_model(text)
    for node in model.graph.node:
        node.name = f"{node.output[0]}/{node.op_type}"
    data: bytes = model.SerializeToString()
    return data


# --- FP16


def test_fp16_graph_is_strongly_typed(content: bytes) -> None:
    """Inputs, output and head are FP32, all else is FP16, and the file is smaller."""
    head = layers.head(onnx.load_from_string(content).graph)
    half = to_half(content, head)
    model = onnx.load_from_string(half)
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*inferred.value_info, *inferred.output)}
    floats = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}
    for node in model.graph.node:
        if node.op_type == "Cast":
            continue
        wanted = onnx.TensorProto.FLOAT if layers.layer_of(node) in head else onnx.TensorProto.FLOAT16
        assert {types[name] for name in node.output} & floats <= {wanted}, node.name
    assert types["embedding"] == onnx.TensorProto.FLOAT
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert len(half) < 0.7 * len(content)
    assert {entry.key: entry.value for entry in model.metadata_props}["precision"] == "fp16"


def test_casts_stand_once_where_types_meet(content: bytes) -> None:
    """A value that several nodes read in the other type is cast once."""
    model = onnx.load_from_string(to_half(content, layers.head(onnx.load_from_string(content).graph)))
    casts = [(node.input[0], node.attribute[0].i) for node in model.graph.node if node.op_type == "Cast"]
    assert len(set(casts)) == len(casts) <= 4


def test_everything_kept_is_the_same_model(content: bytes) -> None:
    """Nothing lowered, nothing changed."""
    every = layers.layers(onnx.load_from_string(content).graph)
    assert np.array_equal(embed(to_half(content, every), WINDOWS), embed(content, WINDOWS))


def test_output_in_fp16_is_refused(content: bytes) -> None:
    """A bundle's embeddings are FP32, and of unit length."""
    with pytest.raises(ValueError, match="embedding would be FP16"):
        to_half(content, ())


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_rounding_is_that_of_ieee(numbers: list[float]) -> None:
    """A cast to FP16 and back is numpy's: to the nearest even, beyond 65504 infinite, small ones subnormal."""
    casts = parsed(
        "a = Add(imu, zero) embedding = ReduceSum <keepdims: int = 0> (a, axis)",
        "float zero = {0.0}, int64[1] axis = {1}",
    )
    model = onnx.load_from_string(rounded(to_half(casts, ["embedding"])))
    windows = np.zeros((1, 6, len(numbers)), np.float32)
    windows[0, 0] = numbers
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "n"
    (found,) = values(_expose(model, "a"), windows, ["a"], as_written=True)
    with np.errstate(over="ignore"):
        assert np.array_equal(found[0, 0], np.array(numbers, np.float32).astype(np.float16).astype(np.float32))


def _expose(model: Any, name: str) -> bytes:
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    data: bytes = model.SerializeToString()
    return data


@pytest.mark.parametrize(
    ("body", "constants", "exact"),
    [
        (
            "a = Softmax <axis: int = -1> (imu) embedding = ReduceSum <keepdims: int = 0> (a, axis)",
            "int64[1] axis = {1}",
            lambda x: np.exp(x - x.max(-1, keepdims=True)) / np.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True),
        ),
        (
            "a = LayerNormalization <axis: int = -1, epsilon: float = 0.00001> (imu, scale, offset) "
            "embedding = ReduceSum <keepdims: int = 0> (a, axis)",
            "float[4] scale = {1.0, 2.0, 3.0, 4.0}, float[4] offset = {0.0, 1.0, 0.0, 1.0}, int64[1] axis = {1}",
            lambda x: (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * [1, 2, 3, 4] + [0, 1, 0, 1],
        ),
        (
            "a = InstanceNormalization <epsilon: float = 0.00001> (imu, scale, offset) embedding = ReduceSum <keepdims: int = 0> (a, axis)",
            "float[6] scale = {1.0, 1.0, 1.0, 2.0, 2.0, 2.0}, float[6] offset = {0.0, 0.0, 0.0, 0.0, 0.0, 1.0}, int64[1] axis = {1}",
            lambda x: (
                (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
                * np.array([1, 1, 1, 2, 2, 2])[:, None] + np.array([0, 0, 0, 0, 0, 1])[:, None]
            ),
        ),
        (
            "a = ReduceMean <keepdims: int = 1> (imu, last) embedding = ReduceSum <keepdims: int = 0> (a, axis)",
            "int64[1] axis = {1}, int64[1] last = {-1}",
            lambda x: x.mean(-1, keepdims=True),
        ),
    ],
)  # fmt: skip
def test_what_kernels_fuse_is_taken_apart_rightly(body: str, constants: str, exact: Callable[[Any], Any]) -> None:
    """The steps compute what the whole does, to the rounding of FP16."""
    model = onnx.load_from_string(rounded(to_half(parsed(body, constants), ["embedding"])))
    windows = np.random.default_rng(0).normal(1, 2, (5, 6, 4)).astype(np.float32)
    assert {"Softmax", "LayerNormalization", "InstanceNormalization", "ReduceMean"}.isdisjoint(
        node.op_type for node in model.graph.node
    )
    (found,) = values(_expose(model, "a"), windows, ["a"], as_written=True)
    wanted = exact(windows.astype(np.float64))
    assert np.max(np.abs(found - wanted)) < 0.02
    assert np.array_equal(found, found.astype(np.float16).astype(np.float32)), "every value is one of FP16's"


def test_gru_is_taken_apart_rightly(gru: bytes) -> None:
    """Step by step in FP16 it comes near the whole in FP32, and is not the same."""
    graph_of = onnx.load_from_string(gru).graph
    kept = [layer for layer in layers.layers(graph_of) if layer != "gru"]
    found = embed(rounded(to_half(gru, kept)), WINDOWS, as_written=True)
    exact = embed(gru, WINDOWS)
    assert 0 < np.max(np.abs(found - exact)) < 2e-3


def test_overflow_that_this_processor_hides_is_seen(gru: bytes) -> None:
    """Squares of accelerations, summed over a window, are more than FP16 holds: onnxruntime on a CPU does not tell, the rounding does."""
    head = layers.head(onnx.load_from_string(gru).graph)
    half, exact = to_half(gru, head), embed(gru, WINDOWS)
    loud = WINDOWS * 4
    assert np.sum(embed(half, loud) * embed(gru, loud), axis=1).min() > 0.999
    assert np.sum(embed(rounded(half), loud, as_written=True) * embed(gru, loud), axis=1).min() < 0.99
    assert np.isfinite(exact).all()


def test_fp16_keeps_what_it_damages(gru: bytes) -> None:
    """The norm of the raw signal stays in FP32, with the reason; little else does, and the gate is passed."""
    real = replace(REAL, samples=WINDOWS * 4)
    made = lowering.to_fp16(reference_of(gru, real))
    assert made.variant is not None
    assert "input_norm" in made.variant.kept_in_fp32
    assert "gru" not in made.variant.kept_in_fp32
    assert made.variant.reasons["input_norm"].startswith("in FP16: ")
    assert made.variant.parity["cosine_min"] >= 0.999
    assert (made.variant.file, made.attempts[-1].taken) == ("encoder.fp16.onnx", True)
    assert made.variant.golden_tolerance >= 2 * made.variant.parity["max_abs"] * 0.9


def test_fp16_of_a_transformer_passes_whole(content: bytes) -> None:
    """Scaled at its door, it needs no FP32 before its head."""
    made = lowering.to_fp16(reference_of(content), replace(parity.FP16, disagreement=0.05))
    assert made.variant is not None
    assert made.variant.parity["windows"] == 105
    assert made.variant.kept_in_fp32 == ()


def test_fp16_must_hold_in_the_engine_as_well(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a device would compute is right, and what onnxruntime makes of the very file is not: it is not taken."""

    def wrong_where_fused(graph: bytes, windows: np.ndarray, *, as_written: bool = False) -> np.ndarray:
        return embed(graph, windows, as_written=as_written) * (1 if as_written else -1)

    reference = reference_of(content)
    monkeypatch.setattr(lowering, "embed", wrong_where_fused)
    made = lowering.to_fp16(reference, replace(parity.FP16, disagreement=0.05))
    assert made.variant is None
    assert made.attempts[-1].faults[0].startswith("in onnxruntime: largest difference")


def test_fp16_that_cannot_pass_is_not_taken(content: bytes) -> None:
    """A tolerance that nothing meets gives no variant, and names a layer."""
    made = lowering.to_fp16(reference_of(content), parity.Tolerance(cosine_loss=-1.0))
    assert made.variant is None
    assert made.content == b""
    assert "least cosine" in made.attempts[-1].faults[0]
    assert made.attempts[-1].blame


# --- bisection


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), max_size=5))))
def test_damaged_layers_are_found(case: tuple[int, set[int]]) -> None:
    """Exactly those without which it fails are kept, in order; a sound model takes one comparison."""
    count, damaged = case
    asked: list[frozenset[str]] = []

    def failure(kept: frozenset[str]) -> str | None:
        asked.append(kept)
        lost = [number for number in sorted(damaged) if f"L{number}" not in kept]
        return f"L{lost[0]} overflows" if lost else None

    found = keep_what_fails([f"L{number}" for number in range(count)], failure)
    assert list(found) == [f"L{number}" for number in sorted(damaged)]
    assert all(reason.endswith("overflows") for reason in found.values())
    assert len(asked) <= 1 + 2 * len(damaged) * (count.bit_length() + 1)


# --- INT8


@given(st.integers(0, 1), st.integers(1, 9), st.integers(1, 9), st.floats(1e-20, 1e20))
def test_weights_come_back_within_half_a_step(axis: int, rows: int, columns: int, size: float) -> None:
    """Each channel has a scale of its own, and a channel of zeros stays zero."""
    weight = (np.random.default_rng(rows).normal(size=(rows, columns)) * size).astype(np.float32)
    weight[0, :], weight[:, 0] = 0, 0
    stored, scales = quantised(weight, axis)
    scale = scales[:, None] if axis == 0 else scales[None]
    assert stored.dtype == np.int8
    assert scales.shape == (weight.shape[axis],)
    assert np.all(np.abs(stored * scale - weight) <= scale * 0.5001)
    assert np.all(stored[0] == 0)


def test_weights_alone_change_little(content: bytes, gru: bytes) -> None:
    """Products, convolutions and the GRU read 8 bits, and embeddings stay near; the head's too."""
    for model, least in ((content, 0.999), (gru, 0.999)):
        lowered = weights_to_int8(model)
        nodes = onnx.load_from_string(lowered).graph.node
        assert sum(node.op_type == "DequantizeLinear" for node in nodes) >= 1
        assert np.sum(embed(lowered, WINDOWS) * embed(model, WINDOWS), axis=1).min() > least


@pytest.mark.parametrize("method", integers.METHODS)
def test_methods_are_what_they_say(content: bytes, method: integers.Method) -> None:
    """Integer products where the method has them, none where they are raised; the same bytes each time."""
    lowered = integers.to_int8(content, method, [], WINDOWS)
    kinds = {node.op_type for node in onnx.load_from_string(lowered).graph.node}
    assert ("MatMulInteger" in kinds) == (method == "dynamic")
    assert ("QuantizeLinear" in kinds) == method.startswith("static")
    assert integers.to_int8(content, method, [], WINDOWS) == lowered
    every = integers.to_int8(content, method, integers.products(content), WINDOWS)
    assert {"MatMulInteger", "QuantizeLinear"}.isdisjoint(n.op_type for n in onnx.load_from_string(every).graph.node)
    assert np.sum(embed(lowered, WINDOWS) * embed(content, WINDOWS), axis=1).min() > 0.95


def test_integer_weights_have_seven_bits(content: bytes) -> None:
    """With eight, the sum of two products overflows 16 bits on processors without VNNI."""
    model = onnx.load_from_string(integers.to_int8(content, "dynamic", [], WINDOWS))
    weights = {node.input[1] for node in model.graph.node if node.op_type == "MatMulInteger"}
    found = [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.name in weights]
    assert len(found) == len(weights) > 3
    assert max(int(np.abs(weight.astype(int)).max()) for weight in found) <= 64


def test_int8_reports_all_that_was_tried(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each method is measured; the closest in integers is taken, and what stays in FP32 says what it loses."""
    monkeypatch.setattr(lowering, "LARGEST_INT8", 1.0)
    made = lowering.to_integers(reference_of(content))
    assert [attempt.method for attempt in made.attempts] == list(integers.METHODS)
    assert made.variant is not None
    (taken,) = (attempt for attempt in made.attempts if attempt.taken)
    assert made.variant.method == taken.method != "weights only"
    passed = [a for a in made.attempts if not a.faults and a.method != "weights only"]
    assert taken.parity.cosine_mean == max(a.parity.cosine_mean for a in passed)
    assert embed(made.content, WINDOWS).shape == (120, 8)


def test_int8_that_is_too_large_is_not_taken(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of more than its share of FP32 is a fault like any other."""
    monkeypatch.setattr(lowering, "LARGEST_INT8", 0.05)
    monkeypatch.setattr(lowering, "METHODS", ("weights only",))
    made = lowering.to_integers(reference_of(content))
    assert made.variant is None
    assert "of the bytes of FP32, accepted 5%" in made.attempts[-1].faults[-1]


def test_too_few_windows_prove_nothing() -> None:
    """A share of half a percent needs a thousand."""
    with pytest.raises(ParityError, match=r"105 windows to compare on.*at least 1000"):
        lowering.require_windows(REAL)
    lowering.require_windows(REAL, 105)


def test_calibration_sees_no_window_that_is_compared() -> None:
    """The ranges are found on windows of their own."""
    calibration, compared = REAL.split()
    assert (len(calibration.samples), len(compared.samples)) == (15, 105)
    seen = {window.tobytes() for window in calibration.samples}
    assert not any(window.tobytes() in seen for window in compared.samples)
    assert len(compared.captions["motions"]) == len(compared.samples)
