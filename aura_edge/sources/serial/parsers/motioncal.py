"""Lines for the calibration tool MotionCal (PJRC, Adafruit): `Raw:` with counts, `Uni:` with SI units, nine numbers each.

`Raw:` is acceleration in 1/8192 g, angular rate in 1/16 deg/s and magnetic field in 0.1 uT, as MotionCal reads it; `Uni:` is m/s2, rad/s
and uT. Boards send both for every sample: `Raw:` counts, being finer in acceleration, and `Uni:` steps in where that was damaged or is not
sent. Adafruit's sketches take 9.8 m/s2 for 1 g, so that their counts say 0.07 % too much.
"""

from __future__ import annotations

import re

from aura_edge.sources.serial.parsers.books import Found, Lines, numbers, to_sample
from aura_edge.sources.units import SI, Units, parse_units

RAW = parse_units("1/8192 g, 1/16 deg/s")
_RAW = re.compile(rb"Raw:([-\d,\s]+)")
_UNI = re.compile(rb"Uni:([-+.\deE,\s]+)")
_COUNT = re.compile(r"\s*-?\d{1,6}\s*")
_OTHER = re.compile(rb"(Cal[12]):[-+.\d,\s]*")


class MotionCal(Lines):
    """What such a board sends; it tells no time."""

    name = "motioncal"

    def __init__(self, *, fields: int = 9, units: Units | None = None) -> None:
        """`fields` numbers a line, 6 or 9; `units` of `Raw:` where they are others."""
        super().__init__()
        self._fields = fields
        self._raw_units = RAW
        for unit in (units.acceleration, units.angular_rate) if units else ():
            self._raw_units = self._raw_units.set(unit) if unit else self._raw_units
        self.units = str(self._raw_units)
        self.description = f"MotionCal lines, {fields} numbers each"
        self._raw_before = False

    def _read(self, line: bytes, size: int) -> Found | None:
        line = line.strip()
        raw, uni = _RAW.fullmatch(line), _UNI.fullmatch(line)
        if raw:
            return self._sample(raw[1].decode(), size, raw=True)
        if uni:
            if self._raw_before and uni[1].count(b",") == self._fields - 1:
                self._raw_before = False
                self.other["Uni"] += size
                return None
            return self._sample(uni[1].decode(), size, raw=False)
        if known := _OTHER.fullmatch(line):
            self.other[known[1].decode()] += size
        elif not line:
            self.other["blank"] += size
        else:
            self.discarded["text"] += size
            self._raw_before = False
        return None

    def _skipped(self) -> None:
        self._raw_before = False

    def _sample(self, text: str, size: int, *, raw: bool) -> Found | None:
        self._raw_before = False
        fields = text.split(",")
        if len(fields) != self._fields:
            self.discarded["fields"] += size
            return None
        values = numbers(fields) if not raw or all(map(_COUNT.fullmatch, fields)) else None
        if values is None:
            self.discarded["number"] += size
            return None
        self._raw_before = raw
        return None, to_sample(values, self._raw_units if raw else SI)


def fields_in(data: bytes) -> int:
    """How many numbers most lines of a stream have: 6 or 9."""
    counts = [found.count(b",") + 1 for found in re.findall(rb"(?:Raw|Uni):([^\r\n]+)\r?\n", data)]
    return 6 if counts.count(6) > counts.count(9) else 9
