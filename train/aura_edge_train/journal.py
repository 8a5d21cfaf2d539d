"""The log of a run: JSON lines that grow with each epoch, and that a resumed run continues as if it had never stopped."""

from __future__ import annotations

from pathlib import Path

import msgspec

from aura_edge.errors import RecipeError
from aura_edge.whole_files import replace_file


class Journal:
    """Collects the lines of an epoch and writes them together."""

    def __init__(self, path: Path, epochs_done: int) -> None:
        """Continue the log at `path`; lines of epochs that a kill undid are dropped."""
        self._path = path
        self._lines: list[bytes] = []
        if path.exists():
            self._lines = [line for line in path.read_bytes().splitlines() if _epoch_of(line) < epochs_done]

    def add(self, **values: object) -> None:
        """One line; `epoch` must be among its values."""
        self._lines.append(msgspec.json.encode(values))

    def write(self) -> None:
        """Put the log on disk as it is now. Raises `RecipeError` where that fails."""
        try:
            replace_file(self._path, b"\n".join(self._lines) + b"\n")
        except OSError as error:
            raise RecipeError(
                f"{self._path}: cannot write the log: {error.strerror}. Free some space and resume."
            ) from error


class _Line(msgspec.Struct):
    epoch: int


def _epoch_of(line: bytes) -> float:
    try:
        return msgspec.json.decode(line, type=_Line).epoch
    except msgspec.DecodeError:
        return float("inf")
