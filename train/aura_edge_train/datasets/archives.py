"""Members of an archive, by the data set's own naming; nothing else in it is looked at, and nothing is unpacked to where it says."""

from __future__ import annotations

import functools
import lzma
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path

from aura_edge.errors import RecipeError


def read_members(archive: Path, naming: re.Pattern[str]) -> Mapping[str, bytes]:
    """Content of each file of a `.tar.xz` whose whole name matches `naming`, by its group `name`.

    The last archive stays in memory: a process that reads its parts one after the other decompresses it once. Raises `RecipeError`.
    """
    try:
        known = archive.stat()
        return _members(archive, naming, known.st_size, known.st_mtime_ns)
    except (tarfile.TarError, lzma.LZMAError, EOFError, OSError) as error:
        raise RecipeError(f"{archive}: cannot be read ({error}). Copy the archive again.") from error


@functools.lru_cache(maxsize=1)
def _members(archive: Path, naming: re.Pattern[str], size: int, changed_ns: int) -> Mapping[str, bytes]:
    found = {}
    with tarfile.open(archive, "r:xz") as tar:
        for member in tar:
            match = naming.fullmatch(member.name)
            stream = tar.extractfile(member) if match and member.isfile() else None
            if match and stream:
                found[match["name"]] = stream.read()
    return found
