"""sp-sw-har: 23 people stand up, walk, turn, walk back and sit down, with a phone in the pocket and a watch on the wrist.

Matey-Sanz, Casteleyn and Granell, Data in Brief 2023, 109809 (CC BY 4.0). One archive, `sp-sw-har/sp-sw-har.tar.xz`, one CSV per execution
and device, with a label per row. Its activities last 1 to 3 s, so that a window always holds several: its caption is composed from them.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import RecipeError
from aura_edge.sources.presets import preset
from aura_edge.sources.recordings import read_recording
from aura_edge.types import ImuChunk
from aura_edge_train.datasets import DataSet, LabelledRecording, Part, codes, in_parts, read_captions
from aura_edge_train.datasets.archives import read_members

CLASSES = ("SEATED", "STANDING_UP", "WALKING", "TURNING", "SITTING_DOWN")
TRANSITION_SHARE = 0.1
"""A window that holds more than this of standing up, or of sitting down, is called after it."""
STANDING_UP_FIRST, SITTING_DOWN_LAST, WALKING_AND_TURNING = range(3)
"""Order of its captions."""
_MEMBER = re.compile(r"DATA/s\d{2}/(?P<name>s\d{2}_\d{2}_(?:sp|sw))\.csv")


def _files(folder: Path) -> list[Path]:
    archive = folder / "sp-sw-har" / "sp-sw-har.tar.xz"
    if not archive.is_file():
        raise RecipeError(f"{archive}: not there; expected the archive of sp-sw-har.")
    return [archive]


def _caption_of(labels: NDArray[np.int8], starts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """The rule of the set's evaluation: standing up comes first, then sitting down, else it is walking and turning."""

    def share(name: str) -> NDArray[np.float64]:
        counts = np.concatenate([[0], np.cumsum(labels == CLASSES.index(name))])
        shares: NDArray[np.float64] = (counts[starts + length] - counts[starts]) / length
        return shares

    last = np.where(share("SITTING_DOWN") > TRANSITION_SHARE, SITTING_DOWN_LAST, WALKING_AND_TURNING)
    captions: NDArray[np.int64] = np.where(share("STANDING_UP") > TRANSITION_SHARE, STANDING_UP_FIRST, last)
    return captions


def _parts(folder: Path) -> list[Part]:
    """One for each person."""
    members = read_members(_files(folder)[0], _MEMBER)
    return [Part(name) for name in sorted({recording.split("_")[0] for recording in members})]


def _read_part(folder: Path, part: Part) -> Iterator[LabelledRecording]:
    (archive,) = _files(folder)
    with tempfile.TemporaryDirectory() as scratch:
        for name, content in sorted(read_members(archive, _MEMBER).items()):
            if name.split("_")[0] != part.name:
                continue
            file = Path(scratch) / f"{name}.csv"
            file.write_bytes(content)
            trial = read_recording(file, preset("sp-sw-har"))
            if trial.labels is None:
                raise RecipeError(f"{archive}: {file.name} has no labels; expected a column `label`.")
            yield LabelledRecording(
                name=file.stem,
                subject=part.name,
                rate_hz=trial.info.rate_hz,
                chunks=[ImuChunk(trial.t_ns, trial.samples, host_ns=0)],
                t_ns=trial.t_ns,
                labels=codes(trial.labels, CLASSES, found_in=file.stem),
            )


SP_SW_HAR = DataSet(
    name="sp-sw-har",
    classes=CLASSES,
    captions=read_captions("sp-sw-har"),
    redistributable=True,
    test_subjects=frozenset({"s19", "s20", "s21", "s22", "s23"}),
    validation_subjects=frozenset({"s17", "s18"}),
    evaluation_step_s=0.5,
    files=_files,
    read=in_parts(_parts, _read_part),
    caption_of=_caption_of,
    parts=_parts,
    read_part=_read_part,
)
