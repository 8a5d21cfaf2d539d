"""Fine-tuning as an evaluation, and the same encoder trained from scratch beside it: the papers' third and fourth columns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Generator, Tensor

from aura_edge import encoders
from aura_edge_train import corpus
from aura_edge_train.augment import Augmentation
from aura_edge_train.datasets.store import Store
from aura_edge_train.evaluation import fine_tuning, metrics
from aura_edge_train.evaluation.candidates import Candidate
from aura_edge_train.evaluation.conditions import Conditions, Wearing
from aura_edge_train.evaluation.embedding import Embedded
from aura_edge_train.evaluation.fine_tuning import Batches, Epoch, FineTuning
from aura_edge_train.evaluation.metrics import Score
from aura_edge_train.recipe import Data, Optimisation

SLOWER = 0.1
"""A pre-trained encoder learns at this share of the recipe's rate, its new head at the whole of it."""


class Adapted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An encoder trained with the labels of a data set."""

    test: Score
    epoch: int
    """The one kept; 0 for the start."""
    epochs: int
    """Trained before nothing got better, of those asked for."""
    validation: tuple[float, ...]
    """Macro-F1 on validation subjects: before, and after each epoch."""
    plan: FineTuning
    seconds: float


def fine_tune(
    candidate: Candidate,
    store: Store,
    embedded: Embedded,
    epochs: int,
    *,
    prototypes: NDArray[np.float32] | None,
    from_scratch: bool,
    conditions: Conditions,
    seed: int,
    console: Console,
) -> Adapted:
    """Train on training subjects, keep the epoch that validation subjects like, answer the windows of `embedded`.

    Where the recipe trained on validation subjects too, so does this, and keeps the last epoch. Augmentation,
    batch and learning rate are those of the recipe it comes from. `prototypes` start the head.
    """
    encoder = candidate.encoder
    if encoder is None:
        raise TypeError("an encoder without torch's weights cannot be trained")
    recipe, samples = candidate.recipe, candidate.signal.window_samples
    learned = recipe.optimisation if recipe is not None else Optimisation()
    augmentation = recipe.augmentation if recipe is not None else Augmentation()
    if from_scratch:
        torch.manual_seed(seed)
        encoder, prototypes = encoders.build(candidate.spec), None
    name = store.data_set.name
    entries = [entry for entry in (recipe.data if recipe is not None else ()) if entry.name == name]
    whole = corpus.build(
        [store], [msgspec.structs.replace((entries or [Data(name)])[0], moments=(), unseen=())], samples
    )
    optimisation = msgspec.structs.replace(
        learned,
        epochs=epochs,
        batch=min(learned.batch, int((whole.epoch(Generator()).captions >= 0).sum())),
        learning_rate=learned.learning_rate * (1 if from_scratch else SLOWER),
        patience=0,
    )
    keep_last = any(entry.validation_too for entry in entries)
    plan = FineTuning(optimisation, head_factor=1.0 if from_scratch else 1 / SLOWER, keep_last=keep_last)
    started_s = time.perf_counter()
    what = f"{candidate.name}: {'training' if from_scratch else 'fine-tuning'} on {name}"
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(what, total=None)

        def counted(generator: Generator) -> tuple[int, Batches]:
            steps, batches = drawn(generator)
            bar.update(task, total=epochs * steps)
            return steps, _each(batches, lambda: bar.advance(task))

        def told(epoch: int, score: Score) -> None:
            console.print(
                f"{what}: epoch {epoch}/{epochs}, {time.perf_counter() - started_s:.0f} s, validation macro-F1 {score.macro_f1:.3f}"
            )

        drawn: Epoch = fine_tuning.epochs_of(whole, samples, optimisation.batch, stretch=augmentation.stretch)
        found = fine_tuning.fine_tune(
            encoder,
            len(store.data_set.captions),
            counted,
            fine_tuning.windows_of(store, "validation", samples),
            plan,
            augmentation=augmentation,
            prototypes=prototypes,
            seed=seed,
            after_epoch=told,
        )
    truth, answers = fine_tuning.answer(found.classifier, _asked(store, embedded, samples, conditions, seed))
    labels = [caption.label for caption in store.data_set.captions]
    return Adapted(
        test=metrics.score_in_full(truth, answers, labels, embedded.groups, seed=seed),
        epoch=found.epoch,
        epochs=len(found.losses),
        validation=tuple(score.macro_f1 for score in found.validation),
        plan=plan,
        seconds=round(time.perf_counter() - started_s, 1),
    )


def _asked(
    store: Store, embedded: Embedded, samples: int, conditions: Conditions, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """The very windows that were embedded."""
    wearing = Wearing(conditions, seed=seed)
    for at in range(0, len(embedded.starts), fine_tuning.EVALUATION_BATCH):
        rows = slice(at, at + fine_tuning.EVALUATION_BATCH)
        windows = wearing.windows(store, embedded.starts[rows], samples)
        yield torch.from_numpy(windows), torch.from_numpy(embedded.captions[rows])


def _each(batches: Batches, advance: Callable[[], object]) -> Iterator[tuple[Tensor, Tensor]]:
    for batch in batches:
        yield batch
        advance()
