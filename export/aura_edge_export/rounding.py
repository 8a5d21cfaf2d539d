"""What a device that computes in FP16 would give, found on a processor that does not.

onnxruntime's CPU kernels compute FP16 in FP32 and round at the end, if at all: an overflow inside a softmax or a norm does not show. Here every
operation of the graph is done in FP32 and its result rounded to FP16 at once, and what kernels fuse (softmax, norms, means, GRU) is taken
apart first, so that what lies inside is rounded too. Sums may overflow before they are divided. Products of matrices are summed in FP32
and rounded once, as tensor cores and all common libraries do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import require
from aura_edge_export.layers import layer_of
from aura_edge_export.rounded_gru import gru_body

MOVES = {
    "Abs",
    "Concat",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "MaxPool",
    "Neg",
    "Pad",
    "Relu",
    "Reshape",
    "Sign",
    "Slice",
}
MOVES |= {"Split", "Squeeze", "Transpose", "Unsqueeze"}
"""Operations that give only values which they were given."""


def rounded(content: bytes) -> bytes:
    """An FP32 graph that computes what the strongly typed FP16 one in `content` does where FP16 is all there is."""
    onnx = require("onnx", extra="export")
    half = onnx.TensorProto.FLOAT16
    model = onnx.load_from_string(content)
    graph = model.graph
    inferred = onnx.shape_inference.infer_shapes(model).graph
    halves = {value.name for value in inferred.value_info if value.type.tensor_type.elem_type == half}
    for at, tensor in enumerate(graph.initializer):
        if tensor.data_type == half:
            halves.add(tensor.name)
            value = onnx.numpy_helper.to_array(tensor).astype(np.float32)
            graph.initializer[at].CopyFrom(onnx.numpy_helper.from_array(value, tensor.name))
    steps = _Steps(onnx, {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer})
    for node in graph.node:
        steps.layer = layer_of(node)
        if node.op_type == "Cast" and node.output[0] in halves:
            steps.round(node.input[0], node.output[0])
        elif node.op_type == "Cast" and node.input[0] in halves:
            steps.add("Identity", list(node.input), list(node.output))
        elif not any(name in halves for name in node.output) or node.op_type in MOVES:
            steps.nodes.append(node)
        elif node.op_type in TAKEN_APART:
            TAKEN_APART[node.op_type](steps, node)
        else:
            exact = [f"{name}.exact" for name in node.output]
            for name, result in zip(node.output, exact, strict=True):
                steps.pending.append((result, name))
            node.output[:] = exact
            steps.nodes.append(node)
            steps.flush()
    del graph.node[:], graph.value_info[:]
    graph.node.extend(steps.nodes)
    graph.initializer.extend(steps.constants)
    onnx.checker.check_model(model, full_check=True)
    written: bytes = model.SerializeToString(deterministic=True)
    return written


class _Steps:
    """Collects nodes; `op` adds one whose result is rounded."""

    def __init__(self, onnx: Any, known: dict[str, NDArray[Any]]) -> None:
        self.onnx, self.known = onnx, known
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.pending: list[tuple[str, str]] = []
        self.layer = ""
        self._count = 0

    def add(self, kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        self._count += 1
        name = f"{self.layer}/{kind}.step{self._count}"
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, outputs, name=name, **attributes))

    def round(self, name: str, output: str) -> str:
        proto = self.onnx.TensorProto
        self.add("Cast", [name], [f"{output}.narrow"], to=proto.FLOAT16)
        self.add("Cast", [f"{output}.narrow"], [output], to=proto.FLOAT)
        return output

    def flush(self) -> None:
        for exact, output in self.pending:
            self.round(exact, output)
        self.pending.clear()

    def op(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        result = output or self.fresh()
        self.add(kind, list(inputs), [f"{result}.exact"], **attributes)
        return self.round(f"{result}.exact", result)

    def constant(self, value: Any) -> str:
        """Rounded as well."""
        name = self.fresh()
        array = np.asarray(value)
        if array.dtype.kind == "f":
            array = array.astype(np.float16).astype(np.float32)
        self.known[name] = array
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def fresh(self) -> str:
        self._count += 1
        return f"rounded.{self._count}"

    def mean(self, name: str, axes: str, output: str | None = None) -> str:
        """The sum first, which may overflow."""
        total = self.op("ReduceSum", name, axes, keepdims=1)
        count = self.fresh()
        self.add("Shape", [name], [f"{count}.shape"])
        self.add("Gather", [f"{count}.shape", axes], [f"{count}.sizes"])
        self.add("ReduceProd", [f"{count}.sizes"], [f"{count}.product"], keepdims=0)
        self.add("Cast", [f"{count}.product"], [count], to=self.onnx.TensorProto.FLOAT)
        return self.op("Div", total, count, output=output)

    def normalised(self, name: str, axes: str, epsilon: float) -> str:
        """Less its mean, over its deviation."""
        centred = self.op("Sub", name, self.mean(name, axes))
        variance = self.mean(self.op("Mul", centred, centred), axes)
        deviation = self.op("Sqrt", self.op("Add", variance, self.constant(np.float32(epsilon))))
        return self.op("Div", centred, deviation)


def _attribute(node: Any, name: str, default: Any) -> Any:
    found = next((a for a in node.attribute if a.name == name), None)
    if found is None:
        return default
    return found.f if isinstance(default, float) else found.i


def _softmax(steps: _Steps, node: Any) -> None:
    axes = steps.constant(np.array([_attribute(node, "axis", -1)], np.int64))
    highest = steps.op("ReduceMax", node.input[0], axes, keepdims=1)
    powers = steps.op("Exp", steps.op("Sub", node.input[0], highest))
    steps.op("Div", powers, steps.op("ReduceSum", powers, axes, keepdims=1), output=node.output[0])


def _layer_norm(steps: _Steps, node: Any) -> None:
    axes = steps.constant(np.array([_attribute(node, "axis", -1)], np.int64))
    unit = steps.normalised(node.input[0], axes, _attribute(node, "epsilon", 1e-5))
    if len(node.input) < 3:
        steps.op("Mul", unit, node.input[1], output=node.output[0])
        return
    steps.op("Add", steps.op("Mul", unit, node.input[1]), node.input[2], output=node.output[0])


def _instance_norm(steps: _Steps, node: Any) -> None:
    unit = steps.normalised(node.input[0], steps.constant(np.array([2], np.int64)), _attribute(node, "epsilon", 1e-5))
    scale, offset = (steps.constant(steps.known[name][:, None]) for name in node.input[1:3])
    steps.op("Add", steps.op("Mul", unit, scale), offset, output=node.output[0])


def _mean(steps: _Steps, node: Any) -> None:
    mean = steps.mean(node.input[0], node.input[1])
    if _attribute(node, "keepdims", 1):
        steps.add("Identity", [mean], [node.output[0]])
    else:
        steps.add("Squeeze", [mean, node.input[1]], [node.output[0]])


def _gru(steps: _Steps, node: Any) -> None:
    """One step after the other, in the equations of ONNX's `GRU` with `linear_before_reset`."""
    windows, weights, recurrent, biases = node.input[:4]
    one = steps.constant(np.array([0], np.int64))
    size = steps.known[recurrent].shape[2]
    given, own = np.split(steps.known[biases][0], 2)
    gates = steps.op("MatMul", windows, steps.constant(steps.known[weights][0].T))
    gates = steps.op("Add", gates, steps.constant(given))
    body = gru_body(steps.onnx, steps.known[recurrent][0].T, own, size)
    start = steps.fresh()
    steps.add("Squeeze", [node.input[5], one], [start])
    last, every = steps.fresh(), steps.fresh()
    steps.add("Scan", [start, gates], [last, every], body=body, num_scan_inputs=1)
    steps.add("Unsqueeze", [every, steps.constant(np.array([1], np.int64))], [node.output[0]])
    steps.add("Unsqueeze", [last, one], [node.output[1]])


TAKEN_APART: dict[str, Callable[[_Steps, Any], None]] = {
    "Softmax": _softmax,
    "LayerNormalization": _layer_norm,
    "InstanceNormalization": _instance_norm,
    "ReduceMean": _mean,
    "GRU": _gru,
}
"""Operations that kernels fuse, and how they are done one step at a time."""
