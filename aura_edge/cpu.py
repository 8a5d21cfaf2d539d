"""What the CPU is and can do, as Linux tells it."""

from __future__ import annotations

import platform
from pathlib import Path

import msgspec

FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimddp", "i8mm", "bf16")
"""Those that decide how fast an encoder runs, and in which precisions; the last three are ARM's."""


class Cpu(msgspec.Struct, frozen=True):
    name: str
    flags: tuple[str, ...]
    """Those of `FLAGS` that it has."""


def read_cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> Cpu:
    """The first processor of `cpuinfo`; where there is no such file, what Python knows of the name."""
    try:
        with cpuinfo.open(encoding="utf-8", errors="replace") as file:
            head = file.read(8192)  # one processor's part is shorter, and a server has hundreds
    except OSError:
        return Cpu(platform.processor() or platform.machine(), ())
    pairs = (line.partition(":") for line in head.split("\n\n")[0].splitlines())
    facts = {key.strip(): value.strip() for key, _, value in pairs}
    present = set((facts.get("flags") or facts.get("Features") or "").split())
    return Cpu(
        facts.get("model name") or facts.get("CPU part") or platform.machine(),
        tuple(flag for flag in FLAGS if flag in present),
    )
