"""The loss: InfoNCE with several positives, worked out by hand and by its limits."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="training needs it; it comes with aura-edge[train]")

from torch.nn import functional as F  # noqa: E402

from aura_edge_train.objectives import InfoNce, Objective  # noqa: E402

SENTENCES = torch.eye(4)
ONE_SET = torch.zeros(4, dtype=torch.long)
TWO_SETS = torch.tensor([0, 0, 1, 1])


def loss_of(windows: torch.Tensor, captions: list[int], set_of: torch.Tensor = ONE_SET, **options: object) -> float:
    objective = InfoNce(Objective(**options))  # type: ignore[arg-type]
    return float(objective(windows, SENTENCES, torch.tensor(captions), set_of).detach())


def test_one_direction_is_cross_entropy() -> None:
    """With no weight on the sentences' side it is the cross entropy of the right sentence among all."""
    windows = F.normalize(torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    captions = [0, 1, 1, 3, 0]
    expected = F.cross_entropy(windows @ SENTENCES.T / 0.1, torch.tensor(captions))
    assert loss_of(windows, captions, temperature=0.1, text_weight=0.0) == pytest.approx(float(expected), rel=1e-5)
    smoothed = F.cross_entropy(windows @ SENTENCES.T / 0.1, torch.tensor(captions), label_smoothing=0.2)
    found = loss_of(windows, captions, temperature=0.1, text_weight=0.0, label_smoothing=0.2)
    assert found == pytest.approx(float(smoothed), rel=1e-5)


def test_the_other_direction_has_several_positives() -> None:
    """A sentence's loss is the mean over its windows of finding each among all windows; sentences without windows do not count."""
    windows = F.normalize(torch.randn(4, 4, generator=torch.Generator().manual_seed(1)), dim=1)
    captions = [0, 0, 0, 2]
    logits = windows @ SENTENCES.T / 0.5
    per_column = logits.log_softmax(0)
    by_hand = -((per_column[0, 0] + per_column[1, 0] + per_column[2, 0]) / 3 + per_column[3, 2]) / 2
    both = loss_of(windows, captions, temperature=0.5, text_weight=1.0)
    one = loss_of(windows, captions, temperature=0.5, text_weight=0.0)
    assert both - one == pytest.approx(float(by_hand), rel=1e-4)


def test_right_answers_cost_nothing_and_wrong_ones_much() -> None:
    """Windows on their own sentences give almost no loss at a low temperature; on others', a large one."""
    assert loss_of(SENTENCES, [0, 1, 2, 3], temperature=0.02) == pytest.approx(0, abs=1e-6)
    assert loss_of(SENTENCES, [1, 2, 3, 0], temperature=0.02) > 50


def test_sentences_of_other_sets_need_not_be_candidates() -> None:
    """Without negatives across sets, resembling a sentence of another set costs nothing; with them it does."""
    windows = F.normalize(torch.tensor([[1.0, 0, 0.9, 0]]), dim=1)
    apart = loss_of(windows, [0], TWO_SETS, across_sets=False, text_weight=0.0)
    assert apart < 0.01 < 0.1 < loss_of(windows, [0], TWO_SETS, across_sets=True, text_weight=0.0)


def test_label_smoothing_spreads_over_candidates_only() -> None:
    """What is smoothed goes to sentences of the window's own set: the loss stays finite and small."""
    windows = SENTENCES[:1]
    found = loss_of(windows, [0], TWO_SETS, across_sets=False, label_smoothing=0.2, text_weight=0.0, temperature=1.0)
    log_right, log_wrong = torch.tensor([1.0, 0.0]).log_softmax(0).tolist()
    assert found == pytest.approx(-(0.9 * log_right + 0.1 * log_wrong), rel=1e-4)


def test_temperature_is_learned_and_held() -> None:
    """It starts where asked, has a gradient, and is brought back to its bound, where it has a gradient still."""
    objective = InfoNce(Objective(temperature=0.07, lowest_temperature=0.01))
    assert objective.temperature == pytest.approx(0.07)
    windows = F.normalize(torch.randn(4, 4, generator=torch.Generator().manual_seed(2)), dim=1)
    objective(windows, SENTENCES, torch.arange(4), ONE_SET).backward()
    assert objective.log_scale.grad.abs() > 0
    with torch.no_grad():
        objective.log_scale.fill_(math.log(1e9))
    objective.hold_temperature()
    assert objective.temperature == pytest.approx(0.01)
    objective.log_scale.grad = None
    # Wrong neighbours: a higher temperature costs less, and one step leads there.
    objective(SENTENCES, SENTENCES, torch.tensor([1, 2, 3, 0]), ONE_SET).backward()
    assert objective.log_scale.grad > 1
    assert InfoNce(Objective(temperature=0.005, lowest_temperature=0.01)).temperature == pytest.approx(0.01)


def test_captions_that_are_not_seen_are_no_candidates() -> None:
    """The loss is that of the others alone, with label smoothing and in both directions."""
    windows = F.normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(2)), dim=1)
    captions = torch.tensor([0, 1, 3, 3, 0, 1])
    objective = InfoNce(Objective(label_smoothing=0.1, temperature=0.3))
    seen = torch.tensor([True, True, False, True])
    masked = objective(windows, SENTENCES, captions, ONE_SET, seen)
    row_of = torch.tensor([0, 1, -1, 2])
    alone = objective(windows, SENTENCES[seen], row_of[captions], ONE_SET[seen])
    assert float(masked.detach()) == pytest.approx(float(alone.detach()), rel=1e-5)
    assert float(objective(windows, SENTENCES, captions, ONE_SET).detach()) > float(masked.detach())
