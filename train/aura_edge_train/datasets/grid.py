"""Labelled recordings on the exact grid, by the same `Resampler` as a live stream."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aura_edge.resample import Resampler
from aura_edge.types import NS_PER_S, GridBlock, ImuChunk
from aura_edge_train.datasets import LabelledRecording
from aura_edge_train.datasets.modalities import Span

EDGE_S = 0.1
"""An added sample holds the mean acceleration of so much of its end: one sample alone may be the peak of a shock."""


@dataclass(frozen=True, slots=True, eq=False)
class GridSegment:
    """Samples without a hole between them."""

    signals: NDArray[np.float32]
    """(n, 6)."""
    labels: NDArray[np.int8]
    """(n,) class of each: that of the last sample read at or before it."""
    t0_ns: int
    """Device time of the first."""
    padded: int = 0
    """How many of them were added."""


def segments_of(
    recording: LabelledRecording, rate_hz: float, counts: Counter[str], *, bad: Sequence[Span] = ()
) -> Iterator[GridSegment]:
    """Each segment of a recording; `counts` gains the samples `read`, `used` and refused by reason.

    Samples within one of `bad` are refused as `bad_window`: no window reaches into it, whoever cuts windows.
    """
    resampler = Resampler(recording.rate_hz, rate_hz)
    refused_last = False
    pending: list[GridBlock] = []

    def whole(blocks: Sequence[GridBlock]) -> Iterator[GridSegment]:
        for block in blocks:
            pending.append(block)
            counts["used"] += int(block.inputs.sum())
            if block.ends_segment is not None:
                signals = np.concatenate([each.samples for each in pending])
                t0_ns = pending[0].t0_ns
                t_ns = t0_ns + np.rint(np.arange(len(signals)) * (NS_PER_S / rate_hz)).astype(np.int64)
                before = np.searchsorted(recording.t_ns, t_ns, side="right") - 1
                yield GridSegment(signals, recording.labels[np.maximum(before, 0)], t0_ns)
                pending.clear()

    def ended() -> Iterator[GridSegment]:
        yield from whole(resampler.finish())
        counts["read"] += resampler.read
        counts.update(resampler.dropped)

    for chunk in recording.chunks:
        for piece, refused in _pieces(chunk, bad):
            if refused:
                counts["bad_window"] += len(piece.t_ns)
                counts["read"] += len(piece.t_ns)
            else:
                if refused_last:  # a short hole would be bridged, and windows would reach across it
                    yield from ended()
                    resampler = Resampler(recording.rate_hz, rate_hz)
                yield from whole(resampler.push(piece))
            refused_last = refused
    yield from ended()


def pad(segment: GridSegment, length: int, rate_hz: float) -> GridSegment:
    """`segment` extended to `length` samples as if the sensor had been at rest before and after, half of it on either side.

    The accelerometer holds the mean of its first and of its last tenth of a second, so that gravity points where it did; the gyroscope reads
    zero, since a direction of gravity that stays is a sensor that does not turn. Reflecting would be as true to physics (with the gyroscope's
    sign turned), but plays the movement backwards: of a swipe to the left it makes one to the right.
    """
    missing = length - len(segment.signals)
    if missing <= 0:
        return segment
    before = missing // 2
    edge = max(1, round(EDGE_S * rate_hz))
    signals = np.zeros((length, 6), np.float32)
    signals[:before, :3] = segment.signals[:edge, :3].mean(0)
    signals[before : length - (missing - before)] = segment.signals
    signals[length - (missing - before) :, :3] = segment.signals[-edge:, :3].mean(0)
    labels = np.pad(segment.labels, (before, missing - before), mode="edge")
    t0_ns = segment.t0_ns - round(before * NS_PER_S / rate_hz)
    return replace(segment, signals=signals, labels=labels, t0_ns=t0_ns, padded=missing)


def _pieces(chunk: ImuChunk, bad: Sequence[Span]) -> Iterator[tuple[ImuChunk, bool]]:
    """The runs of a chunk that are in none of `bad`, and those that are, in order; each with whether it is refused."""
    refused = np.zeros(len(chunk.t_ns), np.bool_)
    for span in bad:
        refused |= (chunk.t_ns >= span.t0_ns) & (chunk.t_ns < span.t1_ns)
    if not refused.any():
        yield chunk, False
        return
    cuts = [0, *(np.flatnonzero(np.diff(refused)) + 1).tolist(), len(refused)]
    for begin, end in itertools.pairwise(cuts):
        yield replace(chunk, t_ns=chunk.t_ns[begin:end], samples=chunk.samples[begin:end]), bool(refused[begin])
