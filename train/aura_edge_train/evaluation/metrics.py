"""What an encoder is worth: accuracy, macro-F1 and confusion of its zero-shot answers, with intervals over people drawn again."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from aura_edge.errors import ParityError
from aura_edge_train.evaluation.intervals import over_groups


class Score(msgspec.Struct, frozen=True, omit_defaults=True):
    """Zero-shot answers to the windows of a split."""

    windows: int
    accuracy: float
    macro_f1: float
    """Mean F1 over the labels that occur in the split."""
    accuracy_interval: tuple[float, float] | None = None
    """95 % percentile interval over subjects drawn again, None where there is but one ..."""
    macro_f1_interval: tuple[float, float] | None = None
    """... and that of macro-F1."""
    labels: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    """Rows: what it is; columns: what was answered; in the order of `labels`."""


def score(truth: NDArray[np.int64], answers: NDArray[np.int64]) -> Score:
    """Accuracy and macro-F1 of (W,) answers. Raises `ParityError` where nothing was compared."""
    if len(truth) == 0 or truth.shape != answers.shape:
        raise ParityError(f"{len(truth)} windows with {len(answers)} answers: expected as many, and at least one.")
    macro = f1_score(truth, answers, labels=np.unique(truth), average="macro", zero_division=0.0)
    return Score(len(truth), float(accuracy_score(truth, answers)), float(macro))


def score_in_full(
    truth: NDArray[np.int64],
    answers: NDArray[np.int64],
    labels: Sequence[str],
    subjects: NDArray[np.str_],
    *,
    seed: int = 0,
) -> Score:
    """`score`, with the confusion matrix over `labels` and intervals; `subjects` (W,) tells whose each window is.

    Windows of one person are alike, so it is people who are drawn, with replacement (cluster bootstrap, Davison and Hinkley 1997).
    """
    plain = score(truth, answers)
    of_person = confusions(truth, answers, subjects, len(labels))
    accuracy = macro = None  # of one person: what another would give cannot be known from it
    if len(of_person) > 1:
        accuracy, macro = over_groups(
            len(of_person), lambda drawn: measures(np.tensordot(drawn, of_person, 1)), seed=seed
        )
    return msgspec.structs.replace(
        plain,
        accuracy_interval=accuracy,
        macro_f1_interval=macro,
        labels=tuple(labels),
        confusion=tuple(tuple(row) for row in of_person.sum(0).tolist()),
    )


def confusions(
    truth: NDArray[np.int64], answers: NDArray[np.int64], subjects: NDArray[np.str_], labels: int
) -> NDArray[np.int64]:
    """(P, L, L) the confusion matrix of each person, in the order of their names."""
    rows = np.arange(labels)
    return np.stack(
        [
            confusion_matrix(truth[subjects == person], answers[subjects == person], labels=rows)
            for person in np.unique(subjects)
        ]
    )


def measures(confusion: NDArray[np.int64]) -> tuple[float, float]:
    """Accuracy and macro-F1 of a confusion matrix (L, L); labels that do not occur do not count."""
    right, there, answered = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    occurs = there > 0
    return float(right.sum() / confusion.sum()), float(np.mean((2 * right / np.maximum(there + answered, 1))[occurs]))
