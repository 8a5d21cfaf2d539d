"""Compute time by stage, in memory that does not grow with the stream."""

from __future__ import annotations

import math

import numpy as np

from aura_edge.types import StageLatency

FLOOR_NS = 100
"""Shorter than any stage: everything below falls into the first bucket."""
RATIO = 1.02
"""Buckets grow by this: percentiles are right within 1 %."""
BUCKETS = 1200
"""Up to half an hour."""


class Histogram:
    """Counts durations in logarithmic buckets."""

    def __init__(self) -> None:
        self._counts = np.zeros(BUCKETS, np.int64)

    def add(self, duration_ns: int) -> None:
        bucket = int(math.log(max(duration_ns, FLOOR_NS) / FLOOR_NS) / math.log(RATIO))
        self._counts[min(bucket, BUCKETS - 1)] += 1

    def summary(self) -> StageLatency:
        """Median and 99th percentile; zero where nothing was measured."""
        total = int(self._counts.sum())
        return StageLatency(self._percentile_ms(0.50, total), self._percentile_ms(0.99, total), total)

    def _percentile_ms(self, share: float, total: int) -> float:
        if not total:
            return 0.0
        bucket = int(np.searchsorted(np.cumsum(self._counts), math.ceil(share * total)))
        return float(FLOOR_NS * RATIO ** (bucket + 0.5) / 1e6)
