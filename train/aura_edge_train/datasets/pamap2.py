"""PAMAP2: nine people, 18 everyday activities and sports, an IMU on the chest at 100 Hz (and others, not read, at wrist and ankle).

Reiss and Stricker, Introducing a New Benchmarked Dataset for Activity Monitoring, ISWC 2012, 108-109; doi 10.24432/C5NW2H. The UCI
repository states CC BY 4.0, so its windows may travel. Unpacked below `pamap2/`: `Protocol/subject101.dat` to `subject109.dat`, and the same
names in `Optional/` for the five who did more. 54 columns divided by spaces, no header: time in s, activity, heart rate, then 17 columns
each for hand, chest and ankle: temperature, acceleration +-16 g and +-6 g in m/s2, gyroscope in rad/s, and more. The 6 g sensor saturates
when people run: the 16 g one is read. Rows that the radio lost are NaN; the resampler bridges or cuts there as it does live.

Activity 0 is whatever happened in between and is dropped: each stretch of one activity is a recording of its own, so that no window holds
two. The split is that of Hammerla, Halloran and Ploetz 2016, arXiv:1604.08880: subject 106 is the test, 105 the validation.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import RecipeError
from aura_edge.sources.files import reading
from aura_edge.sources.formats import RecordingFormat
from aura_edge.sources.recordings import read_recording
from aura_edge.types import ImuChunk
from aura_edge_train.datasets import DataSet, LabelledRecording, Part, codes, in_parts, read_captions

ACTIVITIES = {
    "1": "lying",
    "2": "sitting",
    "3": "standing",
    "4": "walking",
    "5": "running",
    "6": "cycling",
    "7": "nordic_walking",
    "9": "watching_tv",
    "10": "computer_work",
    "11": "car_driving",
    "12": "ascending_stairs",
    "13": "descending_stairs",
    "16": "vacuum_cleaning",
    "17": "ironing",
    "18": "folding_laundry",
    "19": "house_cleaning",
    "20": "playing_soccer",
    "24": "rope_jumping",
}
"""By the number in the files."""
BETWEEN = "0"
"""No activity in particular."""
COLUMNS = 54
FORM = RecordingFormat(
    reader="delimited",
    delimiter=" ",
    columns={
        "t": 0,
        "label": 1,
        "acc_x": 21,
        "acc_y": 22,
        "acc_z": 23,
        "gyro_x": 27,
        "gyro_y": 28,
        "gyro_z": 29,
    },
    units="m/s2, rad/s, s",
    rate_hz=100.0,
    placement="chest",
)


def _files(folder: Path) -> list[Path]:
    found = (folder / "pamap2").glob("**/subject10[1-9].dat")
    files = sorted(file for file in found if file.parent.name in ("Protocol", "Optional"))
    if not files:
        raise RecipeError(f"{folder / 'pamap2'}: no PAMAP2 there; expected Protocol/subject101.dat on, below it.")
    return files


def _caption_of(labels: NDArray[np.int8], starts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """A recording is one activity: its windows are called what it is called."""
    return labels[starts].astype(np.int64)


def _parts(folder: Path) -> list[Part]:
    """One file each."""
    inside = [file.relative_to(folder).as_posix() for file in _files(folder)]
    return [Part(name, (name,)) for name in inside]


def _read_part(folder: Path, part: Part) -> Iterator[LabelledRecording]:
    file = folder / part.files[0]
    _check(file)
    trial = read_recording(file, FORM)
    assert trial.labels is not None  # the format names their column
    changes = np.flatnonzero(trial.labels[1:] != trial.labels[:-1]) + 1
    for number, (start, stop) in enumerate(pairwise([0, *changes.tolist(), len(trial.labels)])):
        activity = str(trial.labels[start])
        if activity == BETWEEN:
            continue
        code = codes(np.array([activity]), tuple(ACTIVITIES), found_in=str(file))
        yield LabelledRecording(
            name=f"{file.parent.name}/{file.stem}/{number:03d}",
            subject=file.stem.removeprefix("subject"),
            rate_hz=trial.info.rate_hz,
            chunks=[ImuChunk(trial.t_ns[start:stop], trial.samples[start:stop], host_ns=0)],
            t_ns=trial.t_ns[start:stop],
            labels=np.repeat(code, stop - start),
        )


def _check(file: Path) -> None:
    """The columns have no names: their number is all that tells a file of this set."""
    with reading(file), file.open(encoding="utf-8", errors="replace") as lines:
        found = len(next(lines, "").split())
    if found != COLUMNS:
        raise RecipeError(f"{file}: {found} columns, expected {COLUMNS} divided by spaces. Unpack PAMAP2 again.")


PAMAP2 = DataSet(
    name="pamap2",
    classes=tuple(ACTIVITIES.values()),
    captions=read_captions("pamap2"),
    redistributable=True,
    test_subjects=frozenset({"106"}),
    validation_subjects=frozenset({"105"}),
    evaluation_step_s=2.5,
    files=_files,
    read=in_parts(_parts, _read_part),
    parts=_parts,
    read_part=_read_part,
    caption_of=_caption_of,
)
