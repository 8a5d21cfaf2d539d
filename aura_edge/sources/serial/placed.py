"""Messages of samples that are placed in time and in order, and the chunks they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aura_edge.sources.serial.calibration import Calibration
from aura_edge.sources.serial.ordering import Numbered
from aura_edge.types import ClockReading, ImuChunk


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """One message of samples."""

    t_ns: NDArray[np.int64]
    raw: NDArray[np.int16]
    calibration: Calibration
    host_ns: int


def nothing(sequence: int, calibration: Calibration, host_ns: int) -> Numbered[Placed]:
    """No samples, at a number: it makes a chunk by which whoever counts losses knows how far the board was."""
    empty = Placed(np.empty(0, np.int64), np.empty((0, 6), np.int16), calibration, host_ns)
    return Numbered(sequence, 0, empty)


def chunks_of(runs: Sequence[Numbered[Placed]], clock: ClockReading | None) -> list[ImuChunk]:
    """Each stretch of consecutive samples of one calibration as one chunk."""
    chunks, start = [], 0
    for stop in range(1, len(runs) + 1):
        if stop == len(runs) or not _goes_on(runs[stop - 1], runs[stop]):
            part = [run.value for run in runs[start:stop]]
            t_ns, raw = np.concatenate([run.t_ns for run in part]), np.concatenate([run.raw for run in part])
            samples = part[0].calibration(raw)
            chunks.append(ImuChunk(t_ns, samples, part[-1].host_ns, runs[start].sequence, clock))
            start = stop
    return chunks


def _goes_on(run: Numbered[Placed], after: Numbered[Placed]) -> bool:
    return after.sequence == run.sequence + run.count and after.value.calibration is run.value.calibration
