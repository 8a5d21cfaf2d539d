"""A diary as a page, or a day of it as a picture: one file each, without scripts and without anything from a network."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from html import escape

from aura_edge.diary.day import of_day, ranked, spoken
from aura_edge.diary.reading import Account
from aura_edge.html_page import document

# Okabe and Ito's colours, which stay apart for colour-blind people; beyond them, hues a golden angle apart.
COLOURS = ("#009e73", "#0072b2", "#e69f00", "#cc79a7", "#56b4e9", "#d55e00", "#b3a800")
_WIDTH, _LANE, _TOP, _LEFT, _RIGHT = 1000.0, 24.0, 22.0, 220.0, 100.0
_NARROWEST = 0.5
"""Stays closer together than this many pixels are drawn as one: thousands of them need no more room than they have."""

_CSS = """
:root { color-scheme: light dark; --ink: #1c1c1c; --faint: #8a8a8a; --line: #dddddd; --paper: #ffffff }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --faint: #9a9a9a; --line: #3a3a3a; --paper: #161616 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 66rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 } th, td { text-align: left; padding: .15rem .9rem .15rem 0; vertical-align: top }
th { font-weight: 600 } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums } .faint { color: var(--faint) }
svg { width: 100%; height: auto } .wide { overflow-x: auto } h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
svg text { fill: var(--ink, #1c1c1c); font: 12px system-ui, sans-serif } svg .faint { fill: var(--faint, #6a6a6a) }
svg line { stroke: var(--line, #cccccc) }
"""


def page(account: Account) -> str:
    """The whole account as HTML."""
    zones = ", ".join(account.time_zones) or "unknown"
    parts = [
        f"<h1>Diary</h1><p class=faint>{escape(account.diary)}. Times are local to where it was kept: {escape(zones)}.</p>"
    ]
    parts += [_table(("label", "time", "seconds"), [(a, spoken(s), f"{s:,.1f}") for a, s in account.seconds.items()])]
    for day in _days(account):
        parts.append(f"<h2>{day:%A} {day.isoformat()}</h2><div class=wide>{picture(account, day, styled=False)}</div>")
    hours = [(f"{one.hour:%Y-%m-%d %H:%M}", one.label, f"{one.seconds:,.1f}") for one in account.hours]
    parts.append("<h2>Hours</h2>" + _table(("hour", "label", "seconds"), hours))
    if account.transitions:
        changes = [(one.from_label, one.to_label, str(one.count)) for one in account.transitions]
        parts.append("<h2>What followed what</h2>" + _table(("from", "to", "times"), changes))
    sessions = [
        (
            str(one.session),
            one.source,
            f"{one.started:%Y-%m-%d %H:%M:%S}",
            f"{one.ended:%Y-%m-%d %H:%M:%S}" + ("" if one.closed else ", not ended"),
            spoken(one.seconds),
            one.model[:12],
            one.labels[:12],
        )
        for one in account.sessions
    ]
    parts.append("<h2>Sessions</h2>" + _table(("session", "source", "from", "to", "time", "model", "labels"), sessions))
    return document("Diary", _CSS, "".join(parts))


def picture(account: Account, day: date, *, styled: bool = True) -> str:
    """A day as SVG: a lane for each label, the hours across. With `styled` it stands on its own."""
    spells = of_day(account.spells, day)
    first = min((int(start // 60) for _, start, _ in spells), default=0)
    last = max((int(-(-end // 60)) for _, _, end in spells), default=24)
    spent: dict[str, float] = {}
    for entry in account.hours:
        if entry.hour.date() == day:
            spent[entry.label] = spent.get(entry.label, 0.0) + entry.seconds
    lanes = [label for label in ranked(account) if label in spent]
    height, scale = _TOP + _LANE * len(lanes) + 6, (_WIDTH - _LEFT - _RIGHT) / ((last - first) * 60)
    parts = []
    for hour in range(first, last + 1):
        x = _LEFT + (hour - first) * 60 * scale
        if hour % max(1, (last - first) // 12) == 0:
            parts.append(f'<text class="faint" x="{x:.1f}" y="14" text-anchor="middle">{hour:02}:00</text>')
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP:g}" y2="{height - 6:g}"/>')
    for row, label in enumerate(lanes):
        y, shown = _TOP + row * _LANE, escape(label if len(label) <= 32 else f"{label[:31]}…")
        parts.append(f'<text x="{_LEFT - 8:g}" y="{y + 16:g}" text-anchor="end">{shown}</text>')
        parts.append(f'<text class="faint" x="{_WIDTH - _RIGHT + 8:g}" y="{y + 16:g}">{spoken(spent[label])}</text>')
        stays = [
            (_LEFT + (a - first * 60) * scale, _LEFT + (b - first * 60) * scale)
            for name, a, b in spells
            if name == label
        ]
        rects = "".join(
            f'<rect x="{a:.1f}" y="{y + 4:g}" width="{b - a:.1f}" height="{_LANE - 8:g}"/>' for a, b in _merged(stays)
        )
        parts.append(f'<g fill="{colour(ranked(account)[label])}"><title>{escape(label)}</title>{rects}</g>')
    style = f"<style>{_CSS[_CSS.index('svg text') :]}</style>" if styled else ""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {height:g}" role="img"><title>{day.isoformat()}</title>{style}'
    return f"{head}{''.join(parts)}</svg>"


def colour(rank: int) -> str:
    """The colour of the label of that rank."""
    return COLOURS[rank] if rank < len(COLOURS) else f"hsl({rank * 137.5 % 360:.0f} 55% 50%)"


def _merged(stays: list[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for start, end in sorted(stays):
        end = max(end, start + _NARROWEST)
        if merged and start - merged[-1][1] < _NARROWEST:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged


def _days(account: Account) -> tuple[date, ...]:
    return (account.day,) if account.day else account.days


def _table(names: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    numbers = [' class="n"' if name in ("time", "seconds", "times") else "" for name in names]
    head = "".join(f"<th{kind}>{name}</th>" for kind, name in zip(numbers, names, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{escape(cell)}</td>' for kind, cell in zip(numbers, row, strict=True))}</tr>"
        for row in rows
    )
    return f"<div class=wide><table><tr>{head}</tr>{body}</table></div>"
