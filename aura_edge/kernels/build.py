"""Compiles kernels where they will run: nvcc or NVRTC to a cubin for this GPU, or g++ to the emulator. What was compiled is kept by content.

The key is a hash of every source, the macros, the compiler's version and the architecture: what is found under it was made from exactly this.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aura_edge.errors import EngineError
from aura_edge.kernels import nvrtc
from aura_edge.user_cache import user_cache
from aura_edge.whole_files import replace_file

SOURCES = Path(__file__).parent
SUFFIXES = (".cuh", ".inl", ".cu", ".hpp", ".cpp")
FLAGS = ("-O3", "-std=c++17")
STRICT_FLAGS = ("-Werror", "all-warnings", "-Xptxas", "-v")
"""Of the compile gate only: a warning that a later nvcc thinks of must not stop an engine on somebody's device."""
HOST_FLAGS = (
    "-O2",
    "-std=c++17",
    "-ffp-contract=off",
    "-shared",
    "-fPIC",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unknown-pragmas",
)
TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class Resources:
    """What one kernel takes of a GPU, as ptxas reports it."""

    registers: int
    spilled_bytes: int
    static_shared_bytes: int


def cache_folder() -> Path:
    """Where compiled kernels are kept: below `$XDG_CACHE_HOME`, or `~/.cache`."""
    return user_cache() / "kernels"


def find_nvcc() -> str | None:
    """CUDA's compiler: on the path, or where `$CUDA_HOME` and the toolkit's own packages put it."""
    home = os.environ.get("CUDA_HOME") or "/usr/local/cuda"
    return shutil.which("nvcc") or shutil.which(str(Path(home) / "bin" / "nvcc"))


def cubin(
    name: str, defines: Mapping[str, int], architecture: int, *, sources: Path = SOURCES, cache: Path | None = None
) -> bytes:
    """`name`.cu compiled for compute capability `architecture` (87 for 8.7), by nvcc, or by NVRTC where there is no nvcc.

    Raises `EngineError` where neither is there, or where the compiler refuses.
    """
    return _device_code(name, defines, architecture, "cubin", sources, cache)


def ptx(
    name: str, defines: Mapping[str, int], architecture: int, *, sources: Path = SOURCES, cache: Path | None = None
) -> bytes:
    """The same as PTX, for those who link it themselves: the driver must be as new as the compiler (nvcc 13.0 writes ISA 9.0)."""
    return _device_code(name, defines, architecture, "ptx", sources, cache)


def _device_code(
    name: str, defines: Mapping[str, int], architecture: int, kind: str, sources: Path, cache: Path | None
) -> bytes:
    nvcc = find_nvcc()
    compiler = _version(nvcc) if nvcc else nvrtc.version()
    kept = _kept(name, defines, f"{compiler} sm_{architecture}", f".{kind}", cache, sources)
    if not kept.is_file():
        if nvcc:
            with tempfile.TemporaryDirectory() as folder:
                draft = Path(folder) / "kernel"
                _run(_nvcc_command(nvcc, kind, name, defines, architecture, draft, sources))
                content = draft.read_bytes()
        else:
            options = [f"-arch=sm_{architecture}", "-std=c++17", *_macros(defines)]
            content = nvrtc.compiled(sources / f"{name}.cu", options, kind=kind)
        _keep(kept, content)
    return kept.read_bytes()


def resources(name: str, defines: Mapping[str, int], architecture: int) -> dict[str, Resources]:
    """Registers, spills and static shared memory of every kernel in `name`.cu, by its name. Needs nvcc, but no GPU.

    This is the compile gate: a warning is an error here. Raises `EngineError` for one, and where there is no nvcc.
    """
    nvcc = find_nvcc()
    if nvcc is None:
        raise EngineError(
            "nvcc was not found, and only its report says what a kernel takes. Install the CUDA toolkit, or set CUDA_HOME."
        )
    command = _nvcc_command(nvcc, "cubin", name, defines, architecture, Path(os.devnull), SOURCES)
    report = _run([command[0], *STRICT_FLAGS, *command[1:]])
    found = {}
    for part in report.split("Compiling entry function '")[1:]:
        spills = re.findall(r"(\d+) bytes spill", part)
        registers, shared = re.search(r"Used (\d+) registers", part), re.search(r"(\d+) bytes smem", part)
        if registers:
            found[part.split("'")[0]] = Resources(
                int(registers[1]), max(map(int, spills), default=0), int(shared[1]) if shared else 0
            )
    if not found:
        raise EngineError(f"nvcc reported no kernel for {name}.cu; its report: {report[:300]}")
    return found


def emulated(
    name: str, defines: Mapping[str, int], *, sources: Path = SOURCES, cache: Path | None = None
) -> ctypes.CDLL:
    """emulator/`name`.cpp compiled by g++ (or `$CXX`) and loaded. Raises `EngineError` where there is no compiler, or where it refuses."""
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        raise EngineError("no C++ compiler (g++) was found, and the emulator needs one. Install g++, or set CXX.")
    kept = _kept(f"emulator/{name}", defines, _version(compiler), ".so", cache, sources)
    if not kept.is_file():
        with tempfile.TemporaryDirectory() as folder:
            draft = Path(folder) / "emulated.so"
            _run(
                [compiler, *HOST_FLAGS, *_macros(defines), "-o", str(draft), str(sources / "emulator" / f"{name}.cpp")]
            )
            _keep(kept, draft.read_bytes())
    return ctypes.CDLL(str(kept))


def _macros(defines: Mapping[str, int]) -> list[str]:
    return [f"-D{name}={value}" for name, value in sorted(defines.items())]


def _nvcc_command(
    nvcc: str, kind: str, name: str, defines: Mapping[str, int], architecture: int, to: Path, sources: Path
) -> list[str]:
    source = str(sources / f"{name}.cu")
    return [nvcc, f"-{kind}", f"-arch=sm_{architecture}", *FLAGS, *_macros(defines), "-o", str(to), source]


@functools.cache
def _version(compiler: str) -> str:
    return _run([compiler, "--version"]).strip()


def _run(command: Sequence[str]) -> str:
    """Both outputs of a compiler; `EngineError` with the first of its errors where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"{command[0]} could not be run: {error}. Check the installation of the compiler.") from error
    output = done.stdout + done.stderr
    if done.returncode:
        errors = [line for line in output.splitlines() if "error" in line] or output.splitlines()[:1]
        raise EngineError(
            f"{Path(command[0]).name} refused {Path(command[-1]).name}: {' '.join(errors[:3])[:600]}. Use another engine, and report this."
        )
    return output


def _kept(
    name: str, defines: Mapping[str, int], compiler: str, suffix: str, cache: Path | None, sources: Path = SOURCES
) -> Path:
    digest = hashlib.sha256()
    for path in sorted(path for path in sources.rglob("*") if path.suffix in SUFFIXES):
        digest.update(path.relative_to(sources).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    for part in (name, *_macros(defines), compiler, *FLAGS, *HOST_FLAGS):
        digest.update(part.encode() + b"\0")
    return (cache or cache_folder()) / f"{name.replace('/', '-')}-{digest.hexdigest()[:20]}{suffix}"


def _keep(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
    except OSError as error:
        raise EngineError(
            f"{path}: a compiled kernel cannot be kept: {error.strerror}. Free some space, or set XDG_CACHE_HOME."
        ) from error
