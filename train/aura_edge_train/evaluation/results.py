"""What an evaluation found, as its JSON says it: every number with its interval, and all that one needs to get it again."""

from __future__ import annotations

import platform
from typing import Any

import msgspec
import numpy as np
import torch

import aura_edge
from aura_edge.checkout import commit
from aura_edge.manifest import TextSpace
from aura_edge_train.datasets import Split
from aura_edge_train.evaluation.adapting import Adapted
from aura_edge_train.evaluation.conditions import Conditions
from aura_edge_train.evaluation.cross_modal import Retrieved
from aura_edge_train.evaluation.few_shot import FewShotScore
from aura_edge_train.evaluation.generalised import GeneralisedScore
from aura_edge_train.evaluation.metrics import Score
from aura_edge_train.evaluation.one_against_all import GroupScore
from aura_edge_train.evaluation.probes import ProbeScore
from aura_edge_train.evaluation.prompts import PromptAnswer

SCHEMA = 2
"""1: one bundle, zero-shot only, `labels` always there. What 1 had is where it was."""


class Plan(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is asked of every encoder on every data set, beside zero-shot answers."""

    split: Split = "test"
    conditions: Conditions = Conditions()
    """Of the windows that are asked; probes and fine-tuning learn from windows as they were worn."""
    against: str = ""
    """A group of captions to be told from all others."""
    probe: bool = False
    few_shot: tuple[int, ...] = ()
    fine_tune: int = 0
    """Epochs ..."""
    scratch: int = 0
    """... and those of the same encoder from random weights."""
    retrieval: bool = False
    prompts: tuple[str, ...] = ()
    seed: int = 0
    """Of resampling, draws, probes and fine-tuning."""


class SetEvaluation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answers on one data set."""

    labels: Score | None = None
    """Zero-shot among all its labels; None for a set, or an encoder, without any."""
    groups: Score | None = None
    """The same answers, counted by the group that a label belongs to, where groups are coarser than labels."""
    foreign: bool | None = None
    """Whether the encoder was never trained on this set; None where that is not known."""
    generalised: dict[str, GeneralisedScore] = {}
    """Seen and unseen labels apart, where the recipe left some out: with cosines as they are, and as its decision corrects them."""
    against: GroupScore | None = None
    linear_probe: ProbeScore | None = None
    nearest_neighbours: ProbeScore | None = None
    few_shot: tuple[FewShotScore, ...] = ()
    fine_tuned: Adapted | None = None
    from_scratch: Adapted | None = None
    retrieval: Retrieved | None = None
    prompts: tuple[PromptAnswer, ...] = ()
    windows: int = 0
    data_sha256: str = ""
    prototypes_sha256: str = ""
    subjects: tuple[str, ...] = ()


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What `aura-edge evaluate` measured, as its JSON says it."""

    schema: int
    bundle: str = ""
    """Name of the bundle ..."""
    run: str = ""
    """... or of the training run."""
    engine: dict[str, Any]
    encoder: str
    """Its kind."""
    parameters: int
    text_space: TextSpace
    split: Split
    rotation_seed: int | None
    """As in `plan`; None where windows were taken as worn."""
    plan: Plan
    sets: dict[str, SetEvaluation]
    recipe_sha256: str = ""
    """Of the recipe that it was trained by."""
    trained_at: str = ""
    """Commit of the sources that trained it."""
    here: dict[str, str]
    """Versions and machine that measured."""
    compared: tuple[Evaluation, ...] = ()
    """Other encoders, measured the same way."""

    @property
    def name(self) -> str:
        """For people."""
        return self.bundle or self.run

    @property
    def all(self) -> tuple[Evaluation, ...]:
        """This one, and those beside it."""
        return (self, *self.compared)


def here() -> dict[str, str]:
    """What measures."""
    versions = {
        "aura_edge": aura_edge.__version__,
        "commit": commit() or "",
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "threads": str(torch.get_num_threads()),
    }
    return {name: value for name, value in versions.items() if value}
