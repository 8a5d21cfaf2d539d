"""The fastest engine that this machine has for a bundle: measured once, on the bundle's golden windows, and remembered.

Considered is what is installed and needs no minutes of building. A candidate must compute the golden embeddings before it is timed; of those
that do, the one wins that would have embedded ten minutes of a stream first, its own opening included: a back end that takes a second to load
must earn it. The first candidate, onnxruntime in FP32, stays unless another is clearly ahead.

With one candidate nothing is measured. Otherwise the decision is kept in the user's cache directory, under all that it depends on: the
bundle's models, the versions of the engines, the machine, the threads. Every later start reads it and opens that engine alone.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from statistics import median

import msgspec
import numpy as np
from numpy.typing import NDArray

from aura_edge.bundle import Bundle, load_golden
from aura_edge.engines import Engine, open_engine
from aura_edge.engines.candidates import Candidate, Installed, candidates_of, installed_here
from aura_edge.engines.proof import prove
from aura_edge.errors import AuraEdgeError, EngineError
from aura_edge.user_cache import user_cache
from aura_edge.whole_files import replace_file

SCHEMA = 1
STREAM_WINDOWS = 1200
"""Ten minutes with a window every half second: what the opening of an engine is set against."""
LEAD = 1.1
"""So much sooner than the first candidate must another be done."""
WARM_UP_CALLS, MAX_CALLS, BUDGET_S = 2, 40, 0.03
"""Of each candidate; at least three calls are timed, however long they take."""


class Timed(msgspec.Struct, frozen=True):
    """What became of one candidate."""

    candidate: Candidate
    open_s: float = 0.0
    """To load its packages and open it."""
    window_s: float = 0.0
    """To embed one window, median."""
    refused: str | None = None
    """Why it does not run, or is not trusted."""

    @property
    def stream_s(self) -> float:
        """To open it and embed ten minutes of a stream."""
        return self.open_s + STREAM_WINDOWS * self.window_s


class Choice(msgspec.Struct, frozen=True):
    """What was decided, as it is kept."""

    schema: int
    picked: Candidate
    timed: tuple[Timed, ...]


Open = Callable[[Candidate], Engine]


def open_fastest(
    bundle: Bundle,
    *,
    threads: int = 1,
    precision: str | None = None,
    installed: Installed | None = None,
    opener: Open | None = None,
    cache: Path | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Engine:
    """The engine that is the fastest here for `bundle`, in `precision` only where one is named; its info's note says why it is that one.

    What is installed, how a candidate is opened, where decisions are kept and the clock are this machine's own unless given. Raises
    `EngineError` where no candidate runs, with the reason of each.
    """
    found = installed or installed_here()
    considered = candidates_of(bundle, found, precision)
    opener = opener or _opener(bundle, threads)
    if not considered:
        raise EngineError(f"no engine that is installed here runs {bundle.path} in {precision}. Ask: aura-edge doctor")
    if len(considered) == 1:
        return _noted(opener(considered[0]), f"auto: {considered[0]} is all that is installed for it")
    kept = (cache or user_cache() / "engines") / f"{_key(bundle, threads, considered, found)}.json"
    choice = _read(kept)
    if choice is not None and choice.picked in considered:
        with suppress(AuraEdgeError):  # it ran when it was chosen: measured anew
            return _noted(opener(choice.picked), f"{_reason(choice)}; measured earlier")
    engine, choice = _measure(bundle, considered, opener, clock)
    with suppress(OSError):  # without a place to keep it, it is measured at every start
        kept.parent.mkdir(parents=True, exist_ok=True)
        replace_file(kept, msgspec.json.format(msgspec.json.encode(choice), indent=2) + b"\n")
    return _noted(engine, _reason(choice))


def choose(timed: Sequence[Timed]) -> Timed:
    """The one that is done first with ten minutes of a stream; the first that runs at all unless another is clearly ahead of it."""
    running = [each for each in timed if each.refused is None]
    if not running:
        raise EngineError(f"no engine runs here. {' '.join(f'{each.candidate}: {each.refused}' for each in timed)}")
    first, best = running[0], min(running, key=lambda each: each.stream_s)
    return best if best.stream_s * LEAD <= first.stream_s else first


def _measure(
    bundle: Bundle, considered: Sequence[Candidate], opener: Open, clock: Callable[[], float]
) -> tuple[Engine, Choice]:
    """The engine that won, open, and how all of them did; the others are closed again."""
    windows, _ = load_golden(bundle)
    engines: dict[Candidate, Engine] = {}
    timed: list[Timed] = []
    try:
        for candidate in considered:
            started = clock()
            try:
                engine = engines[candidate] = opener(candidate)
                opened = clock() - started
                prove(bundle, engine, singly=True)
            except AuraEdgeError as error:
                timed.append(Timed(candidate, refused=str(error)))
            else:
                timed.append(Timed(candidate, opened, _window_s(engine, windows, clock)))
        picked = choose(timed).candidate
        return engines.pop(picked), Choice(SCHEMA, picked, tuple(timed))
    finally:
        for engine in engines.values():
            engine.close()


def _window_s(engine: Engine, windows: NDArray[np.float32], clock: Callable[[], float]) -> float:
    taken: list[float] = []
    while len(taken) < WARM_UP_CALLS + 3 or (len(taken) < MAX_CALLS and sum(taken) < BUDGET_S):
        at = len(taken) % len(windows)
        started = clock()
        engine.embed(windows[at : at + 1])
        taken.append(clock() - started)
    return median(taken[WARM_UP_CALLS:])


def _reason(choice: Choice) -> str:
    """`auto: ort fp32, 1.31 ms a window and 0.03 s to open; openvino fp32 1.10 ms, 0.62 s`."""
    (picked,) = (each for each in choice.timed if each.candidate == choice.picked)
    others = [
        f"{each.candidate} {'does not run' if each.refused else f'{each.window_s * 1e3:.2f} ms, {each.open_s:.2f} s'}"
        for each in choice.timed
        if each is not picked
    ]
    return (
        f"auto: {picked.candidate}, {picked.window_s * 1e3:.2f} ms a window and {picked.open_s:.2f} s to open; "
        f"{', '.join(others)}"
    )


def _noted(engine: Engine, note: str) -> Engine:
    engine.info = replace(engine.info, note=". ".join(filter(None, (note, engine.info.note))))
    return engine


def _key(bundle: Bundle, threads: int, considered: Sequence[Candidate], found: Installed) -> str:
    models = {name: bundle.manifest.files[bundle.model(name)[0]].sha256 for name in bundle.precisions}
    content = msgspec.json.encode([SCHEMA, models, threads, considered, found], order="sorted")
    return hashlib.sha256(content).hexdigest()[:32]


def _read(kept: Path) -> Choice | None:
    try:
        choice = msgspec.json.decode(kept.read_bytes(), type=Choice)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):  # none, or one that was tampered with
        return None
    picked = [each for each in choice.timed if each.candidate == choice.picked]
    return choice if choice.schema == SCHEMA and len(picked) == 1 else None


def _opener(bundle: Bundle, threads: int) -> Open:
    def opener(candidate: Candidate) -> Engine:
        return open_engine(
            candidate.engine, bundle, threads=threads, provider=candidate.provider, precision=candidate.precision
        )

    return opener
