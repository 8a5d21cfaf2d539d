"""An encoder as an ONNX graph: one file, any number of windows, the same bytes each time, and nothing in it about who made it where."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aura_edge.engines.ort import INPUT, OUTPUT
from aura_edge.errors import ParityError, require
from aura_edge.types import CHANNELS

if TYPE_CHECKING:
    from torch import nn

OPSET = 18
"""The newest that every engine we serve takes; 23 would fuse attention into one node, which gains nothing on a CPU."""


def to_onnx(encoder: nn.Module, *, window_samples: int) -> bytes:
    """FP32 ONNX of `encoder`: `imu` (batch, 6, window_samples) to `embedding` (batch, D).

    Raises `ParityError` when torch cannot trace it or the result is no valid ONNX; whether it computes the same is for `parity` to say.
    """
    torch = require("torch", extra="export")
    onnx = require("onnx", extra="export")
    # Two windows: with one, the tracer takes the batch for a constant.
    example = torch.zeros(2, len(CHANNELS), window_samples)
    with _quiet():
        try:
            program = torch.onnx.export(
                encoder.eval(),
                (example,),
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=OPSET,
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                external_data=False,
                verbose=False,
            )
            model = _bare(program.model_proto)
            onnx.checker.check_model(model, full_check=True)
        except (
            torch.onnx.OnnxExporterError,
            onnx.checker.ValidationError,
            onnx.shape_inference.InferenceError,
        ) as error:
            raise ParityError(
                f"{type(encoder).__name__} does not become a valid ONNX graph: {error}. Look for an operation that depends on values."
            ) from error
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _bare(model: Any) -> Any:
    """Without traces: the exporter notes the source file and line of every node, with the paths of the machine it ran on."""
    model.doc_string = ""
    del model.metadata_props[:]
    graph = model.graph
    graph.doc_string = ""
    del graph.metadata_props[:]
    del graph.value_info[:]  # shapes between the nodes, which every engine infers for itself
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    model.metadata_props.add(key="precision", value="fp32")
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns about its own deprecations and logs about packages that nothing here needs."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
