"""Encoders small enough to be traced in seconds, of each kind, and their graphs; made once for all tests of a process."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

SAMPLES = 200
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "edge": ("transformer", {"dimension": 8, "width": 64, "depth": 1, "heads": 2, "attention_pools": 2, "channel_filters": 16}),
    "senvt": ("senvt_released", {"dimension": 8, "width": 64, "depth": 1, "heads": 2}),
    "imu2clip": (
        "cnn_rnn",
        {"dimension": 16, "gru_axis": "time", "pool": "max", "kernels": [4, 3], "pools": [3, 3], "filters": 8},
    ),
}  # fmt: skip


@cache
def encoder_of(name: str) -> Any:
    """Random weights, the same each time."""
    torch = pytest.importorskip("torch", reason="exports torch modules; it comes with aura-edge[export]")
    from aura_edge import encoders

    kind, options = KINDS[name]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return encoders.build(encoders.make_spec(kind, options | {"window_samples": SAMPLES}))


@cache
def graph_of(name: str) -> bytes:
    """FP32 ONNX of it."""
    pytest.importorskip("onnxscript", reason="torch's exporter needs it; it comes with aura-edge[export]")
    from aura_edge_export.graph import to_onnx

    return to_onnx(encoder_of(name), window_samples=SAMPLES)
