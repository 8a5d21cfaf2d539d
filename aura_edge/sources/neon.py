"""Pupil Labs Neon recordings: `imu psN.raw` with fixed records, one file for each part, and `imu psN.time` beside it.

The path is the recording's folder (all parts in order) or one `.raw` file. The records are laid out as `imu.dtype` beside them says, and as
`LAYOUT` where it is missing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from aura_edge.errors import InputError
from aura_edge.sources.columns import settle_units
from aura_edge.sources.files import open_binary, reading
from aura_edge.sources.formats import Block, RecordingFormat
from aura_edge.sources.timeline import HEAD_ROWS, rate_of_head, settle_rate
from aura_edge.sources.units import Units, to_si
from aura_edge.types import SourceInfo

_TIME, _READINGS = "timestamp_ns", ("accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z")
_QUATERNION = ("quaternion_w", "quaternion_x", "quaternion_y", "quaternion_z")
LAYOUT = np.dtype([(_TIME, "<i8"), *((name, "<f4") for name in (*_READINGS[3:], *_READINGS[:3], *_QUATERNION))])


class NeonRecording:
    """The parts of one recording, one after the other; the pauses between them stay in the times."""

    def __init__(self, path: Path, form: RecordingFormat) -> None:
        self._parts = _parts(path)
        self._layout = _layout(self._parts[0].with_name("imu.dtype"))
        # Raw files carry no units: they come from the preset, and are asked for without it.
        self._units, notes = settle_units(path, form, Units(), timed=False)
        head = next(self.blocks(), None)
        if head is None:
            raise InputError(
                f"{path}: not one whole record of {self._layout.itemsize} bytes. Copy the recording again."
            )
        shown_hz = rate_of_head(path, head.t_ns, np.ones(len(head.t_ns), np.bool_), head.samples)
        rate_hz, rate_notes = settle_rate(path, shown_hz, form.rate_hz)
        notes += rate_notes + tuple(note for part in self._parts for note in self._missing(part))
        self.info = SourceInfo(name=str(path), rate_hz=rate_hz, units=str(self._units), notes=notes)

    def blocks(self, *, labels: bool = False) -> Iterator[Block]:
        """All rows of all parts, some thousands at a time; there are no labels."""
        size = self._layout.itemsize
        for part in self._parts:
            with open_binary(part) as file, reading(part):
                while data := file.read(HEAD_ROWS * size):
                    rows = np.frombuffer(data, self._layout, count=len(data) // size)
                    if len(rows):
                        readings = np.stack([rows[name] for name in _READINGS], axis=1)
                        yield Block(rows[_TIME].astype(np.int64), to_si(readings, self._units))

    def _missing(self, part: Path) -> Iterator[str]:
        """What a part lacks, in words."""
        with reading(part):
            records, rest = divmod(part.stat().st_size, self._layout.itemsize)
            times = part.with_suffix(".time")
            stamped = times.stat().st_size // 8 if times.is_file() else records
        if rest:
            yield f"{part.name} is cut: it ends {self._layout.itemsize - rest} bytes before the end of a record"
        if stamped != records:
            yield f"{part.name} holds {records} samples, {times.name} {stamped}"


def _parts(path: Path) -> list[Path]:
    with reading(path):
        if not path.is_dir():
            open_binary(path).close()
            return [path]
        parts = [part for part in path.iterdir() if re.fullmatch(r"imu ps\d+\.raw", part.name)]
    if not parts:
        raise InputError(
            f"{path}: no 'imu ps1.raw' in this folder. Name the folder of one Neon recording, or a .raw file in it."
        )
    return sorted(parts, key=lambda part: int("".join(filter(str.isdigit, part.stem))))


def _layout(path: Path) -> np.dtype[np.void]:
    """The record that `imu.dtype` describes: a Python list of (name, type)."""
    with reading(path):
        if not path.is_file():
            return LAYOUT
        text = path.read_text(encoding="utf-8", errors="replace")
    try:
        layout: np.dtype[np.void] = np.dtype(ast.literal_eval(text.strip())).newbyteorder("<")
    except (ValueError, SyntaxError, TypeError) as error:
        raise InputError(f"{path}: not a list of names and types ({error}). Copy the recording again.") from error
    lacking = [name for name in (_TIME, *_READINGS) if name not in (layout.names or ())]
    if lacking:
        raise InputError(f"{path}: names no {', '.join(lacking)}. Expected the layout of Neon's IMU records.")
    strange = [name for name in layout.names or () if layout[name].kind not in "iuf"]
    if strange:
        raise InputError(
            f"{path}: {', '.join(strange)} is no number ({layout[strange[0]]}). Expected the layout of Neon's IMU records."
        )
    return layout
