"""How recordings are described, and what reading one gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from aura_edge.types import SourceInfo


@dataclass(frozen=True, slots=True)
class RecordingFormat:
    """What a recording does not say about itself. The default says nothing: then its header must name columns and units."""

    reader: Literal["delimited", "matlab", "npz", "parquet", "neon"] | None = None
    """Which reader takes it; None chooses by the ending of the file's name."""
    columns: Mapping[str, str | int] = field(default_factory=dict)
    """Where `acc_x` ... `gyro_z`, `t` and `label` are: the name of a column, or its place counted from 0. Others are recognised by name."""
    headerless: tuple[str, ...] = ()
    """Names of the columns of a text file that has no header line."""
    units: str | None = None
    """As for `--units`; stronger than what the header says."""
    rate_hz: float | None = None
    """Sampling rate: needed where there is no time column; otherwise it replaces the estimate."""
    arrival_times: bool = False
    """Whether the times say when samples were delivered, in bunches, rather than when they were taken: see `clock.py`. Text files only."""
    delimiter: str | None = None
    """Between the fields of a text file; None finds it out. A space stands for any white space."""
    segments: tuple[str, ...] = ()
    """Columns that name a trial: where one of them changes, a new trial begins, kept apart from the last one by a gap in time."""
    placement: str | None = None
    """Where the sensor was worn."""
    placement_by_ending: Mapping[str, str] = field(default_factory=dict)
    """The same, by how the file's name ends before its suffix: `{"_sw": "wrist"}`."""
    gravity_included: bool = True
    """Whether the accelerometer reads gravity at rest."""
    acc_range_m_s2: float | None = None
    """Full scale of the accelerometer."""
    gyro_range_rad_s: float | None = None
    """Full scale of the gyroscope."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Consecutive rows of a recording, in SI units. A damaged row is there too, as a sample that is not a number."""

    t_ns: NDArray[np.int64]
    """(n,) as found; a row without a readable time carries that of the row before."""
    samples: NDArray[np.float32]
    """(n, 6)."""
    labels: NDArray[np.str_] | None = None
    """(n,) what the recording calls each row, where it does and was asked."""
    segment: tuple[str, ...] = ()
    """Which trial all these rows belong to, in recordings of several."""
    sequence: NDArray[np.int64] | None = None
    """(n,) the device's own count of samples, where it keeps one."""


class Recording(Protocol):
    """A recording that can be read again and again, in bounded memory."""

    info: SourceInfo

    def blocks(self, *, labels: bool = False) -> Iterator[Block]: ...
