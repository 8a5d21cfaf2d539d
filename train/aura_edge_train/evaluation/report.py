"""An evaluation for people at a terminal: one line per data set, the tables that were asked for, and where the answers went wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from aura_edge_train.evaluation import tables
from aura_edge_train.evaluation.metrics import Score
from aura_edge_train.evaluation.results import Evaluation
from aura_edge_train.evaluation.summary import set_name, tables_of, title_of

WIDEST_MATRIX = 12
"""More labels than this make no readable matrix: then the most frequent confusions are listed."""
LISTED = 10
COMPACT: Any = {"box": SIMPLE, "pad_edge": False, "collapse_padding": True}
"""So that ten groups fit into a terminal of 80 columns."""


def show(evaluation: Evaluation, console: Console) -> None:
    """Print it."""
    if evaluation.compared:
        console.print(f"{title_of(evaluation)}; beside it {', '.join(each.name for each in evaluation.compared)}")
    elif any(found.labels is not None for found in evaluation.sets.values()):
        console.print(_zero_shot(evaluation))
    for table in tables_of(evaluation):
        # One encoder that was only asked has all of that table in the one above.
        if evaluation.compared or not table.groups or any(way != "zero-shot" for way, _ in table.groups):
            console.print(_shown(table))
            marked = any(cell.best for row in table.rows for cell in row.cells)
            console.print(f"{table.note}{' * Best of its block.' if marked else ''}".strip(), style="dim")
    for name, found in evaluation.sets.items():
        for score in (found.labels, found.groups):
            if score is not None:
                console.print(_matrix(name, score) if len(score.labels) <= WIDEST_MATRIX else _confusions(name, score))


def _zero_shot(evaluation: Evaluation) -> Table:
    engine = f"{evaluation.engine['name']} on {evaluation.engine['device']}"
    table = Table(title=f"{title_of(evaluation)}, {engine}", **COMPACT)
    for column in ("data set", "labels", "windows", "accuracy [95 %]", "macro-F1 [95 %]"):
        table.add_column(column, no_wrap=True)
    for name, found in evaluation.sets.items():
        for what, score in (("labels", found.labels), ("groups", found.groups)):
            if score is not None:
                table.add_row(
                    set_name(name, found),
                    f"{len(score.labels)} {what}",
                    str(score.windows),
                    _with_interval(score.accuracy, score.accuracy_interval),
                    _with_interval(score.macro_f1, score.macro_f1_interval),
                )
    return table


def _shown(given: tables.Table) -> Table:
    """What stands side by side on a page stands in rows of its own: no terminal is that wide."""
    span = given.groups[0][1] if given.groups else len(given.columns)
    table = Table(title=given.title, **COMPACT)
    for name in given.names:
        table.add_column(name, overflow="fold")
    if given.groups:
        table.add_column("by", no_wrap=True)
    for column in given.columns[:span]:
        table.add_column(column, justify="right", no_wrap=True)
    before = ""
    for row in given.rows:
        for place in range(len(row.cells) // span):
            cells = row.cells[place * span : (place + 1) * span]
            if any(cell.value is not None for cell in cells):
                block = row.names[0] if len(row.names) == 1 or row.names[0] != before else ""
                before = row.names[0]
                way = [given.groups[place][0]] if given.groups else []
                told = [_cell(cell, narrow=span > 2) for cell in cells]
                table.add_row(block, *row.names[1:], *way, *told, style="dim" if row.chance else "")
    return table


def _cell(cell: tables.Cell, *, narrow: bool) -> str:
    """A line has room for two intervals; of four each stands below its number, rounded."""
    if cell.value is None:
        return ""
    value = f"{cell.value:.3f}{'*' if cell.best else ''}"
    if cell.interval is None:
        return value
    if narrow:
        low, high = (f"{end:.2f}".removeprefix("0").replace("1.00", "1.0") for end in cell.interval)
        return f"{value}\n[{low},{high}]"
    low, high = (f"{end:.3f}".removeprefix("0") for end in cell.interval)
    return f"{value} [{low}, {high}]"


def _with_interval(value: float, interval: tuple[float, float] | None) -> str:
    return f"{value:.3f}" if interval is None else f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"


def _matrix(name: str, score: Score) -> Table:
    table = Table("is, answered", *score.labels, title=f"{name}: confusion", **COMPACT)
    for label, row in zip(score.labels, score.confusion, strict=True):
        table.add_row(label, *map(str, row))
    return table


def _confusions(name: str, score: Score) -> Table:
    counts = np.array(score.confusion)
    windows = counts.sum(1)
    np.fill_diagonal(counts, 0)
    table = Table("is", "answered", "windows", "of", title=f"{name}: most frequent confusions", **COMPACT)
    for place in np.argsort(counts, axis=None)[::-1][:LISTED]:
        row, column = divmod(int(place), len(score.labels))
        if counts[row, column]:
            table.add_row(score.labels[row], score.labels[column], str(counts[row, column]), str(windows[row]))
    return table
