"""The NVIDIA GPUs of this machine, without CUDA: by the driver's management library (NVML), else by nvidia-smi.

NVML answers in milliseconds and needs no package; Jetsons have had none before JetPack 7, and are known by their model instead.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import shutil
import subprocess

import msgspec

TIMEOUT_S = 5.0
NVML = "libnvidia-ml.so.1"


class Gpu(msgspec.Struct, frozen=True):
    name: str
    driver: str = ""
    compute_capability: str = ""
    """As `8.7`; empty where it is not told."""
    memory_bytes: int | None = None


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def read_gpus() -> list[Gpu]:
    """Those that the driver knows; none where there is no driver."""
    try:
        library = ctypes.CDLL(NVML)
    except OSError:
        return _by_command()
    try:
        return _by_library(library)
    except (OSError, AttributeError):  # another version of the library than of the driver
        return _by_command()


def _by_library(nvml: ctypes.CDLL) -> list[Gpu]:
    """nvml.h, whose functions return 0 where they did what was asked."""
    if nvml.nvmlInit_v2() != 0:
        raise OSError("NVML does not start")
    try:
        count = ctypes.c_uint()
        text = ctypes.create_string_buffer(96)
        driver = text.value.decode() if nvml.nvmlSystemGetDriverVersion(text, len(text)) == 0 else ""
        if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
            raise OSError("NVML does not count")
        found = []
        for index in range(count.value):
            handle = ctypes.c_void_p()
            if nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)) != 0:
                continue
            major, minor, memory = ctypes.c_int(), ctypes.c_int(), _Memory()
            name = text.value.decode() if nvml.nvmlDeviceGetName(handle, text, len(text)) == 0 else "a GPU"
            told = nvml.nvmlDeviceGetCudaComputeCapability(handle, ctypes.byref(major), ctypes.byref(minor)) == 0
            sized = nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)) == 0
            found.append(
                Gpu(name, driver, f"{major.value}.{minor.value}" if told else "", memory.total if sized else None)
            )
        return found
    finally:
        nvml.nvmlShutdown()


def _by_command() -> list[Gpu]:
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    query = [command, "--query-gpu=name,driver_version,compute_cap,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return parse_smi(done.stdout) if done.returncode == 0 else []


def parse_smi(text: str) -> list[Gpu]:
    """`NVIDIA H100 80GB HBM3, 550.54.15, 9.0, 81559`, a line for each; what it does not know it writes as `[N/A]`."""
    found = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != 4 or not cells[0]:
            continue
        name, driver, capability, memory_mib = ("" if cell.startswith("[") else cell for cell in cells)
        size = int(memory_mib) * 2**20 if memory_mib.isdecimal() else None
        found.append(Gpu(name or "a GPU", driver, capability, size))
    return found
