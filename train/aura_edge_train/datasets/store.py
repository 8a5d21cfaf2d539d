"""The window store: a data set on the exact grid, as one array per quantity that training maps into memory.

    signals.npy    float32 (N, 6), SI units: all segments of all recordings, one after the other
    labels.npy     int8 (N,), index into the data set's classes
    pose.npy       float32 (F, J*3) in metres, 10 frames a second from the start of each segment, NaN where nothing was seen
    moments.json   what was said, and at which sample
    clips.json     which video shows which segment, and from where on
    index.json     where each segment starts, whose it is, and what became of every sample that was read

The three in the middle are there for data sets that have such things. Recordings go through the same `Resampler` as a live stream. A store
lives in the cache folder under a digest of the files it was made from and of the code that made it; see `making.py` for how.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from aura_edge import interpolation, resample, sources, testing
from aura_edge.errors import RecipeError
from aura_edge_train.datasets import DataSet, Split, bad_windows
from aura_edge_train.datasets.drafts import frames_of
from aura_edge_train.datasets.index import (
    CLIPS,
    INDEX,
    LABELS,
    LAYOUT,
    MOMENTS,
    POSE,
    POSE_RATE_HZ,
    SIGNALS,
    Index,
    Moments,
    Segment,
    SegmentClip,
)
from aura_edge_train.datasets.making import make_store, make_store_of_parts, shown

__all__ = ["INDEX", "Index", "Segment", "Store", "WindowClip", "make_store", "open_store", "read_store"]

LARGEST_SHIFT = 0.5
"""A window is centred on its moment, and moved by at most this share of its length to stay inside the segment: then the moment is still in
it. IMU2CLIP does the same at both ends of a video (Moon et al. 2022, arXiv:2210.14395)."""


@dataclass(frozen=True, slots=True)
class WindowClip:
    """Where in a video a window begins."""

    path: Path
    camera: str
    at_s: float
    """Seconds from the first frame."""


@dataclass(frozen=True, slots=True, eq=False)
class Store:
    """An opened store; arrays are mapped, not loaded."""

    data_set: DataSet
    index: Index
    signals: NDArray[np.float32]
    """(N, 6)."""
    labels: NDArray[np.int8]
    """(N,)."""
    pose: NDArray[np.float32] | None = None
    """(F, J*3), where the data set has a skeleton."""
    moments: Moments = field(default_factory=Moments)
    clips: tuple[SegmentClip, ...] = ()

    def split_of(self, segment: Segment) -> Split:
        """The split of a segment: what its recording says, else what its subject says."""
        return segment.split or self.data_set.split_of(segment.subject)

    def segments(self, split: Split, shortest: int) -> list[Segment]:
        """Segments of a split that hold at least `shortest` samples."""
        return [
            segment for segment in self.index.segments if segment.length >= shortest and self.split_of(segment) == split
        ]

    def window_starts(self, split: Split, length: int) -> NDArray[np.int64]:
        """First sample of each evaluation window of a split, at the data set's own step; those that have no caption are left out, where the
        data set has captions at all."""
        step = round(self.data_set.evaluation_step_s * self.index.rate_hz)
        starts = [
            np.arange(segment.start, segment.start + segment.length - length + 1, step)
            for segment in self.segments(split, length)
        ]
        found = np.concatenate(starts).astype(np.int64) if starts else np.zeros(0, np.int64)
        return found[self.captions(found, length) >= 0] if self.data_set.captions else found

    def windows(self, starts: NDArray[np.int64], length: int) -> NDArray[np.float32]:
        """(W, 6, length) channel-major."""
        rows = self.signals[starts[:, None] + np.arange(length)]
        return np.ascontiguousarray(rows.transpose(0, 2, 1))

    def subjects_at(self, starts: NDArray[np.int64]) -> NDArray[np.str_]:
        """Whose each window is."""
        subjects = np.array([segment.subject for segment in self.index.segments], dtype=np.str_)
        return subjects[self.segments_at(starts)]

    def segments_at(self, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """(W,) number of the segment that each window lies in."""
        begins = np.array([segment.start for segment in self.index.segments])
        found: NDArray[np.int64] = np.searchsorted(begins, starts, side="right").astype(np.int64) - 1
        return found

    def captions(self, starts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
        """Index of each window's caption; -1 for one that has none."""
        return self.data_set.caption_of(self.labels, starts, length)

    def moment_windows(
        self, split: Split, length: int, *, largest_shift: float = LARGEST_SHIFT
    ) -> tuple[NDArray[np.int64], NDArray[np.str_], NDArray[np.str_]]:
        """Starts (W,), texts (W,) and kinds (W,) of the windows around the moments of a split, in the order of the store.

        A moment whose segment is shorter than a window, or that would need a larger shift (a share of the length), has none.
        """
        told = self.moments
        chosen = np.array(
            [each.length >= length and self.split_of(each) == split for each in self.index.segments], np.bool_
        )
        of = np.array(told.segments, np.int64)
        first = np.array([each.start for each in self.index.segments], np.int64)[of]
        last = np.array([each.start + each.length - length for each in self.index.segments], np.int64)[of]
        centred = np.array(told.samples, np.int64) - length // 2
        starts = np.clip(centred, first, np.maximum(first, last))
        kept = np.flatnonzero(chosen[of] & (np.abs(starts - centred) <= largest_shift * length))
        texts = np.array(told.phrases, dtype=object)[np.array(told.texts, np.int64)[kept]]
        kinds = np.array(told.kind_names, dtype=object)[np.array(told.kinds, np.int64)[kept]]
        return starts[kept], texts.astype(np.str_), kinds.astype(np.str_)

    def pose_windows(self, starts: NDArray[np.int64], length: int) -> NDArray[np.float32]:
        """(W, F, J*3) in metres as captured, F = 10 frames a second (50 in 5 s), NaN where nothing was seen.

        Frames stand on a grid of 0.1 s from the start of their segment: the window takes those nearest to its own, at most 0.05 s away.
        `poses.py` has what brings them about the pelvis and fills the gaps. Raises `RecipeError` for a data set without motion capture.
        """
        if self.pose is None:
            raise RecipeError(f"{self.data_set.name}: has no motion capture. Leave `mocap` out of its pairs.")
        rate_hz = self.index.rate_hz
        counts = [frames_of(segment.length, rate_hz) for segment in self.index.segments]
        ends = np.cumsum(counts)
        at = self.segments_at(starts)
        begins = np.array([segment.start for segment in self.index.segments])[at]
        offset = np.rint((starts - begins) * (POSE_RATE_HZ / rate_hz)).astype(np.int64)
        frames = offset[:, None] + np.arange(frames_of(length, rate_hz))
        rows = np.minimum((ends - counts)[at][:, None] + frames, ends[at][:, None] - 1)
        windows: NDArray[np.float32] = self.pose[rows]
        return windows

    def clip_windows(self, starts: NDArray[np.int64]) -> list[tuple[WindowClip, ...]]:
        """For each window the videos that show its beginning, each with where it begins there; a video that starts later is left out."""
        of: dict[int, list[SegmentClip]] = {}
        for clip in self.clips:
            of.setdefault(clip.segment, []).append(clip)
        found = []
        for start, number in zip(starts.tolist(), self.segments_at(starts).tolist(), strict=True):
            since_s = (start - self.index.segments[number].start) / self.index.rate_hz
            shows = [WindowClip(Path(c.path), c.camera, c.at_s + since_s * c.speed) for c in of.get(number, ())]
            found.append(tuple(clip for clip in shows if clip.at_s >= 0))
        return found


def open_store(
    data_set: DataSet,
    folder: Path,
    *,
    cache: Path,
    rate_hz: float = 200.0,
    jobs: int = 1,
    console: Console | None = None,
) -> Store:
    """The store of `data_set` as found below `folder`, made first where the cache has none of these very files.

    `jobs` processes read a data set that comes in parts. One that is killed is gone on with by the next call.
    """
    home = cache / f"{data_set.name}-{_key(data_set, folder, rate_hz)[:16]}"
    if not (home / INDEX).is_file():
        if data_set.parts is not None:
            parts = data_set.parts(folder)
            make_store_of_parts(home, data_set, folder, parts, rate_hz=rate_hz, jobs=jobs, console=console)
        else:
            bad = bad_windows.of_folder(folder / (data_set.same_files_as or data_set.name))
            recordings = shown(data_set.read(folder), data_set.name, console)
            make_store(home, data_set, recordings, rate_hz=rate_hz, bad=bad)
    return read_store(data_set, home)


def read_store(data_set: DataSet, home: Path) -> Store:
    """The store in the folder `home`. Raises `RecipeError` for a damaged one."""
    try:
        index = msgspec.json.decode((home / INDEX).read_bytes(), type=Index)
        # Copy on write: torch wants memory it could write to, the file stays as it is.
        signals = np.load(home / SIGNALS, mmap_mode="c", allow_pickle=False)
        labels = np.load(home / LABELS, mmap_mode="c", allow_pickle=False)
        pose = np.load(home / POSE, mmap_mode="c", allow_pickle=False) if data_set.skeleton is not None else None
        moments = Moments()
        clips: tuple[SegmentClip, ...] = ()
        if (home / MOMENTS).exists():
            moments = msgspec.json.decode((home / MOMENTS).read_bytes(), type=Moments)
        if (home / CLIPS).exists():
            clips = msgspec.json.decode((home / CLIPS).read_bytes(), type=tuple[SegmentClip, ...])
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise RecipeError(
            f"{home}: the window store is damaged ({error}). Delete that folder; it is made again."
        ) from error
    return Store(data_set, index, signals, labels, pose, moments, clips)


def _code() -> list[Path]:
    """The files whose code decides what a store holds."""
    return [
        Path(resample.__file__),
        Path(interpolation.__file__),
        Path(testing.__file__),  # the made-up set moves as it says
        *sorted(Path(sources.__file__).parent.glob("*.py")),
        *sorted(Path(__file__).parent.glob("*.py")),
    ]


def _key(data_set: DataSet, folder: Path, rate_hz: float) -> str:
    """Digest of what a store is made from: the files, and the code that reads them."""
    key = hashlib.sha256(f"{LAYOUT} {data_set.name} {rate_hz!r}".encode())
    for module in _code():
        key.update(module.read_bytes())
    if data_set.large:
        key.update(str(folder.resolve()).encode())  # its videos stay where they are
    for file in [*data_set.files(folder), *bad_windows.find(folder / (data_set.same_files_as or data_set.name))]:
        if data_set.large:
            known = file.stat()
            key.update(f"{file.relative_to(folder)} {known.st_size} {known.st_mtime_ns}\n".encode())
            continue
        content = hashlib.sha256()
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                content.update(block)
        key.update(f"{file.relative_to(folder)} {content.hexdigest()}\n".encode())
    return key.hexdigest()
