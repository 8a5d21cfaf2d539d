"""A store in the making: each part of a data set is brought to the grid and left in the draft folder, finished by a rename.

A process that is killed leaves whole parts behind; the next one goes on after them. What a part holds depends on the part alone, so that the
store is the same for any number of processes.
"""

from __future__ import annotations

import math
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from aura_edge.types import NS_PER_S
from aura_edge_train.datasets import DataSet, LabelledRecording, bad_windows, poses
from aura_edge_train.datasets.bad_windows import BadWindow
from aura_edge_train.datasets.grid import GridSegment, pad, segments_of
from aura_edge_train.datasets.index import LABELS, POSE, POSE_RATE_HZ, SIGNALS, Segment, SegmentClip
from aura_edge_train.datasets.modalities import Clip, Moment, Pose, Skeleton

PART = "part.json"
NEAR_S = 0.5
"""A moment so near a segment, and in none, belongs to its edge: a video may begin a little before its sensor."""
SHORTEST_PADDED_S = 1.0
"""A segment shorter than this is a scrap between two gaps, and is not made into a window."""
OUTSIDE = "moment outside the signal"

Bad = Mapping[str, Sequence[BadWindow]]


class PlacedMoment(msgspec.Struct, frozen=True, array_like=True):
    """A moment at a sample of a part's signals."""

    segment: int
    sample: int
    text: str
    kind: str


class DraftPart(msgspec.Struct, frozen=True):
    """`part.json`: as in the store's index, but counted from the part's own first sample."""

    segments: tuple[Segment, ...]
    samples: dict[str, int]
    left_out: dict[str, int]
    moments: tuple[PlacedMoment, ...]
    clips: tuple[SegmentClip, ...]


def folder_of(draft: Path, number: int) -> Path:
    """Where part `number` of a draft is."""
    return draft / f"{number:06d}"


def frames_of(length: int, rate_hz: float) -> int:
    """Frames of motion capture that belong to a segment of `length` samples."""
    return math.ceil(length * POSE_RATE_HZ / rate_hz - 1e-9)


def write_part(
    draft: Path, number: int, data_set: DataSet, recordings: Iterable[LabelledRecording], rate_hz: float, bad: Bad
) -> None:
    """Bring the recordings of one part to the grid and write them; another process that has written the same part is as good."""
    segments: list[Segment] = []
    signals = [np.zeros((0, 6), np.float32)]
    labels = [np.zeros(0, np.int8)]
    frames: list[NDArray[np.float32]] = []
    moments: list[PlacedMoment] = []
    clips: list[SegmentClip] = []
    samples, left_out = Counter[str](), Counter[str]()
    start = 0
    for recording in recordings:
        refused = bad_windows.spans(bad.get(recording.name, ()), recording.zero_ns)
        found = []
        for segment in segments_of(recording, rate_hz, samples, bad=refused):
            if data_set.pads_to_s and len(segment.signals) >= SHORTEST_PADDED_S * rate_hz:
                segment = pad(segment, round(data_set.pads_to_s * rate_hz), rate_hz)
                samples["padded"] += segment.padded
            found.append((start, segment))
            start += len(segment.signals)
        left_out.update(recording.left_out)
        moments += _placed(recording.moments, found, len(segments), rate_hz, left_out)
        for first, segment in found:
            signals.append(segment.signals)
            labels.append(segment.labels)
            number_of_segment = len(segments)
            segments.append(
                Segment(recording.name, recording.subject, first, len(segment.signals), recording.split, segment.padded)
            )
            if data_set.skeleton is not None:
                frames.append(_frames(recording.pose, segment, data_set.skeleton, rate_hz))
            clips += [_shown(clip, number_of_segment, segment, rate_hz) for clip in recording.clips]
    samples = +samples  # a count of zero is no reason
    part = DraftPart(tuple(segments), dict(samples), dict(left_out), tuple(moments), tuple(clips))
    temporary = draft / f".{number:06d}.{os.getpid()}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        np.save(temporary / SIGNALS, np.concatenate(signals))
        np.save(temporary / LABELS, np.concatenate(labels))
        if data_set.skeleton is not None:
            np.save(temporary / POSE, np.concatenate([np.zeros((0, data_set.skeleton.channels), np.float32), *frames]))
        (temporary / PART).write_bytes(msgspec.json.encode(part))
        try:
            temporary.rename(folder_of(draft, number))
        except OSError:
            if not (folder_of(draft, number) / PART).is_file():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _shown(clip: Clip, number: int, segment: GridSegment, rate_hz: float) -> SegmentClip:
    """Where a segment is in a video."""
    if clip.seconds_at is None:
        return SegmentClip(number, clip.camera, str(clip.path), (segment.t0_ns - clip.t0_ns) / NS_PER_S)
    length_s = len(segment.signals) / rate_hz
    begin, end = (clip.seconds_at(segment.t0_ns + round(since * NS_PER_S)) for since in (0.0, length_s))
    return SegmentClip(number, clip.camera, str(clip.path), begin, (end - begin) / length_s)


def read_part(draft: Path, number: int) -> DraftPart:
    """What a written part says."""
    return msgspec.json.decode((folder_of(draft, number) / PART).read_bytes(), type=DraftPart)


def _placed(
    moments: Sequence[Moment],
    segments: Sequence[tuple[int, GridSegment]],
    before: int,
    rate_hz: float,
    left_out: Counter[str],
) -> list[PlacedMoment]:
    """Each moment at its sample; those of no segment are counted."""
    if not moments or not segments:
        left_out.update({OUTSIDE: len(moments)} if moments else {})
        return []
    starts = np.array([segment.t0_ns for _, segment in segments])
    lengths = np.array([len(segment.signals) for _, segment in segments])
    placed = []
    for moment in sorted(moments, key=lambda each: (each.t_ns, each.kind, each.text)):
        at = np.rint((moment.t_ns - starts) * (rate_hz / NS_PER_S)).astype(np.int64)
        away = np.maximum(np.maximum(-at, at - (lengths - 1)), 0)
        nearest = int(np.argmin(away))
        if away[nearest] > NEAR_S * rate_hz:
            left_out[OUTSIDE] += 1
            continue
        first, _ = segments[nearest]
        sample = first + int(np.clip(at[nearest], 0, lengths[nearest] - 1))
        placed.append(PlacedMoment(before + nearest, sample, moment.text, moment.kind))
    return placed


def _frames(pose: Pose | None, segment: GridSegment, skeleton: Skeleton, rate_hz: float) -> NDArray[np.float32]:
    """(F, J*3) of one segment; where it was extended, the body keeps the pose that it had."""
    count = frames_of(len(segment.signals), rate_hz)
    if pose is None:
        return np.full((count, skeleton.channels), np.nan, np.float32)
    frames = poses.resample(pose, segment.t0_ns, count, POSE_RATE_HZ).reshape(count, skeleton.channels)
    if segment.padded:
        before = segment.padded // 2
        after = len(segment.signals) - (segment.padded - before)
        at = np.arange(count) * (rate_hz / POSE_RATE_HZ)
        inside = np.flatnonzero((at >= before) & (at < after))
        frames[: inside[0]], frames[inside[-1] + 1 :] = frames[inside[0]], frames[inside[-1]]
    return frames
