"""USC-HAD: 14 people, 12 daily activities in five trials each, a MotionNode on the front right hip at 100 Hz.

Zhang and Sawchuk, USC-HAD: A Daily Activity Dataset for Ubiquitous Activity Recognition Using Wearable Sensors, UbiComp SAGAware 2012. Given to
research by its authors without a licence that lets others pass it on. Unpacked below `usc-had/`: `Subject1/a1t1.mat` on, activity and trial
in the file's name, where `sensor_readings` (N, 6) holds acceleration in g (+-6) and angular rate in deg/s (+-500). The other fields are
text; that with the activity's number is `activity_number` in most files and `activity_numbr` in some, so it is taken from the name.

The readme lets the x axis point to the ground; what sign gravity has along it could not be checked without the files, and readings are taken
as they are. The set has no split by people that is in common use: the last two are the test, the two before them the validation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import RecipeError
from aura_edge.sources.formats import RecordingFormat
from aura_edge.sources.recordings import read_recording
from aura_edge.types import ImuChunk
from aura_edge_train.datasets import DataSet, LabelledRecording, Part, in_parts, read_captions

CLASSES = (
    "walking_forward",
    "walking_left",
    "walking_right",
    "walking_upstairs",
    "walking_downstairs",
    "running_forward",
    "jumping_up",
    "sitting",
    "standing",
    "sleeping",
    "elevator_up",
    "elevator_down",
)
"""In the order of their numbers in the names of files, which count from 1."""
FORM = RecordingFormat(reader="matlab", units="g, deg/s", rate_hz=100.0, placement="hip")
_SUBJECT = re.compile(r"Subject(?P<subject>\d+)")
_TRIAL = re.compile(r"a(?P<activity>\d+)t(?P<trial>\d+)")


def _files(folder: Path) -> list[Path]:
    found = (folder / "usc-had").glob("**/Subject*/a*t*.mat")
    files = sorted(file for file in found if _SUBJECT.fullmatch(file.parent.name) and _TRIAL.fullmatch(file.stem))
    if not files:
        raise RecipeError(f"{folder / 'usc-had'}: no USC-HAD there; expected Subject1/a1t1.mat on, unpacked.")
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
    subject, trial = _SUBJECT.fullmatch(file.parent.name), _TRIAL.fullmatch(file.stem)
    assert subject is not None  # or it would not be among the files
    assert trial is not None
    activity = int(trial["activity"])
    if not 1 <= activity <= len(CLASSES):
        raise RecipeError(f"{file}: activity {activity}, expected 1 to {len(CLASSES)}. It is no file of USC-HAD.")
    recording = read_recording(file, FORM)
    yield LabelledRecording(
        name=f"{file.parent.name}/{file.stem}",
        subject=subject["subject"],
        rate_hz=recording.info.rate_hz,
        chunks=[ImuChunk(recording.t_ns, recording.samples, host_ns=0)],
        t_ns=recording.t_ns,
        labels=np.full(len(recording.t_ns), activity - 1, np.int8),
    )


USC_HAD = DataSet(
    name="usc-had",
    classes=CLASSES,
    captions=read_captions("usc-had"),
    redistributable=False,
    test_subjects=frozenset({"13", "14"}),
    validation_subjects=frozenset({"11", "12"}),
    evaluation_step_s=2.5,
    files=_files,
    read=in_parts(_parts, _read_part),
    parts=_parts,
    read_part=_read_part,
    caption_of=_caption_of,
)
