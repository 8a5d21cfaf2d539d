"""What the terminal sink shows, as values that rich can draw: the running stream, a line for an event, the summary."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from aura_edge.types import NS_PER_S, Event, Prediction, StageLatency, State, Summary

_STYLES: Mapping[State, str] = {"activity": "bold green", "unknown": "bold yellow", "still": "bold cyan"}
_BAR_STYLE = "green"
_BAR_COLUMNS = 32
_STAGES = {"total": "from arrival to label"}


@dataclass(frozen=True, slots=True)
class Spell:
    """One stay in a label, as the list of recent events shows it."""

    label: str
    state: State
    start_ns: int
    score: float
    duration_s: float | None = None
    """None while it goes on."""


def record(recent: deque[Spell], event: Event) -> None:
    """Add an event that starts, or end the spell that it closes."""
    if event.kind == "start":
        recent.append(Spell(event.label, event.state, event.t_ns, event.score))
    elif recent and recent[-1].label == event.label and recent[-1].duration_s is None:
        recent[-1] = replace(recent[-1], score=event.score, duration_s=event.duration_s)


def stream_view(
    title: str, prediction: Prediction | None, recent: Iterable[Spell], windows: int, origin_ns: int
) -> RenderableType:
    """The current label and its score, the top labels of the last window as bars, and what started and ended lately."""
    parts: list[RenderableType] = [Text(title, style="dim")] if title else []
    if prediction is None:
        return Group(*parts, Text("waiting for the first window to fill", style="dim"))
    now = Text.assemble(
        ("● ", _STYLES[prediction.state]),
        (prediction.label, _STYLES[prediction.state]),
        f"  {prediction.score:.2f}",
        (f"   at {_clock(prediction.t1_ns - origin_ns)}", "dim"),
        (f"   {prediction.latency_ms['total']:.1f} ms" if "total" in prediction.latency_ms else "", "dim"),
        (f"   {windows} windows", "dim"),
    )
    parts += [Text(), now, Text()]
    parts += [_bars(prediction.top)] if prediction.top else [Text("no movement to compare", style="dim")]
    spells = Table.grid(padding=(0, 2))
    for spell in recent:
        ended = "goes on" if spell.duration_s is None else f"{spell.duration_s:.1f} s"
        spells.add_row(
            Text(_clock(spell.start_ns - origin_ns), style="dim"),
            Text(spell.label, style=_STYLES[spell.state]),
            f"{spell.score:.2f}",
            Text(ended, style="dim"),
        )
    return Group(*parts, Text(), spells)


def event_line(event: Event, origin_ns: int) -> Text:
    """One event, for an output that is no terminal."""
    line = f"{_clock(event.t_ns - origin_ns):>9}  {event.kind:<5}  {event.label}  {event.score:.2f}"
    return Text(line if event.duration_s is None else f"{line}  {event.duration_s:.1f} s")


def summary_view(summary: Summary) -> RenderableType:
    """What the run amounts to: seconds per label, samples accounted for, latency per stage."""
    what = f"{summary.source}, {summary.engine}"
    windows = f"{summary.windows} windows" + (
        f", {summary.windows_skipped} hops skipped because the stream was behind" if summary.windows_skipped else ""
    )
    parts: list[RenderableType] = [
        Text(),
        Text("Interrupted. " if summary.interrupted else "") + Text(what),
        Text(windows),
        Text(f"beside the computing below, the resampler has a constant delay of {summary.delay_s * 1e3:.1f} ms"),
    ]
    parts += [Text(f"note: {note}", style="yellow") for note in summary.notes]
    tables = [_seconds(summary.seconds), _samples(summary), _latency(summary.latency), _device(summary.device)]
    return Group(*parts, Text(), Columns([table for table in tables if table.row_count], padding=(0, 4)))


def _bars(top: Iterable[tuple[str, float]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for label, probability in top:
        bar = ProgressBar(
            total=1.0, completed=probability, width=_BAR_COLUMNS, complete_style=_BAR_STYLE, finished_style=_BAR_STYLE
        )
        table.add_row(Text(label), bar, f"{probability:.2f}")
    return table


def _seconds(seconds: Mapping[str, float]) -> Table:
    table = _table("label", "seconds", "share")
    total = sum(seconds.values())
    for label, spent in sorted(seconds.items(), key=lambda row: -row[1]):
        table.add_row(Text(label), f"{spent:.1f}", f"{spent / total:.0%}" if total > 0 else "")
    return table


def _samples(summary: Summary) -> Table:
    table = _table("samples", "count")
    for reason, count in summary.samples.items():
        table.add_row(Text(reason.replace("_", " ")), f"{count:,}")
    if summary.lost:
        table.add_row("lost before they arrived", f"{summary.lost:,}")
    table.add_row("interpolated on the grid", f"{summary.interpolated:,}")
    return table


def _device(device: Mapping[str, float]) -> Table:
    table = _table("device", "")
    for name, value in device.items():
        if value:
            table.add_row(
                Text(name.replace("_", " ")), f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3f}"
            )
    return table


def _latency(latency: Mapping[str, StageLatency]) -> Table:
    table = _table("stage", "p50 ms", "p99 ms")
    for stage, times in latency.items():
        if times.count:
            table.add_row(Text(_STAGES.get(stage, stage)), f"{times.p50_ms:.3f}", f"{times.p99_ms:.3f}")
    return table


def _table(first: str, *numbers: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(first)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _clock(elapsed_ns: int) -> str:
    minutes, seconds = divmod(elapsed_ns / NS_PER_S, 60)
    return f"{int(minutes)}:{seconds:04.1f}"
