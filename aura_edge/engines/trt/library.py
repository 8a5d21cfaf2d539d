"""Which TensorRT this machine has, and what it has to say.

`tensorrt` runs on every NVIDIA GPU and comes with JetPack or from NVIDIA's own package index; `tensorrt_rtx` runs on GeForce and RTX GPUs
and is on PyPI. Their Python interfaces are the same but for what each leaves out.
"""

from __future__ import annotations

import importlib
import logging
import re
from dataclasses import dataclass
from typing import Any

from aura_edge.errors import EngineError

LOG = logging.getLogger("aura_edge.engines.trt")
LIBRARIES = {"tensorrt": (10, 3), "tensorrt_rtx": (1, 1)}
"""Their import names in the order in which they are looked for, and the oldest version of each that works here."""
INSTALL = (
    "On a Jetson it comes with JetPack 6 or later (sudo apt install python3-libnvinfer, and a virtual environment that sees system packages); on a "
    "PC: pip install tensorrt --extra-index-url https://pypi.nvidia.com, or for a GeForce or RTX GPU pip install tensorrt-rtx"
)


@dataclass(frozen=True, slots=True)
class Library:
    """An imported TensorRT."""

    module: Any
    name: str
    """A key of `LIBRARIES`."""
    version: str
    logger: Any
    """Of the type that the library asks for; errors end in `complaints`, all else in Python's logging."""

    @property
    def title(self) -> str:
        """As people say it: `TensorRT-RTX 1.7.1`."""
        return f"{'TensorRT-RTX' if self.is_rtx else 'TensorRT'} {self.version}"

    @property
    def is_rtx(self) -> bool:
        return self.name == "tensorrt_rtx"

    def complaints(self) -> str:
        """The errors logged since the last call, in one line; the library raises nothing and returns nothing instead."""
        found, self.logger.errors[:] = list(self.logger.errors), []
        return "; ".join(found) or "it gave no reason"


def find_library(name: str | None = None) -> Library:
    """The TensorRT called `name` in `LIBRARIES`, or the first there is.

    Raises `EngineError` where it is not installed, does not load, or is too old.
    """
    if name not in (None, *LIBRARIES):
        raise EngineError(f"no TensorRT called {name!r}; expected one of {', '.join(LIBRARIES)}.")
    failures = []
    for wanted in LIBRARIES if name is None else (name,):
        try:
            module = importlib.import_module(wanted)
            version = str(module.__version__)
        except (ImportError, OSError, RuntimeError, AttributeError) as error:  # of a stub whose libraries are not there
            failures.append(f"{wanted}: {error}")
            continue
        oldest = LIBRARIES[wanted]
        if _numbers(version) < oldest:
            raise EngineError(
                f"{wanted} {version} is too old; expected {'.'.join(map(str, oldest))} or later. Update it (on a Jetson: JetPack 6.2), or "
                "use --engine ort."
            )
        return Library(module, wanted, version, _logger(module))
    raise EngineError(f"TensorRT cannot be used ({'; '.join(failures)}). {INSTALL}")


def _numbers(version: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _logger(module: Any) -> Any:
    severities = module.ILogger.Severity
    levels = {
        severities.INTERNAL_ERROR: logging.ERROR,
        severities.ERROR: logging.ERROR,
        severities.WARNING: logging.INFO,
        severities.INFO: logging.DEBUG,
    }

    class Logger(module.ILogger):  # type: ignore[misc] # the base is known at run time only
        def __init__(self) -> None:
            module.ILogger.__init__(self)
            self.errors: list[str] = []
            self.kernels: list[str] = []
            """With detailed profiling: the lines in which the builder lists the kernels of the engine."""

        def log(self, severity: Any, message: str) -> None:
            level = levels.get(severity)
            if level is None:  # verbose: thousands of lines, of which these matter
                self.kernels += [line for line in message.splitlines() if line.startswith("Name: ")]
                return
            if level == logging.ERROR:
                self.errors.append(message.strip())
            LOG.log(min(level, logging.INFO), message)

    return Logger()
