"""Lists of stretches of recordings that are not to be used: known faults of a sensor, sequences out of step with their video.

`bad_windows.json` or `bad_windows.csv` in a data set's folder is found by itself. JSON is a list of `{"recording": ..., "t0_s": ..., "t1_s": ...,
"reason": ...}`, or of `[recording, t0_s, t1_s]` as IMU2CLIP writes them; CSV has the same names in its first line. Times are seconds on the
clock of the set's annotations. The samples inside are refused and counted as `bad_window`, so that no window reaches into one.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from aura_edge.errors import RecipeError
from aura_edge.types import NS_PER_S
from aura_edge_train.datasets.modalities import Span

NAMES = ("bad_windows.json", "bad_windows.csv")


class BadWindow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of a list."""

    recording: Annotated[str, msgspec.Meta(min_length=1)]
    t0_s: float
    t1_s: float
    reason: str = "listed"

    def span(self, zero_ns: int) -> Span:
        """The same in the device time of a recording whose annotations count from `zero_ns`."""
        return Span(zero_ns + math.floor(self.t0_s * NS_PER_S), zero_ns + math.ceil(self.t1_s * NS_PER_S), self.reason)


def find(folder: Path) -> list[Path]:
    """The lists in a data set's folder: one, or none."""
    found = [folder / name for name in NAMES if (folder / name).is_file()]
    if len(found) > 1:
        raise RecipeError(f"{folder}: {' and '.join(NAMES)} are both there, expected one. Put them together.")
    return found


def read(path: Path) -> Mapping[str, tuple[BadWindow, ...]]:
    """The entries of a list by recording. Raises `RecipeError` naming the one that makes no sense."""
    try:
        rows = _csv(path) if path.suffix == ".csv" else msgspec.json.decode(path.read_bytes(), type=list[object])
        entries = [_entry(row) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error, msgspec.DecodeError) as error:
        raise RecipeError(
            f"{path}: not a list of bad windows ({error}). Expected recording, t0_s, t1_s and reason in each entry."
        ) from error
    listed: dict[str, list[BadWindow]] = {}
    for entry in entries:
        if not -math.inf < entry.t0_s < entry.t1_s < math.inf:
            raise RecipeError(
                f"{path}: {entry.recording} from {entry.t0_s:g} to {entry.t1_s:g} s: expected an end after its start, in seconds."
            )
        listed.setdefault(entry.recording, []).append(entry)
    return {name: tuple(each) for name, each in listed.items()}


def of_folder(folder: Path) -> Mapping[str, tuple[BadWindow, ...]]:
    """What the list in a data set's folder says; nothing where there is none."""
    return next((read(path) for path in find(folder)), {})


def spans(windows: Iterable[BadWindow], zero_ns: int) -> tuple[Span, ...]:
    """Entries of one recording in its device time."""
    return tuple(window.span(zero_ns) for window in windows)


def _csv(path: Path) -> list[object]:
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: value for key, value in row.items() if value} for row in csv.DictReader(file)]


def _entry(row: object) -> BadWindow:
    if isinstance(row, list):
        row = dict(zip(("recording", "t0_s", "t1_s", "reason"), row, strict=False))
    return msgspec.convert(row, BadWindow, strict=False)
