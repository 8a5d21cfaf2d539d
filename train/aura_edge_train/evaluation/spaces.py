"""The towers of text spaces, each opened once and only when a sentence or a video must be embedded; what they embed is kept on disk."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from aura_edge.errors import TextSpaceError
from aura_edge.manifest import TextSpace
from aura_edge.text import TextTower, open_tower
from aura_edge_train.datasets.store import Store
from aura_edge_train.recipe import Recipe
from aura_edge_train.towers.cache import CachedTower
from aura_edge_train.towers.image import open_image_tower
from aura_edge_train.videos import VideoRows, embed_videos

CLIP = "open_clip:"


class Spaces:
    """Opens towers as flags say: `name` is that of a tower whose weights are elsewhere than the recipe had them."""

    def __init__(
        self, cache: Path, *, name: str | None = None, download: bool = False, console: Console | None = None
    ) -> None:
        self._cache, self._name, self._download, self._console = cache / "towers", name, download, console
        self._text: dict[tuple[str, str], TextTower] = {}

    def text(self, space: TextSpace, needed_by: Path, recipe: Recipe | None) -> TextTower:
        """The text tower of `space`. Raises `TextSpaceError` where the one that is found is another."""
        key = (space.tower, space.weights_sha256)
        if key not in self._text:
            name = self._named(space, recipe)
            tower = open_tower(name, download=self._download)
            if tower.space != space:
                raise TextSpaceError(
                    f"{name}: this is {tower.space.tower}, weights {tower.space.weights_sha256[:12]}...; {needed_by} was aligned with "
                    f"{space.tower}, weights {space.weights_sha256[:12]}... Name the tower with those weights (--text-tower)."
                )
            self._text[key] = CachedTower(tower, self._cache, console=self._console)
        return self._text[key]

    def videos(self, space: TextSpace, recipe: Recipe | None, store: Store) -> VideoRows | None:
        """The videos of a store in the space of a CLIP model; None for a store without any, or another kind of space."""
        if not store.clips or not space.tower.startswith(CLIP):
            return None
        tower = open_image_tower(self._named(space, recipe), download=self._download)
        return embed_videos(store, tower, self._cache, console=self._console)

    def _named(self, space: TextSpace, recipe: Recipe | None) -> str:
        return self._name or (recipe.text_tower if recipe is not None else "") or space.tower
