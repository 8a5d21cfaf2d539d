"""The videos of a store as frame embeddings, ten a second, and where each segment is in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from aura_edge_train.datasets.index import SegmentClip
from aura_edge_train.datasets.store import Store
from aura_edge_train.towers.cache import video_rows
from aura_edge_train.towers.image import ImageTower
from aura_edge_train.towers.video import RATE_HZ


@dataclass(frozen=True, slots=True, eq=False)
class VideoRows:
    """Embedded videos of one store, one after the other."""

    rows: NDArray[np.float32]
    """(V, D) of unit norm."""
    first: NDArray[np.int64]
    """(S,) row at which each segment begins; -1 where no video shows its beginning."""
    stop: NDArray[np.int64]
    """(S,) row behind the last of its video."""
    speed: NDArray[np.float64]
    """(S,) rows that pass in a tenth of a second of the segment: about one."""

    def of_windows(self, segments: NDArray[np.int64], offsets: NDArray[np.int64], frames: int) -> NDArray[np.float32]:
        """(W, D) mean of the `frames` rows from `offsets` rows into each segment, at unit norm; zeros where its video does not show it all."""
        first = self.first[segments] + np.rint(offsets * self.speed[segments]).astype(np.int64)
        shown = (self.first[segments] >= 0) & (first + frames <= self.stop[segments])
        vectors = np.zeros((len(segments), self.rows.shape[1]), np.float32)
        for row in np.flatnonzero(shown):
            mean = self.rows[first[row] : first[row] + frames].mean(axis=0)
            vectors[row] = mean / max(float(np.linalg.norm(mean)), 1e-12)
        return vectors


def embed_videos(store: Store, tower: ImageTower, cache: Path, *, console: Console | None = None) -> VideoRows | None:
    """Embed the videos that show the segments of a store, each once and kept in `cache`; None for a store without any.

    Where several cameras show a segment, the one named first that shows its beginning is taken.
    """
    chosen: dict[int, SegmentClip] = {}
    for clip in store.clips:
        if clip.at_s >= 0:
            chosen.setdefault(clip.segment, clip)
    if not chosen:
        return None
    console = console or Console(quiet=True)
    begins: dict[str, tuple[int, int]] = {}
    rows: list[NDArray[np.float32]] = []
    at = 0
    paths = sorted({clip.path for clip in chosen.values()})
    for path in track(paths, "embedding videos", console=console, disable=not console.is_terminal, transient=True):
        embedded = video_rows(tower, Path(path), cache).astype(np.float32)
        rows.append(embedded)
        begins[path] = (at, at + len(embedded))
        at += len(embedded)
    first = np.full(len(store.index.segments), -1, np.int64)
    stop = np.zeros(len(store.index.segments), np.int64)
    speed = np.ones(len(store.index.segments))
    for number, clip in chosen.items():
        speed[number] = clip.speed
        begin, end = begins[clip.path]
        first[number], stop[number] = begin + round(clip.at_s * RATE_HZ), end
    return VideoRows(np.concatenate(rows), first, stop, speed)
