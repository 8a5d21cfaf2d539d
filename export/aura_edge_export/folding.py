"""What of a graph is known before it runs, computed once: parts of constants, and shapes where the number of windows is fixed."""

from __future__ import annotations

from typing import Any

from aura_edge.errors import require


def fold(model: Any) -> None:
    """Replace nodes that read constants alone by what they give, in place.

    torch's exporter leaves the weights of a GRU as they are in torch, and cuts and joins them at each run.
    """
    onnx = require("onnx", extra="export")
    from onnx.reference import ReferenceEvaluator

    graph = model.graph
    known = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        constant = all(name in known for name in node.input if name)
        if not node.input or not constant or node.op_type == "DequantizeLinear":  # weights stay in 8 bits
            kept.append(node)
            continue
        inner = onnx.helper.make_graph([node], "constant", [], [onnx.ValueInfoProto(name=name) for name in node.output])
        inner.initializer.extend(
            onnx.numpy_helper.from_array(known[name], name) for name in dict.fromkeys(node.input) if name
        )
        found = ReferenceEvaluator(onnx.helper.make_model(inner, opset_imports=model.opset_import)).run(None, {})
        for name, value in zip(node.output, found, strict=True):
            known[name] = value
            graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    del graph.node[:]
    graph.node.extend(kept)
    drop_unused(graph)


def drop_unused(graph: Any) -> None:
    """Remove the constants that no node reads."""
    read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    used = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(used)


def fix_batch(content: bytes, batch: int) -> bytes:
    """The same graph for exactly `batch` windows: what it computed from their number is a constant now."""
    onnx = require("onnx", extra="export")
    model = onnx.load_from_string(content)
    graph = model.graph
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    shapes = known_shapes(model)
    for node in graph.node:
        if node.op_type == "Shape" and node.input[0] in shapes:
            start, stop = (next((a.i for a in node.attribute if a.name == part), None) for part in ("start", "end"))
            value = onnx.helper.make_tensor(
                "value", onnx.TensorProto.INT64, *_vector(shapes[node.input[0]][start:stop])
            )
            del node.input[:], node.attribute[:]
            node.op_type = "Constant"
            node.attribute.append(onnx.helper.make_attribute("value", value))
    constants = [node for node in graph.node if node.op_type == "Constant"]
    for node in constants:
        tensor = onnx.helper.get_attribute_value(node.attribute[0])
        tensor.name = node.output[0]
        graph.initializer.append(tensor)
        graph.node.remove(node)
    fold(model)
    fixed: bytes = model.SerializeToString(deterministic=True)
    return fixed


def known_shapes(model: Any) -> dict[str, list[int]]:
    """By value: its shape, where every dimension is a number."""
    onnx = require("onnx", extra="export")
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    found = {}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        dims = value.type.tensor_type.shape.dim
        if all(dim.HasField("dim_value") for dim in dims):
            found[value.name] = [dim.dim_value for dim in dims]
    return found


def _vector(numbers: list[int]) -> tuple[list[int], list[int]]:
    return [len(numbers)], numbers
