"""Two forms of one model, compared on real windows: a pass carries its numbers, a failure is an error.

Every condition is written as `not (found <= accepted)`, so that NaN fails, and a comparison of nothing is a failure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
    accuracy_loss: float = 0.005
    """How much of the labelled windows may be recognised less often, in any prototype set."""


FP32 = Tolerance()
FP16 = Tolerance(max_abs=0.03, cosine_loss=1e-3, disagreement=0.005)
INT8 = Tolerance(max_abs=0.1, cosine_loss=0.02, disagreement=0.005)
"""What rounding to 8 bits does to a vector matters as far as it changes answers."""


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
    rank_correlation: dict[str, float]
    """By prototype set: Spearman's, of each window's labels ordered by their scores, and the mean over windows."""
    accuracy: dict[str, float] = field(default_factory=dict)
    """By prototype set: share of its labelled windows that get their own label; none where none are labelled."""
    accuracy_of_reference: dict[str, float] = field(default_factory=dict)
    """The same of what it is compared with."""


def compare(
    reference: NDArray[np.float32],
    found: NDArray[np.float32],
    sets: Mapping[str, Prototypes],
    tolerance: Tolerance = FP32,
    *,
    captions: Mapping[str, NDArray[np.int64]] | None = None,
) -> Parity:
    """Compare embeddings (N, D) of the same windows. Raises `ParityError` with the numbers when they are not of one model."""
    parity = measure(reference, found, sets, captions or {})
    if failed := faults(parity, tolerance):
        raise ParityError(
            f"the exported model is not the trained one, over {len(reference)} windows: {'; '.join(failed)}. Nothing was written. "
            "Try another version of torch or onnxscript, or report the encoder."
        )
    return parity


def measure(
    reference: NDArray[np.float32],
    found: NDArray[np.float32],
    sets: Mapping[str, Prototypes],
    captions: Mapping[str, NDArray[np.int64]],
) -> Parity:
    """The numbers of embeddings (N, D) of the same windows; `captions` has by prototype set the label (N,) of each window, -1 for none.

    Raises `ParityError` where nothing can be compared.
    """
    if reference.shape != found.shape or reference.ndim != 2:
        raise ParityError(f"embeddings of shape {found.shape}, expected {reference.shape}: another model was exported.")
    if reference.size == 0 or not sets:
        raise ParityError(
            f"nothing was compared: {len(reference)} windows and {len(sets)} prototype sets. Give real windows with --windows."
        )
    with np.errstate(all="ignore"):  # what overflows or is no number is a fault
        return _measure(reference, found, sets, captions)


def faults(parity: Parity, tolerance: Tolerance) -> list[str]:
    """What is beyond tolerance, with its number; empty where nothing is."""
    agreement = min(parity.top1_agreement.values())
    lost = max((parity.accuracy_of_reference[name] - found for name, found in parity.accuracy.items()), default=0.0)
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
        f"{lost:.2%} of the labelled windows are recognised less, accepted {tolerance.accuracy_loss:.2%}": (
            lost <= tolerance.accuracy_loss
        ),
    }
    return [text for text, passed in checks.items() if not passed]


def _measure(
    reference: NDArray[np.float32],
    found: NDArray[np.float32],
    sets: Mapping[str, Prototypes],
    captions: Mapping[str, NDArray[np.int64]],
) -> Parity:
    a, b = reference.astype(np.float64), found.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    cosine = np.sum(a * b, axis=1) / (lengths[0] * lengths[1])
    agreement, correlation, accuracy, accuracy_of_reference = {}, {}, {}, {}
    for name, known in sets.items():
        before, after = known.scores(reference), known.scores(found)
        best = before.argmax(axis=1), after.argmax(axis=1)
        agreement[name] = float(np.mean(best[0] == best[1]))
        correlation[name] = _spearman(before, after)
        labelled = captions[name] >= 0 if name in captions else np.zeros(len(a), np.bool_)
        if labelled.any():
            accuracy_of_reference[name], accuracy[name] = (
                float(np.mean((each == captions[name])[labelled])) for each in best
            )
    return Parity(
        windows=len(reference),
        cosine_min=float(np.min(cosine)),
        cosine_mean=float(np.mean(cosine)),
        max_abs=float(np.max(np.abs(a - b))),
        norm_error=float(np.max(np.abs(np.stack(lengths) - 1))),
        top1_agreement=agreement,
        rank_correlation=correlation,
        accuracy=accuracy,
        accuracy_of_reference=accuracy_of_reference,
    )


def _spearman(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """Mean over rows of the correlation of ranks, in the form without ties; 1 where there is a single column."""
    labels = before.shape[1]
    if labels < 2:
        return 1.0
    ranks = [scores.argsort(axis=1, kind="stable").argsort(axis=1) for scores in (before, after)]
    squares = np.sum((ranks[0] - ranks[1]) ** 2, axis=1)
    return float(np.mean(1 - 6 * squares / (labels * (labels**2 - 1))))
