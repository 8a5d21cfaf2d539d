"""A sensor on a wire: a port that may go and come back, what is heard on it, and the samples in that.

transport    bytes from and to a port
reader       the thread that reads it, a bounded queue, and reconnecting
happenings   what happens on a wire, as values
recording    the same on disk, so that a run can be played again
session      happenings to samples: everything that is decided, and nothing that waits
parsers      what boards of other makers say
"""

from __future__ import annotations

import os

MAGIC = b"AURAREC\x01"
SUFFIX = ".aurec"


def is_recording(path: str | os.PathLike[str]) -> bool:
    """Whether a file starts as recordings do."""
    if not os.path.isfile(path):
        return False  # a pipe would be waited for, and is read only once
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False
