"""The files beside the takes of Ego-Exo4D: its list of takes, texts, body poses, splits, and the clock that ties them to the glasses.

Annotations count seconds, or frames of 30 a second, from the first frame of a take's frame-aligned videos. Which moment of the glasses' clock that is
stands in the capture's `timesync.csv` only: its rows from `timesync_start_idx` + 1 up to `timesync_end_idx` are the frames of the take, and the
column `<camera>_214-1_capture_timestamp_ns` is the device time of the RGB camera's frame, the clock of the IMU in the same VRS file. (The authors'
own examples add that one; read without it, everything is 33 ms earlier.) Rows of frames that were dropped are empty.
"""

from __future__ import annotations

import csv
import functools
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import RecipeError
from aura_edge.types import NS_PER_S
from aura_edge_train.datasets import Split
from aura_edge_train.datasets.modalities import Moment, Pose
from aura_edge_train.datasets.narrations import clean_description, without_repeats
from aura_edge_train.datasets.poses import EGO_BODY_POSE
from aura_edge_train.datasets.splits import STEMS

FRAME_RATE_HZ = 30.0
RGB = "214-1"
T = TypeVar("T")


class Camera(msgspec.Struct, frozen=True):
    cam_id: str
    is_ego: bool = False


class Capture(msgspec.Struct, frozen=True):
    capture_name: str = ""
    cameras: tuple[Camera, ...] = ()


class Video(msgspec.Struct, frozen=True):
    relative_path: str | None = None


class Take(msgspec.Struct, frozen=True):
    """One entry of `takes.json`, as far as it matters here."""

    take_uid: str
    take_name: str
    task_name: str | None = None
    parent_task_name: str | None = None
    participant_uid: int | str | None = None
    is_dropped: bool | None = None
    timesync_start_idx: int | None = None
    timesync_end_idx: int | None = None
    capture: Capture | None = None
    frame_aligned_videos: dict[str, dict[str, Video]] | None = None

    @property
    def glasses(self) -> str:
        """Name of the camera that the person wore."""
        cameras = self.capture.cameras if self.capture else ()
        return next((each.cam_id for each in cameras if each.is_ego and each.cam_id.startswith("aria")), "aria01")


class _Description(msgspec.Struct, frozen=True):
    text: str | None = None
    timestamp: float | None = None
    subject: str | None = None
    narration_subject: str | None = None
    unsure: bool | None = None


class _Descriptions(msgspec.Struct, frozen=True):
    rejected: bool | None = None
    descriptions: tuple[_Description, ...] | None = None


class _Remark(msgspec.Struct, frozen=True):
    video_time: float | None = None
    text: str | None = None
    error: Any = None


class _Commentary(msgspec.Struct, frozen=True):
    commentary_data: tuple[_Remark, ...] | None = None


class _Point(msgspec.Struct, frozen=True):
    x: float | None = None
    y: float | None = None
    z: float | None = None


class _Body(msgspec.Struct, frozen=True):
    annotation3D: dict[str, _Point] | None = None


class _Annotations(msgspec.Struct, frozen=True):
    annotations: dict[str, Any]


class _Splits(msgspec.Struct, frozen=True):
    take_uid_to_split: dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class TakeClock:
    """Device time of the frames of a take."""

    frames_ns: NDArray[np.int64]
    """(F,) one for each frame of its frame-aligned videos."""

    def at(self, seconds: float) -> int:
        """Device time of a moment of the take; beyond its frames the clock goes on at their mean rate."""
        frames = len(self.frames_ns)
        place = seconds * FRAME_RATE_HZ
        within = min(max(place, 0.0), frames - 1.0)
        mean_ns = (self.frames_ns[-1] - self.frames_ns[0]) / max(frames - 1, 1) or NS_PER_S / FRAME_RATE_HZ
        since_ns = np.interp(within, np.arange(frames), (self.frames_ns - self.frames_ns[0]).astype(np.float64))
        return int(self.frames_ns[0]) + round(float(since_ns) + (place - within) * float(mean_ns))

    def seconds_at(self, t_ns: int) -> float:
        """The moment of the take at a device time: `at` the other way."""
        frames = len(self.frames_ns)
        since_ns = (self.frames_ns - self.frames_ns[0]).astype(np.float64)
        mean_ns = since_ns[-1] / max(frames - 1, 1) or NS_PER_S / FRAME_RATE_HZ
        now_ns = float(t_ns - int(self.frames_ns[0]))
        within_ns = min(max(now_ns, 0.0), float(since_ns[-1]))
        place = float(np.interp(within_ns, since_ns, np.arange(frames))) + (now_ns - within_ns) / mean_ns
        return float(place / FRAME_RATE_HZ)


def read_clock(home: Path, take: Take) -> TakeClock | None:
    """The clock of a take, or None where the capture's `timesync.csv` was not downloaded, or holds no time of it."""
    if take.capture is None or take.timesync_start_idx is None or take.timesync_end_idx is None:
        return None
    path = timesync_file(home, take)
    if not path.is_file():
        return None
    column = f"{take.glasses}_{RGB}_capture_timestamp_ns"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            texts = [row.get(column) for row in csv.DictReader(file)]
        written = [text or "" for text in texts[take.timesync_start_idx + 1 : take.timesync_end_idx]]
        # Whole numbers stay exact; a table that went through floats ends in ".0".
        known = {n: int(t) if t.isdigit() else round(float(t)) for n, t in enumerate(written) if t and t != "nan"}
    except (OSError, UnicodeDecodeError, csv.Error, ValueError, OverflowError) as error:
        raise RecipeError(f"{path}: not a timesync table ({error}). Download it again: --parts captures.") from error
    if not known:
        return None
    zero = next(iter(known.values()))
    rows, since_ns = np.array(list(known)), np.array([float(each - zero) for each in known.values()])
    place = np.arange(len(written))
    # Frames that were dropped lie between their neighbours, at an end a period after them.
    outside = np.minimum(place - rows[0], 0) + np.maximum(place - rows[-1], 0)
    frames = np.interp(place, rows, since_ns) + outside * (NS_PER_S / FRAME_RATE_HZ)
    return TakeClock(zero + np.rint(frames).astype(np.int64))


def timesync_file(home: Path, take: Take) -> Path:
    """Where the capture of a take says how its cameras' clocks stand to each other."""
    return home / "captures" / (take.capture.capture_name if take.capture else "") / "timesync.csv"


def read_takes(home: Path) -> tuple[Take, ...]:
    """`takes.json`, in the order of names, without takes that were dropped."""
    takes = _decode(home / "takes.json", tuple[Take, ...])
    return tuple(sorted((take for take in takes if not take.is_dropped), key=lambda take: take.take_name))


def read_splits(home: Path) -> Mapping[str, Split]:
    """The official split by take uid; nothing where `annotations/splits.json` is not there."""
    path = home / "annotations" / "splits.json"
    if not path.is_file():
        return {}
    return _official(path, path.stat().st_mtime_ns)


def text_files(home: Path) -> list[Path]:
    """Every file of descriptions and commentary."""
    return [
        file
        for kind in ("atomic_descriptions", "expert_commentary")
        for file in sorted((home / "annotations").glob(f"{kind}_*.json"))
    ]


def pose_files(home: Path, take_uid: str) -> list[Path]:
    """Body poses of a take: what a machine found first, so that what a person marked replaces it."""
    below = home / "annotations" / "ego_pose"
    return [
        file
        for made_by in ("automatic", "annotation")
        for file in sorted(below.glob(f"*/body/{made_by}/{take_uid}.json"))
    ]


def moments_of(home: Path, take: Take, clock: TakeClock, left_out: Counter[str]) -> list[Moment]:
    """Descriptions of what the wearer does, and experts' commentary, in device time, each once."""
    found = []
    for path in text_files(home):
        entries = _annotated(path, path.stat().st_mtime_ns).get(take.take_uid) or ()
        told = _atomic(entries, left_out) if path.name.startswith("atomic") else _commentary(entries, left_out)
        try:
            found += [Moment(clock.at(seconds), text, kind) for seconds, text, kind in told]
        except msgspec.ValidationError as error:
            raise RecipeError(f"{path}: take {take.take_uid}: {error}. Download it again.") from error
    return without_repeats(found, left_out)


def pose_of(home: Path, take: Take, clock: TakeClock) -> Pose | None:
    """The body's joints at the frames that have any."""
    frames: dict[int, Mapping[str, _Point]] = {}
    for path in pose_files(home, take.take_uid):
        for key, bodies in _decode(path, dict[str, tuple[_Body, ...]]).items():
            if key.isdigit() and bodies and bodies[0].annotation3D:
                frames[int(key)] = bodies[0].annotation3D
    if not frames:
        return None
    order = sorted(frames)
    joints = np.full((len(order), len(EGO_BODY_POSE.joints), 3), np.nan, np.float32)
    for row, frame in enumerate(order):
        for number, name in enumerate(EGO_BODY_POSE.joints):
            point = frames[frame].get(name)
            if point and point.x is not None and point.y is not None and point.z is not None:
                joints[row, number] = point.x, point.y, point.z
    return Pose(np.array([clock.at(frame / FRAME_RATE_HZ) for frame in order], np.int64), joints)


def _atomic(entries: Any, left_out: Counter[str]) -> Iterator[tuple[float, str, str]]:
    for entry in msgspec.convert(entries, tuple[_Descriptions, ...]):
        if entry.rejected:
            left_out["atomic: rejected by its annotators"] += len(entry.descriptions or ())
            continue
        for each in entry.descriptions or ():
            subject = each.subject or each.narration_subject
            if each.timestamp is None or not math.isfinite(each.timestamp):
                left_out["atomic: without a time"] += 1
            elif each.unsure:
                left_out["atomic: unsure"] += 1
            elif subject is not None and subject.upper() != "C":
                left_out["atomic: not of the wearer"] += 1
            elif text := clean_description(each.text, left_out, "atomic"):
                yield each.timestamp, text, "atomic"


def _commentary(entries: Any, left_out: Counter[str]) -> Iterator[tuple[float, str, str]]:
    for entry in msgspec.convert(entries, tuple[_Commentary, ...]):
        for each in entry.commentary_data or ():
            if each.video_time is None or not math.isfinite(each.video_time):
                left_out["commentary: without a time"] += 1
            elif each.error:
                left_out["commentary: marked as wrong"] += 1
            elif text := clean_description(each.text, left_out, "commentary"):
                yield each.video_time, text, "commentary"


@functools.lru_cache(maxsize=8)
def _annotated(path: Path, changed_ns: int) -> Mapping[str, Any]:
    return _decode(path, _Annotations).annotations


@functools.lru_cache(maxsize=1)
def _official(path: Path, changed_ns: int) -> Mapping[str, Split]:
    told = _decode(path, _Splits).take_uid_to_split
    return {uid: STEMS[name] for uid, name in told.items() if name in STEMS}


def _decode(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise RecipeError(f"{path}: not as Ego-Exo4D writes it ({error}). Download it again.") from error
