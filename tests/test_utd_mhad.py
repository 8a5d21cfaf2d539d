"""UTD-MHAD: wrist or thigh and Kinect of one trial side by side, from the archive, at the time that the motion itself shows."""

from __future__ import annotations

import contextlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_edge.errors import InputError, RecipeError
from aura_edge_train import datasets
from aura_edge_train.datasets import poses
from aura_edge_train.datasets.matlab_arrays import read_array
from aura_edge_train.datasets.store import open_store

scipy_io = pytest.importorskip("scipy.io", reason="writes the files; it comes with scikit-learn")
UTD_MHAD = datasets.get("utd-mhad")


def mat(**content: np.ndarray) -> bytes:
    file = io.BytesIO()
    scipy_io.savemat(file, content, do_compression=True)
    return file.getvalue()


def archive(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "utd-mhad" / "utd-mhad.tar.xz"
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w:xz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return folder


def trial(name: str, *, rows: int = 150, frames: int = 57) -> dict[str, bytes]:
    """One that stands still at 1 g while the skeleton moves along x at a constant speed: one metre over its length."""
    readings = np.tile([0, 0, 1, 90, 0, 0], (rows, 1)).astype(float)
    skeleton = np.zeros((20, 3, frames))
    skeleton[:, 0] = np.linspace(0, 1, frames)
    skeleton[:, 1] = np.arange(20)[:, None]
    return {
        f"./data/Inertial/{name}_inertial.mat": mat(d_iner=readings),
        f"./data/Skeleton/{name}_skeleton.mat": mat(d_skel=skeleton),
    }


def test_trials_of_a_small_archive(tmp_path: Path) -> None:
    """Units are converted, actions become labels, subjects decide the split, other members are not looked at."""
    members = (
        trial("a1_s1_t1") | trial("a27_s2_t4") | trial("a10_s7_t2") | {"./data/readme.txt": b"x", "../a1_s1_t1": b"y"}
    )
    store = open_store(UTD_MHAD, archive(tmp_path, members), cache=tmp_path / "cache")
    assert [(s.recording, s.subject) for s in store.index.segments] == [
        ("a1_s1_t1", "s1"),
        ("a27_s2_t4", "s2"),
        ("a10_s7_t2", "s7"),
    ]
    assert store.index.samples["read"] == store.index.samples["used"] == 450
    for split, action in (("train", 0), ("test", 26), ("validation", 9)):
        starts = store.window_starts(split, 1000)
        assert store.captions(starts, 1000).tolist() == [action]
        np.testing.assert_allclose(store.windows(starts, 1000)[0, 2], 9.80665, rtol=1e-5)
        np.testing.assert_allclose(store.windows(starts, 1000)[0, 3, 450:550], np.pi / 2, rtol=1e-5)


def test_skeleton_spans_the_time_of_the_sensor(tmp_path: Path) -> None:
    """Its frames, however many there are, lie evenly between the first and the last sample."""
    for frames in (57, 90):
        data = archive(tmp_path / str(frames), trial("a1_s1_t1", frames=frames))
        store = open_store(UTD_MHAD, data, cache=tmp_path / "cache")
        (segment,) = store.index.segments
        before_s = segment.padded // 2 / 200
        windows = store.pose_windows(store.window_starts("train", 1000), 1000).reshape(50, 20, 3)
        at_s = np.arange(50) / 10 - before_s
        inside = (at_s > 0.06) & (at_s < 2.9)
        np.testing.assert_allclose(windows[inside, 0, 0], at_s[inside] / 2.98, atol=0.01)
        np.testing.assert_array_equal(windows[25, :, 1], np.arange(20))


def test_middles_do_not_tell_how_long_a_trial_was(tmp_path: Path) -> None:
    """Trials of any length come out as long as each other in both modalities, from their middle."""
    data = archive(tmp_path, trial("a1_s1_t1", rows=150) | trial("a1_s1_t2", rows=300, frames=90))
    store = open_store(datasets.get("utd-mhad-middle"), data, cache=tmp_path / "cache")
    assert [(s.length, s.padded) for s in store.index.segments] == [(1000, 583), (1000, 583)]
    starts = store.window_starts("train", 1000)
    turning = np.abs(store.windows(starts, 1000)[:, 3]) > 0
    np.testing.assert_array_equal(turning[0], turning[1])
    assert turning[0].sum() == 417
    windows = store.pose_windows(starts, 1000)[:, :, 0]
    moving = np.diff(windows, axis=1) > 1e-6
    np.testing.assert_array_equal(moving[0], moving[1])
    assert moving[0].sum() == 20
    np.testing.assert_allclose(windows[:, 25], 0.5, atol=0.02)


def test_broken_archives_are_said(tmp_path: Path) -> None:
    """No archive, a lone half of a trial, a matrix of another shape, and a damaged file are errors of ours that name the place."""
    with pytest.raises(RecipeError, match=r"utd-mhad\.tar\.xz: not there"):
        open_store(UTD_MHAD, tmp_path, cache=tmp_path / "cache")
    whole = trial("a1_s1_t1")
    name = "./data/Skeleton/a1_s1_t1_skeleton.mat"
    cases = {
        "a": ({key: value for key, value in whole.items() if key != name}, "a1_s1_t1_skeleton.mat is missing"),
        "b": (whole | {name: mat(d_skel=np.zeros((15, 3, 9)))}, r"\(15, 3, 9\); expected"),
        "c": (whole | {name: b"not a matlab file" * 20}, "no numeric array d_skel"),
        "d": (whole | {name: whole[name][:-40]}, "not a readable MATLAB file"),
        "e": (trial("a28_s1_t1"), "up to 27"),
    }
    for case, (members, message) in cases.items():
        with pytest.raises(RecipeError, match=message):
            open_store(UTD_MHAD, archive(tmp_path / case, members), cache=tmp_path / "cache")


def test_arrays_of_any_dimensions_are_read() -> None:
    """By name, in the order of their axes; another name is not there."""
    cube = np.arange(24.0).reshape(2, 3, 4)
    content = mat(other=np.eye(2), cube=cube, text=np.array(["no number"]))
    np.testing.assert_array_equal(read_array(content, "cube"), cube)
    for name in ("text", "missing"):
        with pytest.raises(InputError, match=f"no numeric array {name}"):
            read_array(content, name)


@given(st.integers(0, 400), st.integers(0, 255), st.booleans(), st.booleans())
def test_damaged_arrays_are_refused(place: int, value: int, cut: bool, compressed: bool) -> None:
    """A byte changed, or the rest cut off: an array comes out, or one error of ours, and nothing else happens."""
    file = io.BytesIO()
    scipy_io.savemat(file, {"cube": np.arange(24.0).reshape(2, 3, 4)}, do_compression=compressed)
    content = bytearray(file.getvalue())
    place %= len(content)
    content[place] = value
    with contextlib.suppress(InputError):
        assert read_array(bytes(content[:place] if cut else content), "cube").dtype == np.float64


@pytest.mark.slow
@pytest.mark.shared_data
def test_real_trials(shared_data: Path, tmp_path: Path) -> None:
    """861 trials, one test window for each of 430, gravity of 1 g at rest, bodies of human size, and wrists that move when gyroscopes say so."""
    store = open_store(UTD_MHAD, shared_data, cache=tmp_path)
    assert store.index.samples["read"] == store.index.samples["used"] == 155_638
    assert len(store.index.segments) == 861
    assert [len(store.window_starts(split, 1000)) for split in ("train", "validation", "test")] == [323, 108, 430]
    starts = store.window_starts("test", 1000)
    assert np.unique(store.captions(starts, 1000)).tolist() == list(range(27))
    edges = store.windows(starts, 1000)[:, :3, 0]
    assert np.median(np.linalg.norm(edges, axis=1)) == pytest.approx(9.81, abs=0.5)

    skeleton = poses.KINECT
    windows = store.pose_windows(starts, 1000)
    assert windows.shape == (430, 50, 60)
    assert np.isfinite(windows).all()
    points = poses.centre(windows, skeleton).reshape(430, 50, 20, 3)
    height = points[:, :, skeleton.joints.index("head"), 1] - points[:, :, skeleton.joints.index("left-foot"), 1]
    assert 1.2 < np.median(height) < 1.9

    # Arms: the wrist's speed against the gyroscope, without what was added at both ends.
    agreement = []
    for start, window, number in zip(starts, windows, store.segments_at(starts), strict=True):
        segment = store.index.segments[number]
        if int(segment.recording.split("_")[0][1:]) > 21 or segment.length > 1000:
            continue
        wrist = window.reshape(50, 20, 3)[:, skeleton.joints.index("right-wrist")]
        speed = np.linalg.norm(np.gradient(wrist, 0.1, axis=0), axis=1)
        rate = np.linalg.norm(store.signals[start : start + 1000, 3:], axis=1).reshape(50, 20).mean(1)
        inside = slice(segment.padded // 2 // 20 + 1, 50 - segment.padded // 2 // 20 - 1)
        agreement.append(np.corrcoef(speed[inside], rate[inside])[0, 1])
    assert np.median(agreement) > 0.65  # 0.72; 0.2 where frames are taken as 30 Hz
