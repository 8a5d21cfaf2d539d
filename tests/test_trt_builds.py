"""The real builder of TensorRT for RTX, which needs no GPU: it takes every shipped encoder, and fuses every attention.

Kernels are counted, since at one window their number is the time: each costs microseconds to launch. What they do is not proven here, because
running an engine needs a GPU: that is what `aura-edge bundle verify --engine trt` does on the target.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from aura_edge import bundle, encoders, testing
from aura_edge.encoders import presets
from aura_edge.engines.trt import build_plan
from aura_edge.engines.trt.building import ATTENTION
from aura_edge.engines.trt.library import find_library
from aura_edge.errors import EngineError
from aura_edge.manifest import EncoderSpec

pytest.importorskip(
    "tensorrt_rtx", reason="tensorrt-rtx is not installed: pip install tensorrt-rtx (proprietary, by NVIDIA)"
)

CAPABILITIES = ("8.0", "8.6", "8.9", "12.0")
COUNTED = "1.7.1"
"""The version whose kernels are counted below; another one may well find better ones."""
TESTS = Path(__file__).resolve().parent

EDGE = {"dimension": 384}
CHOSEN = {
    "edge-xs": EDGE,
    "edge-l": EDGE,
    "aura": {},
    "imu2clip": {"gru_axis": "channel", "pool": "max"},
}
KERNELS = {
    "demo": (4, 68, 60),
    "edge-xs": (3, 58, 50),
    "edge-l": (6, 88, 80),
    "aura": (6, 49, 50),
    "imu2clip": (0, 83, 52),
}
"""Attention layers; kernels of the profile for one window, and of that for up to 64."""


def spec_of(name: str) -> EncoderSpec:
    if name == "demo":  # which is `edge`
        return bundle.load(Path(str(resources.files("aura_edge") / "data" / "demo.aura"))).manifest.encoder
    return encoders.make_spec(*presets.resolve(name, CHOSEN[name]))


def fp16_graph(name: str) -> bytes:
    """As `aura-edge export` writes it, but for the layers that it keeps in FP32 because of what training made of them."""
    onnx = pytest.importorskip("onnx")
    torch = pytest.importorskip("torch")
    from aura_edge_export.graph import to_onnx
    from aura_edge_export.half import to_half
    from aura_edge_export.layers import head

    torch.manual_seed(0)
    content = to_onnx(encoders.build(spec_of(name)), window_samples=1000)
    return to_half(content, head(onnx.load_from_string(content).graph))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Builds by name, for all GPUs."""

    def builder(name: str, content: bytes) -> dict[str, Any]:
        model = tmp_path_factory.mktemp(name) / "model.onnx"
        model.write_bytes(content)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, str(TESTS / "trt_building.py"), str(model), *CAPABILITIES]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    return builder


@pytest.mark.slow
@pytest.mark.timeout(900)  # seconds of work, and a builder that waits long for a busy machine
@pytest.mark.parametrize("name", KERNELS)
def test_every_encoder_is_built_for_every_gpu(built: Any, name: str) -> None:
    """In FP16, for SM80, 86, 89 and 120: all attention is fused, one kernel a layer, in both profiles, and the kernels are as many as known."""
    attention, one, many = KERNELS[name]
    result = built(name, fp16_graph(name))
    assert tuple(result["made"]) == CAPABILITIES
    for capability, made in result["made"].items():
        fused = [sum(ATTENTION in kernel for kernel in kernels) for kernels in made["kernels"]]
        assert fused == [attention, attention], capability
        if result["version"].startswith(COUNTED):
            assert [len(kernels) for kernels in made["kernels"]] == [one, many], capability


def test_tiny_plan_without_a_gpu() -> None:
    """`build_plan` gives a plan for a GPU that is elsewhere; for one that this builder does not know it says which it knows."""
    plan = build_plan(testing.tiny_model(), library="tensorrt_rtx", compute_capability=(8, 9))
    assert len(plan) > 10_000
    with pytest.raises(
        EngineError, match=r"cannot build for SM87, only for .*SM80, SM86, SM89.*SM120.* on the device itself"
    ):
        build_plan(testing.tiny_model(), library="tensorrt_rtx", compute_capability=(8, 7))


def test_what_it_cannot_read_is_told_in_its_own_words() -> None:
    """Bytes that are no graph."""
    with pytest.raises(
        EngineError, match=r"TensorRT-RTX \S+ cannot read this ONNX graph: .*Failed to parse the ONNX model"
    ):
        build_plan(b"not a graph", library="tensorrt_rtx", compute_capability=(8, 9))


def test_version_is_the_packages() -> None:
    """What is written beside kept engines is what pip shows."""
    assert find_library("tensorrt_rtx").version == importlib.metadata.version("tensorrt-rtx")
