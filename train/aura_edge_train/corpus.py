"""The signals of all data sets of a recipe as one tensor, and where in it windows may be cut.

One contiguous tensor makes a batch one gather. A caption's number counts through all data sets: first those of the first set, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from aura_edge.encoders.checkpoint import Caption
from aura_edge.errors import RecipeError
from aura_edge_train.augment import crops
from aura_edge_train.datasets import DataSet
from aura_edge_train.datasets.index import Segment
from aura_edge_train.datasets.modalities import Skeleton
from aura_edge_train.datasets.store import Store
from aura_edge_train.recipe import Data
from aura_edge_train.videos import VideoRows

WINDOW_STEP_S = 2.5
"""An epoch sees as many windows as would lie this far apart."""
POOL_STEP_S = 0.025
"""Windows that are drawn by caption start on a grid of this step."""


COLUMNS = ("starts", "low", "high", "captions", "texts", "sets", "segments")


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """Windows to cut, one a row: (B,) each, -1 where a window has no such thing."""

    starts: Tensor
    low: Tensor
    """First sample of the segment that it must stay in ..."""
    high: Tensor
    """... and the one after its last."""
    captions: Tensor
    """What it is called."""
    texts: Tensor
    """Row in `Corpus.texts` of what was said about it."""
    sets: Tensor
    """Number of its data set ..."""
    segments: Tensor
    """... and of its segment there."""

    def __len__(self) -> int:
        return len(self.starts)

    def part(self, rows: Tensor | slice) -> Draw:
        """Some of them."""
        return Draw(*(getattr(self, name)[rows] for name in COLUMNS))


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """Training windows of every data set of a recipe."""

    signals: Tensor
    """(N, 6)."""
    captions: tuple[Caption, ...]
    set_of: Tensor
    """(K,) number of the data set of each caption."""
    seen: Tensor
    """(K,) bool, False for captions that are left out of training."""
    texts: tuple[str, ...]
    """What was said, each sentence once."""
    stores: tuple[Store, ...]
    offsets: tuple[int, ...]
    """Row of `signals` at which each of them begins."""
    skeleton: Skeleton | None
    """Of the motion capture of all that have any."""
    parts: tuple[Part, ...]

    def cut(self, draw: Draw, length: int, stretch: float, generator: Generator) -> Tensor:
        """The windows of a draw: (B, 6, length)."""
        return crops(self.signals, draw.starts, draw.low, draw.high, length, stretch, generator)

    def epoch(self, generator: Generator) -> Draw:
        """The windows of one epoch, shuffled."""
        draws = [part.draw(generator) for part in self.parts]
        everything = Draw(*(torch.cat([getattr(draw, name) for draw in draws]) for name in COLUMNS))
        return everything.part(torch.randperm(len(everything), generator=generator))


def build(
    stores: Sequence[Store],
    data: Sequence[Data],
    window_samples: int,
    videos: Sequence[VideoRows | None] = (),
) -> Corpus:
    """Put those of `stores` that are trained on together, each drawn from as its entry in `data` says; `videos` are the embedded ones of each."""
    parts: list[Part] = []
    captions: list[Caption] = []
    set_of: list[int] = []
    seen: list[NDArray[np.bool_]] = []
    texts: dict[str, int] = {}
    offsets: list[int] = []
    samples = 0
    for number, (store, entry) in enumerate(zip(stores, data, strict=True)):
        has_video = bool(videos) and videos[number] is not None
        parts.append(Part.of(store, entry, window_samples, number, samples, len(captions), texts, has_video))
        captions += store.data_set.captions
        set_of += [number] * len(store.data_set.captions)
        seen.append(seen_captions(store.data_set, entry))
        offsets.append(samples)
        samples += len(store.signals)
    signals = [torch.from_numpy(store.signals) for store in stores]
    return Corpus(
        torch.cat(signals) if len(signals) > 1 else signals[0],
        tuple(captions),
        torch.tensor(set_of, dtype=torch.int64),
        torch.from_numpy(np.concatenate(seen)),
        tuple(texts),
        tuple(stores),
        tuple(offsets),
        _one_skeleton(stores),
        tuple(parts),
    )


def seen_captions(data_set: DataSet, entry: Data) -> NDArray[np.bool_]:
    """(K,) whether each caption of a data set is trained on. Raises `RecipeError` for a key in `unseen` that there is not, or for all of them."""
    keys = [caption.key for caption in data_set.captions]
    if unknown := set(entry.unseen) - set(keys):
        raise RecipeError(f"{entry.name}: unseen names {', '.join(sorted(unknown))}; its keys are: {', '.join(keys)}.")
    seen = np.array([key not in entry.unseen for key in keys], np.bool_)
    if len(keys) and not seen.any():
        raise RecipeError(f"{entry.name}: unseen names all of its captions; leave some to train on.")
    return seen


def _one_skeleton(stores: Sequence[Store]) -> Skeleton | None:
    found = {store.data_set.skeleton: store.data_set.name for store in stores if store.data_set.skeleton is not None}
    if len(found) > 1:
        raise RecipeError(
            f"{' and '.join(found.values())} have motion capture of different joints; one encoder can take one kind. Train on them apart."
        )
    return next(iter(found), None)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One data set's share of the corpus: a pool of places, and how an epoch draws from it."""

    starts: Tensor
    """(P,) possible starts; those of one segment lie together."""
    captions: Tensor
    """(P,)."""
    low: Tensor
    """(P,) first sample of the segment of each ..."""
    high: Tensor
    """... and the one after its last."""
    first: Tensor
    """(W,) for each evaluation-like window of the set: the first place of its segment in the pool ..."""
    count: Tensor
    """... and how many places that segment has."""
    texts: Tensor
    """(P,) row of what was said about each; -1 for nothing."""
    sets: Tensor
    segments: Tensor
    by_caption: tuple[Tensor, ...]
    """For each caption its rows in the pool."""
    taken: Tensor
    """(P,) False where a window is left out: it has no caption, or nothing moves in it."""
    per_caption: int

    @staticmethod
    def of(
        store: Store,
        entry: Data,
        window: int,
        number: int,
        offset: int,
        first_caption: int,
        texts: dict[str, int],
        has_video: bool,
    ) -> Part:
        """The places of one data set, counted on from the sets before it; `texts` gains what was said."""
        segments = [segment for split in entry.splits for segment in store.segments(split, window)]
        if not segments:
            raise RecipeError(f"{entry.name}: no training recording is as long as a window ({window} samples).")
        starts, first, count, said = (
            _around_moments(store, entry, window) if entry.moments else _anywhere(store, segments, window)
        )
        numbers = store.segments_at(starts)
        origins = np.array([segment.start for segment in store.index.segments], np.int64)[numbers]
        lengths = np.array([segment.length for segment in store.index.segments], np.int64)[numbers]
        captions = store.captions(starts, window) if store.data_set.captions else np.full(len(starts), -1, np.int64)
        by_caption = [np.flatnonzero(captions == kind) for kind in range(len(store.data_set.captions))]
        if entry.windows_per_caption and not any(len(rows) for rows in by_caption):
            raise RecipeError(
                f"{entry.name}: windows_per_caption, and not one training window has a caption. Leave it out: windows are then drawn from everywhere."
            )
        text_rows = [texts.setdefault(text, len(texts)) for text in said]
        usable = _moves(store, entry, starts, captions, window)
        if entry.unseen:
            usable &= (captions < 0) | seen_captions(store.data_set, entry)[captions]
        if not (entry.moments or store.pose is not None or has_video):
            usable &= captions >= 0  # nothing else is known of them
        return Part(
            starts=torch.from_numpy(starts + offset),
            captions=torch.from_numpy(np.where(captions >= 0, captions + first_caption, -1)),
            low=torch.from_numpy(origins + offset),
            high=torch.from_numpy(origins + lengths + offset),
            first=torch.from_numpy(first),
            count=torch.from_numpy(count),
            taken=torch.from_numpy(usable),
            texts=torch.tensor(text_rows, dtype=torch.int64) if text_rows else torch.full((len(starts),), -1),
            sets=torch.full((len(starts),), number),
            segments=torch.from_numpy(numbers),
            by_caption=tuple(torch.from_numpy(rows) for rows in by_caption if len(rows)),
            per_caption=entry.windows_per_caption,
        )

    def draw(self, generator: Generator) -> Draw:
        if self.per_caption:
            rows = torch.cat(
                [pool[torch.randint(len(pool), (self.per_caption,), generator=generator)] for pool in self.by_caption]
            )
        else:
            rows = self.first + (torch.rand(len(self.first), generator=generator) * self.count).long()
        rows = rows[self.taken[rows]]
        return Draw(*(getattr(self, name)[rows] for name in COLUMNS))


def _anywhere(
    store: Store, segments: Sequence[Segment], window: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Sequence[str]]:
    """Places on a fine grid of every segment; for each window of an epoch the first place of its segment and their number."""
    step = max(1, round(POOL_STEP_S * store.index.rate_hz))
    every = round(WINDOW_STEP_S * store.index.rate_hz)
    lengths = np.array([segment.length for segment in segments])
    origins = np.array([segment.start for segment in segments], dtype=np.int64)
    places = (lengths - window) // step + 1
    windows = (lengths - window) // every + 1
    segment_of = np.repeat(np.arange(len(segments)), places)
    before = np.cumsum(places) - places
    starts = origins[segment_of] + (np.arange(int(places.sum())) - before[segment_of]) * step
    return starts, np.repeat(before, windows), np.repeat(places, windows), ()


def _around_moments(
    store: Store, entry: Data, window: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Sequence[str]]:
    """One place for each moment of the kinds that the recipe names, and what was said there."""
    found = [store.moment_windows(split, window) for split in entry.splits]
    starts, texts, kinds = (np.concatenate(each) for each in zip(*found, strict=True))
    chosen = np.isin(kinds, entry.moments)
    if not chosen.any():
        there = ", ".join(sorted(set(kinds.tolist()))) or "none"
        raise RecipeError(
            f"{entry.name}: no moment of kind {', '.join(entry.moments)} to train on; there are: {there}."
        )
    rows = np.arange(int(chosen.sum()))
    return starts[chosen], rows, np.ones_like(rows), texts[chosen].tolist()


def _moves(
    store: Store, entry: Data, starts: NDArray[np.int64], captions: NDArray[np.int64], window: int
) -> NDArray[np.bool_]:
    """(P,) whether the window at each of `starts` may be used, as `quiet_rad_s` and `quiet_groups_kept` of its data set say."""
    if not entry.quiet_rad_s:
        return np.ones(len(starts), np.bool_)
    groups = [caption.group for caption in store.data_set.captions]
    if unknown := set(entry.quiet_groups_kept) - set(groups):
        raise RecipeError(
            f"{entry.name}: quiet_groups_kept names {', '.join(sorted(unknown))}; its groups are: {', '.join(dict.fromkeys(groups))}."
        )
    kept = np.array(
        [*(group in entry.quiet_groups_kept for group in groups), False]
    )  # the last for windows without a caption: -1
    variance = np.zeros(len(starts))
    for axis in range(3, 6):
        rate = store.signals[:, axis].astype(np.float64)
        sums = np.concatenate([[0.0], np.cumsum(rate)])
        squares = np.concatenate([[0.0], np.cumsum(rate * rate)])
        mean = (sums[starts + window] - sums[starts]) / window
        variance += (squares[starts + window] - squares[starts]) / window - mean * mean
    moves: NDArray[np.bool_] = kept[captions] | (variance >= entry.quiet_rad_s**2)
    return moves
