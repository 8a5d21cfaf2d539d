"""What turns windows into vectors: one small protocol, and a back end for each way to run a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


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
