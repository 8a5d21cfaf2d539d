"""Seen and unseen labels at once: measures as by hand, and a bias found without unseen windows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_edge.errors import ParityError
from aura_edge_train.evaluation.generalised import (
    Fold,
    harmonic_mean,
    score,
    seen_bias,
)

LABELS = 10


def answers(unseen: list[int], seed: int, lift: float = 0.5, hub: float = 0.0) -> Fold:
    """Windows whose own label scores 0.3 more than noise; seen labels `lift` more, as training pulled windows to them; label 0 is a hub."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, LABELS, 800)
    cosines = 0.12 * generator.standard_normal((800, LABELS))
    cosines[np.arange(800), truth] += 0.3
    mask = np.isin(np.arange(LABELS), unseen)
    cosines[:, ~mask] += lift
    cosines[:, 9] += hub
    return Fold(cosines.astype(np.float32), truth, mask)


def by_hand(fold: Fold, bias: float, per_label: bool) -> tuple[float, float]:
    """Seen and unseen accuracy, window by window."""
    right = (fold.cosines - bias * ~fold.unseen).argmax(1) == fold.truth
    sides = []
    for side in (~fold.unseen, fold.unseen):
        rows = side[fold.truth]
        of_labels = [right[fold.truth == label].mean() for label in np.unique(fold.truth[rows])]
        sides.append(float(np.mean(of_labels) if per_label else right[rows].mean()))
    return sides[0], sides[1]


@pytest.mark.parametrize("per_label", [True, False])
@pytest.mark.parametrize("lift", [0.0, 0.3, 2.0])
def test_scores_are_those_counted_window_by_window(lift: float, per_label: bool) -> None:
    """Seen, unseen and harmonic mean by label or by window; among unseen labels alone nothing seen is answered."""
    fold = answers([1, 5, 7], seed=0, lift=lift)
    found = score(fold, per_label=per_label)
    seen, unseen = by_hand(fold, 0.0, per_label)
    assert (found.seen, found.unseen) == pytest.approx((seen, unseen))
    assert found.harmonic_mean == pytest.approx(2 * seen * unseen / (seen + unseen) if seen + unseen else 0.0)
    assert found.unseen_alone == pytest.approx(by_hand(fold, 100.0, per_label)[1])


def test_area_is_that_under_every_bias() -> None:
    """AUSUC is the area under seen against unseen accuracy over a dense sweep, and does not depend on a bias already in the scores."""
    fold = answers([1, 5, 7], seed=1)
    seen, unseen = np.array([by_hand(fold, bias, True) for bias in np.linspace(-1, 2, 1500)]).T
    area = np.sum(np.diff(unseen) * (seen[1:] + seen[:-1]) / 2)
    assert score(fold).ausuc == pytest.approx(area, abs=2e-3)
    moved = Fold(fold.cosines - 0.4 * ~fold.unseen, fold.truth, fold.unseen)
    assert score(moved).ausuc == pytest.approx(score(fold).ausuc, abs=1e-3)


def leads(seen: list[float], unseen: list[float]) -> Fold:
    """One seen and one unseen label; how far the seen one leads on windows of either."""
    cosines = np.array([[lead, 0.0] for lead in seen + unseen])
    return Fold(cosines, np.repeat([0, 1], [len(seen), len(unseen)]), np.array([False, True]))


def test_area_by_hand() -> None:
    """1 where a bias parts both sides, 0 where they lie the wrong way round, 1/2 where no bias tells them apart."""
    assert score(leads([0.9, 0.8], [0.1, 0.2])).ausuc == pytest.approx(1.0)
    assert score(leads([0.1], [0.2])).ausuc == pytest.approx(0.0)
    assert score(leads([0.3], [0.3])).ausuc == pytest.approx(0.5)


def test_bias_lies_in_the_middle_of_the_best_ones() -> None:
    """Where every bias between two windows is as good, the one farthest from both is taken."""
    bias, harmonic = seen_bias([leads([0.9, 0.8], [0.1, 0.2])])
    assert harmonic == pytest.approx(1.0)
    assert bias == pytest.approx(0.5, abs=1e-3)


@given(st.floats(0, 1), st.floats(0, 1))
def test_harmonic_mean_is_between_and_nothing_without_both(seen: float, unseen: float) -> None:
    """It lies between the two and is 0 where one is."""
    found = float(harmonic_mean(seen, unseen))
    assert min(seen, unseen) - 1e-12 <= found <= max(seen, unseen) + 1e-12
    if not (seen and unseen):
        assert found == 0.0


def test_bias_is_the_best_of_all_on_its_folds() -> None:
    """No other bias has a better mean harmonic mean over the folds."""
    folds = [answers([0, 1], 2), answers([2, 3], 3), answers([4, 5], 4)]
    bias, harmonic = seen_bias(folds)

    def mean_at(value: float) -> float:
        return float(np.mean([harmonic_mean(*by_hand(fold, value, True)) for fold in folds]))

    assert mean_at(bias) == pytest.approx(harmonic)
    assert harmonic >= max(mean_at(value) for value in np.linspace(-0.5, 1.5, 301)) - 2e-3
    assert bias == pytest.approx(0.5, abs=0.1)


def seen_only(fold: Fold) -> Fold:
    rows = ~fold.unseen[fold.truth]
    return Fold(fold.cosines[rows], fold.truth[rows], fold.unseen)


def of_seen_labels(fold: Fold, unseen: list[int]) -> Fold:
    """A fold as an encoder of seven labels gives it: no window and no column of the three that are really unseen."""
    rows = np.flatnonzero(fold.truth < 7)
    mask = np.isin(np.arange(7), unseen)
    lifted = fold.cosines[rows][:, :7] - np.float32(0.5) * mask
    return Fold(lifted, fold.truth[rows], mask)


def test_a_bias_chosen_without_unseen_windows_lets_unseen_labels_win() -> None:
    """Chosen on pseudo-unseen labels, it lifts the harmonic mean on other people's windows of labels it never saw, from next to nothing."""
    folds = [of_seen_labels(answers([], seed), unseen) for seed, unseen in ((6, [0, 1]), (7, [2, 3]), (8, [4, 5, 6]))]
    test = answers([7, 8, 9], 10)
    bias, _ = seen_bias(folds)
    before = score(test)
    after = score(Fold(test.cosines - bias * ~test.unseen, test.truth, test.unseen))
    assert before.harmonic_mean < 0.1
    assert after.harmonic_mean > 0.7
    best = max(harmonic_mean(*by_hand(test, tried, True)) for tried in np.linspace(-0.5, 1.5, 201))
    assert after.harmonic_mean > best - 0.05
    assert after.ausuc == pytest.approx(before.ausuc, abs=0.05)


def test_intervals_are_over_people() -> None:
    """The interval holds the score and reaches from the one person to the other where one is always right and one never."""
    fold = answers([1, 5], 20, lift=0.0)
    people = np.random.default_rng(21).integers(0, 9, len(fold.truth))
    found = score(fold, groups=people)
    assert found == score(fold, groups=people)
    for interval, value in ((found.seen_interval, found.seen), (found.harmonic_mean_interval, found.harmonic_mean)):
        assert interval is not None
        assert interval[0] < value < interval[1]
    right = fold.cosines.argmax(1) == fold.truth
    assert score(fold, groups=right).unseen_interval == (0.0, 1.0)
    assert score(fold, groups=np.zeros(len(people))).seen_interval is None


def test_what_makes_no_sense_is_refused() -> None:
    """No folds, labels all of one side, windows of one side and arrays that do not fit are each said."""
    fold = answers([1, 2], 23)
    with pytest.raises(ParityError, match="no fold"):
        seen_bias([])
    with pytest.raises(ParityError, match="0 of 10 labels are unseen"):
        score(Fold(fold.cosines, fold.truth, np.zeros(LABELS, bool)))
    with pytest.raises(ParityError, match="some of both"):
        score(seen_only(fold))
    with pytest.raises(ParityError, match=r"expected \(800, 10\)"):
        score(Fold(fold.cosines[:, :4], fold.truth, fold.unseen))
