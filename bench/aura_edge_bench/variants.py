"""Variants of a training recipe, side by side: an ablation, or encoders that share data and budget.

`python -m aura_edge_bench.variants SUITE --data FOLDER --runs FOLDER` trains every variant of a suite (a TOML file, or the name of one of those
in `suites/`) and answers the windows of test subjects under each of its conditions. What a run folder holds already is not trained again; the
table is written after each variant, so that a run that is cut off goes on.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from rich.console import Console

from aura_edge.errors import RecipeError
from aura_edge.user_cache import user_cache
from aura_edge.whole_files import replace_file
from aura_edge_bench.machine import Machine, this_machine
from aura_edge_train import recipe as recipes
from aura_edge_train import running
from aura_edge_train.evaluation.candidates import of_run
from aura_edge_train.evaluation.conditions import Conditions
from aura_edge_train.evaluation.evaluate import evaluate
from aura_edge_train.evaluation.results import Plan
from aura_edge_train.evaluation.spaces import Spaces
from aura_edge_train.recipe import Recipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCHEMA = 1


class Condition(Conditions, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """How the windows that are asked were worn and sampled."""

    name: str


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[variants]]`: what it changes about the recipe of the suite."""

    name: str
    recipe: dict[str, Any] = {}
    """Laid over the recipe, table by table; an `encoder` that names another kind or preset takes the place of the recipe's."""
    data: tuple[str, ...] = ()
    """The data sets of the recipe that it is trained on; none named for all."""


class Suite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A suite file."""

    name: str
    recipe: str
    epochs: Annotated[int, msgspec.Meta(ge=1)]
    sets: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    """Data sets whose test subjects answer."""
    conditions: Annotated[tuple[Condition, ...], msgspec.Meta(min_length=1)]
    variants: Annotated[tuple[Variant, ...], msgspec.Meta(min_length=1)]
    against: str = ""
    """A group of captions to be told from all others as well: `fall`."""

    def __post_init__(self) -> None:
        for what, names in (
            ("conditions", [c.name for c in self.conditions]),
            ("variants", [v.name for v in self.variants]),
        ):
            if len(set(names)) < len(names):
                raise ValueError(f"two {what} have one name; give each its own")


class Answered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Zero-shot answers on one data set under one condition."""

    windows: int
    accuracy: float
    macro_f1: float
    accuracy_interval: tuple[float, float] | None = None
    """95 %, over people drawn again; macro-F1's likewise."""
    macro_f1_interval: tuple[float, float] | None = None
    labels: int
    """Sentences to choose from."""
    foreign: bool = False
    """The encoder was never trained on that set."""
    against: dict[str, float] = {}
    """Sensitivity, specificity and so on of the suite's group against everything else, as far as the set can tell."""


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """A variant after training."""

    name: str
    kind: str
    parameters: int
    learning_rate: float
    recipe_sha256: str
    answers: dict[str, dict[str, Answered]]
    """By condition, then by data set."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The result, as JSON gives it."""

    schema: int = SCHEMA
    benchmark: str = "variants"
    suite: Suite
    seed: int
    machine: Machine
    variants: tuple[Trained, ...]


def load(name: str) -> Suite:
    """A suite from a file, or one of the shipped ones by its name. Raises `RecipeError` naming the key that is wrong."""
    folder = resources.files(__package__).joinpath("suites")
    shipped = sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))
    try:
        text = folder.joinpath(f"{name}.toml").read_text("utf-8") if name in shipped else Path(name).read_text("utf-8")
        return msgspec.convert(tomllib.loads(text), Suite)
    except OSError as error:
        raise RecipeError(
            f"{name}: no suite: {error.strerror}. Expected a TOML file, or one of: {', '.join(shipped)}."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise RecipeError(f"{name}: {error}. The shipped suites show every key: {', '.join(shipped)}.") from error


def recipe_of(suite: Suite, variant: Variant, *, seed: int | None = None) -> Recipe:
    """The recipe of a variant. Raises `RecipeError` for one that makes no sense."""
    base = recipes.load(Path(suite.recipe))
    plain = msgspec.to_builtins(base)
    entries = {entry["name"]: entry for entry in plain["data"]}
    if unknown := set(variant.data) - set(entries):
        raise RecipeError(
            f"variant {variant.name!r}: recipe {suite.recipe} has no data set {', '.join(sorted(unknown))}; it has {', '.join(entries)}."
        )
    # Variants are there to choose from: by validation subjects, who must be new to them.
    plain["data"] = [entries[name] | {"validation_too": False} for name in variant.data or entries]
    if {"kind", "preset"} & set(variant.recipe.get("encoder", {})):
        plain["encoder"] = {}
    laid = _over(plain, variant.recipe)
    laid["name"] = f"{base.name}, {variant.name}"
    laid["optimisation"]["epochs"] = suite.epochs
    laid["seed"] = base.seed if seed is None else seed
    try:
        return msgspec.convert(laid, Recipe)
    except msgspec.ValidationError as error:
        raise RecipeError(f"variant {variant.name!r} of suite {suite.name}: {error}.") from error


def run(
    suite: Suite,
    *,
    data: Path,
    runs: Path,
    cache: Path,
    seed: int | None = None,
    console: Console | None = None,
    after: Callable[[Outcome], None] = lambda outcome: None,
) -> Outcome:
    """Train every variant below `runs`, or go on with what is there, and ask it; `after` gets the table after each."""
    console = console or Console(quiet=True)
    done: list[Trained] = []
    machine = this_machine()
    planned = [(variant, recipe_of(suite, variant, seed=seed)) for variant in suite.variants]
    for variant, recipe in planned:
        folder = runs / f"{suite.name}-{_slug(variant.name)}-{recipe.digest[:8]}"
        console.print(f"{variant.name}: {folder}")
        running.train(recipe, data=data, run=folder, cache=cache, resume=True, console=console)
        done.append(_ask(suite, variant, recipe, folder, data=data, cache=cache, console=console))
        outcome = Outcome(suite=suite, seed=recipe.seed, machine=machine, variants=tuple(done))
        after(outcome)
    return outcome


def _ask(
    suite: Suite, variant: Variant, recipe: Recipe, folder: Path, *, data: Path, cache: Path, console: Console
) -> Trained:
    candidate = of_run(folder, threads=torch.get_num_threads())
    spaces = Spaces(cache, console=console)
    answers: dict[str, dict[str, Answered]] = {}
    try:
        for condition in suite.conditions:
            said = Conditions(**{name: getattr(condition, name) for name in Conditions.__struct_fields__})
            found = evaluate(
                candidate,
                Plan(conditions=said, against=suite.against),
                data=data,
                cache=cache,
                sets=suite.sets,
                spaces=spaces,
                console=console,
            )
            answers[condition.name] = {
                name: Answered(
                    windows=one.labels.windows,
                    accuracy=one.labels.accuracy,
                    macro_f1=one.labels.macro_f1,
                    accuracy_interval=one.labels.accuracy_interval,
                    macro_f1_interval=one.labels.macro_f1_interval,
                    labels=len(one.labels.labels),
                    foreign=bool(one.foreign),
                    against={} if one.against is None else one.against.measures,
                )
                for name, one in found.evaluation.sets.items()
                if one.labels is not None
            }
    finally:
        candidate.close()
    return Trained(
        name=variant.name,
        kind=candidate.spec.kind,
        parameters=candidate.spec.parameters,
        learning_rate=recipe.optimisation.learning_rate,
        recipe_sha256=recipe.digest,
        answers=answers,
    )


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` laid over `below`, table by table."""
    return dict(below) | {
        key: _over(below[key], value) if isinstance(value, Mapping) and isinstance(below.get(key), Mapping) else value
        for key, value in above.items()
    }


def _slug(name: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", help="a TOML file, or the name of a shipped one: ablation, cross-data, encoders")
    parser.add_argument("--data", type=Path, required=True, help="folder of the recordings")
    parser.add_argument(
        "--runs", type=Path, required=True, help="folder for the training runs; those in it are not repeated"
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file, written after each variant")
    parser.add_argument("--cache", type=Path, default=user_cache(), help="where resampled recordings are kept")
    parser.add_argument("--seed", type=int, default=None, help="in place of the recipe's")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)

    def write(outcome: Outcome) -> None:
        replace_file(chosen.out, msgspec.json.format(msgspec.json.encode(outcome), indent=2) + b"\n")

    console = Console(stderr=True, soft_wrap=True)
    run(
        load(chosen.suite),
        data=chosen.data,
        runs=chosen.runs,
        cache=chosen.cache,
        seed=chosen.seed,
        console=console,
        after=write,
    )


if __name__ == "__main__":
    main()
