"""FP16 written into the graph: every tensor has a type of its own, and no engine has to decide which.

Weak typing, where a builder is allowed to lower precision as it likes, is gone since TensorRT 11; a graph whose own types are FP16 is built
by all versions, and is the same on each. Inputs and output stay FP32, and so do pooling, projection and unit length: an FP16 end gives vectors
of length 0.9998 to 1.0003.

This pass is our own because the maintained ones (onnxconverter-common and its descendant in onnxruntime.transformers) raise small constants
such as 1e-12 to the least FP16 number, and put a pair of casts around each node that is kept in FP32.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from aura_edge.errors import require
from aura_edge_export.folding import drop_unused
from aura_edge_export.graph import say_precision
from aura_edge_export.layers import layer_of


def to_half(content: bytes, kept: Collection[str]) -> bytes:
    """The FP32 graph with all layers in FP16 but those of `kept`; casts stand where the two meet, one for each value."""
    onnx = require("onnx", extra="export")
    single, half = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
    model = onnx.load_from_string(content)
    floats = float_values(model)
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    types = dict.fromkeys(floats, single)
    made: dict[tuple[str, int], str] = {}
    nodes: list[Any] = []

    def typed(name: str, wanted: int, layer: str) -> str:
        """What to read in place of `name` to get it in the type `wanted`."""
        if name not in floats or types[name] == wanted:
            return name
        if (name, wanted) not in made:
            other = f"{name}.{'half' if wanted == half else 'single'}"
            made[name, wanted] = other
            if name in constants:
                value = onnx.numpy_helper.to_array(constants[name])
                with np.errstate(over="ignore"):  # what overflows is found by comparing
                    graph.initializer.append(onnx.numpy_helper.from_array(value.astype(np.float16), other))
            else:
                nodes.append(onnx.helper.make_node("Cast", [name], [other], name=f"{layer}/Cast.{other}", to=wanted))
        return made[name, wanted]

    for node in graph.node:
        layer = layer_of(node)
        wanted = single if layer in kept else half
        node.input[:] = [typed(name, wanted, layer) for name in node.input]
        nodes.append(node)
        types |= {name: wanted for name in node.output if name in floats}
    for output in graph.output:
        if types[output.name] == half:
            raise ValueError(f"{output.name} would be FP16; keep the layer that gives it")
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    drop_unused(graph)
    say_precision(model, "fp16")
    onnx.checker.check_model(model, full_check=True)
    written: bytes = model.SerializeToString(deterministic=True)
    return written


def float_values(model: Any) -> frozenset[str]:
    """Names of all FP32 values of a model: inputs, constants, and what nodes give."""
    onnx = require("onnx", extra="export")
    single = onnx.TensorProto.FLOAT
    inferred = onnx.shape_inference.infer_shapes(model).graph
    values = (*inferred.input, *inferred.value_info, *inferred.output)
    return frozenset(value.name for value in values if value.type.tensor_type.elem_type == single) | {
        tensor.name for tensor in model.graph.initializer if tensor.data_type == single
    }
