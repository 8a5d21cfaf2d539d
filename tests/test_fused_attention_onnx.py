"""Attention as one node with its body: the same vectors as before, by any engine, and nothing fused that is not attention."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aura_edge import encoders
from aura_edge.errors import ParityError
from aura_edge.kernels import reference
from aura_edge_export import fused_attention, graph, half, layers

torch = pytest.importorskip("torch", reason="exports torch modules; it comes with aura-edge[export]")
onnx = pytest.importorskip("onnx", reason="looks into graphs; it comes with aura-edge[export]")
pytest.importorskip("onnxscript", reason="torch's exporter needs it; it comes with aura-edge[export]")
ort = pytest.importorskip("onnxruntime")

WINDOWS = np.random.default_rng(0).normal(0, 3, (5, 6, 200)).astype(np.float32)
DEPTH = 2
SMALL = {"width": 64, "depth": DEPTH, "heads": 2, "dimension": 8, "window_samples": 200}
PLAIN = {"plain_stem": True, "invariant_filters": 0, "vector_filters": 0}


def exported(kind: str, options: dict[str, Any]) -> bytes:
    torch.manual_seed(3)
    return graph.to_onnx(encoders.build(encoders.make_spec(kind, options)), window_samples=200)


@pytest.fixture(scope="module")
def plain() -> dict[str, bytes]:
    """Canonical graphs: FP32, and FP16 in the blocks."""
    single = {
        "transformer": exported("transformer", SMALL | PLAIN),
        "senvt_released": exported("senvt_released", SMALL),
    }
    halves = {}
    for kind, content in single.items():
        names = {layers.layer_of(node) for node in onnx.load_from_string(content).graph.node}
        halves[f"{kind}, fp16"] = half.to_half(content, {name for name in names if not name.startswith("blocks")})
    return single | halves


def run(content: bytes, **feeds: NDArray[Any]) -> NDArray[Any]:
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    result: NDArray[Any] = session.run(None, feeds)[0]
    return result


def fused_nodes(content: bytes) -> list[Any]:
    return [node for node in onnx.load_from_string(content).graph.node if node.domain == "aura"]


@pytest.mark.parametrize("kind", ["transformer", "senvt_released", "transformer, fp16", "senvt_released, fp16"])
def test_one_node_for_each_attention_and_the_same_vectors(plain: dict[str, bytes], kind: str) -> None:
    """onnxruntime runs the node by its body, without a library; flattened, nothing of it is left."""
    fused = fused_attention.fuse(plain[kind])
    nodes = fused_nodes(fused)
    assert [node.op_type for node in nodes] == ["FusedMHA"] * DEPTH
    assert len({node.name for node in nodes}) == DEPTH
    assert {attribute.name for attribute in nodes[0].attribute} == {"plugin_namespace", "plugin_version"}
    assert "Softmax" not in {node.op_type for node in onnx.load_from_string(fused).graph.node}
    expected = run(plain[kind], imu=WINDOWS)
    tolerance = 1e-3 if "fp16" in kind else 2e-6
    np.testing.assert_allclose(run(fused, imu=WINDOWS), expected, atol=tolerance)
    flat = fused_attention.flatten(fused)
    model = onnx.load_from_string(flat)
    assert not fused_nodes(flat)
    assert not model.functions
    assert [each.domain for each in model.opset_import] == [""]
    np.testing.assert_allclose(run(flat, imu=WINDOWS), expected, atol=tolerance)


def test_fusing_gives_the_same_bytes(plain: dict[str, bytes]) -> None:
    """Each time."""
    assert fused_attention.fuse(plain["transformer"]) == fused_attention.fuse(plain["transformer"])


def test_the_plugin_variant_has_nodes_only(plain: dict[str, bytes]) -> None:
    """A function in the model would win over the plugin; without it no other engine takes the model."""
    content = fused_attention.without_body(fused_attention.fuse(plain["transformer"]))
    assert not onnx.load_from_string(content).functions
    assert len(fused_nodes(content)) == DEPTH
    with pytest.raises(ort.capi.onnxruntime_pybind11_state.Fail, match="FusedMHA"):
        run(content, imu=WINDOWS)


@pytest.mark.parametrize("head", [32, 64])
@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_the_body_is_rung_0(plain: dict[str, bytes], head: int, kind: Any) -> None:
    """The node alone, against float64."""
    model = onnx.load_from_string(fused_attention.fuse(plain["senvt_released"]))
    element = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    single = onnx.helper.make_graph(
        [
            onnx.helper.make_node(
                "FusedMHA", ["qkv"], ["out"], domain="aura", plugin_version="1", plugin_namespace="aura"
            )
        ],
        "node",
        [onnx.helper.make_tensor_value_info("qkv", element, ["b", "n", 3, "h", "d"])],
        [onnx.helper.make_tensor_value_info("out", element, ["b", "n", "h", "d"])],
    )
    alone = onnx.helper.make_model(
        single, functions=model.functions, opset_imports=model.opset_import, ir_version=model.ir_version
    )
    qkv = np.random.default_rng(2).standard_normal((2, 13, 3, 2, head)).astype(kind)
    found = run(alone.SerializeToString(), qkv=qkv)
    assert np.abs(found - reference.attention(qkv)).max() < (1e-5 if kind is np.float32 else 5e-3)


def change_scale(model: Any) -> None:
    for node in model.graph.node:
        if node.op_type == "Mul" and node.output[0].startswith("mul"):
            for tensor in model.graph.initializer:
                if tensor.name == node.input[1] and not tensor.dims:
                    tensor.CopyFrom(onnx.numpy_helper.from_array(np.float32(0.5), tensor.name))


def change_axis(model: Any) -> None:
    for node in model.graph.node:
        if node.op_type == "Softmax":
            node.attribute[0].i = 2


def show_weights(model: Any) -> None:
    for node in list(model.graph.node):
        if node.op_type == "Softmax":
            model.graph.output.append(onnx.helper.make_tensor_value_info(node.output[0], 1, None))


@pytest.mark.parametrize("change", [change_scale, change_axis, show_weights])
def test_what_is_not_our_attention_is_left_alone(plain: dict[str, bytes], change: Any) -> None:
    """Another scale, a softmax over queries, weights that somebody reads: no node would compute the same."""
    model = onnx.load_from_string(plain["senvt_released"])
    change(model)
    with pytest.raises(ParityError, match="no attention of the canonical form"):
        fused_attention.fuse(model.SerializeToString())


def test_a_graph_without_attention_has_nothing_to_fuse() -> None:
    """And is told so."""
    values = [onnx.helper.make_tensor_value_info(name, 1, ["n"]) for name in ("imu", "embedding")]
    graph_ = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["imu"], ["embedding"])], "none", values[:1], values[1:]
    )
    with pytest.raises(ParityError, match="no attention of the canonical form"):
        fused_attention.fuse(onnx.helper.make_model(graph_).SerializeToString())


@pytest.mark.slow
def test_tensorrt_still_fuses_what_the_node_stands_for(plain: dict[str, bytes], tmp_path: Path) -> None:
    """TensorRT-RTX reads the node by its body, ahead of time and without a GPU, and computes each attention in one kernel of its own."""
    pytest.importorskip(
        "tensorrt_rtx", reason="tensorrt-rtx is not installed: pip install tensorrt-rtx (proprietary, by NVIDIA)"
    )
    (tmp_path / "fused.onnx").write_bytes(fused_attention.fuse(plain["transformer, fp16"]))
    command = [sys.executable, str(Path(__file__).parent / "trt_building.py"), str(tmp_path / "fused.onnx"), "8.0"]
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=250, check=False, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    profiles = json.loads(done.stdout)["made"]["8.0"]["kernels"]
    for kernels in profiles:
        assert sum("_gemm_mha" in name for name in kernels) == DEPTH, kernels
