"""The window store: a data set on the exact grid, as one array per quantity that training maps into memory.

    signals.npy   float32 (N, 6), SI units: all segments of all recordings, one after the other
    labels.npy    int8 (N,), index into the data set's classes
    index.json    where each segment starts, whose it is, and what became of every sample that was read

Recordings go through the same `Resampler` as a live stream. A store lives in the cache folder under a digest of the files it was made from
and of the code that made it; it is written beside, then renamed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from aura_edge import interpolation, resample, sources
from aura_edge.errors import RecipeError
from aura_edge_train.datasets import DataSet, LabelledRecording, Split
from aura_edge_train.datasets.grid import segments_of

INDEX = "index.json"
LAYOUT = 1
"""Counts up when what a store holds, or how it is read, changes."""


class Segment(msgspec.Struct, frozen=True):
    """Samples without a hole between them."""

    recording: str
    subject: str
    start: int
    length: int


class Index(msgspec.Struct, frozen=True):
    """`index.json`."""

    data_set: str
    digest: str
    """sha256 over signals, labels and segments: which data an encoder was trained on, however they were made."""
    rate_hz: float
    classes: tuple[str, ...]
    segments: tuple[Segment, ...]
    samples: dict[str, int]
    """`read`, `used`, and every reason for which a sample that was read is in no segment."""


@dataclass(frozen=True, slots=True, eq=False)
class Store:
    """An opened store; arrays are mapped, not loaded."""

    data_set: DataSet
    index: Index
    signals: NDArray[np.float32]
    """(N, 6)."""
    labels: NDArray[np.int8]
    """(N,)."""

    def segments(self, split: Split, shortest: int) -> list[Segment]:
        """Segments of a split that hold at least `shortest` samples."""
        return [
            segment
            for segment in self.index.segments
            if segment.length >= shortest and self.data_set.split_of(segment.subject) == split
        ]

    def window_starts(self, split: Split, length: int) -> NDArray[np.int64]:
        """First sample of each evaluation window of a split, at the data set's own step."""
        step = round(self.data_set.evaluation_step_s * self.index.rate_hz)
        starts = [
            np.arange(segment.start, segment.start + segment.length - length + 1, step)
            for segment in self.segments(split, length)
        ]
        return np.concatenate(starts).astype(np.int64) if starts else np.zeros(0, np.int64)

    def windows(self, starts: NDArray[np.int64], length: int) -> NDArray[np.float32]:
        """(W, 6, length) channel-major."""
        rows = self.signals[starts[:, None] + np.arange(length)]
        return np.ascontiguousarray(rows.transpose(0, 2, 1))

    def subjects_at(self, starts: NDArray[np.int64]) -> NDArray[np.str_]:
        """Whose each window is."""
        begins = np.array([segment.start for segment in self.index.segments])
        subjects = np.array([segment.subject for segment in self.index.segments], dtype=np.str_)
        return subjects[np.searchsorted(begins, starts, side="right") - 1]

    def captions(self, starts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
        """Index of each window's caption."""
        return self.data_set.caption_of(self.labels, starts, length)


def open_store(
    data_set: DataSet,
    folder: Path,
    *,
    cache: Path,
    rate_hz: float = 200.0,
    console: Console | None = None,
) -> Store:
    """The store of `data_set` as found below `folder`, made first where the cache has none of these very files."""
    home = cache / f"{data_set.name}-{_key(data_set, folder, rate_hz)[:16]}"
    if not (home / INDEX).is_file():
        recordings: Iterable[LabelledRecording] = data_set.read(folder)
        if console is not None:
            hidden = not console.is_terminal
            recordings = track(recordings, f"reading {data_set.name}", console=console, disable=hidden)
        make_store(home, data_set, recordings, rate_hz=rate_hz)
    return read_store(data_set, home)


def read_store(data_set: DataSet, home: Path) -> Store:
    """The store in the folder `home`. Raises `RecipeError` for a damaged one."""
    try:
        index = msgspec.json.decode((home / INDEX).read_bytes(), type=Index)
        # Copy on write: torch wants memory it could write to, the file stays as it is.
        signals = np.load(home / "signals.npy", mmap_mode="c", allow_pickle=False)
        labels = np.load(home / "labels.npy", mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise RecipeError(
            f"{home}: the window store is damaged ({error}). Delete that folder; it is made again."
        ) from error
    return Store(data_set, index, signals, labels)


def make_store(home: Path, data_set: DataSet, recordings: Iterable[LabelledRecording], *, rate_hz: float) -> None:
    """Bring `recordings` to `rate_hz` and write the store to the folder `home`."""
    signals: list[NDArray[np.float32]] = []
    labels: list[NDArray[np.int8]] = []
    segments: list[Segment] = []
    counts: Counter[str] = Counter()
    start = 0
    for recording in recordings:
        for part in segments_of(recording, rate_hz, counts):
            signals.append(part.signals)
            labels.append(part.labels)
            segments.append(Segment(recording.name, recording.subject, start, len(part.signals)))
            start += len(part.signals)
    if not segments:
        raise RecipeError(
            f"{data_set.name}: no recording in it; expected at least one. Look at the folder given with --data."
        )
    all_signals, all_labels = np.concatenate(signals), np.concatenate(labels)
    content = hashlib.sha256(all_signals.data)
    content.update(all_labels.data)
    content.update(msgspec.json.encode(segments))
    index = Index(data_set.name, content.hexdigest(), rate_hz, data_set.classes, tuple(segments), dict(counts))
    draft = home.with_name(f".{home.name}.{os.getpid()}.tmp")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir(parents=True)
        np.save(draft / "signals.npy", all_signals)
        np.save(draft / "labels.npy", all_labels)
        (draft / INDEX).write_bytes(msgspec.json.encode(index))
        if not _renamed(draft, home):
            raise OSError(errno.EEXIST, "something that is no store is in its place")
    except OSError as error:
        raise RecipeError(
            f"{home}: cannot write the window store: {error.strerror}. Free some space, or choose another folder with --cache."
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _renamed(draft: Path, home: Path) -> bool:
    """Put the store in its place, or leave the one there that another process has finished meanwhile."""
    try:
        draft.rename(home)
    except OSError:
        return (home / INDEX).is_file()
    return True


def _code() -> list[Path]:
    """The files whose code decides what a store holds."""
    return [
        Path(resample.__file__),
        Path(interpolation.__file__),
        *sorted(Path(sources.__file__).parent.glob("*.py")),
        *sorted(Path(__file__).parent.glob("*.py")),
    ]


def _key(data_set: DataSet, folder: Path, rate_hz: float) -> str:
    """Digest of what a store is made from: the files, and the code that reads them."""
    key = hashlib.sha256(f"{LAYOUT} {data_set.name} {rate_hz!r}".encode())
    for module in _code():
        key.update(module.read_bytes())
    for file in data_set.files(folder):
        content = hashlib.sha256()
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                content.update(block)
        key.update(f"{file.relative_to(folder)} {content.hexdigest()}\n".encode())
    return key.hexdigest()
