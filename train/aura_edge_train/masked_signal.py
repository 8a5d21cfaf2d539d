"""Masked-signal modelling: stretches of a window are hidden, and the encoder tells from the rest what it would have seen there.

Needs no label. After SimMIM (Xie et al. 2022, arXiv:2111.09886): a learned token in the place of hidden ones, a linear head, the absolute
error on hidden ones only; targets normalised patch by patch after MAE (He et al. 2022, arXiv:2111.06377), but each channel by itself: over
all channels gravity would be most of what is asked for, and the easiest. Stretches rather than single tokens, for a gap of a tenth of a
second is bridged by a straight line. AURA-MFM has such a head as well (Matsuishi, Ukita and Okita 2025).

It is slow to begin: for hundreds of steps no more is learned than the mean. A few epochs help no encoder; look at its loss.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from aura_edge.encoders.frame import INVARIANTS, invariants
from aura_edge.encoders.stems import scale
from aura_edge.encoders.transformer import PatchTransformer
from aura_edge.errors import RecipeError
from aura_edge.types import CHANNELS

SMALLEST_DEVIATION = 0.05
"""Added to the deviation of a channel in a patch, of the size of a sensor's noise: where nothing happens, noise is not blown up."""


class Pretraining(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[pretraining]` of a recipe: epochs of masked-signal modelling before the first phase."""

    epochs: Annotated[int, msgspec.Meta(ge=1)]
    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 1e-3
    """Everything else about steps is as `[optimisation]` says."""
    hidden_share: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5
    """Share of the tokens of each window that is hidden ..."""
    span_s: Annotated[float, msgspec.Meta(gt=0)] = 0.5
    """... in stretches of this length."""
    batch: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Windows of a step; 0 for as many as `[optimisation]` says."""
    keeps: Literal["patches", "encoder"] = "patches"
    """What of it the phases begin with: the patch embedding alone, or the blocks as well, which have then learned to fill gaps."""


class MaskedSignal(nn.Module):
    """What is learned beside an encoder: the hidden token, and the head that reads a stride of the signal from a token."""

    def __init__(self, encoder: PatchTransformer) -> None:
        super().__init__()
        options = encoder.options
        self.sees_channels = options.plain_stem or options.channel_filters > 0
        self.tokens, self.stride = encoder.tokens, options.stride
        channels = options.channels if self.sees_channels else INVARIANTS
        self.hidden_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(options.width), std=0.02))
        self.head = nn.Linear(options.width, channels * options.stride)

    def forward(self, encoder: PatchTransformer, windows: Tensor, hidden: Tensor) -> Tensor:
        """Mean absolute error of windows (B, 6, n) in SI units where tokens are `hidden`, (B, N) bool."""
        found = self.reconstruct(encoder, windows, hidden)
        return F.l1_loss(found[hidden].float(), self.target(windows)[hidden])

    def reconstruct(self, encoder: PatchTransformer, windows: Tensor, hidden: Tensor) -> Tensor:
        """(B, N, channels x stride) as told from what is not hidden: nothing here depends on the samples of a hidden token's stride."""
        places = self.hidden_token + encoder.positions[encoder.summaries :]  # (N, width): where, but not what
        tokens = encoder.encode(bridge(windows, hidden.repeat_interleave(self.stride, 1)), hidden, places)
        told: Tensor = self.head(tokens[:, encoder.summaries :])
        return told

    def target(self, windows: Tensor) -> Tensor:
        """(B, N, channels x stride) of what the encoder sees in each token's own stride, normalised patch by patch.

        Those are the scaled channels where it sees the channels as they are, and else the invariant ones: an encoder that cannot tell how the
        sensor was turned is not asked for it.
        """
        acceleration, rate, up = scale(windows)
        seen = torch.cat([acceleration, rate], 1) if self.sees_channels else invariants(acceleration, rate, up)
        patches = seen.reshape(len(seen), -1, self.tokens, self.stride).transpose(1, 2)  # (B, N, channels, stride)
        deviation, mean = torch.std_mean(patches, 3, keepdim=True, correction=0)
        normalised: Tensor = ((patches - mean) / (deviation + SMALLEST_DEVIATION)).flatten(2)
        return normalised


def require_tokens(encoder: nn.Module) -> PatchTransformer:
    """The encoder, if it has tokens of an IMU's signal that can be hidden. Raises `RecipeError` for any other."""
    if isinstance(encoder, PatchTransformer) and encoder.options.channels == len(CHANNELS) and encoder.tokens > 1:
        return encoder
    raise RecipeError(
        "[pretraining] hides tokens of an IMU's signal, and this encoder has none to hide. Choose kind 'transformer' with two tokens or "
        "more, or leave [pretraining] out."
    )


def is_of_patches(name: str) -> bool:
    """Whether a tensor of a `PatchTransformer`, by its name, makes patches into tokens."""
    return name.startswith(("stems.", "plain_stem.", "stem_norm."))


def hide(batch: int, tokens: int, share: float, span: int, generator: Generator) -> Tensor:
    """(batch, tokens) bool: the same number in each row, about `share` of them, in stretches of `span` at random places.

    At least one is hidden and one is not. The last stretch of a row may be shorter; two may touch; one that runs off the end goes on at the
    start, so that no place is hidden more often than another.
    """
    count = min(max(1, round(share * tokens)), tokens - 1)
    stretches = -(-count // span)
    lengths = torch.ones(stretches + tokens - count, dtype=torch.int64)
    lengths[:stretches] = span
    lengths[0] = count - span * (stretches - 1)
    order = torch.rand(batch, len(lengths), generator=generator).argsort(1)  # stretches and visible tokens, shuffled
    hidden = (order < stretches).flatten().repeat_interleave(lengths[order].flatten()).view(batch, tokens)
    turned = torch.arange(tokens) + torch.randint(tokens, (batch, 1), generator=generator)
    return hidden.gather(1, turned % tokens)


def bridge(windows: Tensor, hidden: Tensor) -> Tensor:
    """Windows (B, C, n) with a straight line, or at an end the nearest sample, in place of samples that are `hidden`, (B, n) bool.

    What remains tells nothing of them: neither to patches that overlap, nor to means over the window such as the direction of gravity.
    """
    n = windows.shape[2]
    index = torch.arange(n, device=windows.device)
    before = index.where(~hidden, -1).cummax(1).values
    after = index.where(~hidden, n).flip(1).cummin(1).values.flip(1)
    before, after = before.where(before >= 0, after), after.where(after < n, before)
    share = (index - before) / (after - before).clamp(min=1)
    first, second = (windows.gather(2, at[:, None].expand_as(windows)) for at in (before, after))
    return first.lerp(second, share[:, None].to(windows.dtype))
