"""Percentiles in fixed memory."""

from __future__ import annotations

import numpy as np
import pytest

from aura_edge.latency import Histogram


def test_percentiles_are_right_within_two_percent() -> None:
    """Against numpy on a heavy-tailed sample."""
    sample = (np.random.default_rng(0).lognormal(13, 1.5, 20_000)).astype(np.int64)
    histogram = Histogram()
    for duration in sample.tolist():
        histogram.add(duration)
    summary = histogram.summary()
    assert summary.count == 20_000
    assert summary.p50_ms == pytest.approx(np.percentile(sample, 50) / 1e6, rel=0.02)
    assert summary.p99_ms == pytest.approx(np.percentile(sample, 99) / 1e6, rel=0.02)


def test_nothing_measured_is_zero_and_extremes_are_kept() -> None:
    """No division by nothing; zero and hours fall into the outer buckets."""
    histogram = Histogram()
    assert histogram.summary().p99_ms == 0.0
    histogram.add(0)
    histogram.add(10**16)
    assert histogram.summary().count == 2
