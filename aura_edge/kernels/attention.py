"""Rungs 1 and 2, attention on packed queries, keys and values: how they are launched, and the same launch on the emulator."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import EngineError
from aura_edge.kernels import build
from aura_edge.kernels.emulated import SCHEDULES, Counts, Schedule

Rung = Literal["attention_naive", "attention_fused"]
QUERIES_PER_BLOCK: dict[Rung, int] = {"attention_naive": 128, "attention_fused": 64}
THREADS = 128
HEAD_SIZES = (32, 64)
MAX_TOKENS = 256
"""Kernels would take more; up to here the tests prove them."""
FIRST_ARCHITECTURE = 80
"""cp.async and mma.m16n8k16 came with compute capability 8.0."""


def require_sizes(shape: Sequence[int]) -> None:
    """Raise `EngineError` unless `shape` is (B, N, 3, H, d), none of them 0, with up to 256 tokens and heads of 32 or 64."""
    if (
        len(shape) != 5
        or min(shape) < 1
        or shape[1] > MAX_TOKENS
        or shape[2] != 3
        or shape[4] not in HEAD_SIZES
        or shape[3] > 65535
    ):
        raise EngineError(
            f"queries, keys and values have shape {tuple(shape)}; fused attention takes (B, N, 3, H, d) with 1 to {MAX_TOKENS} tokens and "
            f"heads of {' or '.join(map(str, HEAD_SIZES))}. Use scaled_dot_product_attention for others."
        )


def kernel_name(rung: Rung, head: int) -> str:
    """In the cubin of `rung`."""
    return f"aura_{rung}_{head}"


def grid(rung: Rung, shape: Sequence[int]) -> tuple[int, int, int]:
    """Blocks of `THREADS` threads: windows, heads, and as many as the queries need."""
    return shape[0], shape[3], -(-shape[1] // QUERIES_PER_BLOCK[rung])


def scale_log2(head: int) -> float:
    """What scores are multiplied by: 1 / sqrt(d), and log2(e), for the kernels compute powers of two."""
    return math.log2(math.e) / math.sqrt(head)


def emulate(
    rung: Rung,
    qkv: NDArray[np.float16],
    schedule: Schedule = "forward",
    *,
    sources: Path = build.SOURCES,
    cache: Path | None = None,
) -> tuple[NDArray[np.float16], Counts]:
    """Packed (B, N, 3, H, d) FP16 to (B, N, H, d) on the emulator, and what was counted.

    Raises `EngineError` for other shapes, and for what a kernel must not do: a deadlock, lanes that part ways, memory outside of a buffer.
    """
    require_sizes(qkv.shape)
    if qkv.dtype != np.float16:
        raise EngineError(f"queries, keys and values are {qkv.dtype}; expected float16. Convert them first.")
    batch, tokens, _, heads, head = qkv.shape
    packed = np.ascontiguousarray(qkv)
    out = np.empty((batch, tokens, heads, head), np.float16)
    counts = Counts()
    run: Any = build.emulated(rung, {}, sources=sources, cache=cache).aura_attention
    run.restype = ctypes.c_char_p
    error = run(
        ctypes.c_void_p(packed.ctypes.data),
        ctypes.c_void_p(out.ctypes.data),
        batch,
        tokens,
        heads,
        head,
        ctypes.c_float(scale_log2(head)),
        SCHEDULES.index(schedule),
        ctypes.byref(counts),
    )
    if error is not None:
        raise EngineError(f"the emulated kernel {rung!r} failed under schedule {schedule!r}: {error.decode()}.")
    return out, counts
