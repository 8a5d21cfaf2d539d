"""The windows of a split, embedded once: every measure then looks at the same vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from aura_edge.errors import RecipeError
from aura_edge_train.datasets import Split
from aura_edge_train.datasets.store import Store
from aura_edge_train.evaluation.candidates import Candidate
from aura_edge_train.evaluation.conditions import Conditions, Wearing
from aura_edge_train.evaluation.probes import Labelled
from aura_edge_train.evaluation.zero_shot import BATCH

AS_WORN = Conditions()


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Embedded windows of a store."""

    starts: NDArray[np.int64]
    """(W,) first sample of each."""
    vectors: NDArray[np.float32]
    """(W, D), unit norm."""
    captions: NDArray[np.int64]
    """(W,) index of its caption; -1 for none."""
    subjects: NDArray[np.str_]
    """(W,)."""
    groups: NDArray[np.str_]
    """(W,) who or what is drawn again for intervals: people, or recordings where all are of one person."""

    recordings: NDArray[np.str_]
    """(W,) what each was cut from."""

    @property
    def labelled(self) -> Labelled:
        """For probes."""
        return Labelled(self.vectors, self.captions, self.groups, self.recordings)


def embed_split(
    candidate: Candidate,
    store: Store,
    split: Split,
    *,
    conditions: Conditions = AS_WORN,
    seed: int = 0,
    console: Console | None = None,
) -> Embedded:
    """The evaluation windows of a split. Raises `RecipeError` where there is none."""
    samples = candidate.signal.window_samples
    starts = store.window_starts(split, samples)
    if not len(starts):
        raise RecipeError(
            f"{store.data_set.name}: no window of {samples} samples in split {split!r}; nothing to evaluate."
        )
    return embed_windows(candidate, store, starts, conditions=conditions, seed=seed, console=console)


def embed_windows(
    candidate: Candidate,
    store: Store,
    starts: NDArray[np.int64],
    *,
    conditions: Conditions = AS_WORN,
    seed: int = 0,
    console: Console | None = None,
) -> Embedded:
    """The windows at (W,) `starts`."""
    samples, wearing = candidate.signal.window_samples, Wearing(conditions, seed=seed)
    console = console or Console(quiet=True)
    parts = [starts[at : at + BATCH] for at in range(0, len(starts), BATCH)]
    title = f"{candidate.name}: embedding {store.data_set.name}"
    vectors = [
        candidate.embed(wearing.windows(store, part, samples))
        for part in track(parts, title, console=console, disable=not console.is_terminal, transient=True)
    ]
    captions = store.captions(starts, samples) if store.data_set.captions else np.full(len(starts), -1, np.int64)
    subjects = store.subjects_at(starts)
    recordings = np.array([segment.recording for segment in store.index.segments], np.str_)[store.segments_at(starts)]
    groups = subjects if len(np.unique(subjects)) > 1 else recordings
    return Embedded(starts, np.concatenate(vectors), captions, subjects, groups, recordings)
