"""An evaluation as one HTML file: tables, pictures, and what was measured on what. Nothing in it is loaded from elsewhere, nothing runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import groupby
from pathlib import Path

from aura_edge.html_page import document
from aura_edge.whole_files import write_result
from aura_edge_train.evaluation.metrics import Score
from aura_edge_train.evaluation.pictures import confusion_picture, points_picture
from aura_edge_train.evaluation.projections import Projection
from aura_edge_train.evaluation.tables import Cell, Row, Table


@dataclass(frozen=True, slots=True)
class Highlight:
    """A number to see first."""

    what: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Points:
    """A picture of embeddings, and what its label rows are called."""

    title: str
    projection: Projection
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """What a report shows, in its order; what is empty is left out."""

    title: str
    lead: str = ""
    """A sentence or two under the title."""
    highlights: Sequence[Highlight] = ()
    tables: Sequence[Table] = ()
    confusions: Mapping[str, Score] = field(default_factory=dict)
    """Title to score; scores without labels have no matrix and are left out."""
    points: Sequence[Points] = ()
    about: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What the numbers stand on: machine, data, digests, commands; a heading and its lines."""


def write(page: Page, path: Path) -> None:
    """Write the page to `path`. Raises `SinkError` where that fails."""
    write_result(path, render(page).encode())


def render(page: Page) -> str:
    """The page as HTML; every text given is escaped."""
    parts = [f"<header><h1>{escape(page.title)}</h1>"]
    if page.lead:
        parts.append(f'<p class="lead">{escape(page.lead)}</p>')
    parts.append("</header>")
    if page.highlights:
        tiles = "".join(
            f"<div><span>{escape(h.what)}</span><b>{escape(h.value)}</b><small>{escape(h.note)}</small></div>"
            for h in page.highlights
        )
        parts.append(f'<div class="tiles">{tiles}</div>')
    parts += [_section(table.title, _table(table), table.note) for table in page.tables]
    parts += [
        _section(title, confusion_picture(score), "Rows: what it was. Columns: what was answered. Percent of each row.")
        for title, score in page.confusions.items()
        if score.labels
    ]
    for each in page.points:
        shown, windows = len(each.projection.points), each.projection.windows
        of = f"{windows:,} windows" if shown == windows else f"{shown:,} of {windows:,} windows"
        note = f"{each.projection.method} of {of}; only who is near to whom means something."
        parts.append(_section(each.title, points_picture(each.projection, each.labels), note, "with-legend"))
    if page.about:
        parts.append(f"<footer>{''.join(_about(title, lines) for title, lines in page.about.items())}</footer>")
    return document(page.title, STYLE, f"<main>{chr(10).join(parts)}</main>")


def _section(title: str, content: str, note: str, kind: str = "") -> str:
    below = f'<p class="note">{escape(note)}</p>' if note else ""
    return f'<section><h2>{escape(title)}</h2><div class="scroll {kind}">{content}</div>{below}</section>'


def _table(table: Table) -> str:
    heads = "".join(f'<th scope="col" class="name">{escape(name)}</th>' for name in table.names)
    heads += "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
    groups = ""
    if table.groups:
        over = "".join(f'<th scope="colgroup" colspan="{span}">{escape(name)}</th>' for name, span in table.groups)
        groups = f'<tr class="groups"><td colspan="{len(table.names)}"></td>{over}</tr>'
    bodies = []
    # A block is what shares its first name; a table with one column of names is one block.
    blocks = groupby(table.rows, key=lambda row: row.names[0] if len(row.names) > 1 else "")
    for _, rows in blocks:
        block = list(rows)
        bodies.append(f"<tbody>{''.join(_row(row, number, len(block)) for number, row in enumerate(block))}</tbody>")
    return f"<table><thead>{groups}<tr>{heads}</tr></thead>{''.join(bodies)}</table>"


def _row(row: Row, number: int, rows: int) -> str:
    first, *others = row.names
    if not others:
        names = f'<th scope="row" class="name">{escape(first)}</th>'
    else:
        span = f'<th scope="rowgroup" class="name block" rowspan="{rows}">{escape(first)}</th>' if number == 0 else ""
        names = span + "".join(f'<td class="name">{escape(name)}</td>' for name in others)
    kind = ' class="chance"' if row.chance else ""
    return f"<tr{kind}>{names}{''.join(_cell(cell) for cell in row.cells)}</tr>"


def _cell(cell: Cell) -> str:
    if cell.value is None:
        return '<td class="none">–</td>'  # noqa: RUF001 an empty place in a table
    value = f"<b>{cell.value:.3f}</b>" if cell.best else f"{cell.value:.3f}"
    if cell.interval is None:
        return f"<td>{value}</td>"
    low, high = (f"{end:.3f}".removeprefix("0") for end in cell.interval)
    return f"<td>{value}<small>[{low}, {high}]</small></td>"


def _about(title: str, lines: Mapping[str, str]) -> str:
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in lines.items())
    return f"<div><h3>{escape(title)}</h3><dl>{listed}</dl></div>"


STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ground: #f6f7f9; --ink: #1b2330; --faint: #667085; --line: #dfe3ea;
  --right: #2563c9; --wrong: #c2571a; --mark: #eaf1fd; }
@media (prefers-color-scheme: dark) { :root { --paper: #171c25; --ground: #0e1218; --ink: #e6e9ef; --faint: #98a2b3; --line: #2d3542;
  --right: #4f8df0; --wrong: #e0793a; --mark: #1d2b45; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 28px; line-height: 1.25; margin: 0 0 6px; letter-spacing: -.01em; }
h2 { font-size: 18px; margin: 0 0 14px; }
h3 { font-size: 12px; margin: 0 0 8px; color: var(--faint); text-transform: uppercase; letter-spacing: .06em; }
.lead { margin: 0 0 26px; color: var(--faint); max-width: 76ch; }
section, .tiles div { background: var(--paper); border: 1px solid var(--line); border-radius: 12px; }
section { padding: 22px 24px; margin: 0 0 20px; break-inside: avoid; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 14px; margin: 0 0 20px; }
.tiles div { padding: 14px 18px; display: flex; flex-direction: column; }
.tiles span, .tiles small { color: var(--faint); font-size: 13px; }
.tiles b { font-size: 26px; line-height: 1.3; font-weight: 650; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
.with-legend { display: flex; flex-wrap: wrap; gap: 24px; align-items: flex-start; }
.note { margin: 14px 0 0; color: var(--faint); font-size: 13px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 7px 10px; text-align: right; vertical-align: top; white-space: nowrap; font-weight: 400; }
thead th { color: var(--faint); font-size: 13px; font-weight: 600; }
.groups th { text-align: center; color: var(--ink); border-bottom: 1px solid var(--line); }
.name { text-align: left; }
tbody { border-top: 1px solid var(--line); }
.block, tbody th { font-weight: 600; }
td small { display: block; color: var(--faint); font-size: 11.5px; line-height: 1.3; }
td b { font-weight: 700; background: var(--mark); border-radius: 4px; padding: 1px 5px; margin-right: -5px; }
.chance td, .none { color: var(--faint); }
.chance td.name { font-style: italic; }
svg { display: block; font-family: inherit; }
.confusion { max-width: 100%; height: auto; }
@media (max-width: 800px) { .confusion { max-width: none; } }
svg text { fill: var(--ink); font-size: 12.5px; font-variant-numeric: tabular-nums; }
svg .number, svg .faint text, svg text.faint { fill: var(--faint); font-size: 11px; }
svg .on { fill: #fff; }
svg text[font-size="10"] { font-size: 10px; }
svg .tag text { font-size: 11px; font-weight: 600; }
.points { flex: 0 1 640px; height: auto; min-width: 320px; }
.legend { list-style: none; margin: 0; padding: 0; flex: 1 1 260px; font-size: 13px; columns: 240px auto; column-gap: 20px; }
.legend li { break-inside: avoid; padding: 1px 0 1px 18px; position: relative; }
.legend i { position: absolute; left: 0; top: 7px; width: 10px; height: 10px; border-radius: 50%; }
.legend b { display: inline-block; min-width: 20px; color: var(--faint); font-weight: 600; }
footer { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 24px; padding: 12px 4px; font-size: 13px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 14px; margin: 0; }
dt { color: var(--faint); }
dd { margin: 0; overflow-wrap: anywhere; }
@media print { body { background: none; } main { max-width: none; padding: 0; } }
"""
