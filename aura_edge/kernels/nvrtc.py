"""NVRTC, CUDA's compiler as a library: for devices that have no toolkit. cuda-python speaks to it; it needs no GPU."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aura_edge.errors import EngineError


def version() -> str:
    """`nvrtc 13.0`. Raises `EngineError` where cuda-python or the library is missing."""
    nvrtc = _bindings()
    return "nvrtc {}.{}".format(*_checked(_loaded(nvrtc.nvrtcVersion)))


def compiled(source: Path, options: Sequence[str], *, kind: str) -> bytes:
    """`source` as `kind` (`cubin` or `ptx`), with `options` as nvcc spells them. Raises `EngineError` where it refuses."""
    nvrtc = _bindings()
    headers = [folder for folder in _header_folders() if (folder / "cuda_fp16.h").is_file()]
    if not headers:
        raise EngineError(
            "cuda_fp16.h was not found, and NVRTC needs it. Install the CUDA toolkit or: pip install nvidia-cuda-runtime; or set CUDA_HOME."
        )
    encoded = [each.encode() for each in (*options, *(f"-I{folder}" for folder in (source.parent, *headers)))]
    program = _checked(
        _loaded(nvrtc.nvrtcCreateProgram, source.read_bytes(), source.name.encode(), 0, [], []),
    )[0]
    try:
        (status,) = nvrtc.nvrtcCompileProgram(program, len(encoded), encoded)
        if int(status) != 0:
            log = _text(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program).decode(errors="replace")
            raise EngineError(
                f"NVRTC refused {source.name}: {log.strip()[:600] or status}. Use another engine, and report this."
            )
        if kind == "cubin":
            return _text(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN, program)
        return _text(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX, program)
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def _bindings() -> Any:
    try:
        return importlib.import_module("cuda.bindings.nvrtc")
    except ImportError as error:
        raise EngineError(
            "neither nvcc nor NVRTC was found, and a kernel is compiled for the GPU it runs on. Install the CUDA toolkit, or: "
            "pip install cuda-python nvidia-cuda-nvrtc"
        ) from error


def _loaded(call: Any, *arguments: Any) -> tuple[Any, ...]:
    """The first call is what loads the library."""
    try:
        return tuple(call(*arguments))
    except RuntimeError as error:
        raise EngineError(
            f"cuda-python found no NVRTC library: {str(error).splitlines()[0][:200]}. Install the CUDA toolkit, or: pip install nvidia-cuda-nvrtc"
        ) from error


def _checked(result: tuple[Any, ...]) -> tuple[Any, ...]:
    if int(result[0]) != 0:
        raise EngineError(
            f"NVRTC failed with {result[0]}. Install the CUDA toolkit, so that nvcc is used, or use another engine."
        )
    return result[1:]


def _text(size: Any, content: Any, program: Any) -> bytes:
    """What NVRTC keeps for a program: it is asked for the size, then fills as many bytes."""
    found = b" " * int(_checked(size(program))[0])
    _checked(content(program, found))
    return found


def _header_folders() -> list[Path]:
    """Folders in which a toolkit, or NVIDIA's wheels, keep their headers."""
    home = Path(os.environ.get("CUDA_HOME") or "/usr/local/cuda")
    targets = [home / "targets" / f"{machine}-linux" / "include" for machine in ("x86_64", "aarch64", "sbsa")]
    folders = [home / "include", *targets]
    try:
        nvidia = importlib.import_module("nvidia")
    except ImportError:
        return folders
    return folders + [found for root in nvidia.__path__ for found in sorted(Path(root).glob("*/include"))]
