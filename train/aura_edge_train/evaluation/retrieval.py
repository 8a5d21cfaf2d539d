"""Retrieval between modalities: at which rank a query finds the first item that belongs to it.

R@k is the share of queries that find one among the first k, MRR the mean of one over the rank. An item belongs to a query when both have
the same id: the number of their pair, or of a caption that several pairs share.

Ties are not decided by the order of the gallery: hits and reciprocal ranks are expectations over every order of the items that score the
same (McSherry and Najork 2008, Computing Information Retrieval Performance Measures Efficiently in the Presence of Tied Scores). The level
of chance is the same expectation with all items tied, and so an encoder that gives one vector for everything scores exactly that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import ParityError
from aura_edge_train.evaluation import intervals

RANKS = (1, 10, 50)
SAME_SCORE = 1e-6
"""Cosines that differ by no more are tied: a matrix product rounds the same vector differently in different places."""
UNIT_TOLERANCE = 1e-3
CHUNK_SCORES = 1 << 24
"""Scores in memory at once: 64 MiB, whatever the sizes of queries and gallery."""


class Measure(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A number between 0 and 1."""

    value: float
    chance: float
    """Its expectation when the gallery is in any order."""
    interval: tuple[float, float] | None = None
    """95 % interval over groups of queries drawn again; the gallery stays."""


class RetrievalScore(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How well queries find what belongs to them."""

    queries: int
    candidates: int
    recall: dict[int, Measure]
    """R@k by k."""
    mrr: Measure
    median_rank: float
    """Ties at the middle of their places."""


class Direction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One modality looked for with another."""

    query: str
    gallery: str
    score: RetrievalScore


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where in its ranking each query finds the first item that belongs to it."""

    above: NDArray[np.int64]
    """(Q,) items that score higher than the best that belongs ..."""
    tied: NDArray[np.int64]
    """... those that score the same and do not belong ..."""
    right: NDArray[np.int64]
    """... and those that score the same and do."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What a search found, best first."""

    rows: NDArray[np.int64]
    """(P, k) rows of the gallery."""
    cosines: NDArray[np.float32]
    """(P, k)."""


def directions(
    embeddings: Mapping[str, NDArray[np.float32]],
    *,
    present: Mapping[str, NDArray[np.bool_]] | None = None,
    caption_ids: Mapping[str, NDArray[np.int64]] | None = None,
    groups: NDArray[Any] | None = None,
    anchor: str = "imu",
    ranks: Sequence[int] = RANKS,
    seed: int = 0,
) -> list[Direction]:
    """`anchor` against every other modality, there and back: with text, commentary, video and mocap the papers' eight directions.

    Row i of each (N, D) array of `embeddings` is of sample i, where `present` (N,) says that the sample has that modality; rows that are
    absent are not looked at. `caption_ids` (N,) of a text modality makes samples with one caption belong together; elsewhere a sample
    belongs to itself. `groups` (N,) tells whose each sample is. A modality that shares no sample with `anchor` gives no direction.

    The gallery holds samples, as in the papers: a wrong caption stands before the right one as often as it repeats, so that with few
    different captions R@10 is hardly more than R@1. Which caption is nearest is asked by `retrieve` with a gallery of each caption once.
    """
    present, caption_ids = present or {}, caption_ids or {}
    if anchor not in embeddings or len(embeddings) < 2:
        raise ParityError(f"embeddings of {', '.join(embeddings) or 'nothing'}: expected {anchor!r} and another.")
    samples = len(embeddings[anchor])
    everything = np.ones(samples, np.bool_)
    for name, given in {**embeddings, **present, **caption_ids}.items():
        if len(given) != samples:
            raise ParityError(f"{name!r} has {len(given)} rows, {anchor!r} {samples}: expected one for each sample.")
    done = []
    for other in embeddings:
        both = np.flatnonzero(present.get(anchor, everything) & present.get(other, everything))
        if other == anchor or not len(both):
            continue
        ids = caption_ids[other][both] if other in caption_ids else both
        for query, gallery in ((anchor, other), (other, anchor)):
            score = retrieve(
                embeddings[query][both],
                embeddings[gallery][both],
                ids,
                ids,
                groups=None if groups is None else groups[both],
                ranks=ranks,
                seed=seed,
            )
            done.append(Direction(query, gallery, score))
    return done


def retrieve(
    queries: NDArray[np.float32],
    gallery: NDArray[np.float32],
    query_ids: NDArray[np.int64],
    gallery_ids: NDArray[np.int64],
    *,
    groups: NDArray[Any] | None = None,
    ranks: Sequence[int] = RANKS,
    seed: int = 0,
) -> RetrievalScore:
    """Rank (G, D) `gallery` for each of (Q, D) `queries`, unit vectors; what has a query's id belongs to it.

    Raises `ParityError` for vectors that are not of unit length, shapes that do not fit, and queries that nothing belongs to.
    """
    places = rank(queries, gallery, query_ids, gallery_ids)
    hits = expected_hits(places, ranks)  # (Q, K + 1)
    names, counts = np.unique(gallery_ids, return_counts=True)
    belonging = counts[np.searchsorted(names, query_ids)]
    chance = expected_hits(Places(np.zeros_like(belonging), len(gallery) - belonging, belonging), ranks).mean(0)
    ranges = None if groups is None else intervals.of_means(hits, groups, seed=seed)
    measures = [
        Measure(float(value), float(level), None if ranges is None else ranges[column])
        for column, (value, level) in enumerate(zip(hits.mean(0), chance, strict=True))
    ]
    return RetrievalScore(
        queries=len(queries),
        candidates=len(gallery),
        recall=dict(zip(ranks, measures[:-1], strict=True)),
        mrr=measures[-1],
        median_rank=float(np.median(1 + places.above + places.tied / (places.right + 1))),
    )


def rank(
    queries: NDArray[np.float32],
    gallery: NDArray[np.float32],
    query_ids: NDArray[np.int64],
    gallery_ids: NDArray[np.int64],
) -> Places:
    """The place of the first item that belongs to each query, by counting: no ranking is sorted, and only some rows of scores are kept."""
    _check("queries", queries, query_ids)
    _check("gallery", gallery, gallery_ids)
    if queries.shape[1] != gallery.shape[1]:
        raise ParityError(
            f"queries of dimension {queries.shape[1]}, gallery of {gallery.shape[1]}: expected one space for both."
        )
    order = np.argsort(gallery_ids, kind="stable")  # what belongs to a query is a slice then
    gallery, sorted_ids = gallery[order], gallery_ids[order]
    first, last = np.searchsorted(sorted_ids, query_ids, "left"), np.searchsorted(sorted_ids, query_ids, "right")
    if lonely := int((first == last).sum()):
        raise ParityError(
            f"nothing in the gallery belongs to {lonely} of {len(queries)} queries: leave them out, or add what they should find."
        )
    found = np.empty((len(queries), 3), np.int64)
    step = max(1, CHUNK_SCORES // len(gallery))
    for start in range(0, len(queries), step):
        for row, scores in enumerate(queries[start : start + step] @ gallery.T, start):
            own = scores[first[row] : last[row]]
            best = own.max()
            above = np.count_nonzero(scores > best + SAME_SCORE)
            level = np.count_nonzero(scores >= best - SAME_SCORE) - above
            right = np.count_nonzero(own >= best - SAME_SCORE)
            found[row] = above, level - right, right
    return Places(found[:, 0], found[:, 1], found[:, 2])


def expected_hits(places: Places, ranks: Sequence[int]) -> NDArray[np.float64]:
    """(Q, K + 1): chance that the first `ranks` places hold what belongs to a query, then the expectation of one over its rank."""
    kinds, of = np.unique(np.stack([places.above, places.tied, places.right], 1), axis=0, return_inverse=True)
    expected = np.empty((len(kinds), len(ranks) + 1))
    for row, (above, tied, right) in enumerate(kinds.tolist()):
        # Chance that the first j + 1 of the tied items all do not belong.
        drawn = np.arange(tied)
        missed = np.concatenate([[1.0], np.cumprod((tied - drawn) / (tied + right - drawn)), [0.0]])
        at = above + 1 + np.arange(tied + 1)
        chance = missed[:-1] - missed[1:]  # of its being found at each rank in `at`
        expected[row] = [*(chance[at <= k].sum() for k in ranks), (chance / at).sum()]
    hits: NDArray[np.float64] = expected[of.ravel()]  # numpy 2.0 alone gives it two axes
    return hits


def search(prompts: NDArray[np.float32], gallery: NDArray[np.float32], k: int) -> Found:
    """The `k` items of (G, D) that lie nearest to each of (P, D) prompts, or all of them where there are fewer; of equals the earlier."""
    _check("prompts", prompts, np.arange(len(prompts)))
    _check("gallery", gallery, np.arange(len(gallery)))
    if k < 1:
        raise ParityError(f"{k} items asked for: expected at least one.")
    k = min(k, len(gallery))
    rows = np.empty((len(prompts), k), np.int64)
    cosines = np.empty((len(prompts), k), np.float32)
    step = max(1, CHUNK_SCORES // len(gallery))
    for start in range(0, len(prompts), step):
        for row, scores in enumerate(prompts[start : start + step] @ gallery.T, start):
            lowest = np.partition(scores, len(scores) - k)[len(scores) - k]
            near = np.flatnonzero(scores >= lowest)
            rows[row] = near[np.argsort(-scores[near], kind="stable")[:k]]
            cosines[row] = scores[rows[row]]
    return Found(rows, cosines)


def caption_ids(captions: Sequence[str]) -> NDArray[np.int64]:
    """(N,) one number for each different caption."""
    ids: NDArray[np.int64] = np.unique(np.asarray(captions, np.str_), return_inverse=True)[1].astype(np.int64)
    return ids


def _check(what: str, vectors: NDArray[np.float32], ids: NDArray[np.int64]) -> None:
    if vectors.ndim != 2 or not len(vectors) or len(vectors) != len(ids):
        raise ParityError(
            f"{what} of shape {vectors.shape} with {len(ids)} ids: expected at least one vector and as many ids."
        )
    # Written so that NaN fails.
    if not np.all(np.abs(np.linalg.norm(vectors, axis=1) - 1) <= UNIT_TOLERANCE):
        raise ParityError(f"{what}: not all vectors are of length 1; expected what an encoder or a text tower gives.")
