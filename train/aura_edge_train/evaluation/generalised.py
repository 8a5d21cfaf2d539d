"""Zero-shot among seen and unseen labels at once: what it is worth, and a calibration chosen without one window of an unseen activity.

An encoder pulls windows towards the sentences it was trained on, so that among all labels at once an unseen one never wins. Calibrated
stacking (Chao et al. 2016, arXiv:1605.04253) takes a constant from the scores of seen labels. How large it must be is learned from
pseudo-unseen labels: encoders trained without some of the seen labels answer validation subjects' windows of all seen labels (`Fold`), and
the constant that is best there on average is kept. Measures after Xian et al. 2018 (arXiv:1707.00600): accuracy is the mean over labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import ParityError
from aura_edge_train.evaluation.intervals import over_groups

STEPS = 2001
"""Seen-biases tried, evenly between the smallest and the largest lead that any window gives the seen labels."""


class GeneralisedScore(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Answers among all labels, to windows of seen and of unseen ones."""

    seen: float
    """Accuracy on windows of seen labels, mean over labels ..."""
    unseen: float
    """... and on those of unseen labels."""
    harmonic_mean: float
    unseen_alone: float
    """Accuracy on windows of unseen labels when only unseen labels may be answered."""
    ausuc: float
    """Area under seen against unseen accuracy for every seen-bias: what no choice of the bias changes."""
    seen_interval: tuple[float, float] | None = None
    unseen_interval: tuple[float, float] | None = None
    harmonic_mean_interval: tuple[float, float] | None = None
    """95 % intervals over groups drawn again."""


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Answers of an encoder that was trained without some of the labels."""

    cosines: NDArray[np.floating[Any]]
    """(W, L) of validation subjects' windows."""
    truth: NDArray[np.int64]
    """(W,) row of the right label."""
    unseen: NDArray[np.bool_]
    """(L,) labels that this encoder was trained without."""


def seen_bias(folds: Sequence[Fold], *, per_label: bool = True) -> tuple[float, float]:
    """The constant to take from seen labels, and the harmonic mean that it reaches on average over `folds`.

    Where several are best, the middle one: the others lie next to windows that would change sides.
    """
    if not folds:
        raise ParityError(
            "no fold to choose a seen-bias on: expected at least one encoder trained without some labels."
        )
    curves = [_Curve.of(fold, per_label) for fold in folds]
    leads = np.concatenate([curve.leads for curve in curves])
    tried = np.linspace(leads.min() - 1e-6, leads.max() + 1e-6, STEPS)
    harmonic = np.mean([harmonic_mean(*curve.at(tried)) for curve in curves], axis=0)
    best = np.flatnonzero(harmonic >= harmonic.max() - 1e-12)
    chosen = best[len(best) // 2]
    return float(tried[chosen]), float(harmonic[chosen])


def score(fold: Fold, *, groups: NDArray[Any] | None = None, per_label: bool = True, seed: int = 0) -> GeneralisedScore:
    """Measure the answers in `fold`, calibrated or not; `groups` (W,) tells whose each window is.

    `per_label` takes accuracies as means over labels (Xian et al.); without it every window counts the same.
    """
    curve = _Curve.of(fold, per_label)
    seen, unseen = (float(value[0]) for value in curve.at(np.zeros(1)))
    whole = GeneralisedScore(
        seen, unseen, float(harmonic_mean(seen, unseen)), float(curve.unseen_hit @ curve.weights), curve.area()
    )
    names, of = (None, None) if groups is None else np.unique(groups, return_inverse=True)
    if names is None or of is None or len(names) < 2:
        return whole
    right = np.where(curve.leads >= 0, curve.seen_hit, curve.unseen_hit)
    there = np.stack([np.bincount(fold.truth[of == g], minlength=len(fold.unseen)) for g in range(len(names))])
    hits = np.stack([np.bincount(fold.truth[(of == g) & right], minlength=len(fold.unseen)) for g in range(len(names))])

    def measured(drawn: NDArray[np.int64]) -> list[float]:
        windows, found = drawn @ there, drawn @ hits
        both = [_accuracy(found[rows], windows[rows], per_label) for rows in (~fold.unseen, fold.unseen)]
        return [*both, float(harmonic_mean(*both))]

    ranges = over_groups(len(names), measured, seed=seed)
    return msgspec.structs.replace(
        whole, seen_interval=ranges[0], unseen_interval=ranges[1], harmonic_mean_interval=ranges[2]
    )


def harmonic_mean(seen: Any, unseen: Any) -> Any:
    """2 s u / (s + u), 0 where both are 0, element by element."""
    total = np.asarray(seen) + np.asarray(unseen)
    return 2 * np.asarray(seen) * np.asarray(unseen) / np.where(total > 0, total, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    """What every seen-bias gives: a window is answered with a seen label while their lead over the unseen ones is at least the bias."""

    leads: NDArray[np.float64]
    seen_hit: NDArray[np.bool_]
    """(W,) right if a seen label is answered ..."""
    unseen_hit: NDArray[np.bool_]
    """... and if an unseen one is."""
    weights: NDArray[np.float64]
    """(W,) share of each window in the accuracy of its side."""

    @staticmethod
    def of(fold: Fold, per_label: bool) -> _Curve:
        _check(fold)
        of_unseen = fold.unseen[fold.truth]
        if of_unseen.all() or not of_unseen.any():
            raise ParityError("windows of seen labels only, or of unseen ones only: expected some of both.")
        seen, unseen = (np.where(allowed, fold.cosines, -np.inf) for allowed in (~fold.unseen, fold.unseen))
        windows_of = np.bincount(fold.truth, minlength=len(fold.unseen))
        sides = np.where(of_unseen, of_unseen.sum(), (~of_unseen).sum())
        kinds = np.where(of_unseen, (windows_of[fold.unseen] > 0).sum(), (windows_of[~fold.unseen] > 0).sum())
        return _Curve(
            seen.max(1) - unseen.max(1),
            seen.argmax(1) == fold.truth,
            unseen.argmax(1) == fold.truth,
            1 / (windows_of[fold.truth] * kinds) if per_label else 1 / sides,
        )

    def at(self, biases: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Seen and unseen accuracy at each bias."""
        order = np.argsort(self.leads, kind="stable")
        below = np.searchsorted(self.leads[order], biases, "left")
        seen, unseen = (
            np.concatenate([[0.0], np.cumsum((hit * self.weights)[order])]) for hit in (self.seen_hit, self.unseen_hit)
        )
        return seen[-1] - seen[below], unseen[below]

    def area(self) -> float:
        """Under seen accuracy against unseen accuracy, by trapezoids over all biases that change an answer."""
        places = np.unique(self.leads)
        seen, unseen = self.at(np.append(places, np.inf))
        return float(np.sum(np.diff(unseen) * (seen[1:] + seen[:-1]) / 2))


def _accuracy(hits: NDArray[np.int64], windows: NDArray[np.int64], per_label: bool) -> float:
    if not windows.sum():
        return float("nan")
    return float((hits / np.maximum(windows, 1))[windows > 0].mean() if per_label else hits.sum() / windows.sum())


def _check(fold: Fold) -> None:
    windows, labels = len(fold.truth), len(fold.unseen)
    if fold.cosines.shape != (windows, labels) or not windows:
        raise ParityError(
            f"cosines of shape {fold.cosines.shape} for {windows} windows and {labels} labels: expected ({windows}, {labels}), and a window."
        )
    if fold.unseen.all() or not fold.unseen.any():
        raise ParityError(
            f"{int(fold.unseen.sum())} of {labels} labels are unseen: expected some seen and some unseen."
        )
