"""Labels to prototypes: for each label the mean of its sentences' vectors, brought to unit norm.

Averaging over several sentences of one meaning is Radford et al. 2021 (CLIP, arXiv:2103.00020, section 3.1.4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from aura_edge import prototypes
from aura_edge.errors import BundleError
from aura_edge.prototypes import Prototypes
from aura_edge.text import TextTower


def embed_labels(tower: TextTower, sentences: Mapping[str, Sequence[str]]) -> Prototypes:
    """Prototypes of each label from its sentences, in the order given. Raises `BundleError` for a label without any."""
    for label, lines in sentences.items():
        if not lines:
            raise BundleError(f"label {label!r} has no sentences; give it at least one.")
    rows = [tower.embed(lines).mean(axis=0) for lines in sentences.values()]
    vectors = np.stack(rows) if rows else np.zeros((0, tower.space.dimension), np.float32)
    return prototypes.make(list(sentences), list(sentences.values()), vectors, tower.space)
