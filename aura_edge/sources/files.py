"""Opening files: the one place where the system's refusals become our errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from aura_edge.errors import InputError


def as_path(path: str | os.PathLike[str]) -> Path:
    """`path` with `~` resolved."""
    found = path if isinstance(path, Path) else Path(path)
    return found.expanduser() if str(found).startswith("~") else found


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Translate what can go wrong with a file while it is opened or read."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file. Check the path.") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: is a folder, expected a recording. Name a file in it.") from error
    except PermissionError as error:
        raise InputError(f"{path}: no permission to read it. Change its mode, or ask its owner.") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}.") from error


def open_binary(path: Path) -> BufferedReader:
    """Open a recording for reading. Raises `InputError` when it is not there, not a file, not readable or empty."""
    with reading(path):
        file = path.open("rb")
        if not file.peek(1):
            file.close()
            raise InputError(f"{path}: the file is empty. Copy or record it again.")
    return file
