"""Two forms of one model, compared on real windows: a pass carries its numbers, a failure is an error.

Every condition is written as `not (found <= accepted)`, so that NaN fails, and a comparison of nothing is a failure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import ParityError
from aura_edge.prototypes import Prototypes


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What counts as the same model."""

    max_abs: float = 1e-4
    """Largest difference in any component of any embedding."""
    cosine_loss: float = 1e-5
    """How far the cosine of any pair may be below 1."""
    norm: float = 1e-4
    """How far the length of any embedding may be from 1."""
    disagreement: float = 0.001
    """Largest share of windows whose best label differs, in any prototype set: two labels may be closer than rounding."""


FP32 = Tolerance()


@dataclass(frozen=True, slots=True)
class Parity:
    """What was measured."""

    windows: int
    cosine_min: float
    cosine_mean: float
    max_abs: float
    norm_error: float
    top1_agreement: dict[str, float]
    """By prototype set: share of windows with the same best label."""


def compare(
    reference: NDArray[np.float32],
    found: NDArray[np.float32],
    sets: Mapping[str, Prototypes],
    tolerance: Tolerance = FP32,
) -> Parity:
    """Compare embeddings (N, D) of the same windows. Raises `ParityError` with the numbers when they are not of one model."""
    if reference.shape != found.shape or reference.ndim != 2:
        raise ParityError(f"embeddings of shape {found.shape}, expected {reference.shape}: another model was exported.")
    if reference.size == 0 or not sets:
        raise ParityError(
            f"nothing was compared: {len(reference)} windows and {len(sets)} prototype sets. Give real windows with --windows."
        )
    with np.errstate(all="ignore"):  # what overflows or is no number fails below
        parity = _measure(reference, found, sets)
    agreement = min(parity.top1_agreement.values())
    checks = {
        f"largest difference {parity.max_abs:.3g}, accepted {tolerance.max_abs:.3g}": (
            parity.max_abs <= tolerance.max_abs
        ),
        f"least cosine {parity.cosine_min:.8f}, accepted {1 - tolerance.cosine_loss:.8f}": (
            1 - parity.cosine_min <= tolerance.cosine_loss
        ),
        f"embeddings {parity.norm_error:.3g} from unit length, accepted {tolerance.norm:.3g}": (
            parity.norm_error <= tolerance.norm
        ),
        f"{1 - agreement:.2%} of the windows get another label, accepted {tolerance.disagreement:.2%}": (
            agreement >= 1 - tolerance.disagreement
        ),
    }
    failed = [text for text, passed in checks.items() if not passed]
    if failed:
        raise ParityError(
            f"the exported model is not the trained one, over {len(reference)} windows: {'; '.join(failed)}. Nothing was written. "
            "Try another version of torch or onnxscript, or report the encoder."
        )
    return parity


def _measure(reference: NDArray[np.float32], found: NDArray[np.float32], sets: Mapping[str, Prototypes]) -> Parity:
    a, b = reference.astype(np.float64), found.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    cosine = np.sum(a * b, axis=1) / (lengths[0] * lengths[1])
    return Parity(
        windows=len(reference),
        cosine_min=float(np.min(cosine)),
        cosine_mean=float(np.mean(cosine)),
        max_abs=float(np.max(np.abs(a - b))),
        norm_error=float(np.max(np.abs(np.stack(lengths) - 1))),
        top1_agreement={
            name: float(np.mean(known.scores(reference).argmax(axis=1) == known.scores(found).argmax(axis=1)))
            for name, known in sets.items()
        },
    )
