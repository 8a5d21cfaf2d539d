"""Stems of the patch Transformer: a window in SI units to tokens, one every stride.

What `InvariantStem` and `VectorStem` give does not depend on how the sensor was turned; what `PlainStem` gives does.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aura_edge.encoders.frame import INVARIANTS, invariants, length, up_direction
from aura_edge.types import CHANNELS, STANDARD_GRAVITY_M_S2

RATE_SCALE_RAD_S = 2.0
"""Angular rates are divided by it: about the size of those of walking."""
SEGMENTS = 5
"""Parts of a window whose own direction of gravity is a reference for `VectorStem`."""
GATES = 4
"""Learned mean directions of rotation that are references as well."""


def scale(windows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B, 6, n) in SI units to accelerations in g, scaled rates, both (B, 3, n), and the direction of up (B, 3, 1)."""
    acceleration = windows[:, :3] / STANDARD_GRAVITY_M_S2
    return acceleration, windows[:, 3:] / RATE_SCALE_RAD_S, up_direction(acceleration)


class InvariantStem(nn.Module):
    """Patches of the invariant channels: nothing here can tell one heading from another."""

    def __init__(self, width: int, filters: int, patch: int, stride: int) -> None:
        super().__init__()
        self.patches = nn.Conv1d(INVARIANTS, filters, patch, stride, (patch - stride) // 2)
        self.mix = nn.Linear(filters, width)

    def forward(self, acceleration: Tensor, rate: Tensor, up: Tensor) -> Tensor:
        patches = self.patches(invariants(acceleration, rate, up))  # (B, filters, N)
        tokens: Tensor = self.mix(F.gelu(patches).transpose(1, 2))  # (B, N, width)
        return tokens


class ChannelStem(nn.Module):
    """Patches of the six channels as they are, filtered as `InvariantStem` does: what a known mounting tells beside what no rotation changes."""

    def __init__(self, width: int, filters: int, patch: int, stride: int) -> None:
        super().__init__()
        self.patches = nn.Conv1d(len(CHANNELS), filters, patch, stride, (patch - stride) // 2)
        self.mix = nn.Linear(filters, width)

    def forward(self, acceleration: Tensor, rate: Tensor, up: Tensor) -> Tensor:
        patches = self.patches(torch.cat([acceleration, rate], 1))  # (B, filters, N)
        tokens: Tensor = self.mix(F.gelu(patches).transpose(1, 2))  # (B, N, width)
        return tokens


class VectorStem(nn.Module):
    """Patches of vectors: the same filters on x, y and z, so that what they give turns with the sensor; then its invariants.

    Those are lengths, parts along up, products with a learned mixture, and products with the window's own reference directions: how gravity
    of each fifth deviates, and mean directions of rotation. After Vector Neurons (Deng et al. 2021, arXiv:2104.12229).
    """

    def __init__(self, width: int, filters: int, patch: int, stride: int) -> None:
        super().__init__()
        self.filters = filters
        self.patches = nn.Conv1d(2, filters, patch, stride, (patch - stride) // 2, bias=False)
        self.partner = nn.Linear(filters, filters, bias=False)
        self.gates = nn.Linear(filters, GATES, bias=False)
        features = filters * (3 + SEGMENTS + GATES)
        self.norm = nn.LayerNorm(features)
        self.mix = nn.Linear(features, width)

    def forward(self, acceleration: Tensor, rate: Tensor, up: Tensor) -> Tensor:
        batch, _, n = acceleration.shape
        patches = self.patches(torch.stack([acceleration - up, rate], 2).reshape(batch * 3, 2, n)).float()
        # Products of small vectors lose too much in the 8 bits of bfloat16. An exported graph sees no context at all.
        kind = patches.device.type
        with torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext():
            features = self._invariants(patches, acceleration, up)
        mixed: Tensor = self.mix(self.norm(features))
        return mixed

    def _invariants(self, patches: Tensor, acceleration: Tensor, up: Tensor) -> Tensor:
        """Filtered vectors (B * 3, filters, N) to (B, N, features)."""
        batch, _, n = acceleration.shape
        tokens = patches.shape[-1]
        vectors = patches.reshape(batch, 3, self.filters, tokens).transpose(2, 3)  # (B, 3, N, filters)
        turned = acceleration.reshape(batch, 3, SEGMENTS, n // SEGMENTS).mean(3) - up  # (B, 3, SEGMENTS)
        gated = self.gates(vectors)
        gated = (gated * length(gated, 1)[:, None]).mean(2)  # (B, 3, GATES), longer motions weigh more
        gated = gated / (length(gated, 1)[:, None] + 0.05)
        references = torch.cat([turned * 2, gated], 2)
        products = vectors.permute(0, 2, 3, 1).reshape(batch, tokens * self.filters, 3) @ references
        features = torch.cat(
            [
                length(vectors, 1),
                (vectors * up[..., None]).sum(1),
                (vectors * self.partner(vectors)).sum(1),
                products.reshape(batch, tokens, -1),
            ],
            2,
        )
        return torch.sign(features) * torch.log1p(features.abs() * 2)


class PlainStem(nn.Module):
    """Patches of the channels as they are, one linear map each (Dosovitskiy et al. 2021, arXiv:2010.11929).

    Six channels are an IMU's, in SI units, and enter as `scale` leaves them: accelerations in g, rates in units of `RATE_SCALE_RAD_S`, so
    that what the filters see is about one. Any other number of channels enters unchanged: motion capture in metres is about one already.
    """

    def __init__(self, channels: int, width: int, patch: int, stride: int) -> None:
        super().__init__()
        self.of_imu = channels == len(CHANNELS)
        self.patches = nn.Conv1d(channels, width, patch, stride, (patch - stride) // 2)

    def forward(self, windows: Tensor) -> Tensor:
        if self.of_imu:
            acceleration, rate, _ = scale(windows)
            windows = torch.cat([acceleration, rate], 1)
        tokens: Tensor = self.patches(windows).transpose(1, 2)  # (B, N, width)
        return tokens
