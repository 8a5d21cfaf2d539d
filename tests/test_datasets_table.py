"""Sets of one's own: a file beside the recordings says all that code would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="captions come with encoders; it comes with aura-edge[train]")

from aura_edge.errors import InputError, RecipeError, UnitsError
from aura_edge_train.datasets.store import open_store
from aura_edge_train.datasets.table import UNLABELLED, majority, open_table

CAPTIONS = """
[[captions]]
key = "squat"
label = "doing squats"
group = "exercise"
sentences = ["a person is doing squats", "someone bends the knees and comes up again"]
[[captions]]
key = "row"
label = "rowing"
group = "exercise"
sentences = ["a person is rowing", "someone pulls at the rowing machine"]
"""
PLAIN = """
name = "gym"
file_name = '(?P<subject>s\\d+)/(?P<label>[a-z]+)_\\d+'
units = "g, deg/s, ms"
"""
COLUMNS = """
[columns]
acc_x = "ax"
acc_y = "ay"
acc_z = "az"
"""
NAMES = "time,ax,ay,az,gyro_x,gyro_y,gyro_z"


def described(folder: Path, text: str = PLAIN + COLUMNS + CAPTIONS, name: str = "gym.toml") -> Path:
    path = folder / "mine" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def written(
    folder: Path, name: str, *, header: str = NAMES, row: str = "1,0.5,-0.25,180,-90,45", more: list[str] | None = None
) -> None:
    """Rows 20 ms apart, each followed by one of `more`."""
    file = folder / "mine" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    more = [""] * 300 if more is None else [f",{each}" for each in more]
    file.write_text("\n".join([header, *(f"{20 * n},{row}{each}" for n, each in enumerate(more))]) + "\n")


def test_names_of_files_say_who_and_what(tmp_path: Path) -> None:
    """Columns and units as told, subject and label from the path, split and captions as described; the store takes it as any other set."""
    said = 'test_subjects = ["s3"]\nvalidation_subjects = ["s2"]\nevaluation_step_s = 0.5\nredistributable = true\n'
    path = described(tmp_path, PLAIN + said + COLUMNS + CAPTIONS)
    for name in ("s1/squat_1.csv", "s2/row_1.csv", "s3/row_2.csv"):
        written(tmp_path, name)
    mine = open_table(path)
    assert (mine.name, mine.redistributable, mine.evaluation_step_s) == ("gym", True, 0.5)
    assert mine.classes == ("squat", "row", UNLABELLED)
    first, *_ = found = list(mine.read(tmp_path))
    (chunk,) = first.chunks
    expected = [9.80665, 4.903325, -2.4516625, np.pi, -np.pi / 2, np.pi / 4]
    np.testing.assert_allclose(chunk.samples, np.tile(expected, (300, 1)), rtol=1e-6)
    assert np.array_equal(first.t_ns, np.arange(300) * 20_000_000)
    assert first.rate_hz == pytest.approx(50.0)
    assert [(f.name, f.subject, mine.split_of(f.subject)) for f in found] == [
        ("s1/squat_1", "s1", "train"),
        ("s2/row_1", "s2", "validation"),
        ("s3/row_2", "s3", "test"),
    ]
    store = open_store(mine, tmp_path, cache=tmp_path / "cache")
    starts = store.window_starts("test", 1000)
    assert [mine.captions[c].label for c in store.captions(starts, 1000)] == ["rowing"] * 2


def test_store_is_remade_when_the_description_changes(tmp_path: Path) -> None:
    """Other units in the description are other data, though the recordings are the same."""
    written(tmp_path, "s1/squat_1.csv")
    stores = []
    for units in ("g, deg/s, ms", "m/s2, deg/s, ms"):
        path = described(tmp_path, (PLAIN + COLUMNS + CAPTIONS).replace("g, deg/s, ms", units))
        stores.append(open_store(open_table(path), tmp_path, cache=tmp_path / "cache"))
    assert stores[0].signals[0, 0] == pytest.approx(9.80665)
    assert stores[1].signals[0, 0] == pytest.approx(1.0)


def test_columns_say_who_and_what(tmp_path: Path) -> None:
    """A recording ends where subject or trial changes; labels that mean nothing are unlabelled."""
    text = 'name = "gym"\nunits = "g, deg/s, ms"\nunlabelled = ["", "none"]\n'
    path = described(tmp_path, text + COLUMNS + 'label = "does"\nsubject = "who"\ntrial = "set"\n' + CAPTIONS)
    more = ["row,ann,1"] * 100 + ["none,ann,1"] * 20 + ["squat,ann,2"] * 60 + ["squat,bob,2"] * 40 + [",bob,2"] * 10
    written(tmp_path, "all.csv", header=NAMES + ",does,who,set", more=more)
    found = list(open_table(path).read(tmp_path))
    assert [(f.name, f.subject, len(f.t_ns)) for f in found] == [
        ("all/0", "ann", 120),
        ("all/1", "ann", 60),
        ("all/2", "bob", 50),
    ]
    assert [np.unique(f.labels).tolist() for f in found] == [[1, 2], [0], [0, 2]]
    assert found[2].t_ns[0] == 180 * 20_000_000


def test_parquet_and_json(tmp_path: Path) -> None:
    """The same in JSON, for Parquet files whose labels are numbers, at a rate that is told."""
    arrow = pytest.importorskip("pyarrow", reason="writes the file; it comes with aura-edge[parquet]")
    parquet = pytest.importorskip("pyarrow.parquet", reason="writes the file; it comes with aura-edge[parquet]")
    captions = [
        {"key": str(n), "label": f"kind {n}", "group": "all", "sentences": [f"a {n}", f"the {n}"]} for n in (1, 2)
    ]
    said: dict[str, Any] = {
        "name": "numbers",
        "recordings": "*.parquet",
        "units": "m/s2, rad/s",
        "rate_hz": 100,
        "unlabelled": ["0"],
        "columns": {"label": "kind", "subject": "who"},
        "captions": captions,
    }
    path = described(tmp_path, json.dumps(said), "numbers.json")
    columns = {f"{sensor}_{axis}": np.full(90, 0.5) for sensor in ("acc", "gyro") for axis in "xyz"}
    kinds = np.repeat([1, 0, 2], 30)
    table = arrow.table({**columns, "kind": kinds, "who": np.repeat([7, 8], 45)})
    parquet.write_table(table, path.parent / "a.parquet")
    found = list(open_table(path).read(tmp_path))
    assert [(f.subject, f.rate_hz) for f in found] == [("7", 100.0), ("8", 100.0)]
    assert np.concatenate([f.labels for f in found]).tolist() == [0] * 30 + [2] * 30 + [1] * 30


def test_acceleration_that_a_phone_has_split_is_joined(tmp_path: Path) -> None:
    """Gravity is added where its columns are said, and all of it turned where it points down."""
    columns = COLUMNS + "".join(f'gravity_{axis} = "gravity.{axis}"\n' for axis in "xyz")
    path = described(tmp_path, PLAIN + "gravity_points_down = true\n" + columns + CAPTIONS)
    written(tmp_path, "s1/row_1.csv", header=NAMES + ",gravity.x,gravity.y,gravity.z", more=["0,0,-1"] * 50)
    (found,) = open_table(path).read(tmp_path)
    (chunk,) = found.chunks
    np.testing.assert_allclose(chunk.samples[0, :3], np.array([-1, -0.5, 1.25]) * 9.80665, rtol=1e-6)
    np.testing.assert_allclose(chunk.samples[0, 3:], np.radians([180, -90, 45]), rtol=1e-6)


@given(st.data())
def test_a_window_is_called_after_what_fills_it(data: st.DataObject) -> None:
    """Of any labels: the class with the share that is asked for, else none; and never two."""
    labels = np.array(data.draw(st.lists(st.integers(0, 2), min_size=10, max_size=60)), np.int8)
    share = data.draw(st.sampled_from([0.51, 0.6, 0.8, 1.0]))
    starts = np.arange(len(labels) - 9)
    for start, caption in zip(starts, majority(labels, starts, 10, kinds=2, share=share), strict=True):
        counts = np.bincount(labels[start : start + 10], minlength=3)[:2]
        expected = int(np.argmax(counts)) if counts.max() >= share * 10 else -1
        assert caption == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("name = ", "nmae = "), "unknown field `nmae`"),
        (('name = "gym"', 'name = "../gym"'), "matching regex"),
        (('name = "gym"', 'name = "sisfall"'), "set that comes along"),
        (('units = "g', 'share = 0.5\nunits = "g'), "share"),
        (("(?P<subject>s\\d+)", "(?P<subject>s"), "no regular expression"),
        (("(?P<subject>s\\d+)", "(?P<who>s\\d+)"), "expected a group"),
        (("(?P<subject>s\\d+)", "s\\d+"), "who moves must be said once"),
        (("acc_x =", "subject = 'who'\nacc_x ="), "who moves must be said once"),
        (("acc_x =", "label = 'does'\nacc_x ="), "labels must be said once"),
        (("acc_x =", "acc_w ="), "columns acc_w: expected acc_x"),
        (("acc_x =", "gravity_x = 'gx'\nacc_x ="), "gravity_x alone"),
        (("units", "test_subjects = ['s1']\nvalidation_subjects = ['s1']\nunits"), "s1: in test_subjects and in"),
        (('key = "row"', 'key = "squat"'), "keys are unique"),
        (('key = "row"', 'key = ""'), "keys are unique"),
        (('label = "rowing"', 'label = "doing squats"'), "label doing squats more than once"),
        (("units", "recordings = '../**/*.csv'\nunits"), "below its own folder"),
        (("units", "recordings = '/etc/*'\nunits"), "below its own folder"),
        (("[columns]", "[columns"), "line"),
    ],
)
def test_mistakes_in_the_description_are_named(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    """Each mistake is one error that names the file and what is wrong, before a recording is opened."""
    text = PLAIN + COLUMNS + CAPTIONS
    assert change[0] in text
    path = described(tmp_path, text.replace(*change, 1))
    with pytest.raises(RecipeError, match=message) as error:
        open_table(path)
    assert str(path) in str(error.value)


def test_a_set_without_captions_is_refused(tmp_path: Path) -> None:
    """There must be something to call a window."""
    with pytest.raises(RecipeError, match="captions"):
        open_table(described(tmp_path, PLAIN + "captions = []\n"))
    with pytest.raises(RecipeError, match="no description"):
        open_table(tmp_path / "none.toml")


def test_recordings_that_do_not_fit_are_named(tmp_path: Path) -> None:
    """No recording, another name, an unknown label, a stranger in the split, a set elsewhere, no labels, no units."""
    path = described(tmp_path)
    with pytest.raises(RecipeError, match=r"no recording \*\*/\*\.csv"):
        list(open_table(path).read(tmp_path))
    with pytest.raises(RecipeError, match=f"is not below {tmp_path / 'cache'}"):
        list(open_table(path).read(tmp_path / "cache"))
    written(tmp_path, "x1/row_1.csv")
    with pytest.raises(RecipeError, match="'x1/row_1' does not match"):
        list(open_table(path).read(tmp_path))
    (tmp_path / "mine" / "x1").rename(tmp_path / "mine" / "s1")
    written(tmp_path, "s1/swim_1.csv")
    with pytest.raises(RecipeError, match="labels swim; expected squat, row"):
        list(open_table(path).read(tmp_path))
    (tmp_path / "mine" / "s1" / "swim_1.csv").unlink()
    stranger = described(tmp_path, PLAIN + 'test_subjects = ["S1"]\n' + COLUMNS + CAPTIONS)
    with pytest.raises(RecipeError, match=r"its split names S1, of whom there is no recording. Found: s1"):
        list(open_table(stranger).read(tmp_path))
    nameless = described(tmp_path, PLAIN.replace("(?P<label>[a-z]+)", "[a-z]+") + COLUMNS + CAPTIONS)
    with pytest.raises(RecipeError, match="no column of labels"):
        list(open_table(nameless).read(tmp_path))
    unitless = described(tmp_path, PLAIN.replace("g, deg/s, ms", "g") + COLUMNS + CAPTIONS)
    with pytest.raises(UnitsError, match="angular rate"):
        list(open_table(unitless).read(tmp_path))


def test_a_column_that_is_blank_or_not_there_is_said(tmp_path: Path) -> None:
    """A sample whose subject is not known cannot be in a split; a row that was cut off, and is no sample, costs that row."""
    path = described(tmp_path, PLAIN.replace("(?P<subject>s\\d+)", "s\\d+") + COLUMNS + 'subject = "who"\n' + CAPTIONS)
    written(tmp_path, "s1/row_1.csv", header=NAMES + ",who", more=["ann"] * 20 + [""] + ["ann"] * 20)
    with pytest.raises(RecipeError, match="column 'who' is blank in places"):
        list(open_table(path).read(tmp_path))
    written(tmp_path, "s1/row_1.csv", header=NAMES + ",who", more=["ann"] * 20)
    with (tmp_path / "mine" / "s1" / "row_1.csv").open("a") as file:
        file.write("400,1,0.5")
    (found,) = open_table(path).read(tmp_path)
    assert (found.subject, len(found.t_ns)) == ("ann", 21)
    written(tmp_path, "s1/row_1.csv")
    with pytest.raises(InputError, match="no column 'who'"):
        list(open_table(path).read(tmp_path))
