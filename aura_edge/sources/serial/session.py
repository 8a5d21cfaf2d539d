"""Happenings to samples: recognises what a board speaks, follows it through loss, restarts and returns, and says what it must be told.

Everything here is decided by the happenings and nothing else. The same ones, taken in the same pieces, give the same chunks: a recording
of a run reproduces it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from aura_edge.errors import DeviceError, InputError
from aura_edge.resample import MAX_RATE_HZ, MIN_RATE_HZ
from aura_edge.sources.presets import parse_columns
from aura_edge.sources.serial.bridge import SAY_HELLO, Bridge, speaks_bridge
from aura_edge.sources.serial.foreign import Foreign
from aura_edge.sources.serial.happenings import Arrived, Connected, Disconnected, Happening, Overflowed
from aura_edge.sources.serial.recognition import FORMATS, recognise
from aura_edge.sources.serial.recording import Header
from aura_edge.sources.units import parse_units
from aura_edge.types import NS_PER_S, ImuChunk, SourceInfo
from aura_edge_firmware_bridge.codec import Decoder

RECOGNISED_AFTER_NS = 2 * NS_PER_S
"""So much is listened to before a format is named; our own is known by its first frame."""
ASKED_AFTER_NS = 1_200_000_000
"""A board of ours says hello once a second until it is answered; one that was answered before waits in silence to be asked."""
SILENT_AFTER_NS = 5 * NS_PER_S
UNREADABLE_AFTER_NS = 8 * NS_PER_S
"""Time for a handshake, and for measuring a rate."""
MOST_HELD = 1 << 18
"""Bytes that are held while a format is looked for."""


class Dialect(Protocol):
    """How one board speaks, once that is known."""

    info: SourceInfo | None

    def connected(self, host_ns: int) -> None: ...

    def disconnected(self) -> None: ...

    def cut(self) -> None:
        """Bytes are missing here: what came half does not go on."""

    def feed(self, host_ns: int, data: bytes) -> None: ...

    def drain(self) -> list[ImuChunk]: ...

    def sent(self, host_ns: int, data: bytes) -> None: ...

    def finish(self) -> list[ImuChunk]: ...

    def replies(self) -> list[bytes]: ...

    def farewell(self) -> bytes: ...

    def report(self) -> Mapping[str, float]: ...

    def notes(self) -> list[str]: ...


class Session:
    """One run. `take` happenings as they were taken, send `replies`, and `finish` when it ends."""

    def __init__(self, header: Header) -> None:
        """Raises `InputError` for options that make no sense, whatever the board speaks."""
        self._header = header
        self._form = str(header.options.get("format") or "auto")
        if self._form not in FORMATS:
            raise InputError(f"format {self._form!r}: expected one of {', '.join(FORMATS)}.")
        self._columns = _checked(header.options)
        self._dialect: Dialect | None = None
        self._found = ""
        if self._form == "aura":
            self._dialect, self._found = Bridge(header.port), "aura-edge frames"
        self._held: list[Arrived | Overflowed] = []
        self._decoder = Decoder()  # has heard what is held, and looks for a frame of ours in it
        self._held_bytes = 0
        self._connected_ns: int | None = None
        self._first_ns: int | None = None
        self._settled_ns = 0  # when it became clear what is spoken
        self._asked = False
        self._question: list[bytes] = []
        self._counts: Counter[str] = Counter()

    @property
    def info(self) -> SourceInfo | None:
        """What is known of the stream, once it is."""
        return None if self._dialect is None else self._dialect.info

    @property
    def found(self) -> str:
        """What the board was found to speak, in a few words for people; empty until that is known."""
        return self._found

    def take(self, happenings: Sequence[Happening]) -> list[ImuChunk]:
        """What these amount to. Raises `DeviceError` for a board that says nothing, `InputError` for one that nobody understands."""
        for happening in happenings:
            self._see(happening)
        return [] if self._dialect is None or self._dialect.info is None else self._dialect.drain()

    def finish(self) -> list[ImuChunk]:
        """The run ends: what was held back, and what is known to be missing behind it."""
        return [] if self._dialect is None else self._dialect.finish()

    def replies(self) -> list[bytes]:
        """What to send now."""
        asked, self._question = self._question, []
        return asked if self._dialect is None else asked + self._dialect.replies()

    def farewell(self) -> bytes:
        """What to send before the port is closed."""
        return b"" if self._dialect is None else self._dialect.farewell()

    def report(self) -> dict[str, float]:
        """Counts and clocks of the wire so far, for the summary."""
        counts = {name: float(count) for name, count in self._counts.items()}
        return counts if self._dialect is None else {**counts, **self._dialect.report()}

    def notes(self) -> tuple[str, ...]:
        """What a person should be told of the run."""
        told = [] if self._dialect is None else self._dialect.notes()
        if dropped := self._counts["overflowed_bytes"]:
            told.append(f"{dropped} bytes were thrown away because the computing was far behind")
        return tuple(told)

    def _see(self, happening: Happening) -> None:
        dialect = self._dialect
        if isinstance(happening, Overflowed):
            self._counts["overflowed_bytes"] += happening.size
            if dialect is not None:
                dialect.cut()
            elif self._held:
                self._held.append(happening)
                self._decoder.feed(b"\0")
        elif isinstance(happening, Connected):
            self._counts["connections"] += 1
            self._connected_ns, self._first_ns = happening.host_ns, None
            self._held, self._held_bytes, self._decoder = [], 0, Decoder()
            self._asked, self._question = False, []
            if dialect is not None:
                dialect.connected(happening.host_ns)
        elif isinstance(happening, Arrived):
            self._counts["bytes"] += len(happening.data)
            if dialect is None:
                self._recognise(happening)
            else:
                dialect.feed(happening.host_ns, happening.data)
                self._expect(happening.host_ns)
        elif dialect is not None:
            if isinstance(happening, Disconnected):
                dialect.disconnected()
            else:
                dialect.sent(happening.host_ns, happening.data)

    def _expect(self, host_ns: int) -> None:
        """A board that is understood must say before long how its samples are read."""
        since_ns = max(self._connected_ns or 0, self._settled_ns)
        if self.info is None and host_ns - since_ns > UNREADABLE_AFTER_NS:
            raise DeviceError(
                f"{self._header.port}: {self._counts['bytes']} bytes in {UNREADABLE_AFTER_NS / NS_PER_S:.0f} s, none that says how to read samples "
                f"({self._found or self._form}). Check the board's firmware, or name another format with --format."
            )

    def _recognise(self, arrived: Arrived) -> None:
        """Listen until it is clear what is spoken; then everything that was heard counts."""
        since_ns = arrived.host_ns - (arrived.host_ns if self._connected_ns is None else self._connected_ns)
        if arrived.data:
            self._first_ns = arrived.host_ns if self._first_ns is None else self._first_ns
            self._held.append(arrived)
            self._held_bytes += len(arrived.data)
        if self._first_ns is None:
            self._wait_for_a_byte(since_ns)
            return
        found = self._decoder.feed(arrived.data)
        if self._form == "auto" and speaks_bridge(found):
            self._settle(Bridge(self._header.port), "aura-edge frames")
        elif arrived.host_ns - self._first_ns >= RECOGNISED_AFTER_NS or self._held_bytes >= MOST_HELD:
            heard = b"".join(held.data for held in self._held if isinstance(held, Arrived))
            self._settle(*self._foreign(heard))

    def _wait_for_a_byte(self, since_ns: int) -> None:
        if since_ns > SILENT_AFTER_NS:
            raise DeviceError(
                f"{self._header.port}: not one byte in {since_ns / NS_PER_S:.0f} s. Check that the board is on and sends, its cable, and the "
                f"rate ({self._header.baud} baud; another with --baud)."
            )
        if since_ns > ASKED_AFTER_NS and not self._asked:
            self._asked = True
            self._question = [SAY_HELLO] if self._form == "auto" else []

    def _foreign(self, heard: bytes) -> tuple[Dialect, str]:
        told = self._header.options
        rate_hz, units = told.get("rate_hz"), told.get("units")
        heard_s = RECOGNISED_AFTER_NS / NS_PER_S
        try:
            found = recognise(
                heard, name=self._form, units=units, columns=self._columns, rate_hz=rate_hz, heard_s=heard_s
            )
        except InputError as error:
            raise type(error)(f"{self._header.port}: {str(error).removeprefix('stream: ')}") from error
        if found.parser is None:
            return Bridge(self._header.port), found.sentence
        dialect = Foreign(self._header.port, found.parser, rate_hz=rate_hz, placement=told.get("placement"))
        return dialect, found.sentence

    def _settle(self, dialect: Dialect, found: str) -> None:
        """From here on this is what is spoken; it hears everything from the start."""
        self._dialect, self._found, held, self._held = dialect, found, self._held, []
        self._settled_ns = held[-1].host_ns
        dialect.connected(held[0].host_ns)
        for happening in held:
            if isinstance(happening, Arrived):
                dialect.feed(happening.host_ns, happening.data)
            else:
                dialect.cut()


def _checked(options: Mapping[str, Any]) -> dict[str, str | int] | None:
    """The columns, of options that make sense. Raises `InputError` for others."""
    if (units := options.get("units")) is not None:
        parse_units(str(units))
    rate_hz = options.get("rate_hz")
    if rate_hz is not None and not (isinstance(rate_hz, int | float) and MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ):
        raise InputError(
            f"rate of {rate_hz} Hz: expected {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} Hz. Say another with --rate-hz."
        )
    return parse_columns(str(options["columns"])) if options.get("columns") else None
