"""PAMAP2: which of the 54 columns are read, what gaps and activity 0 do, who is in which split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="captions come with encoders; it comes with aura-edge[train]")

from aura_edge.errors import InputError, RecipeError
from aura_edge_train import datasets
from aura_edge_train.datasets.pamap2 import PAMAP2
from aura_edge_train.datasets.store import open_store


def row(number: int, activity: int, *, lost: bool = False, heart: bool = False) -> str:
    """One line: each column after the third holds its own number from 1, plus a thousandth for each line."""
    readings = ["NaN" if lost else f"{column + number / 1000:.6g}" for column in range(4, 55)]
    return " ".join([f"{8.38 + number / 100:.2f}", str(activity), "104" if heart else "NaN", *readings])


def written(folder: Path, lines: list[str], name: str = "Protocol/subject101.dat") -> Path:
    file = folder / "pamap2" / "PAMAP2_Dataset" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")
    return file


def test_chest_columns_in_si_units(tmp_path: Path) -> None:
    """Columns 22 to 24 (16 g) and 28 to 30 (gyroscope), counted from 1, are taken as they are, at the times in the file."""
    written(tmp_path, [row(n, 4, heart=n % 11 == 0) for n in range(50)])
    (found,) = PAMAP2.read(tmp_path)
    (chunk,) = found.chunks
    np.testing.assert_allclose(chunk.samples[7], np.array([22, 23, 24, 28, 29, 30]) + 0.007, rtol=1e-6)
    assert chunk.t_ns[:2].tolist() == [8_380_000_000, 8_390_000_000]
    assert (found.name, found.subject, found.rate_hz) == ("Protocol/subject101/000", "101", 100.0)
    assert {PAMAP2.classes[code] for code in found.labels} == {"walking"}


def test_activity_0_is_dropped_and_divides(tmp_path: Path) -> None:
    """Each stretch of one activity is a recording; what lies between is in none, and times go on."""
    activities = [0] * 20 + [1] * 30 + [0] * 25 + [24] * 40 + [2] * 15 + [0] * 5
    written(tmp_path, [row(n, activity) for n, activity in enumerate(activities)])
    found = list(PAMAP2.read(tmp_path))
    assert [(PAMAP2.classes[f.labels[0]], len(f.labels)) for f in found] == [
        ("lying", 30),
        ("rope_jumping", 40),
        ("sitting", 15),
    ]
    assert [int(f.t_ns[0]) for f in found] == [8_580_000_000, 9_130_000_000, 9_530_000_000]
    assert all(len(set(f.labels.tolist())) == 1 for f in found)


def test_lost_rows_are_bridged_or_divide(tmp_path: Path) -> None:
    """One lost row is bridged, a second of them ends a segment; the store holds 200 Hz and accounts for every row."""
    lost = {300} | set(range(800, 900))
    written(tmp_path, [row(n, 4, lost=n in lost) for n in range(1600)])
    store = open_store(PAMAP2, tmp_path, cache=tmp_path / "cache")
    assert [segment.length for segment in store.index.segments] == [799 * 2 + 1, 699 * 2 + 1]
    counts = {reason: count for reason, count in store.index.samples.items() if count}
    assert counts == {"read": 1600, "used": 1499, "non_finite": 101}
    starts = store.window_starts("train", 1000)
    assert [PAMAP2.captions[c].label for c in store.captions(starts, 1000)] == ["walking"] * len(starts)


def test_optional_activities_are_read_too(tmp_path: Path) -> None:
    """Recordings of both folders are the same person's; other files are not looked at; parts are read one by one."""
    for name, activity in (("Protocol/subject105.dat", 1), ("Optional/subject105.dat", 20)):
        written(tmp_path, [row(n, activity) for n in range(30)], name)
    written(tmp_path, ["x"], "Other/subject105.dat")
    found = list(PAMAP2.read(tmp_path))
    assert [(f.name, f.subject) for f in found] == [
        ("Optional/subject105/000", "105"),
        ("Protocol/subject105/000", "105"),
    ]
    assert PAMAP2.parts is not None
    assert PAMAP2.read_part is not None
    assert [f.name for part in PAMAP2.parts(tmp_path) for f in PAMAP2.read_part(tmp_path, part)] == [
        f.name for f in found
    ]


def test_split_and_classes() -> None:
    """Eighteen classes, each with a caption of the same key; 106 tests, 105 validates."""
    assert len(PAMAP2.classes) == 18
    assert [caption.key for caption in PAMAP2.captions] == list(PAMAP2.classes)
    assert [PAMAP2.split_of(who) for who in ("105", "106", "101")] == ["validation", "test", "train"]
    assert datasets.get("pamap2") is PAMAP2
    assert PAMAP2.redistributable


def test_wrong_files_are_said(tmp_path: Path) -> None:
    """No folder, another number of columns, an unknown activity and an empty file are errors of ours."""
    with pytest.raises(RecipeError, match="no PAMAP2 there"):
        list(PAMAP2.read(tmp_path))
    file = written(tmp_path, [" ".join(["1"] * 53)] * 20)
    with pytest.raises(RecipeError, match="53 columns, expected 54"):
        list(PAMAP2.read(tmp_path))
    written(tmp_path, [row(n, 8) for n in range(30)])
    with pytest.raises(RecipeError, match="labels 8; expected 1, 2"):
        list(PAMAP2.read(tmp_path))
    file.write_text("")
    with pytest.raises((InputError, RecipeError), match="subject101"):
        list(PAMAP2.read(tmp_path))
