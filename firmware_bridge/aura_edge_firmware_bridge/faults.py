"""What goes wrong with boards and wires, by name: `corrupt:rate=0.01,at=10,for=5` damages a hundredth of the frames from second 10 to 15."""

from __future__ import annotations

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
ALWAYS = {"drift", "wrap", "rate", "units", "gyro-units"}
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
    amount: float = 0.0
    axis: int = 0

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ValueError(f"fault {self.name!r}: expected one of {', '.join(NAMES)}.")
        if not (self.at_s >= 0 and self.for_s > 0 and (self.every_s == 0 or self.every_s > self.for_s)):
            raise ValueError(
                f"{self.name}: at={self.at_s:g}, for={self.for_s:g}, every={self.every_s:g}; expected at >= 0, for > 0, every > for or 0."
            )
        if not 0 <= self.rate <= 1 or not 0 <= self.axis < 6:
            raise ValueError(
                f"{self.name}: rate={self.rate:g}, axis={self.axis}; expected a rate of 0 to 1 and an axis of 0 to 5."
            )
        if self.amount == 0 and self.name in DEFAULTS:
            object.__setattr__(self, "amount", DEFAULTS[self.name])

    def is_on(self, host_s: float) -> bool:
        since_s = host_s - self.at_s
        if since_s < 0:
            return False
        return (since_s % self.every_s if self.every_s else since_s) < self.for_s

    def next_edge_s(self, host_s: float) -> float:
        """When it starts or ends next, later than `host_s`; infinite when never again."""
        if host_s < self.at_s:
            return self.at_s
        since_s = host_s - self.at_s
        turn = int(since_s // self.every_s) if self.every_s else 0
        edges = [self.at_s + turn * self.every_s + self.for_s]
        if self.every_s:
            edges.append(self.at_s + (turn + 1) * self.every_s)
        return min((edge for edge in edges if edge > host_s + 1e-9), default=float("inf"))


_KEYS = {"at": "at_s", "for": "for_s", "every": "every_s", "rate": "rate", "amount": "amount", "axis": "axis"}


def parse_fault(text: str) -> Fault:
    """`NAME` or `NAME:key=number,...` with the keys at, for, every (seconds), rate, amount, axis. Raises `ValueError`."""
    name, _, rest = text.partition(":")
    given: dict[str, float | int] = {}
    for part in filter(None, rest.split(",")):
        key, _, value = part.partition("=")
        if key.strip() not in _KEYS:
            raise ValueError(f"fault {text!r}: {part!r} is not KEY=NUMBER with a key of {', '.join(_KEYS)}.")
        try:
            given[_KEYS[key.strip()]] = int(value) if key.strip() == "axis" else float(value)
        except ValueError:
            raise ValueError(f"fault {text!r}: {part!r} is not KEY=NUMBER.") from None
    return Fault(name.strip(), **given)  # type: ignore[arg-type]


@dataclass(slots=True)
class Alteration:
    """What faults of the sensor do to its counts. `gravity` is removed as a slow mean of the acceleration."""

    faults: Sequence[Fault]
    _held: dict[int, float] = field(default_factory=dict)
    _slow: NDArray[np.float64] | None = None

    def __call__(self, values: NDArray[np.float64], device_s: float) -> NDArray[np.float64]:
        mean = values[:, :3].mean(axis=0)
        self._slow = mean if self._slow is None else 0.95 * self._slow + 0.05 * mean
        for fault in self.faults:
            if not fault.is_on(device_s):
                self._held.pop(fault.axis, None)
            elif fault.name == "saturation":
                values = values * fault.amount
            elif fault.name == "stuck":
                values = values.copy()
                values[:, fault.axis] = self._held.setdefault(fault.axis, float(values[0, fault.axis]))
            elif fault.name == "swapped":
                values = values[:, [0, 1, 2, 4, 3, 5]]
            elif fault.name == "gravity":
                values = values - np.concatenate([self._slow, np.zeros(3)])
        return values
