"""sp-sw-har: 23 people stand up, walk, turn, walk back and sit down, with a phone in the pocket and a watch on the wrist.

Matey-Sanz, Casteleyn and Granell, Data in Brief 2023, 109809 (CC BY 4.0). One archive, `sp-sw-har/sp-sw-har.tar.xz`, one CSV per execution
and device, with a label per row. Its activities last 1 to 3 s, so that a window always holds several: its caption is composed from them.
"""

from __future__ import annotations

import lzma
import re
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import RecipeError
from aura_edge.sources.presets import preset
from aura_edge.sources.recordings import read_recording
from aura_edge.types import ImuChunk
from aura_edge_train.datasets import DataSet, LabelledRecording, codes, read_captions

CLASSES = ("SEATED", "STANDING_UP", "WALKING", "TURNING", "SITTING_DOWN")
TRANSITION_SHARE = 0.1
"""A window that holds more than this of standing up, or of sitting down, is called after it."""
STANDING_UP_FIRST, SITTING_DOWN_LAST, WALKING_AND_TURNING = range(3)
"""Order of its captions."""
_MEMBER = re.compile(r"DATA/s\d{2}/(?P<recording>s\d{2}_\d{2}_(?:sp|sw))\.csv")


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


def _read(folder: Path) -> Iterator[LabelledRecording]:
    (archive,) = _files(folder)
    with tempfile.TemporaryDirectory() as scratch:
        for file in _unpack(archive, Path(scratch)):
            trial = read_recording(file, preset("sp-sw-har"))
            if trial.labels is None:
                raise RecipeError(f"{archive}: {file.name} has no labels; expected a column `label`.")
            yield LabelledRecording(
                name=file.stem,
                subject=file.stem.split("_")[0],
                rate_hz=trial.info.rate_hz,
                chunks=[ImuChunk(trial.t_ns, trial.samples, host_ns=0)],
                t_ns=trial.t_ns,
                labels=codes(trial.labels, CLASSES, found_in=file.stem),
            )


def _unpack(archive: Path, folder: Path) -> list[Path]:
    """Write the recordings of the archive to `folder`, under names of our own; nothing else in it is looked at."""
    files = []
    try:
        with tarfile.open(archive, "r:xz") as tar:
            for member in tar:
                match = _MEMBER.fullmatch(member.name)
                stream = tar.extractfile(member) if match and member.isfile() else None
                if match and stream:
                    files.append(folder / f"{match['recording']}.csv")
                    files[-1].write_bytes(stream.read())
    except (tarfile.TarError, lzma.LZMAError, EOFError, OSError) as error:
        raise RecipeError(f"{archive}: cannot be read ({error}). Copy the archive again.") from error
    return sorted(files)


SP_SW_HAR = DataSet(
    name="sp-sw-har",
    classes=CLASSES,
    captions=read_captions("sp-sw-har"),
    redistributable=True,
    test_subjects=frozenset({"s19", "s20", "s21", "s22", "s23"}),
    validation_subjects=frozenset({"s17", "s18"}),
    evaluation_step_s=0.5,
    files=_files,
    read=_read,
    caption_of=_caption_of,
)
