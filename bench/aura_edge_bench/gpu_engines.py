"""Whole engines on a GPU, from an array on the host to an array on the host: proven on the golden windows, then timed interleaved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aura_edge import bundle as bundles
from aura_edge.bundle import Bundle
from aura_edge.engines import Engine, open_engine
from aura_edge_bench.gpu_rows import Row, attempt, summary
from aura_edge_bench.interleaving import measure

ENGINES: tuple[tuple[str, str | None], ...] = (("ort", "cuda"), ("ort", "cpu"), ("trt", None), ("cuda", None))
"""Name, and execution provider of onnxruntime."""
LEAST_COSINE = 0.999


def engine_rows(
    opened: Bundle,
    *,
    checkpoint: Path | None,
    batches: tuple[int, ...],
    rounds: int,
    opener: Callable[..., Engine] = open_engine,
) -> Iterator[Row]:
    """Each engine on each number of windows at once: what ran, how near it is to the golden vectors, how long a call takes. All that run take
    turns, so that they share what the machine does meanwhile."""
    windows, golden = bundles.load_golden(opened)
    running: dict[str, Engine] = {}
    cosines: dict[str, float] = {}
    try:
        for name, provider in ENGINES:
            label = f"{name}{f' {provider}' if provider else ''}, {opened.manifest.name}"

            def begin(label: str = label, name: str = name, provider: str | None = provider) -> Mapping[str, Any]:
                folder = checkpoint if name == "cuda" else None
                running[label] = opener(name, opened, provider=provider, checkpoint=folder)
                cosines[label] = _proven(running[label], name, windows, golden)
                return {"golden_cosine_min": cosines[label]}

            row = attempt("engine", label, begin)
            if row.unavailable is not None:
                if label in running:
                    running.pop(label).close()
                yield row
        for batch in batches:
            found = measure(running, windows, rounds=rounds, batch=batch).duration_ms if running else {}
            for label, durations in found.items():
                facts = partial(_facts, running[label], cosines[label], durations, batch)
                yield attempt("engine", f"{label}, B {batch}", facts)
    finally:
        for engine in running.values():
            engine.close()


def _proven(engine: Engine, name: str, windows: NDArray[np.float32], golden: NDArray[np.float32]) -> float:
    """The least cosine with the golden vectors; raises where that is too low, or another engine ran than was asked for."""
    if engine.info.name != name:
        raise RuntimeError(f"asked for the engine {name}, {engine.info.name} on {engine.info.device} ran")
    cosine = _least_cosine(engine.embed(windows), golden)
    if not cosine >= LEAST_COSINE:
        raise ValueError(
            f"golden vectors come out at a cosine of {cosine:.6f}, accepted is {LEAST_COSINE}: it is not timed"
        )
    return cosine


def _facts(engine: Engine, cosine: float, durations_ms: NDArray[np.float64], batch: int) -> Mapping[str, Any]:
    facts = summary(
        [float(each) for each in durations_ms * 1000],
        device=engine.info.device,
        precision=engine.info.precision,
        golden_cosine_min=cosine,
    )
    return facts | {"windows_per_s": batch * 1e6 / facts["p50_us"]}


def _least_cosine(found: NDArray[np.float32], golden: NDArray[np.float32]) -> float:
    return float((found * golden).sum(1).min())
