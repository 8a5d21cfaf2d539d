"""Ego4D: head-worn cameras with an IMU, narrated second by second (Grauman et al. 2022, arXiv:2110.07058). Licensed: not redistributable.

Below `ego4d/`, with or without `v1/` or `v2/` between, as its own command line puts them:

    imu/<video_uid>.csv          canonical_timestamp_ms, gyro_x..z in rad/s, accl_x..z in m/s2; unsorted, with rows that are not numbers
    annotations/narration.json   two passes of narrations per video, of which one may be missing; also found beside imu/
    full_scale/<video_uid>.mp4   the video, where there is one
    splits/training*.json ...    lists of video uids, where the user has them (IMU2CLIP's fit); else a hash of the uid decides

A recording is a video, and a split holds whole videos. Its device clock is the canonical time of the video. What it is called is in its moments.
`ego4d-classes` is the same with the four classes of IMU2CLIP (`soft_labels.py`): a window has one where most of it lies within 2.5 s of narrations
that say so.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from aura_edge.errors import RecipeError
from aura_edge.sources.formats import RecordingFormat
from aura_edge.sources.recordings import read_recording
from aura_edge.sources.timeline import estimate_rate_hz
from aura_edge.types import NS_PER_S, ImuChunk
from aura_edge_train.datasets import DataSet, LabelledRecording, Part, in_parts, soft_labels, without_captions
from aura_edge_train.datasets.modalities import Clip, Moment
from aura_edge_train.datasets.narrations import clean, without_repeats
from aura_edge_train.datasets.splits import by_hash, list_files, read_lists
from aura_edge_train.datasets.table import majority

NAME = "ego4d"
FORMAT = RecordingFormat(
    columns={
        "t": "canonical_timestamp_ms",
        "acc_x": "accl_x",
        "acc_y": "accl_y",
        "acc_z": "accl_z",
        "gyro_x": "gyro_x",
        "gyro_y": "gyro_y",
        "gyro_z": "gyro_z",
    },
    units="m/s2, rad/s, ms",
    rate_hz=200.0,
    placement="head",
)
"""The rate is told since rows out of order show none; that of the recording is estimated once they are sorted."""

LABELLED_NS = 5 * NS_PER_S
"""About each narration: the window that IMU2CLIP cuts there."""
SHARE = 0.6
"""Of a window that its class must fill."""


class _Narration(msgspec.Struct, frozen=True):
    timestamp_sec: float | None = None
    narration_text: str | None = None


class _Pass(msgspec.Struct, frozen=True):
    narrations: tuple[_Narration, ...] | None = None


class _Video(msgspec.Struct, frozen=True):
    narration_pass_1: _Pass | None = None
    narration_pass_2: _Pass | None = None


def moments_of(video: _Video, left_out: Counter[str]) -> list[Moment]:
    """The narrations of both passes, cleaned, in order of time, each once."""
    found = []
    for told in (video.narration_pass_1, video.narration_pass_2):
        for each in (told.narrations if told else None) or ():
            if each.timestamp_sec is None or not math.isfinite(each.timestamp_sec):
                left_out["narration: without a time"] += 1
            elif text := clean(each.narration_text or "", left_out):
                found.append(Moment(round(each.timestamp_sec * NS_PER_S), text, "narration"))
    return without_repeats(found, left_out)


def _places(folder: Path) -> list[Path]:
    home = folder / NAME
    return [home, home / "v2", home / "v1"]


def _tables(folder: Path) -> list[Path]:
    return sorted({file.stem: file for home in reversed(_places(folder)) for file in home.glob("imu/*.csv")}.values())


def _narration_file(folder: Path) -> Path:
    for home in _places(folder):
        for file in (home / "annotations" / "narration.json", home / "narration.json"):
            if file.is_file():
                return file
    raise RecipeError(f"{folder / NAME}: no narration.json there; expected it below annotations/.")


def _files(folder: Path) -> list[Path]:
    tables = _tables(folder)
    if not tables:
        raise RecipeError(f"{folder / NAME}: no Ego4D there; expected the IMU of each video as imu/<video_uid>.csv.")
    videos = [path for file in tables if (path := _video_file(folder, file.stem))]
    return [*tables, *videos, _narration_file(folder), *list_files(folder / NAME / "splits")]


def _video_file(folder: Path, uid: str) -> Path | None:
    videos = (home / "full_scale" / f"{uid}.mp4" for home in _places(folder))
    return next((path for path in videos if path.is_file()), None)


def _parts(folder: Path) -> list[Part]:
    """One for each video; where there are lists of splits, for each video that they name."""
    listed = read_lists(folder / NAME / "splits")
    tables = [file for file in _tables(folder) if not listed or file.stem in listed]
    if not tables:
        raise RecipeError(f"{folder / NAME / 'splits'}: its lists name none of the videos in imu/.")
    return [Part(file.stem, (file.relative_to(folder).as_posix(),)) for file in tables]


def _read_part(folder: Path, part: Part) -> Iterator[LabelledRecording]:
    trial = read_recording(folder / part.files[0], FORMAT)
    order = np.argsort(trial.t_ns, kind="stable")
    t_ns, samples = trial.t_ns[order], trial.samples[order]
    left_out = Counter[str]()
    narration_file = _narration_file(folder)
    video = _narrations(narration_file, narration_file.stat().st_mtime_ns).get(part.name)
    if video is None:
        left_out["video without narrations"] += 1
    footage = _video_file(folder, part.name)
    yield LabelledRecording(
        name=part.name,
        subject=part.name,
        rate_hz=estimate_rate_hz(t_ns, samples) or trial.info.rate_hz,
        chunks=[ImuChunk(t_ns, samples, host_ns=0)],
        t_ns=np.zeros(1, np.int64),
        labels=np.zeros(1, np.int8),
        moments=moments_of(video, left_out) if video else (),
        clips=[Clip(footage.resolve(), 0, "ego")] if footage else (),
        split=read_lists(folder / NAME / "splits").get(part.name) or by_hash(part.name),
        left_out=left_out,
    )


def _read_classes(folder: Path, part: Part) -> Iterator[LabelledRecording]:
    """The same, labelled by what its narrations say."""
    for recording in _read_part(folder, part):
        instants = np.array([moment.t_ns for moment in recording.moments], np.int64)
        said = soft_labels.EGO4D.match([moment.text for moment in recording.moments])
        t_ns, labels = soft_labels.around(instants, said, LABELLED_NS, len(soft_labels.EGO4D.classes))
        yield replace(recording, t_ns=t_ns, labels=labels)


@functools.lru_cache(maxsize=1)
def _narrations(file: Path, changed_ns: int) -> dict[str, _Video]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, _Video])
    except (OSError, msgspec.DecodeError) as error:
        raise RecipeError(f"{file}: not Ego4D's narrations ({error}). Download them again.") from error


EGO4D = DataSet(
    name=NAME,
    classes=("unlabelled",),
    captions=(),
    redistributable=False,
    test_subjects=frozenset(),
    validation_subjects=frozenset(),
    evaluation_step_s=5.0,
    files=_files,
    read=in_parts(_parts, _read_part),
    caption_of=without_captions,
    parts=_parts,
    read_part=_read_part,
    large=True,
)

EGO4D_CLASSES = replace(
    EGO4D,
    name="ego4d-classes",
    classes=(*soft_labels.EGO4D.classes, "unlabelled"),
    captions=soft_labels.EGO4D.captions,
    evaluation_step_s=2.5,
    read=in_parts(_parts, _read_classes),
    caption_of=partial(majority, kinds=len(soft_labels.EGO4D.classes), share=SHARE),
    read_part=_read_classes,
    same_files_as=NAME,
)
