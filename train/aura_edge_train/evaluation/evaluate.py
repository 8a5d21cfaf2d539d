"""Zero-shot evaluation of a bundle on the held-out people of a data set, through any engine: what ships is what is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from aura_edge import prototypes
from aura_edge.bundle import Bundle
from aura_edge.encoders.checkpoint import Caption
from aura_edge.engines import Engine
from aura_edge.errors import RecipeError
from aura_edge_train import augment, datasets
from aura_edge_train.datasets import Split
from aura_edge_train.datasets.store import open_store
from aura_edge_train.evaluation import zero_shot
from aura_edge_train.evaluation.metrics import Score, score_in_full

SCHEMA = 1


class SetEvaluation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answers on one data set."""

    labels: Score
    """Among all its labels."""
    groups: Score | None = None
    """The same answers, counted by the group that a label belongs to, where groups are coarser than labels."""
    data_sha256: str = ""
    prototypes_sha256: str = ""
    subjects: tuple[str, ...] = ()


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What `aura-edge evaluate` measured, as its JSON says it."""

    schema: int = SCHEMA
    bundle: str
    engine: dict[str, Any]
    split: Split
    rotation_seed: int | None
    """Each window was turned by a rotation drawn from this seed; None where windows were taken as worn."""
    sets: dict[str, SetEvaluation]


def evaluate(
    bundle: Bundle,
    engine: Engine,
    *,
    data: Path,
    cache: Path,
    sets: Sequence[str] = (),
    split: Split = "test",
    rotation_seed: int | None = None,
    console: Console | None = None,
) -> Evaluation:
    """Measure `bundle` on `split` of each of `sets` (default: every data set that it has prototypes for)."""
    signal = bundle.manifest.signal
    done = {}
    for name in sets or sets_of(bundle):
        data_set = datasets.get(name)
        known = prototypes.load_for(bundle, name).select([caption.label for caption in data_set.captions])
        store = open_store(data_set, data, cache=cache, rate_hz=signal.rate_hz, console=console)
        answers = zero_shot.answer(
            engine.embed,
            known.embeddings,
            store,
            split,
            signal.window_samples,
            turn=None if rotation_seed is None else turner(rotation_seed),
        )
        done[name] = SetEvaluation(
            labels=score_in_full(answers.truth, answers.best, known.labels, answers.subjects),
            groups=_by_group(answers, data_set.captions),
            data_sha256=store.index.digest,
            prototypes_sha256=known.digest,
            subjects=tuple(np.unique(answers.subjects).tolist()),
        )
    return Evaluation(
        bundle=bundle.manifest.name, engine=asdict(engine.info), split=split, rotation_seed=rotation_seed, sets=done
    )


def sets_of(bundle: Bundle) -> list[str]:
    """Data sets that a bundle has prototypes for. Raises `RecipeError` where there is none."""
    found = [name for name in sorted(datasets.DATA_SETS) if f"prototypes/{name}.safetensors" in bundle.manifest.files]
    if not found:
        raise RecipeError(
            f"{bundle.path}: has prototypes for none of {', '.join(sorted(datasets.DATA_SETS))}; export it from a checkpoint that was "
            "trained on one of them."
        )
    return found


def turner(seed: int) -> zero_shot.Turn:
    """A function that turns each window of (B, 6, n) by a rotation of its own, drawn evenly from SO(3)."""
    generator = torch.Generator().manual_seed(seed)

    def turn(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        rotations = augment.rotations(len(windows), generator).numpy()
        return np.concatenate([rotations @ windows[:, :3], rotations @ windows[:, 3:]], axis=1)

    return turn


def _by_group(answers: zero_shot.Answers, captions: Sequence[Caption]) -> Score | None:
    groups = list(dict.fromkeys(caption.group for caption in captions))
    if len(groups) == len(captions):
        return None
    group_of = np.array([groups.index(caption.group) for caption in captions], np.int64)
    return score_in_full(group_of[answers.truth], group_of[answers.best], groups, answers.subjects)
