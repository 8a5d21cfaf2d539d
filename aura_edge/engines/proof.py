"""Whether an engine computes here what a bundle says it must: asked before it is trusted with anything."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aura_edge import bundle as bundles
from aura_edge.bundle import Bundle, Verification
from aura_edge.engines import Engine
from aura_edge.errors import ParityError

COSINE = 0.999
"""Where an engine computes in a precision that the bundle has no model of, nothing is stated for the components; directions must hold."""


def prove(bundle: Bundle, engine: Engine, *, singly: bool = False) -> Verification:
    """Recompute the golden embeddings of `bundle` by `engine`, which runs it in the precision that its info says; one window at a time with
    `singly`, as a stream does.

    Raises `BundleError` for a changed file, and `ParityError` where they differ by more than the bundle accepts of that precision, or
    point elsewhere where the bundle has no model of it (bf16 by `openvino`, fp16 by `cuda`).
    """

    def embed(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        if not singly or engine.info.max_batch is not None:
            return engine.embed(windows)
        return np.concatenate([engine.embed(windows[i : i + 1]) for i in range(len(windows))])

    precision = engine.info.precision
    if precision in bundle.precisions:
        return bundles.verify(bundle, embed, precision)
    files = bundles.verify_files(bundle)
    inputs, expected = bundles.load_golden(bundle)
    if len(inputs) == 0 or expected.size == 0:
        raise ParityError(f"{bundle.path}: holds no golden windows, so nothing was compared. Export it again.")
    found = embed(inputs)
    if found.shape != expected.shape:
        raise ParityError(
            f"{bundle.path}: {engine.info.name} gave embeddings of shape {found.shape}, expected {expected.shape}. Export it again."
        )
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    worst = float(np.min(np.sum(found * expected, axis=1) / lengths))
    # Written so that NaN fails.
    if not worst >= COSINE:
        raise ParityError(
            f"{bundle.path}: golden embeddings computed in {precision} by {engine.info.name} have cosines down to {worst:.6f}; expected at "
            f"least {COSINE}. Run this bundle in fp32."
        )
    return Verification(files, len(inputs), float(np.max(np.abs(found - expected))))
