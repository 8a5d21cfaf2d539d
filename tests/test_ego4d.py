"""Ego4D: small files in its exact schema, with the irregularities of the real ones, to windows with their narrations."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aura_edge.errors import AuraEdgeError, RecipeError
from aura_edge_train import datasets
from aura_edge_train.datasets.splits import by_hash, read_lists
from aura_edge_train.datasets.store import Store, open_store

EGO4D = datasets.get("ego4d")
COLUMNS = "component_idx,component_timestamp_ms,canonical_timestamp_ms,gyro_x,gyro_y,gyro_z,accl_x,accl_y,accl_z"


def table(seconds: float = 20.0, *, seed: int = 0) -> str:
    """200 Hz, gyro_x counting seconds; one row in a hundred not a number; rows shuffled within the file."""
    rows = []
    for n in range(round(seconds * 200)):
        t_ms = n * 5.0
        values = "nan,nan,nan,nan,nan,nan" if n % 100 == 50 else f"{t_ms / 1000},0,0,0,0,9.81"
        rows.append(f"0,{t_ms},{t_ms},{values}")
    random.Random(seed).shuffle(rows)
    return "\n".join([COLUMNS, *rows]) + "\n"


def narration(seconds: Any, text: Any) -> dict[str, Any]:
    return {
        "timestamp_sec": seconds,
        "timestamp_frame": 0,
        "narration_text": text,
        "annotation_uid": "x",
        "_unmapped": None,
    }


TOLD = {
    "one": {
        "narration_pass_1": {
            "narrations": [
                narration(10.0, "#C C walks in the room."),
                narration(2, "#C C picks up a cup"),
                narration(5.0, "#O A woman X talks"),
                narration(6.0, "#C C holds #unsure"),
                narration(None, "#C C sits down"),
            ],
            "summaries": [{"start_sec": 0, "end_sec": 300, "summary_text": "#Summary C walked"}],
        },
        "narration_pass_2": {"narrations": [narration(10.4, "#C C walks in the room"), narration(99.0, "#C C waves")]},
    },
    "two": {"narration_pass_2": {"narrations": [narration(7.5, "#C C opens a door")], "summaries": []}},
    "three": {"narration_pass_1": None},
    "no imu": {"narration_pass_1": {"narrations": [narration(1.0, "#C C sings")]}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "data" / "ego4d" / "v2"
    (home / "imu").mkdir(parents=True)
    for number, uid in enumerate(("one", "two", "three", "four")):
        (home / "imu" / f"{uid}.csv").write_text(table(seed=number))
    (home / "annotations").mkdir()
    (home / "annotations" / "narration.json").write_text(json.dumps(TOLD))
    (home / "full_scale").mkdir()
    (home / "full_scale" / "two.mp4").touch()
    return tmp_path / "data"


def opened(folder: Path) -> Store:
    return open_store(EGO4D, folder, cache=folder.parent / "cache")


def lists(folder: Path, **names: list[str]) -> None:
    (folder / "ego4d" / "splits").mkdir(exist_ok=True)
    for stem, uids in names.items():
        (folder / "ego4d" / "splits" / f"{stem}.json").write_text(json.dumps(uids))


def test_unsorted_tables_become_signals(folder: Path) -> None:
    """Rows are put in order of time; rows that are not numbers are counted, and the holes they leave are bridged."""
    store = opened(folder)
    assert [s.recording for s in store.index.segments] == ["four", "one", "three", "two"]
    assert store.index.samples == {"read": 16_000, "used": 15_840, "non_finite": 160}
    assert {s.length for s in store.index.segments} == {4000}
    np.testing.assert_allclose(store.signals[4000:8000, 3], np.arange(4000) / 200, atol=2e-3)
    np.testing.assert_allclose(store.signals[:, 2], 9.81, rtol=1e-4)


def test_narrations_become_windows(folder: Path) -> None:
    """Both passes, cleaned, once each; a missing or empty pass is none; what has no window is counted with its reason."""
    lists(folder, training_0=["one", "two", "three", "four"])
    store = opened(folder)
    starts, texts, kinds = store.moment_windows("train", 1000)
    found = sorted(zip(texts.tolist(), starts.tolist(), strict=True))
    assert found == [("opens a door", 12000 + 1000), ("picks up a cup", 4000), ("walks in the room", 4000 + 1500)]
    assert set(kinds.tolist()) == {"narration"}
    assert store.index.left_out == {
        "video without narrations": 1,
        "narration: not of the wearer": 1,
        "narration: unsure": 1,
        "narration: without a time": 1,
        "narration: repeated": 1,
        "moment outside the signal": 1,
    }


def test_videos_are_tied_to_their_windows(folder: Path) -> None:
    """Where the video was downloaded, its time is that of the table; one that is downloaded later is found then."""
    starts = np.array([12_000 + 700, 0])
    found = opened(folder).clip_windows(starts)
    assert [[(clip.path.name, clip.at_s) for clip in each] for each in found] == [[("two.mp4", 3.5)], []]
    (folder / "ego4d" / "v2" / "full_scale" / "four.mp4").touch()
    assert [[clip.path.name for clip in each] for each in opened(folder).clip_windows(starts)] == [
        ["two.mp4"],
        ["four.mp4"],
    ]


def test_lists_of_videos_decide_the_split(folder: Path) -> None:
    """A video in no list is not read; one in two is an error."""
    lists(folder, training_0=["one"], validation_0=["two"], test_0=["four", "absent"])
    store = opened(folder)
    assert {s.recording: store.split_of(s) for s in store.index.segments} == {
        "one": "train",
        "two": "validation",
        "four": "test",
    }
    lists(folder, training_1=["two"])
    with pytest.raises(RecipeError, match="two is in the train split too"):
        opened(folder)


def test_hash_decides_where_there_is_no_list(folder: Path) -> None:
    """The same split everywhere, in the shares of the paper."""
    store = opened(folder)
    assert all(store.split_of(s) == by_hash(s.recording) for s in store.index.segments)
    assert by_hash("one") == by_hash("one")
    shares = [
        [by_hash(f"video {n}") for n in range(5000)].count(split) / 5000 for split in ("train", "validation", "test")
    ]
    assert shares == pytest.approx([0.63, 0.07, 0.30], abs=0.02)


def test_bad_windows_are_left_out_and_counted(folder: Path) -> None:
    """IMU2CLIP's form of the list: no window reaches into such a stretch, and its samples are counted."""
    lists(folder, train=["one", "two"])
    (folder / "ego4d" / "bad_windows.json").write_text(json.dumps([["one", 8, 12], ["two", 0, 5], ["elsewhere", 1, 2]]))
    store = opened(folder)
    assert store.index.samples["bad_window"] == 800 + 1000
    assert store.index.samples["read"] == sum(store.index.samples.values()) - store.index.samples["read"]
    assert [(s.recording, s.length) for s in store.index.segments] == [("one", 1600), ("one", 1600), ("two", 3000)]
    assert sorted(store.moment_windows("train", 1000)[1].tolist()) == ["opens a door", "picks up a cup"]


def test_no_window_reaches_across_a_bad_instant(folder: Path) -> None:
    """Ten milliseconds are a hole that the resampler would bridge: the segment ends there all the same."""
    lists(folder, train=["one", "two"])
    (folder / "ego4d" / "bad_windows.json").write_text(json.dumps([["one", 10.0, 10.01]]))
    store = opened(folder)
    assert store.index.samples["bad_window"] == 2
    assert [(s.recording, s.length) for s in store.index.segments] == [("one", 2000), ("one", 1998), ("two", 4000)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bad_windows.json", "{}", "not a list of bad windows"),
        ("bad_windows.json", '[["one", 5]]', "not a list of bad windows"),
        ("bad_windows.json", '[["one", 5, 5]]', "expected an end after its start"),
        ("bad_windows.json", '[{"recording": "one", "from": 5}]', "not a list of bad windows"),
        ("bad_windows.csv", "recording,t0_s,t1_s\none,five,6\n", "not a list of bad windows"),
    ],
)
def test_lists_of_bad_windows_that_make_no_sense(folder: Path, name: str, content: str, message: str) -> None:
    """What was found is named."""
    (folder / "ego4d" / name).write_text(content)
    with pytest.raises(RecipeError, match=message):
        opened(folder)


def test_bad_windows_as_a_table(folder: Path) -> None:
    """CSV with a reason does the same; both lists at once are refused."""
    lists(folder, train=["one"])
    (folder / "ego4d" / "bad_windows.csv").write_text("recording,t0_s,t1_s,reason\none,8,12,glove over the lens\n")
    assert opened(folder).index.samples["bad_window"] == 800
    (folder / "ego4d" / "bad_windows.json").write_text("[]")
    with pytest.raises(RecipeError, match="both there"):
        opened(folder)


def test_missing_and_broken_files_are_said(folder: Path, tmp_path: Path) -> None:
    """Nothing there, no narrations, narrations that are none, a table without its columns, lists that are none."""
    with pytest.raises(RecipeError, match="no Ego4D there"):
        opened(tmp_path / "elsewhere")
    told = folder / "ego4d" / "v2" / "annotations" / "narration.json"
    told.write_text('{"one": [1]}')
    with pytest.raises(RecipeError, match="not Ego4D's narrations"):
        opened(folder)
    told.unlink()
    with pytest.raises(RecipeError, match=r"no narration\.json"):
        opened(folder)
    told.write_text("{}")
    (folder / "ego4d" / "v2" / "imu" / "one.csv").write_text("canonical_timestamp_ms,gyro_x\n0,1\n5,2\n")
    with pytest.raises(AuraEdgeError, match=r"one\.csv"):
        opened(folder)
    lists(folder, train=["nobody"])
    with pytest.raises(RecipeError, match="name none of the videos"):
        opened(folder)
    (folder / "ego4d" / "splits" / "train.json").write_text("{")
    with pytest.raises(RecipeError, match="not a list of recordings"):
        opened(folder)


def test_other_files_beside_the_lists_are_not_lists(tmp_path: Path) -> None:
    """Only names that say a split count."""
    (tmp_path / "notes.json").write_text("[]")
    (tmp_path / "val_3.json").write_text('["a"]')
    assert read_lists(tmp_path) == {"a": "validation"}


def test_the_four_classes_of_the_paper_are_where_narrations_say_them(folder: Path) -> None:
    """A window about 'walks' is called so; where 'sits down' comes within 5 s of it, the overlap is neither; elsewhere nothing is asked."""
    classes = datasets.get("ego4d-classes")
    told = json.loads((folder / "ego4d" / "v2" / "annotations" / "narration.json").read_text())
    told["two"]["narration_pass_2"]["narrations"] = [narration(4.0, "#C C walks"), narration(7.0, "#C C sits down")]
    (folder / "ego4d" / "v2" / "annotations" / "narration.json").write_text(json.dumps(told))
    lists(folder, training=["two"], test=["one", "three", "four"])
    (folder / "ego4d" / "bad_windows.json").write_text(json.dumps([["four", 0.0, 1.0, "listed"]]))
    store = open_store(classes, folder, cache=folder.parent / "cache")
    (two,) = [segment for segment in store.index.segments if segment.recording == "two"]
    names = [store.data_set.classes[label] for label in store.labels[two.start : two.start + two.length]]
    # 1.5 to 4.5 s walking, 4.5 to 6.5 s both, 6.5 to 9.5 s sitting down.
    assert [names[round(second * 200)] for second in (1.0, 2.0, 5.0, 8.0, 10.0)] == [
        "unlabelled", "walking", "unlabelled", "sits down", "unlabelled",
    ]  # fmt: skip
    starts = np.array([two.start + round(second * 200) for second in (0.0, 1.0, 5.0, 12.0)])
    assert store.captions(starts, 1000).tolist() == [3, 3, 2, -1]
    asked = store.window_starts("test", 1000)
    assert len(asked)
    assert set(store.captions(asked, 1000).tolist()) == {
        3
    }  # "one" walks about second 10; nothing is told of the others
    assert store.index.samples["bad_window"]  # the list in ego4d/ holds for this way to read it too


def test_rules_about_captions_where_there_are_none(folder: Path) -> None:
    """Windows at rest are left out without a look at groups they do not have; a number for each caption is refused."""
    torch = pytest.importorskip("torch", reason="training needs it; it comes with aura-edge[train]")
    from aura_edge_train import corpus
    from aura_edge_train.recipe import Data

    lists(folder, train=["one", "two", "three", "four"])
    store = opened(folder)
    told = Data("ego4d", quiet_rad_s=0.5, moments=("narration",))
    everything = corpus.build([store], [Data("ego4d", moments=("narration",))], 1000)
    # gyro_x counts seconds: in 5 s it deviates by 1.4 rad/s.
    assert len(corpus.build([store], [told], 1000).epoch(torch.Generator())) == len(everything.epoch(torch.Generator()))
    still = Data("ego4d", quiet_rad_s=2.0, moments=("narration",))
    assert len(corpus.build([store], [still], 1000).epoch(torch.Generator())) == 0
    with pytest.raises(RecipeError, match="windows_per_caption, and not one"):
        corpus.build([store], [Data("ego4d", windows_per_caption=5)], 1000)
