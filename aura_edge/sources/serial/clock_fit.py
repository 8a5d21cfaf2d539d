"""A device's clock against the host's: a straight line through when messages arrived, by recursive least squares that slowly forget.

Arrivals are late by a delay that varies from message to message. Its spread averages out over many; its mean does not, and is taken from
exchanges of four timestamps as in NTP (Mills, RFC 5905): the quickest way out and the quickest way back, of whichever exchanges.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from aura_edge.types import NS_PER_S, ClockReading

MEMORY_S = 120.0
"""An observation counts half as much after 83 s, 1/e after this: a crystal's rate changes with its temperature, over minutes."""
USUAL_DRIFT = 1e-3
"""What is believed of the rate before much has been seen: within this of the host's, one standard deviation. A crystal is far better, a
resonator far worse: wide enough that neither is drawn off by half a minute of arrivals."""
LEAST_NOISE_S = 0.001
"""Arrivals that agree better than this do so by chance, as in a bunch."""
SETTLING_NS = 3 * NS_PER_S
EARLY_S, LATE_S = 0.02, 0.1
"""While settling: an arrival so much earlier than the first shows that the first had waited in a buffer, and is the new first; so much later
waited itself."""
LEAST_SPREAD_S = 0.05
SURPRISE = 8.0
"""An arrival so many times farther off than usual, and by more than `LEAST_SPREAD_S`, was held up somewhere and says nothing."""
MOVED_S = 2.0
"""Surprises that agree with each other over so much device time are no surprise: the line itself has moved. What a stall held up does not
agree: it arrives at one time, so that each is less late than the one before."""
LOST_NS = 10 * NS_PER_S
"""After nothing but surprises for so long whatever comes is believed."""
RECENT_S, RECENT_COUNT, RECENT_BETTER = 3.0, 20, 4.0
"""Where the arrivals of the last seconds lie so many times closer to a line of their own, trouble has bent the long one: theirs takes its place."""
REBASE_S = 1000.0
EXCHANGES, EXCHANGE_MEMORY_NS = 16, 120 * NS_PER_S
"""No longer than the line is good for: an exchange is held against the line at its own time."""


class Line:
    """y over x, both in seconds, by least squares with exponential forgetting in x: means and centred moments, so that it is exact over days."""

    def __init__(self, memory_s: float) -> None:
        self.count = 0
        self.weight = self.mean_x = self.mean_y = 0.0
        self.memory_s = memory_s
        self._xx = self._xy = self._yy = 0.0
        self._last_x = 0.0

    def add(self, x: float, y: float) -> None:
        keep = math.exp(-max(0.0, x - self._last_x) / self.memory_s) if self.count else 0.0
        self._last_x = max(x, self._last_x) if self.count else x
        self.weight = keep * self.weight + 1.0
        off_x, off_y = x - self.mean_x, y - self.mean_y
        self.mean_x += off_x / self.weight
        self.mean_y += off_y / self.weight
        self._xx = keep * self._xx + off_x * (x - self.mean_x)
        self._xy = keep * self._xy + off_x * (y - self.mean_y)
        self._yy = keep * self._yy + off_y * (y - self.mean_y)
        self.count += 1

    def slope(self, usual: float) -> float:
        """The slope, drawn to 0 as far as the noise leaves it open: `usual` is the spread expected of it."""
        if self.count < 2 or self._xx <= 0:
            return 0.0
        noise = max((self._yy - self._xy**2 / self._xx) / self.weight, LEAST_NOISE_S**2)
        return self._xy / (self._xx + noise / usual**2)

    def spread(self, slope: float) -> float:
        """Root mean square distance from the line of that slope."""
        left = self._yy - 2 * slope * self._xy + slope**2 * self._xx
        return math.sqrt(max(left, 0.0) / self.weight) if self.weight else 0.0

    def shift(self, x: float) -> None:
        """Count x from here."""
        self.mean_x -= x
        self._last_x -= x


@dataclass(frozen=True, slots=True)
class _Strays:
    """Surprises that agree with each other."""

    x: float
    y: float
    """Of the first of them."""
    host_ns: int
    """When the first surprise arrived since there was an arrival that was none; these may have begun later."""


class ClockFit:
    """Follows one clock of one device."""

    def __init__(self) -> None:
        self._start(0, 0)

    def observe(self, device_ns: int, host_ns: int) -> None:
        """A message whose last sample was taken at `device_ns` arrived at `host_ns`."""
        if not self._line.count:
            self._start(device_ns, host_ns)
        x, y = self._seconds(device_ns, host_ns)
        if device_ns < self._settled_ns:
            if y > LATE_S:
                return
            if y < -EARLY_S:
                self._restart(device_ns, host_ns)
                x = y = 0.0
        elif self._is_stray(x, y, host_ns):
            strays = self._strays
            if strays is None or (x - strays.x < MOVED_S and host_ns - strays.host_ns < LOST_NS):
                return
            self._start(device_ns, host_ns)
            x = y = 0.0
        self._line.add(x, y)
        self._recent.add(x, y)
        self._unbend()
        if x > REBASE_S:
            self._rebase(device_ns)

    def exchange(self, sent_host_ns: int, received_ns: int, sent_ns: int, arrived_host_ns: int) -> None:
        """A request left the host at `sent_host_ns` and was read at `received_ns` of the device's clock; its answer left at `sent_ns` and
        arrived at `arrived_host_ns`."""
        if arrived_host_ns - sent_host_ns < sent_ns - received_ns:
            return  # no clock runs like that
        self._remember(self._out, received_ns, sent_host_ns, 1)
        self._remember(self._back, sent_ns, arrived_host_ns, -1)

    @property
    def drift_ppm(self) -> float:
        """By how many millionths the device's clock is fast against the host's, so far as that is known yet; negative, it is slow."""
        return -self._line.slope(USUAL_DRIFT) * 1e6

    @property
    def delay_ns(self) -> float | None:
        """Mean delay of arrivals, by the quickest way out and the quickest way back, taken to be equal; None without an exchange."""
        if not self._out or not self._line.count:
            return None
        # A request cannot be read before it left, nor an answer arrive before it was sent: the line lies between.
        most = min(self._fitted_ns(device_ns) - host_ns for device_ns, host_ns in self._out)
        least = max(self._fitted_ns(device_ns) - host_ns for device_ns, host_ns in self._back)
        return (most + least) / 2

    def reading(self) -> ClockReading | None:
        """The line as it stands; None before the first observation."""
        if not self._line.count:
            return None
        slope = self._line.slope(USUAL_DRIFT)
        device_ns = self._device_ns + round(self._line.mean_x * NS_PER_S)
        host_ns = self._fitted_ns(device_ns) - (self.delay_ns or 0.0)
        return ClockReading(device_ns, round(host_ns), 1.0 + slope, self._line.spread(slope) * NS_PER_S)

    # ---- where the line starts ----

    def _start(self, device_ns: int, host_ns: int) -> None:
        """Nothing is known but this one arrival."""
        self._settled_ns = device_ns + SETTLING_NS
        self._out: deque[tuple[int, int]] = deque(maxlen=EXCHANGES)  # device time and host time of requests
        self._back: deque[tuple[int, int]] = deque(maxlen=EXCHANGES)  # and of answers
        self._restart(device_ns, host_ns)

    def _restart(self, device_ns: int, host_ns: int) -> None:
        """Forget arrivals, not exchanges. x and y are counted from here."""
        self._line, self._recent = Line(MEMORY_S), Line(RECENT_S)
        self._device_ns, self._host_ns = device_ns, host_ns
        self._strays: _Strays | None = None

    def _seconds(self, device_ns: int, host_ns: int) -> tuple[float, float]:
        """x, and y: by how much more the host's clock went on since the start."""
        since_ns = device_ns - self._device_ns
        return since_ns / NS_PER_S, (host_ns - self._host_ns - since_ns) / NS_PER_S

    def _is_stray(self, x: float, y: float, host_ns: int) -> bool:
        slope = self._line.slope(USUAL_DRIFT)
        limit_s = max(LEAST_SPREAD_S, SURPRISE * self._line.spread(slope))
        if abs(y - self._line.mean_y - slope * (x - self._line.mean_x)) <= limit_s:
            self._strays = None
            return False
        if self._strays is None:
            self._strays = _Strays(x, y, host_ns)
        elif abs(y - self._strays.y) > limit_s:
            self._strays = _Strays(x, y, self._strays.host_ns)
        return True

    def _unbend(self) -> None:
        """Let the short line take the place of the long one where trouble has bent that."""
        spread_s = self._line.spread(self._line.slope(USUAL_DRIFT))
        if spread_s < LEAST_SPREAD_S / 2 or self._recent.weight < RECENT_COUNT:
            return
        if self._recent.spread(self._recent.slope(USUAL_DRIFT)) * RECENT_BETTER < spread_s:
            self._line, self._recent = self._recent, Line(RECENT_S)
            self._line.memory_s = MEMORY_S

    def _remember(self, ways: deque[tuple[int, int]], device_ns: int, host_ns: int, sign: int) -> None:
        """Keep what no later one was quicker than: the quickest of the last two minutes is always there."""

        def taken_ns(way: tuple[int, int]) -> int:
            return sign * (self._fitted_ns(way[0]) - way[1])

        made = (device_ns, host_ns)
        while ways and host_ns - ways[0][1] > EXCHANGE_MEMORY_NS:
            ways.popleft()
        while ways and taken_ns(ways[-1]) >= taken_ns(made):
            ways.pop()
        ways.append(made)

    def _fitted_ns(self, device_ns: int) -> int:
        """Host time at which what was sampled then arrives on average."""
        slope = self._line.slope(USUAL_DRIFT)
        since_ns = device_ns - self._device_ns
        y_s = self._line.mean_y + slope * (since_ns / NS_PER_S - self._line.mean_x)
        return self._host_ns + since_ns + round(y_s * NS_PER_S)

    def _rebase(self, device_ns: int) -> None:
        moved_ns = device_ns - self._device_ns
        for line in (self._line, self._recent):
            line.shift(moved_ns / NS_PER_S)
        self._device_ns += moved_ns
        self._host_ns += moved_ns
