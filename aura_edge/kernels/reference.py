"""Rung 0: attention on packed queries, keys and values, in float64 with numpy. What every other rung is compared with.

It is the definition, softmax(Q K^T / sqrt(d)) V (Vaswani et al. 2017, arXiv 1706.03762), with the whole matrix of scores in memory: for one window of
126 tokens and 6 heads that is 760 KB written and read three times, to make 97 KB of output. That waste is what the rungs above do away with.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import EngineError


def attention(qkv: NDArray[Any]) -> NDArray[np.float64]:
    """Packed queries, keys and values (B, N, 3, H, d) to (B, N, H, d). Raises `EngineError` for another shape."""
    if qkv.ndim != 5 or qkv.shape[2] != 3 or 0 in qkv.shape:
        raise EngineError(
            f"queries, keys and values have shape {qkv.shape}; expected (B, N, 3, H, d), packed in this order, with none of them 0."
        )
    queries, keys, values = (qkv[:, :, part].astype(np.float64).transpose(0, 2, 1, 3) for part in range(3))
    scores = queries @ keys.transpose(0, 1, 3, 2) / np.sqrt(qkv.shape[-1])
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = weights / weights.sum(-1, keepdims=True) @ values
    return np.ascontiguousarray(mixed.transpose(0, 2, 1, 3), np.float64)
