"""MotionSense: 24 people walk, jog, take the stairs, sit and stand, an iPhone 6s in the front trouser pocket at 50 Hz.

Malekzadeh, Clegg, Cavallaro and Haddadi, Mobile Sensor Data Anonymization, IoTDI 2019, 49-58, doi 10.1145/3302505.3310068. The authors'
repository, which holds the data, is under the MIT licence. Unpacked below `motionsense/`: `A_DeviceMotion_data/dws_1/sub_1.csv` on, one
folder per activity and trial, one file per person, with an index column that has no name (or `Unnamed: 0`) and no times.

Core Motion splits what the accelerometer reads into `userAcceleration` and `gravity`, both in g: their sum is read. It points *down* at rest
(0, 0, -1 on a table, screen up) and up when the phone falls, so that all of it has the sign opposite to ours and is turned;
`rotationRate` is in rad/s and right-handed as it is. The set has no split by people that is in common use: the last five are the test, the
three before them the validation.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import RecipeError
from aura_edge.sources.formats import RecordingFormat
from aura_edge.types import ImuChunk
from aura_edge_train.datasets import DataSet, LabelledRecording, Part, codes, in_parts, read_captions
from aura_edge_train.datasets.table import read_with_gravity

CLASSES = ("dws", "ups", "wlk", "jog", "sit", "std")
FORM = RecordingFormat(
    reader="delimited",
    delimiter=",",
    columns={
        "acc_x": "userAcceleration.x",
        "acc_y": "userAcceleration.y",
        "acc_z": "userAcceleration.z",
        "gyro_x": "rotationRate.x",
        "gyro_y": "rotationRate.y",
        "gyro_z": "rotationRate.z",
    },
    units="g, rad/s",
    rate_hz=50.0,
    placement="pocket",
)
GRAVITY = {"acc_x": "gravity.x", "acc_y": "gravity.y", "acc_z": "gravity.z"}


def _files(folder: Path) -> list[Path]:
    files = sorted((folder / "motionsense").glob("**/A_DeviceMotion_data/*_*/sub_*.csv"))
    if not files:
        raise RecipeError(
            f"{folder / 'motionsense'}: no MotionSense there; expected A_DeviceMotion_data/dws_1/sub_1.csv on, unpacked."
        )
    return files


def _caption_of(labels: NDArray[np.int8], starts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """A trial is one activity: its windows are called what it is called."""
    return labels[starts].astype(np.int64)


def _parts(folder: Path) -> list[Part]:
    """One file each."""
    inside = [file.relative_to(folder).as_posix() for file in _files(folder)]
    return [Part(name, (name,)) for name in inside]


def _read_part(folder: Path, part: Part) -> Iterator[LabelledRecording]:
    file = folder / part.files[0]
    activity, _, _ = file.parent.name.partition("_")
    code = codes(np.array([activity]), CLASSES, found_in=str(file.parent))
    trial = read_with_gravity(file, FORM, GRAVITY, points_down=True)
    yield LabelledRecording(
        name=f"{file.parent.name}/{file.stem}",
        subject=file.stem.removeprefix("sub_"),
        rate_hz=trial.info.rate_hz,
        chunks=[ImuChunk(trial.t_ns, trial.samples, host_ns=0)],
        t_ns=trial.t_ns,
        labels=np.repeat(code, len(trial.t_ns)),
    )


MOTIONSENSE = DataSet(
    name="motionsense",
    classes=CLASSES,
    captions=read_captions("motionsense"),
    redistributable=True,
    test_subjects=frozenset({"20", "21", "22", "23", "24"}),
    validation_subjects=frozenset({"17", "18", "19"}),
    evaluation_step_s=2.5,
    files=_files,
    read=in_parts(_parts, _read_part),
    parts=_parts,
    read_part=_read_part,
    caption_of=_caption_of,
)
