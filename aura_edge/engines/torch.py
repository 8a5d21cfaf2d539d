"""The encoder as training left it, run by torch without compilation: the reference that exported forms are compared with.

A bundle holds only what a device runs, so this engine opens a checkpoint. Importing this imports torch only when an engine is opened.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aura_edge.bundle import Bundle
from aura_edge.encoders import checkpoint
from aura_edge.engines import EngineInfo, require_windows
from aura_edge.errors import EngineError, require
from aura_edge.prototypes import require_same_space


class TorchEngine:
    """A checkpoint's encoder in evaluation mode; made by `open_torch`."""

    def __init__(self, opened: checkpoint.Checkpoint, info: EngineInfo) -> None:
        self.info = info
        self._torch = require("torch", extra="train")
        self._encoder: Any = opened.encoder
        self._window_samples = opened.header.signal.window_samples

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 6, n) float32 in SI units to (B, D) float32 of unit norm. Raises `EngineError` for any other type or shape."""
        if self._encoder is None:
            raise EngineError("this engine is closed. Open it again with open_torch().")
        require_windows(windows, self._window_samples)
        with self._torch.inference_mode():
            # A copy where the array may not be written to: torch has no read-only tensors.
            given = np.require(windows, requirements=["C", "W"])
            result: NDArray[np.float32] = self._encoder(self._torch.from_numpy(given)).numpy()
        return result

    def close(self) -> None:
        """Let the encoder go; closing twice is fine."""
        self._encoder = None


def open_torch(path: str | os.PathLike[str], *, threads: int = 1, bundle: Bundle | None = None) -> TorchEngine:
    """The encoder of the checkpoint in the folder `path`, on the CPU. `threads` holds for all of torch in this process.

    With `bundle`, it must be the checkpoint that the bundle was exported from. Raises `EngineError` for another one and for an impossible
    number of threads, `TextSpaceError` for one of another text space, `BundleError` for a checkpoint that cannot be read, and
    `MissingExtraError` where torch is not installed.
    """
    if threads < 1:
        raise EngineError(f"{threads} threads; expected 1 or more.")
    torch = require("torch", extra="train")
    opened = checkpoint.load(path)
    if bundle is not None:
        _require_same_model(opened, bundle)
    torch.set_num_threads(threads)
    info = EngineInfo(
        name="torch",
        device="cpu",
        precision="fp32",
        max_batch=None,
        weights=opened.header.weights_sha256,
        threads=threads,
    )
    return TorchEngine(opened, info)


def _require_same_model(opened: checkpoint.Checkpoint, bundle: Bundle) -> None:
    """The prototypes and decisions of a bundle hold for the encoder that it was exported from, and for no other."""
    header, manifest = opened.header, bundle.manifest
    require_same_space(header.text_space, manifest.text_space, found_in=opened.path, expected_by=bundle.path)
    exported = manifest.training.get("weights_sha256")
    if header.signal != manifest.signal or exported not in (None, header.weights_sha256):
        raise EngineError(
            f"{opened.path}: is not the checkpoint that {bundle.path} was exported from (weights {header.weights_sha256[:12]}..., the bundle's "
            f"came from {str(exported)[:12]}...). Name that one, or export this one: aura-edge export {opened.path} -o NAME.aura"
        )
