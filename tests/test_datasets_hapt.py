"""HAPT: two files make a recording, ranges of samples its labels; what nobody labelled has no caption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="captions come with encoders; it comes with aura-edge[train]")

from aura_edge.errors import InputError, RecipeError
from aura_edge_train import datasets
from aura_edge_train.datasets.hapt import ACTIVITIES, HAPT
from aura_edge_train.datasets.store import open_store
from aura_edge_train.datasets.table import UNLABELLED


def written(folder: Path, labels: str, *names: str, samples: int = 1200, gyro_samples: int | None = None) -> Path:
    """Files of equal rows for each of `names`, as `exp01_user01`."""
    raw = folder / "hapt" / "HAPT Data Set" / "RawData"
    raw.mkdir(parents=True, exist_ok=True)
    for name in names:
        (raw / f"acc_{name}.txt").write_text("1.020833394742025 -0.1250000020616516 0.105555564319952\n" * samples)
        (raw / f"gyro_{name}.txt").write_text("-0.0027488 -0.0042761 0.0027488\n" * (gyro_samples or samples))
    (raw / "labels.txt").write_text(labels)
    return raw


def test_readings_in_si_units(tmp_path: Path) -> None:
    """g becomes m/s2, rad/s stays, 20 ms apart; experiment and user are in the name."""
    written(tmp_path, "1 1 5 250 1100\n", "exp01_user01")
    (found,) = HAPT.read(tmp_path)
    (chunk,) = found.chunks
    expected = [10.010956, -1.2258313, 1.0351464, -0.0027488, -0.0042761, 0.0027488]
    np.testing.assert_allclose(chunk.samples, np.tile(expected, (1200, 1)), rtol=1e-5)
    assert np.array_equal(found.t_ns, np.arange(1200) * 20_000_000)
    assert (found.name, found.subject, found.rate_hz) == ("exp01_user01", "1", 50.0)


def test_ranges_count_from_1_and_include_their_last(tmp_path: Path) -> None:
    """Samples outside all ranges are unlabelled; lines of other experiments do not matter."""
    written(tmp_path, "1 1 5 3 5\n1 1 7 6 6\n2 1 1 1 9\n3 2 6 1 10\n", "exp01_user01", "exp02_user01", samples=10)
    first, second = HAPT.read(tmp_path)
    assert [HAPT.classes[code] for code in first.labels] == [
        *[UNLABELLED] * 2,
        *["STANDING"] * 3,
        "STAND_TO_SIT",
        *[UNLABELLED] * 4,
    ]
    assert [HAPT.classes[code] for code in second.labels] == [*["WALKING"] * 9, UNLABELLED]


def test_windows_are_called_after_most_of_them(tmp_path: Path) -> None:
    """At 200 Hz: 5 s of standing, 4 s of sitting down, 6 s of nothing; a window that nothing fills to 60 % has no caption."""
    written(tmp_path, "1 1 5 1 250\n1 1 7 251 450\n", "exp01_user01", samples=750)
    store = open_store(HAPT, tmp_path, cache=tmp_path / "cache")
    starts = np.array([0, 396, 404, 500, 800, 996, 1004, 1204, 1900])
    assert store.captions(starts, 1000).tolist() == [4, 4, -1, -1, 6, 6, 6, -1, -1]
    assert store.index.samples == {"read": 750, "used": 750}


def test_split_is_that_of_the_set() -> None:
    """Nine people test, as published; nobody is in two splits; the class of what nobody labelled has no caption."""
    assert HAPT.test_subjects == {"2", "4", "9", "10", "12", "13", "18", "20", "24"}
    assert not HAPT.test_subjects & HAPT.validation_subjects
    assert datasets.get("hapt") is HAPT
    assert tuple(caption.key for caption in HAPT.captions) == HAPT.classes[:ACTIVITIES]
    assert HAPT.classes[ACTIVITIES:] == (UNLABELLED,)
    assert not HAPT.redistributable


def test_parts_are_what_is_read(tmp_path: Path) -> None:
    """Each experiment is a part with the labels of all."""
    written(tmp_path, "1 1 5 3 5\n2 1 1 1 9\n", "exp01_user01", "exp02_user01", samples=10)
    assert HAPT.parts is not None
    assert HAPT.read_part is not None
    parts = HAPT.parts(tmp_path)
    assert [f.name for part in parts for f in HAPT.read_part(tmp_path, part)] == ["exp01_user01", "exp02_user01"]
    used = {tmp_path / file for part in parts for file in part.files}
    assert used == set(HAPT.files(tmp_path))


@pytest.mark.parametrize("labels", ["1 1 13 1 5\n", "1 1 0 1 5\n", "1 1 5 0 5\n", "1 1 5 6 5\n", "1 1 5 8 11\n"])
def test_impossible_ranges_are_said(tmp_path: Path, labels: str) -> None:
    """An unknown activity, and a range that is not within the recording, are errors that name it."""
    written(tmp_path, labels, "exp01_user01", samples=10)
    with pytest.raises(RecipeError, match=r"exp01_user01: activity .* within 1 to 10"):
        list(HAPT.read(tmp_path))


def test_wrong_files_are_said(tmp_path: Path) -> None:
    """No folder, a file without its pair or of another length, an experiment that nobody labelled, words and blanks."""
    with pytest.raises(RecipeError, match="no HAPT there"):
        list(HAPT.read(tmp_path))
    raw = written(tmp_path, "1 1 5 1 5\n", "exp01_user01", samples=10, gyro_samples=9)
    with pytest.raises(RecipeError, match=r"10 samples, but 9 in gyro_exp01_user01\.txt"):
        list(HAPT.read(tmp_path))
    (raw / "gyro_exp01_user01.txt").write_text("")
    with pytest.raises(InputError, match="the file is empty"):
        list(HAPT.read(tmp_path))
    (raw / "gyro_exp01_user01.txt").write_text("0 0 nan\n" * 10)
    with pytest.raises(RecipeError, match="expected 3 of finite"):
        list(HAPT.read(tmp_path))
    (raw / "gyro_exp01_user01.txt").write_text("0 0 zero\n" * 10)
    with pytest.raises(RecipeError, match="not numbers throughout"):
        list(HAPT.read(tmp_path))
    (raw / "gyro_exp01_user01.txt").unlink()
    with pytest.raises(RecipeError, match=r"gyro_exp01_user01\.txt not there"):
        list(HAPT.read(tmp_path))
    written(tmp_path, "1 2 5 1 5\n", "exp01_user01", samples=10)
    with pytest.raises(RecipeError, match="no line for it"):
        list(HAPT.read(tmp_path))
