"""The benchmark `encode latency`: which engines run a bundle here, that they compute the same, and how long a call takes each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from aura_edge import bundle as bundles
from aura_edge.bundle import Bundle
from aura_edge.engines import Engine, open_engine
from aura_edge.engines.proof import prove
from aura_edge.errors import AuraEdgeError, EngineError
from aura_edge_bench.comparison import Comparison, Latency, compare, summarise
from aura_edge_bench.interleaving import measure
from aura_edge_bench.machine import Machine, this_machine

SCHEMA = 1
"""1: the first."""


class Settings(msgspec.Struct, frozen=True):
    """How it was measured."""

    rounds: int
    batch: int
    threads: int
    windows: int
    seed: int
    warm_up_rounds: int
    stable: bool


class EngineResult(msgspec.Struct, frozen=True):
    """One engine: what ran and how long it took, or why it did not."""

    engine: str
    device: str | None = None
    precision: str | None = None
    weights_sha256: str | None = None
    golden_max_abs: float | None = None
    """How far its golden embeddings were from those of the bundle, before it was timed."""
    latency: Latency | None = None
    duration_ms: tuple[float, ...] = ()
    """Of every round, in order."""
    unavailable: str | None = None
    """Why it could not run."""


class EncodeLatency(msgspec.Struct, frozen=True, kw_only=True):
    """The result, as it is written to JSON."""

    schema: int = SCHEMA
    benchmark: str = "encode latency"
    bundle: str
    model_sha256: str
    machine: Machine
    settings: Settings
    engines: tuple[EngineResult, ...]
    comparisons: tuple[Comparison, ...]
    """The first engine that runs against each of the others."""


def encode_latency(
    opened: Bundle,
    names: Sequence[str] = ("ort", "torch"),
    *,
    checkpoint: Path | None = None,
    provider: str | None = None,
    precision: str | None = None,
    windows: NDArray[np.float32] | None = None,
    rounds: int = 500,
    batch: int = 1,
    threads: int = 1,
    seed: int = 0,
    progress: Callable[[], None] = lambda: None,
) -> EncodeLatency:
    """Time the engines `names` (`ort`, or `ort:int8` for a precision of its own) on `windows` (N, 6, n), by default the golden ones of the
    bundle, which are real.

    An engine that cannot run here, or does not compute the golden embeddings, is in the result with the reason. Raises `EngineError` when
    that is all of them.
    """
    machine = this_machine()
    running: dict[str, Engine] = {}
    rows: dict[str, EngineResult] = {}
    try:
        for name in names:
            try:
                kind, _, asked = name.partition(":")
                own = provider if kind == "ort" else None
                # A checkpoint runs as it was trained.
                wanted = asked or (None if kind.startswith("torch") else precision)
                engine = open_engine(
                    kind, opened, threads=threads, provider=own, checkpoint=checkpoint, precision=wanted
                )
                running[name] = engine
                difference = prove(opened, engine).golden_max_abs
            except AuraEdgeError as error:
                rows[name] = EngineResult(name, unavailable=str(error))
                if name in running:
                    running.pop(name).close()
            else:
                info = engine.info
                rows[name] = EngineResult(name, info.device, info.precision, info.weights, difference)
        if not running:
            raise EngineError(f"no engine runs here. {' '.join(f'{n}: {row.unavailable}' for n, row in rows.items())}")
        given = bundles.load_golden(opened)[0] if windows is None else windows
        found = measure(running, given, rounds=rounds, batch=batch, seed=seed, progress=progress)
    finally:
        for engine in running.values():
            engine.close()
    for name, duration_ms in found.duration_ms.items():
        rows[name] = msgspec.structs.replace(
            rows[name], latency=summarise(duration_ms), duration_ms=tuple(duration_ms.tolist())
        )
    first, *others = running
    return EncodeLatency(
        bundle=opened.manifest.name,
        model_sha256=opened.model_digest,
        machine=machine,
        settings=Settings(rounds, batch, threads, len(given), seed, found.warm_up_rounds, found.stable),
        engines=tuple(rows.values()),
        comparisons=tuple(compare(first, other, found.duration_ms, seed=seed) for other in others),
    )
