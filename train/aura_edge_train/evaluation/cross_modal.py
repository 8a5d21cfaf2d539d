"""Retrieval between whatever a data set and an encoder offer: IMU with captions, with what was said, with video, with motion capture."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from aura_edge_train.batches import mocap_input
from aura_edge_train.datasets import Split
from aura_edge_train.datasets.index import POSE_RATE_HZ
from aura_edge_train.datasets.store import Store
from aura_edge_train.evaluation import retrieval
from aura_edge_train.evaluation.candidates import Candidate
from aura_edge_train.evaluation.conditions import Conditions
from aura_edge_train.evaluation.embedding import Embedded, embed_windows
from aura_edge_train.evaluation.retrieval import Direction
from aura_edge_train.evaluation.spaces import Spaces
from aura_edge_train.recipe import Mocap
from aura_edge_train.towers.video import RATE_HZ
from aura_edge_train.validation import BATCH, embedder


class Retrieved(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Every direction of one encoder on one data set."""

    directions: tuple[Direction, ...]
    length_alone: tuple[Direction, ...] = ()
    """IMU and motion capture by how long each trial was and nothing else, where short trials were extended to a window: what the movement
    itself must beat."""


def measure(
    candidate: Candidate,
    store: Store,
    split: Split,
    embedded: Embedded,
    prototypes: NDArray[np.float32] | None,
    spaces: Spaces,
    *,
    conditions: Conditions,
    seed: int = 0,
    console: Console | None = None,
) -> Retrieved:
    """Captions, video and motion capture at the evaluation windows; what was said at windows around its moments, each kind apart."""
    vectors: dict[str, NDArray[np.float32]] = {"imu": embedded.vectors}
    present: dict[str, NDArray[np.bool_]] = {}
    ids: dict[str, NDArray[np.int64]] = {}
    if prototypes is not None:
        vectors["captions"], ids["captions"] = prototypes[embedded.captions], embedded.captions
    video = _video(candidate, store, embedded, spaces)
    if video is not None:
        vectors["video"], present["video"] = video
    mocap = motion_capture(candidate, store, embedded)
    if mocap is not None:
        vectors["mocap"], present["mocap"] = mocap
    found: list[Direction] = []
    if len(vectors) > 1:
        found += retrieval.directions(vectors, present=present, caption_ids=ids, groups=embedded.groups, seed=seed)
    if candidate.knows_text:
        found += _moments(candidate, store, split, spaces, conditions, seed, console)
    alone = _length_alone(store, embedded, mocap[1], candidate.signal.window_samples, seed) if mocap is not None else []
    return Retrieved(tuple(found), tuple(alone))


def _moments(
    candidate: Candidate,
    store: Store,
    split: Split,
    spaces: Spaces,
    conditions: Conditions,
    seed: int,
    console: Console | None,
) -> list[Direction]:
    starts, texts, kinds = store.moment_windows(split, candidate.signal.window_samples)
    if not len(starts):
        return []
    around = embed_windows(candidate, store, starts, conditions=conditions, seed=seed, console=console)
    told = spaces.text(candidate.space, candidate.path, candidate.recipe).embed(texts.tolist())
    found: list[Direction] = []
    for kind in np.unique(kinds):
        rows = kinds == kind
        found += retrieval.directions(
            {"imu": around.vectors[rows], str(kind): told[rows]},
            caption_ids={str(kind): retrieval.caption_ids(texts[rows].tolist())},
            groups=around.groups[rows],
            seed=seed,
        )
    return found


def _video(
    candidate: Candidate, store: Store, embedded: Embedded, spaces: Spaces
) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
    videos = spaces.videos(candidate.space, candidate.recipe, store)
    if videos is None or videos.rows.shape[1] != candidate.space.dimension:
        return None
    segments = store.segments_at(embedded.starts)
    begins = np.array([segment.start for segment in store.index.segments])[segments]
    offsets = np.rint((embedded.starts - begins) * (RATE_HZ / store.index.rate_hz)).astype(np.int64)
    vectors = videos.of_windows(segments, offsets, round(candidate.signal.window_s * RATE_HZ))
    shown: NDArray[np.bool_] = np.any(vectors, axis=1)
    return vectors, shown


def motion_capture(
    candidate: Candidate, store: Store, embedded: Embedded
) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
    """(W, D) and (W,) whether it was captured; None where either has none, or the joints are others."""
    skeleton = store.data_set.skeleton
    if candidate.mocap is None or store.pose is None or skeleton is None:
        return None
    encoder, header = candidate.mocap
    if header.joints != skeleton.joints:
        return None
    captured = store.pose_windows(embedded.starts, candidate.signal.window_samples)
    inputs, present = mocap_input(captured, msgspec.convert(header.made_ready, Mocap), skeleton)
    embed = embedder(encoder)
    return np.concatenate([embed(inputs[at : at + BATCH]) for at in range(0, len(inputs), BATCH)]), present


def _length_alone(
    store: Store, embedded: Embedded, present: NDArray[np.bool_], samples: int, seed: int
) -> list[Direction]:
    """As if both encoders told one thing, how many frames of motion capture are no extension."""
    segments = [store.index.segments[number] for number in store.segments_at(embedded.starts).tolist()]
    whole = np.array([min(segment.length - segment.padded, samples) for segment in segments])
    frames = np.rint(whole * (POSE_RATE_HZ / store.index.rate_hz))
    if len(np.unique(frames)) < 2:
        return []
    # Lengths along half a circle: the nearer two are, the larger the cosine.
    angle = np.pi * (frames - frames.min()) / (frames.max() - frames.min())
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    both = {"imu": vectors, "mocap": vectors}
    return retrieval.directions(both, present={"mocap": present}, groups=embedded.groups, seed=seed)
