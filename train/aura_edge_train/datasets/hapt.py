"""HAPT (or SBHAR): 30 people walk, take the stairs, sit, stand, lie and change between these, a Samsung Galaxy S II at the waist at 50 Hz.

Reyes-Ortiz, Oneto, Sama, Parra and Anguita, Transition-Aware Human Activity Recognition Using Smartphones, Neurocomputing 2015; version 2.1.
Its readme prohibits commercial use though the UCI repository states CC BY 4.0: the stricter counts, and no window travels. Unpacked below
`hapt/`: `RawData/acc_exp01_user01.txt` (g, with gravity) and `gyro_exp01_user01.txt` (rad/s) on, three columns each, no header, no times;
`RawData/labels.txt` gives experiment, user, activity, first and last sample, counted from 1.

Samples between its ranges belong to no activity: they stay in the recording, as a class without a caption. A change takes 2 to 5 s, so that a
window is called after what fills `SHARE` of it; one that nothing fills has no caption. The split is that of the set; UCI-HAR was recorded
by the same people, so that both keep the same of them for testing and, ours, for validation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import RecipeError
from aura_edge.sources.files import open_binary, reading
from aura_edge.sources.timeline import counted_ns
from aura_edge.sources.units import parse_units, to_si
from aura_edge.types import ImuChunk
from aura_edge_train.datasets import DataSet, LabelledRecording, Part, in_parts, read_captions
from aura_edge_train.datasets.table import SHARE, UNLABELLED, majority

CLASSES = (
    "WALKING",
    "WALKING_UPSTAIRS",
    "WALKING_DOWNSTAIRS",
    "SITTING",
    "STANDING",
    "LAYING",
    "STAND_TO_SIT",
    "SIT_TO_STAND",
    "SIT_TO_LIE",
    "LIE_TO_SIT",
    "STAND_TO_LIE",
    "LIE_TO_STAND",
    UNLABELLED,
)
"""In the order of their numbers in `labels.txt`, which count from 1; the last is ours."""
ACTIVITIES = len(CLASSES) - 1
RATE_HZ = 50.0
UNITS = parse_units("g, rad/s")
TEST_SUBJECTS = frozenset({"2", "4", "9", "10", "12", "13", "18", "20", "24"})
VALIDATION_SUBJECTS = frozenset({"27", "28", "29", "30"})
"""These of UCI-HAR too: they are the same people."""
_NAME = re.compile(r"acc_(exp(?P<experiment>\d+)_user(?P<user>\d+))\.txt")


def read_numbers(file: Path, columns: int) -> NDArray[np.float64]:
    """(N, `columns`) numbers of a text file without a header. Raises `InputError` and `RecipeError`."""
    try:
        with open_binary(file) as stream, reading(file):
            found = np.loadtxt(stream, ndmin=2, encoding="utf-8")
    except ValueError as error:
        raise RecipeError(f"{file}: not numbers throughout ({error}). Unpack it again.") from error
    if found.shape[1] != columns or not np.isfinite(found).all():
        raise RecipeError(
            f"{file}: {found.shape[1]} columns of which some may be no numbers; expected {columns} of finite ones. It is another file, or damaged."
        )
    return found


def _files(folder: Path) -> list[Path]:
    home = folder / "hapt"
    labels = sorted(home.glob("**/RawData/labels.txt"))
    accelerations = sorted(labels[0].parent.glob("acc_exp*_user*.txt")) if labels else []
    if not accelerations:
        raise RecipeError(f"{home}: no HAPT there; expected RawData/ with labels.txt and acc_exp01_user01.txt on.")
    pairs = [(file, file.with_name(file.name.replace("acc_", "gyro_", 1))) for file in accelerations]
    if missing := [gyro.name for _, gyro in pairs if not gyro.is_file()]:
        raise RecipeError(
            f"{labels[0].parent}: {', '.join(missing)} not there beside the acc_ file. Unpack HAPT again."
        )
    return [labels[0], *(file for pair in pairs for file in pair)]


def _parts(folder: Path) -> list[Part]:
    """One experiment each, with the labels of all."""
    labels, *files = (file.relative_to(folder).as_posix() for file in _files(folder))
    return [Part(acc, (labels, acc, gyro)) for acc, gyro in zip(files[::2], files[1::2], strict=True)]


def _read_part(folder: Path, part: Part) -> Iterator[LabelledRecording]:
    table, acc_file, gyro_file = (folder / file for file in part.files)
    match = _NAME.fullmatch(acc_file.name)
    if match is None:
        raise RecipeError(f"{acc_file}: expected a name like acc_exp01_user01.txt.")
    ranges, acc, gyro = read_numbers(table, 5).astype(np.int64), read_numbers(acc_file, 3), read_numbers(gyro_file, 3)
    if len(acc) != len(gyro):
        raise RecipeError(f"{acc_file}: {len(acc)} samples, but {len(gyro)} in {gyro_file.name}; expected as many.")
    mine = (ranges[:, 0] == int(match["experiment"])) & (ranges[:, 1] == int(match["user"]))
    t_ns = counted_ns(0, len(acc), RATE_HZ)
    yield LabelledRecording(
        name=match[1],
        subject=str(int(match["user"])),
        rate_hz=RATE_HZ,
        chunks=[ImuChunk(t_ns, to_si(np.hstack([acc, gyro]), UNITS), host_ns=0)],
        t_ns=t_ns,
        labels=_labels(ranges[mine, 2:], len(acc), f"{table}, {match[1]}"),
    )


def _labels(ranges: NDArray[np.int64], samples: int, found_in: str) -> NDArray[np.int8]:
    """(samples,) classes from (R, 3) activity, first and last sample, counted from 1."""
    if not len(ranges):
        raise RecipeError(f"{found_in}: no line for it; expected its activities. Unpack HAPT again.")
    labels = np.full(samples, ACTIVITIES, np.int8)
    for activity, first, last in ranges.tolist():
        if not (1 <= activity <= ACTIVITIES and 1 <= first <= last <= samples):
            raise RecipeError(
                f"{found_in}: activity {activity} from sample {first} to {last}; expected 1 to {ACTIVITIES}, within 1 to {samples}."
            )
        labels[first - 1 : last] = activity - 1
    return labels


HAPT = DataSet(
    name="hapt",
    classes=CLASSES,
    captions=read_captions("hapt"),
    redistributable=False,
    test_subjects=TEST_SUBJECTS,
    validation_subjects=VALIDATION_SUBJECTS,
    evaluation_step_s=1.0,
    files=_files,
    read=in_parts(_parts, _read_part),
    parts=_parts,
    read_part=_read_part,
    caption_of=partial(majority, kinds=ACTIVITIES, share=SHARE),
)
