"""Captions in the text space: every sentence on its own for training, and the mean of each caption's sentences as its prototype."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from aura_edge.encoders.checkpoint import Caption
from aura_edge.text import TextTower
from aura_edge.text.labels import embed_labels


@dataclass(frozen=True, slots=True, eq=False)
class Sentences:
    """Embedded sentences of some captions."""

    vectors: Tensor
    """(S, D) unit norm, those of one caption together."""
    first: Tensor
    """(K,) row of the first sentence of each caption ..."""
    count: Tensor
    """... and how many it has."""

    def draw(self, generator: Generator) -> Tensor:
        """One sentence of each caption: (K, D)."""
        chosen = (torch.rand(len(self.first), generator=generator) * self.count).long()
        return self.vectors[self.first + chosen]


def embed(tower: TextTower, captions: Sequence[Caption]) -> Sentences:
    """Every sentence of `captions`."""
    vectors = tower.embed([sentence for caption in captions for sentence in caption.sentences])
    count = torch.tensor([len(caption.sentences) for caption in captions])
    return Sentences(torch.from_numpy(vectors), torch.cumsum(count, 0) - count, count)


def embed_prototypes(tower: TextTower, captions: Sequence[Caption]) -> NDArray[np.float32]:
    """(K, D): what `aura-edge export` puts into a bundle for these captions."""
    return embed_labels(tower, {caption.label: caption.sentences for caption in captions}).embeddings
