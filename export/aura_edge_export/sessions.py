"""Graphs that are tried before they are anything: run by onnxruntime as bytes, and what their insides give."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aura_edge.engines.ort import INPUT, OUTPUT
from aura_edge.errors import require

BATCH = 64


def embed(
    content: bytes, windows: NDArray[np.float32], *, as_written: bool = False, batch: int = BATCH, name: str = INPUT
) -> NDArray[np.float32]:
    """(N, D) of (N, channels, n): one thread, in batches; `as_written` runs each node as the graph has it, nothing fused or left out."""
    (found,) = values(content, windows, [OUTPUT], as_written=as_written, batch=batch, name=name)
    return found


def values(
    content: bytes,
    windows: NDArray[np.float32],
    names: Sequence[str],
    *,
    as_written: bool = False,
    batch: int = BATCH,
    name: str = INPUT,
) -> list[NDArray[np.float32]]:
    """What the graph's outputs of these names give for all windows, joined along the first axis; `name` is its input."""
    ort = importlib.import_module("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if as_written:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    parts = [session.run(list(names), {name: windows[at : at + batch]}) for at in range(0, len(windows), batch)]
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def with_outputs(content: bytes, names: Sequence[str]) -> bytes:
    """The graph with these of its values as outputs."""
    onnx = require("onnx", extra="export")
    model = onnx.load_from_string(content)
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    changed: bytes = model.SerializeToString(deterministic=True)
    return changed
