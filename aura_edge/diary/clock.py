"""When on the host's clock a stretch of device time was, and what the host's local time was then."""

from __future__ import annotations

import time
from dataclasses import dataclass

from aura_edge.types import NS_PER_S, Prediction

LONGEST_PAUSE_NS = 366 * 86400 * NS_PER_S
"""A gap in device time longer than this is a damaged time, and counts as none."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one window adds to the time that is covered: device time from `from_ns` to the window's `t1_ns`, all of it its label's."""

    from_ns: int
    t1_ns: int
    clock_ns: int
    """Host time (Unix) of `t1_ns`."""
    continues: bool
    """Whether it begins where the one before it ended."""

    def clock_at(self, t_ns: int) -> int:
        """Host time of a moment of device time near this share."""
        return self.clock_ns + t_ns - self.t1_ns


class DayClock:
    """Follows the windows of one run, in order.

    The rule of `classify` says what each one adds. Its host time is the fitted clock's where there is one. Elsewhere device time goes on from
    when the stretch's first window arrived, but never before the last stretch and the pause after it have passed: a recording that is played
    faster than life takes its own time from the moment at which it began.
    """

    def __init__(self) -> None:
        self.last: Share | None = None
        """The share of the last window."""
        self._last_t0_ns = 0

    def place(self, prediction: Prediction) -> Share:
        """The share of the next window."""
        t0_ns, t1_ns = prediction.t0_ns, prediction.t1_ns
        clock_ns = prediction.host_ns
        continues = False
        from_ns = t0_ns
        if (last := self.last) is not None:
            continues = self._last_t0_ns < t0_ns <= last.t1_ns
            if continues:
                from_ns, clock_ns = last.t1_ns, last.clock_at(t1_ns)
            else:
                pause_ns = t0_ns - last.t1_ns
                pause_ns = pause_ns if 0 < pause_ns <= LONGEST_PAUSE_NS else 0
                clock_ns = max(clock_ns, last.clock_ns + pause_ns + t1_ns - t0_ns)
        if prediction.host_t1_ns is not None:
            clock_ns = prediction.host_t1_ns
        self.last, self._last_t0_ns = Share(from_ns, t1_ns, clock_ns, continues), t0_ns
        return self.last


def utc_offset_s(unix_ns: int) -> int:
    """Seconds that local time on this host was ahead of UTC then; 0 for times outside of what it can tell."""
    try:
        return time.localtime(unix_ns / NS_PER_S).tm_gmtoff
    except (OverflowError, ValueError, OSError):
        return 0


def time_zone(unix_ns: int) -> str:
    """The name of this host's time zone then, as in CET."""
    try:
        return time.localtime(unix_ns / NS_PER_S).tm_zone
    except (OverflowError, ValueError, OSError):
        return "UTC"
