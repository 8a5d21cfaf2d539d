"""What goes wrong with boards and wires, by name: `corrupt:rate=0.01,at=10,for=5` damages a hundredth of the frames from second 10 to 15."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

NAMES = {
    "corrupt": "flips a bit in `rate` of the frames (0.1)",
    "drop": "loses `rate` of the frames (0.1)",
    "duplicate": "sends `rate` of the frames twice (0.1)",
    "reorder": "lets `rate` of the frames be overtaken by the next (0.1)",
    "stall": "the wire takes nothing; the board drops its oldest samples and counts them",
    "disconnect": "the port is gone, and comes back; the board runs on",
    "drift": "the board's clock is fast by `amount` ppm (200); always",
    "reset": "the board restarts, at each start of the fault",
    "jump": "the board's clock jumps by `amount` seconds (-5), at each start of the fault",
    "wrap": "the board's 32 bit clock wraps `at` seconds after power-on; always",
    "rate": "the sensor is fast by `amount` percent (4); always",
    "saturation": "readings are `amount` times as large (20), and stand at the end of the scale",
    "stuck": "axis `axis` (0: acc_x ... 5: gyro_z) stays where it was",
    "swapped": "x and y of the gyroscope are exchanged",
    "units": "HELLO says scales that are wrong by `amount` (0.10197: g for m/s2) for the accelerometer; always",
    "gyro-units": "HELLO says scales that are wrong by `amount` (57.29578: deg/s for rad/s) for the gyroscope; always",
    "gravity": "gravity is taken out of the acceleration",
}
"""Each with what it does; numbers in brackets are what is taken where none is given."""
DEFAULTS = {
    "drift": 200.0,
    "jump": -5.0,
    "rate": 4.0,
    "saturation": 20.0,
    "units": 1 / 9.80665,
    "gyro-units": 180 / np.pi,
}
LIMITS = {
    "drift": (-1e5, 1e5),
    "jump": (-1e6, 1e6),
    "rate": (-90.0, 900.0),
    "saturation": (-1e6, 1e6),
    "units": (1e-6, 1e6),
    "gyro-units": (1e-6, 1e6),
}
"""Smallest and largest amount."""
ALWAYS = {"drift", "wrap", "rate", "units", "gyro-units"}
AT_ONCE = {"reset", "jump"}
ROUNDING_S = 1e-9
"""Whoever keeps time in microseconds gives an edge back within this."""
LAST_WRAP_S = 4294.0
"""Within the first turn of a clock of 32 bits."""
ALTERING = {"saturation", "stuck", "swapped", "gravity"}


@dataclass(frozen=True, slots=True)
class Fault:
    """One of `NAMES`, and when."""

    name: str
    at_s: float = 10.0
    """Host time since power-on at which it starts."""
    for_s: float = 5.0
    every_s: float = 0.0
    """It comes again so often; 0: once."""
    rate: float = 0.1
    amount: float = math.nan
    """Not a number: what `DEFAULTS` says."""
    axis: int = 0

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ValueError(f"fault {self.name!r}: expected one of {', '.join(NAMES)}.")
        if self.name in AT_ONCE and self.every_s > 0:
            object.__setattr__(self, "for_s", min(self.for_s, self.every_s / 2))
        if not (0 <= self.at_s < math.inf and self.for_s > 0 and (self.every_s == 0 or self.every_s > self.for_s)):
            raise ValueError(
                f"{self.name}: at={self.at_s:g}, for={self.for_s:g}, every={self.every_s:g}; expected at >= 0, for > 0, every > for or 0."
            )
        if not 0 <= self.rate <= 1 or not 0 <= self.axis < 6:
            raise ValueError(
                f"{self.name}: rate={self.rate:g}, axis={self.axis}; expected a rate of 0 to 1 and an axis of 0 to 5."
            )
        if math.isnan(self.amount):
            object.__setattr__(self, "amount", DEFAULTS.get(self.name, 0.0))
        least, most = LIMITS.get(self.name, (0.0, 0.0))
        if not least <= self.amount <= most:
            raise ValueError(
                f"{self.name}: amount={self.amount:g}; expected {f'{least:g} to {most:g}' if most else 'none'}."
            )
        if self.name == "wrap" and not 0 < self.at_s <= LAST_WRAP_S:
            raise ValueError(f"wrap: at={self.at_s:g}; expected above 0, to {LAST_WRAP_S:g}.")

    def is_on(self, host_s: float) -> bool:
        since_s = host_s - self.at_s
        if since_s < 0:
            return False
        return (since_s % self.every_s if self.every_s else since_s) < self.for_s

    def next_edge_s(self, host_s: float) -> float:
        """When it starts or ends next, later than `host_s`; infinite when never again."""
        if host_s < self.at_s - ROUNDING_S:
            return self.at_s
        since_s = host_s - self.at_s
        turn = int(since_s // self.every_s) if self.every_s else 0
        edges = [self.at_s + self.for_s]
        if self.every_s:  # one turn more than is under way: rounding may hide that the next one has begun
            starts = [self.at_s + (turn + ahead) * self.every_s for ahead in range(3)]
            edges = starts + [start_s + self.for_s for start_s in starts]
        return min((edge for edge in edges if edge > host_s + ROUNDING_S), default=float("inf"))


_FIELDS = {"at": "at_s", "for": "for_s", "every": "every_s", "rate": "rate", "amount": "amount", "axis": "axis"}


def keys_of(name: str) -> tuple[str, ...]:
    """What can be said of a fault of that name."""
    when = ("at",) if name == "wrap" else () if name in ALWAYS else ("at", "for", "every")
    rate = ("rate",) if name in {"corrupt", "drop", "duplicate", "reorder"} else ()
    return when + rate + (("amount",) if name in DEFAULTS else ()) + (("axis",) if name == "stuck" else ())


def parse_fault(text: str) -> Fault:
    """`NAME` or `NAME:key=number,...` with the keys at, for, every (seconds), rate, amount, axis, as `keys_of` says. Raises `ValueError`."""
    name, _, rest = text.partition(":")
    if (name := name.strip()) not in NAMES:
        raise ValueError(f"fault {name!r}: expected one of {', '.join(NAMES)}.")
    keys = keys_of(name)
    given: dict[str, float | int] = {}
    for part in filter(None, rest.split(",")):
        key, _, value = (piece.strip() for piece in part.partition("="))
        if key not in keys:
            raise ValueError(
                f"fault {text!r}: {part!r} is not KEY=NUMBER with a key that {name} has: {', '.join(keys)}."
            )
        try:
            number = int(value) if key == "axis" else float(value)
        except ValueError:
            number = math.nan
        if math.isnan(number) or _FIELDS[key] in given:
            raise ValueError(f"fault {text!r}: {part!r} is not KEY=NUMBER, each key once.")
        given[_FIELDS[key]] = number
    return Fault(name, **given)  # type: ignore[arg-type]


def check_together(faults: Sequence[Fault]) -> None:
    """Raises `ValueError` for two faults of a name that are always on: one of them would say nothing."""
    lasting = [fault.name for fault in faults if fault.name in ALWAYS]
    if twice := sorted({name for name in lasting if lasting.count(name) > 1}):
        raise ValueError(f"fault {', '.join(twice)} was given more than once, and is always on: give it once.")


@dataclass(slots=True)
class Alteration:
    """What faults of the sensor do to its counts. `gravity` is removed as a slow mean of the acceleration."""

    on: Sequence[Fault] = ()
    """Those that are on, now."""
    _held: dict[int, float] = field(default_factory=dict)  # by axis
    _slow: NDArray[np.float64] | None = None

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        mean = values[:, :3].mean(axis=0)
        self._slow = mean if self._slow is None else 0.95 * self._slow + 0.05 * mean
        stuck = {fault.axis for fault in self.on if fault.name == "stuck"}
        self._held = {axis: held for axis, held in self._held.items() if axis in stuck}
        for fault in self.on:
            if fault.name == "saturation":
                values = values * fault.amount
            elif fault.name == "stuck":
                values = values.copy()
                values[:, fault.axis] = self._held.setdefault(fault.axis, float(values[0, fault.axis]))
            elif fault.name == "swapped":
                values = values[:, [0, 1, 2, 4, 3, 5]]
            elif fault.name == "gravity":
                values = values - np.concatenate([self._slow, np.zeros(3)])
        return values
