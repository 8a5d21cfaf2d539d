"""One step of a GRU (Cho et al. 2014, arXiv:1406.1078) with every result rounded to FP16, as the body of an ONNX `Scan`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def gru_body(onnx: Any, recurrent: NDArray[np.float32], biases: NDArray[np.float32], size: int) -> Any:
    """State (B, size) and the input's part of the gates (B, 3 * size) to the next state, twice: to go on with, and to keep.

    `recurrent` is (size, 3 * size) and `biases` (3 * size,), in ONNX's order: update, reset, hidden.
    """
    helper, proto = onnx.helper, onnx.TensorProto
    nodes: list[Any] = []

    def op(kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"step.{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [f"{name}.exact"], **attributes))
        nodes.append(helper.make_node("Cast", [f"{name}.exact"], [f"{name}.narrow"], to=proto.FLOAT16))
        nodes.append(helper.make_node("Cast", [f"{name}.narrow"], [name], to=proto.FLOAT))
        return name

    def thirds(name: str) -> list[str]:
        parts = [f"{name}.{part}" for part in ("update", "reset", "hidden")]
        nodes.append(helper.make_node("Split", [name], parts, axis=1, num_outputs=3))
        return parts

    own = op("Add", op("MatMul", "state", "recurrent"), "biases")
    (given_update, given_reset, given_hidden), (update, reset, hidden) = thirds("gates"), thirds(own)
    z = op("Sigmoid", op("Add", given_update, update))
    r = op("Sigmoid", op("Add", given_reset, reset))
    new = op("Tanh", op("Add", given_hidden, op("Mul", r, hidden)))
    following = op("Add", op("Mul", op("Sub", "one", z), new), op("Mul", z, "state"))
    nodes.extend(helper.make_node("Identity", [following], [name]) for name in ("next", "kept"))
    shape = ["batch", size]
    return helper.make_graph(
        nodes,
        "step",
        [
            helper.make_tensor_value_info("state", proto.FLOAT, shape),
            helper.make_tensor_value_info("gates", proto.FLOAT, ["batch", 3 * size]),
        ],
        [helper.make_tensor_value_info(name, proto.FLOAT, shape) for name in ("next", "kept")],
        [
            onnx.numpy_helper.from_array(np.ascontiguousarray(recurrent), "recurrent"),
            onnx.numpy_helper.from_array(np.ascontiguousarray(biases), "biases"),
            onnx.numpy_helper.from_array(np.ones(1, np.float32), "one"),
        ],
    )
