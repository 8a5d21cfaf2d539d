"""What turns windows into vectors: one small protocol, and a back end for each way to run a model."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from aura_edge.bundle import FP32, Bundle
from aura_edge.errors import EngineError
from aura_edge.types import CHANNELS

ENGINES = ("auto", "ort", "openvino", "torch", "torch-compiled", "trt", "cuda")
"""What `open_engine` takes; `auto` measures once which of those that are installed is the fastest (see `auto`)."""
BF16 = "bf16"
"""A precision that no bundle has a model of: an engine computes the FP32 one so."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What really runs, as opposed to what was asked for."""

    name: str
    """One of `ENGINES`, but never `auto`."""
    device: str
    """`cpu`, `cuda:0`; for onnxruntime with the execution provider that runs: `cpu (CPUExecutionProvider)`."""
    precision: str
    """`fp32`, or which other of the bundle's precisions; `bf16` where the engine computes its FP32 model so."""
    max_batch: int | None
    """Largest batch of one call; None where any fits."""
    weights: str
    """sha256 of the weights file it runs."""
    threads: int = 1
    note: str = ""
    """What the other fields do not say, in one line: why it was picked, or that it computes otherwise than the model's precision says."""


class Engine(Protocol):
    """Windows in, unit vectors out."""

    info: EngineInfo

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 6, n) float32 in SI units to (B, D) float32 of unit norm."""
        ...

    def close(self) -> None: ...


def require_windows(windows: NDArray[np.float32], samples: int, *, batch: int | None = None) -> None:
    """Raise `EngineError` unless these are float32 windows (B, 6, samples), at least one, and `batch` of them where that is not None."""
    shape = (len(CHANNELS), samples)
    if windows.dtype != np.float32 or windows.ndim != 3 or windows.shape[1:] != shape or not len(windows):
        raise EngineError(
            f"windows are {windows.dtype} of shape {windows.shape}; expected float32 of shape (B, {shape[0]}, {shape[1]}) with B at least "
            "1, in m/s2 and rad/s."
        )
    if batch is not None and len(windows) != batch:
        raise EngineError(
            f"{len(windows)} windows for a model that takes {batch} at a time. Give so many, or open the bundle's fp32 model, which takes any."
        )


def open_engine(
    name: str,
    bundle: Bundle,
    *,
    threads: int = 1,
    provider: str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    precision: str | None = None,
) -> Engine:
    """The engine `name` (one of `ENGINES`) for `bundle`, its packages imported here and not before.

    `precision` is one that the bundle has a model of, or `bf16` for `openvino`. Where it is None, `ort`, `openvino` and `torch` run FP32, whose
    numbers are the reference, `trt` and `cuda` FP16 where they can, and `auto` the fastest that is proven here.

    `provider` is onnxruntime's execution provider (`cpu`, `cuda`, ...), and makes `auto` mean `ort`. `checkpoint` is the run folder that the
    bundle was exported from, which the engines of torch run, and `cuda` where the bundle was exported without weights for it. Raises
    `EngineError` for what cannot run here, or not as asked.
    """
    if name not in ENGINES:
        raise EngineError(f"no engine {name!r}; expected one of {', '.join(ENGINES)}.")
    if provider is not None and name not in ("auto", "ort"):
        raise EngineError(
            f"the {name} engine takes no execution provider, found {provider!r}: that is for --engine ort."
        )
    if name.startswith("torch"):
        return _open_torch(name, bundle, threads, checkpoint, precision)
    if name == "openvino":
        from aura_edge.engines.openvino import open_openvino

        return open_openvino(bundle, threads=threads, precision=precision or FP32)
    if name == "trt":
        from aura_edge.engines.trt import open_trt

        return open_trt(bundle, precision=precision)
    if name == "cuda":
        from aura_edge.engines.cuda import open_cuda

        return open_cuda(bundle, precision=precision, checkpoint=checkpoint)
    if name == "auto" and provider is None:
        from aura_edge.engines.auto import open_fastest

        return open_fastest(bundle, threads=threads, precision=precision)
    from aura_edge.engines.ort import open_ort

    return open_ort(bundle, threads=threads, provider=provider, precision=precision or FP32)


def _open_torch(
    name: str, bundle: Bundle, threads: int, checkpoint: str | os.PathLike[str] | None, precision: str | None
) -> Engine:
    if checkpoint is None:
        raise EngineError(f"the {name} engine runs a checkpoint, not a bundle: name the run folder with --checkpoint.")
    if precision not in (None, FP32):
        raise EngineError(
            f"the {name} engine runs a checkpoint in {FP32}, found --precision {precision}. Leave it out."
        )
    from aura_edge.engines.torch import open_torch

    return open_torch(checkpoint, threads=threads, bundle=bundle, compiled=name == "torch-compiled")
