"""Evaluations as the papers' tables: retrieval by direction (R@1, R@10, R@50, MRR) and recognition by way of training (macro-F1, accuracy)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aura_edge.errors import ParityError
from aura_edge_train.evaluation.few_shot import FewShotScore
from aura_edge_train.evaluation.generalised import GeneralisedScore
from aura_edge_train.evaluation.intervals import Interval
from aura_edge_train.evaluation.metrics import Score
from aura_edge_train.evaluation.retrieval import Direction, Measure, RetrievalScore

WAYS = ("zero-shot", "linear probe", "fine-tuned", "from scratch")
"""Columns of the recognition table, in the papers' order; others come after them."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One number."""

    value: float | None
    """None for what was not measured."""
    interval: Interval | None = None
    best: bool = False
    """Highest of its column within its block, where the block has several."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table."""

    names: tuple[str, ...]
    """What it is of; the first is the same for all rows of a block."""
    cells: tuple[Cell, ...]
    chance: bool = False
    """Whether it is the level of chance, and no measurement."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows in blocks under columns."""

    title: str
    names: tuple[str, ...]
    """Heads of the columns of names ..."""
    groups: tuple[tuple[str, int], ...]
    """... heads over several columns of numbers, with how many; none if empty ..."""
    columns: tuple[str, ...]
    """... and heads of the columns of numbers."""
    rows: tuple[Row, ...]
    note: str = ""


def retrieval_table(found: Mapping[str, Sequence[Direction]], *, title: str = "Retrieval") -> Table:
    """Each direction as a block with one row per encoder (the keys of `found`), and chance last."""
    by_direction: dict[tuple[str, str], dict[str, RetrievalScore]] = {}
    for encoder, directions in found.items():
        for each in directions:
            by_direction.setdefault((each.query, each.gallery), {})[encoder] = each.score
    if not by_direction:
        raise ParityError("no direction to show: expected at least one encoder with one.")
    ranks = sorted({k for scores in by_direction.values() for score in scores.values() for k in score.recall})
    rows: list[Row] = []
    for (query, gallery), scores in by_direction.items():
        name = f"{query} → {gallery}"
        measured = {encoder: [*(score.recall.get(k) for k in ranks), score.mrr] for encoder, score in scores.items()}
        block = [
            Row((name, encoder, _size(scores[encoder])), tuple(_of_measure(measure) for measure in measures))
            for encoder, measures in measured.items()
        ]
        first = next(iter(measured.values()))
        chance = tuple(Cell(None if measure is None else measure.chance) for measure in first)
        rows += [*_mark_best(block), Row((name, "chance", ""), chance, chance=True)]
    return Table(
        title,
        ("direction", "encoder", "queries in gallery"),
        (),
        (*(f"R@{k}" for k in ranks), "MRR"),
        tuple(rows),
        "Captions that repeat count as relevant; ties by their expectation.",
    )


def recognition_table(
    found: Mapping[str, Mapping[str, Mapping[str, Score]]], *, title: str = "Activity recognition"
) -> Table:
    """Scores by data set, encoder and way of training (`WAYS`): a block for each data set, a row per encoder."""
    ways = {way for encoders in found.values() for scores in encoders.values() for way in scores}
    if not ways:
        raise ParityError("no score to show: expected a data set with an encoder that was scored.")
    ordered = [*(way for way in WAYS if way in ways), *sorted(ways.difference(WAYS))]
    rows: list[Row] = []
    for data_set, encoders in found.items():
        block = []
        for encoder, scores in encoders.items():
            cells: list[Cell] = []
            for way in ordered:
                score = scores.get(way)
                cells += (
                    [Cell(None), Cell(None)]
                    if score is None
                    else [Cell(score.macro_f1, score.macro_f1_interval), Cell(score.accuracy, score.accuracy_interval)]
                )
            block.append(Row((data_set, encoder), tuple(cells)))
        rows += _mark_best(block)
    return Table(
        title, ("data set", "encoder"), tuple((way, 2) for way in ordered), ("F1", "acc.") * len(ordered), tuple(rows)
    )


def few_shot_table(found: Mapping[str, Sequence[FewShotScore]], *, title: str = "Few labelled windows") -> Table:
    """A row per encoder, two columns for each number of labelled windows."""
    shots = sorted({score.shots for scores in found.values() for score in scores})
    rows = []
    for encoder, scores in found.items():
        of = {score.shots: score for score in scores}
        pairs = [
            (Cell(s.macro_f1, s.macro_f1_interval), Cell(s.accuracy, s.accuracy_interval)) if s else (Cell(None), Cell(None))
            for s in (of.get(count) for count in shots)
        ]  # fmt: skip
        rows.append(Row((encoder,), tuple(cell for pair in pairs for cell in pair)))
    return Table(
        title,
        ("encoder",),
        tuple((f"{count} of each label", 2) for count in shots),
        ("F1", "acc.") * len(shots),
        tuple(_mark_best(rows)),
        "Linear probe on embeddings; mean over draws, interval over draws and subjects.",
    )


def generalised_table(found: Mapping[str, GeneralisedScore], *, title: str = "Seen and unseen activities") -> Table:
    """A row per calibration or encoder."""
    rows = [
        Row(
            (name,),
            (
                Cell(score.seen, score.seen_interval),
                Cell(score.unseen, score.unseen_interval),
                Cell(score.harmonic_mean, score.harmonic_mean_interval),
                Cell(score.unseen_alone),
                Cell(score.ausuc),
            ),
        )
        for name, score in found.items()
    ]
    return Table(
        title,
        ("calibration",),
        (),
        ("seen", "unseen", "harmonic mean", "unseen among unseen", "AUSUC"),
        tuple(_mark_best(rows)),
        "Accuracies are means over labels, among all labels at once except in the fourth column.",
    )


def _mark_best(block: Sequence[Row]) -> list[Row]:
    if len(block) < 2:
        return list(block)
    columns = zip(*(row.cells for row in block), strict=True)
    highest = [max((c.value for c in column if c.value is not None), default=None) for column in columns]
    return [
        Row(
            row.names,
            tuple(
                Cell(cell.value, cell.interval, best=cell.value is not None and cell.value == top)
                for cell, top in zip(row.cells, highest, strict=True)
            ),
        )
        for row in block
    ]


def _of_measure(measure: Measure | None) -> Cell:
    return Cell(None) if measure is None else Cell(measure.value, measure.interval)


def _size(score: RetrievalScore) -> str:
    return f"{score.queries:,} in {score.candidates:,}"
