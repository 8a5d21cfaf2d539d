"""Zero-shot answers: the label whose prototype is nearest to a window, and the decisions that are set on validation subjects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import RecipeError
from aura_edge.manifest import DecisionSpec
from aura_edge_train.datasets import Split
from aura_edge_train.datasets.store import Store

BATCH = 256
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 1e-3, 1.0
KEPT_RIGHT = 0.95
"""Share of the right answers that must not become `unknown` by the margin ..."""
KEPT_BY_COSINE = 0.99
"""... and by the lowest cosine."""

Embed = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Cosines of every window of a split with every label of its data set."""

    cosines: NDArray[np.float32]
    """(W, L)."""
    truth: NDArray[np.int64]
    """(W,) row of the right label."""
    subjects: NDArray[np.str_]
    """(W,)."""

    @property
    def best(self) -> NDArray[np.int64]:
        """(W,) row of the nearest label."""
        nearest: NDArray[np.int64] = np.argmax(self.cosines, axis=1)
        return nearest

    def among(self, labels: NDArray[np.bool_]) -> Answers:
        """Those to windows of some of the labels (L,), with these alone to choose from, counted anew."""
        windows = labels[self.truth]
        row_of = np.cumsum(labels) - 1
        return Answers(self.cosines[windows][:, labels], row_of[self.truth[windows]], self.subjects[windows])


def answer(
    embed: Embed,
    prototypes: NDArray[np.float32],
    store: Store,
    split: Split,
    window_samples: int,
) -> Answers:
    """Ask an encoder about every window of a split."""
    starts = store.window_starts(split, window_samples)
    if not len(starts):
        raise RecipeError(
            f"{store.data_set.name}: no window of {window_samples} samples in split {split!r}; nothing to evaluate."
        )
    cosines = []
    for rows in _batches(len(starts)):
        cosines.append(embed(store.windows(starts[rows], window_samples)) @ prototypes.T)
    return Answers(np.concatenate(cosines), store.captions(starts, window_samples), store.subjects_at(starts))


class Calibration(msgspec.Struct, frozen=True):
    """How scores become labels, and what that does on the subjects it was set on."""

    decision: DecisionSpec
    right_kept: float
    """Share of the right answers that do not become `unknown`."""
    wrong_caught: float
    """Share of the wrong answers that do."""


def calibrate(answers: Mapping[str, Answers]) -> Calibration:
    """Set temperature, margin and lowest cosine on validation answers, by data set.

    The temperature minimises the negative log likelihood of the right labels, each data set counting alike (temperature scaling, Guo et al.
    2017, arXiv:1706.04599). The margin is the largest that turns at most 5 % of the right answers into `unknown`, the lowest cosine one that
    turns at most 1 % of them; for both the strictest data set decides.
    """
    temperature = _minimise(lambda t: float(np.mean([_nll(a, t) for a in answers.values()])))
    margins, cosines, wrong, right = [], [], [], []
    for each in answers.values():
        top = np.sort(_softmax(each.cosines, temperature), axis=1)
        lead, best, correct = top[:, -1] - top[:, -2], each.cosines.max(1), each.best == each.truth
        if not correct.any():
            raise RecipeError(
                "not one validation window was answered rightly: nothing can be calibrated. Train longer."
            )
        margins.append(float(np.quantile(lead[correct], 1 - KEPT_RIGHT, method="lower")))
        cosines.append(float(np.quantile(best[correct], 1 - KEPT_BY_COSINE, method="lower")))
        right.append((lead[correct], best[correct]))
        wrong.append((lead[~correct], best[~correct]))
    margin, cosine = min(margins), min(cosines)

    def unknown(pairs: list[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> float:
        flags = np.concatenate([(lead < margin) | (best < cosine) for lead, best in pairs])
        return float(flags.mean()) if len(flags) else 0.0

    return Calibration(
        DecisionSpec(temperature=temperature, unknown_margin=margin, unknown_cosine=cosine),
        1 - unknown(right),
        unknown(wrong),
    )


def _batches(count: int) -> Iterator[slice]:
    for start in range(0, count, BATCH):
        yield slice(start, start + BATCH)


def _softmax(cosines: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    powers = np.exp((cosines - cosines.max(1, keepdims=True)).astype(np.float64) / temperature)
    shares: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
    return shares


def _nll(answers: Answers, temperature: float) -> float:
    right = _softmax(answers.cosines, temperature)[np.arange(len(answers.truth)), answers.truth]
    return float(-np.log(np.maximum(right, 1e-12)).mean())


def _minimise(cost: Callable[[float], float]) -> float:
    """The temperature of lowest cost, by golden section over its logarithm: the cost has one minimum there."""
    golden = (5**0.5 - 1) / 2
    low, high = np.log(LOWEST_TEMPERATURE), np.log(HIGHEST_TEMPERATURE)
    while high - low > 1e-3:
        left, right = high - golden * (high - low), low + golden * (high - low)
        if cost(float(np.exp(left))) < cost(float(np.exp(right))):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))
