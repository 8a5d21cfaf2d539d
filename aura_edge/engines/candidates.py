"""Which engines `auto` may choose from on this machine, found without importing any of them."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Callable
from pathlib import Path

import msgspec

from aura_edge.bundle import Bundle
from aura_edge.cpu import read_cpu
from aura_edge.engines import BF16

PACKAGES = ("onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt", "tensorrt-rtx")
"""Those that make a difference to what runs and how fast."""
FP16 = "fp16"
GPU_DEVICES = ("/dev/nvidia0", "/dev/nvhost-ctrl-gpu", "/dev/nvgpu/igpu0", "/dev/dxg")
"""Of a driver of NVIDIA's; Jetsons' by JetPack; Windows' Linux."""


class Candidate(msgspec.Struct, frozen=True):
    """An engine, and how it is to be opened."""

    engine: str
    precision: str
    provider: str | None = None

    def __str__(self) -> str:
        return " ".join((self.engine, *([self.provider] if self.provider else []), self.precision))


class Installed(msgspec.Struct, frozen=True):
    """What a decision depends on, beside the bundle."""

    versions: dict[str, str]
    """Of those of `PACKAGES` that are there."""
    machine: str
    """What computes: the CPU's name, and the GPU's driver where there is one."""
    gpu: bool = False


def installed_here() -> Installed:
    """This machine's; takes a few milliseconds."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    cpu = read_cpu()
    parts = (
        platform.machine(),
        f"{os.cpu_count()} x {' '.join([cpu.name, *cpu.flags])}",
        _first_line("/proc/driver/nvidia/version"),
        _first_line("/proc/device-tree/model"),
    )
    return Installed(versions, ", ".join(part for part in parts if part), any(map(os.path.exists, GPU_DEVICES)))


def candidates_of(
    bundle: Bundle,
    installed: Installed,
    precision: str | None = None,
    is_built: Callable[[str, Bundle, str], bool] | None = None,
) -> list[Candidate]:
    """What could run `bundle`, the most ordinary first; in `precision` only where one is named.

    `is_built` says whether an engine that has to be built for this GPU is there already: nobody who starts a stream waits for minutes.
    Raises `BundleError` for a precision that the bundle has not.
    """
    is_built = is_built or _is_built
    if precision == BF16:
        return [Candidate("openvino", BF16)] if "openvino" in installed.versions else []
    if precision is not None:
        bundle.model(precision)
    # Unless asked for: a model for one number of windows, which serves one kind of caller, and FP16 on a CPU, which gains nothing.
    models = [precision] if precision else [name for name in bundle.precisions if bundle.batch(name) is None]
    found = [Candidate("ort", name) for name in models if precision or not _is_half(name)]
    if "openvino" in installed.versions:
        found += [Candidate("openvino", name) for name in models if not _is_half(name)]
    if installed.gpu and "onnxruntime-gpu" in installed.versions:
        found += [Candidate("ort", name, "cuda") for name in models if not name.startswith("int8")]
    if installed.gpu:
        # `cuda` computes in FP16 whatever the bundle has.
        built = [("trt", name) for name in models] + [("cuda", FP16)] * (precision in (None, FP16))
        found += [Candidate(engine, name) for engine, name in built if is_built(engine, bundle, name)]
    return found


def _is_half(precision: str) -> bool:
    return precision.startswith(FP16)


def _is_built(engine: str, bundle: Bundle, precision: str) -> bool:
    if engine == "trt":
        from aura_edge.engines import trt

        return trt.is_built(bundle, precision)
    from aura_edge.engines import cuda

    return cuda.is_built(bundle, precision)


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", errors="replace").splitlines()[0].strip("\0 ")
    except (OSError, IndexError):
        return ""
