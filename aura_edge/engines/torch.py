"""The encoder as training left it, run by torch: plainly, the reference that exported forms are compared with, or compiled by it.

A bundle holds only what a device runs, so this engine opens a checkpoint. Importing this imports torch only when an engine is opened.
"""

from __future__ import annotations

import os
import shutil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aura_edge.bundle import Bundle
from aura_edge.encoders import checkpoint
from aura_edge.engines import EngineInfo, require_windows
from aura_edge.errors import EngineError, require
from aura_edge.prototypes import require_same_space
from aura_edge.types import CHANNELS


class TorchEngine:
    """A checkpoint's encoder in evaluation mode; made by `open_torch`."""

    def __init__(self, opened: checkpoint.Checkpoint, encoder: Any, info: EngineInfo) -> None:
        """`encoder` is that of `opened`, or what torch compiled of it."""
        self.info = info
        self._torch = require("torch", extra="train")
        self._encoder: Any = encoder
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


def open_torch(
    path: str | os.PathLike[str], *, threads: int = 1, bundle: Bundle | None = None, compiled: bool = False
) -> TorchEngine:
    """The encoder of the checkpoint in the folder `path`, on the CPU. `threads` holds for all of torch in this process.

    With `bundle`, it must be the checkpoint that the bundle was exported from. With `compiled`, torch turns it into C++ and compiles that for
    one window before this returns, which takes a minute the first time; another number of windows takes that long once more.

    Raises `EngineError` for another checkpoint, an impossible number of threads, and a compiler that is not there or fails; `TextSpaceError`
    for a checkpoint of another text space, `BundleError` for one that cannot be read, and `MissingExtraError` where torch is not installed.
    """
    if threads < 1:
        raise EngineError(f"{threads} threads; expected 1 or more.")
    torch = require("torch", extra="train")
    opened = checkpoint.load(path)
    if bundle is not None:
        _require_same_model(opened, bundle)
    torch.set_num_threads(threads)
    info = EngineInfo(
        name="torch-compiled" if compiled else "torch",
        device="cpu",
        precision="fp32",
        max_batch=None,
        weights=opened.header.weights_sha256,
        threads=threads,
    )
    encoder = _compiled(torch, opened) if compiled else opened.encoder
    return TorchEngine(opened, encoder, info)


def _compiled(torch: Any, opened: checkpoint.Checkpoint) -> Any:
    """The encoder as C++, compiled and run once: torch compiles at the first call, which would be the first window of a stream."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise EngineError(
            f"torch compiles encoders with a C++ compiler, and {compiler} was not found. Install it (Debian and Ubuntu: sudo apt install g++), "
            "name another with CXX, or say --engine torch."
        )
    encoder = torch.compile(opened.encoder)
    try:
        with torch.inference_mode():
            encoder(torch.zeros(1, len(CHANNELS), opened.header.signal.window_samples))
    except Exception as error:  # what torch's compiler raises is wrapped differently from release to release
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EngineError(
            f"torch {torch.__version__} cannot compile the encoder of {opened.path}: {reason}. Say --engine torch, or ort."
        ) from error
    return encoder


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
