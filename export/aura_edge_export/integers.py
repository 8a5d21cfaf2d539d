"""INT8 through onnxruntime's quantisation: which products are done in integers, and how the ranges of what they multiply are found.

    dynamic               each activation's range is taken when it is there, over all windows of a call
    static, percentile    ranges are fixed by real windows: 99.999 % of what was seen lies inside
    static, entropy       ... or where least information is lost (Migacz 2017, "8-bit inference with TensorRT")
    weights only          activations stay in FP32

Whatever the method, all large weights are stored in 8 bits; those that a method does not multiply in integers, as `weights_only` does. Weights
of integer products have 7 bits and a scale for each channel: with 8, processors without VNNI add two products in 16 bits and overflow.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aura_edge.engines.ort import INPUT
from aura_edge.errors import require
from aura_edge_export.graph import say_precision
from aura_edge_export.weights_only import weights_to_int8

Method = Literal["dynamic", "static, percentile", "static, entropy", "weights only"]
METHODS: tuple[Method, ...] = ("dynamic", "static, percentile", "static, entropy", "weights only")
PRODUCTS = ("MatMul", "Gemm")
PERCENTILE = 99.999
BATCH = 16
"""Windows that calibration looks at together: a multiple of it is used."""


def products(content: bytes) -> tuple[str, ...]:
    """Names of the nodes that multiply with a constant matrix, and so could do it in integers."""
    onnx = require("onnx", extra="export")
    graph = onnx.load_from_string(content).graph
    constants = {tensor.name for tensor in graph.initializer}
    return tuple(node.name for node in graph.node if node.op_type in PRODUCTS and node.input[1] in constants)


def to_int8(content: bytes, method: Method, raised: Collection[str], calibration: NDArray[np.float32]) -> bytes:
    """The FP32 graph with its weights in 8 bits, and its products in integers but for those named in `raised`."""
    onnx = require("onnx", extra="export")
    quantization = importlib.import_module("onnxruntime.quantization")
    names = [name for name in products(content) if name not in raised]
    lowered = content
    if method != "weights only" and names:
        shared = {
            "op_types_to_quantize": list(PRODUCTS),
            "nodes_to_quantize": names,
            "per_channel": True,
            "reduce_range": True,
            "weight_type": quantization.QuantType.QInt8,
        }
        with tempfile.TemporaryDirectory() as scratch, _quiet():
            path = Path(scratch) / "lowered.onnx"
            model = onnx.load_from_string(content)
            if method == "dynamic":
                quantization.quantize_dynamic(model, path, **shared)
            else:
                quantization.quantize_static(
                    model,
                    path,
                    _reader(calibration),
                    quant_format=quantization.QuantFormat.QDQ,
                    activation_type=quantization.QuantType.QUInt8,
                    calibrate_method={
                        "static, percentile": quantization.CalibrationMethod.Percentile,
                        "static, entropy": quantization.CalibrationMethod.Entropy,
                    }[method],
                    # What a product gives stays as exact as it is: the next one has a range of its own.
                    extra_options={
                        "OpTypesToExcludeOutputQuantization": list(PRODUCTS),
                        "CalibPercentile": PERCENTILE,
                    },
                    **shared,
                )
            lowered = path.read_bytes()
    model = onnx.load_from_string(weights_to_int8(lowered))
    del model.graph.value_info[:]
    model.producer_name, model.producer_version, model.doc_string = "", "", ""
    say_precision(model, "int8")
    written: bytes = model.SerializeToString(deterministic=True)
    return written


def _reader(windows: NDArray[np.float32]) -> Any:
    """onnxruntime asks for one input after the other; all must be of one size."""
    from onnxruntime.quantization import CalibrationDataReader

    whole = windows[: max(BATCH, len(windows) // BATCH * BATCH)]
    batches = iter([{INPUT: whole[at : at + BATCH]} for at in range(0, len(whole), BATCH)])

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            return next(batches, None)

    return Reader()


@contextmanager
def _quiet() -> Iterator[None]:
    """onnxruntime prints its progress, and advises to prepare graphs in a way that these need not."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(disabled)
