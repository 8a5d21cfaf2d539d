"""Numeric arrays of any number of dimensions out of MATLAB files in memory, with the runtime's own reader of their elements."""

from __future__ import annotations

import math
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import InputError
from aura_edge.sources.matlab import (
    COMPLEX,
    COMPRESSED,
    HEADER_BYTES,
    LARGEST_BYTES,
    MATRIX,
    NUMERIC,
    STORED,
    _elements,
)


def read_array(content: bytes, name: str) -> NDArray[np.float64]:
    """The array `name` of a `.mat` of version 5 to 7. Raises `InputError` where it is not there, not numeric or damaged."""
    order = {b"IM": "<", b"MI": ">"}.get(content[HEADER_BYTES - 2 : HEADER_BYTES])
    try:
        for kind, data in _elements(content[HEADER_BYTES:], order or "<", padded=False) if order else ():
            if kind == COMPRESSED:
                unpacker = zlib.decompressobj()
                unpacked = unpacker.decompress(data, LARGEST_BYTES)
                if not unpacker.eof:
                    raise ValueError("a variable is cut off, or larger than a recording can be")
                kind, data = next(_elements(unpacked, order or "<"), (0, b""))
            if kind == MATRIX and (found := _array(data, order or "<", name)) is not None:
                return found
    except (ValueError, KeyError, struct.error, zlib.error) as error:
        raise InputError(f"not a readable MATLAB file of version 5 to 7 ({error}). Copy it again.") from error
    raise InputError(f"no numeric array {name} in it; expected a MATLAB file of version 5 to 7 that has one.")


def _array(data: bytes, order: str, wanted: str) -> NDArray[np.float64] | None:
    parts = _elements(data, order)
    (_, flags), (_, dimensions), (_, name) = (next(parts, (0, b"")) for _ in range(3))
    if len(flags) != 8 or name.decode("ascii", "replace") != wanted:
        return None
    (word,) = struct.unpack_from(f"{order}I", flags)
    if word & 0xFF not in NUMERIC or word & COMPLEX:
        return None
    shape = struct.unpack(f"{order}{len(dimensions) // 4}i", dimensions)
    kind, numbers = next(parts, (0, b""))
    values = np.frombuffer(numbers, np.dtype(order + STORED[kind]))
    if min(shape) < 0 or len(values) != math.prod(shape):
        raise ValueError(f"an array of {shape} holds {len(values)} numbers")
    return values.reshape(shape, order="F").astype(np.float64)
