"""From an ONNX graph to a plan: what TensorRT has chosen for one GPU, kernel by kernel.

The graph says its own precision and is built as it stands (strong typing, the only kind since TensorRT 11). FP32 means FP32: TF32, which
rounds FP32 products to 10 bits and is on by default, is turned off, since the golden embeddings do not hold with it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aura_edge.engines.trt.library import Library, find_library
from aura_edge.engines.trt.progress import Progress, quiet
from aura_edge.errors import EngineError

INPUT, OUTPUT = "imu", "embedding"
NOT_KERNELS = ("signal", "wait", "shape_call", "reshape", "cast")
"""Steps of an engine that launch nothing: between streams, and reckoning with sizes on the processor."""
ATTENTION = "_gemm_mha"
"""In the name of a kernel that computes a whole attention."""


@dataclass(frozen=True, slots=True)
class Batches:
    """Sizes that a graph of any batch is built for: up to `largest`, and exactly 1 in a profile of its own."""

    optimal: int = 16
    """The batch whose speed decides among kernels."""
    largest: int = 64
    """What more windows than that are divided by."""
    alone: bool = True
    """Whether one window has that profile, which is faster; Triton takes the first profile for all sizes."""

    def __post_init__(self) -> None:
        if not 1 <= self.optimal <= self.largest:
            raise EngineError(f"batches {self.optimal} and {self.largest}; expected 1 <= optimal <= largest.")


@dataclass(frozen=True, slots=True)
class Built:
    """A serialized engine, and what was learnt on the way."""

    plan: bytes
    timings: bytes
    """The timing cache, which makes the next build faster; TensorRT-RTX has none."""
    kernels: tuple[tuple[str, ...], ...] = ()
    """Their names in the order in which they run, for each profile; empty unless asked for."""


def build_plan(
    content: bytes,
    *,
    batches: Batches | None = None,
    library: str | None = None,
    compute_capability: tuple[int, int] | None = None,
) -> bytes:
    """A serialized engine (`model.plan` for Triton) of the ONNX graph `content`, for this machine's GPU; 1 to 64 windows unless said otherwise.

    With TensorRT-RTX, `compute_capability` says for which GPU instead, and none needs to be here. Raises `EngineError` as `build` does.
    """
    sizes = batches or Batches(alone=False)
    return build(content, find_library(library), batches=sizes, compute_capability=compute_capability).plan


def build(
    content: bytes,
    library: Library,
    *,
    batches: Batches | None = None,
    compute_capability: tuple[int, int] | None = None,
    timings: bytes = b"",
    progress: Progress = quiet,
    list_kernels: bool = False,
) -> Built:
    """Build the graph `content`: without profiles where its batch is fixed, else with those of `batches`.

    Raises `EngineError` where TensorRT cannot read or build the graph, in its own words, and where the graph is not a bundle's.
    """
    trt = library.module
    builder = trt.Builder(library.logger)
    if builder is None:
        raise EngineError(
            f"{library.title} gives no builder: {library.complaints()}. Check the driver with nvidia-smi."
        )
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, library.logger)
    if not parser.parse(content):
        reasons = "; ".join(str(parser.get_error(at)) for at in range(parser.num_errors))
        raise EngineError(
            f"{library.title} cannot read this ONNX graph: {reasons or library.complaints()}. Say --precision fp16 or fp32, or use --engine ort."
        )
    shape = _require_interface(network, library)
    config = builder.create_builder_config()
    if hasattr(trt.BuilderFlag, "TF32"):
        config.clear_flag(trt.BuilderFlag.TF32)
    if list_kernels:
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if compute_capability is not None:
        _build_for(config, library, compute_capability)
    # TensorRT-RTX times nothing while it builds: it chooses kernels where they run.
    cache = None if library.is_rtx else config.create_timing_cache(timings)
    if cache is not None:
        config.set_timing_cache(cache, False)
    if shape[0] == -1:
        _add_profiles(builder, config, shape[1:], batches or Batches())
    with progress(trt, config):
        library.logger.kernels.clear()
        plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(
            f"{library.title} cannot build an engine of this graph: {library.complaints()}. Use --engine ort, or report the graph."
        )
    return Built(
        bytes(memoryview(plan)),
        bytes(memoryview(config.get_timing_cache().serialize())) if cache is not None else b"",
        _kernels(library.logger.kernels),
    )


def _network_flags(trt: Any) -> int:
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _require_interface(network: Any, library: Library) -> tuple[int, ...]:
    """The shape of the only input; -1 for a batch of any size."""
    tensors = [network.get_input(at) for at in range(network.num_inputs)]
    tensors += [network.get_output(at) for at in range(network.num_outputs)]
    names, single = [tensor.name for tensor in tensors], library.module.DataType.FLOAT
    if names != [INPUT, OUTPUT] or any(tensor.dtype != single for tensor in tensors):
        found = ", ".join(f"{tensor.name} {tensor.dtype}" for tensor in tensors)
        raise EngineError(
            f"the graph has {found}; expected input {INPUT} and output {OUTPUT}, both float32. Export the bundle again."
        )
    return tuple(tensors[0].shape)


def _build_for(config: Any, library: Library, compute_capability: tuple[int, int]) -> None:
    """TensorRT-RTX can build for a GPU that is not here, out of those that it knows."""
    kinds = getattr(library.module, "ComputeCapability", None)
    name = "SM{}{}".format(*compute_capability)
    if kinds is None:
        raise EngineError(
            f"{library.title} builds for the GPU of this machine only. Build on the target, or with tensorrt-rtx."
        )
    if not hasattr(kinds, name):
        known = ", ".join(
            sorted((kind for kind in kinds.__members__ if kind.startswith("SM")), key=lambda k: int(k[2:]))
        )
        raise EngineError(
            f"{library.title} cannot build for {name}, only for {known}. For other GPUs build with tensorrt on the device itself."
        )
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(kinds, name), 0)


def _add_profiles(builder: Any, config: Any, window: Sequence[int], batches: Batches) -> None:
    one, any_size = (1, 1, 1), (1, batches.optimal, batches.largest)
    for least, best, most in (one, any_size) if batches.alone else (any_size,):
        profile = builder.create_optimization_profile()
        profile.set_shape(INPUT, (least, *window), (best, *window), (most, *window))
        config.add_optimization_profile(profile)


def _kernels(lines: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """By profile, whose number is in the name: `blocks.0.up/MatMul_myl1_12` is the thirteenth step of the second."""
    profiles: dict[int, list[str]] = {}
    for line in lines:
        found = re.match(r"Name: (\S+), LayerType: (\w+)", line)
        if found and found[2] not in NOT_KERNELS:
            number = re.search(r"_myl(\d+)_\d+$", found[1])
            profiles.setdefault(int(number[1]) if number else 0, []).append(found[1])
    return tuple(tuple(names) for _, names in sorted(profiles.items()))
