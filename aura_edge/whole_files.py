"""Files and folders that are there whole or not at all: written beside their place, then renamed into it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from aura_edge.errors import SinkError


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` beside `path`, then rename it there: nobody ever sees half of it. A link is followed; what is no regular file, such
    as a device or a pipe, is written to and not replaced."""
    path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_result(path: Path, content: bytes) -> None:
    """`replace_file` for what a user asked for by name. Raises `SinkError` where it cannot be written."""
    try:
        replace_file(path, content)
    except OSError as error:
        raise SinkError(f"{path}: cannot write the result: {error.strerror}. Choose another place.") from error


def replace_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """The folder `target` with exactly these files, by their paths inside it; what was there goes once the new one is complete, and comes
    back where it cannot be put in place."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        for name, content in files.items():
            file = draft / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        _swap(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _swap(draft: Path, target: Path) -> None:
    if not target.exists():
        draft.rename(target)
        return
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    target.rename(old)
    try:
        draft.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
