"""A device's clock as one that goes on: its wraps undone, and after a restart continued, at least a second later.

Times stay those of the device; only where it starts again from zero a constant is added from then on, so that nothing downstream sees time
go back. The host's clock is asked for two things that the device cannot tell: how long it was gone, and how often its counter wrapped while it was.
"""

from __future__ import annotations

from aura_edge.types import NS_PER_S

BACK_NS = NS_PER_S
"""A time that is back by more belongs to a clock that was started anew; by less, to a message that was overtaken on its way."""
RESTART_PAUSE_NS = NS_PER_S
"""Enough for the resampler to see that time is missing."""
LONG_SILENCE_NS = 60 * NS_PER_S
AHEAD_NS = 60 * NS_PER_S
"""A wrap that would put the device so far ahead of the time that went by on the host is none: the clock was started anew."""
LATEST_NS = 1 << 62
"""146 years: no clock of a board says more, and twice as much is more than fits where times are kept."""


class DeviceClock:
    """Follows one clock that starts again from 0 after `wrap_ns`, or never when that is None."""

    def __init__(self, wrap_ns: int | None) -> None:
        self.wraps = 0
        self.restarts = 0
        """Those found by times alone, and those told."""
        self._wrap_ns = wrap_ns
        self._now_ns: int | None = None  # the furthest that the device's clock was seen, wraps undone
        self._host_ns = 0  # the host's time then
        self._placed_ns: int | None = None  # the furthest of samples: those that waited are behind what was told since
        self._offset_ns = 0
        self._last_ns = 0  # the latest time given

    def place(self, host_ns: int, t_ns: int) -> int:
        """A time as it came, in a clock that goes on."""
        whole_ns = self._unwrapped(host_ns, t_ns)
        if self._placed_ns is not None and whole_ns < self._placed_ns - BACK_NS:
            self.restart(host_ns, t_ns)
            whole_ns = t_ns
        return self._seen(host_ns, whole_ns)

    def place_whole(self, t_ns: int) -> int:
        """A time that never wraps, in the same clock; nothing is learnt from it."""
        return t_ns + self._offset_ns

    def tell(self, host_ns: int, t_ns: int) -> bool:
        """The device says where its clock stands, all digits; True when that is more than a second back. What no clock says is passed over."""
        if t_ns >= LATEST_NS:
            return False
        if self._now_ns is not None and t_ns < self._now_ns - BACK_NS:
            return True
        if self._now_ns is None or t_ns > self._now_ns:
            self._now_ns, self._host_ns = t_ns, host_ns
        return False

    def ahead_ns(self, host_ns: int, t_ns: int) -> int | None:
        """By how much a time as it came is ahead of the furthest that was seen; None where none was."""
        return None if self._now_ns is None else self._unwrapped(host_ns, t_ns) - self._now_ns

    def silent_ns(self, host_ns: int) -> int:
        """How long ago that was on the host."""
        return host_ns - self._host_ns

    def restart(self, host_ns: int, t_ns: int) -> None:
        """The clock was started anew and stands at `t_ns`."""
        self.restarts += 1
        pause_ns = max(RESTART_PAUSE_NS, host_ns - self._host_ns)
        self._offset_ns = self._last_ns + pause_ns - t_ns
        self._now_ns, self._host_ns, self._placed_ns = t_ns, host_ns, t_ns

    def _unwrapped(self, host_ns: int, t_ns: int) -> int:
        if self._wrap_ns is None or self._now_ns is None:
            return t_ns
        silent_ns = host_ns - self._host_ns
        expected_ns = self._now_ns + (silent_ns if silent_ns > LONG_SILENCE_NS else 0)
        half = self._wrap_ns // 2
        whole_ns = expected_ns + (t_ns - expected_ns + half) % self._wrap_ns - half
        wrapped = whole_ns // self._wrap_ns > self._now_ns // self._wrap_ns
        return t_ns if wrapped and whole_ns - self._now_ns > silent_ns + AHEAD_NS else whole_ns

    def _seen(self, host_ns: int, whole_ns: int) -> int:
        if self._now_ns is None or whole_ns > self._now_ns:
            if self._wrap_ns is not None and self._now_ns is not None:
                self.wraps += whole_ns // self._wrap_ns - self._now_ns // self._wrap_ns
            self._now_ns, self._host_ns = whole_ns, host_ns
        self._placed_ns = whole_ns if self._placed_ns is None else max(self._placed_ns, whole_ns)
        placed_ns = whole_ns + self._offset_ns
        self._last_ns = max(self._last_ns, placed_ns)
        return placed_ns
