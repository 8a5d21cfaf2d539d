"""Windows per second of our training loop, against a plain PyTorch loop that reads each window by itself and embeds text anew.

`python -m aura_edge_bench.train_throughput --data FOLDER` trains the same encoder on the same windows in the same batches with the same
optimiser, precision and threads: ours, and the plain loop (`plain_loop.py`) with each number of workers, embedding the sentences of each batch and
looking them up. All take turns; medians over the rounds are given, with the machine's facts. Validation is in none of them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Generator, Tensor

from aura_edge import encoders
from aura_edge.errors import RecipeError
from aura_edge.manifest import SignalSpec
from aura_edge.text import TextTower, open_tower
from aura_edge.user_cache import user_cache
from aura_edge_bench.comparison import Comparison, compare
from aura_edge_bench.machine import Machine, this_machine
from aura_edge_bench.plain_loop import PlainLoop, Windows, write_recordings
from aura_edge_train import corpus, datasets, recipe, sentences
from aura_edge_train.batches import Batcher
from aura_edge_train.corpus import Corpus, Draw
from aura_edge_train.datasets.store import Store, open_store
from aura_edge_train.learner import Learner
from aura_edge_train.recipe import Recipe

SCHEMA = 1
OURS = "ours"
WARM_UP_STEPS = 2


class Loop(Protocol):
    """What is timed."""

    def run(self, steps: int) -> tuple[float, float]:
        """Seconds that so many steps take, and seconds of these spent waiting for windows."""
        ...


class Speed(msgspec.Struct, frozen=True, kw_only=True):
    """One loop."""

    windows_per_s: float
    """Median over the rounds."""
    waiting: float
    """Share of its time that it waits for windows; median likewise."""
    windows_per_s_rounds: tuple[float, ...]


class TrainThroughput(msgspec.Struct, frozen=True, kw_only=True):
    """The result, as JSON gives it."""

    schema: int = SCHEMA
    benchmark: str = "train throughput"
    machine: Machine
    recipe: str
    data_sets: tuple[str, ...]
    encoder: str
    parameters: int
    text_tower: str
    precision: str
    batch: int
    steps: int
    """Of each loop in each round."""
    rounds: int
    threads: int
    seed: int
    speeds: dict[str, Speed]
    """By loop."""
    plain: Comparison
    """Ours against the fastest plain loop that embeds the sentences of each batch: above 1, ours is the faster."""
    plain_looking_up: Comparison
    """And against the fastest that has embedded them before."""


class OurLoop:
    """The inner part of `loop.fit`: its batches, and its steps."""

    def __init__(self, chosen: Recipe, batcher: Batcher, learner: Learner, draw: Draw) -> None:
        self._recipe, self._batcher, self._learner, self._draw = chosen, batcher, learner, draw
        self._phase = chosen.schedule[0]
        learner.begin(self._phase)

    def run(self, steps: int) -> tuple[float, float]:
        """See `Loop`."""
        plan, seed = self._recipe.optimisation, self._recipe.seed
        start_s, waited_s = time.perf_counter(), 0.0
        shared, own = Generator().manual_seed(seed), Generator().manual_seed(seed + 1)
        draw = self._draw.part(torch.randperm(len(self._draw), generator=shared)[: steps * plan.batch])
        batches = self._batcher.batches(draw, plan.batch, slice(0, plan.batch), shared, own, frozenset())
        for step in range(steps):
            asked_s = time.perf_counter()
            batch = next(batches)
            waited_s += time.perf_counter() - asked_s
            self._learner.step(batch, self._phase, plan.learning_rate, step)
        return time.perf_counter() - start_s, waited_s


def train_throughput(
    chosen: Recipe,
    stores: Sequence[Store],
    tower: TextTower,
    folder: Path,
    *,
    steps: int,
    rounds: int,
    workers: Sequence[int],
    threads: int,
    progress: Callable[[range], Iterable[int]] = lambda turns: turns,
) -> TrainThroughput:
    """Time `steps` steps of every loop, `rounds` times in random order; `folder` takes one file for each recording."""
    machine, samples, plan = this_machine(), SignalSpec().window_samples, chosen.optimisation
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    whole = corpus.build(stores, chosen.data, samples)
    draw = whole.epoch(Generator().manual_seed(chosen.seed))
    if len(draw) < steps * plan.batch or not workers or rounds < 1:
        raise RecipeError(
            f"nothing to time: {rounds} rounds of {steps} steps of {plan.batch} windows, out of {len(draw)}, by {len(workers)} plain loops. "
            "Ask for fewer steps, or for one round and one number of workers at least."
        )
    kind, options = chosen.encoder.resolved()
    spec = encoders.make_spec(kind, options | {"dimension": tower.space.dimension, "window_samples": samples})
    spoken = sentences.embed(tower, whole.captions)
    loops: dict[str, Loop] = {
        OURS: OurLoop(
            chosen,
            Batcher(whole, chosen, samples, spoken, None),
            Learner(chosen, {"imu": spec}, whole, torch.device("cpu")),
            draw,
        )
    }
    windows = Windows(write_recordings(folder, whole, draw), draw, samples, chosen.augmentation)
    texts = {
        "plain": embedding(tower, whole, chosen.seed),
        "plain, looking up": lambda rows: spoken.draw(torch.default_generator)[rows],
    }
    for name, text_of in texts.items():
        for count in workers:
            loops[f"{name}, {count} workers"] = PlainLoop(encoders.build(spec), windows, plan, text_of, count)
    try:
        taken, waited = _rounds(loops, steps, rounds, chosen.seed, progress)
    finally:
        torch.set_num_threads(before)
    return TrainThroughput(
        machine=machine,
        recipe=chosen.name,
        data_sets=tuple(entry.name for entry in chosen.data),
        encoder=spec.kind,
        parameters=spec.parameters,
        text_tower=tower.space.tower,
        precision=plan.precision,
        batch=plan.batch,
        steps=steps,
        rounds=rounds,
        threads=threads,
        seed=chosen.seed,
        speeds={
            name: Speed(
                windows_per_s=steps * plan.batch / float(np.median(taken[name])),
                waiting=float(np.median(waited[name] / taken[name])),
                windows_per_s_rounds=tuple((steps * plan.batch / taken[name]).tolist()),
            )
            for name in loops
        },
        plain=_against_fastest(taken, "plain", workers),
        plain_looking_up=_against_fastest(taken, "plain, looking up", workers),
    )


def embedding(tower: TextTower, whole: Corpus, seed: int) -> Callable[[Tensor], Tensor]:
    """Draws a sentence of each caption that it is given, and embeds those, each once."""
    rng = np.random.default_rng(seed)

    def text_of(captions: Tensor) -> Tensor:
        said = [whole.captions[row].sentences for row in captions.tolist()]
        different, places = np.unique([each[rng.integers(len(each))] for each in said], return_inverse=True)
        return torch.from_numpy(tower.embed(different.tolist())[places])

    return text_of


def _rounds(
    loops: dict[str, Loop], steps: int, rounds: int, seed: int, progress: Callable[[range], Iterable[int]]
) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """(rounds,) seconds by loop: in all, and waiting. The first turn warms up, and is not counted."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in loops}
    for turn in progress(range(rounds + 1)):
        for name in rng.permutation(list(loops)):
            timed = loops[name].run(steps if turn else min(steps, WARM_UP_STEPS))
            if turn:
                found[name].append(timed)
    taken, waited = ({name: np.array([each[at] for each in found[name]]) for name in loops} for at in (0, 1))
    return taken, waited


def _against_fastest(taken: dict[str, NDArray[np.float64]], name: str, workers: Sequence[int]) -> Comparison:
    names = [f"{name}, {count} workers" for count in workers]
    return compare(OURS, min(names, key=lambda each: float(np.median(taken[each]))), taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the recordings, with sisfall/ in it")
    parser.add_argument("--cache", type=Path, default=user_cache(), help="where resampled recordings are kept")
    parser.add_argument("--recipe", type=Path, default=Path("demo"))
    parser.add_argument("--set", default="sisfall", help="the data set of the recipe that is trained on")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], metavar="N")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    console = Console(stderr=True)
    loaded = recipe.load(chosen.recipe)
    kept = tuple(entry for entry in loaded.data if entry.name == chosen.set)
    if not kept:
        raise RecipeError(
            f"recipe {loaded.name} has no data set {chosen.set}; its sets are: {', '.join(e.name for e in loaded.data)}."
        )
    store = open_store(datasets.get(chosen.set), chosen.data, cache=chosen.cache, console=console)
    with tempfile.TemporaryDirectory() as folder:
        result = train_throughput(
            msgspec.structs.replace(loaded, data=kept),
            [store],
            open_tower(loaded.text_tower),
            Path(folder),
            steps=chosen.steps,
            rounds=chosen.rounds,
            workers=chosen.workers,
            threads=chosen.threads,
            progress=lambda turns: track(turns, "rounds", console=console, transient=True),
        )
    print(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())


if __name__ == "__main__":
    main()
