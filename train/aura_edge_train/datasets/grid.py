"""Labelled recordings on the exact grid, by the same `Resampler` as a live stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aura_edge.resample import Resampler
from aura_edge.types import NS_PER_S, GridBlock
from aura_edge_train.datasets import LabelledRecording


@dataclass(frozen=True, slots=True, eq=False)
class GridSegment:
    """Samples without a hole between them."""

    signals: NDArray[np.float32]
    """(n, 6)."""
    labels: NDArray[np.int8]
    """(n,) class of each: that of the last sample read at or before it."""


def segments_of(recording: LabelledRecording, rate_hz: float, counts: Counter[str]) -> Iterator[GridSegment]:
    """Each segment of a recording; `counts` gains the samples `read`, `used` and refused by reason."""
    resampler = Resampler(recording.rate_hz, rate_hz)
    blocks = [block for chunk in recording.chunks for block in resampler.push(chunk)]
    blocks += resampler.finish()
    pending: list[GridBlock] = []
    for block in blocks:
        pending.append(block)
        counts["used"] += int(block.inputs.sum())
        if block.ends_segment is not None:
            signals = np.concatenate([each.samples for each in pending])
            t_ns = pending[0].t0_ns + np.rint(np.arange(len(signals)) * (NS_PER_S / rate_hz)).astype(np.int64)
            before = np.searchsorted(recording.t_ns, t_ns, side="right") - 1
            yield GridSegment(signals, recording.labels[np.maximum(before, 0)])
            pending = []
    counts["read"] += resampler.read
    counts.update(resampler.dropped)
