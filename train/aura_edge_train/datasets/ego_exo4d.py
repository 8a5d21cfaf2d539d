"""Ego-Exo4D: Aria glasses, still cameras around, motion capture, descriptions and commentary (Grauman et al. 2024, arXiv:2311.18259). Licensed.

Below `ego-exo4d/`, as its own command line puts them (`--parts metadata takes captures annotations`):

    takes.json, takes/<take_name>/aria01_noimagestreams.vrs, takes/<take_name>/frame_aligned_videos/cam*.mp4
    captures/<capture_name>/timesync.csv      ties annotations to the glasses' clock; a take without it is left out, and counted
    annotations/atomic_descriptions_*.json, expert_commentary_*.json, splits.json, ego_pose/*/body/{annotation,automatic}/<take_uid>.json
    splits/training*.json ...                 lists of take names or uids, where the user has them; else splits.json, else a hash of the uid

A recording is a take, and a split holds whole takes: one person may be in several. Its class is its kind of task. Of a take's downscaled videos the
smallest is used where there are any.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import RecipeError
from aura_edge.types import ImuChunk
from aura_edge_train.datasets import DataSet, LabelledRecording, Part, Split, in_parts, soft_labels
from aura_edge_train.datasets.aria import cut_short
from aura_edge_train.datasets.modalities import Clip
from aura_edge_train.datasets.poses import EGO_BODY_POSE
from aura_edge_train.datasets.splits import by_hash, list_files, read_lists
from aura_edge_train.datasets.take_annotations import (
    Take,
    moments_of,
    pose_files,
    pose_of,
    read_clock,
    read_splits,
    read_takes,
    text_files,
    timesync_file,
)

NAME = "ego-exo4d"
TASKS = soft_labels.EGO_EXO4D
OTHER = len(TASKS.classes)
"""Class of a take of no known kind of task: it has no caption."""
NO_CLOCK = "take without timesync.csv"
STREAM = "imu-right"


def _vrs(home: Path, take: Take) -> Path:
    return home / "takes" / take.take_name / f"{take.glasses}_noimagestreams.vrs"


def _takes(folder: Path) -> list[Take]:
    """Those whose glasses' recording is there."""
    home = folder / NAME
    takes = [take for take in _listed(home).values() if _vrs(home, take).is_file()]
    if not takes:
        raise RecipeError(f"{home / 'takes'}: no aria01_noimagestreams.vrs of any take; expected takes/<take_name>/.")
    return takes


def _listed(home: Path) -> Mapping[str, Take]:
    path = home / "takes.json"
    if not path.is_file():
        raise RecipeError(f"{path}: not there; expected the metadata of Ego-Exo4D.")
    return _read_takes(home, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _read_takes(home: Path, changed_ns: int) -> Mapping[str, Take]:
    return {take.take_name: take for take in read_takes(home)}


def _files(folder: Path) -> list[Path]:
    home, takes = folder / NAME, _takes(folder)
    beside = [home / "takes.json", home / "annotations" / "splits.json", *text_files(home)]
    beside += sorted({timesync_file(home, take) for take in takes})
    for take in takes:
        beside += [*pose_files(home, take.take_uid), *(path for _, path in _videos(home, take))]
    there = [file for file in beside if file.is_file()]
    return [*(_vrs(home, take) for take in takes), *there, *list_files(home / "splits")]


def _parts(folder: Path) -> list[Part]:
    """One for each take."""
    return [
        Part(take.take_name, (_vrs(folder / NAME, take).relative_to(folder).as_posix(),)) for take in _takes(folder)
    ]


def _read_part(folder: Path, part: Part) -> Iterator[LabelledRecording]:
    from aura_edge.sources.vrs import VrsRecording

    home = folder / NAME
    take = _listed(home)[part.name]
    clock = read_clock(home, take)
    vrs = VrsRecording(folder / part.files[0], stream=STREAM)
    recording = LabelledRecording(
        name=take.take_name,
        subject=take.take_name if take.participant_uid is None else str(take.participant_uid),
        rate_hz=vrs.info.rate_hz,
        chunks=(),
        t_ns=np.zeros(1, np.int64),
        labels=np.full(1, _task(take), np.int8),
        split=_split(home, take),
    )
    if clock is None:
        yield replace(recording, left_out={NO_CLOCK: 1})
        return
    left_out = cut_short(vrs)
    yield replace(
        recording,
        chunks=(ImuChunk(block.t_ns, block.samples, host_ns=0) for block in vrs.blocks()),
        moments=moments_of(home, take, clock, left_out),
        pose=pose_of(home, take, clock),
        clips=[Clip(path.resolve(), clock.at(0.0), camera, clock.seconds_at) for camera, path in _videos(home, take)],
        left_out=left_out,
        zero_ns=clock.at(0.0),
    )


def _split(home: Path, take: Take) -> Split:
    listed = read_lists(home / "splits")
    told = listed.get(take.take_name) or listed.get(take.take_uid) or read_splits(home).get(take.take_uid)
    return told or by_hash(take.take_uid)


def _task(take: Take) -> int:
    for text in (take.parent_task_name, take.task_name):
        (number,) = TASKS.match([text or ""]).tolist()
        if number >= 0:
            return int(number)
    return OTHER


def _videos(home: Path, take: Take) -> list[tuple[str, Path]]:
    """Still cameras whose videos were downloaded."""
    found = []
    root = home / "takes" / take.take_name
    for camera, streams in sorted((take.frame_aligned_videos or {}).items()):
        if camera.startswith("aria") or camera in ("collage", "best_exo"):
            continue
        for _, video in sorted(streams.items()):
            if video.relative_path is None:
                continue
            full = root / video.relative_path
            small = sorted(
                full.parent.glob(f"downscaled/*/{full.name}"), key=lambda path: (len(path.parent.name), path)
            )
            found += [(camera, path) for path in (*small, full) if path.is_file()][:1]
    return found


def _caption_of(labels: NDArray[np.int8], starts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """A take is one task."""
    tasks = labels[starts].astype(np.int64)
    return np.where(tasks < OTHER, tasks, -1)


EGO_EXO4D = DataSet(
    name=NAME,
    classes=(*TASKS.classes, "other"),
    captions=TASKS.captions,
    redistributable=False,
    test_subjects=frozenset(),
    validation_subjects=frozenset(),
    evaluation_step_s=5.0,
    files=_files,
    read=in_parts(_parts, _read_part),
    caption_of=_caption_of,
    parts=_parts,
    read_part=_read_part,
    large=True,
    skeleton=EGO_BODY_POSE,
)
