"""What a VRS file holds and whether it is all there, read from its record headers: the library drops what is missing without an error.

Layout (facebookresearch/vrs, vrs/FileFormat.h and vrs/IndexRecord.cpp): a file header names the sizes of the headers and the places of the index
and of the first record; each record header names its record's size, stream and kind. An index of the usual form begins with its streams and the
number of its records, which are readable even where the entries themselves are compressed.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from aura_edge.errors import InputError
from aura_edge.sources.files import open_binary, reading

_FILE = struct.Struct("<8s8xIIqqq")
"""Magic, size of this header, size of record headers, places of the index, the description and the first record."""
_RECORD = struct.Struct("<I4xiI8xHB")
"""Size with header, type and format version of the record, instance, kind."""
_MAGIC = b"VisionRe"
_INDEX, _DESCRIPTION = 1, 2
_CLASSIC_INDEX = 2
_DATA = 3
_READ_BYTES = 8192
"""Some dozen IMU records, and not much of an image."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found in a VRS file."""

    data_records: dict[str, int]
    """Data records of each stream, by its id such as `1202-1`."""
    damage: str | None
    """What is missing, in words; None when nothing is."""


def survey(path: Path) -> Survey:
    """Walk through the record headers of a VRS file: half a second for a million records.

    Raises `InputError` for a file that is not there, or is no VRS file. Of a recording split into several files only the first is looked at.
    """
    with open_binary(path) as file, reading(path):
        head = file.read(_FILE.size)
        if not head.startswith(_MAGIC) or len(head) < _FILE.size:
            raise InputError(
                f"{path}: not a VRS file. Expected a recording made by Aria glasses or by the VRS library."
            )
        _, head_bytes, record_bytes, index_at, _, first = _FILE.unpack(head)
        end = file.seek(0, 2)
        promised = _promised(file, index_at, record_bytes) if 0 < index_at < end else None
        counts, records, stop = Counter[tuple[int, int]](), 0, first or head_bytes
        for kind_of_stream, instance, kind, after in _records(file, stop, end, max(record_bytes, _RECORD.size)):
            stop = after
            if kind_of_stream not in (_INDEX, _DESCRIPTION):
                records += 1
                counts[kind_of_stream, instance] += kind == _DATA
        split = path.with_name(path.name + "_1").exists()
    damage = None
    if not split and index_at >= end:
        damage = f"the file is cut: its index should be at byte {index_at}, and it ends at {end}; {records} whole records are left"
    elif not split and promised is not None and records < promised:
        damage = f"the file is cut: {records} of its {promised} records are left"
    elif not split and stop != end:
        damage = f"the file is cut or damaged after {records} records, at byte {stop} of {end}"
    return Survey({f"{stream}-{instance}": count for (stream, instance), count in counts.items()}, damage)


def _records(file: BufferedReader, at: int, end: int, header_bytes: int) -> Iterator[tuple[int, int, int, int]]:
    """Type and instance of the stream, kind, and the place after it, of every record that is whole."""
    data, start = b"", 0
    while at + header_bytes <= end:
        if at + _RECORD.size > start + len(data):
            file.seek(at)
            data, start = file.read(_READ_BYTES), at
        size, kind_of_stream, _, instance, kind = _RECORD.unpack_from(data, at - start)
        at += size
        if size < header_bytes or at > end:
            return
        yield kind_of_stream, instance, kind, at


def _promised(file: BufferedReader, index_at: int, record_bytes: int) -> int | None:
    """How many records the index says there are, where it is of the usual form."""
    file.seek(index_at)
    header = file.read(record_bytes)
    if len(header) < max(record_bytes, _RECORD.size):
        return None
    _, kind_of_stream, version, _, _ = _RECORD.unpack_from(header)
    streams = file.read(4)
    if kind_of_stream != _INDEX or version != _CLASSIC_INDEX or len(streams) < 4:
        return None
    file.seek(6 * struct.unpack("<I", streams)[0], 1)
    count = file.read(4)
    return int(struct.unpack("<I", count)[0]) if len(count) == 4 else None
