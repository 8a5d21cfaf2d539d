"""What pulls two modalities together: losses between paired embeddings of a batch, of which any may be missing for any sample.

Symmetric InfoNCE with a learned temperature after CLIP (Radford et al. 2021, arXiv:2103.00020), with several positives where captions repeat
(Khosla et al. 2020, arXiv:2004.11362); sigmoid loss (SigLIP, Zhai et al. 2023, arXiv:2303.15343); triplets with the hardest negative of the
batch (VSE++, Faghri et al. 2018, arXiv:1707.05612); mean squared error, the ablation of IMU2CLIP (Moon et al. 2022, arXiv:2210.14395).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aura_edge.errors import RecipeError
from aura_edge_train.gathering import gather

Modality = Literal["imu", "text", "video", "mocap"]
Loss = Literal["infonce", "siglip", "triplet", "mse"]
MODALITIES: tuple[Modality, ...] = ("imu", "text", "video", "mocap")
SIGLIP_TEMPERATURE, SIGLIP_BIAS = 0.1, -10.0
"""Where the sigmoid loss starts, as its paper says: nearly everything is a negative."""


class Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[objective.pairs]]`: two modalities that are to agree."""

    between: tuple[Modality, Modality]
    weight: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    loss: Loss = "infonce"
    temperature: Annotated[float, msgspec.Meta(gt=0)] = 0.07
    """Where the learned temperature of InfoNCE starts."""
    lowest_temperature: Annotated[float, msgspec.Meta(gt=0)] = 0.01
    margin: Annotated[float, msgspec.Meta(gt=0)] = 0.2
    """Of triplets: by so much of a cosine the right partner must lead."""

    def __post_init__(self) -> None:
        if self.between[0] == self.between[1]:
            raise ValueError(f"a pair of {self.between[0]} with itself; expected two modalities.")

    @property
    def name(self) -> str:
        """`imu-text`."""
        return "-".join(self.between)


@dataclass(frozen=True, slots=True)
class Embedded:
    """Embeddings of one modality for a batch."""

    vectors: Tensor
    """(B, D), unit norm; what stands in rows that are not `present` does not matter."""
    present: Tensor
    """(B,) bool."""
    identity: Tensor | None = None
    """(B,) int64: samples of one identity are the same thing, such as a caption that repeats; None: each is its own."""


class PairLoss(nn.Module):
    """One pair's loss and what it learns."""

    def __init__(self, pair: Pair) -> None:
        super().__init__()
        self.pair = pair
        if self.learns_temperature:
            start = SIGLIP_TEMPERATURE if pair.loss == "siglip" else pair.temperature
            self.log_scale = nn.Parameter(torch.tensor(-math.log(start)))
        if pair.loss == "siglip":
            self.bias = nn.Parameter(torch.tensor(SIGLIP_BIAS))
        self.hold_temperature()

    @property
    def scale(self) -> Tensor:
        """What cosines are multiplied with: the inverse of the temperature."""
        scale: Tensor = self.log_scale.exp()
        return scale

    @property
    def learns_temperature(self) -> bool:
        """Whether it has one."""
        return self.pair.loss in ("infonce", "siglip")

    def hold_temperature(self) -> None:
        """Bring one that a step took too low back to the lowest; see `hold`."""
        if self.learns_temperature:
            hold(self.log_scale, self.pair.lowest_temperature)

    def forward(self, first: Tensor, second: Tensor, same: Tensor) -> Tensor:
        """Loss of (n, D) against (n, D), unit norms, row by row partners; `same` (n, n) bool tells who else is a right partner."""
        return _LOSSES[self.pair.loss](self, first, second, same)


class Alignment(nn.Module):
    """The losses of several pairs, over the joined batch of all processes."""

    def __init__(self, pairs: tuple[Pair, ...]) -> None:
        """Raises `RecipeError` for a pair that is named twice."""
        super().__init__()
        names = [pair.name for pair in pairs]
        if repeated := {name for name in names if names.count(name) > 1 or "-".join(name.split("-")[::-1]) in names}:
            raise RecipeError(f"pairs {', '.join(sorted(repeated))} are named twice; name each once.")
        self.losses: list[PairLoss] = [PairLoss(pair) for pair in pairs]
        self.learned = nn.ModuleDict(dict(zip(names, self.losses, strict=True)))

    def forward(self, batch: Mapping[str, Embedded]) -> dict[str, Tensor]:
        """Weighted loss of every pair of which the batch has at least two samples, by its name.

        Every process that takes part in a distributed run gets the loss of the joined batch (see `gathering`).
        """
        found = {}
        whole = {name: _gathered(embedded) for name, embedded in batch.items()}
        for loss in self.losses:
            pair = loss.pair
            if not all(modality in whole for modality in pair.between):
                continue
            first, second = (whole[modality] for modality in pair.between)
            both = torch.nonzero(first.present & second.present)[:, 0]
            if len(both) < 2:
                continue
            same = torch.eye(len(both), dtype=torch.bool, device=both.device)
            for side in (first, second):
                if side.identity is not None:
                    chosen = side.identity[both]
                    same = same | (chosen[:, None] == chosen)
            found[pair.name] = pair.weight * loss(first.vectors[both], second.vectors[both], same)
        return found

    def hold_temperatures(self) -> None:
        """Bring back those that a step took too low."""
        for loss in self.losses:
            loss.hold_temperature()

    @property
    def temperatures(self) -> dict[str, float]:
        """Those that are learned, now, by pair."""
        return {loss.pair.name: 1 / float(loss.scale.detach()) for loss in self.losses if loss.learns_temperature}


def hold(log_scale: nn.Parameter, lowest_temperature: float) -> None:
    """Keep the temperature at or above the lowest, in place, after each step as CLIP does: clamped inside the loss, one that a step took
    below it would have no gradient there, and never come back."""
    with torch.no_grad():
        log_scale.clamp_(max=-math.log(lowest_temperature))


def _gathered(own: Embedded) -> Embedded:
    identity = None if own.identity is None else gather(own.identity)
    return Embedded(gather(own.vectors), gather(own.present), identity)


def _infonce(module: PairLoss, first: Tensor, second: Tensor, same: Tensor) -> Tensor:
    logits = first @ second.T * module.scale
    target = same / same.sum(1, keepdim=True)  # `same` is symmetric: the other way has the same counts
    there = -(target * logits.log_softmax(1)).sum(1).mean()
    back = -(target * logits.T.log_softmax(1)).sum(1).mean()
    return (there + back) / 2


def _siglip(module: PairLoss, first: Tensor, second: Tensor, same: Tensor) -> Tensor:
    logits = first @ second.T * module.scale + module.bias
    return -F.logsigmoid(torch.where(same, logits, -logits)).sum(1).mean()


def _triplet(module: PairLoss, first: Tensor, second: Tensor, same: Tensor) -> Tensor:
    cosines = first @ second.T
    right = cosines.diagonal()
    wrong = cosines.masked_fill(same, -math.inf)
    # A batch of one thing only has no wrong partner: nothing to push away.
    hinges = [(module.pair.margin + wrong.amax(dim) - right).clamp(min=0).mean() for dim in (1, 0)]
    return (hinges[0] + hinges[1]) / 2


def _mse(module: PairLoss, first: Tensor, second: Tensor, same: Tensor) -> Tensor:
    return F.mse_loss(first, second)


_LOSSES: dict[Loss, Callable[[PairLoss, Tensor, Tensor, Tensor], Tensor]] = {
    "infonce": _infonce,
    "siglip": _siglip,
    "triplet": _triplet,
    "mse": _mse,
}
