"""The recordings that encoders are trained and tested on: what they are, who is in which split, what each window is called.

A data set is a description (`DataSet`) and a reader; `DATA_SETS` names them. Adding one is a file beside this one with both, and a line in
`DATA_SETS`. A set of many files also lists its `parts`, which several processes can read side by side.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from aura_edge.encoders.checkpoint import Caption
from aura_edge.errors import RecipeError
from aura_edge.types import ImuChunk
from aura_edge_train.datasets.modalities import Clip, Moment, Pose, Skeleton

Split = Literal["train", "validation", "test"]
SPLITS: dict[str, Split] = {"train": "train", "validation": "validation", "test": "test"}
"""What may be asked for by name."""

DATA_SETS = {
    "aria": "aura_edge_train.datasets.aria:ARIA",
    "ego-exo4d": "aura_edge_train.datasets.ego_exo4d:EGO_EXO4D",
    "ego4d": "aura_edge_train.datasets.ego4d:EGO4D",
    "ego4d-classes": "aura_edge_train.datasets.ego4d:EGO4D_CLASSES",
    "hapt": "aura_edge_train.datasets.hapt:HAPT",
    "made-up": "aura_edge_train.datasets.made_up:MADE_UP",
    "motionsense": "aura_edge_train.datasets.motionsense:MOTIONSENSE",
    "pamap2": "aura_edge_train.datasets.pamap2:PAMAP2",
    "sisfall": "aura_edge_train.datasets.sisfall:SISFALL",
    "sp-sw-har": "aura_edge_train.datasets.sp_sw_har:SP_SW_HAR",
    "uci-har": "aura_edge_train.datasets.uci_har:UCI_HAR",
    "usc-had": "aura_edge_train.datasets.usc_had:USC_HAD",
    "utd-mhad": "aura_edge_train.datasets.utd_mhad:UTD_MHAD",
    "utd-mhad-middle": "aura_edge_train.datasets.utd_mhad:UTD_MHAD_MIDDLE",
}


@dataclass(frozen=True, slots=True, eq=False)
class LabelledRecording:
    """One recording of one person, with the class of each of its samples."""

    name: str
    subject: str
    rate_hz: float
    """Nominal; the times of the samples are in the chunks."""
    chunks: Iterable[ImuChunk]
    t_ns: NDArray[np.int64]
    """(N,) device time of each labelled sample, in order."""
    labels: NDArray[np.int8]
    """(N,) index into the data set's classes, in force from that time on."""
    moments: Sequence[Moment] = ()
    """What was said about it."""
    pose: Pose | None = None
    clips: Sequence[Clip] = ()
    split: Split | None = None
    """Its split, where a list or its name decides; None where its subject does."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """What the reader left out of it, by reason."""
    zero_ns: int = 0
    """Device time that its annotations, and lists of bad windows, call zero."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one process reads at a time: one file, one person of an archive, one take."""

    name: str
    files: tuple[str, ...] = ()
    """Below the folder of the data."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """What is known about a set before it is read."""

    name: str
    classes: tuple[str, ...]
    """What its labels mean."""
    captions: tuple[Caption, ...]
    """What its windows are called, in the order that `caption_of` counts."""
    redistributable: bool
    """Whether its licence lets windows of it travel inside a bundle."""
    test_subjects: frozenset[str]
    """Never trained or tuned on."""
    validation_subjects: frozenset[str]
    """Never trained on; choose the epoch and the decisions."""
    evaluation_step_s: float
    """From one window of a split to the next."""
    files: Callable[[Path], list[Path]]
    """The files it needs below a folder; raises `RecipeError` where they are not."""
    read: Callable[[Path], Iterator[LabelledRecording]]
    """Its recordings below a folder, in a fixed order."""
    caption_of: Callable[[NDArray[np.int8], NDArray[np.int64], int], NDArray[np.int64]]
    """(labels of all samples, starts of windows, their length) to the index of each window's caption, -1 for one that has none."""
    parts: Callable[[Path], Sequence[Part]] | None = None
    """Its parts below a folder, in a fixed order: what `read` gives is what `read_part` gives for one after the other."""
    read_part: Callable[[Path, Part], Iterator[LabelledRecording]] | None = None
    """The recordings of one part; both are functions of a module, since other processes call them."""
    large: bool = False
    """Whether its files are told apart by size and time of change, since reading them all to take their digest would take hours."""
    pads_to_s: float = 0.0
    """Segments shorter than this are extended to it, see `grid.pad`; 0 for a set whose recordings are longer than a window."""
    skeleton: Skeleton | None = None
    """The joints of its motion capture, where it has any."""
    same_files_as: str = ""
    """The data set whose folder it reads in another way; a list of bad windows there holds for both."""

    def split_of(self, subject: str) -> Split:
        """Everyone who is in no other split trains."""
        if subject in self.test_subjects:
            return "test"
        return "validation" if subject in self.validation_subjects else "train"


def in_parts(
    parts: Callable[[Path], Sequence[Part]], read_part: Callable[[Path, Part], Iterator[LabelledRecording]]
) -> Callable[[Path], Iterator[LabelledRecording]]:
    """What `DataSet.read` is for a set that is read by its parts: one after the other."""

    def read(folder: Path) -> Iterator[LabelledRecording]:
        for part in parts(folder):
            yield from read_part(folder, part)

    return read


def without_captions(labels: NDArray[np.int8], starts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """What `DataSet.caption_of` is for a set whose windows are told about in moments alone."""
    return np.full(len(starts), -1, np.int64)


def get(name: str) -> DataSet:
    """The data set `name`, or the one that a file of that name describes (`.toml`, `.json`: see `table.py`). Raises `RecipeError` for an
    unknown one."""
    if name.endswith((".toml", ".json")):
        table = importlib.import_module("aura_edge_train.datasets.table")
        described: DataSet = table.open_table(Path(name))
        return described
    if name not in DATA_SETS:
        raise RecipeError(f"data set {name!r} is unknown; the ones there are: {', '.join(sorted(DATA_SETS))}.")
    module, _, attribute = DATA_SETS[name].partition(":")
    found: DataSet = getattr(importlib.import_module(module), attribute)
    return found


def read_captions(name: str, file: str = "captions.json") -> tuple[Caption, ...]:
    """Captions of the data set `name` in `file`, beside this one."""
    raw = resources.files(__package__).joinpath(file).read_bytes()
    return msgspec.json.decode(raw, type=dict[str, tuple[Caption, ...]])[name]


def codes(labels: NDArray[np.str_], classes: Sequence[str], *, found_in: str) -> NDArray[np.int8]:
    """(N,) labels as indices into `classes`. Raises `RecipeError` for one that is not among them."""
    names, places = np.unique(labels, return_inverse=True)
    if unknown := [str(name) for name in names if name not in classes]:
        raise RecipeError(f"{found_in}: labels {', '.join(unknown)}; expected {', '.join(classes)}.")
    return np.array([classes.index(name) for name in names], np.int8)[places]
