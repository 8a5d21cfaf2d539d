"""Making a window store: parts by one process or several, then all of them streamed into the final files, then a rename.

    .<store>.draft/000000/ ...   parts that are whole; a process that is killed leaves them, and the next one goes on after them
    .<store>.<pid>.tmp/          the store while its parts are put together

Memory holds one part per process, whatever the size of the set.
"""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from aura_edge.errors import AuraEdgeError, RecipeError
from aura_edge_train.datasets import DataSet, LabelledRecording, Part, bad_windows
from aura_edge_train.datasets.drafts import Bad, DraftPart, folder_of, read_part, write_part
from aura_edge_train.datasets.index import (
    CLIPS,
    INDEX,
    LABELS,
    MOMENTS,
    POSE,
    SIGNALS,
    Index,
    Moments,
    Segment,
    SegmentClip,
)

Read = Callable[[Path, Part], Iterable[LabelledRecording]]


def make_store(
    home: Path,
    data_set: DataSet,
    recordings: Iterable[LabelledRecording],
    *,
    rate_hz: float,
    bad: Bad | None = None,
) -> None:
    """Bring `recordings` to `rate_hz` one after the other and write the store to the folder `home`."""

    def fill(draft: Path) -> int:
        count = 0
        for number, recording in enumerate(recordings):
            if not folder_of(draft, number).exists():
                write_part(draft, number, data_set, [recording], rate_hz, bad or {})
            count = number + 1
        return count

    _make(home, data_set, rate_hz, fill)


def make_store_of_parts(
    home: Path,
    data_set: DataSet,
    folder: Path,
    parts: Sequence[Part],
    *,
    rate_hz: float,
    jobs: int = 1,
    console: Console | None = None,
) -> None:
    """The same, part by part, with `jobs` processes side by side; the bytes do not depend on how many there are."""
    read = data_set.read_part
    if read is None:
        raise TypeError(f"{data_set.name}: a data set with parts needs read_part")

    def fill(draft: Path) -> int:
        missing = [number for number in range(len(parts)) if not folder_of(draft, number).exists()]
        tasks: list[tuple[Any, ...]] = [
            (draft, number, data_set, read, folder, parts[number], rate_hz) for number in missing
        ]
        done: Iterable[object] = map(_write, tasks) if min(jobs, len(tasks)) <= 1 else _side_by_side(tasks, jobs)
        for _ in _shown(done, f"reading {data_set.name}", len(tasks), console):
            pass
        return len(parts)

    _make(home, data_set, rate_hz, fill)


def shown(recordings: Iterable[LabelledRecording], name: str, console: Console | None) -> Iterable[LabelledRecording]:
    """`recordings` with a progress bar where there is a terminal."""
    return _shown(recordings, f"reading {name}", None, console)


def _shown(items: Iterable[Any], title: str, total: int | None, console: Console | None) -> Iterable[Any]:
    if console is None:
        return items
    return track(items, title, total=total, console=console, transient=True, disable=not console.is_terminal)


def _write(task: tuple[Any, ...]) -> None:
    draft, number, data_set, read, folder, part, rate_hz = task
    bad = bad_windows.of_folder(folder / (data_set.same_files_as or data_set.name))
    write_part(draft, number, data_set, read(folder, part), rate_hz, bad)


class _ReaderEnded(RecipeError):
    """A reading process was ended from outside."""


def _side_by_side(tasks: Sequence[tuple[Any, ...]], jobs: int) -> Iterable[object]:
    # Spawned, not forked: a fork copies torch's threads as they happen to be.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(tasks)), mp_context=context) as pool:
        waiting: list[Future[None]] = [pool.submit(_write, task) for task in tasks]
        try:
            for future in as_completed(waiting):
                yield future.result()
        except BrokenProcessPool as error:
            raise _ReaderEnded(
                "a process that read recordings was ended from outside, perhaps for want of memory. Start again, with fewer --jobs: what "
                "is done is kept."
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _make(home: Path, data_set: DataSet, rate_hz: float, fill: Callable[[Path], int]) -> None:
    draft = home.with_name(f".{home.name}.draft")
    temporary = home.with_name(f".{home.name}.{os.getpid()}.tmp")
    try:
        if home.exists() and not (home / INDEX).is_file():
            raise _taken()
        draft.mkdir(parents=True, exist_ok=True)
        count = fill(draft)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        _put_together(draft, count, temporary, data_set, rate_hz)
        _rename(temporary, home)
        shutil.rmtree(draft, ignore_errors=True)
    except _ReaderEnded:
        raise  # nothing is wrong with the data: the parts that are done will be taken up
    except AuraEdgeError:
        # The data must change, and changed data are another store: these parts would never be taken up again.
        shutil.rmtree(draft, ignore_errors=True)
        raise
    except OSError as error:
        if (home / INDEX).is_file():  # another process has finished it meanwhile, and removed the parts
            shutil.rmtree(draft, ignore_errors=True)
            return
        raise RecipeError(
            f"{home}: cannot write the window store: {error.strerror}. Free some space, or choose another folder with --cache."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put_together(draft: Path, count: int, home: Path, data_set: DataSet, rate_hz: float) -> None:
    parts = [read_part(draft, number) for number in range(count)]
    segments, moments, clips = _joined(parts)
    samples, left_out = Counter[str](), Counter[str]()
    for part in parts:
        samples.update(part.samples)
        left_out.update(part.left_out)
    if not segments:
        why = "; ".join(f"{reason}: {times}" for reason, times in left_out.items())
        raise RecipeError(
            f"{data_set.name}: no recording in it{f' ({why})' if why else ''}; expected at least one. Look at the folder given with --data."
        )
    content = hashlib.sha256()
    _stream(draft, count, home, SIGNALS, content)
    _stream(draft, count, home, LABELS, content)
    content.update(msgspec.json.encode(segments))
    if data_set.skeleton is not None:
        _stream(draft, count, home, POSE, content)
    if moments.segments:
        raw = msgspec.json.encode(moments)
        (home / MOMENTS).write_bytes(raw)
        content.update(raw)
    if clips:
        (home / CLIPS).write_bytes(msgspec.json.encode(clips))
        content.update(msgspec.json.encode([(clip.segment, clip.camera, clip.at_s, clip.speed) for clip in clips]))
    index = Index(
        data_set.name,
        content.hexdigest(),
        rate_hz,
        data_set.classes,
        tuple(segments),
        dict(samples),
        dict(left_out),
    )
    (home / INDEX).write_bytes(msgspec.json.encode(index))


def _joined(parts: Sequence[DraftPart]) -> tuple[list[Segment], Moments, list[SegmentClip]]:
    """Segments, moments and clips of all parts, counted through the whole store."""
    segments: list[Segment] = []
    clips: list[SegmentClip] = []
    phrases: dict[str, int] = {}
    kinds: dict[str, int] = {}
    at_segments: list[int] = []
    at_samples: list[int] = []
    texts: list[int] = []
    kinds_of: list[int] = []
    start = 0
    for part in parts:
        first = len(segments)
        for moment in part.moments:
            at_segments.append(first + moment.segment)
            at_samples.append(start + moment.sample)
            texts.append(phrases.setdefault(moment.text, len(phrases)))
            kinds_of.append(kinds.setdefault(moment.kind, len(kinds)))
        clips += [msgspec.structs.replace(clip, segment=first + clip.segment) for clip in part.clips]
        segments += [msgspec.structs.replace(segment, start=start + segment.start) for segment in part.segments]
        start += sum(segment.length for segment in part.segments)
    moments = Moments(
        tuple(at_segments), tuple(at_samples), tuple(texts), tuple(kinds_of), tuple(phrases), tuple(kinds)
    )
    return segments, moments, clips


def _stream(draft: Path, count: int, home: Path, name: str, content: Any) -> None:
    """Copy the rows of every part into one file, and into the digest."""
    arrays: list[NDArray[Any]] = [
        np.load(folder_of(draft, number) / name, mmap_mode="r", allow_pickle=False) for number in range(count)
    ]
    whole = np.lib.format.open_memmap(
        home / name, mode="w+", dtype=arrays[0].dtype, shape=(sum(map(len, arrays)), *arrays[0].shape[1:])
    )
    row = 0
    for array in arrays:
        whole[row : row + len(array)] = array
        content.update(np.ascontiguousarray(array))
        row += len(array)
    whole.flush()


def _rename(temporary: Path, home: Path) -> None:
    """Put the store in its place, or leave the one there that another process has finished meanwhile."""
    try:
        temporary.rename(home)
    except OSError as error:
        if not (home / INDEX).is_file():
            raise _taken() from error


def _taken() -> OSError:
    return OSError(errno.EEXIST, "something that is no store is in its place")
