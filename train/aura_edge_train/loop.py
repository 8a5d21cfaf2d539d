"""The training loop, from top to bottom: recipe and data in, the best encoder by its validation subjects out.

    <run>/checkpoint.safetensors, .json   the best encoder so far: see `aura_edge.encoders.checkpoint`
    <run>/state.safetensors               where the run stands: see `state.py`
    <run>/windows.safetensors             validation windows on which an export can be compared with the encoder
    <run>/log.jsonl                       one line per step (loss, learning rate) and one per epoch (validation scores)

Killed at any moment and resumed, a run gives the same losses and the same weights as one that was left alone.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress as Bar
from safetensors.numpy import save as to_safetensors
from torch import Generator, Tensor, nn

from aura_edge import encoders
from aura_edge.encoders import checkpoint
from aura_edge.errors import RecipeError
from aura_edge.manifest import SignalSpec
from aura_edge.text import TextTower, open_tower
from aura_edge_train import augment, corpus, datasets, metrics, provenance, sentences, state, zero_shot
from aura_edge_train.datasets.store import Store, open_store
from aura_edge_train.journal import Journal
from aura_edge_train.objectives import InfoNce
from aura_edge_train.recipe import Optimisation, Recipe

LOG = "log.jsonl"
WINDOWS = "windows.safetensors"
LEFT_WINDOWS = 64
"""Of each data set."""
LOWEST_RATE = 1e-6
"""Added to the learning rate, so that the last step still does something."""


def train(
    recipe: Recipe,
    *,
    data: Path,
    run: Path,
    cache: Path,
    resume: bool = False,
    console: Console | None = None,
) -> checkpoint.Header:
    """Train what `recipe` says on the recordings below `data` and leave the best encoder in the folder `run`."""
    console = console or Console(quiet=True)
    if (run / state.STATE).exists() and not resume:
        raise RecipeError(f"{run}: holds a run already. Go on with it (--resume), or choose another folder (--out).")
    signal = SignalSpec()
    sets = [datasets.get(entry.name) for entry in recipe.data]
    stores = [open_store(s, data, cache=cache, rate_hz=signal.rate_hz, console=console) for s in sets]
    return fit(recipe, stores, open_tower(recipe.text_tower), signal, run=run, console=console)


def fit(
    recipe: Recipe,
    stores: Sequence[Store],
    tower: TextTower,
    signal: SignalSpec,
    *,
    run: Path,
    console: Console,
    after_epoch: Callable[[int], None] = lambda epoch: None,
) -> checkpoint.Header:
    """Train on opened stores, going on from the state in `run` if there is one."""
    plan, samples, stretch = recipe.optimisation, signal.window_samples, recipe.augmentation.stretch
    whole = corpus.build(stores, recipe.data, samples)
    spoken = sentences.embed(tower, whole.captions)
    prototypes = [sentences.embed_prototypes(tower, store.data_set.captions) for store in stores]

    options = recipe.encoder.options | {"dimension": tower.space.dimension, "window_samples": samples}
    spec = encoders.make_spec(recipe.encoder.kind, options)
    torch.manual_seed(recipe.seed)
    encoder, objective = encoders.build(spec).train(), InfoNce(recipe.objective)
    average = copy.deepcopy(encoder).eval()
    optimiser = _optimiser(encoder, objective, plan)

    progress = state.Progress(0, 0, -math.inf, recipe.digest, tuple(store.index.digest for store in stores))
    modules = {"encoder": encoder, "average": average, "objective": objective}
    if (run / state.STATE).exists():
        progress = state.read(run / state.STATE, progress, modules, optimiser)
    leave_windows(run, stores, samples)
    log = Journal(run / LOG, progress.epochs_done)
    header = checkpoint.Header(
        name=recipe.name,
        encoder=spec,
        signal=signal,
        text_space=tower.space,
        captions={store.data_set.name: store.data_set.captions for store in stores},
        training=provenance.describe(recipe, stores, samples),
    )
    step, best = progress.step, progress.best_score
    for epoch in range(progress.epochs_done, plan.epochs):
        generator = _seed(recipe.seed, epoch)
        draw = whole.epoch(generator)
        steps = len(draw) // plan.batch
        if steps == 0:
            raise RecipeError(
                f"an epoch of {len(draw)} windows is less than one batch of {plan.batch}: make the batch smaller."
            )
        losses = []
        with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task(f"epoch {epoch + 1}/{plan.epochs}", total=steps)
            for number in range(steps):
                rate = learning_rate(step, steps * plan.epochs, plan)
                batch = draw.part(slice(number * plan.batch, (number + 1) * plan.batch))
                windows = augment.augment(whole.cut(batch, samples, stretch, generator), recipe.augmentation, generator)
                with _precision(plan):
                    embeddings = encoder(windows)
                loss = objective(embeddings.float(), spoken.draw(generator), batch.captions, whole.set_of)
                _update(loss, [*encoder.parameters(), *objective.parameters()], optimiser, rate, plan)
                _follow(average, encoder, min(plan.averaging, (1 + step) / (10 + step)))
                losses.append(loss.item())
                log.add(epoch=epoch, step=step, loss=losses[-1], learning_rate=rate)
                step += 1
                bar.update(task, advance=1, description=f"epoch {epoch + 1}/{plan.epochs} loss {losses[-1]:.3f}")
        if not math.isfinite(sum(losses)):
            raise RecipeError(
                f"epoch {epoch + 1}: the loss is no longer finite. Lower the learning rate ({plan.learning_rate:g})."
            )

        answers = {
            store.data_set.name: zero_shot.answer(embedder(average), vectors, store, "validation", samples)
            for store, vectors in zip(stores, prototypes, strict=True)
        }
        scores = {name: metrics.score(each.truth, each.best) for name, each in answers.items()}
        mean = float(np.mean([each.macro_f1 for each in scores.values()]))
        if mean > best:
            best = mean
            calibration = zero_shot.calibrate(answers)
            kept = {"right_kept": calibration.right_kept, "wrong_caught": calibration.wrong_caught}
            measured = {"validation": scores, "calibration": kept, "epoch": epoch + 1}
            header = msgspec.structs.replace(
                header, decision=calibration.decision, metrics=msgspec.to_builtins(measured)
            )
            header = checkpoint.save(run, average, header)
        log.add(epoch=epoch, mean_loss=float(np.mean(losses)), temperature=objective.temperature, validation=scores)
        log.write()
        progress = msgspec.structs.replace(progress, epochs_done=epoch + 1, step=step, best_score=best)
        state.write(run / state.STATE, progress, modules, optimiser)
        shown = "  ".join(f"{n}: accuracy {s.accuracy:.3f}, macro-F1 {s.macro_f1:.3f}" for n, s in scores.items())
        console.print(f"epoch {epoch + 1}/{plan.epochs}  loss {np.mean(losses):.3f}  {shown}")
        after_epoch(epoch)
    return checkpoint.load(run).header


def learning_rate(step: int, steps: int, plan: Optimisation) -> float:
    """Linear warm-up, then half a cosine down to next to nothing."""
    done = step / steps
    warm = min(1.0, (step + 1) / max(1.0, plan.warm_up * steps))
    fall = 0.5 + 0.5 * math.cos(math.pi * max(0.0, done - plan.warm_up) / (1 - plan.warm_up))
    return plan.learning_rate * warm * fall + LOWEST_RATE


def leave_windows(run: Path, stores: Sequence[Store], samples: int) -> None:
    """Write some validation windows beside the checkpoint, and which of them may be given to others."""
    windows: list[NDArray[np.float32]] = []
    free: list[NDArray[np.uint8]] = []
    for store in stores:
        starts = store.window_starts("validation", samples)
        chosen = starts[np.linspace(0, len(starts) - 1, min(LEFT_WINDOWS, len(starts))).round().astype(np.int64)]
        windows.append(store.windows(chosen, samples))
        free.append(np.full(len(chosen), store.data_set.redistributable, np.uint8))
    tensors: dict[str, NDArray[Any]] = {"windows": np.concatenate(windows), "redistributable": np.concatenate(free)}
    try:
        run.mkdir(parents=True, exist_ok=True)
        checkpoint.replace_file(run / WINDOWS, to_safetensors(tensors))
    except OSError as error:
        raise RecipeError(
            f"{run}: cannot be written to: {error.strerror}. Choose another folder with --out."
        ) from error


def embedder(encoder: nn.Module) -> zero_shot.Embed:
    """`encoder` as a function of arrays."""

    def embed(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            vectors: NDArray[np.float32] = encoder(torch.from_numpy(windows)).numpy()
        return vectors

    return embed


def _optimiser(encoder: nn.Module, objective: InfoNce, plan: Optimisation) -> torch.optim.AdamW:
    """AdamW that decays matrices and filters only: not biases, norms, positions or the temperature."""
    named = [*encoder.named_parameters(), *objective.named_parameters()]
    decayed = [p for name, p in named if p.ndim > 1 and name != "positions"]
    others = [p for name, p in named if not (p.ndim > 1 and name != "positions")]
    groups = [{"params": decayed, "weight_decay": plan.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=plan.learning_rate, betas=plan.betas, fused=True)


def _seed(seed: int, epoch: int) -> Generator:
    """The generator of an epoch; the global one, which dropout draws from, is seeded too."""
    mixed = int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))
    torch.manual_seed(mixed)
    return Generator().manual_seed(mixed)


def _precision(plan: Optimisation) -> AbstractContextManager[object]:
    return torch.autocast("cpu", torch.bfloat16) if plan.precision == "bf16" else nullcontext()


def _update(
    loss: Tensor, parameters: Sequence[nn.Parameter], optimiser: torch.optim.Optimizer, rate: float, plan: Optimisation
) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(parameters, plan.clip)
    optimiser.step()


def _follow(average: nn.Module, encoder: nn.Module, past: float) -> None:
    """Move the running mean of the weights towards the weights."""
    with torch.no_grad():
        for mean, now in zip(average.parameters(), encoder.parameters(), strict=True):
            mean.lerp_(now, 1 - past)
