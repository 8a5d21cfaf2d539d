"""How much nearer an encoder lies to sentences that it has met: measured by training it again without some of its captions in turn.

Among sentences of activities that were trained on and others, the first win nearly always (Chao et al. 2016, arXiv:1605.04253). What must be
taken from them for both to be found is chosen here on validation subjects and on captions that were left out of training, pseudo-unseen ones;
activities that are really unseen play no part in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console

from aura_edge.encoders import checkpoint
from aura_edge.encoders.checkpoint import Header
from aura_edge.errors import RecipeError
from aura_edge.text import TextTower
from aura_edge_train import loop, sentences, validation
from aura_edge_train.corpus import seen_captions
from aura_edge_train.datasets.store import Store
from aura_edge_train.evaluation import generalised, zero_shot
from aura_edge_train.recipe import Data, Recipe

LEFT_OUT = 5
"""A fold leaves out every fifth caption of a set ..."""
FEWEST = 5
"""... that has at least so many: of three nothing is left to be told apart."""
FOLDS = "folds"


class SeenBias(msgspec.Struct, frozen=True):
    """What was chosen, and on what."""

    seen_bias: float
    """In cosine."""
    harmonic_mean: float
    """Of accuracy among seen and pseudo-unseen captions of validation subjects, all of them candidates, mean over folds; so are those below."""
    harmonic_mean_before: float
    """With no bias at all."""
    folds: tuple[tuple[str, ...], ...]
    """Keys that were left out of each."""
    epochs: int


def choose(
    run: Path,
    stores: Sequence[Store],
    tower: TextTower,
    *,
    folds: int,
    epochs: int,
    console: Console | None = None,
) -> SeenBias:
    """Choose the bias for the encoder in `run`, on folds that are trained for `epochs` below it, and put it into its checkpoint.

    Folds of this recipe and so many epochs that are there already are taken as they are, those that were interrupted go on.
    """
    console = console or Console(quiet=True)
    trained = checkpoint.load(run)
    recipe = recipe_of(trained.header)
    measured: list[generalised.Fold] = []
    left_out: list[tuple[str, ...]] = []
    for number in range(folds):
        data = tuple(_without(store, entry, number) for store, entry in zip(stores, recipe.data, strict=True))
        keys = tuple(
            key for entry, of in zip(data, recipe.data, strict=True) for key in entry.unseen if key not in of.unseen
        )
        if not keys:
            raise RecipeError(
                f"{run}: no data set of this run has {FEWEST} captions, of which some could be left out. There is no seen-bias to choose."
            )
        console.print(f"fold {number + 1}/{folds}: without {', '.join(keys)}")
        plan = msgspec.structs.replace(recipe.optimisation, epochs=epochs)
        fold = msgspec.structs.replace(recipe, data=data, optimisation=plan, phases=())
        home = run / FOLDS / f"{number}-{fold.digest[:12]}"  # of other epochs, another fold
        loop.fit(fold, stores, tower, trained.header.signal, run=home, console=console)
        left_out.append(keys)
        for store, entry, before in zip(stores, data, recipe.data, strict=True):
            if entry.unseen != before.unseen:
                measured.append(_fold(home, store, entry, before, tower, trained.header.signal.window_samples))
    bias, harmonic = generalised.seen_bias(measured)
    unbiased = float(np.mean([generalised.score(fold).harmonic_mean for fold in measured]))
    chosen = SeenBias(bias, harmonic, unbiased, tuple(left_out), epochs)
    header = msgspec.structs.replace(
        trained.header,
        decision=msgspec.structs.replace(trained.header.decision, seen_bias=bias),
        metrics=trained.header.metrics | {"seen_bias": msgspec.to_builtins(chosen)},
    )
    checkpoint.save(run, trained.encoder, header)
    return chosen


def recipe_of(header: Header) -> Recipe:
    """The recipe that a checkpoint was trained by. Raises `RecipeError` for a checkpoint that does not say it."""
    try:
        return msgspec.convert(header.training["recipe"], Recipe)
    except (KeyError, msgspec.ValidationError) as error:
        raise RecipeError(
            f"checkpoint {header.name!r} does not say by which recipe it was trained ({error}): train it again."
        ) from error


def _without(store: Store, entry: Data, number: int) -> Data:
    """The entry with every fifth caption that it trains on left out, another fifth for each fold; validation subjects always judge."""
    entry = msgspec.structs.replace(entry, validation_too=False)
    captions = store.data_set.captions
    seen = [captions[row].key for row in np.flatnonzero(seen_captions(store.data_set, entry))] if captions else []
    if len(seen) < FEWEST:
        return entry
    return msgspec.structs.replace(entry, unseen=(*entry.unseen, *seen[number % LEFT_OUT :: LEFT_OUT]))


def _fold(
    home: Path, store: Store, entry: Data, before: Data, tower: TextTower, window_samples: int
) -> generalised.Fold:
    """Answers of one fold's encoder to validation windows of all captions that the run itself was trained on."""
    prototypes = sentences.embed_prototypes(tower, store.data_set.captions)
    encoder = validation.embedder(checkpoint.load(home).encoder)
    candidates = seen_captions(store.data_set, before)
    answers = zero_shot.answer(encoder, prototypes, store, "validation", window_samples).among(candidates)
    return generalised.Fold(answers.cosines, answers.truth, ~seen_captions(store.data_set, entry)[candidates])
