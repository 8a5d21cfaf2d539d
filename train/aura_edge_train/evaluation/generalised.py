"""Zero-shot among seen and unseen labels at once: what it is worth, and a calibration chosen without one window of an unseen activity.

An encoder pulls windows towards the sentences it was trained on, so that among all labels at once an unseen one never wins. Calibrated
stacking (Chao et al. 2016, arXiv:1605.04253) takes a constant from the scores of seen labels. How large it must be is learned from
pseudo-unseen labels: encoders trained without some of the seen labels answer validation subjects' windows of all seen labels (`Fold`), and
the constant that is best there on average is kept. Measures after Xian et al. 2018 (arXiv:1707.00600): accuracy is the mean over labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


class LabelCalibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Calibrated cosine of a label = gain * cosine + bias: plain data, for a manifest."""

    labels: tuple[str, ...]
    gain: tuple[float, ...]
    """Inverse temperature of each label's prototype, 1 on average."""
    bias: tuple[float, ...]
    method: str
    """`none`, `centred` or `standardised`: what was done to prototypes before the seen-bias."""
    seen_bias: float
    """What `bias` takes from each seen label."""
    harmonic_mean: float
    """Mean over the folds that it was chosen on."""

    def apply(self, cosines: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Calibrated (W, L) cosines."""
        calibrated: NDArray[np.float64] = cosines * np.array(self.gain) + np.array(self.bias)
        return calibrated


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Answers of an encoder that was trained without some of the labels."""

    cosines: NDArray[np.floating[Any]]
    """(W, L) of validation subjects' windows."""
    truth: NDArray[np.int64]
    """(W,) row of the right label."""
    unseen: NDArray[np.bool_]
    """(L,) labels that this encoder was trained without."""


def calibrate(
    folds: Sequence[Fold], final: Fold, labels: Sequence[str], *, methods: Sequence[str] = ("none", "standardised")
) -> LabelCalibration:
    """The method and the seen-bias of best harmonic mean over `folds`, applied to the encoder of `final`.

    The folds' labels are seen ones only, some of them left out in turn (pseudo-unseen); `final` has all `labels`, and windows of seen labels
    only: validation subjects again. Prototype statistics of `final` come from those windows, so that nobody's unseen activity is looked at.
    """
    _check(final)
    if len(labels) != final.cosines.shape[1]:
        raise ParityError(f"{len(labels)} labels for cosines of shape {final.cosines.shape}: expected one per column.")
    if leaked := int(final.unseen[final.truth].sum()):
        raise ParityError(
            f"{leaked} windows of unseen labels among those a calibration is chosen on: leave them out, or it is no zero-shot."
        )
    best = max(((method, *_choose(folds, method)) for method in methods), key=lambda each: each[2])
    method, seen_bias, harmonic = best
    gain, offset = prototype_statistics(final, method)
    bias = offset - seen_bias * ~final.unseen
    return LabelCalibration(tuple(labels), tuple(gain.tolist()), tuple(bias.tolist()), method, seen_bias, harmonic)


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


def prototype_statistics(fold: Fold, method: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(L,) gain and (L,) offset that bring the cosines of windows with labels not their own to one mean, and one deviation.

    Some sentences are near to everything. What a label scores on windows of others (impostors: z-normalisation, Auckenthaler et al. 2000) can be
    known for unseen labels as for seen ones. `centred` moves its mean, `standardised` scales its deviation as well; gains are 1 on average.
    """
    count = fold.cosines.shape[1]
    if method == "none":
        return np.ones(count), np.zeros(count)
    if method not in ("centred", "standardised"):
        raise ParityError(f"method {method!r}: expected none, centred or standardised.")
    foreign = np.ma.masked_array(fold.cosines.astype(np.float64), fold.truth[:, None] == np.arange(count))
    if (foreign.count(axis=0) < 2).any():
        raise ParityError(
            "a label has no windows of other labels to be compared with: expected windows of at least two."
        )
    mean, deviation = np.asarray(foreign.mean(0)), np.asarray(foreign.std(0))
    gain = np.ones(count)
    if method == "standardised":
        gain = 1 / np.maximum(deviation, 1e-6)
        gain /= gain.mean()
    return gain, mean.mean() - gain * mean


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


def ensemble(
    windows: NDArray[np.float32], prompts: Mapping[str, NDArray[np.float32]], temperature: float | None = None
) -> NDArray[np.float64]:
    """(W, L) scores of (W, D) windows with labels of several prompts each, (K, D) unit vectors.

    With a temperature the soft maximum over a label's prompts, t * log mean exp(cosine / t): near 0 the best prompt decides, near infinity
    all alike. Without it the cosine with the prompts' mean direction, which is what a prototype is (Radford et al. 2021, arXiv:2103.00020).
    """
    columns = []
    for vectors in prompts.values():
        if temperature is None:
            mean = vectors.mean(0, dtype=np.float64)
            columns.append(windows @ (mean / np.linalg.norm(mean)))
        else:
            powers = (windows @ vectors.T).astype(np.float64) / temperature
            highest = powers.max(1)
            columns.append(temperature * (highest + np.log(np.exp(powers - highest[:, None]).mean(1))))
    return np.stack(columns, axis=1)


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


def _choose(folds: Sequence[Fold], method: str) -> tuple[float, float]:
    calibrated = []
    for fold in folds:
        _check(fold)
        known = ~fold.unseen[fold.truth]  # as for the final encoder: no window of what is unseen
        gain, offset = prototype_statistics(Fold(fold.cosines[known], fold.truth[known], fold.unseen), method)
        calibrated.append(Fold(fold.cosines * gain + offset, fold.truth, fold.unseen))
    return seen_bias(calibrated)


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
