"""The doctor's look at what computes: GPU, engines, execution providers, compilers."""

from __future__ import annotations

import os
from collections.abc import Sequence

from aura_edge.doctor.host import Host
from aura_edge.doctor.report import Check, State, loads

JETSON_MODEL = "/proc/device-tree/model"
JETPACK = "sudo apt install nvidia-jetpack"
TENSORRT = ("tensorrt", "tensorrt_rtx")
TENSORRT_ON_A_PC = "pip install 'aura-edge[trt]' tensorrt --extra-index-url https://pypi.nvidia.com"
"""The extra brings the way to the driver; TensorRT itself comes from NVIDIA."""
CUDA_DRIVERS = {"cuda.bindings": "cuda-python", "pycuda": "pycuda"}
"""Ways to CUDA's driver: module, and the package that brings it."""
ONNXRUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-qnn")
ELSEWHERE = ("coreml", "qnn")
"""Providers of other systems: named where they are there."""


def is_jetson(host: Host) -> bool:
    return "jetson" in host.read(JETSON_MODEL).lower() or host.exists("/etc/nv_tegra_release")


def has_gpu(host: Host) -> bool:
    return bool(host.gpus()) or is_jetson(host)


def gpus(host: Host, thorough: bool) -> Sequence[Check]:
    """One row for each, or why there is none."""
    rows = [
        Check(
            "gpu",
            gpu.name,
            "ok",
            ", ".join(
                part
                for part in (
                    f"driver {gpu.driver}" if gpu.driver else "",
                    f"compute capability {gpu.compute_capability}" if gpu.compute_capability else "",
                    f"{gpu.memory_bytes / 2**30:.0f} GiB" if gpu.memory_bytes else "",
                )
                if part
            ),
        )
        for gpu in host.gpus()
    ]
    if rows:
        return rows
    if is_jetson(host):
        return [Check("gpu", "Jetson", "ok", _one_line(host.read("/etc/nv_tegra_release")) or "on its own chip")]
    if host.exists("/dev/nvidia0") or host.exists("/dev/dxg"):
        return [Check("gpu", "NVIDIA", "broken", "a device is there, and its driver does not answer", "nvidia-smi")]
    return [Check("gpu", "NVIDIA", "missing", "no NVIDIA driver answers; engines run on the CPU")]


def engines(host: Host, thorough: bool) -> Sequence[Check]:
    """What `--engine` can be here."""
    torch = _package(host, "torch", "torch", "torch", "pip install 'aura-edge[train]'", thorough)
    compiler = os.environ.get("CXX", "g++")
    rows = [
        _onnxruntime(host),
        _package(host, "openvino", "openvino", "openvino", "pip install 'aura-edge[openvino]'", thorough),
        torch,
    ]
    if torch.state != "ok":
        rows.append(Check("engine", "torch-compiled", torch.state, "needs torch", torch.remedy))
    elif host.which(compiler) is None:
        rows.append(Check("engine", "torch-compiled", "missing", f"needs {compiler}", "sudo apt install g++"))
    else:
        rows.append(Check("engine", "torch-compiled", "ok", f"torch with {compiler}"))
    return [*rows, _tensorrt(host, thorough), _cuda(host, thorough)]


def _onnxruntime(host: Host) -> Check:
    there = [(name, version) for name in ONNXRUNTIMES if (version := host.version(name))]
    remedy = "pip install onnxruntime"
    if len(there) > 1:
        names = " ".join(name for name, _ in there)
        return Check(
            "engine", "ort", "broken", f"{names} overwrite each other", f"pip uninstall -y {names} && {remedy}"
        )
    if problem := loads(host, "onnxruntime"):
        state: State = "broken" if there else "missing"
        names = " ".join(name for name, _ in there)
        return Check("engine", "ort", state, problem, f"pip uninstall -y {names} && {remedy}" if there else remedy)
    return Check("engine", "ort", "ok", " ".join(*there) if there else "onnxruntime of unknown origin")


def _tensorrt(host: Host, thorough: bool) -> Check:
    remedy = JETPACK if is_jetson(host) else TENSORRT_ON_A_PC
    module = next((name for name in TENSORRT if host.has(name)), None)
    if module is None:
        return Check("engine", "trt", "missing", "TensorRT is not installed", remedy)
    if thorough and (problem := loads(host, module)):
        return Check("engine", "trt", "broken", problem, remedy)
    version = host.version(module.replace("_", "-")) or host.version(module) or ""
    return _without_driver("trt", host, thorough) or Check("engine", "trt", "ok", f"{module} {version}".strip())


def _cuda(host: Host, thorough: bool) -> Check:
    if lacking := _without_driver("cuda", host, thorough):
        return lacking
    if find_nvcc(host) is None and not host.has("cuda.bindings.nvrtc"):
        remedy = JETPACK if is_jetson(host) else "pip install cuda-python"
        return Check("engine", "cuda", "missing", "needs nvcc or NVRTC to compile its kernels", remedy)
    return Check("engine", "cuda", "ok", "its kernels are compiled for this GPU at first use")


def _without_driver(engine: str, host: Host, thorough: bool) -> Check | None:
    """What an engine lacks that needs a GPU and a way to its driver; None where both are there."""
    if not has_gpu(host):
        return Check("engine", engine, "missing", "no NVIDIA GPU with a driver that answers")
    present = [module for module in CUDA_DRIVERS if host.has(module)]
    if not present:
        return Check("engine", engine, "missing", "needs cuda-python or pycuda", "pip install cuda-python")
    problems = [f"{module}: {problem}" for module in present if thorough and (problem := loads(host, module))]
    if len(problems) == len(present):
        return Check("engine", engine, "broken", "; ".join(problems), "pip install --force-reinstall cuda-python")
    return None


def providers(host: Host, thorough: bool) -> Sequence[Check]:
    """Execution providers of onnxruntime that are built into the one that is installed, and how to have the others."""
    from aura_edge.engines.ort import PROVIDERS

    if loads(host, "onnxruntime"):
        return []
    present = host.load("onnxruntime").get_available_providers()
    rows = []
    for key, (name, package) in PROVIDERS.items():
        if name in present:
            rows.append(Check("provider", key, "ok", name))
        elif package == "onnxruntime-gpu" and not has_gpu(host):
            rows.append(Check("provider", key, "missing", f"{name}, and no NVIDIA GPU for it"))
        elif key not in ELSEWHERE:
            swap = f"pip uninstall -y {' '.join(each for each in ONNXRUNTIMES if host.version(each)) or 'onnxruntime'}"
            rows.append(Check("provider", key, "missing", name, f"{swap} && pip install {package}"))
    return rows


def compilers(host: Host, thorough: bool) -> Sequence[Check]:
    """What builds kernels, and what torch compiles with."""
    rows = []
    for name, path, remedy in (
        ("g++", host.which(os.environ.get("CXX", "g++")), "sudo apt install g++"),
        ("nvcc", find_nvcc(host), JETPACK if is_jetson(host) else "sudo apt install nvidia-cuda-toolkit"),
    ):
        if path is None:
            rows.append(Check("compiler", name, "missing", "", remedy))
            continue
        lines = [line for line in host.output([path, "--version"]).splitlines() if line.strip()]
        told = next((line for line in lines if "release" in line), lines[0] if lines else "")
        rows.append(
            Check("compiler", name, "ok", told)
            if told
            else Check("compiler", name, "broken", f"{path} does not answer", remedy)
        )
    return rows


def find_nvcc(host: Host) -> str | None:
    """CUDA's compiler: on the path, or where the toolkit's own packages put it."""
    return host.which("nvcc") or host.which(f"{os.environ.get('CUDA_HOME') or '/usr/local/cuda'}/bin/nvcc")


def _package(host: Host, name: str, module: str, distribution: str, remedy: str, thorough: bool) -> Check:
    """An engine that is one package."""
    version = host.version(distribution)
    if version is None and not host.has(module):
        return Check("engine", name, "missing", f"{distribution} is not installed", remedy)
    if thorough and (problem := loads(host, module)):
        return Check("engine", name, "broken", problem, f"pip install --force-reinstall {distribution}")
    return Check("engine", name, "ok", f"{distribution} {version or 'of unknown version'}")


def _one_line(text: str) -> str:
    return text.splitlines()[0].strip("# \0") if text.strip() else ""
