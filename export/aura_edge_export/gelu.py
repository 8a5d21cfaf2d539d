"""GELU in the form that engines recognise and run as one kernel.

torch's exporter writes x * (0.5 * (1 + erf(x / sqrt 2))); onnxruntime looks for (x * (1 + erf(x / sqrt 2))) * 0.5. A product with 0.5 is exact,
so the two give the same bits. GELU: Hendrycks and Gimpel 2016, arXiv:1606.08415.
"""

from __future__ import annotations

from typing import Any

from aura_edge.errors import require


def halve_last(model: Any) -> int:
    """Bring each GELU of the graph into that form, in place; give how many there were."""
    onnx = require("onnx", extra="export")
    graph = model.graph
    halves = {
        tensor.name for tensor in graph.initializer if not tensor.dims and onnx.numpy_helper.to_array(tensor) == 0.5
    }
    makers = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found = 0
    for outer in graph.node:
        if outer.op_type != "Mul":
            continue
        for place in (0, 1):
            inner = makers.get(outer.input[place])
            if inner is None or inner.op_type != "Mul" or len(readers[inner.output[0]]) != 1:
                continue
            constant = [name for name in inner.input if name in halves]
            rest = [name for name in inner.input if name not in halves]
            shifted = makers.get(rest[0]) if len(constant) == 1 else None
            if shifted is None or shifted.op_type != "Add" or not _adds_erf(shifted, makers):
                continue
            x = outer.input[1 - place]
            inner.input[:] = [x, rest[0]]
            outer.input[:] = [inner.output[0], constant[0]]
            found += 1
            break
    return found


def _adds_erf(node: Any, makers: dict[str, Any]) -> bool:
    return any(name in makers and makers[name].op_type == "Erf" for name in node.input)
