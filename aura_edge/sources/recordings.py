"""Reading recordings of any kind: as a stream of blocks for playing them, or whole for training on them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import InputError
from aura_edge.sources.delimited import DelimitedRecording
from aura_edge.sources.files import as_path, reading
from aura_edge.sources.formats import Block, Recording, RecordingFormat
from aura_edge.sources.matlab import MatlabRecording
from aura_edge.sources.neon import NeonRecording
from aura_edge.sources.npz import NpzRecording
from aura_edge.sources.parquet import ParquetRecording
from aura_edge.types import SourceInfo

READERS: dict[str, Callable[[Path, RecordingFormat], Recording]] = {
    "delimited": DelimitedRecording,
    "matlab": MatlabRecording,
    "neon": NeonRecording,
    "npz": NpzRecording,
    "parquet": ParquetRecording,
}
"""By the names that `RecordingFormat.reader` takes. A reader is made of a path and a format; it imports what it needs when it is made."""
SUFFIXES = {".mat": "matlab", ".npz": "npz", ".parquet": "parquet", ".pq": "parquet"}
"""Which reader takes a file by the ending of its name; any other is text."""


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """A stretch of a recording in memory."""

    info: SourceInfo
    t_ns: NDArray[np.int64]
    """(N,) device time."""
    samples: NDArray[np.float32]
    """(N, 6) in m/s2 and rad/s; damaged rows are not numbers."""
    labels: NDArray[np.str_] | None = None
    """(N,) the recording's own label of each row, where it has them."""
    segment: tuple[str, ...] = ()
    """Which trial it is, as the columns that name trials say: `("D01", "1")`."""


def open_recording(path: str | os.PathLike[str], form: RecordingFormat | None = None) -> Recording:
    """Open a recording with its format, and look at its beginning. Raises `InputError` and `UnitsError`."""
    where, form = as_path(path), form or RecordingFormat()
    if os.path.isdir(where) and form.reader != "neon":
        raise InputError(
            f"{where}: is a folder, expected a recording. Name a file in it; a Neon recording's folder needs --preset neon."
        )
    with reading(where):
        piped = where.is_fifo()
    if piped:
        raise InputError(
            f"{where}: a pipe, which cannot be read twice. Write it to a file, and name that or redirect it: < FILE."
        )
    recording = READERS[form.reader or SUFFIXES.get(where.suffix.lower(), "delimited")](where, form)
    recording.info = replace(
        recording.info,
        placement=next((p for end, p in form.placement_by_ending.items() if where.stem.endswith(end)), form.placement),
        gravity_included=form.gravity_included,
        acc_range_m_s2=form.acc_range_m_s2,
        gyro_range_rad_s=form.gyro_range_rad_s,
    )
    return recording


def read_recording(path: str | os.PathLike[str], form: RecordingFormat | None = None) -> Trial:
    """Read a recording whole, with its labels. Its trials, where it has several, follow each other with a gap in time."""
    recording = open_recording(path, form)
    return _joined(recording.info, list(recording.blocks(labels=True)), ())


def read_trials(path: str | os.PathLike[str], form: RecordingFormat | None = None) -> Iterator[Trial]:
    """The trials of a recording one after the other; a recording without trials is one."""
    recording = open_recording(path, form)
    pending: list[Block] = []
    for block in recording.blocks(labels=True):
        if pending and block.segment != pending[-1].segment:
            yield _joined(recording.info, pending, pending[-1].segment)
            pending = []
        pending.append(block)
    yield _joined(recording.info, pending, pending[-1].segment)


def _joined(info: SourceInfo, blocks: list[Block], segment: tuple[str, ...]) -> Trial:
    labels = [block.labels for block in blocks if block.labels is not None]
    return Trial(
        info=info,
        t_ns=np.concatenate([block.t_ns for block in blocks]),
        samples=np.concatenate([block.samples for block in blocks]),
        labels=np.concatenate(labels) if len(labels) == len(blocks) else None,
        segment=segment,
    )
