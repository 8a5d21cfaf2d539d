"""A device's clock against the host's: a straight line through when messages arrived, by recursive least squares that slowly forget.

Arrivals are late by a delay that varies from message to message. Its spread averages out over many; its mean does not, and is taken from
exchanges of four timestamps as in NTP (Mills, RFC 5905), of which the one with the shortest round trip says most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from aura_edge.types import NS_PER_S, ClockReading

MEMORY_S = 120.0
"""An observation counts half as much after 83 s, 1/e after this: a crystal's rate changes with its temperature, over minutes."""
USUAL_DRIFT = 200e-6
"""What is believed of the rate before much has been seen: within this of the host's, one standard deviation."""
LEAST_SPREAD_S = 0.05
SURPRISE = 8.0
"""An arrival so many times farther off than usual, and by more than `LEAST_SPREAD_S`, was held up somewhere and says nothing."""
MOST_SURPRISES = 40
"""So many of them in a row are no surprise: the line itself has moved."""
REBASE_S = 1000.0
EXCHANGES, EXCHANGE_MEMORY_NS = 16, 600 * NS_PER_S


class Line:
    """y over x, both in seconds, by least squares with exponential forgetting in x: means and centred moments, so that it is exact over days."""

    def __init__(self, memory_s: float = MEMORY_S) -> None:
        self.count = 0
        self.mean_x = self.mean_y = 0.0
        self._memory_s = memory_s
        self._weight = self._xx = self._xy = self._yy = 0.0
        self._last_x = 0.0

    def add(self, x: float, y: float) -> None:
        keep = math.exp(-max(0.0, x - self._last_x) / self._memory_s) if self.count else 0.0
        self._last_x = max(x, self._last_x) if self.count else x
        self._weight = keep * self._weight + 1.0
        off_x, off_y = x - self.mean_x, y - self.mean_y
        self.mean_x += off_x / self._weight
        self.mean_y += off_y / self._weight
        self._xx = keep * self._xx + off_x * (x - self.mean_x)
        self._xy = keep * self._xy + off_x * (y - self.mean_y)
        self._yy = keep * self._yy + off_y * (y - self.mean_y)
        self.count += 1

    def slope(self, usual: float) -> float:
        """The slope, drawn to 0 as far as the noise leaves it open: `usual` is the spread expected of it."""
        if self.count < 2 or self._xx <= 0:
            return 0.0
        noise = max(self._yy - self._xy**2 / self._xx, 0.0) / self._weight
        return self._xy / (self._xx + noise / usual**2)

    def spread(self, slope: float) -> float:
        """Root mean square distance from the line of that slope."""
        left = self._yy - 2 * slope * self._xy + slope**2 * self._xx
        return math.sqrt(max(left, 0.0) / self._weight) if self._weight else 0.0

    def shift(self, x: float) -> None:
        """Count x from here."""
        self.mean_x -= x
        self._last_x -= x


@dataclass(frozen=True, slots=True)
class _Exchange:
    device_ns: int
    host_ns: int
    round_trip_ns: int


class ClockFit:
    """Follows one clock of one device."""

    def __init__(self) -> None:
        self._line = Line()
        self._device_ns = self._host_ns = 0  # where x and y are counted from
        self._surprises = 0
        self._exchanges: list[_Exchange] = []

    def observe(self, device_ns: int, host_ns: int) -> None:
        """A message whose last sample was taken at `device_ns` arrived at `host_ns`."""
        if not self._line.count:
            self._device_ns, self._host_ns = device_ns, host_ns
        x = (device_ns - self._device_ns) / NS_PER_S
        y = (host_ns - self._host_ns - (device_ns - self._device_ns)) / NS_PER_S
        if self._line.count > 8:
            slope = self._line.slope(USUAL_DRIFT)
            off = y - self._line.mean_y - slope * (x - self._line.mean_x)
            if abs(off) > max(LEAST_SPREAD_S, SURPRISE * self._line.spread(slope)):
                self._surprises += 1
                if self._surprises <= MOST_SURPRISES:
                    return
                self.__init__()  # type: ignore[misc]
                self.observe(device_ns, host_ns)
                return
        self._surprises = 0
        self._line.add(x, y)
        if x > REBASE_S:
            self._rebase(device_ns)

    def exchange(self, sent_host_ns: int, received_ns: int, sent_ns: int, arrived_host_ns: int) -> None:
        """A request left the host at `sent_host_ns` and was read at `received_ns` of the device's clock; its answer left at `sent_ns` and
        arrived at `arrived_host_ns`."""
        round_trip_ns = (arrived_host_ns - sent_host_ns) - (sent_ns - received_ns)
        if round_trip_ns < 0:
            return  # no clock runs like that
        made = _Exchange((received_ns + sent_ns) // 2, (sent_host_ns + arrived_host_ns) // 2, round_trip_ns)
        recent = [e for e in self._exchanges if made.host_ns - e.host_ns < EXCHANGE_MEMORY_NS]
        self._exchanges = sorted([*recent, made], key=lambda e: e.round_trip_ns)[:EXCHANGES]

    @property
    def drift_ppm(self) -> float:
        """By how many millionths the device's clock is fast against the host's, so far as that is known yet; negative, it is slow."""
        return -self._line.slope(USUAL_DRIFT) * 1e6

    @property
    def delay_ns(self) -> float | None:
        """Mean delay of arrivals, by the exchange with the shortest round trip; None where there was none."""
        if not self._exchanges or not self._line.count:
            return None
        best = self._exchanges[0]
        return self._fitted_ns(best.device_ns) - best.host_ns

    def reading(self) -> ClockReading | None:
        """The line as it stands; None before the first observation."""
        if not self._line.count:
            return None
        slope = self._line.slope(USUAL_DRIFT)
        device_ns = self._device_ns + round(self._line.mean_x * NS_PER_S)
        host_ns = self._fitted_ns(device_ns) - (self.delay_ns or 0.0)
        return ClockReading(device_ns, round(host_ns), 1.0 + slope, self._line.spread(slope) * NS_PER_S)

    def _fitted_ns(self, device_ns: int) -> int:
        """Host time at which what was sampled then arrives on average."""
        slope = self._line.slope(USUAL_DRIFT)
        since_ns = device_ns - self._device_ns
        y_s = self._line.mean_y + slope * (since_ns / NS_PER_S - self._line.mean_x)
        return self._host_ns + since_ns + round(y_s * NS_PER_S)

    def _rebase(self, device_ns: int) -> None:
        moved_ns = device_ns - self._device_ns
        self._line.shift(moved_ns / NS_PER_S)
        self._device_ns += moved_ns
        self._host_ns += moved_ns
