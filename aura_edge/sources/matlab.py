"""MATLAB files (`.mat`, versions 5 to 7): the one matrix of six columns in it, sampled at a rate that somebody must know.

The format is MathWorks' "MAT-File Level 5"; of it only numeric matrices are read, in plain Python: the compiled reader that everybody has brings
the process down on a damaged file.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import InputError
from aura_edge.sources.columns import settle_units
from aura_edge.sources.files import open_binary, reading
from aura_edge.sources.formats import Block, RecordingFormat
from aura_edge.sources.timeline import HEAD_ROWS, counted_ns, settle_rate
from aura_edge.sources.units import Units, to_si
from aura_edge.types import SourceInfo

HEADER_BYTES = 128
MATRIX, COMPRESSED = 14, 15
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Element types: how numbers are stored, which may be smaller than what they are."""
NUMERIC = range(6, 16)
"""Array classes from double to uint64; others are cells, structures, text and sparse matrices."""
COMPLEX = 0x800
LARGEST_BYTES = 1 << 30
"""A variable larger than this is no recording, or a bomb."""


class MatlabRecording:
    """A `.mat` in memory. It holds neither times nor units: `--rate-hz` and `--units`, or a preset, must say them."""

    def __init__(self, path: Path, form: RecordingFormat) -> None:
        self._readings = _matrix(path)
        if form.rate_hz is None:
            raise InputError(
                f"{path}: a matrix without times. Say how fast it was sampled with --rate-hz, or name a --preset."
            )
        self._units, notes = settle_units(path, form, Units(), timed=False)
        self._rate_hz, _ = settle_rate(path, form.rate_hz, form.rate_hz)
        self.info = SourceInfo(name=str(path), rate_hz=self._rate_hz, units=str(self._units), notes=notes)

    def blocks(self, *, labels: bool = False) -> Iterator[Block]:
        """All rows, some thousands at a time; such a file has no labels."""
        for start in range(0, len(self._readings), HEAD_ROWS):
            rows = self._readings[start : start + HEAD_ROWS]
            yield Block(counted_ns(start, len(rows), self._rate_hz), to_si(rows, self._units))


def _matrix(path: Path) -> NDArray[np.float64]:
    """The only numeric (N, 6) matrix of the file."""
    with open_binary(path) as file, reading(path):
        content = file.read()
    try:
        found = {name: matrix for name, matrix in _matrices(content) if len(matrix) and matrix.shape[1] == 6}
    except (ValueError, KeyError, struct.error, zlib.error) as error:
        raise InputError(
            f"{path}: not a readable MATLAB file of version 5 to 7 ({error}). Save it again with -v7, or as CSV."
        ) from error
    if len(found) != 1:
        raise InputError(
            f"{path}: {len(found)} matrices of six columns ({', '.join(found) or 'none'}), expected one: acc_x acc_y acc_z gyro_x gyro_y gyro_z."
        )
    (matrix,) = found.values()
    return matrix


def _matrices(content: bytes) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Name and value of each numeric matrix of two dimensions."""
    order = {b"IM": "<", b"MI": ">"}.get(content[HEADER_BYTES - 2 : HEADER_BYTES])
    if order is None:
        raise ValueError("no header of one")
    for kind, data in _elements(content[HEADER_BYTES:], order, padded=False):
        if kind == COMPRESSED:
            unpacker = zlib.decompressobj()
            unpacked = unpacker.decompress(data, LARGEST_BYTES)
            if not unpacker.eof:
                raise ValueError("a variable is cut off, or larger than a recording can be")
            kind, data = next(_elements(unpacked, order), (0, b""))
        if kind == MATRIX and (found := _numeric(data, order)) is not None:
            yield found


def _numeric(data: bytes, order: str) -> tuple[str, NDArray[np.float64]] | None:
    """One array: flags, dimensions, name, numbers by column; None for what is no real matrix of two dimensions."""
    parts = _elements(data, order)
    (_, flags), (_, dimensions), (_, name) = (next(parts, (0, b"")) for _ in range(3))
    if len(flags) != 8 or len(dimensions) != 8:
        return None
    (word,) = struct.unpack_from(f"{order}I", flags)
    if word & 0xFF not in NUMERIC or word & COMPLEX:
        return None
    rows, columns = struct.unpack(f"{order}2i", dimensions)
    kind, numbers = next(parts, (0, b""))
    values = np.frombuffer(numbers, np.dtype(order + STORED[kind]))
    if min(rows, columns) < 0 or len(values) != math.prod((rows, columns)):
        raise ValueError(f"a matrix of {rows} by {columns} holds {len(values)} numbers")
    return name.decode("ascii", "replace"), values.reshape((rows, columns), order="F").astype(np.float64)


def _elements(data: bytes, order: str, *, padded: bool = True) -> Iterator[tuple[int, bytes]]:
    """Type and content of each data element. Small ones are packed into their tag; others end on a multiple of 8 bytes, but compressed
    ones do not."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}2I", data, at)
        if kind >> 16:  # packed: size and type share the first word
            kind, size, start, step = kind & 0xFFFF, kind >> 16, at + 4, 8
        else:
            start, step = at + 8, 8 + size + (-size % 8 if padded or kind != COMPRESSED else 0)
        if size > len(data) - start or (start == at + 4 and size > 4):
            raise ValueError("it is cut off, or damaged")
        yield kind, data[start : start + size]
        at += step
