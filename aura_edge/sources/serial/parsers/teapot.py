"""Packets of InvenSense's teapot demonstration, as sketches for the MPU-6050 send them: orientation, and nothing else.

14 bytes: `$` 0x02, a quaternion w x y z in 1/16384 (i16, high byte first), 0x00, a count of packets, CR LF. What the models need is not in it.
Of gravity and rotation, which follow from the orientation, samples are made nevertheless, for those who insist.
"""

from __future__ import annotations

import math
import struct

import numpy as np
from numpy.typing import NDArray

from aura_edge.sources.serial.parsers import Rows
from aura_edge.sources.serial.parsers.books import Books, joined
from aura_edge.types import STANDARD_GRAVITY_M_S2

SIZE = 14
WARNING = (
    "LINEAR ACCELERATION IS MISSING: teapot packets hold the orientation alone. Acceleration is gravity as turned by it, angular rate its "
    "change; steps, jumps and falls are not in it, and labels will be wrong. Send the sensor's readings instead"
)
_QUATERNION = struct.Struct(">4h")
_ONE = 16384
_NORM_TOLERANCE = 0.02


class Teapot(Books):
    """Samples that stand in for those of a sensor, made from its orientation."""

    name = "teapot"
    description = "teapot packets, orientation only"
    units = "quaternion"

    def __init__(self, *, rate_hz: float) -> None:
        """`rate_hz` packets a second: they tell no time."""
        super().__init__()
        self.rate_hz = rate_hz
        self.sequence_modulus = 256
        self.notes = (WARNING,)
        self._before: tuple[int, tuple[float, float, float, float]] | None = None

    def cut(self) -> None:
        super().cut()
        self._before = None

    def _take(self) -> list[Rows]:
        rows: list[Rows] = []
        data, at = self._rest, 0
        while (start := data.find(b"$", at)) >= 0:
            self._skip(start - at)
            at = start
            if len(data) - at < SIZE:
                break
            packet = data[at : at + SIZE]
            if not is_packet(packet):
                self._skip(1)
                at += 1
                continue
            at += SIZE
            counts = _QUATERNION.unpack_from(packet, 2)
            norm = math.hypot(*counts) / _ONE
            if abs(norm - 1) > _NORM_TOLERANCE:
                self.discarded["norm"] += SIZE
                continue
            w, x, y, z = (count / (norm * _ONE) for count in counts)
            rows += self._turn(packet[11], (w, x, y, z))
        if start < 0:
            self._skip(len(data) - at)
            at = len(data)
        self._rest = data[at:]
        return joined(rows, 256)

    def _skip(self, count: int) -> None:
        if count:
            self.discarded["between packets"] += count

    def _turn(self, count: int, now: tuple[float, float, float, float]) -> list[Rows]:
        """The sample of a packet; the first one only says from where it turns."""
        if self._before is None:
            self._before = count, now
            self.other["first"] += SIZE
            return []
        steps = (count - self._before[0]) % 256
        if steps == 0:
            self.other["repeated"] += SIZE
            return []
        rate = angular_rate(self._before[1], now, steps / (self.rate_hz or 1.0))
        self._before = count, now
        self.sample_bytes += SIZE
        sample = np.concatenate([gravity(now), rate]).astype(np.float32)
        return [Rows(sample[None], sequence=count)]


def is_packet(data: bytes) -> bool:
    """Whether so begins a packet, going by the bytes that are always the same."""
    return data[:2] == b"$\x02" and data[10] == 0 and data[12:SIZE] == b"\r\n"


def gravity(q: tuple[float, float, float, float]) -> NDArray[np.float64]:
    """(3,) what an accelerometer at rest in this orientation reads."""
    w, x, y, z = q
    return STANDARD_GRAVITY_M_S2 * np.array([2 * (x * z - w * y), 2 * (w * x + y * z), w * w - x * x - y * y + z * z])


def angular_rate(
    before: tuple[float, float, float, float], now: tuple[float, float, float, float], time_s: float
) -> NDArray[np.float64]:
    """(3,) rad/s in the sensor's axes, for the shorter way from one orientation to the other."""
    a, b, c, d = before
    w, x, y, z = now
    real = a * w + b * x + c * y + d * z
    turn = np.array(
        [
            a * x - b * w - c * z + d * y,
            a * y + b * z - c * w - d * x,
            a * z - b * y + c * x - d * w,
        ]
    )
    sine = float(np.linalg.norm(turn))
    if sine == 0:
        return np.zeros(3)
    angle = 2 * math.atan2(sine, abs(real)) * math.copysign(1, real)
    rate: NDArray[np.float64] = turn * (angle / (sine * time_s))
    return rate
