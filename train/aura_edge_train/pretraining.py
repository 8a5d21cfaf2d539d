"""Pre-training: epochs of masked-signal modelling on windows of the training subjects, captioned or not, before the first phase of a run.

    <run>/pretraining.safetensors   where it stands, replaced as a whole after each epoch: see `state.py`

Its lines in the log have epochs below zero, -1 the last, so that a run's own epochs still count from 0.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress as Bar
from torch import Generator, nn

from aura_edge.encoders.transformer import PatchTransformer
from aura_edge.errors import RecipeError
from aura_edge_train import gathering, masked_signal, state
from aura_edge_train.batches import Batcher
from aura_edge_train.corpus import COLUMNS, Corpus, Draw
from aura_edge_train.gathering import Process
from aura_edge_train.journal import Journal
from aura_edge_train.learner import learning_rate, make_optimiser
from aura_edge_train.masked_signal import MaskedSignal, Pretraining, is_of_patches
from aura_edge_train.recipe import Optimisation

STATE = "pretraining.safetensors"
ALONE = Process()
OWN_SEEDS = 1
"""Keeps its random numbers apart from those of the phases that follow."""


def pretrain(
    encoder: nn.Module,
    batcher: Batcher,
    fresh: state.Progress,
    *,
    run: Path,
    log: Path,
    console: Console,
    process: Process = ALONE,
    after_epoch: Callable[[int], None] = lambda epoch: None,
) -> list[float]:
    """Train `encoder`, which is new, in place, going on from the state in `run` if there is one; give the mean loss of each epoch done here.

    Windows are cut and augmented as `batcher` does it, with the seed, batch, precision and clipping of its recipe, as its `[pretraining]`
    says; `fresh` is the progress of the run at its start. Raises `RecipeError` for an encoder whose tokens cannot be hidden, for too few
    windows, and for a state of another recipe or other data.
    """
    options = batcher.recipe.pretraining
    if options is None:
        raise RecipeError("pre-training, and no [pretraining] in the recipe. Add it, or train without.")
    plan = msgspec.structs.replace(batcher.recipe.optimisation, learning_rate=options.learning_rate)
    chosen = masked_signal.require_tokens(encoder)
    begun = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    torch.manual_seed(batcher.recipe.seed)
    device = next(encoder.parameters()).device
    masked = MaskedSignal(chosen).to(device)
    optimiser = make_optimiser([encoder, masked], plan)
    modules = {"encoder": encoder, "masked_signal": masked}
    progress = fresh
    if (run / STATE).exists():
        progress = state.read(run / STATE, fresh, modules, optimiser)
    journal = Journal(log, progress.epochs_done - options.epochs)
    encoder.train()
    means = []
    for epoch in range(progress.epochs_done, options.epochs):
        losses = _epoch(chosen, masked, optimiser, batcher, options, plan, epoch, process, console)
        means.append(float(np.mean(losses)))
        if not math.isfinite(means[-1]):
            raise RecipeError(
                f"pre-training, epoch {epoch + 1}: the loss is no longer finite. Lower its learning rate ({options.learning_rate:g})."
            )
        progress = msgspec.structs.replace(progress, epochs_done=epoch + 1, step=(epoch + 1) * len(losses))
        if process.is_first:
            for number, loss in enumerate(losses):
                journal.add(epoch=epoch - options.epochs, pretraining_step=epoch * len(losses) + number, loss=loss)
            journal.write()
            state.write(run / STATE, progress, modules, optimiser)
        after_epoch(epoch)
    if options.keeps == "patches":
        found = encoder.state_dict()
        encoder.load_state_dict({name: (found if is_of_patches(name) else begun)[name] for name in begun})
    return means


def _epoch(
    encoder: PatchTransformer,
    masked: MaskedSignal,
    optimiser: torch.optim.Optimizer,
    batcher: Batcher,
    options: Pretraining,
    plan: Optimisation,
    epoch: int,
    process: Process,
    console: Console,
) -> list[float]:
    """The loss of each step of one epoch."""
    corpus = batcher.corpus
    size = options.batch or plan.batch
    shared, own, hiding = _generators(batcher.recipe.seed, epoch, process)
    draw = everywhere(corpus, shared)
    steps = len(draw) // size
    if steps == 0 or size % process.count:
        raise RecipeError(
            f"[pretraining]: {len(draw)} windows cannot be learned from in batches of {size} by {process.count} processes. Choose a batch "
            "that is no larger than the windows there are, and a multiple of the processes."
        )
    span = max(1, round(options.span_s * corpus.stores[0].index.rate_hz / masked.stride))
    title, losses = f"pre-training {epoch + 1}/{options.epochs}", []
    device = masked.hidden_token.device
    start_s, waited_s = time.perf_counter(), 0.0
    batches = batcher.batches(draw, size, process.share(size), shared, own, frozenset())
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=steps)
        for number in range(steps):
            asked_s = time.perf_counter()
            windows = next(batches).windows
            waited_s += time.perf_counter() - asked_s
            hidden = masked_signal.hide(len(windows), masked.tokens, options.hidden_share, span, hiding)
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(epoch * steps + number, options.epochs * steps, plan)
            optimiser.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=plan.precision == "bf16"):
                loss = masked(encoder, windows.to(device), hidden.to(device))
            loss.backward()
            learning = [p for module in (encoder, masked) for p in module.parameters() if p.grad is not None]
            gathering.average_gradients(learning)  # all hide equally much: the mean is that of the joined batch
            nn.utils.clip_grad_norm_(learning, plan.clip)
            optimiser.step()
            losses.append(float(loss.detach()))
            bar.update(task, advance=1, description=f"{title} loss {losses[-1]:.3f}")
    took_s = time.perf_counter() - start_s
    if process.is_first:
        console.print(
            f"{title}  loss {np.mean(losses):.3f}  {steps * size / took_s:.0f} windows/s, {waited_s / took_s:.1%} of the time waiting for them"
        )
    return losses


def everywhere(corpus: Corpus, generator: Generator) -> Draw:
    """As many windows as an epoch sees, at random places of the training recordings, shuffled: also those of which nothing is known, but
    none that the recipe leaves out."""
    draws = []
    for part in corpus.parts:
        rows = part.first + (torch.rand(len(part.first), generator=generator) * part.count).long()
        rows = rows[part.taken[rows] | (part.captions[rows] < 0)]
        draws.append(Draw(*(getattr(part, name)[rows] for name in COLUMNS)))
    everything = Draw(*(torch.cat([getattr(draw, name) for draw in draws]) for name in COLUMNS))
    return everything.part(torch.randperm(len(everything), generator=generator))


def _generators(seed: int, epoch: int, process: Process) -> tuple[Generator, Generator, Generator]:
    """Of an epoch: for what all processes share, for this one's cutting, and for its hiding. The global one, for dropout, is seeded too."""

    def mixed(*numbers: int) -> int:
        mixing = np.random.SeedSequence([seed, epoch, OWN_SEEDS, *numbers])
        return int(mixing.generate_state(1, np.uint64)[0] >> np.uint64(1))

    torch.manual_seed(mixed(3, process.rank))
    return (
        Generator().manual_seed(mixed(0)),
        Generator().manual_seed(mixed(1, process.rank)),
        Generator().manual_seed(mixed(2, process.rank)),
    )
