"""The machine's facts: a number without them is not a result."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

import msgspec

import aura_edge
from aura_edge.checkout import commit

LIBRARIES = (
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
    "openvino",
    "tensorrt",
    "tensorrt-rtx",
    "torch",
)


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where something was measured, read before measuring."""

    cpu: str
    architecture: str
    logical_cores: int
    usable_cores: int
    """Those that this process may run on."""
    memory_bytes: int | None
    governor: str | None
    """Frequency governor of the first core; None where it cannot be read, as in a container."""
    load: tuple[float, float, float] | None
    """Runnable tasks on average over 1, 5 and 15 minutes."""
    kernel: str
    python: str
    libraries: dict[str, str]
    aura_edge: str
    commit: str | None
    """Of the checkout that runs, with `-dirty` where it differs from it; None when installed without one."""

    @property
    def busy(self) -> bool:
        """True when others wanted more than half of the usable cores before measuring began."""
        return self.load is not None and self.load[0] > self.usable_cores / 2


def this_machine() -> Machine:
    """Read the facts; whatever the system does not tell is None."""
    return Machine(
        cpu=_cpu(),
        architecture=platform.machine(),
        logical_cores=os.cpu_count() or 1,
        usable_cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=_memory_bytes(),
        governor=_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        load=os.getloadavg() if hasattr(os, "getloadavg") else None,
        kernel=f"{platform.system()} {platform.release().partition('-')[0]}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        libraries=_libraries(),
        aura_edge=aura_edge.__version__,
        commit=commit(),
    )


def _cpu() -> str:
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    # Arm boards name themselves here, and not in cpuinfo.
    return (_read("/proc/device-tree/model") or "").strip("\0 ") or platform.processor() or "unknown"


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _libraries() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text("utf-8", errors="replace").strip() or None
    except OSError:
        return None
