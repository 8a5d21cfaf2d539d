"""An encoder as an ONNX graph: one file, any number of windows, the same bytes each time, and nothing in it about who made it where."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aura_edge.engines.ort import INPUT, OUTPUT
from aura_edge.errors import ParityError, require
from aura_edge.types import CHANNELS
from aura_edge_export import layers
from aura_edge_export.folding import fold
from aura_edge_export.gelu import halve_last

if TYPE_CHECKING:
    from torch import nn

OPSET = 18
"""The newest that every engine we serve takes; 23 would fuse attention into one node, which gains nothing on a CPU."""


def to_onnx(encoder: nn.Module, *, window_samples: int, channels: int = len(CHANNELS), name: str = INPUT) -> bytes:
    """FP32 ONNX of `encoder`: `imu` (batch, 6, window_samples), or another modality's `name` and `channels`, to `embedding` (batch, D).

    Raises what `trace` raises.
    """
    torch = require("torch", extra="export")
    # Two windows: with one, the tracer takes the batch for a constant.
    example = torch.zeros(2, channels, window_samples)
    return trace(encoder, example, inputs=[name], outputs=[OUTPUT], dynamic=({0: torch.export.Dim("batch")},))


def trace(module: nn.Module, example: Any, *, inputs: Sequence[str], outputs: Sequence[str], dynamic: Any) -> bytes:
    """FP32 ONNX of `module` as it computes `example`; `dynamic` says which dimensions are free, as torch takes it.

    Raises `ParityError` when torch cannot trace it or the result is no valid ONNX; whether it computes the same is for `parity` to say.
    """
    torch = require("torch", extra="export")
    onnx = require("onnx", extra="export")
    with _quiet():
        try:
            program = torch.onnx.export(
                module.eval(),
                (example,),
                input_names=list(inputs),
                output_names=list(outputs),
                opset_version=OPSET,
                dynamo=True,
                dynamic_shapes=dynamic,
                external_data=False,
                verbose=False,
            )
            model = program.model_proto
            layers.name_nodes(model.graph)
            model = _bare(model)
            fold(model)
            halve_last(model)
            _require_resetting_before(model)
            onnx.checker.check_model(model, full_check=True)
        except (
            torch.onnx.OnnxExporterError,
            onnx.checker.ValidationError,
            onnx.shape_inference.InferenceError,
        ) as error:
            raise ParityError(
                f"{type(module).__name__} does not become a valid ONNX graph: {error}. Look for an operation that depends on values."
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
    say_precision(model, "fp32")
    return model


def say_precision(model: Any, precision: str) -> None:
    """Note it in the graph: engines report what a graph says of itself."""
    kept = [entry for entry in model.metadata_props if entry.key != "precision"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key="precision", value=precision)


def _require_resetting_before(model: Any) -> None:
    """torch's GRU resets the product with the state; ONNX's own default resets the state before it, and exporters have written that."""
    for node in model.graph.node:
        if node.op_type == "GRU" and not any(a.name == "linear_before_reset" and a.i == 1 for a in node.attribute):
            raise ParityError(
                f"{node.name}: was written without linear_before_reset=1, which computes another GRU than torch's. Update torch and onnxscript."
            )


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
