"""Whole engines on a GPU, from an array on the host to an array on the host: proven on the golden windows, then timed interleaved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aura_edge import bundle as bundles
from aura_edge.bundle import Bundle
from aura_edge.engines import open_engine
from aura_edge_bench.gpu_rows import Row, attempt, summary
from aura_edge_bench.interleaving import measure

ENGINES: tuple[tuple[str, str | None], ...] = (("ort", "cuda"), ("ort", "cpu"), ("trt", None), ("cuda", None))
"""Name, and execution provider of onnxruntime."""
LEAST_COSINE = 0.999


def engine_rows(opened: Bundle, *, checkpoint: Path | None, batches: tuple[int, ...], rounds: int) -> Iterator[Row]:
    """Each engine on each number of windows at once: what ran, how near it is to the golden vectors, how long a call takes."""
    for name, provider in ENGINES:
        label = f"{name}{f' {provider}' if provider else ''}, {opened.manifest.name}"
        for batch in batches:
            folder = checkpoint if name == "cuda" else None
            yield attempt(
                "engine", f"{label}, B {batch}", partial(_engine, opened, name, provider, folder, batch, rounds)
            )


def _engine(
    opened: Bundle, name: str, provider: str | None, checkpoint: Path | None, batch: int, rounds: int
) -> Mapping[str, Any]:
    windows, golden = bundles.load_golden(opened)
    engine = open_engine(name, opened, provider=provider, checkpoint=checkpoint)
    try:
        cosine = _least_cosine(engine.embed(windows), golden)
        durations = measure({name: engine}, windows, rounds=rounds, batch=batch).duration_ms[name]
        info = engine.info
        if info.name != name:
            raise RuntimeError(f"asked for the engine {name}, {info.name} on {info.device} ran")
    finally:
        engine.close()
    if not cosine >= LEAST_COSINE:
        raise ValueError(
            f"golden vectors come out at a cosine of {cosine:.6f}, accepted is {LEAST_COSINE}: it is not timed"
        )
    facts = summary(
        [float(each) for each in durations * 1000],
        device=info.device,
        precision=info.precision,
        golden_cosine_min=cosine,
    )
    return facts | {"windows_per_s": batch * 1e6 / facts["p50_us"]}


def _least_cosine(found: NDArray[np.float32], golden: NDArray[np.float32]) -> float:
    return float((found * golden).sum(1).min())
