"""A result for people: one table, the machine under it, and only such statements as the data carry. And the same for programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from aura_edge.whole_files import write_result
from aura_edge_bench.comparison import Comparison
from aura_edge_bench.encode_latency import EncodeLatency, EngineResult
from aura_edge_bench.machine import Machine


def render(result: EncodeLatency) -> RenderableType:
    """The table, the comparisons, the machine."""
    settings = result.settings
    table = Table(
        title=f"encode latency of {result.bundle}, ms per call of {_count(settings.batch, 'window')}",
        caption=f"{settings.rounds} interleaved rounds over {settings.windows} real windows, {_count(settings.threads, 'thread')}, after "
        f"{settings.warm_up_rounds} rounds of warm-up",
    )
    table.add_column("engine")
    table.add_column("runs on", overflow="fold")
    for name in ("min", "p50", "p90", "p99", "max"):
        table.add_column(name, justify="right")
    for row in result.engines:
        table.add_row(*_cells(row))
    return Group(table, *(Text(line) for line in _lines(result)))


def write_json(path: Path, result: EncodeLatency) -> None:
    """Write `result` to `path`, whole or not at all. Raises `SinkError`."""
    write_result(path, msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")


def _cells(row: EngineResult) -> list[Text]:
    if row.latency is None:
        return [Text(row.engine), Text("not here", style="dim")]
    values = (row.latency.min_ms, row.latency.p50_ms, row.latency.p90_ms, row.latency.p99_ms, row.latency.max_ms)
    return [Text(row.engine), Text(f"{row.device}, {row.precision}"), *(Text(f"{value:.3f}") for value in values)]


def _lines(result: EncodeLatency) -> Iterator[str]:
    for row in result.engines:
        if row.unavailable:
            yield f"{row.engine} did not run: {row.unavailable}"
    for comparison in result.comparisons:
        yield _statement(comparison)
    yield from _machine_lines(result.machine)
    if not result.settings.stable:
        yield "Durations were still changing when the warm-up ended: read these numbers with care."


def _statement(comparison: Comparison) -> str:
    low, high = comparison.interval
    numbers = (
        f"median of {comparison.against} / median of {comparison.engine} = {comparison.ratio:.2f} "
        f"({comparison.confidence:.0%} interval {low:.2f} to {high:.2f})"
    )
    if comparison.winner is None:
        return f"{numbers}: no winner, the interval includes 1"
    return f"{numbers}: {comparison.winner} is faster"


def _machine_lines(machine: Machine) -> Iterator[str]:
    memory = f", {machine.memory_bytes / 2**30:.1f} GiB" if machine.memory_bytes else ""
    governor = f", governor {machine.governor}" if machine.governor else ""
    yield f"{machine.cpu} ({machine.architecture}), {machine.usable_cores} of {machine.logical_cores} cores{memory}{governor}"
    libraries = ", ".join(f"{name} {version}" for name, version in machine.libraries.items())
    commit = f" at {machine.commit}" if machine.commit else ""
    yield f"{machine.kernel}, {machine.python}, {libraries}, aura-edge {machine.aura_edge}{commit}"
    if machine.load:
        yield f"load {', '.join(f'{value:.2f}' for value in machine.load)} before measuring"
    if machine.busy:
        yield "The machine was busy: the slow end of these numbers is not the engines' alone."


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"
