"""Encoders with weights that the tests of the kernels share: the presets away from where training starts, and the shipped demo's own."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from numpy.typing import NDArray

from aura_edge import bundle, encoders
from aura_edge.bundle import Bundle
from aura_edge.commands.stream import DEMO_BUNDLE, demo_file
from aura_edge.encoders import presets
from aura_edge.manifest import EncoderSpec

Tensors = dict[str, NDArray[Any]]


def made(kind: str, options: dict[str, Any]) -> tuple[EncoderSpec, Any, Tensors]:
    """A spec, its module with weights away from where they start, and those weights."""
    torch = pytest.importorskip("torch")
    spec = encoders.make_spec(kind, options)
    torch.manual_seed(1)
    module = encoders.build(spec)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "norm" in name or "bias" in name or "positions" in name:
                parameter += 0.2 * torch.randn_like(parameter)
    return spec, module, {name: tensor.numpy() for name, tensor in module.state_dict().items()}


@cache
def preset(name: str, **options: Any) -> tuple[EncoderSpec, Any, Tensors]:
    """`made` of a preset; of 384 dimensions where it does not say."""
    return made(*presets.resolve(name, {"dimension": 384} | options if name.startswith("edge") else options))


@cache
def demo() -> tuple[Bundle, EncoderSpec, Tensors]:
    """The shipped bundle and its encoder's weights by parameter name, taken out of its ONNX graph."""
    onnx = pytest.importorskip("onnx")
    shipped = bundle.load(demo_file(DEMO_BUNDLE))
    graph = onnx.load_from_string(shipped.read(shipped.manifest.model)).graph
    arrays = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    named = {name: array for name, array in arrays.items() if name.split(".")[-1] in ("weight", "bias")}
    # Matrices that the exporter transposed lost their names; in the order of the graph they are these.
    products = [
        arrays[node.input[1]].T
        for node in graph.node
        if node.op_type == "MatMul" and node.input[1] in arrays and node.input[1] not in named
    ]
    depth = shipped.manifest.encoder.options["depth"]
    lost = ["stems.0.mix", "stems.1.gates", "stems.1.partner", "stems.1.mix", "stems.2.mix"]
    lost += [f"blocks.{block}.{part}" for block in range(depth) for part in ("qkv", "out", "up", "down")] + ["pools"]
    assert len(products) == len(lost)
    tensors = named | {f"{name}.weight": matrix for name, matrix in zip(lost, products, strict=True)}
    tokens, width = 50, shipped.manifest.encoder.options["width"]
    (tensors["positions"],) = (array for array in arrays.values() if array.shape == (tokens, width))
    return shipped, shipped.manifest.encoder, tensors
