"""Which layer is to blame where two forms of a model differ: the first, in the order of computation, whose output is another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import require
from aura_edge_export import layers
from aura_edge_export.sessions import values, with_outputs

AT_ONCE = 24
"""Layers whose outputs are held in memory together."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where a form of a model leaves the reference."""

    layer: str
    cosine: float
    """Of this layer's output, over all windows together; NaN where a value is not finite."""

    def __str__(self) -> str:
        if np.isnan(self.cosine):
            return f"{self.layer} gives values that are not finite"
        return f"{self.layer}, whose output has cosine {self.cosine:.6f} with the trained one"


def first_divergence(
    reference: bytes, found: bytes, windows: NDArray[np.float32], *, cosine: float = 0.999, as_written: bool = False
) -> Divergence | None:
    """The first layer of `found` whose output has less than `cosine` with that of `reference`; where there is none, the layer that loses
    most. None where the two share no layer. The graphs name their values alike."""
    shared = _shared(reference, found)
    worst: Divergence | None = None
    for at in range(0, len(shared), AT_ONCE):
        part = dict(list(shared.items())[at : at + AT_ONCE])
        names = list(part.values())
        exact = values(with_outputs(reference, names), windows, names)
        other = values(with_outputs(found, names), windows, names, as_written=as_written)
        for layer, a, b in zip(part, exact, other, strict=True):
            near = Divergence(layer, _cosine(a, b))
            # Written so that NaN counts.
            if not near.cosine >= cosine:
                return near
            if worst is None or near.cosine < worst.cosine:
                worst = near
    return worst


def _shared(reference: bytes, found: bytes) -> dict[str, str]:
    """By layer of the reference: its last value, where the other graph computes a float of that name too."""
    onnx = require("onnx", extra="export")
    first, second = onnx.load_from_string(reference), onnx.load_from_string(found)
    floats = _floats(first) & _floats(second)
    return {layer: name for layer, name in layers.last_values(first.graph).items() if name in floats}


def _floats(model: object) -> set[str]:
    onnx = require("onnx", extra="export")
    kinds = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    inferred = onnx.shape_inference.infer_shapes(model).graph
    known = (*inferred.value_info, *inferred.output)
    return {value.name for value in known if value.type.tensor_type.elem_type in kinds}


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    wide, other = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    with np.errstate(all="ignore"):
        length = np.sqrt(wide @ wide) * np.sqrt(other @ other)
        return float(wide @ other / length) if length != 0 else float(np.array_equal(wide, other))
