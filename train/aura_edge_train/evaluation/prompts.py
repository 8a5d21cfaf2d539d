"""Words to windows: which recordings come nearest to a sentence that nobody wrote a label for."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from aura_edge_train.datasets.store import Store
from aura_edge_train.evaluation import retrieval
from aura_edge_train.evaluation.embedding import Embedded

HITS = 5


class Hit(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A window that a prompt found."""

    recording: str
    subject: str
    at_s: float
    """Where it begins, in seconds from the start of its segment (a recording has several where samples are missing)."""
    cosine: float
    label: str = ""
    """What the data set calls it."""


class PromptAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one prompt found, best first."""

    prompt: str
    hits: tuple[Hit, ...]


def search(
    prompts: Sequence[str], vectors: NDArray[np.float32], store: Store, embedded: Embedded, *, hits: int = HITS
) -> tuple[PromptAnswer, ...]:
    """The nearest windows of each prompt, `vectors` (P, D) being its embedding. Of a segment only its best window is given: the next best
    are mostly its neighbours, half a window away."""
    found = retrieval.search(vectors, embedded.vectors, len(embedded.vectors))
    segment_of = store.segments_at(embedded.starts)
    answers = []
    for prompt, rows, cosines in zip(prompts, found.rows, found.cosines, strict=True):
        _, first = np.unique(segment_of[rows], return_index=True)
        best = np.sort(first)[:hits]
        told = [_hit(store, embedded, int(rows[place]), float(cosines[place])) for place in best]
        answers.append(PromptAnswer(prompt, tuple(told)))
    return tuple(answers)


def _hit(store: Store, embedded: Embedded, row: int, cosine: float) -> Hit:
    start = embedded.starts[row]
    segment = store.index.segments[int(store.segments_at(start[None])[0])]
    caption = int(embedded.captions[row])
    return Hit(
        recording=segment.recording,
        subject=segment.subject,
        at_s=round(float(start - segment.start) / store.index.rate_hz, 3),
        cosine=cosine,
        label=store.data_set.captions[caption].label if caption >= 0 else "",
    )
