"""Probes: what is chosen is chosen on validation subjects, answers are those counted by hand, and the seed decides the rest."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("sklearn", reason="probes need it; it comes with aura-edge[train]")

from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from aura_edge.errors import ParityError
from aura_edge_train.evaluation import few_shot as shots_room
from aura_edge_train.evaluation import probes
from aura_edge_train.evaluation.few_shot import draw, few_shot
from aura_edge_train.evaluation.probes import Labelled, linear_probe, nearest_neighbours

LABELS = ["walking", "running", "sitting", "falling", "lying"]
KINDS = np.random.default_rng(99).standard_normal((5, 12))


def people(names: str, windows: int, seed: int, noise: float = 0.9) -> Labelled:
    """Windows of some people: a direction for each label, an offset for each person, noise for each window."""
    generator = np.random.default_rng(seed)
    labels, who = generator.integers(0, 5, windows), generator.integers(0, len(names), windows)
    offsets = 0.5 * generator.standard_normal((len(names), 12))
    vectors = KINDS[labels] + offsets[who] + noise * generator.standard_normal((windows, 12))
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return Labelled(unit, labels, np.array(list(names))[who])


TRAIN, VALIDATION, TEST = people("abcdef", 400, 0), people("ghi", 150, 1), people("jklm", 200, 2)


def test_linear_probe_is_the_one_that_is_best_on_validation_subjects() -> None:
    """Its answers are those of logistic regression at the strength with the best macro-F1 on validation subjects."""
    found = linear_probe(TRAIN, VALIDATION, TEST, LABELS)
    fits = {c: LogisticRegression(C=c, max_iter=5000).fit(TRAIN.embeddings, TRAIN.labels) for c in probes.STRENGTHS}
    macro = {
        c: f1_score(VALIDATION.labels, fit.predict(VALIDATION.embeddings), average="macro") for c, fit in fits.items()
    }
    assert found.converged
    assert found.validation == pytest.approx(macro, abs=0.02)
    assert found.chosen == max(found.validation, key=lambda c: found.validation[c])
    answers = fits[found.chosen].predict(TEST.embeddings)
    assert found.test.accuracy == pytest.approx(np.mean(answers == TEST.labels), abs=0.011)
    assert found.test.accuracy > 0.6
    assert found.test.accuracy_interval is not None
    assert found.test.accuracy_interval[0] < found.test.accuracy < found.test.accuracy_interval[1]
    assert np.sum(found.test.confusion) == 200


def test_neighbours_are_counted_as_by_hand() -> None:
    """One neighbour is the nearest training window by cosine; more vote by nearness; how many is chosen on validation subjects."""
    one = nearest_neighbours(TRAIN, VALIDATION, TEST, LABELS, neighbours=[1])
    nearest = TRAIN.labels[(TEST.embeddings @ TRAIN.embeddings.T).argmax(1)]
    assert one.test.accuracy == np.mean(nearest == TEST.labels)
    ten = nearest_neighbours(TRAIN, VALIDATION, TEST, LABELS, neighbours=[10])
    distances = 1 - TEST.embeddings @ TRAIN.embeddings.T
    rows = np.argsort(distances, axis=1)[:, :10]
    votes = np.zeros((200, 5))
    np.add.at(votes, (np.arange(200)[:, None], TRAIN.labels[rows]), 1 / np.take_along_axis(distances, rows, 1))
    assert ten.test.accuracy == pytest.approx(np.mean(votes.argmax(1) == TEST.labels), abs=0.011)
    found = nearest_neighbours(TRAIN, VALIDATION, TEST, LABELS)
    assert set(found.validation) == {1.0, 5.0, 10.0, 20.0, 50.0}
    assert found.validation[found.chosen] == max(found.validation.values())
    few = Labelled(TRAIN.embeddings[:12], TRAIN.labels[:12], TRAIN.subjects[:12])
    assert set(nearest_neighbours(few, VALIDATION, TEST, LABELS).validation) == {1.0, 5.0, 10.0}


def test_nearer_neighbours_count_more() -> None:
    """One window that is very near outvotes two that are far."""
    train = Labelled(np.array([[1, 0], [0, 1], [0, -1]], np.float32), np.array([0, 1, 1]), np.full(3, "a"))
    other = [Labelled(np.array([[0.995, 0.1]], np.float32), np.array([0]), np.array([name])) for name in "bc"]
    assert nearest_neighbours(train, *other, ["near", "far"], neighbours=[3]).test.accuracy == 1.0


def test_the_test_subjects_choose_nothing() -> None:
    """Other test labels change the score and neither strength nor validation numbers."""
    wrong = Labelled(TEST.embeddings, (TEST.labels + 1) % 5, TEST.subjects)
    for probe in (linear_probe, nearest_neighbours):
        honest, other = probe(TRAIN, VALIDATION, TEST, LABELS), probe(TRAIN, VALIDATION, wrong, LABELS)
        assert (honest.chosen, honest.validation) == (other.chosen, other.validation)
        assert other.test.accuracy < 0.4


def test_fits_that_do_not_end_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe that stopped at its last iteration says so, and raises no warning of the library."""
    monkeypatch.setattr(probes, "ITERATIONS", 2)
    assert not linear_probe(TRAIN, VALIDATION, TEST, LABELS).converged


def test_more_shots_are_worth_more_and_the_seed_decides() -> None:
    """Scores grow with labelled windows towards the probe on all; the same seed gives the same, another other windows."""
    found = few_shot(TRAIN, TEST, LABELS, shots=(1, 5, 20), draws=3)
    accuracies = [each.accuracy for each in found]
    assert accuracies == sorted(accuracies)
    assert accuracies[2] - accuracies[0] > 0.1
    assert found == few_shot(TRAIN, TEST, LABELS, shots=(1, 5, 20), draws=3)
    assert accuracies != [each.accuracy for each in few_shot(TRAIN, TEST, LABELS, shots=(1, 5, 20), draws=3, seed=1)]
    assert accuracies[1:2] == [each.accuracy for each in few_shot(TRAIN, TEST, LABELS, shots=(5,), draws=3)]
    assert msgspec.json.decode(msgspec.json.encode(found), type=list[shots_room.FewShotScore]) == found


def test_few_shot_scores_are_means_over_draws() -> None:
    """Accuracy is the mean of the draws' accuracies, and the interval around it is wider than zero."""
    found = few_shot(TRAIN, TEST, LABELS, shots=(2,), draws=4)[0]
    answers = []
    for number in range(4):
        rows = draw(TRAIN.labels, 2, np.random.default_rng([0, 2, number]))
        fit = LogisticRegression(C=shots_room.STRENGTH, max_iter=5000).fit(TRAIN.embeddings[rows], TRAIN.labels[rows])
        answers.append(np.mean(fit.predict(TEST.embeddings) == TEST.labels))
    assert found.accuracy == pytest.approx(np.mean(answers), abs=1e-9)
    assert len(set(answers)) > 1
    assert found.accuracy_interval is not None
    assert found.macro_f1_interval is not None
    assert found.accuracy_interval[0] + 0.02 < found.accuracy < found.accuracy_interval[1] - 0.02
    assert found.macro_f1_interval[0] < found.macro_f1 < found.macro_f1_interval[1]
    assert few_shot(TRAIN, TEST, LABELS, shots=(2,), draws=1)[0].accuracy_interval is None


def test_draws_are_drawn_again_too() -> None:
    """Where all people are alike, what is left of the interval is that between draws."""
    some = cut(TEST, TEST.subjects == "j")
    alike = Labelled(
        np.tile(some.embeddings, (3, 1)), np.tile(some.labels, 3), np.repeat(list("jkl"), len(some.labels))
    )
    found = few_shot(TRAIN, alike, LABELS, shots=(1,), draws=4)[0]
    assert found.accuracy_interval is not None
    assert found.accuracy_interval[0] < found.accuracy < found.accuracy_interval[1]


def test_one_window_of_each_of_many_labels_is_enough() -> None:
    """With more labels than half of the windows the library would take it for a regression and warn: that is no news here."""
    vectors = np.eye(30, dtype=np.float32)
    train = Labelled(vectors, np.arange(30), np.full(30, "a"))
    test = Labelled(np.roll(vectors, 3, 0), np.roll(np.arange(30), 3), np.full(30, "b"))
    assert few_shot(train, test, [str(n) for n in range(30)], shots=(1,), draws=1)[0].accuracy == 1.0


def test_a_draw_takes_as_many_of_each_label() -> None:
    """Each label gives its number once each, or all it has."""
    labels = np.array([0] * 30 + [1] * 30 + [2] * 3)
    rows = draw(labels, 5, np.random.default_rng(0))
    assert np.bincount(labels[rows]).tolist() == [5, 5, 3]
    assert len(set(rows.tolist())) == len(rows)


def cut(split: Labelled, rows: NDArray[Any]) -> Labelled:
    return Labelled(split.embeddings[rows], split.labels[rows], split.subjects[rows])


def test_what_makes_no_sense_is_refused() -> None:
    """Nobody may be in two splits; arrays must fit, be finite and of one space; one label teaches nothing."""
    with pytest.raises(ParityError, match="a, b, c, d, e, f: in training and in test"):
        linear_probe(TRAIN, VALIDATION, TRAIN, LABELS)
    with pytest.raises(ParityError, match="in training and in validation"):
        nearest_neighbours(TRAIN, TRAIN, TEST, LABELS)
    with pytest.raises(ParityError, match="dimensions 12, 12, 6"):
        linear_probe(TRAIN, VALIDATION, Labelled(TEST.embeddings[:, :6], TEST.labels, TEST.subjects), LABELS)
    with pytest.raises(ParityError, match="at least two labels"):
        linear_probe(cut(TRAIN, TRAIN.labels == 2), VALIDATION, TEST, LABELS)
    with pytest.raises(ParityError, match="at least one window"):
        cut(TRAIN, TRAIN.labels == 7)
    with pytest.raises(ParityError, match="not finite"):
        Labelled(TRAIN.embeddings * np.nan, TRAIN.labels, TRAIN.subjects)
    with pytest.raises(ParityError, match="fewer than the 1000 neighbours"):
        nearest_neighbours(TRAIN, VALIDATION, TEST, LABELS, neighbours=[1000])
    with pytest.raises(ParityError, match="at least one of each"):
        few_shot(TRAIN, TEST, LABELS, shots=(0, 1))


def test_takes_of_one_person_may_be_in_several_splits_where_recordings_are_not() -> None:
    """Sets that are split by take have people in more than one; then it is recordings that nothing may share."""

    def taken(split: Labelled, prefix: str) -> Labelled:
        names = np.array([f"{prefix}{number}" for number in range(len(split.labels))])
        return Labelled(split.embeddings, split.labels, np.full(len(names), "somebody"), names)

    train, validation, test = (taken(split, name) for split, name in ((TRAIN, "a"), (VALIDATION, "b"), (TEST, "c")))
    found = linear_probe(train, validation, test, LABELS).test
    assert found.accuracy == linear_probe(TRAIN, VALIDATION, TEST, LABELS).test.accuracy
    assert found.accuracy_interval is None  # of one person: another might do anything
    with pytest.raises(ParityError, match="in training and in test"):
        linear_probe(train, validation, taken(TEST, "a"), LABELS)
