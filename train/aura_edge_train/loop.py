"""The training loop, from top to bottom: recipe and data in, the best encoder by its validation subjects out.

    <run>/checkpoint.safetensors, .json   the best encoder so far: see `aura_edge.encoders.checkpoint`
    <run>/mocap.safetensors, .json        and that of motion capture, where there is one: see `mocap.py`
    <run>/state.safetensors               where the run stands: see `state.py`
    <run>/windows.safetensors             validation windows on which an export can be compared with the encoder
    <run>/log.jsonl                       one line per step (losses, learning rate) and one per epoch (validation scores)

Killed at any moment and resumed, a run gives the same losses and the same weights as one that was left alone. Started by `torchrun`, every
process takes its part of each batch, and the first one validates and writes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress as Bar
from safetensors.numpy import save as to_safetensors
from torch import Generator

from aura_edge import encoders
from aura_edge.encoders import checkpoint, mocap_checkpoint
from aura_edge.errors import RecipeError
from aura_edge.manifest import EncoderSpec, SignalSpec, TextSpace
from aura_edge.text import TextTower
from aura_edge.whole_files import replace_file
from aura_edge_train import corpus, gathering, provenance, sentences, state
from aura_edge_train.batches import Batcher
from aura_edge_train.curves import Curves
from aura_edge_train.datasets.index import POSE_RATE_HZ
from aura_edge_train.datasets.store import Store
from aura_edge_train.gathering import Process
from aura_edge_train.journal import Journal
from aura_edge_train.learner import Learner, learning_rate
from aura_edge_train.pretraining import pretrain
from aura_edge_train.recipe import Optimisation, Phase, Recipe
from aura_edge_train.validation import Validation, Validator
from aura_edge_train.videos import VideoRows

LOG = "log.jsonl"
WINDOWS = "windows.safetensors"
LEFT_WINDOWS = 1280
"""Of each data set: an export in less precision is compared on at least 1,000, and finds its ranges on others."""
NO_TOWER = "none"
ALONE = Process()
CPU = torch.device("cpu")


def fit(
    recipe: Recipe,
    stores: Sequence[Store],
    tower: TextTower | None,
    signal: SignalSpec,
    *,
    run: Path,
    console: Console,
    videos: Sequence[VideoRows | None] = (),
    device: torch.device = CPU,
    process: Process = ALONE,
    curves: Curves | None = None,
    after_epoch: Callable[[int], None] = lambda epoch: None,
) -> checkpoint.Header:
    """Train on opened stores, going on from the state in `run` if there is one."""
    plan, samples = recipe.optimisation, signal.window_samples
    whole = corpus.build(stores, recipe.data, samples, videos)
    spoken = sentences.embed(tower, whole.captions) if tower is not None and whole.captions else None
    told = torch.from_numpy(tower.embed(whole.texts)) if tower is not None and whole.texts else None
    batcher = Batcher(whole, recipe, samples, spoken, told, tuple(videos))
    specs = _specs(recipe, whole, tower, samples)
    learner = Learner(recipe, specs, whole, device)
    validator = Validator(recipe, stores, tower, samples, device, videos)
    if plan.batch % process.count:
        raise RecipeError(
            f"a batch of {plan.batch} cannot be split evenly over {process.count} processes. Choose a multiple."
        )

    digests = tuple(store.index.digest for store in stores)
    progress = state.Progress(recipe.digest, digests, _space(recipe, tower), process.count)
    if (run / state.STATE).exists():
        progress = state.read(run / state.STATE, progress, learner.modules, learner.optimiser)
    if process.is_first:
        leave_windows(run, stores, samples)
    if recipe.pretraining is not None and not (run / state.STATE).exists():
        pretrain(learner.encoders["imu"], batcher, progress, run=run, log=run / LOG, console=console, process=process)
        learner.average["imu"].load_state_dict(learner.encoders["imu"].state_dict())
    log = Journal(run / LOG, progress.epochs_done)
    header = checkpoint.Header(
        name=recipe.name,
        encoder=specs["imu"],
        signal=signal,
        text_space=_space(recipe, tower),
        captions=_captions(stores) if tower is not None else {},
        training=provenance.describe(recipe, stores, samples),
    )
    for number, phase in enumerate(recipe.schedule):
        if number < progress.phase:
            continue
        if number > progress.phase:  # what was best at another task is no measure of this one
            progress = msgspec.structs.replace(
                progress, phase=number, phase_epochs=0, phase_step=0, best_score=-1.0, stale=0
            )
        learner.begin(phase)
        if process.is_first and not validator.chooses(phase):
            console.print(f"phase {number + 1}: nothing to choose an epoch by; the last one is kept")
        while not _is_over(progress, phase, plan):
            progress, losses = _epoch(recipe, phase, batcher, learner, progress, process, log, console)
            found = validator.measure(learner.average, phase) if process.is_first else None
            score = gathering.agree(0.0 if found is None else found.score or 0.0)
            better = not validator.chooses(phase) or score > progress.best_score
            progress = msgspec.structs.replace(
                progress, best_score=max(score, progress.best_score), stale=0 if better else progress.stale + 1
            )
            if found is not None:
                if better:
                    if found.calibration is not None:
                        progress = msgspec.structs.replace(progress, decision=found.calibration.decision)
                    header = _keep(run, learner, header, found, progress, whole, recipe)
                log.add(
                    epoch=progress.epochs_done - 1,
                    mean_losses=losses,
                    temperatures=learner.temperatures,
                    score=found.score,
                    **found.record,
                )
                log.write()
                state.write(run / state.STATE, progress, learner.modules, learner.optimiser)
                if curves is not None:
                    curves.epoch(progress.step, losses, learner.temperatures, found)
                console.print(
                    f"epoch {progress.epochs_done}/{_total(recipe)}  loss {losses['loss']:.3f}  {found.sentence}"
                )
            after_epoch(progress.epochs_done - 1)
    return checkpoint.load(run).header if process.is_first else header


def _epoch(
    recipe: Recipe,
    phase: Phase,
    batcher: Batcher,
    learner: Learner,
    progress: state.Progress,
    process: Process,
    log: Journal,
    console: Console,
) -> tuple[state.Progress, dict[str, float]]:
    """Learn from every window of an epoch once; give the progress after it, and the mean of each loss."""
    plan, epoch = recipe.optimisation, progress.epochs_done
    shared, own = _generators(recipe.seed, epoch, process)
    draw = batcher.corpus.epoch(shared)
    steps = len(draw) // plan.batch
    if steps == 0:
        raise RecipeError(
            f"an epoch of {len(draw)} windows is less than one batch of {plan.batch}: make the batch smaller."
        )
    modalities = frozenset(modality for name in phase.pairs for modality in name.split("-"))
    batches = batcher.batches(draw, plan.batch, process.share(plan.batch), shared, own, modalities)
    title = f"epoch {epoch + 1}/{_total(recipe)}"
    sums: dict[str, list[float]] = {}
    start_s, waited_s = time.perf_counter(), 0.0
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=steps)
        for number in range(steps):
            asked_s = time.perf_counter()
            batch = next(batches)
            waited_s += time.perf_counter() - asked_s
            rate = learning_rate(progress.phase_step + number, steps * phase.epochs, plan)
            losses = learner.step(batch, phase, rate, progress.step + number)
            log.add(epoch=epoch, step=progress.step + number, learning_rate=rate, **losses)
            for name, loss in losses.items():
                sums.setdefault(name, []).append(loss)
            bar.update(task, advance=1, description=f"{title} loss {losses['loss']:.3f}")
    means = {name: float(np.mean(each)) for name, each in sums.items()}
    if not math.isfinite(means["loss"]):
        raise RecipeError(
            f"epoch {epoch + 1}: the loss is no longer finite. Lower the learning rate ({plan.learning_rate:g})."
        )
    took_s = time.perf_counter() - start_s
    if process.is_first:
        console.print(
            f"{title}  {steps * plan.batch / took_s:.0f} windows/s, {waited_s / took_s:.1%} of the time waiting for them"
        )
    return msgspec.structs.replace(
        progress,
        epochs_done=epoch + 1,
        step=progress.step + steps,
        phase_epochs=progress.phase_epochs + 1,
        phase_step=progress.phase_step + steps,
    ), means


def _is_over(progress: state.Progress, phase: Phase, plan: Optimisation) -> bool:
    return progress.phase_epochs >= phase.epochs or bool(plan.patience and progress.stale >= plan.patience)


def _total(recipe: Recipe) -> int:
    return sum(phase.epochs for phase in recipe.schedule)


def _space(recipe: Recipe, tower: TextTower | None) -> TextSpace:
    """That of the tower; an encoder that was aligned without one is in no text's space, and has no captions."""
    return TextSpace(NO_TOWER, "", recipe.dimension) if tower is None else tower.space


def _captions(stores: Sequence[Store]) -> dict[str, tuple[checkpoint.Caption, ...]]:
    return {store.data_set.name: store.data_set.captions for store in stores if store.data_set.captions}


def _specs(
    recipe: Recipe, whole: corpus.Corpus, tower: TextTower | None, window_samples: int
) -> dict[str, EncoderSpec]:
    """What each modality's encoder is; the embedding is as long as the text tower's, the input as the data."""
    dimension = recipe.dimension if tower is None else tower.space.dimension
    kind, options = recipe.encoder.resolved()
    specs = {"imu": encoders.make_spec(kind, options | {"dimension": dimension, "window_samples": window_samples})}
    if recipe.mocap is not None:
        if whole.skeleton is None:
            raise RecipeError(
                "[mocap], and no data set with motion capture. Add one (utd-mhad, ego-exo4d), or leave it out."
            )
        kind, options = recipe.mocap.resolved()
        frames = round(window_samples / whole.stores[0].index.rate_hz * POSE_RATE_HZ)
        given = {"dimension": dimension, "window_samples": frames, "channels": whole.skeleton.channels}
        specs["mocap"] = encoders.make_spec(kind, options | given)
    return specs


def _keep(
    run: Path,
    learner: Learner,
    header: checkpoint.Header,
    found: Validation,
    progress: state.Progress,
    whole: corpus.Corpus,
    recipe: Recipe,
) -> checkpoint.Header:
    """Write the best encoders so far."""
    record = {"validation_too": True} if recipe.chooses_nothing else found.record
    measured = msgspec.to_builtins(record | {"epoch": progress.epochs_done})
    header = msgspec.structs.replace(header, decision=progress.decision, metrics=measured)
    if recipe.mocap is not None and whole.skeleton is not None:
        spec = learner.specs["mocap"]
        mocap_checkpoint.save(
            run,
            learner.average["mocap"],
            mocap_checkpoint.Header(
                encoder=spec,
                joints=whole.skeleton.joints,
                rate_hz=POSE_RATE_HZ,
                made_ready=msgspec.to_builtins(recipe.mocap),
            ),
        )
    return checkpoint.save(run, learner.average["imu"], header)


def leave_windows(run: Path, stores: Sequence[Store], samples: int) -> None:
    """Write some validation windows beside the checkpoint, which of them may be given to others, and what they show."""
    windows: list[NDArray[np.float32]] = []
    free: list[NDArray[np.uint8]] = []
    shown: list[NDArray[np.int64]] = []
    for store in stores:
        starts = store.window_starts("validation", samples)
        chosen = starts[np.linspace(0, len(starts) - 1, min(LEFT_WINDOWS, len(starts))).round().astype(np.int64)]
        windows.append(store.windows(chosen, samples))
        free.append(np.full(len(chosen), store.data_set.redistributable, np.uint8))
        shown.append(store.captions(chosen, samples) if store.data_set.captions else np.full(len(chosen), -1, np.int64))
    tensors: dict[str, NDArray[Any]] = {"windows": np.concatenate(windows), "redistributable": np.concatenate(free)}
    for number, store in enumerate(stores):
        if store.data_set.captions:
            own = [each if at == number else np.full_like(each, -1) for at, each in enumerate(shown)]
            tensors[f"captions.{store.data_set.name}"] = np.concatenate(own)
    try:
        run.mkdir(parents=True, exist_ok=True)
        replace_file(run / WINDOWS, to_safetensors(tensors))
    except OSError as error:
        raise RecipeError(
            f"{run}: cannot be written to: {error.strerror}. Choose another folder with --out."
        ) from error


def _generators(seed: int, epoch: int, process: Process) -> tuple[Generator, Generator]:
    """Of an epoch: the one that all processes share, and this one's own. The global one, which dropout draws from, is seeded too."""

    def mixed(*numbers: int) -> int:
        return int(np.random.SeedSequence([seed, epoch, *numbers]).generate_state(1, np.uint64)[0] >> np.uint64(1))

    torch.manual_seed(mixed(2, process.rank))
    return Generator().manual_seed(mixed(0)), Generator().manual_seed(mixed(1, process.rank))
