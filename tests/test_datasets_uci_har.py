"""UCI-HAR: overlapping windows become the recordings they were cut from, with every sample there once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

pytest.importorskip("torch", reason="captions come with encoders; it comes with aura-edge[train]")

from aura_edge.errors import RecipeError
from aura_edge_train import datasets
from aura_edge_train.datasets.store import open_store
from aura_edge_train.datasets.uci_har import ACTIVITIES, HALF, UCI_HAR, cuts, joined

RANDOM = np.random.default_rng(5)
SIGNALS = ("total_acc_x", "total_acc_y", "total_acc_z", "body_gyro_x", "body_gyro_y", "body_gyro_z")


def signal(halves: int) -> NDArray[np.float64]:
    return RANDOM.normal(size=(halves * HALF, 6))


def windows_of(recording: NDArray[np.float64]) -> NDArray[np.float64]:
    """(W, 128, 6) with an overlap of one half."""
    halves = recording.reshape(-1, HALF, 6)
    return np.concatenate([halves[:-1], halves[1:]], axis=1)


def written(folder: Path, part: str, recordings: list[tuple[int, list[int], NDArray[np.float64]]]) -> Path:
    """Files of one part: subject, activities of the windows, samples of each recording."""
    home = folder / "uci-har" / "UCI HAR Dataset" / part
    (home / "Inertial Signals").mkdir(parents=True, exist_ok=True)
    windows = np.concatenate([windows_of(samples) for _, _, samples in recordings])
    for place, name in enumerate(SIGNALS):
        np.savetxt(home / "Inertial Signals" / f"{name}_{part}.txt", windows[:, :, place], fmt="%16.7e", delimiter="")
    (home / f"subject_{part}.txt").write_text("".join(f"{who}\n" * len(does) for who, does, _ in recordings))
    (home / f"y_{part}.txt").write_text("".join(f"{activity}\n" for _, does, _ in recordings for activity in does))
    return home


def test_windows_are_put_back_together(tmp_path: Path) -> None:
    """Recordings come back whole in SI units; a new one begins where halves do not repeat, and where the subject changes."""
    walking, sitting, other, last = signal(12), signal(4), signal(2), signal(9)
    written(tmp_path, "train", [(1, [1] * 11, walking), (1, [4] * 3, sitting), (3, [6], other)])
    written(tmp_path, "test", [(2, [2] * 8, last)])
    found = list(UCI_HAR.read(tmp_path))
    assert [(f.name, f.subject, len(f.t_ns)) for f in found] == [
        ("train/0000", "1", 12 * 64),
        ("train/0001", "1", 4 * 64),
        ("train/0002", "3", 128),
        ("test/0000", "2", 9 * 64),
    ]
    for recording, source in zip(found, (walking, sitting, other, last), strict=True):
        (chunk,) = recording.chunks
        np.testing.assert_allclose(chunk.samples[:, :3], source[:, :3] * 9.80665, rtol=2e-6)
        np.testing.assert_allclose(chunk.samples[:, 3:], source[:, 3:], rtol=2e-6)
        assert np.array_equal(recording.t_ns, np.arange(len(source)) * 20_000_000)
    assert [[UCI_HAR.classes[code] for code in np.unique(f.labels)] for f in found] == [
        ["WALKING"],
        ["SITTING"],
        ["LAYING"],
        ["WALKING_UPSTAIRS"],
    ]
    assert [UCI_HAR.split_of(f.subject) for f in found] == ["train", "train", "train", "test"]


def test_no_sample_is_counted_twice(tmp_path: Path) -> None:
    """The store holds as many seconds as were recorded, at 200 Hz, in whole windows of 5 s."""
    written(tmp_path, "train", [(1, [1] * 9, signal(10))])
    written(tmp_path, "test", [(2, [5] * 9, signal(10))])
    store = open_store(UCI_HAR, tmp_path, cache=tmp_path / "cache")
    assert store.index.samples == {"read": 1280, "used": 1280}
    assert [segment.length for segment in store.index.segments] == [639 * 4 + 1] * 2
    starts = store.window_starts("test", 1000)
    assert [UCI_HAR.captions[c].label for c in store.captions(starts, 1000)] == ["standing"] * 4


def test_halves_that_two_windows_call_differently_are_unlabelled(tmp_path: Path) -> None:
    """A recording goes on where only the label changes; the half in both windows belongs to neither."""
    written(tmp_path, "train", [(1, [1, 1, 3, 3], signal(5))])
    written(tmp_path, "test", [(2, [5], signal(2))])
    first, _ = UCI_HAR.read(tmp_path)
    assert first.labels[::HALF].tolist() == [0, 0, ACTIVITIES, 2, 2]
    assert len(first.labels) == 5 * HALF
    assert UCI_HAR.caption_of(first.labels, np.array([0, HALF]), 3 * HALF).tolist() == [0, -1]


@given(st.lists(st.tuples(st.integers(1, 2), st.integers(2, 5)), min_size=1, max_size=6))
def test_any_recordings_come_back(shapes: list[tuple[int, int]]) -> None:
    """Whatever their lengths and subjects: as many recordings as there were, each as it was."""
    sources = [signal(halves) for _, halves in shapes]
    windows = np.concatenate([windows_of(source) for source in sources])
    subjects = np.repeat([who for who, _ in shapes], [halves - 1 for _, halves in shapes])
    places = cuts(windows, subjects)
    assert len(places) - 1 == len(sources)
    for start, stop, source in zip(places, places[1:], sources, strict=False):
        assert np.array_equal(joined(windows[start:stop]), source)


def test_a_recording_is_of_one_person() -> None:
    """Where the subject changes a recording ends, even if the samples go on."""
    assert cuts(windows_of(signal(5)), np.array([1, 1, 3, 3])) == [0, 2, 4]


def test_split_is_that_of_the_set() -> None:
    """Nine people test, as published; the same validate as in HAPT, since they are the same people."""
    hapt = datasets.get("hapt")
    assert datasets.get("uci-har") is UCI_HAR
    assert UCI_HAR.test_subjects == hapt.test_subjects
    assert UCI_HAR.validation_subjects == hapt.validation_subjects
    assert tuple(caption.key for caption in UCI_HAR.captions) == UCI_HAR.classes[:ACTIVITIES]
    assert not UCI_HAR.redistributable


def test_parts_are_what_is_read(tmp_path: Path) -> None:
    """Train and test, each with its eight files."""
    written(tmp_path, "train", [(1, [1] * 3, signal(4))])
    written(tmp_path, "test", [(2, [5], signal(2))])
    assert UCI_HAR.parts is not None
    assert UCI_HAR.read_part is not None
    parts = UCI_HAR.parts(tmp_path)
    assert [len(part.files) for part in parts] == [8, 8]
    names = [f.name for part in parts for f in UCI_HAR.read_part(tmp_path, part)]
    assert names == [f.name for f in UCI_HAR.read(tmp_path)] == ["train/0000", "test/0000"]


def test_wrong_files_are_said(tmp_path: Path) -> None:
    """No folder, a signal that is missing, too short or too narrow, and an unknown activity are errors of ours."""
    with pytest.raises(RecipeError, match="no UCI-HAR there"):
        list(UCI_HAR.read(tmp_path))
    home = written(tmp_path, "train", [(1, [1] * 3, signal(4))])
    with pytest.raises(RecipeError, match=r"test/subject_test\.txt.*not there"):
        list(UCI_HAR.read(tmp_path))
    written(tmp_path, "test", [(2, [5], signal(2))])
    (home / "y_train.txt").write_text("1\n7\n1\n")
    with pytest.raises(RecipeError, match=r"activities \[1, 7\]; expected 1 to 6"):
        list(UCI_HAR.read(tmp_path))
    (home / "y_train.txt").write_text("1\n1\n")
    with pytest.raises(RecipeError, match=r"2 windows, but 3 in subject_train\.txt"):
        list(UCI_HAR.read(tmp_path))
    np.savetxt(home / "Inertial Signals" / "body_gyro_z_train.txt", np.zeros((3, 127)))
    with pytest.raises(RecipeError, match=r"127 columns.*expected 128"):
        list(UCI_HAR.read(tmp_path))
