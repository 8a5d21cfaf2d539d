"""SisFall: 38 people, 19 daily activities and 15 falls, an IMU at the waist at 200 Hz.

Sucerquia, Lopez and Vargas-Bonilla, SisFall: A Fall and Movement Dataset, Sensors 2017, 17(1), 198. One parquet file per subject in
`sisfall/`, raw counts, one row per sample, trials one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import RecipeError
from aura_edge.sources.presets import preset
from aura_edge.sources.recordings import read_trials
from aura_edge.types import ImuChunk
from aura_edge_train.datasets import DataSet, LabelledRecording, Part, codes, in_parts, read_captions

CLASSES = tuple(f"D{n:02d}" for n in range(1, 20)) + tuple(f"F{n:02d}" for n in range(1, 16))


def _files(folder: Path) -> list[Path]:
    files = sorted((folder / "sisfall").glob("S[AE][0-9][0-9].parquet"))
    if not files:
        raise RecipeError(
            f"{folder / 'sisfall'}: no SisFall there; expected one parquet file per subject, SA01.parquet on."
        )
    return files


def _caption_of(labels: NDArray[np.int8], starts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """A trial is one activity: its windows are called what it is called."""
    return labels[starts].astype(np.int64)


def _parts(folder: Path) -> list[Part]:
    return [Part(file.stem, (file.relative_to(folder).as_posix(),)) for file in _files(folder)]


def _read_part(folder: Path, part: Part) -> Iterator[LabelledRecording]:
    """The trials of one person."""
    file = folder / part.files[0]
    for trial in read_trials(file, preset("sisfall")):
        activity, number = trial.segment
        yield LabelledRecording(
            name=f"{file.stem}/{activity}/{number}",
            subject=file.stem,
            rate_hz=trial.info.rate_hz,
            chunks=[ImuChunk(trial.t_ns, trial.samples, host_ns=0)],
            t_ns=trial.t_ns,
            labels=np.repeat(codes(np.array([activity]), CLASSES, found_in=str(file)), len(trial.t_ns)),
        )


SISFALL = DataSet(
    name="sisfall",
    classes=CLASSES,
    captions=read_captions("sisfall"),
    redistributable=False,
    test_subjects=frozenset({"SA19", "SA20", "SA21", "SA22", "SA23", "SE12", "SE13", "SE14", "SE15"}),
    validation_subjects=frozenset({"SA17", "SA18", "SE10", "SE11"}),
    evaluation_step_s=2.5,
    files=_files,
    read=in_parts(_parts, _read_part),
    caption_of=_caption_of,
    parts=_parts,
    read_part=_read_part,
)
