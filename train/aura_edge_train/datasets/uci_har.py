"""UCI-HAR: 30 people walk, take the stairs, sit, stand and lie, a Samsung Galaxy S II at the waist at 50 Hz.

Anguita, Ghio, Oneto, Parra and Reyes-Ortiz, A Public Domain Dataset for Human Activity Recognition Using Smartphones, ESANN 2013. Its readme
prohibits commercial use though the UCI repository states CC BY 4.0: the stricter counts, and no window travels. Unpacked below `uci-har/`:
`train/` and `test/`, each with `Inertial Signals/total_acc_x_train.txt` on (g, with gravity) and `body_gyro_x_train.txt` on (rad/s): a row is
a window of 128 samples, filtered to 20 Hz. `subject_train.txt` and `y_train.txt` say whose it is and what.

Windows overlap by half. Where the first half of one repeats the second half of the one before it, in all six channels, they are put back together
and every sample is there once; where it does not, something was cut out, and a new recording begins. A half that two windows call differently
is unlabelled. HAPT holds the same people without the filter and the cuts: train on one of the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import RecipeError
from aura_edge.sources.timeline import counted_ns
from aura_edge.sources.units import parse_units, to_si
from aura_edge.types import ImuChunk
from aura_edge_train.datasets import DataSet, LabelledRecording, Part, in_parts, read_captions
from aura_edge_train.datasets.hapt import TEST_SUBJECTS, VALIDATION_SUBJECTS, read_numbers
from aura_edge_train.datasets.table import SHARE, UNLABELLED, majority

CLASSES = ("WALKING", "WALKING_UPSTAIRS", "WALKING_DOWNSTAIRS", "SITTING", "STANDING", "LAYING", UNLABELLED)
"""In the order of their numbers in the files, which count from 1; the last is ours."""
ACTIVITIES = len(CLASSES) - 1
RATE_HZ = 50.0
UNITS = parse_units("g, rad/s")
WINDOW = 128
HALF = WINDOW // 2
SAME = 1e-5
"""In g and rad/s: numbers are written with eight digits; two halves of different moments never agree so far in 384 of them."""
SIGNALS = tuple(f"{kind}_{axis}" for kind in ("total_acc", "body_gyro") for axis in "xyz")
PARTS = ("train", "test")


def _files(folder: Path) -> list[Path]:
    home = folder / "uci-har"
    first = sorted(home.glob("**/train/Inertial Signals/total_acc_x_train.txt"))
    if not first:
        raise RecipeError(
            f"{home}: no UCI-HAR there; expected train/Inertial Signals/total_acc_x_train.txt and the others, unpacked."
        )
    root = first[0].parents[2]
    files = [
        root / part / name
        for part in PARTS
        for name in (
            f"subject_{part}.txt",
            f"y_{part}.txt",
            *(f"Inertial Signals/{signal}_{part}.txt" for signal in SIGNALS),
        )
    ]
    if missing := [str(file.relative_to(root)) for file in files if not file.is_file()]:
        raise RecipeError(f"{root}: {', '.join(missing)} not there. Unpack UCI-HAR again.")
    return files


def _parts(folder: Path) -> list[Part]:
    """`train` and `test`, as the set is divided: subjects, activities, six signals."""
    inside = [file.relative_to(folder).as_posix() for file in _files(folder)]
    half = len(inside) // len(PARTS)
    return [Part(name, tuple(inside[at : at + half])) for name, at in zip(PARTS, (0, half), strict=True)]


def _read_part(folder: Path, part: Part) -> Iterator[LabelledRecording]:
    files = [folder / file for file in part.files]
    subjects, activities = (read_numbers(file, 1)[:, 0].astype(np.int64) for file in files[:2])
    signals = [read_numbers(file, WINDOW) for file in files[2:]]
    for file, rows in zip(files[1:], (activities, *signals), strict=True):
        if len(rows) != len(subjects):
            raise RecipeError(f"{file}: {len(rows)} windows, but {len(subjects)} in {files[0].name}; expected as many.")
    if not np.isin(activities, np.arange(1, ACTIVITIES + 1)).all():
        raise RecipeError(f"{files[1]}: activities {np.unique(activities).tolist()}; expected 1 to {ACTIVITIES}.")
    windows = np.stack(signals, axis=2)
    for number, (start, stop) in enumerate(pairwise(cuts(windows, subjects))):
        t_ns = counted_ns(0, (stop - start + 1) * HALF, RATE_HZ)
        yield LabelledRecording(
            name=f"{part.name}/{number:04d}",
            subject=str(subjects[start]),
            rate_hz=RATE_HZ,
            chunks=[ImuChunk(t_ns, to_si(joined(windows[start:stop]), UNITS), host_ns=0)],
            t_ns=t_ns,
            labels=joined_labels(activities[start:stop] - 1),
        )


def cuts(windows: NDArray[np.float64], subjects: NDArray[np.int64]) -> list[int]:
    """Rows of (W, 128, 6) windows at which another recording begins, and W."""
    repeats = (np.abs(windows[1:, :HALF] - windows[:-1, HALF:]) <= SAME).all(axis=(1, 2))
    begins = np.flatnonzero(~repeats | (subjects[1:] != subjects[:-1])) + 1
    return [0, *begins.tolist(), len(windows)]


def joined(windows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(W, 128, 6) windows of one recording as its (64 (W + 1), 6) samples."""
    return np.concatenate([windows[:, :HALF].reshape(-1, windows.shape[2]), windows[-1, HALF:]])


def joined_labels(activities: NDArray[np.int64]) -> NDArray[np.int8]:
    """(W,) classes of the windows of one recording as those of its (64 (W + 1),) samples."""
    before, after = np.append(activities[0], activities), np.append(activities, activities[-1])
    return np.repeat(np.where(before == after, before, ACTIVITIES).astype(np.int8), HALF)


UCI_HAR = DataSet(
    name="uci-har",
    classes=CLASSES,
    captions=read_captions("uci-har"),
    redistributable=False,
    test_subjects=TEST_SUBJECTS,
    validation_subjects=VALIDATION_SUBJECTS,
    evaluation_step_s=2.5,
    files=_files,
    read=in_parts(_parts, _read_part),
    parts=_parts,
    read_part=_read_part,
    caption_of=partial(majority, kinds=ACTIVITIES, share=SHARE),
)
