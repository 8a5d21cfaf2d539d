"""Text towers behind one door: sentences in, unit vectors out, and which text space they live in.

Training, prototypes and labels edited on the device all embed their sentences here, so that one name always means one space. A tower is
found by its name in `TOWERS`, or by what stands before the first colon of its name in `FAMILIES`; adding one is adding a line there and a
file beside this one.

A name says where the weights are (`open_clip:ViT-B-32:weights.safetensors`); a `TextSpace` says which they are (`open_clip:ViT-B-32` and
their digest), so that the same weights from a file and from a hub are one space and no path gets into a bundle. `open_space` goes back
from the space to the tower.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import RecipeError, TextSpaceError
from aura_edge.manifest import TextSpace

TOWERS = {"all-MiniLM-L6-v2": "aura_edge.text.minilm:open_minilm"}
"""Name to the function that opens it; its module, and with it torch, is imported on use."""
FAMILIES = {
    "open_clip": "aura_edge.text.clip_text:open_clip_text",
    "onnx": "aura_edge.text.exported:open_exported",
}
"""The same for towers whose names say more: the function is given the whole name, and whether it may download weights."""


class TextTower(Protocol):
    """A frozen model of sentences."""

    space: TextSpace

    def embed(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """(N, D) float32 of unit norm, one row per sentence; a sentence's row does not depend on the others."""
        ...


def open_tower(name: str, *, download: bool = False) -> TextTower:
    """Open the tower `name`: `all-MiniLM-L6-v2`, or `open_clip:MODEL:SOURCE` where SOURCE is a pretrained tag or a file of weights.

    Nothing is fetched unless `download` is True. Raises `RecipeError` for an unknown name and for weights that are not here,
    `MissingExtraError` where its packages are not installed.
    """
    tower: TextTower
    family = name.partition(":")[0]
    if name in TOWERS:
        tower = _function(TOWERS[name])()
        return tower
    if family in FAMILIES:
        tower = _function(FAMILIES[family])(name, download=download)
        return tower
    known = [*sorted(TOWERS), *(f"{family}:..." for family in sorted(FAMILIES))]
    raise RecipeError(f"text tower {name!r} is unknown; the ones there are: {', '.join(known)}.")


def open_space(space: TextSpace, *, name: str | None = None) -> TextTower:
    """The tower whose space this is: `name` says where its weights are (default: in the package or the local hub cache).

    Raises `TextSpaceError` where what is there is another space, else what `open_tower` raises.
    """
    tower = open_tower(name or space.tower)
    if tower.space != space:
        raise TextSpaceError(
            f"{name or space.tower}: this is {_describe(tower.space)}; expected {_describe(space)}. Name the tower with the weights of that "
            "digest, as in open_clip:MODEL:FILE."
        )
    return tower


def _function(target: str) -> Any:
    module, _, function = target.partition(":")
    return getattr(importlib.import_module(module), function)


def _describe(space: TextSpace) -> str:
    return f"{space.tower}, {space.dimension}-d, weights {space.weights_sha256[:12]}..."
