"""USC-HAD: readings in their units, activity and person from the path, whatever the other fields are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="captions come with encoders; it comes with aura-edge[train]")

from aura_edge.errors import InputError, RecipeError
from aura_edge_train import datasets
from aura_edge_train.datasets.store import open_store
from aura_edge_train.datasets.usc_had import USC_HAD

scipy_io = pytest.importorskip("scipy.io", reason="writes the files; it comes with scikit-learn")

READINGS = np.tile([1.0, 0.5, -0.25, 180.0, -90.0, 45.0], (600, 1))


def written(
    folder: Path, name: str = "Subject1/a1t1.mat", *, number: str = "activity_number", readings: object = READINGS
) -> None:
    """A file as the set has them: texts, and one matrix."""
    file = folder / "usc-had" / "USC-HAD" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    texts = {
        "title": "USC Human Motion Database",
        "version": "1.0",
        "subject": "1",
        "height": "170cm",
        number: "1",
        "trial": "1",
    }
    scipy_io.savemat(file, {**texts, "sensor_readings": readings}, do_compression=True)


@pytest.mark.parametrize("number", ["activity_number", "activity_numbr"])
def test_readings_in_si_units(tmp_path: Path, number: str) -> None:
    """g and deg/s become m/s2 and rad/s, 10 ms apart, with either spelling of the field that is not needed."""
    written(tmp_path, number=number)
    (found,) = USC_HAD.read(tmp_path)
    (chunk,) = found.chunks
    expected = [9.80665, 4.903325, -2.4516625, np.pi, -np.pi / 2, np.pi / 4]
    np.testing.assert_allclose(chunk.samples, np.tile(expected, (600, 1)), rtol=1e-6)
    assert np.array_equal(found.t_ns, np.arange(600) * 10_000_000)
    assert (found.name, found.subject, found.rate_hz) == ("Subject1/a1t1", "1", 100.0)


def test_path_says_who_does_what(tmp_path: Path) -> None:
    """Activities of one and two digits; Subject1 is not Subject13; windows at 200 Hz are called after them."""
    for name in ("Subject1/a2t1.mat", "Subject1/a12t5.mat", "Subject13/a1t1.mat", "Subject11/a10t3.mat"):
        written(tmp_path, name)
    found = {f.name: f for f in USC_HAD.read(tmp_path)}
    assert {name: USC_HAD.classes[f.labels[0]] for name, f in found.items()} == {
        "Subject1/a2t1": "walking_left",
        "Subject1/a12t5": "elevator_down",
        "Subject13/a1t1": "walking_forward",
        "Subject11/a10t3": "sleeping",
    }
    assert {name: USC_HAD.split_of(f.subject) for name, f in found.items()} == {
        "Subject1/a2t1": "train",
        "Subject1/a12t5": "train",
        "Subject13/a1t1": "test",
        "Subject11/a10t3": "validation",
    }
    store = open_store(USC_HAD, tmp_path, cache=tmp_path / "cache")
    assert store.index.samples == {"read": 2400, "used": 2400}
    starts = store.window_starts("validation", 1000)
    assert [USC_HAD.captions[c].label for c in store.captions(starts, 1000)] == ["sleeping"]


def test_registered_and_not_to_be_passed_on() -> None:
    """Twelve classes with captions in their order; no licence, so that no window travels."""
    assert datasets.get("usc-had") is USC_HAD
    assert tuple(caption.key for caption in USC_HAD.captions) == USC_HAD.classes
    assert len(USC_HAD.classes) == 12
    assert not USC_HAD.redistributable


def test_wrong_files_are_said(tmp_path: Path) -> None:
    """No folder, an activity that is none and another matrix are errors of ours."""
    with pytest.raises(RecipeError, match="no USC-HAD there"):
        list(USC_HAD.read(tmp_path))
    written(tmp_path, "Subject1/a13t1.mat")
    with pytest.raises(RecipeError, match="activity 13, expected 1 to 12"):
        list(USC_HAD.read(tmp_path))
    (tmp_path / "usc-had" / "USC-HAD" / "Subject1" / "a13t1.mat").unlink()
    written(tmp_path, readings=READINGS[:, :5])
    with pytest.raises(InputError, match="expected one"):
        list(USC_HAD.read(tmp_path))
