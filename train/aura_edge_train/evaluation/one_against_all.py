"""One group of activities against all others, as a fall detector is judged: sensitivity, specificity, F1 and false alarms.

A set that has no such group still has false alarms: the captions of the group are then lent by a set that the encoder knows.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from aura_edge.encoders.checkpoint import Caption
from aura_edge.errors import RecipeError
from aura_edge_train import datasets
from aura_edge_train.evaluation import metrics
from aura_edge_train.evaluation.candidates import Candidate
from aura_edge_train.evaluation.embedding import Embedded
from aura_edge_train.evaluation.intervals import Interval, over_groups
from aura_edge_train.evaluation.spaces import Spaces

MEASURES = ("accuracy", "F1", "sensitivity", "specificity")


class GroupScore(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Whether each window was rightly said to be of the group, or not."""

    group: str
    windows: int
    positives: int
    """Windows of the group."""
    false_alarms: int
    """Other windows that were said to be of it."""
    lent_by: str
    """The data set whose captions of the group were asked for; empty where the set has its own."""
    measures: dict[str, float]
    """Those of `MEASURES` that the set can tell: without a window of the group, accuracy and specificity."""
    intervals: dict[str, Interval] = {}


def against_all(
    candidate: Candidate,
    captions: Sequence[Caption],
    prototypes: NDArray[np.float32],
    embedded: Embedded,
    group: str,
    spaces: Spaces,
    *,
    seed: int = 0,
) -> GroupScore:
    """Score the group: its nearest caption against the nearest of the others. Raises `RecipeError` where nobody has such captions."""
    own = np.array([caption.group == group for caption in captions])
    vectors, belongs, lent_by = prototypes, own, ""
    if not own.any():
        lent_by, lent = _lent(candidate, group, spaces)
        vectors, belongs = np.concatenate([prototypes, lent]), np.append(own, np.ones(len(lent), np.bool_))
    said = belongs[(embedded.vectors @ vectors.T).argmax(1)].astype(np.int64)
    truth = own[embedded.captions].astype(np.int64)
    of_group = metrics.confusions(truth, said, embedded.groups, 2)
    whole = of_group.sum(0)
    found = _measures(whole)
    ranges = (
        over_groups(len(of_group), lambda drawn: list(_measures(np.tensordot(drawn, of_group, 1)).values()), seed=seed)
        if len(of_group) > 1 and all(_measures(each).keys() == found.keys() for each in of_group)
        else []
    )
    return GroupScore(
        group=group,
        windows=len(truth),
        positives=int(truth.sum()),
        false_alarms=int(whole[0, 1]),
        lent_by=lent_by,
        measures=found,
        intervals=dict(zip(found, ranges, strict=True)) if ranges else {},
    )


def _measures(confusion: NDArray[np.int64]) -> dict[str, float]:
    (calm, alarms), (missed, caught) = confusion.astype(np.float64)
    found = {"accuracy": (calm + caught) / confusion.sum()}
    if caught + missed:
        found["F1"] = 2 * caught / (2 * caught + alarms + missed)
        found["sensitivity"] = caught / (caught + missed)
    if calm + alarms:
        found["specificity"] = calm / (calm + alarms)
    return {name: float(value) for name, value in found.items()}


def _lent(candidate: Candidate, group: str, spaces: Spaces) -> tuple[str, NDArray[np.float32]]:
    known = [name for name in candidate.sets if name in datasets.DATA_SETS]
    for name in known:
        data_set = datasets.get(name)
        labels = [caption.label for caption in data_set.captions if caption.group == group]
        if labels:
            return name, candidate.prototypes(data_set, spaces).select(labels).embeddings
    there = sorted({caption.group for name in known for caption in datasets.get(name).captions})
    raise RecipeError(
        f"no caption of group {group!r} in {', '.join(known) or 'any set of this encoder'}; the groups there are: {', '.join(there)}."
    )
