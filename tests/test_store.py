"""The window store: parts by one process or many, taken up again after a kill; moments, poses, clips and padding beside the signal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aura_edge.errors import RecipeError
from aura_edge.types import NS_PER_S, ImuChunk
from aura_edge_train.datasets import DataSet, LabelledRecording, Part
from aura_edge_train.datasets.made_up import MADE_UP
from aura_edge_train.datasets.modalities import Clip, Moment, Pose, Skeleton
from aura_edge_train.datasets.store import Store, make_store, open_store, read_store

PAIR = Skeleton(("left", "right"), ("left", "right"), 2)
READ = "AURA_EDGE_TEST_READ"
"""File in which the readers of this module note what they read."""


def recording(
    seconds: float, *, name: str = "r", subject: str = "p01", t0_ns: int = 0, **more: Any
) -> LabelledRecording:
    """One at 200 Hz that stands still, whose gyro_x counts its samples."""
    t_ns = t0_ns + np.arange(round(seconds * 200)) * 5_000_000
    samples = np.zeros((len(t_ns), 6), np.float32)
    samples[:, 2], samples[:, 3] = 9.81, np.arange(len(t_ns))
    return LabelledRecording(
        name, subject, 200.0, [ImuChunk(t_ns, samples, 0)], t_ns, np.zeros(len(t_ns), np.int8), **more
    )


def made(home: Path, *recordings: LabelledRecording, data_set: DataSet = MADE_UP, **more: Any) -> Store:
    make_store(home, data_set, recordings, rate_hz=200.0, **more)
    return read_store(data_set, home)


# ---- a data set of parts, as other processes import it ----


def files(folder: Path) -> list[Path]:
    return sorted((folder / "parted").glob("*.txt"))


def parts(folder: Path) -> list[Part]:
    return [Part(file.stem, (file.relative_to(folder).as_posix(),)) for file in files(folder)]


def read_part(folder: Path, part: Part) -> Iterator[LabelledRecording]:
    with open(os.environ[READ], "a") as log:
        log.write(f"{part.name}\n")
    content = (folder / part.files[0]).read_text()
    if content == "broken":
        raise RecipeError(f"{part.name} is broken")
    if content == "kill" and not (folder / "killed").exists():
        (folder / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    told = [Moment(NS_PER_S * n, f"{part.name} moment {n}", "narration") for n in range(5)]
    yield recording(float(content) if content != "kill" else 6.0, name=part.name, subject=part.name, moments=told)


def read(folder: Path) -> Iterator[LabelledRecording]:
    for part in parts(folder):
        yield from read_part(folder, part)


PARTED = replace(
    MADE_UP, name="parted", files=files, read=read, parts=parts, read_part=read_part, test_subjects=frozenset({"p1"})
)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with six recordings, and where it is noted which of them are read."""
    monkeypatch.setenv(READ, str(tmp_path / "log"))
    (tmp_path / "data" / "parted").mkdir(parents=True)
    for number in range(6):
        (tmp_path / "data" / "parted" / f"p{number}.txt").write_text(str(5.5 + number))
    return tmp_path / "data"


def read_so_far(folder: Path) -> list[str]:
    log = folder.parent / "log"
    return log.read_text().split() if log.exists() else []


def contents(cache: Path) -> dict[str, bytes]:
    (home,) = [path for path in cache.iterdir() if not path.name.startswith(".")]
    return {path.name: path.read_bytes() for path in home.iterdir()}


@pytest.mark.slow
def test_store_is_the_same_for_any_number_of_processes(data: Path) -> None:
    """One process, two, and the plain reader write the same bytes, and leave nothing beside the store."""
    found = []
    for name, jobs, data_set in (("a", 1, PARTED), ("b", 2, PARTED), ("c", 1, replace(PARTED, parts=None))):
        open_store(data_set, data, cache=data.parent / name, jobs=jobs)
        found.append(contents(data.parent / name))
        assert len(list((data.parent / name).iterdir())) == 1
    assert found[0] == found[1] == found[2]
    assert sorted(found[0]) == ["index.json", "labels.npy", "moments.json", "signals.npy"]
    store = open_store(PARTED, data, cache=data.parent / "a")
    begins = {segment.recording: segment.start for segment in store.index.segments}
    starts, texts, _ = store.moment_windows("train", 400)
    expected = {f"p{n} moment 3": begins[f"p{n}"] + 400 for n in (0, 2, 3, 4, 5)}
    assert {
        text: start for text, start in zip(texts.tolist(), starts.tolist(), strict=True) if "3" in text[3:]
    } == expected
    assert sorted(read_so_far(data)) == sorted([f"p{n}" for n in range(6)] * 3)


def test_killed_store_goes_on_where_it_was(data: Path) -> None:
    """After a kill in the middle, the next process reads what is missing only, and the store is that of an undisturbed one."""
    (data / "parted" / "p3.txt").write_text("kill")
    code = (
        "from pathlib import Path; import sys; from test_store import PARTED; from aura_edge_train.datasets.store import open_store;"
        "open_store(PARTED, Path(sys.argv[1]), cache=Path(sys.argv[2]))"
    )
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    command = [sys.executable, "-c", code, str(data), str(data.parent / "a")]
    killed = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert read_so_far(data) == ["p0", "p1", "p2", "p3"]
    assert not list((data.parent / "a").glob("parted-*"))
    resumed = open_store(PARTED, data, cache=data.parent / "a")
    assert read_so_far(data)[4:] == ["p3", "p4", "p5"]
    assert resumed.index.digest == open_store(PARTED, data, cache=data.parent / "b").index.digest
    assert contents(data.parent / "a") == contents(data.parent / "b")


def test_part_of_several_recordings(data: Path) -> None:
    """Moments and videos stay with their own recording, wherever it stands in its part and that in the store."""

    def two(folder: Path, part: Part) -> Iterator[LabelledRecording]:
        for name in ("a", "b"):
            told = [Moment(3 * NS_PER_S, f"{part.name}{name}", "narration")]
            yield recording(6, name=f"{part.name}{name}", moments=told, clips=[Clip(Path(f"{part.name}{name}.mp4"), 0)])

    store = open_store(replace(PARTED, read_part=two), data, cache=data.parent / "a")
    starts, texts, _ = store.moment_windows("train", 1000)
    assert texts.tolist() == [f"p{n}{name}" for n in range(6) for name in "ab"]
    assert starts.tolist() == [1200 * n + 100 for n in range(12)]
    names = [store.index.segments[n].recording for n in store.segments_at(starts)]
    assert names == texts.tolist() == [clip.path.stem for (clip,) in store.clip_windows(starts)]


def test_half_written_part_is_read_again(data: Path) -> None:
    """Only a part that was finished by its rename counts as done."""
    open_store(PARTED, data, cache=data.parent / "a")
    expected = contents(data.parent / "a")
    (home,) = (data.parent / "a").iterdir()
    draft = data.parent / "b" / f".{home.name}.draft"
    (draft / ".000002.1.tmp").mkdir(parents=True)
    (draft / ".000002.1.tmp" / "signals.npy").write_bytes(b"half")
    open_store(PARTED, data, cache=data.parent / "b")
    assert contents(data.parent / "b") == expected
    assert [path.name for path in (data.parent / "b").iterdir()] == [home.name]


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_error_in_one_part_is_told_and_leaves_nothing(data: Path, jobs: int) -> None:
    """The reader's own error comes through from another process too; no part is kept, since other content is another store."""
    (data / "parted" / "p2.txt").write_text("broken")
    with pytest.raises(RecipeError, match="p2 is broken"):
        open_store(PARTED, data, cache=data.parent / "a", jobs=jobs)
    assert list((data.parent / "a").iterdir()) == []


@pytest.mark.slow
def test_reader_ended_from_outside_is_told(data: Path) -> None:
    """A process that the system ends is one clear error, and its work is gone on with."""
    (data / "parted" / "p4.txt").write_text("kill")
    with pytest.raises(RecipeError, match="ended from outside"):
        open_store(PARTED, data, cache=data.parent / "a", jobs=2)
    (draft,) = (data.parent / "a").iterdir()
    done = {path.name for path in draft.iterdir() if not path.name.startswith(".")}
    before = len(read_so_far(data))
    store = open_store(PARTED, data, cache=data.parent / "a")
    assert done
    assert len(read_so_far(data)) - before == 6 - len(done)
    assert {segment.recording for segment in store.index.segments} == {f"p{n}" for n in range(6)}


def test_another_process_may_finish_first(tmp_path: Path) -> None:
    """Where the store is there all of a sudden, and the parts are gone, it is taken, and nothing is left beside it."""

    def slow() -> Iterator[LabelledRecording]:
        yield recording(6, name="a")
        make_store(tmp_path / "s", MADE_UP, [recording(6, name=name) for name in "abc"], rate_hz=200.0)
        yield recording(6, name="b")
        yield recording(6, name="c")

    make_store(tmp_path / "s", MADE_UP, slow(), rate_hz=200.0)
    store = read_store(MADE_UP, tmp_path / "s")
    assert [segment.recording for segment in store.index.segments] == ["a", "b", "c"]
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_large_sets_are_told_apart_without_reading_them(data: Path) -> None:
    """By size and time of change: another time is another store, the same ones are not."""
    large = replace(PARTED, large=True)
    for _ in range(2):
        open_store(large, data, cache=data.parent / "a")
    assert len(read_so_far(data)) == 6
    os.utime(data / "parted" / "p0.txt", (time.time(), 1))
    open_store(large, data, cache=data.parent / "a")
    assert len(read_so_far(data)) == 12


# ---- moments ----


def test_window_of_a_moment_is_centred_and_stays_inside(tmp_path: Path) -> None:
    """Centred where that fits, moved to the edge where it does not; texts and kinds come along, in the order of the store."""
    told = [Moment(NS_PER_S * t, f"at {t}", kind) for t, kind in ((1, "narration"), (10, "atomic"), (19, "narration"))]
    store = made(tmp_path / "s", recording(20, moments=told))
    starts, texts, kinds = store.moment_windows("train", 1000)
    assert starts.tolist() == [0, 1500, 3000]
    assert texts.tolist() == ["at 1", "at 10", "at 19"]
    assert kinds.tolist() == ["narration", "atomic", "narration"]
    assert store.moment_windows("train", 1000, largest_shift=0.25)[1].tolist() == ["at 10"]
    assert len(store.moment_windows("test", 1000)[0]) == 0


def test_moments_of_short_segments_and_gaps_have_no_window(tmp_path: Path) -> None:
    """A moment in too short a segment has no window, one in a gap is counted, one just outside belongs to the edge."""
    first, second = recording(10), recording(3, t0_ns=20 * NS_PER_S)
    joined = replace(
        first,
        chunks=[*first.chunks, *second.chunks],
        moments=[Moment(round(NS_PER_S * t), f"at {t:g}", "narration") for t in (5, 10.3, 15, 21)],
    )
    store = made(tmp_path / "s", joined)
    assert store.index.left_out == {"moment outside the signal": 1}
    starts, texts, _ = store.moment_windows("train", 1000)
    assert (starts.tolist(), texts.tolist()) == ([500, 1000], ["at 5", "at 10.3"])
    assert store.moment_windows("train", 600)[1].tolist() == ["at 5", "at 10.3", "at 21"]


@settings(max_examples=40)
@given(st.lists(st.floats(-2, 32), max_size=30), st.integers(100, 3000))
def test_every_moment_is_in_its_window(
    tmp_path_factory: pytest.TempPathFactory, seconds: list[float], length: int
) -> None:
    """Whatever the times: each moment is kept or counted, and a window holds its moment and lies in its segment."""
    told = [Moment(round(NS_PER_S * t), str(n), "narration") for n, t in enumerate(seconds)]
    store = made(tmp_path_factory.mktemp("store") / "s", recording(30, moments=told))
    starts, texts, _ = store.moment_windows("train", length)
    assert len(starts) + store.index.left_out.get("moment outside the signal", 0) == len(told)
    for start, text in zip(starts.tolist(), texts.tolist(), strict=True):
        at = min(max(seconds[int(text)] * 200, 0), 5999)
        assert 0 <= start <= 6000 - length
        assert start - 1 <= at <= start + length


def test_many_moments_are_read_fast(tmp_path: Path) -> None:
    """Two hundred thousand moments open and window in well under two seconds."""
    told = [Moment(n * 5_000_000, f"someone does thing {n % 5000}", "narration") for n in range(2000)]
    made(tmp_path / "s", recording(10, moments=told))
    path = tmp_path / "s" / "moments.json"
    columns = json.loads(path.read_text())
    for name in ("segments", "samples", "texts", "kinds"):
        columns[name] *= 100
    path.write_bytes(msgspec.json.encode(columns))
    began = time.perf_counter()
    starts, texts, _ = read_store(MADE_UP, tmp_path / "s").moment_windows("train", 1000)
    assert time.perf_counter() - began < 2
    assert len(starts) == len(texts) == 200_000


# ---- poses, clips, splits ----


def test_pose_windows_follow_the_signal(tmp_path: Path) -> None:
    """Frames of a window are those of its time, in each segment, whatever the capture's own rate; before its first frame nothing is seen."""
    t_ns = np.arange(30, 20 * 30) * (NS_PER_S // 30) + 3 * NS_PER_S
    seconds = (t_ns - 3 * NS_PER_S) / NS_PER_S
    joints = np.zeros((len(t_ns), 2, 3), np.float32)
    joints[:, 0, 0], joints[:, 1, 2] = seconds, 2 * seconds
    data_set = replace(MADE_UP, skeleton=PAIR)
    store = made(
        tmp_path / "s",
        recording(6, name="without", subject="p02"),
        recording(20, t0_ns=3 * NS_PER_S, pose=Pose(t_ns, joints)),
        data_set=data_set,
    )
    starts = np.array([0, 1200, 1200 + 2000, 1200 + 2009, 1200 + 3000])
    windows = store.pose_windows(starts, 1000)
    assert windows.shape == (5, 50, 6)
    assert windows.dtype == np.float32
    assert np.isnan(windows[0]).all()
    assert np.isnan(windows[1, :10]).all()
    np.testing.assert_allclose(windows[1, 11:, 0], np.arange(11, 50) / 10, atol=1e-3)
    np.testing.assert_allclose(windows[2, :, 0], 10 + np.arange(50) / 10, atol=1e-3)
    np.testing.assert_allclose(windows[3, :, 0], 10 + np.arange(50) / 10, atol=0.051)
    np.testing.assert_allclose(windows[4, :-1, 5], 2 * (15 + np.arange(49) / 10), atol=1e-3)


def test_pose_of_a_set_without_one_is_refused(tmp_path: Path) -> None:
    """A data set without motion capture says so, and writes no file for it."""
    store = made(tmp_path / "s", recording(6))
    assert not (tmp_path / "s" / "pose.npy").exists()
    with pytest.raises(RecipeError, match="no motion capture"):
        store.pose_windows(np.zeros(1, np.int64), 1000)


def test_clips_are_found_at_the_time_of_a_window(tmp_path: Path) -> None:
    """Each camera with its own beginning; one that starts after the window does is left out; windows without a video have none."""
    videos = [Clip(tmp_path / "a.mp4", 2 * NS_PER_S, "cam01"), Clip(tmp_path / "b.mp4", 6 * NS_PER_S, "cam02")]
    store = made(
        tmp_path / "s", recording(6, name="without"), recording(20, name="with", t0_ns=4 * NS_PER_S, clips=videos)
    )
    found = store.clip_windows(np.array([0, 1200, 1200 + 1000]))
    assert [[(clip.camera, clip.at_s) for clip in each] for each in found] == [
        [],
        [("cam01", 2.0)],
        [("cam01", 7.0), ("cam02", 3.0)],
    ]
    assert found[1][0].path == tmp_path / "a.mp4"


def test_split_of_a_recording_is_stronger_than_its_subject(tmp_path: Path) -> None:
    """A recording that says its split is in it, whoever it is of."""
    told = [Moment(NS_PER_S, "hello", "narration")]
    store = made(tmp_path / "s", recording(6, split="test", moments=told), recording(6, name="other"))
    assert store.window_starts("test", 1000).tolist() == [0, 100, 200]
    assert len(store.moment_windows("test", 1000)[0]) == 1
    assert [store.split_of(segment) for segment in store.index.segments] == ["test", "train"]


def test_windows_without_a_caption_are_left_out(tmp_path: Path) -> None:
    """An evaluation window that its data set calls nothing is none."""
    unnamed = replace(MADE_UP, caption_of=lambda labels, starts, length: np.where(starts >= 400, 0, -1))
    assert made(tmp_path / "s", recording(8, split="test"), data_set=unnamed).window_starts("test", 1000).min() >= 400


def test_digest_covers_what_comes_with_the_signal(tmp_path: Path) -> None:
    """Other words are other data; plain stores have the digest that they had before there were any."""
    plain = made(tmp_path / "a", recording(6)).index.digest
    assert plain == "b90150368fa741a53099ba1666cd6351c4e002e10b118f1a8c5d58d75153ae9a"
    told = [made(tmp_path / text, recording(6, moments=[Moment(0, text, "n")])).index.digest for text in ("b", "c")]
    assert len({plain, *told}) == 3


# ---- padding ----


def test_short_recording_is_padded_as_at_rest(tmp_path: Path) -> None:
    """Half on either side: gravity stays where it pointed, nothing turns, the body keeps its pose, and what was added is counted."""
    short = recording(2)
    (chunk,) = short.chunks
    chunk.samples[:20, :3], chunk.samples[-20:, :3] = [9.81, 0, 0], [0, 9.81, 0]
    t_ns = np.arange(60) * (NS_PER_S // 30)
    joints = np.zeros((60, 2, 3), np.float32)
    joints[:, 0, 0] = np.arange(60) / 30
    data_set = replace(MADE_UP, pads_to_s=5.0, skeleton=PAIR)
    store = made(tmp_path / "s", replace(short, pose=Pose(t_ns, joints)), recording(7, name="long"), data_set=data_set)
    assert [(s.length, s.padded) for s in store.index.segments] == [(1000, 600), (1400, 0)]
    assert store.index.samples == {"read": 1800, "used": 1800, "padded": 600}
    assert store.window_starts("train", 1000)[:2].tolist() == [0, 1000]
    np.testing.assert_allclose(store.signals[:300], np.tile([9.81, 0, 0, 0, 0, 0], (300, 1)), rtol=1e-6)
    assert np.array_equal(store.signals[300:700, 3], np.arange(400))
    np.testing.assert_allclose(store.signals[700:1000], np.tile([0, 9.81, 0, 0, 0, 0], (300, 1)), rtol=1e-6)
    frames = store.pose_windows(np.zeros(1, np.int64), 1000)[0, :, 0]
    assert np.isfinite(frames).all()
    np.testing.assert_allclose(frames[:15], frames[0])
    np.testing.assert_allclose(frames[17:33], np.arange(2, 18) / 10, atol=1e-3)
    np.testing.assert_allclose(frames[35:], frames[-1])


def test_scraps_are_not_padded(tmp_path: Path) -> None:
    """What lies between two gaps and is shorter than a second gives no window, and neither does a set that does not pad."""
    data_set = replace(MADE_UP, pads_to_s=5.0)
    assert [s.padded for s in made(tmp_path / "a", recording(0.9), data_set=data_set).index.segments] == [0]
    assert len(made(tmp_path / "b", recording(4)).window_starts("train", 1000)) == 0
