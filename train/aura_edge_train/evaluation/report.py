"""An evaluation for people: one line per data set, and where the answers went wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from aura_edge_train.evaluation.evaluate import Evaluation
from aura_edge_train.evaluation.metrics import Score

WIDEST_MATRIX = 12
"""More labels than this make no readable matrix: then the most frequent confusions are listed."""
LISTED = 10
COMPACT: Any = {"box": SIMPLE, "pad_edge": False, "collapse_padding": True}
"""So that ten groups fit into a terminal of 80 columns."""


def show(evaluation: Evaluation, console: Console) -> None:
    """Print it."""
    turned = "" if evaluation.rotation_seed is None else f", each window turned (seed {evaluation.rotation_seed})"
    engine = f"{evaluation.engine['name']} on {evaluation.engine['device']}"
    table = Table(title=f"{evaluation.bundle}, {evaluation.split} subjects{turned}, {engine}", **COMPACT)
    for column in ("data set", "labels", "windows", "accuracy [95 %]", "macro-F1 [95 %]"):
        table.add_column(column, no_wrap=True)
    for name, found in evaluation.sets.items():
        for what, score in (("labels", found.labels), ("groups", found.groups)):
            if score is not None:
                table.add_row(
                    name,
                    f"{len(score.labels)} {what}",
                    str(score.windows),
                    _with_interval(score.accuracy, score.accuracy_interval),
                    _with_interval(score.macro_f1, score.macro_f1_interval),
                )
    console.print(table)
    for name, found in evaluation.sets.items():
        for score in (found.labels, found.groups):
            if score is not None:
                console.print(_matrix(name, score) if len(score.labels) <= WIDEST_MATRIX else _confusions(name, score))


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
