"""Times that a board tells over a wire without a check sum: one that is far from those before it counts when the next one agrees with it.

A damaged digit or bit costs its own sample, which is counted; a clock that was set or started anew costs none.
"""

from __future__ import annotations

from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from aura_edge.sources.serial.device_clock import BACK_NS, LATEST_NS, DeviceClock
from aura_edge.types import NS_PER_S

SET_NS = 24 * 3600 * NS_PER_S
"""A clock that is ahead by more was set, as after a look at a calendar: it goes on where it was, as after a restart. By less, time is missing."""

_Row = NDArray[np.float32]
_Placed = tuple[int, int, _Row]
"""Host time, device time and a sample."""


class ToldTimes:
    """Follows one clock and the samples that carry its times."""

    def __init__(self, wrap_ns: int | None) -> None:
        self.clock = DeviceClock(wrap_ns)
        self.far_off = 0
        """Samples left out because of their time."""
        self._wrap_ns = wrap_ns
        self._doubted: _Placed | None = None

    def place(
        self, host_ns: int, t_ns: NDArray[np.int64], samples: _Row
    ) -> list[tuple[int, NDArray[np.int64], NDArray[np.float32]]]:
        """Samples with times that go on, by the host time at which they arrived: the last of a piece may wait for the next piece."""
        placed: list[_Placed] = []
        for told_ns, row in zip(t_ns.tolist(), samples, strict=True):
            placed += self._one(host_ns, told_ns, row)
        given = []
        for arrived_ns, group in groupby(placed, key=lambda one: one[0]):
            rows = list(group)
            given.append((arrived_ns, np.array([row[1] for row in rows], np.int64), np.stack([row[2] for row in rows])))
        return given

    def finish(self) -> None:
        """No next one comes."""
        self._leave_out()

    def _one(self, host_ns: int, t_ns: int, row: _Row) -> list[_Placed]:
        if not -LATEST_NS < t_ns < LATEST_NS:
            self.far_off += 1
            return []
        given = []
        if self._doubted is not None and self._agree(self._doubted, host_ns, t_ns):
            (doubted_host_ns, doubted_ns, doubted_row), self._doubted = self._doubted, None
            ahead_ns = self.clock.ahead_ns(doubted_host_ns, doubted_ns)
            if ahead_ns is not None and ahead_ns > SET_NS + max(0, self.clock.silent_ns(doubted_host_ns)):
                self.clock.restart(doubted_host_ns, doubted_ns)
            given.append((doubted_host_ns, self.clock.place(doubted_host_ns, doubted_ns), doubted_row))
        self._leave_out()
        ahead_ns = self.clock.ahead_ns(host_ns, t_ns)
        if ahead_ns is None or not -BACK_NS <= ahead_ns <= BACK_NS + max(0, self.clock.silent_ns(host_ns)):
            self._doubted = host_ns, t_ns, row
            return given
        return [*given, (host_ns, self.clock.place(host_ns, t_ns), row)]

    def _agree(self, doubted: _Placed, host_ns: int, t_ns: int) -> bool:
        """Whether a time goes on from the one in doubt as the host's does."""
        step_ns = t_ns - doubted[1]
        if self._wrap_ns is not None:
            step_ns %= self._wrap_ns
        return 0 <= step_ns <= BACK_NS + max(0, host_ns - doubted[0])

    def _leave_out(self) -> None:
        self.far_off += self._doubted is not None
        self._doubted = None
