"""What every kernel takes of every GPU, as the compiler reports it: registers, shared memory, spills. Needs nvcc, and no GPU.

    python -m aura_edge_bench.kernel_table [FOLDER]     writes resources.json and resources.md, by default in bench/results/kernels

A spill is a register that did not fit and went to memory: there must be none.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from aura_edge.errors import EngineError
from aura_edge.kernels import build
from aura_edge.kernels.plan import Plan, best_plans
from aura_edge.kernels.shape import EncoderShape

RESULTS = Path(__file__).parents[1] / "results" / "kernels"
SHARED_BYTES = {80: 163 * 1024, 86: 99 * 1024, 87: 163 * 1024, 89: 99 * 1024, 90: 227 * 1024, 120: 99 * 1024}
"""Of one block, by compute capability (CUDA C programming guide, technical specifications)."""
ARCHITECTURES = tuple(SHARED_BYTES)
FIRST_CLUSTERS = 90


def _edge(width: int, depth: int, filters: int) -> EncoderShape:
    """A preset of the family `edge`, in which everything follows from the width."""
    return EncoderShape(
        dimension=384,
        window_samples=1000,
        width=width,
        depth=depth,
        heads=width // 32,
        hidden=3 * width,
        stride=20,
        patch=40,
        invariant_filters=filters,
        vector_filters=filters // 2,
        channel_filters=3 * filters // 2,
        plain=False,
        scaled=True,
        pools=4,
        summary=False,
        residual=True,
    )


AURA = EncoderShape(
    dimension=512,
    window_samples=1000,
    width=192,
    depth=6,
    heads=6,
    hidden=384,
    stride=8,
    patch=8,
    invariant_filters=0,
    vector_filters=0,
    channel_filters=0,
    plain=True,
    scaled=True,
    pools=0,
    summary=True,
    residual=True,
)
ENCODERS = {"edge-xs": _edge(64, 3, 32), "edge": _edge(128, 4, 64), "edge-l": _edge(192, 6, 96), "aura": AURA}
"""Sizes of the presets; a test holds them to `encoders.presets`, which needs torch."""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One kernel on one architecture."""

    kernel: str
    architecture: int
    registers: int
    shared_bytes: int
    """Of a block, what it asks for at the launch and what it has of its own."""
    spilled_bytes: int


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `resources.json` holds."""

    compiler: str
    rows: tuple[Row, ...]


def plans() -> Iterator[tuple[str, int, Plan]]:
    """Name, architecture and plan of every encoder that is compiled: a window a block, and a cluster where there are clusters."""
    for name, shape in ENCODERS.items():
        for architecture in ARCHITECTURES:
            for plan in dict.fromkeys(_plans(shape, architecture)):
                yield f"{name}, {'1 block' if plan.blocks == 1 else f'cluster of {plan.blocks}'}", architecture, plan


def _plans(shape: EncoderShape, architecture: int) -> tuple[Plan, Plan]:
    return best_plans(shape, shared_bytes=SHARED_BYTES[architecture], clusters=architecture >= FIRST_CLUSTERS)


def rows() -> Iterator[Row]:
    """Compile everything, one row at a time. Raises `EngineError` where there is no nvcc."""
    for architecture in ARCHITECTURES:
        for rung in ("attention_naive", "attention_fused"):
            for kernel, found in sorted(build.resources(rung, {}, architecture).items()):
                yield Row(kernel, architecture, found.registers, found.static_shared_bytes, found.spilled_bytes)
    for name, architecture, plan in plans():
        for source in ("attention_block", "encoder"):
            (found,) = build.resources(source, plan.defines({}), architecture).values()
            shared = plan.shared_bytes + found.static_shared_bytes
            yield Row(f"{source} ({name})", architecture, found.registers, shared, found.spilled_bytes)


def measure() -> Table:
    nvcc = build.find_nvcc()
    if nvcc is None:
        raise EngineError("nvcc was not found, and only its report says what a kernel takes. Install the CUDA toolkit.")
    version = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    release = next((line for line in version.splitlines() if "release" in line), version)
    return Table(release.partition(", ")[2], tuple(rows()))


def read(folder: Path = RESULTS) -> Table:
    """The table that was written there."""
    return msgspec.json.decode((folder / "resources.json").read_bytes(), type=Table)


def write(table: Table, folder: Path) -> None:
    """`resources.json` and, made from it, `resources.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "resources.json").write_bytes(msgspec.json.format(msgspec.json.encode(table), indent=1) + b"\n")
    (folder / "resources.md").write_text(markdown(table), "utf-8")


def markdown(table: Table) -> str:
    """The same for people: a kernel a line, an architecture a column."""
    found = {(row.kernel, row.architecture): row for row in table.rows}
    lines = [
        "# What the kernels take",
        "",
        f"nvcc {table.compiler}; registers of a thread / KiB of shared memory of a block, **spilled bytes** where there are any. Written by",
        "`python -m aura_edge_bench.kernel_table`; a test compiles it again.",
        "",
        "| kernel | " + " | ".join(f"sm_{architecture}" for architecture in ARCHITECTURES) + " |",
        "|---|" + "---|" * len(ARCHITECTURES),
    ]
    for kernel in dict.fromkeys(row.kernel for row in table.rows):
        cells = [_cell(found.get((kernel, architecture))) for architecture in ARCHITECTURES]
        lines.append(f"| {kernel} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    return f"{row.registers} / {row.shared_bytes / 1024:.1f}" + f", **{row.spilled_bytes}**" * (row.spilled_bytes > 0)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS
    try:
        table = measure()
    except EngineError as error:
        sys.exit(f"kernel_table: {error}")
    write(table, folder)
    spilled = [row for row in table.rows if row.spilled_bytes]
    print(f"{os.fspath(folder)}: {len(table.rows)} kernels, {len(spilled)} of them spill.")
    sys.exit(1 if spilled else 0)


if __name__ == "__main__":
    main()
