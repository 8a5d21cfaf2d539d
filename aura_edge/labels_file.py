"""A text file of labels, one a line, that is watched: saved in any editor, it becomes the set in force. `#` starts a comment."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from aura_edge.errors import AuraEdgeError, InputError

LARGEST_BYTES = 1 << 20
LOOK_S = 0.5

_log = logging.getLogger("aura_edge.labels")


def read_labels_file(path: Path) -> list[str]:
    """The labels in `path`. Raises `InputError` for a file that cannot be read or that holds none."""
    try:
        content = path.read_bytes()
        if len(content) > LARGEST_BYTES:
            raise InputError(
                f"{path}: {len(content):,} bytes; expected a label a line, {LARGEST_BYTES:,} bytes at most."
            )
        lines = [line.partition("#")[0].strip() for line in content.decode().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}). Expected text in UTF-8, a label a line.") from error
    if not (labels := [line for line in lines if line]):
        raise InputError(f"{path}: no label in it. Write one a line; # starts a comment.")
    return labels


class LabelsFile:
    """Looks at the file twice a second, from a thread of its own, and hands what it holds to `replace` when it has changed.

    A file that is gone, empty or refused is said in the log, and the set in force stays.
    """

    def __init__(self, path: Path, replace: Callable[[Sequence[str]], object]) -> None:
        self._path, self._replace = path, replace
        self._seen = self._look()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="aura-edge labels file", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        unsettled: tuple[int, int, int] | None = None
        while not self._closed.wait(LOOK_S):
            found = self._look()
            # An editor may be in the middle of writing: a change counts when it has stood for one look.
            if found not in (self._seen, unsettled):
                unsettled = found
            elif found != self._seen:
                self._seen = found
                self._take()

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _take(self) -> None:
        try:
            self._replace(read_labels_file(self._path))
        except AuraEdgeError as error:
            _log.warning("%s; the labels in force stay", str(error).rstrip("."))
