"""The stacked 1D-CNN-RNN of IMU2CLIP (Moon et al. 2022, arXiv:2210.14395), as its released code computes it.

Group normalisation of accelerometer and gyroscope apart; blocks of a dilated convolution without bias or activation and a pooling; group
normalisation; a GRU (Cho et al. 2014, arXiv:1406.1078) whose last state is the embedding. 850,892 parameters.

Tensors of one shape mean different encoders, so the variant must be stated. `gru_axis`: IMU2CLIP's code gives the GRU its 32 channels as
steps, with 32 time bins as features; AURA-MFM's fork of it scans the time bins. `pool`: those two pool by maximum everywhere; PRIMUS (Das et
al. 2024, arXiv:2411.15127) averages the last block into 32 bins, and adds a linear head. AURA-MFM's encoder of motion capture is the
same stack with other sizes (`presets`).

The first normalisation takes away scale and offset: units do not matter to it, gravity and the order of the channels do.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aura_edge.encoders.frame import length
from aura_edge.errors import BundleError

DILATION = 2
NORM_GROUPS = 4
"""Groups of filters of the second normalisation."""


class CnnRnnOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of kind `cnn_rnn`; the defaults are IMU2CLIP's."""

    dimension: int
    """Length of the embedding, and of the GRU's state."""
    gru_axis: Literal["channel", "time"]
    """What the GRU steps along: the filters, each described by its time bins, or the time bins, each described by its filters."""
    pool: Literal["max", "adaptive"]
    """The last block's pooling: a maximum over `pools[-1]`, or means of `bins` equal parts."""
    window_samples: int = 1000
    """Samples of a window; which lengths run depends on the rest, and an error says so."""
    channels: int = 6
    groups: int = 2
    """Groups of channels, each normalised by itself."""
    filters: int = 32
    kernels: tuple[int, ...] = (10, 5, 5)
    """Samples that each convolution weighs, two apart."""
    pools: tuple[int, ...] = (3, 3, 3)
    """Samples that each block's pooling joins."""
    bins: int = 32
    """Time bins that reach the GRU, where it steps along the filters or the last pooling is adaptive."""
    projection: bool = False
    """A linear layer after the GRU, of the same length."""

    def __post_init__(self) -> None:
        wrong = None
        sizes = (self.dimension, self.window_samples, self.channels, self.groups, self.filters, self.bins)
        if min(*sizes, *self.kernels, *self.pools, len(self.kernels)) < 1:
            wrong = "dimension, window_samples, channels, groups, filters, bins, and every one of kernels and pools must be at least 1"
        elif len(self.kernels) != len(self.pools):
            wrong = (
                f"kernels {list(self.kernels)} and pools {list(self.pools)} must be as many, one of each for a block"
            )
        elif self.channels % self.groups or self.filters % NORM_GROUPS:
            wrong = f"channels {self.channels} must be a multiple of groups {self.groups}, and filters {self.filters} of {NORM_GROUPS}"
        else:
            shortest, longest = self._lengths()
            if not shortest <= self.window_samples <= longest:
                some = f"{shortest} to {longest}" if math.isfinite(longest) else f"{shortest} or more"
                wrong = (
                    f"window_samples {self.window_samples} does not run with gru_axis {self.gru_axis!r} and pool {self.pool!r}; "
                    f"lengths that do: {some}"
                )
        if wrong:
            raise BundleError(f"encoder 'cnn_rnn': {wrong}.")

    def _lengths(self) -> tuple[int, float]:
        """Shortest and longest window that leave the time bins which the GRU needs."""
        shortest: int
        longest: float
        if self.pool == "max" and self.gru_axis == "channel":
            shortest = longest = self.bins
        else:
            shortest, longest = 1, math.inf
        last = len(self.kernels) - 1
        for block in range(last, -1, -1):
            lost = DILATION * (self.kernels[block] - 1)
            pool = 1 if self.pool == "adaptive" and block == last else self.pools[block]
            shortest, longest = shortest * pool + lost, longest * pool + pool - 1 + lost
        return shortest, longest


class CnnRnn(nn.Module):
    """(B, channels, window_samples) float32, for an IMU in SI units, to (B, dimension) float32 of unit norm."""

    means: Tensor

    def __init__(self, options: CnnRnnOptions) -> None:
        super().__init__()
        self.options = options
        filters, dimension = options.filters, options.dimension
        inputs = [options.channels, *[filters] * (len(options.kernels) - 1)]
        self.input_norm = nn.GroupNorm(options.groups, options.channels)
        self.convolutions = nn.ModuleList(
            [
                nn.Conv1d(channels, filters, kernel, dilation=DILATION, bias=False)
                for channels, kernel in zip(inputs, options.kernels, strict=True)
            ]
        )
        self.norm = nn.GroupNorm(NORM_GROUPS, filters)
        self.gru = nn.GRU(options.bins if options.gru_axis == "channel" else filters, dimension, batch_first=True)
        if options.projection:
            self.projection = nn.Linear(dimension, dimension)
        if options.pool == "adaptive":
            samples = options.window_samples
            for kernel, pool in zip(options.kernels, [*options.pools[:-1], 1], strict=True):
                samples = (samples - DILATION * (kernel - 1)) // pool
            self.register_buffer("means", bin_means(samples, options.bins), persistent=False)

    def forward(self, windows: Tensor) -> Tensor:
        x = self.input_norm(windows)
        last = len(self.convolutions) - 1 if self.options.pool == "adaptive" else None
        for block, convolution in enumerate(self.convolutions):
            x = convolution(x)  # (B, filters, samples)
            x = x @ self.means if block == last else F.max_pool1d(x, self.options.pools[block])
        x = self.norm(x)  # (B, filters, bins)
        _, state = self.gru(x if self.options.gru_axis == "channel" else x.transpose(1, 2))
        embedding = state[0]
        if self.options.projection:
            embedding = self.projection(embedding)
        embedding = embedding.float()
        unit: Tensor = embedding / length(embedding, 1, 1e-12)[:, None]
        return unit


def bin_means(samples: int, bins: int) -> Tensor:
    """(samples, bins): times it, a signal becomes its means over `bins` parts as equal as whole samples allow, which may overlap by one.

    Adaptive average pooling as a product, since not every engine has it for parts of unequal length.
    """
    weights = torch.zeros(samples, bins)
    for part in range(bins):
        start, stop = part * samples // bins, -(-(part + 1) * samples // bins)
        weights[start:stop, part] = 1 / (stop - start)
    return weights
