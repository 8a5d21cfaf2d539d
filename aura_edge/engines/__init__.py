"""What turns windows into vectors: one small protocol, and a back end for each way to run a model."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from aura_edge.bundle import Bundle
from aura_edge.errors import EngineError
from aura_edge.types import CHANNELS

ENGINES = ("auto", "ort", "torch")
"""What `open_engine` takes; `auto` is the best that runs the bundle with what a device has installed: `ort`."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What really runs, as opposed to what was asked for."""

    name: str
    """`ort`, `torch`."""
    device: str
    """`cpu`, `cuda:0`; for onnxruntime with the execution provider that runs: `cpu (CPUExecutionProvider)`."""
    precision: str
    """`fp32`, `fp16`, `int8`."""
    max_batch: int | None
    """Largest batch of one call; None where any fits."""
    weights: str
    """sha256 of the weights file it runs."""
    threads: int = 1


class Engine(Protocol):
    """Windows in, unit vectors out."""

    info: EngineInfo

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 6, n) float32 in SI units to (B, D) float32 of unit norm."""
        ...

    def close(self) -> None: ...


def require_windows(windows: NDArray[np.float32], samples: int) -> None:
    """Raise `EngineError` unless these are float32 windows (B, 6, samples), at least one."""
    shape = (len(CHANNELS), samples)
    if windows.dtype != np.float32 or windows.ndim != 3 or windows.shape[1:] != shape or not len(windows):
        raise EngineError(
            f"windows are {windows.dtype} of shape {windows.shape}; expected float32 of shape (B, {shape[0]}, {shape[1]}) with B at least "
            "1, in m/s2 and rad/s."
        )


def open_engine(
    name: str,
    bundle: Bundle,
    *,
    threads: int = 1,
    provider: str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Engine:
    """The engine `name` (one of `ENGINES`) for `bundle`, its packages imported here and not before.

    `provider` is onnxruntime's execution provider (`cpu`, `cuda`, ...); `checkpoint` is the run folder that the bundle was exported from,
    which `torch` needs because a bundle holds no torch weights. Raises `EngineError` for what cannot run here, or not as asked.
    """
    if name not in ENGINES:
        raise EngineError(f"no engine {name!r}; expected one of {', '.join(ENGINES)}.")
    if name == "torch":
        if checkpoint is None:
            raise EngineError(
                "the torch engine runs a checkpoint, not a bundle: name the run folder with --checkpoint."
            )
        if provider is not None:
            raise EngineError(
                f"the torch engine takes no execution provider, found {provider!r}: that is for --engine ort."
            )
        from aura_edge.engines.torch import open_torch

        return open_torch(checkpoint, threads=threads, bundle=bundle)
    from aura_edge.engines.ort import open_ort

    return open_ort(bundle, threads=threads, provider=provider)
