"""What learns in a run: the encoders, the running mean of their weights, the losses, and how one step changes them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from aura_edge import encoders
from aura_edge.errors import RecipeError
from aura_edge.manifest import EncoderSpec
from aura_edge_train import cached_gradients, gathering
from aura_edge_train.alignment import Alignment, Embedded
from aura_edge_train.batches import Batch
from aura_edge_train.corpus import Corpus
from aura_edge_train.objectives import InfoNce
from aura_edge_train.recipe import Optimisation, Phase, Recipe

LOWEST_RATE = 1e-6
"""Added to the learning rate, so that the last step still does something."""


class Learner:
    """Everything of a run that is kept when it is killed."""

    def __init__(self, recipe: Recipe, specs: dict[str, EncoderSpec], whole: Corpus, device: torch.device) -> None:
        """`specs` are those of the encoders by modality, `imu` always. Raises `RecipeError` where a caption has no other to be told from."""
        _require_candidates(recipe, whole)
        torch.manual_seed(recipe.seed)
        self.plan, self.specs, self.device = recipe.optimisation, specs, device
        self.encoders = nn.ModuleDict({name: encoders.build(spec).train() for name, spec in specs.items()}).to(device)
        self.average = copy.deepcopy(self.encoders).eval()
        self.captions = InfoNce(recipe.objective).to(device)
        self.alignment = Alignment(recipe.objective.pairs).to(device)
        self.optimiser = make_optimiser([self.encoders, self.captions, self.alignment], self.plan)
        self._set_of, self._seen = whole.set_of.to(device), whole.seen.to(device)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """By the name under which a state keeps them."""
        learned = {"encoder": self.encoders, "average": self.average, "objective": self.captions}
        return learned | {"alignment": self.alignment} if self.alignment.losses else learned

    @property
    def temperatures(self) -> dict[str, float]:
        """Those that are learned, now."""
        return {"captions": self.captions.temperature} | self.alignment.temperatures

    def begin(self, phase: Phase) -> None:
        """Let only those encoders learn that the phase does not freeze. The others are from here on the running mean of their weights, which
        stays too: it is what is kept of them, so that is what the rest must learn to agree with."""
        for name, encoder in self.encoders.items():
            frozen = name in phase.frozen
            encoder.train(not frozen).requires_grad_(not frozen)
            if frozen:
                encoder.load_state_dict(self.average[name].state_dict())

    def step(self, batch: Batch, phase: Phase, rate: float, step: int) -> dict[str, float]:
        """Learn from one batch; give its losses by name, and their sum as `loss`."""
        batch = batch.to(self.device)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad()
        losses: dict[str, Tensor] = {}

        def loss_of(parts: Sequence[tuple[Tensor, ...]]) -> Tensor:
            losses.update(self._losses(batch, phase, [torch.cat(each) for each in zip(*parts, strict=True)]))
            if not losses:
                raise RecipeError(
                    "a batch of which nothing could be learned: no captions, and no pair of two samples. Make the batch larger."
                )
            return torch.stack(list(losses.values())).sum()

        total = cached_gradients.backward(self._pieces(batch), loss_of)
        learning = [p for module in self.modules.values() for p in module.parameters() if p.grad is not None]
        gathering.average_gradients(learning)
        nn.utils.clip_grad_norm_(learning, self.plan.clip)
        self.optimiser.step()
        self.captions.hold_temperature()
        self.alignment.hold_temperatures()
        for name, encoder in self.encoders.items():
            if name not in phase.frozen:
                follow(self.average[name], encoder, step, self.plan)
        return {"loss": float(total)} | {name: float(loss.detach()) for name, loss in losses.items()}

    def _pieces(self, batch: Batch) -> list[Callable[[], tuple[Tensor, ...]]]:
        size = -(-len(batch.windows) // self.plan.pieces)
        rows = [slice(start, start + size) for start in range(0, len(batch.windows), size)]
        return [partial(self._embed, batch, part) for part in rows]

    def _embed(self, batch: Batch, rows: slice) -> tuple[Tensor, ...]:
        with autocast(self.device, self.plan):
            vectors = [self.encoders["imu"](batch.windows[rows])]
            if batch.mocap is not None:
                vectors.append(self.encoders["mocap"](batch.mocap[rows]))
        return tuple(each.float() for each in vectors)

    def _losses(self, batch: Batch, phase: Phase, vectors: list[Tensor]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        everything = torch.ones(len(vectors[0]), dtype=torch.bool, device=self.device)
        if phase.captions and batch.sentences is not None:
            windows, captions = gathering.gather(vectors[0]), gathering.gather(batch.captions)
            if (called := captions >= 0).any():
                found["captions"] = self.captions(
                    windows[called], batch.sentences, captions[called], self._set_of, self._seen
                )
        if phase.pairs:
            embedded = {"imu": Embedded(vectors[0], everything)}
            if batch.mocap_present is not None:
                embedded["mocap"] = Embedded(vectors[1], batch.mocap_present)
            for name, frozen in (("text", batch.text), ("video", batch.video)):
                if frozen is not None:
                    embedded[name] = frozen
            aligned = self.alignment(embedded)
            found |= {name: aligned[name] for name in phase.pairs if name in aligned}
        return found


def _require_candidates(recipe: Recipe, whole: Corpus) -> None:
    if not any(phase.captions for phase in recipe.schedule):
        return
    of_sets = [count for count in torch.bincount(whole.set_of[whole.seen]).tolist() if count]
    fewest = sum(of_sets) if recipe.objective.across_sets else min(of_sets, default=0)
    if fewest < 2:
        raise RecipeError(
            f"windows look for their captions, and there are {fewest} to choose from; expected two at least, in each data set where across_sets "
            "is off. Add data, leave out fewer (unseen), or set captions = false under [objective]."
        )


def autocast(device: torch.device, plan: Optimisation) -> AbstractContextManager[object]:
    """The precision of matrix products that a plan asks for."""
    return torch.autocast(device.type, torch.bfloat16) if plan.precision == "bf16" else nullcontext()


def follow(average: nn.Module, module: nn.Module, step: int, plan: Optimisation) -> None:
    """Move the running mean of the weights towards the weights: faster at first, when what there is to remember is worth little."""
    past = min(plan.averaging, (1 + step) / (10 + step))
    with torch.no_grad():
        for mean, now in zip(average.parameters(), module.parameters(), strict=True):
            mean.lerp_(now, 1 - past)


def make_optimiser(modules: Sequence[nn.Module], plan: Optimisation) -> torch.optim.AdamW:
    """AdamW that decays matrices and filters only: not biases, norms, positions or temperatures."""
    return torch.optim.AdamW(by_decay(modules, plan), lr=plan.learning_rate, betas=plan.betas, fused=True)


def by_decay(modules: Sequence[nn.Module], plan: Optimisation) -> list[dict[str, Any]]:
    """Parameter groups: those that decay, and those that do not."""
    named = [pair for module in modules for pair in module.named_parameters()]

    def decays(name: str, parameter: nn.Parameter) -> bool:
        return parameter.ndim > 1 and not name.endswith("positions")

    return [
        {"params": [p for n, p in named if decays(n, p)], "weight_decay": plan.weight_decay},
        {"params": [p for n, p in named if not decays(n, p)], "weight_decay": 0.0},
    ]


def learning_rate(step: int, steps: int, plan: Optimisation) -> float:
    """Linear warm-up, then half a cosine down to next to nothing."""
    done = step / steps
    warm = min(1.0, (step + 1) / max(1.0, plan.warm_up * steps))
    fall = 0.5 + 0.5 * math.cos(math.pi * max(0.0, done - plan.warm_up) / (1 - plan.warm_up))
    return plan.learning_rate * warm * fall + LOWEST_RATE
