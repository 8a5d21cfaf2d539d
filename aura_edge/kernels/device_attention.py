"""Rungs 1 and 2 on a GPU: compiled for it, loaded once, launched on whatever stream the caller's work is on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aura_edge.cuda import Driver
from aura_edge.errors import EngineError
from aura_edge.kernels import build
from aura_edge.kernels.attention import (
    FIRST_ARCHITECTURE,
    HEAD_SIZES,
    THREADS,
    Rung,
    grid,
    kernel_name,
    require_sizes,
    scale_log2,
)


class DeviceAttention:
    """The kernel of one rung on one GPU. Raises `EngineError` where the GPU is too old, or the kernel cannot be compiled for it."""

    def __init__(self, driver: Driver, rung: Rung = "attention_fused", *, cache: Path | None = None) -> None:
        major, minor = driver.device.compute_capability
        if major * 10 + minor < FIRST_ARCHITECTURE:
            raise EngineError(
                f"{driver.device.name} has compute capability {major}.{minor}; the kernels need 8.0 or later (Ampere: Jetson Orin, RTX 30). "
                "Use --engine ort or trt."
            )
        self.rung = rung
        self._driver = driver
        self._module: int | None = driver.load_module(build.cubin(rung, {}, major * 10 + minor, cache=cache))
        self._functions = {head: driver.function(self._module, kernel_name(rung, head)) for head in HEAD_SIZES}

    def launch(self, qkv: int, out: int, shape: Sequence[int], stream: int) -> None:
        """Queue attention on the packed FP16 values at address `qkv`, (B, N, 3, H, d), to `out`, (B, N, H, d).

        `qkv` must be aligned to 16 bytes and both contiguous. Raises `EngineError` for other sizes.
        """
        require_sizes(shape)
        if qkv % 16 or out % 4:
            raise EngineError(f"addresses {qkv:#x} and {out:#x} must be multiples of 16 and 4 bytes. Copy the values.")
        arguments = (
            np.uint64(qkv),
            np.uint64(out),
            np.int32(shape[1]),
            np.int32(shape[3]),
            np.float32(scale_log2(shape[4])),
        )
        function = self._functions[shape[4]]
        self._driver.launch(function, grid(self.rung, shape), (THREADS, 1, 1), arguments, stream=stream)

    def close(self) -> None:
        """Unload it; whatever was queued must be done. Closing twice is fine."""
        if self._module is not None:
            self._driver.unload_module(self._module)
            self._module = None
