"""The recordings that encoders are trained and tested on: what they are, who is in which split, what each window is called.

A data set is a description (`DataSet`) and a reader; `DATA_SETS` names them. Adding one is a file beside this one with both, and a line in
`DATA_SETS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from aura_edge.encoders.checkpoint import Caption
from aura_edge.errors import RecipeError
from aura_edge.types import ImuChunk

Split = Literal["train", "validation", "test"]
SPLITS: dict[str, Split] = {"train": "train", "validation": "validation", "test": "test"}
"""What may be asked for by name."""

DATA_SETS = {
    "made-up": "aura_edge_train.datasets.made_up:MADE_UP",
    "sisfall": "aura_edge_train.datasets.sisfall:SISFALL",
    "sp-sw-har": "aura_edge_train.datasets.sp_sw_har:SP_SW_HAR",
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
    """(labels of all samples, starts of windows, their length) to the index of each window's caption."""

    def split_of(self, subject: str) -> Split:
        """Everyone who is in no other split trains."""
        if subject in self.test_subjects:
            return "test"
        return "validation" if subject in self.validation_subjects else "train"


def get(name: str) -> DataSet:
    """The data set `name`. Raises `RecipeError` for an unknown one."""
    if name not in DATA_SETS:
        raise RecipeError(f"data set {name!r} is unknown; the ones there are: {', '.join(sorted(DATA_SETS))}.")
    module, _, attribute = DATA_SETS[name].partition(":")
    found: DataSet = getattr(importlib.import_module(module), attribute)
    return found


def read_captions(name: str) -> tuple[Caption, ...]:
    """Captions of the data set `name` in `captions.json`."""
    raw = resources.files(__package__).joinpath("captions.json").read_bytes()
    return msgspec.json.decode(raw, type=dict[str, tuple[Caption, ...]])[name]


def codes(labels: NDArray[np.str_], classes: Sequence[str], *, found_in: str) -> NDArray[np.int8]:
    """(N,) labels as indices into `classes`. Raises `RecipeError` for one that is not among them."""
    names, places = np.unique(labels, return_inverse=True)
    if unknown := [str(name) for name in names if name not in classes]:
        raise RecipeError(f"{found_in}: labels {', '.join(unknown)}; expected {', '.join(classes)}.")
    return np.array([classes.index(name) for name in names], np.int8)[places]
