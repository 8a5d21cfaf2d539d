"""`aura::FusedMHA` for TensorRT 10.9 and later by its Python decorators, ahead of time: an engine carries the kernel's PTX and runs without Python.

    from aura_edge.kernels.plugin import decorated
    decorated.register()          # then parse the graph that `fused_attention.without_body` wrote, and build

The network must be created with the flag that prefers ahead-of-time implementations (`PREFER_AOT_PYTHON_PLUGINS`). PTX is compiled here, for this
GPU, because a driver refuses PTX that is newer than itself.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from aura_edge.errors import EngineError, require
from aura_edge.kernels import build
from aura_edge.kernels.attention import FIRST_ARCHITECTURE, HEAD_SIZES, MAX_TOKENS, QUERIES_PER_BLOCK, THREADS

PLUGIN = "aura::FusedMHA"


@functools.cache
def register(architecture: int | None = None) -> None:
    """Make the node known to TensorRT in this process; again is fine. `architecture` is 87 for compute capability 8.7, None for this GPU's.

    Raises `MissingExtraError` without TensorRT, and `EngineError` for a TensorRT before 10.9, a GPU before 8.0 and a missing compiler.
    """
    tensorrt = require("tensorrt", extra="trt")
    try:
        decorators: Any = require("tensorrt.plugin", extra="trt")
        decorate = decorators.register, decorators.aot_impl
    except (ImportError, AttributeError) as error:
        raise EngineError(
            f"TensorRT {tensorrt.__version__} has no ahead-of-time decorator plugins; they came with 10.9. Update TensorRT, or build the plugin in "
            "C++ (aura_edge/kernels/plugin/CMakeLists.txt)."
        ) from error
    if architecture is None:
        from aura_edge.cuda import open_driver

        major, minor = open_driver().device.compute_capability
        architecture = 10 * major + minor
    if architecture < FIRST_ARCHITECTURE:
        raise EngineError(f"sm_{architecture} cannot run the kernel; it needs sm_{FIRST_ARCHITECTURE} or later.")
    ptx = build.ptx("attention_plugin", {}, architecture).rstrip(b"\0").decode()

    def describe(qkv: Any) -> Any:
        return _describe(tensorrt, decorators, qkv)

    def launch(qkv: Any, outputs: Any, tactic: int) -> Any:
        return _launch(decorators, ptx, qkv)

    # TensorRT reads the types of arguments as classes; annotations of this module are text.
    describe.__annotations__ = {"qkv": decorators.TensorDesc, "return": decorators.TensorDesc}
    launch.__annotations__ = {}
    decorate[0](PLUGIN)(describe)
    decorate[1](PLUGIN)(launch)


def _describe(tensorrt: ModuleType, decorators: Any, qkv: Any) -> Any:
    """(B, N, 3, H, d) FP16 gives (B, N, H, d) of the same type."""
    if qkv.ndim != 5 or qkv.dtype != tensorrt.float16:
        raise EngineError(
            f"{PLUGIN} was given {qkv.dtype} with {qkv.ndim} dimensions; expected FP16 (B, N, 3, H, d). Export the encoder with "
            "--precision fp16."
        )
    size = qkv.shape_expr
    return decorators.from_shape_expr((size[0], size[1], size[3], size[4]), dtype=qkv.dtype)


def _launch(decorators: Any, ptx: str, qkv: Any) -> tuple[str, str, Any, Any]:
    """Name and PTX of the kernel, its grid, and the numbers between its inputs and outputs."""
    batch, tokens, _, heads, size = qkv.shape_expr
    head = _constant(size)
    if head not in HEAD_SIZES or (tokens.is_constant and _constant(tokens) > MAX_TOKENS):
        raise EngineError(
            f"{PLUGIN} was given heads of {head}; it takes {' or '.join(map(str, HEAD_SIZES))}, and up to {MAX_TOKENS} tokens."
        )
    parameters = decorators.KernelLaunchParams()
    parameters.grid_x, parameters.grid_y = batch, heads
    parameters.grid_z = decorators.cdiv(tokens, QUERIES_PER_BLOCK["attention_fused"])
    parameters.block_x = THREADS
    parameters.shared_mem = 0  # the kernel declares its own
    numbers = decorators.SymIntExprs(2)
    numbers[0], numbers[1] = decorators.SymInt32(tokens), decorators.SymInt32(heads)
    return f"aura_fused_mha_{head}", ptx, parameters, numbers


def _constant(size: Any) -> int:
    """A size that is known when the engine is built: a method in some versions of TensorRT, a property in others."""
    if not size.is_constant:
        raise EngineError(
            f"{PLUGIN} was given heads of a size that changes from run to run; it must be fixed in the graph."
        )
    value = size.constant_value
    return int(value() if callable(value) else value)
