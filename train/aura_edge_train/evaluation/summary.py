"""Evaluations as tables and as a page: which table shows what, and what the numbers stand on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from aura_edge_train.evaluation import tables
from aura_edge_train.evaluation.evaluate import Measured
from aura_edge_train.evaluation.html_report import Highlight, Page, Points
from aura_edge_train.evaluation.metrics import Score
from aura_edge_train.evaluation.one_against_all import MEASURES
from aura_edge_train.evaluation.projections import FEWEST, project
from aura_edge_train.evaluation.results import Evaluation, SetEvaluation
from aura_edge_train.evaluation.tables import Cell, Row, Table

FOREIGN = "†"
LENGTH_NOTE = (
    " Short trials were extended to a window, which tells both how long a trial was: 'length of the trial alone' is what that is worth "
    "without a look at the movement. utd-mhad-middle has the same trials without it."
)


def title_of(evaluation: Evaluation) -> str:
    """Who was asked, and about whom: for the head of what is printed."""
    changed = evaluation.plan.conditions.sentence
    return f"{evaluation.name}, {evaluation.split} subjects{f', {changed}' if changed else ''}"


def set_name(name: str, found: SetEvaluation) -> str:
    """With a word where the encoder never saw that set."""
    return f"{name} (foreign)" if found.foreign else name


def tables_of(evaluation: Evaluation) -> list[Table]:
    """Everything but confusions, those beside it as rows of the same tables."""
    found = [recognition(evaluation)]
    found += [
        *_generalised(evaluation),
        _against(evaluation),
        *_few_shot(evaluation),
        *_retrieval(evaluation),
        _prompts(evaluation),
    ]
    return [table for table in found if table is not None and table.rows]


def recognition(evaluation: Evaluation) -> Table | None:
    """By data set, encoder and way of training; None where nothing was recognised."""
    found: dict[str, dict[str, Mapping[str, Score]]] = {}
    for each in evaluation.all:
        for name, one in each.sets.items():
            ways = _ways(one)
            if ways:
                count = len(next(iter(ways.values())).labels)
                found.setdefault(f"{name}, {count} labels", {})[_row_name(each, one)] = ways
            if one.groups is not None:
                kinds = f"{name}, {len(one.groups.labels)} groups"
                found.setdefault(kinds, {})[_row_name(each, one)] = {"zero-shot": one.groups}
    if not found:
        return None
    note = "Macro-F1 and accuracy; 95 % intervals over people drawn again."
    return replace(tables.recognition_table(found), note=note + _foreign_note(evaluation))


def page_of(measured: Sequence[Measured], evaluation: Evaluation) -> Page:
    """`evaluation` has all of `measured` in it; pictures are of the first."""
    confusions: dict[str, Score] = {}
    points: list[Points] = []
    for name, one in evaluation.sets.items():
        for way, score in _ways(one).items():
            if way in ("zero-shot", "fine-tuned"):
                confusions[f"{evaluation.name} on {name}: {way} confusion"] = score
        if one.groups is not None:
            confusions[f"{evaluation.name} on {name}: zero-shot confusion of groups"] = one.groups
        embedded = measured[0].embedded[name]
        labels = _ways(one)
        if labels and len(embedded.vectors) >= FEWEST:
            drawn = project(embedded.vectors, embedded.captions, seed=evaluation.plan.seed)
            points.append(Points(f"{evaluation.name}: windows of {name}", drawn, next(iter(labels.values())).labels))
    names = " and ".join(each.name for each in evaluation.all)
    changed = evaluation.plan.conditions.sentence
    return Page(
        title=f"{names} on {', '.join(evaluation.sets)}",
        lead=f"Measured on windows of {evaluation.split} subjects{f', {changed}' if changed else ', as they were worn'}.",
        highlights=_highlights(evaluation),
        tables=tables_of(evaluation),
        confusions=confusions,
        points=points,
        about=_about(evaluation),
    )


def _row_name(evaluation: Evaluation, one: SetEvaluation) -> str:
    return f"{evaluation.name} {FOREIGN}" if one.foreign else evaluation.name


def _foreign_note(evaluation: Evaluation) -> str:
    if any(one.foreign for each in evaluation.all for one in each.sets.values()):
        return f" {FOREIGN} Never trained on that set: asked as is, with the set's own captions."
    return ""


def _ways(one: SetEvaluation) -> dict[str, Score]:
    tuned = {"fine-tuned": one.fine_tuned, "from scratch": one.from_scratch}
    probed = {"linear probe": one.linear_probe, "k-NN": one.nearest_neighbours}
    found = {"zero-shot": one.labels}
    found |= {way: each.test for way, each in (tuned | probed).items() if each is not None}
    return {way: score for way, score in found.items() if score is not None}


def _generalised(evaluation: Evaluation) -> list[Table]:
    found = []
    for name in evaluation.sets:
        scores = {f"{e.name}, {way}": score for e in evaluation.all for way, score in e.sets[name].generalised.items()}
        if scores:
            found.append(tables.generalised_table(scores, title=f"Seen and unseen activities of {name}"))
    return found


def _against(evaluation: Evaluation) -> Table:
    rows: list[Row] = []
    lent: set[str] = set()
    for each in evaluation.all:
        for name, one in each.sets.items():
            if (told := one.against) is not None:
                cells = [
                    Cell(told.measures[m], told.intervals.get(m)) if m in told.measures else Cell(None)
                    for m in MEASURES
                ]
                of = f"{told.positives:,} of {told.windows:,}"
                rows.append(Row((name, _row_name(each, one), of), tuple(cells)))
                lent |= {told.lent_by} - {""}
    rows.sort(key=lambda row: list(evaluation.sets).index(row.names[0]))
    note = "A set without such windows has false alarms alone"
    note += f"; the captions of the group were lent by {', '.join(sorted(lent))}." if lent else "."
    note += _foreign_note(evaluation)
    title = f"{evaluation.plan.against!r} against all others"
    return Table(title, ("data set", "encoder", "windows of it"), (), MEASURES, tuple(rows), note)


def _few_shot(evaluation: Evaluation) -> list[Table]:
    found = []
    for name in evaluation.sets:
        scores = {_row_name(e, e.sets[name]): e.sets[name].few_shot for e in evaluation.all if e.sets[name].few_shot}
        if scores:
            table = tables.few_shot_table(scores, title=f"Few labelled windows of {name}")
            found.append(replace(table, note=table.note + _foreign_note(evaluation)))
    return found


def _retrieval(evaluation: Evaluation) -> list[Table]:
    found = []
    for name in evaluation.sets:
        told = {_row_name(e, e.sets[name]): e.sets[name].retrieval for e in evaluation.all}
        directions = {encoder: each.directions for encoder, each in told.items() if each is not None}
        if not directions:
            continue
        alone = next((each.length_alone for each in told.values() if each is not None and each.length_alone), ())
        if alone:
            directions["length of the trial alone"] = alone
        table = tables.retrieval_table(directions, title=f"Retrieval on {name}")
        found.append(replace(table, note=table.note + (LENGTH_NOTE if alone else "") + _foreign_note(evaluation)))
    return found


def _prompts(evaluation: Evaluation) -> Table:
    rows = [
        Row(
            (answer.prompt, each.name, name, hit.recording, hit.subject, f"{hit.at_s:.1f} s", hit.label),
            (Cell(hit.cosine),),
        )
        for number in range(len(evaluation.plan.prompts))
        for each in evaluation.all
        for name, one in each.sets.items()
        for answer in one.prompts[number : number + 1]
        for hit in answer.hits
    ]
    head = ("prompt", "encoder", "data set", "recording", "subject", "from", "called")
    note = "The best window of each stretch of signal; 'from' counts from its start."
    return Table("Words to windows", head, (), ("cosine",), tuple(rows), note)


def _highlights(evaluation: Evaluation) -> list[Highlight]:
    found = []
    for name, one in evaluation.sets.items():
        for way, score in _ways(one).items():
            if way in tables.WAYS:
                found.append(
                    Highlight(f"{name}, {way}", f"{score.accuracy:.3f}", f"accuracy; macro-F1 {score.macro_f1:.3f}")
                )
        if one.retrieval is not None:
            for each in one.retrieval.directions:
                if 10 in each.score.recall:
                    recall = each.score.recall[10]
                    told = f"R@10; chance {recall.chance:.3f}"
                    found.append(Highlight(f"{name}, {each.query} → {each.gallery}", f"{recall.value:.3f}", told))
    return found


def _about(evaluation: Evaluation) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for each in evaluation.all:
        found[each.name] = {
            "encoder": f"{each.encoder}, {each.parameters:,} parameters",
            "runs on": f"{each.engine['name']}, {each.engine['device']}, {each.engine['precision']}",
            "weights": each.engine["weights"],
            "text space": f"{each.text_space.tower} {each.text_space.weights_sha256[:16]}",
        }
        found[each.name] |= {"recipe": each.recipe_sha256} if each.recipe_sha256 else {}
        found[each.name] |= {"trained at": each.trained_at} if each.trained_at else {}
    for name, one in evaluation.sets.items():
        found[name] = {
            "windows": f"{one.windows:,}, {evaluation.split}",
            "subjects": ", ".join(one.subjects),
            "data": one.data_sha256,
            "prototypes": one.prototypes_sha256 or "none",
        }
    plan = msgspec.json.encode(evaluation.plan).decode()
    return found | {"measured with": dict(evaluation.here) | {"plan": plan}}
