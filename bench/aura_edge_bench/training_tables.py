"""What training reached, as Markdown: the tables of `docs/TRAINING.md`, from committed results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from aura_edge_bench.committed import read


def seeds(results: Path) -> str:
    """SisFall by runs of the same recipe that differ in nothing but their seed."""
    worn, turned = read(results / "evaluate-sisfall.json"), read(results / "evaluate-sisfall-rotated.json")
    ways = {
        "zero-shot": [one["labels"] for one in _sisfall(worn)],
        "zero-shot, each window turned": [one["labels"] for one in _sisfall(turned)],
        "fine-tuned": [one["fine_tuned"]["test"] for one in _sisfall(worn) if "fine_tuned" in one],
        "zero-shot, ten groups": [one["groups"] for one in _sisfall(worn)],
    }
    rows = ["| SisFall, test subjects | accuracy, mean (each seed) | macro-F1, mean (each seed) |", "|---|---:|---:|"]
    for way, scores in ways.items():
        if scores:
            cells = [_over(s[measure] for s in scores) for measure in ("accuracy", "macro_f1")]
            rows.append(f"| {way} | {cells[0]} | {cells[1]} |")
    return "\n".join(rows)


def encoders(results: Path) -> str:
    """Encoders that shared data and budget."""
    found = read(results / "variants-encoders.json")
    name = found["suite"]["sets"][0]
    rows = [
        "| encoder | parameters | learning rate | accuracy [95 %] | macro-F1 [95 %] | each window turned |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for one in found["variants"]:
        worn, turned = (one["answers"][condition][name] for condition in ("as worn", "turned"))
        rows.append(
            f"| {one['name']} | {one['parameters']:,} | {one['learning_rate']:g} | {_with_interval(worn, 'accuracy')} "
            f"| {_with_interval(worn, 'macro_f1')} | {turned['accuracy']:.3f} / {turned['macro_f1']:.3f} |"
        )
    rows.append(f"\n{found['suite']['epochs']} epochs each, seed {found['seed']}, zero-shot among {name}'s sentences.")
    return "\n".join(rows)


def ablation(results: Path) -> str:
    """Parts of the recipe left out, asked under every condition."""
    found = read(results / "variants-ablation.json")
    conditions = [condition["name"] for condition in found["suite"]["conditions"]]
    tables = []
    for name in found["suite"]["sets"]:
        rows = [f"| {name}: accuracy | {' | '.join(conditions)} |", "|---|" + "---:|" * len(conditions)]
        for one in found["variants"]:
            answers = [one["answers"][condition][name] for condition in conditions]
            mark = " †" if answers[0].get("foreign") else ""
            cells = [f"{answer['accuracy']:.3f}" for answer in answers]
            rows.append(f"| {one['name']}{mark} | {' | '.join(cells)} |")
        tables.append("\n".join(rows))
    tables.append(
        f"{found['suite']['epochs']} epochs each, seed {found['seed']}. † Never trained on that set: asked as is, by its own sentences."
    )
    return "\n\n".join(tables)


def cross_data(results: Path) -> str:
    """Sets that an encoder never saw, and falls against everything else."""
    found = read(results / "variants-cross-data.json")
    rows = [
        "| trained on | asked about | sentences | chance | accuracy | macro-F1 | falls found | no false alarm |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for each in found["variants"]:
        for name, score in each["answers"]["as worn"].items():
            told = [
                f"{score['against'][m]:.3f}" if m in score["against"] else "" for m in ("sensitivity", "specificity")
            ]
            foreign = " †" if score.get("foreign") else ""
            rows.append(
                f"| {each['name']} | {name}{foreign} | {score['labels']} | {1 / score['labels']:.3f} | {score['accuracy']:.3f} "
                f"| {score['macro_f1']:.3f} | {told[0]} | {told[1]} |"
            )
    rows.append(
        f"\n{found['suite']['epochs']} epochs, seed {found['seed']}. † Never trained on that set. Falls: the nearest sentence of a fall against the "
        "nearest of all others; only SisFall has any."
    )
    return "\n".join(rows)


def _sisfall(evaluation: Mapping[str, Any]) -> list[Any]:
    return [each["sets"]["sisfall"] for each in (evaluation, *evaluation.get("compared", ()))]


def _over(values: Any) -> str:
    each: Sequence[float] = list(values)
    return f"{mean(each):.3f} ({', '.join(f'{value:.3f}' for value in each)})"


def _with_interval(score: Mapping[str, Any], measure: str) -> str:
    low, high = score[f"{measure}_interval"]
    return f"{score[measure]:.3f} [{low:.3f}, {high:.3f}]"
