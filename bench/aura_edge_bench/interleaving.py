"""Times several engines against each other: in every round each is called once, in random order, on the same windows.

Engines that are timed one after the other are compared by what else the machine did meanwhile; in one round they share it.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aura_edge.engines import Engine
from aura_edge.errors import ParityError

WARM_UP_BLOCK = 10
"""Rounds whose median is compared with that of the rounds before."""
WARM_UP_CHANGE = 0.05
"""Warm when no engine's median changed by more than this share from one block to the next."""
WARM_UP_LIMIT = 300
"""Rounds after which measuring begins anyway."""


@dataclass(frozen=True, slots=True, eq=False)
class Rounds:
    """What was measured."""

    duration_ms: dict[str, NDArray[np.float64]]
    """By engine, (rounds,) in order: equal positions belong to one round."""
    warm_up_rounds: int
    stable: bool
    """Whether the warm-up ended because the durations no longer changed."""


def measure(
    engines: Mapping[str, Engine],
    windows: NDArray[np.float32],
    *,
    rounds: int,
    batch: int = 1,
    seed: int = 0,
    clock_ns: Callable[[], int] = time.perf_counter_ns,
    progress: Callable[[], None] = lambda: None,
) -> Rounds:
    """Call every engine `rounds` times on batches cut in turn from `windows` (N, 6, n), after a warm-up that is not counted."""
    if not len(windows) or not engines or rounds < 1 or batch < 1:
        raise ParityError(
            f"nothing to measure: {len(engines)} engines, {len(windows)} windows, {rounds} rounds of {batch}; at least one of each is needed."
        )
    rng = np.random.default_rng(seed)
    batches = _batches(windows, batch)

    def one_round(number: int) -> dict[str, float]:
        given = batches[number % len(batches)]
        taken = {}
        for name in rng.permutation(list(engines)):
            begin = clock_ns()
            engines[name].embed(given)
            taken[str(name)] = (clock_ns() - begin) / 1e6
        return taken

    with _no_collection():
        warm_up_rounds, stable = _warm_up(one_round, list(engines))
        found: dict[str, list[float]] = {name: [] for name in engines}
        for number in range(rounds):
            for name, duration in one_round(number).items():
                found[name].append(duration)
            progress()
    return Rounds({name: np.array(durations) for name, durations in found.items()}, warm_up_rounds, stable)


def _batches(windows: NDArray[np.float32], batch: int) -> list[NDArray[np.float32]]:
    """Every window in turn at the head of a batch, and as many as needed behind it."""
    rows = (np.arange(len(windows))[:, None] + np.arange(batch)) % len(windows)
    return [np.ascontiguousarray(windows[row]) for row in rows]


def _warm_up(one_round: Callable[[int], dict[str, float]], names: list[str]) -> tuple[int, bool]:
    before: dict[str, float] | None = None
    for done in range(0, WARM_UP_LIMIT, WARM_UP_BLOCK):
        block = [one_round(done + number) for number in range(WARM_UP_BLOCK)]
        median = {name: float(np.median([taken[name] for taken in block])) for name in names}
        if before is not None and all(abs(median[n] - before[n]) <= WARM_UP_CHANGE * before[n] for n in names):
            return done + WARM_UP_BLOCK, True
        before = median
    return WARM_UP_LIMIT, False


@contextmanager
def _no_collection() -> Iterator[None]:
    """The garbage collector strikes one engine with what another left behind: clean up before, and hold it off."""
    running = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
