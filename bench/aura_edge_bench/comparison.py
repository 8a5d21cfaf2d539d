"""From durations to a statement: percentiles, and a ratio of medians that names a winner only where the data do."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
CONFIDENCE = 0.95


class Latency(msgspec.Struct, frozen=True):
    """Distribution of the duration of one call."""

    min_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


class Comparison(msgspec.Struct, frozen=True):
    """How two engines of the same rounds stand to each other."""

    engine: str
    against: str
    ratio: float
    """Median of `against` over median of `engine`: above 1, `engine` is the faster."""
    interval: tuple[float, float]
    confidence: float
    winner: str | None
    """None when the interval includes 1: these rounds do not tell."""


def summarise(duration_ms: NDArray[np.float64]) -> Latency:
    """Percentiles of (rounds,) durations."""
    return Latency(*(float(value) for value in np.quantile(duration_ms, [0, 0.5, 0.9, 0.99, 1])))


def compare(
    engine: str,
    against: str,
    duration_ms: dict[str, NDArray[np.float64]],
    *,
    seed: int = 0,
) -> Comparison:
    """Ratio of medians with a percentile interval from a moving block bootstrap over rounds (Künsch 1989, Ann. Statist. 17(3)).

    Both engines are drawn from the same rounds, for they shared what the machine did meanwhile; blocks, because neighbouring rounds are alike.
    """
    own, other = duration_ms[engine], duration_ms[against]
    rounds = len(own)
    block = max(1, round(rounds ** (1 / 3)))
    rng = np.random.default_rng(seed)
    ratios = np.empty(RESAMPLES)
    for number in range(RESAMPLES):
        starts = rng.integers(0, rounds - block + 1, -(-rounds // block))
        rows = (starts[:, None] + np.arange(block)).ravel()[:rounds]
        ratios[number] = np.median(other[rows]) / np.median(own[rows])
    tail = (1 - CONFIDENCE) / 2
    low, high = (float(value) for value in np.quantile(ratios, [tail, 1 - tail]))
    winner = engine if low > 1 else against if high < 1 else None
    ratio = float(np.median(other) / np.median(own))
    return Comparison(engine, against, ratio, (low, high), CONFIDENCE, winner)
