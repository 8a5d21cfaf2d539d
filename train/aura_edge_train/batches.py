"""What one step of training sees: windows cut and augmented, and what is known of each in every other modality.

Batches are made by a thread of its own, two ahead, so that no step waits for data. It is one thread, and draws from its own generator in
the order of the batches: what they hold does not depend on who was faster.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from aura_edge.errors import RecipeError
from aura_edge_train import augment
from aura_edge_train.alignment import Embedded
from aura_edge_train.corpus import Corpus, Draw
from aura_edge_train.datasets import poses
from aura_edge_train.datasets.index import POSE_RATE_HZ
from aura_edge_train.datasets.modalities import Skeleton
from aura_edge_train.recipe import Mocap, Recipe
from aura_edge_train.sentences import Sentences
from aura_edge_train.towers.video import RATE_HZ
from aura_edge_train.videos import VideoRows

AHEAD = 2


@dataclass(frozen=True, slots=True)
class Batch:
    """One process's part of a batch."""

    windows: Tensor
    """(B, 6, n)."""
    captions: Tensor
    """(B,) number of each window's caption; -1 for none."""
    sentences: Tensor | None
    """(K, D) one of each caption; None without a text tower."""
    text: Embedded | None
    video: Embedded | None
    mocap: Tensor | None
    """(B, C, F) what the mocap encoder takes; zeros where nothing was captured."""
    mocap_present: Tensor | None
    """(B,)."""

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""

        def move(value: Tensor | Embedded | None) -> Tensor | Embedded | None:
            if isinstance(value, Embedded):
                parts = (value.vectors, value.present, value.identity)
                return Embedded(*(part if part is None else part.to(device) for part in parts))  # type: ignore[arg-type]
            return value if value is None else value.to(device)

        return Batch(*(move(getattr(self, name)) for name in Batch.__dataclass_fields__))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, eq=False)
class Batcher:
    """Makes batches out of draws. Which modalities a batch has is decided by its draw, the same in every process."""

    corpus: Corpus
    recipe: Recipe
    window_samples: int
    spoken: Sentences | None
    """Of the captions."""
    told: Tensor | None
    """(P, D) embeddings of the corpus's texts."""
    videos: tuple[VideoRows | None, ...] = ()

    def batches(
        self, draw: Draw, size: int, part: slice, shared: Generator, own: Generator, modalities: frozenset[str]
    ) -> Iterator[Batch]:
        """Every whole batch of `size` of a draw, of which this process takes `part`; `shared` draws what all processes must agree on."""
        steps = len(draw) // size
        pending: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
            for step in range(steps + AHEAD):
                if step < steps:
                    whole = draw.part(slice(step * size, (step + 1) * size))
                    pending.append(pool.submit(self.make, whole, part, shared, own, modalities))
                if step >= AHEAD or step >= steps:
                    if not pending:
                        break
                    yield pending.popleft().result()

    def make(self, whole: Draw, part: slice, shared: Generator, own: Generator, modalities: frozenset[str]) -> Batch:
        """One batch."""
        draw, plan = whole.part(part), self.recipe.augmentation
        windows = self.corpus.cut(draw, self.window_samples, plan.stretch, own)
        windows = augment.augment(windows, plan, own)
        sentences = self.spoken.draw(shared) if self.spoken is not None else None
        has = {name: name in modalities and bool(self._has(whole, name).any()) for name in ("text", "video", "mocap")}
        mocap = self._mocap(draw) if has["mocap"] else None
        return Batch(
            windows,
            draw.captions,
            sentences,
            self._text(draw, sentences) if has["text"] else None,
            self._video(draw) if has["video"] else None,
            None if mocap is None else torch.from_numpy(mocap[0]),
            None if mocap is None else torch.from_numpy(mocap[1]),
        )

    def _has(self, draw: Draw, modality: str) -> Tensor:
        """(B,) whether there may be such a thing."""
        if modality == "text":
            return (draw.captions >= 0) | (draw.texts >= 0)
        if modality == "mocap":
            having = [store.pose is not None for store in self.corpus.stores]
        else:
            having = [video is not None for video in self.videos or (None,) * len(self.corpus.stores)]
        return torch.tensor(having)[draw.sets]

    def _text(self, draw: Draw, sentences: Tensor | None) -> Embedded:
        """What was said about a window; else the sentence that was drawn for its caption."""
        said, called = draw.texts >= 0, draw.captions >= 0
        table = [vectors for vectors in (sentences, self.told) if vectors is not None]
        if not table:
            raise RecipeError("a pair with text, and no text tower. Name one (text_tower).")
        captions = 0 if sentences is None else len(sentences)
        rows = torch.where(said, draw.texts + captions, draw.captions).clamp(min=0)
        vectors = torch.cat(table)[rows]
        return Embedded(vectors, said | called, torch.where(said | called, rows, -1 - torch.arange(len(rows))))

    def _video(self, draw: Draw) -> Embedded:
        frames = round(self.window_samples / self.corpus.stores[0].index.rate_hz * RATE_HZ)
        dimension = next(video.rows.shape[1] for video in self.videos if video is not None)
        vectors = np.zeros((len(draw), dimension), np.float32)
        for number, video in enumerate(self.videos):
            rows = np.flatnonzero(draw.sets.numpy() == number)
            if video is not None and len(rows):
                rate_hz = self.corpus.stores[number].index.rate_hz
                since = (draw.starts - draw.low).numpy()[rows]
                offsets = np.rint(since * (RATE_HZ / rate_hz)).astype(np.int64)
                vectors[rows] = video.of_windows(draw.segments.numpy()[rows], offsets, frames)
        return Embedded(torch.from_numpy(vectors), torch.from_numpy(vectors.any(axis=1)))

    def _mocap(self, draw: Draw) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        if self.corpus.skeleton is None or self.recipe.mocap is None:
            raise RecipeError("a pair with mocap, and no data set with motion capture. Leave the pair out.")
        frames = round(self.window_samples / self.corpus.stores[0].index.rate_hz * POSE_RATE_HZ)
        captured = np.full((len(draw), frames, self.corpus.skeleton.channels), np.nan, np.float32)
        for number, store in enumerate(self.corpus.stores):
            rows = np.flatnonzero(draw.sets.numpy() == number)
            if store.pose is not None and len(rows):
                starts = draw.starts.numpy()[rows] - self.corpus.offsets[number]
                captured[rows] = store.pose_windows(starts, self.window_samples)
        return mocap_input(captured, self.recipe.mocap, self.corpus.skeleton)


def mocap_input(
    captured: NDArray[np.float32], options: Mocap, skeleton: Skeleton
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(W, F, J*3) as captured to (W, C, F) as the mocap encoder takes it, and (W,) whether at least half of a window was captured."""
    centred = poses.centre(captured, skeleton, about=options.about)
    if options.face_forward:
        centred = poses.face_forward(centred, skeleton)
    filled, seen = poses.fill(centred)
    present: NDArray[np.bool_] = seen.mean(axis=(1, 2)) >= 0.5
    return np.ascontiguousarray(filled.transpose(0, 2, 1)), present
