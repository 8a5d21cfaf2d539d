"""Ego-Exo4D and plain Aria recordings: annotations in the exact schema, tied to the glasses' clock, and real VRS files around them."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_edge.errors import RecipeError
from aura_edge.types import NS_PER_S
from aura_edge_train import datasets
from aura_edge_train.datasets import poses, take_annotations
from aura_edge_train.datasets.aria import read_texts
from aura_edge_train.datasets.store import Store, open_store
from aura_edge_train.datasets.take_annotations import Take, TakeClock, read_clock, read_takes

EGO_EXO4D = datasets.get("ego-exo4d")
FRAME_NS = NS_PER_S / 30
START_NS = 8_000_000_000
"""Device time at which the takes of these tests start, a second after their glasses do."""
UIDS = {"cmu_bike01_2": "uid-bike", "cmu_soccer01_1": "uid-soccer"}


def frame_ns(frame: float) -> int:
    return START_NS + round(frame * FRAME_NS)


def entry(name: str, **more: Any) -> dict[str, Any]:
    """One of `takes.json`."""
    capture = name.rsplit("_", 1)[0]
    return {
        "root_dir": f"takes/{name}",
        "take_name": name,
        "take_uid": UIDS.get(name, f"uid-{name}"),
        "participant_uid": 657,
        "is_dropped": False,
        "task_name": "Remove a Wheel",
        "parent_task_name": "Bike Repair",
        "duration_sec": 12.0,
        "best_exo": "cam02",
        "timesync_start_idx": 2,
        "timesync_end_idx": 2 + 361,
        "capture": {
            "capture_name": capture,
            "cameras": [
                {"cam_id": "cam01", "is_ego": False},
                {"cam_id": "aria01", "is_ego": True, "device_type": "aria"},
            ],
        },
        "frame_aligned_videos": {
            "aria01": {"rgb": {"cam_id": "aria01", "relative_path": "frame_aligned_videos/aria01_214-1.mp4"}},
            "cam01": {"0": {"cam_id": "cam01", "relative_path": "frame_aligned_videos/cam01.mp4"}},
            "cam02": {"0": {"cam_id": "cam02", "relative_path": "frame_aligned_videos/cam02.mp4"}},
            "collage": {"0": {"relative_path": "ego_preview.mp4"}},
            "best_exo": {"0": {"clip_uid": None, "relative_path": None}},
        },
        **more,
    }


def timesync(home: Path, capture: str, *, dropped: tuple[int, ...] = ()) -> None:
    """Rows of a capture whose takes start at row 3, with an empty cell for each frame that was dropped."""
    rows = ["cam01_pts,aria01_214-1_capture_timestamp_ns,aria01_1201-1_capture_timestamp_ns"]
    rows += [f"0,{'' if row - 3 in dropped else frame_ns(row - 3)},17" for row in range(400)]
    (home / "captures" / capture).mkdir(parents=True, exist_ok=True)
    (home / "captures" / capture / "timesync.csv").write_text("\n".join(rows) + "\n")


def describe(seconds: Any, text: Any, **more: Any) -> dict[str, Any]:
    return {
        "text": text,
        "timestamp": seconds,
        "subject": "C",
        "ego_visible": True,
        "best_exo": None,
        "unsure": False,
    } | more


ATOMIC = {
    "annotations": {
        "uid-bike": [
            {
                "annotation_uid": "a",
                "annotator_id": "1",
                "rejected": False,
                "reject_reason": None,
                "descriptions": [
                    describe(5, "C turns the wheel."),
                    describe(6.5, "C takes a wrench", subject=None, ego_visible=None, unsure=None),
                    describe(7.0, "The man walks", subject="O"),
                    describe(7.5, "C drops it", unsure=True),
                    describe(None, "C waits"),
                    describe(8.0, None),
                ],
            },
            {
                "annotation_uid": "b",
                "rejected": False,
                "descriptions": [
                    {"text": "C turns the wheel", "timestamp": 5.4, "narration_subject": "C"},
                    {"text": "Somebody waves", "timestamp": 5.6, "narration_subject": "P"},
                ],
            },
            {
                "annotation_uid": "c",
                "rejected": True,
                "reject_reason": "bad",
                "descriptions": [describe(1.0, "C lies")],
            },
        ]
    },
}
COMMENTARY = {
    "annotations": {
        "uid-bike": [
            {
                "take_name": "cmu_bike01_2",
                "task_name": "Remove a Wheel",
                "commentary": "x.webm",
                "commentary_data": [
                    {
                        "recording": "1.webm",
                        "video_time": 9.5,
                        "text": "Good grip.",
                        "duration_approx": 4.2,
                        "error": None,
                    },
                    {"recording": "2.webm", "video_time": 3.0, "text": None, "duration_approx": 1.0, "error": "silent"},
                    {"recording": "3.webm", "video_time": 4.0, "text": "", "duration_approx": 1.0, "error": None},
                ],
            }
        ]
    }
}


def joint(x: float, y: float, z: float) -> dict[str, Any]:
    return {"x": x, "y": y, "z": z, "num_views_for_3d": 3}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Everything of Ego-Exo4D but the recordings."""
    home = tmp_path / "data" / "ego-exo4d"
    (home / "annotations").mkdir(parents=True)
    takes = [
        entry("cmu_soccer01_1", parent_task_name="Soccer", participant_uid=None),
        entry("cmu_bike01_2"),
        entry("cmu_bike01_9", is_dropped=True),
    ]
    (home / "takes.json").write_text(json.dumps(takes))
    (home / "annotations" / "atomic_descriptions_train.json").write_text(json.dumps(ATOMIC))
    (home / "annotations" / "expert_commentary_train.json").write_text(json.dumps(COMMENTARY))
    splits = {"take_uid_to_split": {"uid-bike": "train", "uid-soccer": "val"}, "split_to_take_uids": {}}
    (home / "annotations" / "splits.json").write_text(json.dumps(splits))
    body = home / "annotations" / "ego_pose" / "train" / "body"
    for made_by, shift in (("automatic", 0.0), ("annotation", 10.0)):
        frames = range(0, 360, 3) if made_by == "automatic" else range(60, 90, 3)
        told = {
            str(frame): [
                {
                    "annotation3D": {"left-hip": joint(shift, frame / 30, 1), "right-hip": joint(1, 2, 3)},
                    "annotation2D": {},
                    "metadata": {},
                }
            ]
            for frame in frames
        }
        told["30"] = [{"annotation3D": {}}]
        (body / made_by).mkdir(parents=True)
        (body / made_by / "uid-bike.json").write_text(json.dumps(told))
    for capture in ("cmu_bike01", "cmu_soccer01"):
        timesync(home, capture)
    return home


def bike(home: Path) -> Take:
    return next(take for take in read_takes(home) if take.take_name == "cmu_bike01_2")


def clock_of(home: Path) -> TakeClock:
    found = read_clock(home, bike(home))
    assert found is not None
    return found


def test_takes_start_where_their_timesync_says(home: Path) -> None:
    """Time zero is the glasses' time in the row after the start; between frames and beyond them it goes on."""
    clock = clock_of(home)
    assert len(clock.frames_ns) == 360
    assert clock.at(0.0) == START_NS
    for seconds in (0.01, 5.0, 11.9, 13.0, -0.5):
        assert clock.at(seconds) == pytest.approx(START_NS + seconds * NS_PER_S, abs=100)


@pytest.mark.parametrize("dropped", [(0, 1, 2), (100, 101, 250), (358, 359)])
def test_dropped_frames_lie_between_their_neighbours(home: Path, dropped: tuple[int, ...]) -> None:
    """Empty cells, at the ends too, leave the clock as it was."""
    timesync(home, "cmu_bike01", dropped=dropped)
    expected = [frame_ns(frame) for frame in range(360)]
    np.testing.assert_allclose(clock_of(home).frames_ns, expected, atol=100, rtol=0)


def test_take_without_timesync_has_no_clock(home: Path) -> None:
    """A file that is not there, has no column of the glasses, or no times of the take: no guess. A broken one is an error."""
    path = home / "captures" / "cmu_bike01" / "timesync.csv"
    path.write_text("cam01_pts\n" + "1\n" * 400)
    assert read_clock(home, bike(home)) is None
    path.write_text("aria01_214-1_capture_timestamp_ns\n" + "soon\n" * 400)
    with pytest.raises(RecipeError, match="not a timesync table"):
        read_clock(home, bike(home))
    path.unlink()
    assert read_clock(home, bike(home)) is None


@given(st.integers(2, 400), st.floats(-5, 20))
def test_clock_runs_forward(frames: int, seconds: float) -> None:
    """Later moments of a take are later for the glasses, within its frames and beyond."""
    clock = TakeClock(np.array([frame_ns(frame) for frame in range(frames)]))
    assert clock.at(seconds) < clock.at(seconds + 0.01)
    assert clock.at(seconds) == pytest.approx(START_NS + seconds * NS_PER_S, abs=1000)


def test_the_clock_goes_both_ways() -> None:
    """Frames 1/29.97 s apart: after ten minutes their numbers are 0.6 s off, and device time finds its frame all the same."""
    clock = TakeClock(np.rint(np.arange(20_000) * (NS_PER_S / 29.97)).astype(np.int64) + START_NS)
    for seconds in (-3.0, 0.0, 0.01, 299.5, 599.0, 1000.0):
        assert clock.seconds_at(clock.at(seconds)) == pytest.approx(seconds, abs=1e-6)
    assert clock.seconds_at(START_NS + round(599.0 * NS_PER_S)) == pytest.approx(599.0 * 0.999, abs=1e-3)


def test_texts_are_told_in_the_glasses_time(home: Path) -> None:
    """Descriptions of the wearer and commentary; nulls, both names of the subject, whole seconds and rejected annotators as they come."""
    left_out = Counter[str]()
    found = take_annotations.moments_of(home, bike(home), clock_of(home), left_out)
    assert [(round((each.t_ns - START_NS) / NS_PER_S, 3), each.text, each.kind) for each in found] == [
        (5.0, "turns the wheel", "atomic"),
        (6.5, "takes a wrench", "atomic"),
        (9.5, "good grip", "commentary"),
    ]
    assert left_out == {
        "atomic: not of the wearer": 2,
        "atomic: unsure": 1,
        "atomic: without a time": 1,
        "atomic: empty": 1,
        "atomic: repeated": 1,
        "atomic: rejected by its annotators": 1,
        "commentary: marked as wrong": 1,
        "commentary: empty": 1,
    }


def test_poses_are_those_of_their_frames(home: Path) -> None:
    """Joints that are absent are NaN, frames without any are none, and what a person marked replaces what a machine found."""
    pose = take_annotations.pose_of(home, bike(home), clock_of(home))
    assert pose is not None
    hip = poses.EGO_BODY_POSE.joints.index("left-hip")
    assert pose.joints.shape == (119, 17, 3)
    assert np.isfinite(pose.joints[:, :, 0]).sum(0).tolist() == [119 if n in (hip, hip + 1) else 0 for n in range(17)]
    frames = np.rint((pose.t_ns - START_NS) / FRAME_NS).astype(int)
    assert frames.tolist() == [frame for frame in range(0, 360, 3) if frame != 30]
    np.testing.assert_allclose(pose.joints[:, hip, 1], frames / 30, rtol=1e-6)
    assert frames[pose.joints[:, hip, 0] == 10].tolist() == list(range(60, 90, 3))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("takes.json", "[{}]"),
        ("annotations/splits.json", "{}"),
        ("annotations/atomic_descriptions_train.json", '{"annotations": {"uid-bike": [{"descriptions": 3}]}}'),
        ("annotations/expert_commentary_train.json", "[]"),
        ("annotations/ego_pose/train/body/annotation/uid-bike.json", '{"3": {}}'),
    ],
)
def test_files_of_another_form_are_named(home: Path, file: str, content: str) -> None:
    """One clear error with the path."""
    take, clock = bike(home), clock_of(home)
    (home / file).write_text(content)
    with pytest.raises(RecipeError, match=Path(file).name):
        (
            read_takes(home),
            take_annotations.read_splits(home),
            take_annotations.moments_of(home, take, clock, Counter()),
            take_annotations.pose_of(home, take, clock),
        )


def test_nothing_there_is_said(home: Path, tmp_path: Path) -> None:
    """Neither metadata nor glasses' recordings."""
    with pytest.raises(RecipeError, match=r"takes\.json: not there"):
        open_store(EGO_EXO4D, tmp_path, cache=tmp_path / "cache")
    with pytest.raises(RecipeError, match=r"no aria01_noimagestreams\.vrs"):
        open_store(EGO_EXO4D, home.parent, cache=tmp_path / "cache")


# ---- with real VRS files ----


@pytest.fixture(scope="module")
def glasses(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real file, its right IMU filled with fourteen seconds from a second before the takes: gyro_x counts the seconds of the take."""
    pytest.importorskip("projectaria_tools.core.data_provider", reason="needs aura-edge[vrs]")
    spec = importlib.util.spec_from_file_location("aria_vrs", shared_data.parent / "tools" / "aria_vrs.py")
    assert spec is not None
    assert spec.loader is not None
    tool: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    t_ns = START_NS - NS_PER_S + np.arange(14_000) * 1_000_000
    imu = np.zeros((14_000, 6), np.float32)
    imu[:, 2], imu[:, 3] = 9.81, (t_ns - START_NS) / NS_PER_S
    source = (shared_data / "aria" / "gen1_everyday.vrs").read_bytes()
    path = tmp_path_factory.mktemp("vrs") / "glasses.vrs"
    tool.write(path, source, tool.fill(source, t_ns, imu))
    return path


@pytest.fixture
def data(home: Path, glasses: Path) -> Path:
    for take in ("cmu_bike01_2", "cmu_soccer01_1"):
        (home / "takes" / take / "frame_aligned_videos").mkdir(parents=True)
        (home / "takes" / take / "aria01_noimagestreams.vrs").symlink_to(glasses)
    small = home / "takes" / "cmu_bike01_2" / "frame_aligned_videos" / "downscaled" / "448"
    small.mkdir(parents=True)
    for path in (small.parents[1] / "cam01.mp4", small / "cam01.mp4", small.parents[1] / "aria01_214-1.mp4"):
        path.touch()
    (home / "takes" / "cmu_bike01_2" / "ego_preview.mp4").touch()  # a collage is no camera
    return home.parent


def seconds_at(store: Store, row: int) -> float:
    """Second of the take, as the glasses' gyroscope says it (rectified, so to a few percent)."""
    return float(store.signals[row, 3])


@pytest.mark.shared_data
def test_whole_takes(data: Path) -> None:
    """Signal, texts, poses and videos of a take meet at the same time; its task is its class; splits hold whole takes."""
    store = open_store(EGO_EXO4D, data, cache=data.parent / "cache")
    assert [(s.recording, s.subject, s.length) for s in store.index.segments] == [
        ("cmu_bike01_2", "657", 2800),
        ("cmu_soccer01_1", "cmu_soccer01_1", 2800),
    ]
    assert [store.split_of(s) for s in store.index.segments] == ["train", "validation"]
    starts = store.window_starts("train", 1000)
    assert [store.data_set.captions[n].label for n in store.captions(starts, 1000)] == ["bike repair"] * 2
    assert store.index.samples["read"] == store.index.samples["used"] == 28_000

    begins, texts, kinds = store.moment_windows("train", 1000)
    assert list(zip(texts.tolist(), kinds.tolist(), strict=True)) == [
        ("turns the wheel", "atomic"),
        ("takes a wrench", "atomic"),
        ("good grip", "commentary"),
    ]
    for begin, at_s in zip(begins.tolist(), (5.0, 6.5, 9.5), strict=True):
        assert seconds_at(store, begin + 500) == pytest.approx(at_s, rel=0.05, abs=0.2)

    hip = 3 * poses.EGO_BODY_POSE.joints.index("left-hip")
    windows = store.pose_windows(begins, 1000)
    np.testing.assert_allclose(windows[0, :, hip + 1], begins[0] / 200 - 1 + np.arange(50) / 10, atol=0.03)
    assert np.isnan(windows[:, :, 0]).all()
    assert np.isnan(store.pose_windows(store.window_starts("validation", 1000), 1000)).all()

    (clips,) = store.clip_windows(begins[:1])
    assert [(clip.camera, clip.path.parent.name) for clip in clips] == [("cam01", "448")]
    assert clips[0].at_s == pytest.approx(begins[0] / 200 - 1, abs=0.001)
    assert store.clip_windows(np.array([0])) == [()]  # a second before the video begins


@pytest.mark.shared_data
def test_takes_without_timesync_are_counted(data: Path) -> None:
    """They are left out with the reason; a set of nothing else says it."""
    (data / "ego-exo4d" / "captures" / "cmu_bike01" / "timesync.csv").unlink()
    store = open_store(EGO_EXO4D, data, cache=data.parent / "cache")
    assert {s.recording for s in store.index.segments} == {"cmu_soccer01_1"}
    assert store.index.left_out == {"take without timesync.csv": 1}
    (data / "ego-exo4d" / "captures" / "cmu_soccer01" / "timesync.csv").unlink()
    with pytest.raises(RecipeError, match=r"no recording in it \(take without timesync\.csv: 2\)"):
        open_store(EGO_EXO4D, data, cache=data.parent / "cache")


@pytest.mark.shared_data
def test_lists_and_bad_windows_of_takes(data: Path) -> None:
    """A list of take names is stronger than the official split; bad windows count seconds of the take; another task has no caption."""
    home = data / "ego-exo4d"
    (home / "splits").mkdir()
    (home / "splits" / "test_1.json").write_text('["cmu_bike01_2"]')
    (home / "bad_windows.json").write_text('[["cmu_bike01_2", 9, 30]]')
    takes = [entry("cmu_bike01_2", parent_task_name="Juggling", task_name="Juggling"), entry("cmu_soccer01_1")]
    (home / "takes.json").write_text(json.dumps(takes))
    store = open_store(EGO_EXO4D, data, cache=data.parent / "cache")
    assert [(s.recording, s.length, s.split) for s in store.index.segments] == [
        ("cmu_bike01_2", 2000, "test"),
        ("cmu_soccer01_1", 2800, "validation"),
    ]
    assert store.index.samples["bad_window"] == 4000
    assert store.captions(np.array([0]), 1000).tolist() == [-1]
    assert len(store.window_starts("test", 1000)) == 0
    assert store.moment_windows("test", 1000)[1].tolist() == ["turns the wheel", "takes a wrench"]


# ---- plain Aria recordings ----


@pytest.mark.shared_data
def test_aria_recordings_with_texts(tmp_path: Path, glasses: Path, shared_data: Path) -> None:
    """A folder of VRS files, with texts in seconds or in the glasses' time beside them; short ones stay, without a window."""
    home = tmp_path / "data" / "aria"
    home.mkdir(parents=True)
    for name in ("a", "b"):
        (home / f"{name}.vrs").symlink_to(glasses)
    (home / "short.vrs").symlink_to(shared_data / "aria" / "gen2_bluetooth.vrs")
    (home / "a.csv").write_text("t_s,text,kind\n4.0,Walks to the door.,note\n20,Leaves,note\n")
    (home / "b.json").write_text(json.dumps([{"t_ns": START_NS + 6 * NS_PER_S, "text": "sits down"}]))
    (home / "splits").mkdir()
    (home / "splits" / "train.json").write_text('["a", "b", "short"]')
    store = open_store(datasets.get("aria"), home.parent, cache=tmp_path / "cache")
    starts, texts, kinds = store.moment_windows("train", 1000)
    assert list(zip(texts.tolist(), kinds.tolist(), strict=True)) == [
        ("walks to the door", "note"),
        ("sits down", "narration"),
    ]
    assert starts.tolist() == [300, 2800 + 900]
    assert store.index.left_out == {"moment outside the signal": 1}
    assert len(store.window_starts("train", 1000)) == 4


@pytest.mark.shared_data
def test_a_recording_that_was_cut_off_is_counted(tmp_path: Path, shared_data: Path) -> None:
    """What is there of it is used, and that something is missing stands in the index."""
    home = tmp_path / "data" / "aria"
    home.mkdir(parents=True)
    whole = (shared_data / "aria" / "gen1_everyday.vrs").read_bytes()
    (home / "half.vrs").write_bytes(whole[: len(whole) // 2])
    (home / "whole.vrs").write_bytes(whole)
    (home / "splits").mkdir()
    (home / "splits" / "train.json").write_text('["half", "whole"]')
    store = open_store(datasets.get("aria"), home.parent, cache=tmp_path / "cache")
    assert store.index.left_out == {"recording damaged, as one that was cut off": 1}
    assert {s.recording for s in store.index.segments} == {"half", "whole"}


@pytest.mark.parametrize(
    "rows",
    ['[{"text": "x"}]', '[{"text": "x", "t_s": 1, "t_ns": 2}]', '[{"t_s": 1}]', '[{"text": "x", "when": 1}]', "{"],
)
def test_texts_without_a_time_are_refused(tmp_path: Path, rows: str) -> None:
    """Exactly one time and a text, or one clear error."""
    path = tmp_path / "a.json"
    path.write_text(rows)
    with pytest.raises(RecipeError, match=r"a\.json"):
        read_texts(path, 0, Counter())


def test_empty_aria_folder_is_said(tmp_path: Path) -> None:
    """Where there is no recording, the place is named."""
    with pytest.raises(RecipeError, match=r"no \.vrs there"):
        open_store(datasets.get("aria"), tmp_path, cache=tmp_path / "cache")
