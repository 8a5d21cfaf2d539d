"""What is searched for, as vectors: words by the text tower or the lexicon, or a motion by the encoder itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aura_edge.bundle import Bundle
from aura_edge.engines import open_engine
from aura_edge.errors import BundleError, InputError
from aura_edge.label_set import LabelSet
from aura_edge.lexicon import fold, vocabulary_of
from aura_edge.motion_search.index import Facts
from aura_edge.motion_search.windows import embed
from aura_edge.prototypes import load_for
from aura_edge.text import open_space

MOST_VECTORS = 16
"""A clip longer than so many windows is represented by as many, evenly spaced."""


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """What to look for."""

    vectors: NDArray[np.float32]
    """(Q, D), unit norm: a window is as good as its best match among them."""
    said: str
    """What is to be told of it: a phrase that stands for another."""


def words(text: str, bundle: Bundle, *, tower: str | None = None) -> Wanted:
    """A phrase that the bundle knows as it is known; any other by the text tower (`tower` says where its weights are) where it is installed, else
    by the nearest phrase of the lexicon, which is told. Raises `BundleError` where nothing is near."""
    space = bundle.manifest.text_space
    labels = LabelSet(load_for(bundle), lambda: vocabulary_of(bundle), tower=lambda: open_space(space, name=tower))
    change = labels.replace([text])
    return Wanted(labels.prototypes.embeddings, "" if fold(change.labels[0]) == fold(text) else change.said)


def motion(path: Path, options: Mapping[str, object], bundle: Bundle) -> Wanted:
    """The motion of a clip. Raises `InputError` for one that is too short, or at rest."""
    engine = open_engine("ort", bundle)
    try:
        found = embed(path, options, bundle.manifest, engine, bundle.manifest.hop_s)
    finally:
        engine.close()
    if not len(found.vectors):
        raise InputError(f"{path}: is at rest all the time; there is no motion to look for.")
    rows = np.unique(np.linspace(0, len(found.vectors) - 1, min(MOST_VECTORS, len(found.vectors))).round().astype(int))
    return Wanted(found.vectors[rows], "")


def require_same_model(bundle: Bundle, facts: Facts, index: Path) -> None:
    """Raise `BundleError` unless the index holds vectors of this bundle's model."""
    if bundle.model_digest != facts.model:
        raise BundleError(
            f"{index}: holds vectors of {facts.model_name} ({facts.model[:12]}...), and {bundle.path} is another model "
            f"({bundle.model_digest[:12]}...). Name the bundle that it was made with: --bundle"
        )
