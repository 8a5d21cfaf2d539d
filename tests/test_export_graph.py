"""The canonical graph: names that say which layer, attention and GELU in forms that engines fuse, nothing left that is known before it runs."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from small_graphs import KINDS, encoder_of, graph_of

from aura_edge.errors import ParityError
from aura_edge_export import graph, layers
from aura_edge_export.blame import first_divergence
from aura_edge_export.folding import fix_batch
from aura_edge_export.gelu import halve_last
from aura_edge_export.sessions import embed

torch = pytest.importorskip("torch", reason="exports torch modules; it comes with aura-edge[export]")
onnx = pytest.importorskip("onnx", reason="looks into graphs; it comes with aura-edge[export]")
pytest.importorskip("onnxscript", reason="torch's exporter needs it; it comes with aura-edge[export]")

WINDOWS = np.random.default_rng(0).normal(0, 3, (20, 6, 200)).astype(np.float32)


def nodes_of(content: bytes) -> list[Any]:
    return list(onnx.load_from_string(content).graph.node)


@pytest.mark.parametrize("name", KINDS)
def test_graph_computes_what_torch_does(name: str) -> None:
    """For any number of windows, fused by onnxruntime or as written."""
    with torch.inference_mode():
        expected = encoder_of(name)(torch.from_numpy(WINDOWS)).numpy()
    for count in (1, 3, 20):
        np.testing.assert_allclose(embed(graph_of(name), WINDOWS[:count]), expected[:count], atol=2e-6)
    np.testing.assert_allclose(embed(graph_of(name), WINDOWS, as_written=True), expected, atol=2e-6)


@pytest.mark.parametrize("name", KINDS)
def test_nodes_are_named_after_their_layers(name: str) -> None:
    """Every node has a name of its own, each module of the encoder is a layer, and no layer has a name of the exporter's."""
    nodes = nodes_of(graph_of(name))
    names = [node.name for node in nodes]
    assert len(set(names)) == len(names)
    found = layers.layers(onnx.load_from_string(graph_of(name)).graph)
    assert [layer for layer in found if "_" in layer.split(".")[0] and layer.startswith("_")] == []
    assert set(found) >= {"imu2clip": {"gru", "convolutions.1", "input_norm"}}.get(name, {"blocks.0.qkv", "blocks.0"})
    assert layers.AFTER in found


def test_head_is_all_behind_the_body() -> None:
    """Pooling, projection and unit length, whatever they are called; the norm before a GRU is not among them."""
    heads = {name: set(layers.head(onnx.load_from_string(graph_of(name)).graph)) for name in KINDS}
    assert heads["edge"] == {"norm", "pools", "projection", "output"}
    assert heads["senvt"] == {"norm", "projection", "output"}
    assert heads["imu2clip"] == {"output"}


@pytest.mark.parametrize("name", ["edge", "senvt"])
def test_attention_has_the_form_that_compilers_fuse(name: str) -> None:
    """One product for queries, keys and values, cut up in five dimensions; attention written out; opset 18."""
    model = onnx.load_from_string(graph_of(name))
    assert [entry.version for entry in model.opset_import if not entry.domain] == [18]
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    qkv = [node for node in model.graph.node if layers.layer_of(node) == "blocks.0.qkv" and node.op_type == "MatMul"]
    assert [list(constants[node.input[1]].dims) for node in qkv] == [[64, 192]]
    block = [node for node in model.graph.node if layers.layer_of(node) == "blocks.0"]
    (cut,) = (node for node in block if node.op_type == "Reshape" and len(_vector(constants, node.input[1])) == 5)
    assert _vector(constants, cut.input[1])[2:] == [3, 2, 32]
    kinds = Counter(node.op_type for node in block)
    assert (kinds["MatMul"], kinds["Softmax"], kinds["Attention"]) == (2, 1, 0)


def _vector(constants: dict[str, Any], name: str) -> list[int]:
    return [int(number) for number in onnx.numpy_helper.to_array(constants[name]).ravel()]


@pytest.mark.parametrize("name", ["edge", "senvt"])
def test_gelu_is_found_by_the_engine(name: str, tmp_path: Any) -> None:
    """onnxruntime runs no error function by itself: each one became part of a GELU."""
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(graph_of(name), options, providers=["CPUExecutionProvider"])
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "fused.onnx").graph.node)
    assert kinds["Erf"] == 0
    assert kinds["Gelu"] + kinds["BiasGelu"] + kinds["FastGelu"] >= 1


def test_halving_last_changes_no_bit() -> None:
    """A half is a power of two: the two orders of multiplication give the same bits, and what is no GELU is left alone."""
    x = np.concatenate([np.random.default_rng(0).normal(0, 3, 10_000), [0.0, -0.0, 1e-30, 1e38]]).astype(np.float32)
    text = """<ir_version: 8, opset_import: ["" : 18]>
    g (float[n] x) => (float[n] y) <float root = {1.4142135}, float one = {1.0}, float half = {0.5}>
    { a = Div(x, root) b = Erf(a) c = Add(b, one) d = Mul(half, c) z = Mul(x, d) w = Mul(x, half) y = Add(z, w) }"""
    model = onnx.parser.parse_model(text)
    from onnx.reference import ReferenceEvaluator

    (before,) = ReferenceEvaluator(model).run(None, {"x": x})
    assert halve_last(model) == 1
    onnx.checker.check_model(model)
    (after,) = ReferenceEvaluator(model).run(None, {"x": x})
    assert before.tobytes() == after.tobytes()
    assert [list(node.input) for node in model.graph.node][3:5] == [["x", "c"], ["d", "half"]]
    assert halve_last(model) == 0


def test_gru_is_written_as_torch_computes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The attribute stands in the graph, its weights are constants, and a graph without it is refused."""
    (gru,) = (node for node in nodes_of(graph_of("imu2clip")) if node.op_type == "GRU")
    assert {attribute.name: attribute.i for attribute in gru.attribute}["linear_before_reset"] == 1
    constants = {tensor.name for tensor in onnx.load_from_string(graph_of("imu2clip")).graph.initializer}
    assert set(gru.input[1:4]) <= constants
    model = onnx.load_from_string(graph_of("imu2clip"))
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "linear_before_reset":
                attribute.i = 0
    with pytest.raises(ParityError, match=r"gru/GRU: was written without linear_before_reset=1"):
        graph._require_resetting_before(model)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("batch", [1, 4])
def test_fixed_batch_asks_for_no_shape(name: str, batch: int) -> None:
    """With the number of windows fixed all shapes are numbers, and the embeddings are the same."""
    fixed = fix_batch(graph_of(name), batch)
    model = onnx.load_from_string(fixed)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node if node.op_type in ("Shape", "Constant")] == []
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == batch
    expected = embed(graph_of(name), WINDOWS)
    np.testing.assert_allclose(embed(fixed, WINDOWS, batch=batch), expected, atol=1e-6)


def test_first_layer_that_differs_is_to_blame() -> None:
    """Of a graph with a damaged weight the layer of that weight is named, not one of the many behind it."""
    model = onnx.load_from_string(graph_of("edge"))
    for tensor in model.graph.initializer:
        if tensor.name == "blocks.0.out.bias":
            value = onnx.numpy_helper.to_array(tensor) + 3 * np.arange(64, dtype=np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(value, tensor.name))
    found = first_divergence(graph_of("edge"), model.SerializeToString(), WINDOWS)
    assert found is not None
    assert (found.layer, found.cosine < 0.9) == ("blocks.0.out", True)
    same = first_divergence(graph_of("edge"), graph_of("edge"), WINDOWS)
    assert same is not None
    assert same.cosine > 0.999999


def test_what_is_not_finite_is_to_blame() -> None:
    """NaN has a cosine with nothing."""
    model = onnx.load_from_string(graph_of("senvt"))
    for tensor in model.graph.initializer:
        if tensor.name == "blocks.0.up.bias":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.full(tensor.dims, np.nan, np.float32), tensor.name))
    found = first_divergence(graph_of("senvt"), model.SerializeToString(), WINDOWS)
    assert str(found) == "blocks.0.up gives values that are not finite"
