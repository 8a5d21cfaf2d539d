"""A run from the outside: opens data, towers and the device that a recipe needs, takes part in `torchrun`'s group, and trains."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console

from aura_edge.encoders import checkpoint
from aura_edge.errors import RecipeError
from aura_edge.manifest import SignalSpec
from aura_edge.text import TextTower, open_tower
from aura_edge_train import datasets, gathering, loop, pretraining, seen_bias, state
from aura_edge_train.curves import Curves
from aura_edge_train.datasets.store import Store, open_store
from aura_edge_train.recipe import Recipe
from aura_edge_train.seen_bias import SeenBias
from aura_edge_train.towers.cache import CachedTower
from aura_edge_train.towers.image import open_image_tower
from aura_edge_train.videos import VideoRows, embed_videos


def train(
    recipe: Recipe,
    *,
    data: Path,
    run: Path,
    cache: Path,
    resume: bool = False,
    device: str = "auto",
    jobs: int = 1,
    download: bool = False,
    tensorboard: bool = False,
    console: Console | None = None,
) -> checkpoint.Header:
    """Train what `recipe` says on the recordings below `data` and leave the best encoder in the folder `run`.

    `device` is `auto`, `cpu` or `cuda`; `jobs` processes read recordings that the cache has not; `download` lets a text or image tower
    fetch its weights.
    """
    console = console or Console(quiet=True)
    _require_own(run, recipe, resume)
    chosen = _device(device)
    signal = SignalSpec()
    with gathering.joined(chosen) as process:
        if not process.is_first:
            console = Console(quiet=True)
        opened = [
            open_store(datasets.get(entry.name), data, cache=cache, rate_hz=signal.rate_hz, jobs=jobs, console=console)
            for entry in recipe.data
        ]
        tower = _tower(recipe, cache, download, console)
        videos = _videos(recipe, opened, cache, download, console)
        step = state.step_of(run / state.STATE)
        curves = Curves(run, step=step) if tensorboard and process.is_first else None
        try:
            return loop.fit(
                recipe,
                opened,
                tower,
                signal,
                run=run,
                console=console,
                videos=videos,
                device=chosen,
                process=process,
                curves=curves,
            )
        finally:
            if curves is not None:
                curves.close()


def calibrate(
    run: Path,
    *,
    data: Path,
    cache: Path,
    folds: int,
    epochs: int,
    download: bool = False,
    console: Console | None = None,
) -> SeenBias:
    """Choose the seen-bias of the encoder in `run` (see `seen_bias.choose`), on the recordings below `data` that it was trained on."""
    console = console or Console(quiet=True)
    recipe = seen_bias.recipe_of(checkpoint.load(run).header)
    tower = _tower(recipe, cache, download, console)
    if tower is None:
        raise RecipeError(f"{run}: was trained without a text tower, and knows no captions.")
    opened = [open_store(datasets.get(entry.name), data, cache=cache, console=console) for entry in recipe.data]
    return seen_bias.choose(run, opened, tower, folds=folds, epochs=epochs, console=console)


def _require_own(run: Path, recipe: Recipe, resume: bool) -> None:
    """Raises `RecipeError` for a folder whose content would be lost: a run that is not gone on with, or an encoder of other making."""
    begun = any((run / name).exists() for name in (state.STATE, pretraining.STATE))
    if not begun and (run / checkpoint.HEADER).exists():  # killed before its first state, or never a run
        begun = checkpoint.load(run).header.training.get("recipe_sha256") == recipe.digest
        if not begun:
            raise RecipeError(f"{run}: holds an encoder that this recipe did not make. Choose another folder (--out).")
    if begun and not resume:
        raise RecipeError(f"{run}: holds a run already. Go on with it (--resume), or choose another folder (--out).")


def _device(name: str) -> torch.device:
    if name not in ("auto", "cpu", "cuda"):
        raise RecipeError(f"device {name!r}: expected auto, cpu or cuda.")
    if name == "cuda" and not torch.cuda.is_available():
        raise RecipeError(
            "device 'cuda': this torch finds no GPU. Train on the CPU (--device cpu), or look at nvidia-smi."
        )
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _tower(recipe: Recipe, cache: Path, download: bool, console: Console) -> TextTower | None:
    """What it embeds is kept: hundreds of thousands of descriptions take longer than an epoch."""
    if not recipe.text_tower:
        return None
    return CachedTower(open_tower(recipe.text_tower, download=download), cache / "towers", console=console)


def _videos(
    recipe: Recipe, stores: list[Store], cache: Path, download: bool, console: Console
) -> tuple[VideoRows | None, ...]:
    """Embedded with the image tower beside the text tower, where a pair asks for them."""
    if not any("video" in pair.between for pair in recipe.objective.pairs):
        return ()
    tower = open_image_tower(recipe.text_tower, download=download)
    found = tuple(embed_videos(store, tower, cache / "towers", console=console) for store in stores)
    if not any(video is not None for video in found):
        raise RecipeError("a pair with video, and no data set with videos. Leave the pair out, or add their files.")
    return found
