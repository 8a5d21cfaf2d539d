"""Sampling times out of arrival times: what a phone writes beside its samples is often when they were delivered, not when they were taken.

A sensor samples regularly; its deliveries come in bunches, with pauses of several periods and several samples in one millisecond. Read
as sampling times they would tear the signal apart. The regular clock behind them is found by least squares of arrival over sample count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PAUSE_NS = 500_000_000
"""A delivery this late is a pause in the recording, not a late bunch: the clock is fitted anew after it."""


def sampling_times(arrival_ns: NDArray[np.int64], nominal_rate_hz: float) -> NDArray[np.int64]:
    """Regular times (N,) behind non-decreasing arrival times (N,); one fit per stretch without a pause.

    A stretch of under a second is too short to measure its rate and gets the nominal one. Times that go back start a new stretch.
    """
    steps = np.diff(arrival_ns)
    breaks = np.flatnonzero((steps > PAUSE_NS) | (steps < -PAUSE_NS)) + 1
    return np.concatenate([_fit(part, nominal_rate_hz) for part in np.split(arrival_ns, breaks)] or [arrival_ns])


def _fit(arrival_ns: NDArray[np.int64], nominal_rate_hz: float) -> NDArray[np.int64]:
    if not len(arrival_ns):
        return arrival_ns
    count = np.arange(len(arrival_ns), dtype=np.float64)
    first_ns = int(arrival_ns[0])
    since_ns = (arrival_ns - first_ns).astype(np.float64)
    centred = count - count.mean()
    period_ns = 1e9 / nominal_rate_hz
    if len(arrival_ns) > nominal_rate_hz:
        period_ns = float(centred @ (since_ns - since_ns.mean()) / (centred @ centred))
    offset_ns = float(np.mean(since_ns - count * period_ns))
    times: NDArray[np.int64] = first_ns + np.rint(offset_ns + count * period_ns).astype(np.int64)
    return times
