"""Weights in 8 bits, activations in FP32: a quarter of the file, and next to nothing lost.

Each output channel has a scale of its own and no zero point; what an engine reads is `DequantizeLinear` of the stored integers.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import require
from aura_edge_export.folding import drop_unused

SMALLEST = 512
"""Numbers in a weight that is worth it: scales, and a node, come along."""


def weights_to_int8(content: bytes, kept: Collection[str] = ()) -> bytes:
    """Store the weights of products, convolutions and GRUs as int8, but for the nodes named in `kept`."""
    onnx = require("onnx", extra="export")
    model = onnx.load_from_string(content)
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT}
    nodes: list[Any] = []
    stored: set[str] = set()
    for node in graph.node:
        for place, axis in weight_places(node).items():
            name = node.input[place] if place < len(node.input) else ""
            if name not in constants or node.name in kept:
                continue
            value = onnx.numpy_helper.to_array(constants[name])
            if value.size < SMALLEST:
                continue
            if name not in stored:
                stored.add(name)
                integers, scales = quantised(value, axis)
                graph.initializer.append(onnx.numpy_helper.from_array(integers, f"{name}.int8"))
                graph.initializer.append(onnx.numpy_helper.from_array(scales, f"{name}.scale"))
                nodes.append(
                    onnx.helper.make_node(
                        "DequantizeLinear",
                        [f"{name}.int8", f"{name}.scale"],
                        [f"{name}.float"],
                        name=f"{node.name}.weights",
                        axis=axis,
                    )
                )
            node.input[place] = f"{name}.float"
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    drop_unused(graph)
    onnx.checker.check_model(model)
    written: bytes = model.SerializeToString(deterministic=True)
    return written


def weight_places(node: Any) -> dict[int, int]:
    """By number of the input that is a weight: the axis of its output channels."""
    if node.op_type == "MatMul":
        return {1: 1}
    if node.op_type == "Gemm":
        transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        return {1: 0 if transposed else 1}
    return {"Conv": {1: 0}, "GRU": {1: 1, 2: 1}}.get(node.op_type, {})


def quantised(value: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """The integers, of the same shape, and one scale for each channel along `axis`; rounded to the nearest, -127 to 127."""
    others = tuple(dim for dim in range(value.ndim) if dim != axis)
    largest = np.abs(value).max(axis=others, keepdims=True)
    scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    integers = np.clip(np.rint(value / scale), -127, 127).astype(np.int8)
    return integers, scale.reshape(-1)
