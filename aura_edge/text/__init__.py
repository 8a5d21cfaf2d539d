"""Text towers behind one door: sentences in, unit vectors out, and which text space they live in.

Training, prototypes and labels edited on the device all embed their sentences here, so that one name always means one space. A tower is
found by its name in `TOWERS`; adding one is adding a line there and a file beside this one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import RecipeError
from aura_edge.manifest import TextSpace

TOWERS = {"all-MiniLM-L6-v2": "aura_edge.text.minilm:open_minilm"}
"""Name to the function that opens it; its module, and with it torch, is imported on use."""


class TextTower(Protocol):
    """A frozen model of sentences."""

    space: TextSpace

    def embed(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """(N, D) float32 of unit norm, one row per sentence; a sentence's row does not depend on the others."""
        ...


def open_tower(name: str) -> TextTower:
    """Open the tower `name`. Raises `RecipeError` for an unknown name, `MissingExtraError` where its packages are not installed."""
    try:
        target = TOWERS[name]
    except KeyError:
        raise RecipeError(f"text tower {name!r} is unknown; the ones there are: {', '.join(sorted(TOWERS))}.") from None
    module, _, function = target.partition(":")
    opener: Callable[[], TextTower] = getattr(importlib.import_module(module), function)
    return opener()
