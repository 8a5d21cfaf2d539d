"""How many labelled windows an encoder needs: a linear probe on n of each label, drawn from training subjects, several times."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import ParityError
from aura_edge_train.evaluation import metrics
from aura_edge_train.evaluation.intervals import Interval, over_groups
from aura_edge_train.evaluation.probes import Labelled, fit_linear

SHOTS = (1, 2, 5, 10, 20)
DRAWS = 10
STRENGTH = 100.0
"""Inverse penalty: with so few windows, validation subjects would know more than what is trained on, so nothing is chosen on them."""


class FewShotScore(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Answers of probes that saw `shots` windows of each label."""

    shots: int
    draws: int
    accuracy: float
    """Mean over draws ..."""
    macro_f1: float
    accuracy_interval: tuple[float, float] | None = None
    """... and the 95 % interval over draws and test subjects, both drawn again."""
    macro_f1_interval: tuple[float, float] | None = None


def few_shot(
    train: Labelled,
    test: Labelled,
    labels: Sequence[str],
    *,
    shots: Sequence[int] = SHOTS,
    draws: int = DRAWS,
    strength: float = STRENGTH,
    seed: int = 0,
) -> list[FewShotScore]:
    """One score per number of shots; a label with fewer windows than that gives all it has."""
    if draws < 1 or not shots or min(shots) < 1:
        raise ParityError(f"{draws} draws of {list(shots)} shots: expected at least one of each.")
    return [_scored(train, test, len(labels), count, draws, strength, seed) for count in shots]


def draw(labels: NDArray[np.int64], shots: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Rows of up to `shots` windows of each label, without repetition."""
    pools = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return np.concatenate([generator.choice(pool, min(shots, len(pool)), replace=False) for pool in pools])


def _scored(
    train: Labelled, test: Labelled, labels: int, shots: int, draws: int, strength: float, seed: int
) -> FewShotScore:
    drawn = []
    for number in range(draws):
        # Every draw has its seed: the first ten of twenty draws are the ten draws of before.
        rows = draw(train.labels, shots, np.random.default_rng([seed, shots, number]))
        chosen = Labelled(train.embeddings[rows], train.labels[rows], train.subjects[rows])
        probe, _ = fit_linear(chosen, strength, seed=seed)
        drawn.append(metrics.confusions(test.labels, probe.predict(test.embeddings), test.subjects, labels))
    of_draws = np.stack(drawn)  # (S, P, L, L)
    accuracy, macro = np.mean([metrics.measures(each.sum(0)) for each in of_draws], axis=0).tolist()
    ranges = _ranges(of_draws, seed) if min(of_draws.shape[:2]) > 1 else (None, None)
    return FewShotScore(shots, draws, accuracy, macro, *ranges)


def _ranges(of_draws: NDArray[np.int64], seed: int) -> tuple[Interval, Interval]:
    """Intervals over people, where for each resample of them the mean is over a resample of the draws."""
    draws, people = of_draws.shape[:2]
    generator = np.random.default_rng([seed, draws])

    def measured(drawn: NDArray[np.int64]) -> NDArray[np.float64]:
        again = np.bincount(generator.integers(draws, size=draws), minlength=draws)
        weights = again / draws
        kept = np.flatnonzero(again)
        found = [metrics.measures(np.tensordot(drawn, of_draws[one], 1)) for one in kept]
        mean: NDArray[np.float64] = weights[kept] @ np.array(found)
        return mean

    accuracy, macro = over_groups(people, measured, seed=seed)
    return accuracy, macro
