"""What is minimised: InfoNCE between windows and sentences, where many windows share a sentence.

Contrastive prediction after van den Oord et al. 2018 (arXiv:1807.03748), both directions and a learned temperature after CLIP (Radford et
al. 2021, arXiv:2103.00020), several positives after Khosla et al. 2020 (arXiv:2004.11362). Sentences are frozen: one of each caption is
drawn for a batch, and all of them are candidates, whether a window of the batch has them or not.
"""

from __future__ import annotations

import math
from typing import Annotated

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aura_edge_train.alignment import Pair, hold

FORBIDDEN = -1e4
"""A logit that takes part in no softmax, small enough for bfloat16 and large enough for nothing."""


class Objective(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[objective]` of a recipe."""

    captions: bool = True
    """Whether windows look for their own among all captions; what follows is about that."""
    temperature: Annotated[float, msgspec.Meta(gt=0)] = 0.07
    """Where the learned temperature starts."""
    lowest_temperature: Annotated[float, msgspec.Meta(gt=0)] = 0.01
    """It is held here: below it, single windows decide."""
    text_weight: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    """Weight of finding the windows of a sentence, beside finding the sentence of a window."""
    label_smoothing: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    """Share of a window's target spread over all its candidates."""
    across_sets: bool = True
    """Whether sentences of other data sets are candidates for a window; what they say may be true of it as well."""
    pairs: tuple[Pair, ...] = ()
    """Modalities that are to agree, each with its own loss: see `alignment`."""


class InfoNce(nn.Module):
    """The loss; its temperature is a parameter, kept as the logarithm of its inverse."""

    def __init__(self, options: Objective) -> None:
        super().__init__()
        self.options = options
        self.log_scale = nn.Parameter(torch.tensor(-math.log(options.temperature)))
        self.hold_temperature()

    @property
    def temperature(self) -> float:
        """The temperature now."""
        return math.exp(-self.log_scale.item())

    def hold_temperature(self) -> None:
        """Bring one that a step took too low back to the lowest; see `alignment.hold`."""
        hold(self.log_scale, self.options.lowest_temperature)

    def forward(
        self, windows: Tensor, sentences: Tensor, captions: Tensor, set_of: Tensor, seen: Tensor | None = None
    ) -> Tensor:
        """Loss of (B, D) windows against (K, D) sentences, one per caption, unit norms.

        `captions` (B,) is each window's own; `set_of` (K,) tells the data set of each caption, `seen` (K,) bool which of
        them are candidates at all.
        """
        logits = windows @ sentences.T * self.log_scale.exp()  # (B, K)
        allowed = torch.ones_like(logits, dtype=torch.bool)
        if not self.options.across_sets:
            allowed = set_of[captions][:, None] == set_of
        if seen is not None:
            allowed = allowed & seen
        logits = torch.where(allowed, logits, FORBIDDEN)
        positive = F.one_hot(captions, len(sentences)).to(logits.dtype)
        smoothing = self.options.label_smoothing
        target = (1 - smoothing) * positive + smoothing * allowed / allowed.sum(1, keepdim=True)
        loss = -(target * logits.log_softmax(1)).sum(1).mean()
        if self.options.text_weight:
            windows_of = positive.sum(0)
            present = windows_of > 0
            found = (positive * logits.log_softmax(0)).sum(0)[present] / windows_of[present]
            loss = loss - self.options.text_weight * found.mean()
        return loss
