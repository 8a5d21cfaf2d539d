"""SensiML's simple streaming: the board describes itself in JSON lines until it hears `connect`, then sends packets of i16 counts.

Version 1 packets are the counts alone. Those of version 2 are 0xFF, u16 length of what follows up to the check, a reserved byte, a channel, u32
number of the packet, the counts, and a check byte: all from the reserved byte on, added without carry. All is little-endian. Counts have no
scale, which therefore has to be told.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import xor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import InputError
from aura_edge.sources.columns import find_columns
from aura_edge.sources.formats import RecordingFormat
from aura_edge.sources.serial.parsers import Rows
from aura_edge.sources.serial.parsers.books import LONGEST_LINE, Books, joined
from aura_edge.sources.units import Units, to_si

CONNECT, DISCONNECT = b"connect", b"disconnect"
ANSWERED_EVERY = 3
"""A board looks once a second, and takes nothing but this one word: an answer while the last one waits would spoil both."""
ASKED_AFTER = 1024
"""A board that sends so many bytes without describing itself is streaming already: it is asked to begin anew."""
LARGEST_PACKET = 4096
_HEAD = struct.Struct("<BHBBI")
_SYNC = 0xFF
_UNSAID = "no description"


@dataclass(frozen=True, slots=True)
class Description:
    """What a board says of itself."""

    line: bytes
    """As it was sent, with its end."""
    rate_hz: float
    samples_per_packet: int
    columns: tuple[str, ...]
    channels: tuple[int, ...]
    """Places of the six readings among the columns."""
    version: int

    @property
    def payload(self) -> int:
        """Bytes of counts in a packet."""
        return 2 * len(self.columns) * self.samples_per_packet


def is_description(line: bytes) -> bool:
    """Whether a line looks like one, usable or not."""
    return isinstance(said := _json(line), dict) and "column_location" in said and "sample_rate" in said


def describe(line: bytes, columns: Mapping[str, str | int] | None = None) -> Description:
    """Read a line that `is_description`. Raises `InputError` for a board that is not understood, or lacks a reading."""
    said = _json(line)
    said = said if isinstance(said, dict) else {}
    places = said.get("column_location")
    rate_hz, count = said.get("sample_rate"), said.get("samples_per_packet", 1)
    version, kind = said.get("version", 1), said.get("data_type", "int16")
    if not (
        isinstance(places, dict)
        and all(type(place) is int for place in places.values())
        and sorted(places.values()) == list(range(len(places)))
        and type(count) is int
        and 0 < 2 * count * len(places) <= LARGEST_PACKET
        and isinstance(rate_hz, int | float)
        and 0 < rate_hz < 1e6
        and version in (1, 2)
        and kind == "int16"
    ):
        raise InputError(
            f"stream: the board describes itself as {line.decode(errors='replace').strip()[:200]!r}. Expected sample_rate, samples_per_packet and "
            f"column_location (places from 0 without a hole), version 1 or 2, data_type int16, packets of {LARGEST_PACKET} bytes at most."
        )
    names = tuple(sorted(places, key=lambda name: int(places[name])))
    found = find_columns(Path("stream"), names, RecordingFormat(columns=columns or {}, rate_hz=float(rate_hz)))
    return Description(line, float(rate_hz), count, names, found.channels, version)


class SensiML(Books):
    """A board from its first description on."""

    name = "sensiml"

    def __init__(
        self, *, units: Units, columns: Mapping[str, str | int] | None = None, description: Description | None = None
    ) -> None:
        """`description` is what is expected to come, where it has been heard already."""
        super().__init__()
        self._units, self._columns = units, columns
        self._said: Description | None = None
        self._heard: Counter[str] = Counter()
        self._answer = b""
        self._asked = self._connected = False
        self.units = str(units)
        self.description = "SensiML simple streaming"
        self._overlong = False
        self._channel: int | None = None
        if description:
            self._tell(description)

    def reply(self) -> bytes:
        answer, self._answer = self._answer, b""
        return answer

    def farewell(self) -> bytes:
        """A board that was told to connect describes itself again to whoever comes next."""
        return DISCONNECT if self._connected else b""

    def cut(self) -> None:
        super().cut()
        self._overlong = self._asked = False
        # Version 1 has no marks: where a packet begins is only known after a description.
        if self._said and self._said.version == 1:
            self._said = None

    def _tell(self, said: Description) -> None:
        self.rate_hz = said.rate_hz
        self.sequence_modulus = said.samples_per_packet << 32 if said.version == 2 else None
        self.description = f"SensiML simple streaming, version {said.version}, {said.rate_hz:g} Hz"
        self.notes = (
            (
                "SensiML version 1 has no check and no marks: after a lost byte all readings are wrong until the board starts again",
            )
            if said.version == 1
            else ()
        )

    def _take(self) -> list[Rows]:
        rows: list[Rows] = []
        while True:
            if self._said is None:
                if not self._look():
                    break
            elif not (self._packets_1(rows) if self._said.version == 1 else self._packets_2(rows)):
                break
        return joined(rows, self.sequence_modulus) if self.sequence_modulus else _put_together(rows)

    def _look(self) -> bool:
        """Take one line; False when none is complete."""
        end = self._rest.find(b"\n") + 1
        if not end:
            if self._overlong or len(self._rest) > LONGEST_LINE:
                self._drop(len(self._rest), _UNSAID)
                self._overlong = True
            self._ask()
            return False
        line = self._rest[:end]
        # What follows an overlong beginning is its end, and so is the whole when it came in one piece.
        if not self._overlong and end <= LONGEST_LINE and is_description(line[line.find(b"{") :]):
            start = line.find(b"{")
            self._drop(start, _UNSAID)
            self._describe(line[start:])
        else:
            self._drop(end, _UNSAID)
        self._overlong = False
        self._ask()
        return True

    def _describe(self, line: bytes) -> None:
        """Follow a description that begins the rest."""
        try:
            said = describe(line, self._columns)
        except InputError:
            self._drop(len(line), "unusable description")
            return
        self._said = said
        self._tell(said)
        self._book(line)

    def _book(self, line: bytes) -> None:
        self._rest = self._rest[len(line) :]
        self.other["description"] += len(line)
        if self._heard["description"] % ANSWERED_EVERY == 0:
            self._answer, self._connected = CONNECT, True
        self._heard["description"] += 1

    def _ask(self) -> None:
        if not self._asked and self._said is None and self.discarded[_UNSAID] >= ASKED_AFTER:
            self._asked, self._answer = True, DISCONNECT

    def _packets_1(self, rows: list[Rows]) -> bool:
        """Packets up to the next description; False when more bytes are needed."""
        if self._said is None:
            return True
        again = self._rest.find(self._said.line)
        if again >= 0:
            whole = again // self._said.payload * self._said.payload
            self._counts(rows, whole)
            self._drop(again - whole, "partial packet")
            self._book(self._said.line)
            return True
        safe = len(self._rest) - _overlap(self._rest, self._said.line)
        self._counts(rows, safe // self._said.payload * self._said.payload)
        return False

    def _counts(self, rows: list[Rows], size: int) -> None:
        """Whole packets of version 1 at the beginning of the rest."""
        if size:
            rows.append(Rows(self._samples(self._rest[:size])))
            self.sample_bytes += size
            self._rest = self._rest[size:]

    def _packets_2(self, rows: list[Rows]) -> bool:
        """Packets of version 2, and descriptions among them; what is neither is thrown away byte by byte."""
        said, data, at = self._said, self._rest, 0
        if said is None:
            return True
        size = _HEAD.size + said.payload + 1
        while at < len(data):
            left = len(data) - at
            if data[at] == said.line[0]:
                if data.startswith(said.line, at):
                    self._rest = data[at:]
                    self._book(said.line)
                    return True
                if left < len(said.line) and said.line.startswith(data[at:]):
                    break
                if (other := _line_at(data, at)) is None:
                    break
                if is_description(other):
                    self._rest = data[at:]
                    self._describe(other)
                    return True
            elif data[at] == _SYNC:
                if left < size:
                    break
                _, length, _, channel, number = _HEAD.unpack_from(data, at)
                frame = data[at : at + size]
                if length == said.payload + 6 and reduce(xor, frame[3:-1]) == frame[-1]:
                    at += size
                    self._channel = channel if self._channel is None else self._channel
                    if channel != self._channel:
                        self.other["channel"] += size
                        continue
                    sequence = number * said.samples_per_packet
                    rows.append(Rows(self._samples(frame[_HEAD.size : -1]), sequence=sequence))
                    self.sample_bytes += size
                    continue
            self.discarded["between packets"] += 1
            at += 1
        self._rest = data[at:]
        return False

    def _samples(self, counts: bytes) -> NDArray[np.float32]:
        if self._said is None:
            return np.zeros((0, 6), np.float32)
        raw = np.frombuffer(counts, "<i2").reshape(-1, len(self._said.columns))
        return to_si(raw[:, list(self._said.channels)], self._units)


def _put_together(rows: list[Rows]) -> list[Rows]:
    return [Rows(np.concatenate([piece.samples for piece in rows]))] if rows else []


def _overlap(data: bytes, line: bytes) -> int:
    """How many of the last bytes may be the beginning of `line`."""
    return next((size for size in range(min(len(data), len(line) - 1), 0, -1) if data.endswith(line[:size])), 0)


def _line_at(data: bytes, at: int) -> bytes | None:
    """The line that begins there; empty where none does, None where it may go on in what has not come."""
    line, end, _ = data[at : at + LONGEST_LINE].partition(b"\n")
    if not all(0x20 <= byte < 0x7F or byte in b"\t\r" for byte in line):
        return b""
    return line + end if end else None if len(line) < LONGEST_LINE else b""


def _json(line: bytes) -> object:
    """What a line says in JSON; None where it says nothing."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
