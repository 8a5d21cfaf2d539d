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
from aura_edge_train.datasets.store import Store
from aura_edge_train.recipe import Data

WINDOW_STEP_S = 2.5
"""An epoch sees as many windows as would lie this far apart."""
POOL_STEP_S = 0.025
"""Windows that are drawn by caption start on a grid of this step."""


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """Windows to cut: where each starts, which segment it must stay in, what it is called."""

    starts: Tensor
    low: Tensor
    high: Tensor
    captions: Tensor

    def __len__(self) -> int:
        return len(self.starts)

    def part(self, rows: Tensor | slice) -> Draw:
        """Some of them."""
        return Draw(self.starts[rows], self.low[rows], self.high[rows], self.captions[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """Training windows of every data set of a recipe."""

    signals: Tensor
    """(N, 6)."""
    captions: tuple[Caption, ...]
    set_of: Tensor
    """(K,) number of the data set of each caption."""
    parts: tuple[_Part, ...]

    def cut(self, draw: Draw, length: int, stretch: float, generator: Generator) -> Tensor:
        """The windows of a draw: (B, 6, length)."""
        return crops(self.signals, draw.starts, draw.low, draw.high, length, stretch, generator)

    def epoch(self, generator: Generator) -> Draw:
        """The windows of one epoch, shuffled."""
        draws = [part.draw(generator) for part in self.parts]
        everything = Draw(
            *(torch.cat([getattr(draw, name) for draw in draws]) for name in ("starts", "low", "high", "captions"))
        )
        return everything.part(torch.randperm(len(everything), generator=generator))


def build(stores: Sequence[Store], data: Sequence[Data], window_samples: int) -> Corpus:
    """Put the training subjects of `stores` together, each drawn from as its entry in `data` says."""
    signals: list[Tensor] = []
    parts: list[_Part] = []
    captions: list[Caption] = []
    set_of: list[int] = []
    offset = 0
    for number, (store, entry) in enumerate(zip(stores, data, strict=True)):
        parts.append(_Part.of(store, entry, window_samples, offset, len(captions)))
        signals.append(torch.from_numpy(store.signals))
        captions += store.data_set.captions
        set_of += [number] * len(store.data_set.captions)
        offset += len(store.signals)
    whole = torch.cat(signals) if len(signals) > 1 else signals[0]
    return Corpus(whole, tuple(captions), torch.tensor(set_of), tuple(parts))


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
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
    by_caption: tuple[Tensor, ...]
    """For each caption its rows in the pool."""
    taken: Tensor
    """(P,) False where a window is left out because nothing moves in it."""
    per_caption: int

    @staticmethod
    def of(store: Store, entry: Data, window: int, offset: int, first_caption: int) -> _Part:
        segments = store.segments("train", window)
        if not segments:
            raise RecipeError(f"{entry.name}: no training recording is as long as a window ({window} samples).")
        step = max(1, round(POOL_STEP_S * store.index.rate_hz))
        every = round(WINDOW_STEP_S * store.index.rate_hz)
        lengths = np.array([segment.length for segment in segments])
        origins = np.array([segment.start for segment in segments], dtype=np.int64)
        places = (lengths - window) // step + 1
        windows = (lengths - window) // every + 1
        segment_of = np.repeat(np.arange(len(segments)), places)
        before = np.cumsum(places) - places
        starts = origins[segment_of] + (np.arange(int(places.sum())) - before[segment_of]) * step
        captions = store.captions(starts, window)
        kinds = len(store.data_set.captions)
        by_caption = tuple(torch.from_numpy(np.flatnonzero(captions == kind)) for kind in range(kinds))
        return _Part(
            starts=torch.from_numpy(starts + offset),
            captions=torch.from_numpy(captions + first_caption),
            low=torch.from_numpy(origins[segment_of] + offset),
            high=torch.from_numpy((origins + lengths)[segment_of] + offset),
            first=torch.from_numpy(np.repeat(before, windows)),
            count=torch.from_numpy(np.repeat(places, windows)),
            taken=torch.from_numpy(_moves(store, entry, starts, captions, window)),
            by_caption=tuple(rows for rows in by_caption if len(rows)),
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
        return Draw(self.starts[rows], self.low[rows], self.high[rows], self.captions[rows])


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
    kept = np.array([group in entry.quiet_groups_kept for group in groups])
    variance = np.zeros(len(starts))
    for axis in range(3, 6):
        rate = store.signals[:, axis].astype(np.float64)
        sums = np.concatenate([[0.0], np.cumsum(rate)])
        squares = np.concatenate([[0.0], np.cumsum(rate * rate)])
        mean = (sums[starts + window] - sums[starts]) / window
        variance += (squares[starts + window] - squares[starts]) / window - mean * mean
    moves: NDArray[np.bool_] = kept[captions] | (variance >= entry.quiet_rad_s**2)
    return moves
