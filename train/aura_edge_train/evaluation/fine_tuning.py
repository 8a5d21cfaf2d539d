"""Fine-tuning: a head on an encoder, both trained with labels; the running mean of their weights at the epoch that validation subjects like best.

The encoder learns more slowly than the head (discriminative learning rates, Howard and Ruder 2018, arXiv:1801.06146). A head that starts as
the text prototypes starts from the zero-shot answers and spoils less of what was learned before (Wortsman et al. 2022, arXiv:2109.01903;
Kumar et al. 2022, arXiv:2202.10054). With an untrained encoder and a `head_factor` of 1 it is training from scratch.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from aura_edge.errors import RecipeError
from aura_edge_train.augment import Augmentation, augment
from aura_edge_train.corpus import Corpus
from aura_edge_train.datasets import Split
from aura_edge_train.datasets.store import Store
from aura_edge_train.evaluation import metrics
from aura_edge_train.evaluation.metrics import Score
from aura_edge_train.learner import autocast, by_decay, follow, learning_rate
from aura_edge_train.recipe import Optimisation

HEAD_SCALE = 20.0
"""Cosines with prototypes times this are the logits that a head starts with."""
EVALUATION_BATCH = 256

Batches = Iterable[tuple[Tensor, Tensor]]
"""Windows (B, 6, n) in SI units with the rows of their labels (B,)."""
Epoch = Callable[[Generator], tuple[int, Batches]]
"""How many batches one training epoch has, and the batches, drawn with a generator."""
Whole = Callable[[], Batches]
"""The windows of a split, the same ones in the same order each time."""


class FineTuning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an encoder is fine-tuned."""

    optimisation: Optimisation
    """Its learning rate is the encoder's."""
    head_factor: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    """The head's learning rate over the encoder's."""
    patience: Annotated[int, msgspec.Meta(ge=1)] = 5
    """Epochs without a better validation score after which it ends."""
    label_smoothing: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.1
    keep_last: bool = False
    """Keep the last epoch, and train all of them: where the training windows are of validation people too, nobody is left to choose by."""


class Classifier(nn.Module):
    """(B, 6, n) windows to (B, L) logits."""

    def __init__(self, encoder: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, windows: Tensor) -> Tensor:
        logits: Tensor = self.head(self.encoder(windows))
        return logits


@dataclass(frozen=True, slots=True, eq=False)
class FineTuned:
    """What fine-tuning gave."""

    classifier: Classifier
    """Of the best epoch, in evaluation mode."""
    epoch: int
    """Counted from 1; 0 where no epoch was better than the head it started with."""
    validation: tuple[Score, ...]
    """Scores on validation subjects: before, and after each epoch."""
    losses: tuple[float, ...]
    """Mean training loss of each epoch."""


def fine_tune(
    encoder: nn.Module,
    labels: int,
    train: Epoch,
    validation: Whole,
    options: FineTuning,
    *,
    augmentation: Augmentation | None = None,
    prototypes: NDArray[np.float32] | None = None,
    seed: int = 0,
    after_epoch: Callable[[int, Score], None] = lambda epoch, score: None,
) -> FineTuned:
    """Fine-tune a copy of `encoder` to tell `labels` labels apart; `prototypes` (L, D) unit vectors start its head.

    The epoch of best macro-F1 on validation subjects is kept, unless `keep_last`.
    Raises `RecipeError` where there is nothing to train on, or the loss explodes.
    """
    plan, augmentation = options.optimisation, augmentation or Augmentation()
    torch.manual_seed(seed)  # the head and dropout draw from the global generator
    classifier = Classifier(copy.deepcopy(encoder), _head(encoder, labels, validation, prototypes))
    average = copy.deepcopy(classifier)
    optimiser = torch.optim.AdamW(_groups(classifier, plan, options.head_factor), betas=plan.betas)
    scores, losses = [metrics.score(*answer(average, validation()))], list[float]()
    best, kept = 0, copy.deepcopy(average.state_dict())
    for epoch in range(1, plan.epochs + 1):
        generator = Generator().manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]))
        losses.append(_train(classifier, average, optimiser, train, options, augmentation, epoch, generator))
        scores.append(metrics.score(*answer(average, validation())))
        after_epoch(epoch, scores[-1])
        if options.keep_last or scores[-1].macro_f1 > scores[best].macro_f1:
            best, kept = epoch, copy.deepcopy(average.state_dict())
        elif epoch - best >= options.patience:
            break
    average.load_state_dict(kept)
    return FineTuned(average.eval(), best, tuple(scores), tuple(losses))


def answer(classifier: nn.Module, batches: Batches) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(W,) truth and (W,) answers to the windows of a split."""
    classifier.eval()
    truth, answers = [], []
    with torch.inference_mode():
        for windows, rows in batches:
            truth.append(rows.numpy())
            answers.append(classifier(windows.to(_device(classifier))).argmax(1).cpu().numpy())
    if not truth:
        raise RecipeError("no window in the split that is to be answered: nothing to evaluate.")
    return np.concatenate(truth), np.concatenate(answers)


def epochs_of(corpus: Corpus, samples: int, batch: int, *, stretch: float = 0.0) -> Epoch:
    """Training epochs of a corpus, labels being its captions; what does not fill a batch waits for another epoch."""

    def epoch(generator: Generator) -> tuple[int, Batches]:
        draw = corpus.epoch(generator)
        draw = draw.part(draw.captions >= 0)
        parts = [draw.part(slice(start, start + batch)) for start in range(0, len(draw) - batch + 1, batch)]
        return len(parts), ((corpus.cut(part, samples, stretch, generator), part.captions) for part in parts)

    return epoch


def windows_of(store: Store, split: Split, samples: int) -> Whole:
    """The evaluation windows of a split, labels being the captions of its data set."""
    starts = store.window_starts(split, samples)
    captions = store.captions(starts, samples)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for first in range(0, len(starts), EVALUATION_BATCH):
            rows = slice(first, first + EVALUATION_BATCH)
            yield torch.from_numpy(store.windows(starts[rows], samples)), torch.from_numpy(captions[rows])

    return batches


def _train(
    classifier: Classifier,
    average: Classifier,
    optimiser: torch.optim.Optimizer,
    train: Epoch,
    options: FineTuning,
    augmentation: Augmentation,
    epoch: int,
    generator: Generator,
) -> float:
    """One epoch, `average` following; its mean loss."""
    plan, device, losses = options.optimisation, _device(classifier), []
    steps, batches = train(generator)
    classifier.train()
    for number, (windows, truth) in enumerate(batches):
        rate = learning_rate((epoch - 1) * steps + number, plan.epochs * steps, plan)
        for group in optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        with autocast(device, plan):
            logits = classifier(augment(windows, augmentation, generator).to(device)).float()
        loss = F.cross_entropy(logits, truth.to(device), label_smoothing=options.label_smoothing)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(classifier.parameters(), plan.clip)
        optimiser.step()
        follow(average, classifier, (epoch - 1) * steps + number, plan)
        losses.append(loss.item())
    if not losses:
        raise RecipeError(
            f"epoch {epoch} of fine-tuning: not one batch to train on. Make the batch smaller, or take more windows."
        )
    if not math.isfinite(sum(losses)):
        raise RecipeError(
            f"epoch {epoch} of fine-tuning: the loss is no longer finite. Lower the learning rate ({plan.learning_rate:g})."
        )
    return float(np.mean(losses))


def _head(encoder: nn.Module, labels: int, validation: Whole, prototypes: NDArray[np.float32] | None) -> nn.Linear:
    """Logits from embeddings: random, or cosines with the prototypes times `HEAD_SCALE`."""
    if prototypes is not None and len(prototypes) != labels:
        raise RecipeError(f"{len(prototypes)} prototypes for {labels} labels: expected one each.")
    with torch.inference_mode():
        first = next(iter(validation()), None)
        if first is None:
            raise RecipeError(
                "no validation window: nothing could choose the epoch. Take validation subjects that have some."
            )
        dimension = encoder(first[0][:1].to(_device(encoder))).shape[1]
    head = nn.Linear(dimension, labels)
    if prototypes is not None:
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(prototypes) * HEAD_SCALE)
            head.bias.zero_()
    return head.to(_device(encoder))


def _groups(classifier: Classifier, plan: Optimisation, head_factor: float) -> list[dict[str, Any]]:
    """Encoder and head with their own rates; what decays is what decays in training."""
    return [
        group | {"factor": factor}
        for module, factor in ((classifier.encoder, 1.0), (classifier.head, head_factor))
        for group in by_decay([module], plan)
    ]


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device
