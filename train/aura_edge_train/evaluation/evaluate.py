"""Evaluation of an encoder on the held-out people of data sets, through any engine: what ships is what is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.console import Console

from aura_edge.encoders.checkpoint import Caption
from aura_edge.errors import RecipeError
from aura_edge.prototypes import Prototypes
from aura_edge_train import datasets
from aura_edge_train.datasets.store import Store, open_store
from aura_edge_train.evaluation import (
    adapting,
    cross_modal,
    few_shot,
    generalised,
    one_against_all,
    probes,
    prompts,
    results,
)
from aura_edge_train.evaluation.candidates import Candidate, sets_of
from aura_edge_train.evaluation.embedding import Embedded, embed_split
from aura_edge_train.evaluation.few_shot import FewShotScore
from aura_edge_train.evaluation.generalised import Fold, GeneralisedScore
from aura_edge_train.evaluation.metrics import Score, score_in_full
from aura_edge_train.evaluation.probes import ProbeScore
from aura_edge_train.evaluation.results import Evaluation, Plan, SetEvaluation
from aura_edge_train.evaluation.spaces import Spaces

EVERYTHING_OFF = Plan()


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """An evaluation, and the vectors that it was made from, for pictures."""

    evaluation: Evaluation
    embedded: dict[str, Embedded]
    """By data set."""


def evaluate(
    candidate: Candidate,
    plan: Plan = EVERYTHING_OFF,
    *,
    data: Path,
    cache: Path,
    sets: Sequence[str] = (),
    spaces: Spaces | None = None,
    console: Console | None = None,
) -> Measured:
    """Measure a candidate on each of `sets`: names, or paths of descriptions (default: every data set that it has captions of)."""
    console = console or Console(quiet=True)
    spaces = spaces or Spaces(cache, console=console)
    check(candidate, plan)
    done: dict[str, SetEvaluation] = {}
    seen: dict[str, Embedded] = {}
    for name in sets or sets_of(candidate):
        store = open_store(datasets.get(name), data, cache=cache, rate_hz=candidate.signal.rate_hz, console=console)
        found, embedded = _one_set(candidate, store, plan, spaces, console)
        done[store.data_set.name], seen[store.data_set.name] = found, embedded
    evaluation = Evaluation(
        schema=results.SCHEMA,
        bundle=candidate.name if candidate.bundle is not None else "",
        run=candidate.name if candidate.bundle is None else "",
        engine=candidate.engine,
        encoder=candidate.spec.kind,
        parameters=candidate.spec.parameters,
        text_space=candidate.space,
        split=plan.split,
        rotation_seed=plan.conditions.rotation_seed,
        plan=plan,
        sets=done,
        recipe_sha256=candidate.training.get("recipe_sha256", ""),
        trained_at=candidate.training.get("commit") or "",
        here=results.here(),
    )
    return Measured(evaluation, seen)


def check(candidate: Candidate, plan: Plan) -> None:
    """Raise `RecipeError` for what this candidate can answer on no data set: several are checked before the first is measured."""
    if (plan.fine_tune or plan.scratch) and candidate.encoder is None:
        raise RecipeError(
            f"{candidate.path}: a bundle has no weights that could be trained. Name its run: --run FOLDER, or --bundle with --checkpoint."
        )
    if plan.prompts and not candidate.knows_text:
        raise RecipeError(f"{candidate.path}: was aligned without a text tower: a prompt means nothing to it.")


def _one_set(
    candidate: Candidate, store: Store, plan: Plan, spaces: Spaces, console: Console
) -> tuple[SetEvaluation, Embedded]:
    _check_set(candidate, store, plan)
    data_set, captions = store.data_set, store.data_set.captions
    embedded = embed_split(candidate, store, plan.split, conditions=plan.conditions, seed=plan.seed, console=console)
    known = candidate.prototypes(data_set, spaces) if captions and candidate.knows_text else None
    found = SetEvaluation(
        foreign=candidate.is_foreign(data_set.name),
        windows=len(embedded.starts),
        data_sha256=store.index.digest,
        prototypes_sha256="" if known is None else known.digest,
        subjects=tuple(np.unique(embedded.subjects).tolist()),
    )
    new: dict[str, Any] = {}
    if known is not None:
        new["labels"], new["groups"] = _zero_shot(embedded, known, captions, plan.seed)
        new["generalised"] = _generalised(candidate, store, embedded, known, plan.seed)
    if known is not None and plan.against:
        new["against"] = one_against_all.against_all(
            candidate, captions, known.embeddings, embedded, plan.against, spaces, seed=plan.seed
        )
    new |= _probed(candidate, store, embedded, plan, console)
    vectors = None if known is None else known.embeddings
    for name, epochs in (("fine_tuned", plan.fine_tune), ("from_scratch", plan.scratch)):
        if epochs:
            new[name] = adapting.fine_tune(
                candidate,
                store,
                embedded,
                epochs,
                prototypes=vectors,
                from_scratch=name == "from_scratch",
                conditions=plan.conditions,
                seed=plan.seed,
                console=console,
            )
    if plan.retrieval:
        new["retrieval"] = cross_modal.measure(
            candidate,
            store,
            plan.split,
            embedded,
            vectors,
            spaces,
            conditions=plan.conditions,
            seed=plan.seed,
            console=console,
        )
        if not new["retrieval"].directions:
            raise RecipeError(
                f"{data_set.name}: nothing to look for with {candidate.name}: it offers none of captions, moments, videos and motion capture "
                "that this encoder was aligned with."
            )
    if plan.prompts:
        tower = spaces.text(candidate.space, candidate.path, candidate.recipe)
        new["prompts"] = prompts.search(plan.prompts, tower.embed(plan.prompts), store, embedded)
    return msgspec.structs.replace(found, **new), embedded


def _check_set(candidate: Candidate, store: Store, plan: Plan) -> None:
    """What cannot be answered is said before anything is computed."""
    name, has_captions = store.data_set.name, bool(store.data_set.captions)
    learned = plan.probe or plan.few_shot or plan.fine_tune or plan.scratch
    if learned and not has_captions:
        raise RecipeError(f"{name}: probes and fine-tuning need labels, and this set has none. Ask for --retrieval.")
    others = learned or plan.retrieval or plan.prompts
    if not (has_captions and candidate.knows_text) and (plan.against or not others):
        raise RecipeError(
            f"{name}: no zero-shot answers with {candidate.name}: it was aligned without a text tower, or the set has no captions. "
            "Ask for --retrieval or --probe."
        )


def _probed(
    candidate: Candidate, store: Store, embedded: Embedded, plan: Plan, console: Console
) -> dict[str, ProbeScore | tuple[FewShotScore, ...]]:
    """Probes learn from windows as they were worn."""
    if not (plan.probe or plan.few_shot):
        return {}
    names = [caption.label for caption in store.data_set.captions]
    train = embed_split(candidate, store, "train", console=console).labelled
    found: dict[str, ProbeScore | tuple[FewShotScore, ...]] = {}
    if plan.probe:
        validation = embed_split(candidate, store, "validation", console=console).labelled
        asked = embedded.labelled
        found["linear_probe"] = probes.linear_probe(train, validation, asked, names, seed=plan.seed)
        found["nearest_neighbours"] = probes.nearest_neighbours(train, validation, asked, names, seed=plan.seed)
    if plan.few_shot:
        scores = few_shot.few_shot(train, embedded.labelled, names, shots=plan.few_shot, seed=plan.seed)
        found["few_shot"] = tuple(scores)
    return found


def _generalised(
    candidate: Candidate, store: Store, embedded: Embedded, known: Prototypes, seed: int
) -> dict[str, GeneralisedScore]:
    """Empty where the split has no windows of unseen labels, or none of seen ones."""
    unseen = candidate.unseen(store.data_set)
    asked = unseen[embedded.captions]
    if asked.all() or not asked.any():
        return {}
    cosines, bias = known.scores(embedded.vectors), candidate.decision.seen_bias
    ways = {"as they are": cosines} | ({f"seen labels lowered by {bias:.3f}": cosines - bias * ~unseen} if bias else {})
    return {
        way: generalised.score(Fold(scores, embedded.captions, unseen), groups=embedded.groups, seed=seed)
        for way, scores in ways.items()
    }


def _zero_shot(
    embedded: Embedded, known: Prototypes, captions: Sequence[Caption], seed: int
) -> tuple[Score, Score | None]:
    """Among labels, and among groups where those are coarser."""
    best = known.scores(embedded.vectors).argmax(1).astype(np.int64)
    labels = score_in_full(embedded.captions, best, known.labels, embedded.groups, seed=seed)
    groups = list(dict.fromkeys(caption.group for caption in captions))
    if len(groups) == len(captions):
        return labels, None
    group_of = np.array([groups.index(caption.group) for caption in captions], np.int64)
    return labels, score_in_full(group_of[embedded.captions], group_of[best], groups, embedded.groups, seed=seed)
