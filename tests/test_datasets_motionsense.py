"""MotionSense: user acceleration and gravity become one reading, upwards; activity and person are in the path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="captions come with encoders; it comes with aura-edge[train]")

from aura_edge.errors import InputError, RecipeError
from aura_edge_train import datasets
from aura_edge_train.datasets.motionsense import MOTIONSENSE

HEADER = (
    "attitude.roll,attitude.pitch,attitude.yaw,gravity.x,gravity.y,gravity.z,rotationRate.x,rotationRate.y,rotationRate.z,"
    "userAcceleration.x,userAcceleration.y,userAcceleration.z"
)
LINE = "1.5,-0.7,0.6,0.25,0.5,-0.75,0.1,-0.2,0.3,0.05,-0.1,0.15"


def written(folder: Path, name: str = "dws_1/sub_1.csv", *, index: str | None = "", lines: int = 40) -> Path:
    """A file of equal rows, with the index column under that name, or without one."""
    file = folder / "motionsense" / "A_DeviceMotion_data" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [HEADER if index is None else f"{index},{HEADER}"]
    rows += [LINE if index is None else f"{n},{LINE}" for n in range(lines)]
    file.write_text("\n".join(rows) + "\n")
    return file


@pytest.mark.parametrize("index", ["", "Unnamed: 0", None])
def test_gravity_is_added_and_points_up(tmp_path: Path, index: str | None) -> None:
    """-(user + gravity) in m/s2, since Core Motion reads gravity downwards; rad/s as they are; 20 ms apart."""
    written(tmp_path, index=index)
    (found,) = MOTIONSENSE.read(tmp_path)
    (chunk,) = found.chunks
    expected = [-0.3 * 9.80665, -0.4 * 9.80665, 0.6 * 9.80665, 0.1, -0.2, 0.3]
    np.testing.assert_allclose(chunk.samples, np.tile(expected, (40, 1)), rtol=1e-6)
    assert np.array_equal(found.t_ns, np.arange(40) * 20_000_000)
    assert found.rate_hz == 50.0


def test_path_says_who_does_what(tmp_path: Path) -> None:
    """Folder and file name give activity, trial and person; files of the Mac's archiver are passed over."""
    for name in ("dws_11/sub_20.csv", "jog_9/sub_1.csv", "std_14/sub_17.csv"):
        written(tmp_path, name)
    written(tmp_path, "jog_9/._sub_1.csv").write_bytes(b"\0\5\26\7")
    found = list(MOTIONSENSE.read(tmp_path))
    assert [(f.name, f.subject, MOTIONSENSE.captions[f.labels[0]].label) for f in found] == [
        ("dws_11/sub_20", "20", "walking down the stairs"),
        ("jog_9/sub_1", "1", "jogging"),
        ("std_14/sub_17", "17", "standing"),
    ]
    assert [MOTIONSENSE.split_of(f.subject) for f in found] == ["test", "train", "validation"]
    assert MOTIONSENSE.parts is not None
    assert next(part.files for part in MOTIONSENSE.parts(tmp_path)) == (
        "motionsense/A_DeviceMotion_data/dws_11/sub_20.csv",
    )


def test_registered_with_a_caption_for_each_class() -> None:
    """The set is found by name, its captions in the order of its classes."""
    assert datasets.get("motionsense") is MOTIONSENSE
    assert tuple(caption.key for caption in MOTIONSENSE.captions) == MOTIONSENSE.classes


def test_wrong_files_are_said(tmp_path: Path) -> None:
    """No folder, an unknown activity and a file of the accelerometer alone are errors of ours."""
    with pytest.raises(RecipeError, match="no MotionSense there"):
        list(MOTIONSENSE.read(tmp_path))
    file = written(tmp_path, "fly_1/sub_1.csv")
    with pytest.raises(RecipeError, match="labels fly; expected dws"):
        list(MOTIONSENSE.read(tmp_path))
    file.unlink()
    written(tmp_path).write_text(",x,y,z\n0,1,2,3\n1,1,2,3\n")
    with pytest.raises(InputError, match="userAcceleration"):
        list(MOTIONSENSE.read(tmp_path))
