"""Arrays in a file that says whether it is whole: safetensors, mapped into memory, with the sha256 of everything in it.

The file is written beside, then renamed. It is opened once and mapped from there, so that another process may replace it meanwhile.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from aura_edge.errors import InputError
from aura_edge.whole_files import replace_file

DTYPES: dict[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4"), "U8": np.dtype("u1")}
LENGTH_BYTES = 8
"""Length of the header, before it, little-endian; the header's offsets count from its end."""


class _Tensor(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def write(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write `tensors` (none of them empty) to `path`. Raises `InputError` where that cannot be done."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, save(dict(tensors), {"sha256": _sha256(tensors)}))
    except OSError as error:
        raise InputError(
            f"{path}: embeddings cannot be kept: {error.strerror}. Free some space, or choose another cache folder."
        ) from error


def read(path: Path) -> dict[str, NDArray[Any]] | None:
    """The tensors of the file at `path`, mapped, read-only; None where there is none. A damaged file is removed, and None as well."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(LENGTH_BYTES), "little")
            header = file.read(min(length, path.stat().st_size))
            described = msgspec.json.decode(header, type=dict[str, dict[str, Any]])
            expected = described.pop("__metadata__")["sha256"]
            tensors: dict[str, NDArray[Any]] = {}
            for name, entry in described.items():
                tensor = msgspec.convert(entry, _Tensor)
                dtype, (begin, end) = DTYPES[tensor.dtype], tensor.data_offsets
                if end - begin != dtype.itemsize * math.prod(tensor.shape):
                    raise ValueError(f"{name}: {end - begin} bytes for {tensor.shape} of {tensor.dtype}")
                offset = LENGTH_BYTES + length + begin
                tensors[name] = np.memmap(file, dtype, mode="r", offset=offset, shape=tensor.shape)
        if _sha256(tensors) == expected:
            return tensors
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}. Choose another cache folder.") from error
    except (msgspec.MsgspecError, ValueError, KeyError, OverflowError):
        # Cut off, or something else altogether: as bad as data that does not match.
        pass
    path.unlink(missing_ok=True)
    return None


def _sha256(tensors: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}\n".encode())
        digest.update(np.ascontiguousarray(tensor).data)
    return digest.hexdigest()
