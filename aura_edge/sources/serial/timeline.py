"""Counts and rates of boards: counters that start again, the true sampling rate, and a regular clock for boards that send no time."""

from __future__ import annotations

from collections import deque
from statistics import median

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
MOST_PHASE = 0.004
"""Largest change of a period for the sake of phase, relative."""
SLEW_PER_S = 0.01
MOST_SLEW, MOST_PHASE_SLEW = 0.002, 0.0025
"""How fast the period follows the rate, and largest changes from one piece to the next of the period and of what phase adds to it, relative."""
EARLY_NS = NS_PER_S // 10
"""Nothing arrives before it was made: an arrival earlier than expected by more shows that what was expected is wrong."""
BUNCH = 0.25
"""Samples that come in less than this of the time that they took were waiting: their arrival says nothing."""


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
        """None before two seconds. The median over pairs that lie half of what is remembered apart: a few wrong times do not move it."""
        marks = list(self._marks)
        if not marks or marks[-1][1] - marks[0][1] < METER_LEAST_S * NS_PER_S:
            return None
        pairs = zip(marks, marks[len(marks) // 2 :], strict=False)
        rate_hz = median(
            (last - first) * NS_PER_S / (last_ns - first_ns) for (first, first_ns), (last, last_ns) in pairs
        )
        return rate_hz if rate_hz > 0 else None


class SampleClock:
    """Regular times for samples without any: a period that follows their arrival, and a phase that is never revised.

    The first sample is at 0. Each time is given once, later than the one before; bunches of arrivals do not show.
    """

    def __init__(self, rate_hz: float) -> None:
        self.pauses = 0
        """How often the board was silent for longer than `PAUSE_NS`."""
        self._nominal_ns = self._period_ns = NS_PER_S / rate_hz
        self._phase = self._next_ns = self._start_ns = (
            0.0  # time of the next sample, and of the first since arrivals are counted
        )
        self._line, self._count, self._unheard = Line(RATE_MEMORY_S), 0, 0
        self._origin_ns = self._heard_ns = 0

    @property
    def rate_hz(self) -> float:
        """As it is believed now."""
        return NS_PER_S / self._period_ns

    def place(self, host_ns: int, count: int) -> NDArray[np.int64]:
        """Times of the next `count` samples, the last of which arrived at `host_ns`."""
        late_ns = host_ns - self._expected_ns(self._count + count)
        heard_after_ns = BUNCH * (self._unheard + count) * self._period_ns
        if not self._line.count or self._is_new(host_ns, late_ns, heard_after_ns):
            self._start(host_ns, count)
        elif late_ns > PAUSE_NS:
            self.pauses += 1
            self._next_ns += late_ns
            self._start(host_ns, count)
        self._count += count
        self._unheard += count
        if host_ns - self._heard_ns >= BUNCH * self._unheard * self._period_ns:
            x_s = self._count * self._nominal_ns / NS_PER_S
            self._line.add(x_s, (host_ns - self._origin_ns) / NS_PER_S - x_s)
            self._heard_ns, self._unheard = host_ns, 0
        step_ns = self._step_ns(count)
        times: NDArray[np.int64] = np.rint(self._next_ns + np.arange(count) * step_ns).astype(np.int64)
        self._next_ns += count * step_ns
        return times

    def _start(self, host_ns: int, count: int) -> None:
        """Count arrivals from these samples on; the rate stays as it is believed."""
        self._line, self._count, self._unheard = Line(RATE_MEMORY_S), 0, 0
        self._start_ns, self._nominal_ns = self._next_ns, self._period_ns
        self._origin_ns = self._heard_ns = host_ns - round(count * self._period_ns)

    def _is_new(self, host_ns: int, late_ns: float, heard_after_ns: float) -> bool:
        """Whether arrivals before say nothing of this one: the host's clock was set back, or those were what a stall held up."""
        if host_ns < self._heard_ns - PAUSE_NS:
            return True
        early_ns = max(EARLY_NS, 4 * NS_PER_S * self._line.spread(self._line.slope(RATE_SPREAD)))
        return late_ns < -early_ns and host_ns - self._heard_ns >= heard_after_ns

    def _step_ns(self, count: int) -> float:
        """From one of the next `count` samples to the next."""
        wanted_ns = self._nominal_ns * (1 + self._line.slope(RATE_SPREAD))
        slew_ns = min(MOST_SLEW, SLEW_PER_S * count * self._period_ns / NS_PER_S) * self._period_ns
        self._period_ns += min(max(wanted_ns - self._period_ns, -slew_ns), slew_ns)
        # Where the last sample should lie, by the arrivals so far, against where it would.
        behind_ns = (self._expected_ns(self._count) - self._origin_ns) - (
            self._next_ns - self._start_ns + count * self._period_ns
        )
        wanted = min(max(behind_ns / (PHASE_S * NS_PER_S), -MOST_PHASE), MOST_PHASE)
        self._phase += min(max(wanted - self._phase, -MOST_PHASE_SLEW), MOST_PHASE_SLEW)
        return self._period_ns * (1 + self._phase)

    def _expected_ns(self, count: int) -> float:
        """When the sample before number `count` should arrive, by those so far."""
        x_s = count * self._nominal_ns / NS_PER_S
        y_s = self._line.mean_y + self._line.slope(RATE_SPREAD) * (x_s - self._line.mean_x)
        return self._origin_ns + (x_s + y_s) * NS_PER_S
