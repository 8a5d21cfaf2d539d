"""Attention as one node of the graph, `aura::FusedMHA`, with its own body: any engine runs it, and one with our kernel puts that in its place.

The node takes packed queries, keys and values (B, N, 3, H, d) and gives (B, N, H, d), as the kernel does. Its body, a function inside the model, is
the attention that it stands for: onnxruntime computes it without any library, and `flatten` writes it out again. TensorRT's parser prefers a
function of the model to a plugin of the same name: for the plugin, `without_body` takes the function away. TensorRT fuses written-out
attention by itself, and that stays the default; this is for those who have measured ours to be faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aura_edge.errors import ParityError, require
from aura_edge_export.folding import drop_unused

DOMAIN, NAME, VERSION = "aura", "FusedMHA", 1
PLUGIN = {"plugin_namespace": DOMAIN, "plugin_version": str(VERSION)}
"""Attributes by which TensorRT's parser finds a plugin; the name is that of the node."""
PACKED = [2, 0, 3, 1, 4]
"""The transpose that takes (B, N, 3, H, d) apart: (3, B, H, N, d)."""


@dataclass(frozen=True, slots=True)
class _Attention:
    """Where attention begins and ends in a graph, and the nodes between."""

    packed: str
    result: str
    nodes: tuple[Any, ...]


def fuse(content: bytes) -> bytes:
    """The model with one node in place of each attention of the canonical graph, FP32 or FP16.

    Raises `ParityError` where there is none: the model has no attention, or it was written by another exporter.
    """
    onnx = require("onnx", extra="export")
    model = onnx.load_from_string(content)
    graph = model.graph
    found = _attentions(graph)
    if not found:
        raise ParityError(
            "no attention of the canonical form was found in this graph, so nothing can be fused. Export the encoder with aura-edge export; a "
            "recurrent encoder has none."
        )
    replaced = {id(node) for each in found for node in each.nodes}
    last = {id(each.nodes[-1]): each for each in found}
    nodes = []
    for node in graph.node:
        if id(node) in last:
            each = last[id(node)]
            name = f"{node.name.rsplit('/', 1)[0]}/{NAME}"
            nodes.append(onnx.helper.make_node(NAME, [each.packed], [each.result], name, domain=DOMAIN, **PLUGIN))
        elif id(node) not in replaced:
            nodes.append(node)
    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    del graph.node[:]
    graph.node.extend(nodes)
    drop_unused(graph)
    model.opset_import.append(onnx.helper.make_opsetid(DOMAIN, VERSION))
    model.functions.append(_body(opset))
    return _checked(model)


def flatten(content: bytes) -> bytes:
    """The fused model with the body of every node in its place: no domain but ONNX's own is left."""
    onnx = require("onnx", extra="export")
    inliner = require("onnx.inliner", extra="export")
    model = inliner.inline_local_functions(onnx.load_from_string(content))
    kept = [each for each in model.opset_import if each.domain != DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return _checked(model)


def without_body(content: bytes) -> bytes:
    """The fused model for an engine that has the plugin: nodes only. Nothing else can run it."""
    onnx = require("onnx", extra="export")
    model = onnx.load_from_string(content)
    kept = [function for function in model.functions if function.domain != DOMAIN]
    del model.functions[:]
    model.functions.extend(kept)
    written: bytes = model.SerializeToString(deterministic=True)
    return written


def _body(opset: int) -> Any:
    """What the node stands for: softmax(Q K^T / sqrt(d)) V, in the type of its input."""
    onnx = require("onnx", extra="export")
    make, integers = onnx.helper.make_node, onnx.TensorProto.INT64
    nodes = [make("Transpose", ["qkv"], ["parts"], perm=PACKED)]
    for index, part in enumerate(("queries", "keys", "values")):
        value = onnx.helper.make_tensor(f"{part}_value", integers, [], [index])
        nodes.append(make("Constant", [], [f"{part}_index"], value=value))
        nodes.append(make("Gather", ["parts", f"{part}_index"], [part], axis=0))
    nodes += [
        make("Shape", ["qkv"], ["size"], start=4, end=5),
        make("Cast", ["size"], ["real_size"], to=onnx.TensorProto.FLOAT),
        make("Sqrt", ["real_size"], ["root"]),
        make("CastLike", ["root", "qkv"], ["typed_root"]),
        make("Transpose", ["keys"], ["turned_keys"], perm=[0, 1, 3, 2]),
        make("MatMul", ["queries", "turned_keys"], ["products"]),
        make("Div", ["products", "typed_root"], ["scores"]),
        make("Softmax", ["scores"], ["weights"], axis=-1),
        make("MatMul", ["weights", "values"], ["mixed"]),
        make("Transpose", ["mixed"], ["attended"], perm=[0, 2, 1, 3]),
    ]
    imports = [onnx.helper.make_opsetid("", opset)]
    return onnx.helper.make_function(DOMAIN, NAME, ["qkv"], ["attended"], nodes, imports, attributes=list(PLUGIN))


def _attentions(graph: Any) -> list[_Attention]:
    """Every attention whose nodes are exactly those of the canonical graph, from the packed values to the transpose behind it."""
    onnx = require("onnx", extra="export")
    constants = {tensor.name: tensor for tensor in graph.initializer}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    outputs = {output.name for output in graph.output}

    def only_reader(name: str, kind: str) -> Any | None:
        """The node that alone reads a value, if it is of this kind."""
        found = readers.get(name, [])
        return found[0] if len(found) == 1 and found[0].op_type == kind and name not in outputs else None

    def attribute(node: Any, name: str) -> Any:
        return next((onnx.helper.get_attribute_value(each) for each in node.attribute if each.name == name), None)

    def constant(name: str) -> list[float] | None:
        if name not in constants:
            return None
        values = onnx.numpy_helper.to_array(constants[name])
        return [float(value) for value in values.ravel()]

    def parts_of(transpose: Any) -> dict[int, tuple[Any, ...]]:
        """Queries, keys and values: slice and squeeze of each, by where they lie in the packed values."""
        parts = {}
        for cut in readers.get(transpose.output[0], []):
            squeeze = only_reader(cut.output[0], "Squeeze")
            if cut.op_type == "Slice" and squeeze is not None and constant(cut.input[3]) == [0.0]:
                start, stop = constant(cut.input[1]), constant(cut.input[2])
                if start is not None and stop == [start[0] + 1]:
                    parts[int(start[0])] = (cut, squeeze)
        return parts

    def behind(transpose: Any) -> _Attention | None:
        """The attention that begins with this transpose."""
        parts = parts_of(transpose)
        if set(parts) != {0, 1, 2} or len(readers[transpose.output[0]]) != 3:
            return None
        queries, keys, values = (parts[index][1].output[0] for index in range(3))
        turned = only_reader(keys, "Transpose")
        product, mixed = only_reader(queries, "MatMul"), only_reader(values, "MatMul")
        if turned is None or product is None or mixed is None or attribute(turned, "perm") != [0, 1, 3, 2]:
            return None
        scaled = only_reader(product.output[0], "Mul")
        softmax = only_reader(scaled.output[0], "Softmax") if scaled is not None else None
        turned_back = only_reader(mixed.output[0], "Transpose")
        if scaled is None or softmax is None or turned_back is None or attribute(turned_back, "perm") != [0, 2, 1, 3]:
            return None
        size = head_size(transpose.input[0])
        scale = constant(scaled.input[1])
        if (
            list(product.input) != [queries, turned.output[0]]
            or list(mixed.input) != [softmax.output[0], values]
            or only_reader(softmax.output[0], "MatMul") is not mixed
            or attribute(softmax, "axis") not in (3, -1)
            or size is None
            or scale is None
            or not abs(scale[0] * size**0.5 - 1) <= 1e-3  # FP16 rounds it
        ):
            return None
        cuts = [node for part in parts.values() for node in part]
        nodes = (transpose, *cuts, turned, product, scaled, softmax, mixed, turned_back)
        return _Attention(transpose.input[0], turned_back.output[0], nodes)

    makers = {name: node for node in graph.node for name in node.output}

    def head_size(packed: str) -> int | None:
        """d, where `packed` is a reshape to (B, N, 3, H, d)."""
        maker = makers.get(packed)
        shape = constant(maker.input[1]) if maker is not None and maker.op_type == "Reshape" else None
        return int(shape[4]) if shape is not None and len(shape) == 5 and shape[2] == 3 else None

    starts = [node for node in graph.node if node.op_type == "Transpose" and attribute(node, "perm") == PACKED]
    return [found for found in map(behind, starts) if found is not None]


def _checked(model: Any) -> bytes:
    onnx = require("onnx", extra="export")
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ParityError(
            f"the graph with fused attention is no valid ONNX: {error}. Use the graph as it was exported."
        ) from error
    written: bytes = model.SerializeToString(deterministic=True)
    return written
