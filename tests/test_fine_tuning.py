"""Fine-tuning on made-up motions: it learns, starts from the zero-shot answers, keeps the epoch validation subjects like, and is repeatable."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="fine-tuning needs it; it comes with aura-edge[train]")
pytest.importorskip("sklearn", reason="validation scores need it; it comes with aura-edge[train]")

import swinging  # noqa: E402
from torch import Generator, Tensor, nn  # noqa: E402

from aura_edge import encoders, testing  # noqa: E402
from aura_edge.errors import RecipeError  # noqa: E402
from aura_edge_train import corpus, sentences  # noqa: E402
from aura_edge_train.augment import Augmentation  # noqa: E402
from aura_edge_train.datasets.made_up import MADE_UP  # noqa: E402
from aura_edge_train.datasets.store import Store, open_store  # noqa: E402
from aura_edge_train.evaluation import fine_tuning  # noqa: E402
from aura_edge_train.evaluation.fine_tuning import (  # noqa: E402
    Epoch,
    FineTuned,
    FineTuning,
    answer,
    epochs_of,
    fine_tune,
    windows_of,
)
from aura_edge_train.recipe import Data, Optimisation  # noqa: E402

LABELS = len(MADE_UP.captions)
OPTIONS = {"dimension": testing.TINY_SPACE.dimension, "width": 32, "depth": 2, "heads": 2, "stride": 50, "patch": 100}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(MADE_UP, Path(), cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def train(store: Store) -> Epoch:
    return epochs_of(corpus.build([store], [Data("made-up", windows_per_caption=32)], 1000), 1000, 16, stretch=0.1)


@pytest.fixture
def encoder() -> nn.Module:
    torch.manual_seed(0)
    return encoders.build(encoders.make_spec("transformer", OPTIONS | {"invariant_filters": 16, "vector_filters": 0}))


def tuning(epochs: int = 4, learning_rate: float = 2e-3, **options: float) -> FineTuning:
    return msgspec.convert({"optimisation": Optimisation(epochs, learning_rate=learning_rate), **options}, FineTuning)


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_it_learns_and_leaves_the_encoder_as_it_was(store: Store, train: Epoch, encoder: nn.Module) -> None:
    """Three motions are told apart by people never trained on; the encoder given is not touched."""
    before = weights(encoder)
    found = fine_tune(
        encoder, LABELS, train, windows_of(store, "validation", 1000), tuning(), augmentation=Augmentation(rotate=True)
    )
    truth, answers = answer(found.classifier, windows_of(store, "test", 1000)())
    assert len(truth) == 84
    assert np.mean(truth == answers) > 0.9
    assert found.losses[-1] < found.losses[0]
    assert len(found.validation) == len(found.losses) + 1
    assert same(before, weights(encoder))
    assert not same(before, weights(found.classifier.encoder))


def test_the_seed_decides_everything(store: Store, train: Epoch, encoder: nn.Module) -> None:
    """The same seed gives the same weights whatever the global generator did before; another gives others."""

    def run(seed: int, before: int) -> FineTuned:
        torch.manual_seed(before)
        return fine_tune(encoder, LABELS, train, windows_of(store, "validation", 1000), tuning(1), seed=seed)

    one, again, other = run(0, 17), run(0, 18), run(1, 17)
    assert same(weights(one.classifier), weights(again.classifier))
    assert one.losses == again.losses != other.losses


def test_a_head_of_prototypes_starts_with_the_zero_shot_answers(store: Store, train: Epoch, encoder: nn.Module) -> None:
    """Before the first epoch the answers are the nearest prototypes."""
    prototypes = sentences.embed_prototypes(testing.FakeTower(), MADE_UP.captions)
    seen: list[tuple[float, float]] = []
    validation = windows_of(store, "validation", 1000)
    found = fine_tune(encoder, LABELS, train, validation, tuning(1), prototypes=prototypes)
    with torch.inference_mode():
        for windows, truth in validation():
            nearest = (encoder(windows).numpy() @ prototypes.T).argmax(1)
            seen.append((len(truth), float(np.mean(nearest == truth.numpy()))))
    assert found.validation[0].accuracy == pytest.approx(sum(n * a for n, a in seen) / sum(n for n, _ in seen))


class Watched(nn.Module):
    """An encoder that notes how it is used; the notes are of the class, so that copies share them."""

    seen: ClassVar[list[tuple[bool, float]]] = []

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(48, 4)

    def forward(self, windows: Tensor) -> Tensor:
        self.seen.append((self.training, windows.abs().mean().item()))
        found: Tensor = self.linear(windows.flatten(1))
        return found


def test_only_training_windows_are_augmented_and_drop_out() -> None:
    """Training sees augmented windows in training mode; validation sees them as they are, in evaluation mode."""
    Watched.seen.clear()
    batch = (torch.ones(4, 6, 8), torch.tensor([0, 1, 0, 1]))
    scaled = Augmentation(acceleration_scale=0.5)
    found = fine_tune(
        Watched().eval(),
        2,
        lambda generator: (1, [(batch[0].clone(), batch[1])]),
        lambda: [batch],
        tuning(2),
        augmentation=scaled,
    )
    assert [training for training, _ in Watched.seen] == [False, False, True, False, True, False]
    for training, size in Watched.seen:
        assert (size == pytest.approx(1.0)) != training
    assert not found.classifier.training


def test_loss_and_schedule_are_as_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss is cross-entropy with label smoothing on the head's logits; the rate falls over all steps of all epochs."""
    asked: list[tuple[int, int]] = []

    def rate(step: int, steps: int, plan: Optimisation) -> float:
        asked.append((step, steps))
        return 1e-12

    monkeypatch.setattr(fine_tuning, "learning_rate", rate)
    encoder, prototypes = Watched(), np.eye(2, 4, dtype=np.float32)
    batch = (torch.randn(5, 6, 8), torch.tensor([0, 1, 0, 1, 1]))
    options = tuning(3, label_smoothing=0.3)
    found = fine_tune(
        encoder, 2, lambda generator: (2, [batch, batch]), lambda: [batch], options, prototypes=prototypes
    )
    assert asked == [(step, 6) for step in range(6)]
    with torch.inference_mode():
        logits = encoder(batch[0]) @ torch.from_numpy(prototypes).T * fine_tuning.HEAD_SCALE
        expected = nn.functional.cross_entropy(logits, batch[1], label_smoothing=0.3).item()
    assert found.losses == pytest.approx([expected] * 3, rel=1e-4)


@pytest.mark.parametrize(("factor", "averaging", "share"), [(1.0, 0.0, 1.0), (50.0, 0.0, 1.0), (50.0, 0.998, 0.9)])
def test_the_encoder_learns_more_slowly_than_the_head(factor: float, averaging: float, share: float) -> None:
    """The first step of Adam moves a weight by its learning rate, the head's by `head_factor` times the encoder's; their mean follows."""
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    with torch.no_grad():
        encoder[1].weight.copy_(torch.tensor([[0.02], [-0.01]]).expand(2, 48))
    prototypes = np.array([[1.0, 0.0], [1.0, 1e-4]], np.float32)  # so near that one step turns the answers around
    batch = (torch.ones(4, 6, 8), torch.ones(4, dtype=torch.int64))
    plan = Optimisation(1, learning_rate=1e-3, weight_decay=0.0, warm_up=0.0, averaging=averaging)
    options = FineTuning(plan, head_factor=factor)
    found = fine_tune(encoder, 2, lambda generator: (1, [batch]), lambda: [batch], options, prototypes=prototypes)
    assert found.epoch == 1
    moved_encoder = (found.classifier.encoder[1].weight - encoder[1].weight).abs().max().item()
    moved_head = (found.classifier.head.weight - 20 * torch.from_numpy(prototypes)).abs().max().item()
    assert moved_encoder == pytest.approx(share * 1e-3, rel=0.01)
    assert moved_head == pytest.approx(share * factor * 1e-3, rel=0.01)


def test_the_last_epoch_is_kept_where_nobody_is_left_to_choose(store: Store, train: Epoch, encoder: nn.Module) -> None:
    """However bad it is: validation people who were trained on say nothing, and patience does not end it."""
    options = tuning(4, learning_rate=5.0, patience=1, keep_last=True)
    found = fine_tune(encoder, LABELS, train, windows_of(store, "validation", 1000), options)
    assert found.epoch == len(found.losses) == 4
    assert found.validation[4].macro_f1 <= max(score.macro_f1 for score in found.validation[:4])


def test_the_best_epoch_is_kept_and_patience_ends_it(store: Store, train: Epoch, encoder: nn.Module) -> None:
    """A rate that spoils everything ends after `patience` epochs with the weights of before; else the best epoch's score comes back."""
    validation = windows_of(store, "validation", 1000)
    good = fine_tune(encoder, LABELS, train, validation, tuning(3))
    best = max(score.macro_f1 for score in good.validation)
    truth, answers = answer(good.classifier, validation())
    assert good.validation[good.epoch].macro_f1 == best
    assert np.mean(truth == answers) == good.validation[good.epoch].accuracy
    assert good.epoch == [score.macro_f1 for score in good.validation].index(best)
    trained = good.classifier
    prototypes = nn.functional.normalize(trained.head.weight.detach(), dim=1).numpy()
    said: list[int] = []
    spoilt = fine_tune(
        trained.encoder,
        LABELS,
        wrongly(train),
        validation,
        tuning(9, patience=2),
        prototypes=prototypes,
        after_epoch=lambda epoch, score: said.append(epoch),
    )
    assert spoilt.epoch == 0
    assert said == [1, 2]
    assert same(weights(spoilt.classifier.encoder), weights(trained.encoder))


def wrongly(train: Epoch) -> Epoch:
    """The same batches with the next label."""

    def epoch(generator: Generator) -> tuple[int, Iterator[tuple[Tensor, Tensor]]]:
        steps, batches = train(generator)
        return steps, ((windows, (truth + 1) % LABELS) for windows, truth in batches)

    return epoch


def test_epochs_are_full_batches_of_training_subjects(store: Store, train: Epoch) -> None:
    """As many batches as were announced, each full, with the captions of the corpus; another generator draws others."""
    steps, batches = train(torch.Generator().manual_seed(0))
    found = list(batches)
    assert (steps, len(found)) == (6, 6)  # 3 captions of 32 windows
    assert {tuple(windows.shape) for windows, _ in found} == {(16, 6, 1000)}
    assert torch.bincount(torch.cat([truth for _, truth in found])).tolist() == [32, 32, 32]
    again = next(iter(train(torch.Generator().manual_seed(0))[1]))
    assert torch.equal(found[0][0], again[0])
    assert not torch.equal(found[0][0], next(iter(train(torch.Generator().manual_seed(1))[1]))[0])


def test_what_makes_no_sense_is_refused(store: Store, train: Epoch, encoder: nn.Module) -> None:
    """No batch, no validation windows, prototypes of other labels, a loss that explodes: each is said."""
    validation = windows_of(store, "validation", 1000)
    with pytest.raises(RecipeError, match="not one batch"):
        fine_tune(encoder, LABELS, lambda generator: (0, []), validation, tuning())
    with pytest.raises(RecipeError, match="no validation window"):
        fine_tune(encoder, LABELS, train, windows_of(store, "validation", 100_000), tuning())
    with pytest.raises(RecipeError, match="2 prototypes for 3 labels"):
        fine_tune(encoder, LABELS, train, validation, tuning(), prototypes=np.eye(2, 8, dtype=np.float32))
    endless = torch.full((4, 6, 1000), torch.nan), torch.zeros(4, dtype=torch.int64)
    with pytest.raises(RecipeError, match="no longer finite"):
        fine_tune(encoder, LABELS, lambda generator: (1, [endless]), validation, tuning())
    with pytest.raises(RecipeError, match="nothing to evaluate"):
        answer(encoder, [])


def test_windows_without_a_label_are_left_out(tmp_path: Path) -> None:
    """A set with motion capture keeps them for other objectives; here there is nothing to learn from them."""

    def every_other(labels: NDArray[np.int8], starts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
        return np.where(np.arange(len(starts)) % 2, labels[starts], -1).astype(np.int64)

    known = replace(swinging.SWINGING, caption_of=every_other)
    opened = open_store(known, Path(), cache=tmp_path)
    whole = corpus.build([opened], [Data("swinging")], 1000)
    steps, batches = epochs_of(whole, 1000, 8)(Generator().manual_seed(0))
    rows = torch.cat([captions for _, captions in batches])
    assert (whole.epoch(Generator().manual_seed(0)).captions < 0).any()
    assert len(rows) == 8 * steps
    assert (rows >= 0).all()
