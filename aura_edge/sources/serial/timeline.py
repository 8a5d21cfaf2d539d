"""Counts and rates of boards: counters that start again, the true sampling rate, and a regular clock for boards that send no time."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from aura_edge.sources.serial.clock_fit import Line
from aura_edge.types import NS_PER_S

METER_S, METER_LEAST_S = 30.0, 2.0
PAUSE_NS = NS_PER_S // 2
"""An arrival later than expected by more is a pause of the board, not a late bunch."""
RATE_MEMORY_S = 30.0
RATE_SPREAD = 0.02
"""The rate counted in the first seconds is right within this."""
PHASE_S = 2.0
"""A distance from the fitted arrivals is made up for over this time."""
MOST_PHASE, MOST_SLEW = 0.004, 0.0005
"""Largest change of a period for the sake of phase, and of the period itself from one piece to the next, relative."""


class Unwrapper:
    """A number that starts again from 0 after `modulus`, as one that goes on; small steps back are steps back."""

    def __init__(self, modulus: int | None) -> None:
        self._modulus = modulus
        self._last: int | None = None

    def __call__(self, number: int) -> int:
        if self._modulus is not None and self._last is not None:
            half = self._modulus // 2
            number = self._last + (number - self._last + half) % self._modulus - half
        self._last = number
        return number


class RateMeter:
    """True sampling rate in the device's own clock, over the last half minute; lost samples are counted with the others."""

    def __init__(self) -> None:
        self._marks: deque[tuple[int, int]] = deque()

    def observe(self, sequence: int, t_ns: int) -> None:
        """Sample number `sequence` was taken at `t_ns`."""
        if self._marks and t_ns - self._marks[-1][1] < NS_PER_S // 2:
            return
        self._marks.append((sequence, t_ns))
        while t_ns - self._marks[0][1] > METER_S * NS_PER_S:
            self._marks.popleft()

    @property
    def rate_hz(self) -> float | None:
        """None before two seconds."""
        if not self._marks:
            return None
        (first, first_ns), (last, last_ns) = self._marks[0], self._marks[-1]
        if last_ns - first_ns < METER_LEAST_S * NS_PER_S or last <= first:
            return None
        return (last - first) * NS_PER_S / (last_ns - first_ns)


class SampleClock:
    """Regular times for samples without any: a period that follows their arrival, and a phase that is never revised.

    The first sample is at 0. Each time is given once, later than the one before; bunches of arrivals do not show.
    """

    def __init__(self, rate_hz: float) -> None:
        self.pauses = 0
        """How often the board was silent for longer than `PAUSE_NS`."""
        self._nominal_ns = NS_PER_S / rate_hz
        self._period_ns = self._nominal_ns
        self._next_ns = self._start_ns = 0.0  # time of the next sample, and of the first since arrivals are counted
        self._origin_ns: int | None = None
        self._line, self._count = Line(RATE_MEMORY_S), 0

    @property
    def rate_hz(self) -> float:
        """As it is believed now."""
        return NS_PER_S / self._period_ns

    def place(self, host_ns: int, count: int) -> NDArray[np.int64]:
        """Times of the next `count` samples, the last of which arrived at `host_ns`."""
        if self._origin_ns is None:
            self._origin_ns = host_ns - round(count * self._nominal_ns)
        late_ns = host_ns - self._expected_ns(self._count + count)
        if self._line.count and late_ns > PAUSE_NS:
            self.pauses += 1
            self._next_ns += late_ns
            self._line, self._count, self._start_ns = Line(RATE_MEMORY_S), 0, self._next_ns
            self._origin_ns = host_ns - round(count * self._period_ns)
        self._count += count
        x_s = self._count * self._nominal_ns / NS_PER_S
        self._line.add(x_s, (host_ns - self._origin_ns) / NS_PER_S - x_s)
        wanted_ns = self._nominal_ns * (1 + self._line.slope(RATE_SPREAD))
        slew = MOST_SLEW * self._period_ns
        self._period_ns += float(np.clip(wanted_ns - self._period_ns, -slew, slew))
        # Where the last sample should lie, by the arrivals so far, against where it would.
        behind_ns = (self._expected_ns(self._count) - self._origin_ns) - (
            self._next_ns - self._start_ns + count * self._period_ns
        )
        step_ns = self._period_ns * (1 + float(np.clip(behind_ns / (PHASE_S * NS_PER_S), -MOST_PHASE, MOST_PHASE)))
        times: NDArray[np.int64] = np.rint(self._next_ns + np.arange(count) * step_ns).astype(np.int64)
        self._next_ns += count * step_ns
        return times

    def _expected_ns(self, count: int) -> float:
        """When the sample before number `count` should arrive, by those so far."""
        x_s = count * self._nominal_ns / NS_PER_S
        y_s = self._line.mean_y + self._line.slope(RATE_SPREAD) * (x_s - self._line.mean_x)
        return (self._origin_ns or 0) + (x_s + y_s) * NS_PER_S
