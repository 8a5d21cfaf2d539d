"""What a frozen encoder's embeddings are worth to a classifier: linear probe and nearest neighbours. `few_shot.py` asks with few labels.

Trained on training subjects; strength and number of neighbours are chosen by macro-F1 on validation subjects; scored on test subjects.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from aura_edge.errors import ParityError
from aura_edge_train.evaluation import metrics
from aura_edge_train.evaluation.metrics import Score

STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1000.0)
"""Inverse penalties tried by the linear probe: embeddings of unit length want large ones."""
NEIGHBOURS = (1, 5, 10, 20, 50)
"""Numbers of neighbours tried."""
ITERATIONS = 500


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Embedded windows of a split."""

    embeddings: NDArray[np.float32]
    """(W, D), unit norm."""
    labels: NDArray[np.int64]
    """(W,) row of each window's label."""
    subjects: NDArray[np.str_]
    """(W,) whose it is: who is drawn again for intervals."""
    recordings: NDArray[np.str_] | None = None
    """(W,) what it was cut from: none may be in two splits. Where None, no subject may; some sets split the takes of one person."""

    def __post_init__(self) -> None:
        counts = len(self.embeddings), len(self.labels), len(self.subjects)
        if self.embeddings.ndim != 2 or not counts[0] or len(set(counts)) > 1:
            raise ParityError(
                f"embeddings of shape {self.embeddings.shape} with {counts[1]} labels and {counts[2]} subjects: expected one of each per "
                "window, and at least one window."
            )
        if not np.isfinite(self.embeddings).all():
            raise ParityError("embeddings that are not finite: expected what an encoder gives for real windows.")


class ProbeScore(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Answers of a probe to the test windows."""

    test: Score
    chosen: float
    """Inverse penalty of the linear probe, or number of neighbours ..."""
    validation: dict[float, float]
    """... and the macro-F1 on validation subjects of every one tried."""
    converged: bool = True
    """Whether every fit ended before its last iteration."""


def linear_probe(
    train: Labelled,
    validation: Labelled,
    test: Labelled,
    labels: Sequence[str],
    *,
    strengths: Sequence[float] = STRENGTHS,
    seed: int = 0,
) -> ProbeScore:
    """Logistic regression on embeddings, its penalty chosen on validation subjects; `labels` names the rows that labels count."""
    _same_space(train, validation, test)
    fitted: dict[float, LogisticRegression] = {}
    converged = True
    start: LogisticRegression | None = None
    for strength in sorted(strengths):
        start, ended = fit_linear(train, strength, start=start, seed=seed)
        fitted[strength], converged = start, converged and ended
    found = {strength: _macro(probe.predict(validation.embeddings), validation) for strength, probe in fitted.items()}
    chosen = _best(found)
    answers = fitted[chosen].predict(test.embeddings)
    return ProbeScore(_score(answers, test, labels, seed), chosen, found, converged)


def nearest_neighbours(
    train: Labelled,
    validation: Labelled,
    test: Labelled,
    labels: Sequence[str],
    *,
    neighbours: Sequence[int] = NEIGHBOURS,
    seed: int = 0,
) -> ProbeScore:
    """The label that the nearest training windows by cosine vote for, nearer ones more; their number chosen on validation subjects."""
    _same_space(train, validation, test)
    fitted = {
        count: KNeighborsClassifier(count, weights="distance", metric="cosine").fit(train.embeddings, train.labels)
        for count in neighbours
        if count <= len(train.labels)
    }
    if not fitted:
        raise ParityError(
            f"{len(train.labels)} training windows: fewer than the {min(neighbours)} neighbours asked for."
        )
    found = {float(count): _macro(probe.predict(validation.embeddings), validation) for count, probe in fitted.items()}
    chosen = _best(found)
    answers = fitted[int(chosen)].predict(test.embeddings)
    return ProbeScore(_score(answers, test, labels, seed), chosen, found)


def fit_linear(
    train: Labelled, strength: float, *, start: LogisticRegression | None = None, seed: int = 0
) -> tuple[LogisticRegression, bool]:
    """Logistic regression of inverse penalty `strength`, from the weights of `start`; and whether it converged."""
    if len(np.unique(train.labels)) < 2:
        raise ParityError(f"training windows of {len(np.unique(train.labels))} label: expected at least two labels.")
    probe = LogisticRegression(C=strength, max_iter=ITERATIONS, warm_start=start is not None, random_state=seed)
    if start is not None:
        probe.coef_, probe.intercept_, probe.classes_ = start.coef_.copy(), start.intercept_.copy(), start.classes_
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ConvergenceWarning)
        # One window of each label is what few-shot means; the library takes it for a regression.
        warnings.filterwarnings("ignore", "The number of unique classes is greater", UserWarning)
        probe.fit(train.embeddings, train.labels)
    others = [warning for warning in said if not issubclass(warning.category, ConvergenceWarning)]
    for warning in others:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return probe, len(others) == len(said)


def _score(answers: NDArray[np.int64], test: Labelled, labels: Sequence[str], seed: int) -> Score:
    return metrics.score_in_full(test.labels, answers, labels, test.subjects, seed=seed)


def _macro(answers: NDArray[np.int64], split: Labelled) -> float:
    return metrics.score(split.labels, answers).macro_f1


def _best(found: dict[float, float]) -> float:
    """The one of highest macro-F1; of equals the smallest, which is the simplest."""
    return min(found, key=lambda value: (-found[value], value))


def _same_space(*splits: Labelled) -> None:
    if len({split.embeddings.shape[1] for split in splits}) > 1:
        raise ParityError(
            f"embeddings of dimensions {', '.join(str(s.embeddings.shape[1]) for s in splits)}: expected one encoder's."
        )
    for name, people in (("validation", splits[1]), ("test", splits[2])):
        if shared := _origins(splits[0]) & _origins(people):
            raise ParityError(
                f"{', '.join(sorted(map(str, shared)))}: in training and in {name}: expected others in each split."
            )


def _origins(split: Labelled) -> set[str]:
    return set((split.subjects if split.recordings is None else split.recordings).tolist())
