"""Inertial messages of the x-IMU3 (x-io Technologies), as text and binary; both end with a line feed.

Text: `I,<microseconds>,gx,gy,gz,ax,ay,az` in deg/s and g. Binary: the letter with its highest bit set, u64 microseconds, six f32, all
little-endian; in it 0x0A is sent as 0xDB 0xDC and 0xDB as 0xDB 0xDD, so that 0x0A ends every message. There is no check sum.
"""

from __future__ import annotations

import re
import struct

from aura_edge.sources.serial.parsers.books import Found, Lines, numbers, to_sample
from aura_edge.sources.units import parse_units

UNITS = parse_units("g, deg/s, us")
_KNOWN = {
    "M": "magnetometer",
    "H": "high-g accelerometer",
    "Q": "quaternion",
    "R": "rotation matrix",
    "A": "Euler angles",
    "L": "linear acceleration",
    "E": "earth acceleration",
    "U": "AHRS status",
    "S": "serial accessory",
    "Y": "sync",
    "C": "LTC",
    "T": "temperature",
    "B": "battery",
    "W": "RSSI",
    "O": "button",
    "N": "notification",
    "F": "error",
}
"""Every other message, by its letter."""
_TEXT = re.compile(rb"([A-Z]),(\d{1,19}),([\x20-\x7e]*)\r?")
_COMMAND = re.compile(rb"\{[\x20-\x7e]*\}\r?")
_BODY = struct.Struct("<Q6f")
_ESCAPED = re.compile(rb"\xdb(.?)", re.DOTALL)
_PLAIN = {b"\xdc": b"\n", b"\xdd": b"\xdb"}
_MOST_US = 2**63 // 1000
_MOST_G, _MOST_DEG_S = 1e3, 1e5
"""Beyond any sensor: a message with more is damaged."""


class XImu3(Lines):
    """Messages of both kinds; a device sends one kind, and answers to commands as text."""

    units = "g, deg/s"

    def __init__(self, *, binary: bool) -> None:
        super().__init__()
        self.name = "ximu3" if binary else "ximu3-ascii"
        self.description = f"x-IMU3 {'binary' if binary else 'text'} inertial messages, microseconds"

    def _read(self, line: bytes, size: int) -> Found | None:
        if line and line[0] & 0x80:
            return self._binary(line, size)
        if found := _TEXT.fullmatch(line):
            letter = found[1].decode()
            if letter == "I":
                texts = found[3].decode().split(",")
                return self._sample(int(found[2]), numbers(texts) if len(texts) == 6 else None, size)
            self._book(letter, size)
        elif _COMMAND.fullmatch(line):
            self.other["command"] += size
        elif line.startswith(b"^"):  # from a sensor behind this one
            self.other["mux"] += size
        else:
            self.discarded["text"] += size
        return None

    def _binary(self, line: bytes, size: int) -> Found | None:
        if not all(escaped in _PLAIN for escaped in _ESCAPED.findall(line)):
            self.discarded["stuffing"] += size
            return None
        message = _ESCAPED.sub(lambda found: _PLAIN[found[1]], line)
        letter = chr(message[0] & 0x7F)
        if letter != "I":
            if len(message) < 9:
                self.discarded["length"] += size
            else:
                self._book(letter, size)
            return None
        if len(message) != 1 + _BODY.size:
            self.discarded["length"] += size
            return None
        time_us, *values = _BODY.unpack_from(message, 1)
        return self._sample(time_us, values, size)

    def _sample(self, time_us: int, values: list[float] | None, size: int) -> Found | None:
        """From angular rate and acceleration, in this order, as such a message has them."""
        if values is None or time_us >= _MOST_US:
            self.discarded["number"] += size
            return None
        # Written so that what is not a number fails too.
        most = (*[_MOST_DEG_S] * 3, *[_MOST_G] * 3)
        if not all(abs(value) <= limit for value, limit in zip(values, most, strict=True)):
            self.discarded["number"] += size
            return None
        return 1000 * time_us, to_sample([*values[3:], *values[:3]], UNITS)

    def _book(self, letter: str, size: int) -> None:
        if letter in _KNOWN:
            self.other[_KNOWN[letter]] += size
        else:
            self.discarded["kind"] += size
