"""A run on disk: everything that happened on a wire, byte for byte with host times, and when it was taken, so that it can be played again.

The file (`.aurec`) starts with `MAGIC`; then records follow, each `u8 kind, u32 length, i64 host_ns`, `length` bytes, and a CRC-32 of all
that, little-endian. Records are written one by one and never changed: a process that is killed has lost nothing that it read, and a record
that was cut by a full disk or a lost battery is where the recording ends.

    header       what was opened and how, as JSON; always the first
    arrived      bytes that came; none: a second of silence
    sent         bytes that were handed to the port
    connected    the port, as text              disconnected   the reason, as text
    overflowed   bytes that came and were thrown away because nobody had taken those before
    taken        u32: how many of the records since the last `taken` (its own kind not counted) the run went on with
    index        u64 offset of the index before (0: none), u64 bytes that had arrived; one about every ten seconds, and before the end
    end          nothing: the run was ended in order, and what was not taken by then was never used
"""

from __future__ import annotations

import os
import struct
import threading
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from aura_edge.errors import InputError, SinkError
from aura_edge.sources.serial import MAGIC
from aura_edge.sources.serial.happenings import Arrived, Connected, Disconnected, Happening, Overflowed, Sent
from aura_edge.types import NS_PER_S

HEADER, ARRIVED, SENT, CONNECTED, DISCONNECTED, OVERFLOWED, TAKEN, INDEX, END = range(9)
SCHEMA = 1
INDEX_EVERY_NS = 10_000_000_000
LONGEST_RECORD = 1 << 20
_HEAD = struct.Struct("<BIq")
_CRC = struct.Struct("<I")
_INDEX = struct.Struct("<QQ")
_COUNT = struct.Struct("<I")


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was started with: all that a session must be told to decide the same again."""

    schema: int = SCHEMA
    port: str
    """As it was named."""
    baud: int
    options: dict[str, Any] = {}
    """Those of the session: format, units, columns, rate_hz, placement."""
    aura_edge: str = ""
    """Version that recorded."""


class Recorder:
    """Appends to a file that must not be there yet. Safe to be called from two threads."""

    def __init__(self, path: str | os.PathLike[str], header: Header, *, host_ns: int) -> None:
        """Raises `SinkError` for a file that is there, or a place that cannot be written."""
        self._path = Path(path)
        self._lock = threading.RLock()  # a signal handler may close what its own thread is closing
        self._closing = False
        self._position = self._arrived = self._last_index = 0
        self._indexed_ns = self._last_ns = host_ns
        self._file: BinaryIO | None
        try:
            self._file = open(self._path, "xb", buffering=0)  # noqa: SIM115 - open for as long as the run lasts
        except FileExistsError:
            raise SinkError(
                f"{path}: is there already, and a recording is never written over. Name another file."
            ) from None
        except OSError as error:
            raise SinkError(f"{path}: cannot be made: {error.strerror}. Choose a place you may write to.") from error
        self._write(MAGIC)
        self._record(HEADER, host_ns, msgspec.json.encode(header))

    def append(self, happening: Happening, overflowed: bytes = b"") -> None:
        """Write what happened; of an overflow, the bytes that were thrown away."""
        with self._lock:
            if isinstance(happening, Arrived):
                self._arrived += len(happening.data)
                self._record(ARRIVED, happening.host_ns, happening.data)
            elif isinstance(happening, Sent):
                self._record(SENT, happening.host_ns, happening.data)
            elif isinstance(happening, Connected):
                self._record(CONNECTED, happening.host_ns, happening.port.encode())
            elif isinstance(happening, Disconnected):
                self._record(DISCONNECTED, happening.host_ns, happening.reason.encode())
            else:
                self._record(OVERFLOWED, happening.host_ns, overflowed)
            self._last_ns = happening.host_ns
            if self._last_ns - self._indexed_ns >= INDEX_EVERY_NS:
                self._index()

    def taken(self, count: int, host_ns: int) -> None:
        """The run went on with so many of the happenings since the last call."""
        with self._lock:
            self._record(TAKEN, host_ns, _COUNT.pack(count))

    def close(self) -> None:
        """End the recording in order. Raises `SinkError` where that cannot be written."""
        with self._lock:
            if self._file is None or self._closing:
                return
            self._closing = True
            self._index()
            self._record(END, self._last_ns, b"")
            file, self._file = self._file, None
            if file is not None:
                file.close()

    def fileno(self) -> int:
        """Of the file while it is open; -1 after that."""
        return -1 if self._file is None else self._file.fileno()

    def _index(self) -> None:
        here = self._position
        self._record(INDEX, self._last_ns, _INDEX.pack(self._last_index, self._arrived))
        self._last_index, self._indexed_ns = here, self._last_ns

    def _record(self, kind: int, host_ns: int, payload: bytes) -> None:
        content = _HEAD.pack(kind, len(payload), host_ns) + payload
        self._write(content + _CRC.pack(zlib.crc32(content)))

    def _write(self, data: bytes) -> None:
        if self._file is None:
            return
        try:
            written = self._file.write(data)
            while written < len(data):  # a disk that fills up takes a part first, and refuses the rest
                written += self._file.write(data[written:])
        except OSError as error:
            file, self._file = self._file, None
            file.close()
            raise SinkError(
                f"{self._path}: cannot be written: {error.strerror}. What was recorded until now can be played. Free some space."
            ) from error
        self._position += len(data)


class Recorded:
    """A recording, read again. Raises `InputError` for a file that is none."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.ended = False
        """Whether it was ended in order; known once it was read through."""
        self.cut_bytes = 0
        """Bytes from the first record on that is not whole; known once it was read through."""
        self._cut_ns = 0  # host time of the record before those
        self._played = False
        for kind, host_ns, payload in self._records():
            if kind == HEADER:
                try:
                    self.header = msgspec.json.decode(payload, type=Header)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise InputError(f"{path}: its header cannot be read ({error}). Record it again.") from error
                if self.header.schema != SCHEMA:
                    raise InputError(
                        f"{path}: a recording of schema {self.header.schema}; expected {SCHEMA}. Read it with the version of aura-edge that made "
                        f"it ({self.header.aura_edge or 'unknown'}), or with a newer one than this."
                    )
                self.start_ns = host_ns
                return
            break
        raise InputError(f"{path}: a recording without a header: it was cut before its first byte. Record it again.")

    def batches(self) -> Generator[list[Happening], None, None]:
        """What the run went on with, piece by piece as it took them; of a run that was killed, the rest one by one."""
        pending: list[Happening] = []
        ended = False
        for kind, host_ns, payload in self._records():
            if kind == TAKEN:
                (count,) = _COUNT.unpack(payload)
                yield pending[:count]
                pending = pending[count:]
            elif (happening := _happening(kind, host_ns, payload)) is not None:
                pending.append(happening)
            ended = ended or kind == END
        self.ended = ended
        if not ended:
            for happening in pending:
                yield [happening]
        self._played = True

    def notes(self) -> tuple[str, ...]:
        """What a person should be told of the file, so far as it was read."""
        if self.cut_bytes:
            since_s = (self._cut_ns - self.start_ns) / NS_PER_S
            return (
                f"{self.cut_bytes:,} bytes of the recording, behind {since_s:.1f} s of it, cannot be read: it is damaged or cut there",
            )
        if self._played and not self.ended:
            return (
                "the recording was not ended in order, as when its program is killed: it holds what was read until then",
            )
        return ()

    @property
    def duration_s(self) -> float:
        """From its start to the last thing that happened: out of its last lines when it was ended in order, else by reading it through."""
        last_ns = self.start_ns
        with open(self.path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(len(MAGIC), size - _HEAD.size - _CRC.size))
            if (record := _read_record(file)) is not None and record[0] == END:
                return (record[1] - self.start_ns) / NS_PER_S
        for _, host_ns, _ in self._records():
            last_ns = max(last_ns, host_ns)
        return (last_ns - self.start_ns) / NS_PER_S

    def arrived(self) -> Iterator[tuple[int, bytes]]:
        """All bytes that came, with their host times, those that overflowed as well."""
        for kind, host_ns, payload in self._records():
            if kind in (ARRIVED, OVERFLOWED):
                yield host_ns, payload

    def _records(self) -> Iterator[tuple[int, int, bytes]]:
        try:
            with open(self.path, "rb") as file:
                if file.read(len(MAGIC)) != MAGIC:
                    raise InputError(
                        f"{self.path}: is no recording of aura-edge (it starts otherwise). Name one that `record` wrote."
                    )
                at, size, last_ns = len(MAGIC), os.fstat(file.fileno()).st_size, 0
                while (record := _read_record(file)) is not None:
                    yield record
                    at, last_ns = file.tell(), record[1]
                self.cut_bytes, self._cut_ns = max(0, size - at), last_ns
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read: {error.strerror}.") from error


def _read_record(file: BinaryIO) -> tuple[int, int, bytes] | None:
    """The next one; None at the end, and at whatever is not whole."""
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    kind, length, host_ns = _HEAD.unpack(head)
    if length > LONGEST_RECORD:
        return None
    rest = file.read(length + _CRC.size)
    if len(rest) < length + _CRC.size:
        return None
    payload = rest[:length]
    if zlib.crc32(payload, zlib.crc32(head)) != _CRC.unpack(rest[length:])[0]:
        return None
    return kind, host_ns, payload


def _happening(kind: int, host_ns: int, payload: bytes) -> Happening | None:
    if kind == ARRIVED:
        return Arrived(host_ns, payload)
    if kind == SENT:
        return Sent(host_ns, payload)
    if kind == CONNECTED:
        return Connected(host_ns, payload.decode(errors="replace"))
    if kind == DISCONNECTED:
        return Disconnected(host_ns, payload.decode(errors="replace"))
    return Overflowed(host_ns, len(payload)) if kind == OVERFLOWED else None
