"""Intervals by drawing groups again: windows of one person are alike, so it is people who are drawn, not windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
CONFIDENCE = 0.95

Interval = tuple[float, float]
Statistic = Callable[[NDArray[np.int64]], Any]
"""How often each group was drawn, (P,) integers, to one number or several."""


def over_groups(groups: int, statistic: Statistic, *, seed: int = 0) -> list[Interval]:
    """95 % percentile interval of each number that `statistic` gives, `groups` groups being drawn with replacement.

    The cluster bootstrap (Davison and Hinkley 1997, Bootstrap Methods and their Application, 3.8). Numbers that are NaN for some draws, such
    as the recall of a class that nobody drawn has, are left out of their own quantiles.
    """
    generator = np.random.default_rng(seed)
    measured = np.array(
        [
            np.atleast_1d(statistic(np.bincount(generator.integers(groups, size=groups), minlength=groups)))
            for _ in range(RESAMPLES)
        ]
    )
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(measured, [tail, 1 - tail], axis=0)
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def of_means(values: NDArray[Any], groups: NDArray[Any], *, seed: int = 0) -> list[Interval] | None:
    """Interval of the mean of each column of (W, M) values; `groups` (W,) tells whose each row is.

    None where all are of one group: what other groups would give cannot be known from it.
    """
    names, of = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        return None
    sizes = np.bincount(of)
    sums = np.stack([np.bincount(of, weights=column) for column in np.asarray(values, np.float64).T], axis=1)
    return over_groups(len(names), lambda drawn: drawn @ sums / (drawn @ sizes), seed=seed)
