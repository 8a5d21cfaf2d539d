"""What the doctor asks of a machine, and this machine's answers."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Protocol

from aura_edge.cpu import Cpu, read_cpu
from aura_edge.doctor.nvidia import Gpu, read_gpus

TIMEOUT_S = 2.0
"""Of a compiler that is asked for its version."""


class Host(Protocol):
    """A machine that can be looked at."""

    def python(self) -> str: ...

    def system(self) -> str:
        """As `Linux 6.1 x86_64`."""
        ...

    def cpu(self) -> Cpu: ...

    def cores(self) -> int: ...

    def version(self, distribution: str) -> str | None:
        """Of an installed package, by the name pip knows; None where it is not installed."""
        ...

    def requires(self, distribution: str) -> list[str]:
        """What it declares to need, as its metadata has it."""
        ...

    def has(self, module: str) -> bool:
        """Whether there is such a module, without importing it."""
        ...

    def load(self, module: str) -> ModuleType:
        """Import it, by the door that this package has for it where it has one; raises what the module raises."""
        ...

    def which(self, command: str) -> str | None: ...

    def output(self, command: list[str]) -> str:
        """What it prints, empty where it cannot be run."""
        ...

    def read(self, path: str) -> str:
        """Content of a file, empty where it cannot be read."""
        ...

    def exists(self, path: str) -> bool: ...

    def groups(self) -> frozenset[str]:
        """Of the user who asks; `root` is among them for root."""
        ...

    def gpus(self) -> list[Gpu]: ...


class ThisHost:
    """The machine this runs on."""

    def __init__(self) -> None:
        self._gpus: list[Gpu] | None = None

    def python(self) -> str:
        return f"{platform.python_implementation()} {platform.python_version()}"

    def system(self) -> str:
        return f"{platform.system()} {platform.release().partition('-')[0]} {platform.machine()}"

    def cpu(self) -> Cpu:
        return read_cpu()

    def cores(self) -> int:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def version(self, distribution: str) -> str | None:
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            return None

    def requires(self, distribution: str) -> list[str]:
        try:
            return importlib.metadata.requires(distribution) or []
        except importlib.metadata.PackageNotFoundError:
            return []

    def has(self, module: str) -> bool:
        try:
            return importlib.util.find_spec(module) is not None
        except (ImportError, ValueError):  # of a parent package that is broken, or a module without a specification
            return False

    def load(self, module: str) -> ModuleType:
        if module == "onnxruntime":
            from aura_edge.engines.ort import import_onnxruntime

            return import_onnxruntime()
        if module == "openvino":
            from aura_edge.engines.openvino import import_openvino

            return import_openvino()
        if module == "open_clip":
            from aura_edge.text.clip import import_open_clip

            return import_open_clip()
        return importlib.import_module(module)

    def which(self, command: str) -> str | None:
        return shutil.which(command)

    def output(self, command: list[str]) -> str:
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False).stdout
        except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
            return ""

    def read(self, path: str) -> str:
        try:
            return Path(path).read_text("utf-8", errors="replace")
        except OSError:
            return ""

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def groups(self) -> frozenset[str]:
        import grp  # Unix

        names = {"root"} if os.geteuid() == 0 else set()
        for number in os.getgroups():
            try:
                names.add(grp.getgrgid(number).gr_name)
            except KeyError:  # a group without a name, as in a container
                continue
        return frozenset(names)

    def gpus(self) -> list[Gpu]:
        if self._gpus is None:  # where only nvidia-smi answers, it takes a second
            self._gpus = read_gpus()
        return self._gpus
