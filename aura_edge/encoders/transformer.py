"""The patch Transformer: patches of a window, pre-norm blocks with residual connections, pooling, a unit vector.

Our own presets take patches of what no rotation of the sensor changes, and the mean over tokens. The encoder of AURA-MFM (Matsuishi, Ukita
and Okita 2025) takes the channels as they are (`plain_stem`), a summary token and dropout of single elements, for motion capture as well.

Vaswani et al. 2017 (arXiv:1706.03762), pre-norm after Xiong et al. 2020 (arXiv:2002.04745), patches after Dosovitskiy et al. 2021
(arXiv:2010.11929), stochastic depth after Huang et al. 2016 (arXiv:1603.09382), attention pooling after Lin et al. 2017
(arXiv:1703.03130). One QKV product reshaped to (B, N, 3, heads, d) is the form that inference compilers fuse.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aura_edge.encoders.frame import length
from aura_edge.encoders.stems import SEGMENTS, ChannelStem, InvariantStem, PlainStem, VectorStem, scale
from aura_edge.errors import BundleError
from aura_edge.types import CHANNELS


class TransformerOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of kind `transformer`."""

    dimension: int
    """Length of the embedding: that of the text tower."""
    window_samples: int = 1000
    """Samples of a window; no other length runs."""
    width: int = 128
    """Length of a token."""
    depth: int = 4
    """Blocks."""
    heads: int = 4
    """Attention heads of a block."""
    mlp_ratio: int = 3
    """Hidden width of a block's feed-forward half, in widths."""
    stride: int = 20
    """Samples from one token to the next."""
    patch: int = 40
    """Samples that a token sees; more than the stride makes them overlap."""
    invariant_filters: int = 64
    """Filters over the rotation-invariant channels; 0 for none."""
    vector_filters: int = 32
    """Filters that are shared by the three axes, with invariants taken after them; 0 for none."""
    channel_filters: int = 0
    """Filters over the channels as they are, which see how the sensor was turned; 0 for none."""
    positions: Literal["learned", "sinusoidal"] = "learned"
    """Learned positions start as the sinusoidal ones; the summary token has one too, the first."""
    attention_pools: int = 0
    """Learned weighted means of the tokens that are pooled beside their plain mean."""
    dropout: float = 0.1
    """In training: share dropped of each half's output."""
    drop_path: float = 0.1
    """In training: chance of skipping a half of the last block; earlier blocks less, the first never."""
    token_mask: float = 0.0
    """In training: chance that a stretch of up to a fifth of the tokens is hidden."""
    channels: int = 6
    """6 for an IMU; anything else, such as three for each joint of motion capture, needs `plain_stem` alone."""
    plain_stem: bool = False
    """Patches of the channels as they are, which see how the sensor was turned."""
    pooling: Literal["mean", "summary"] = "mean"
    """The mean over tokens, or a learned token put before them (CLS)."""
    dropout_of: Literal["channels", "elements"] = "channels"
    """Whole channels, the same ones in every token of a window; or single elements, behind the activation as well."""
    qkv_bias: bool = True
    """Whether queries, keys and values have an additive part."""

    def __post_init__(self) -> None:
        wrong = None
        if (
            min(self.dimension, self.window_samples, self.width, self.depth, self.heads, self.mlp_ratio, self.stride)
            < 1
            or self.channels < 1
        ):
            wrong = "dimension, window_samples, width, depth, heads, mlp_ratio, stride and channels must be at least 1"
        elif self.width % self.heads or self.width % 2:
            wrong = f"width {self.width} must be even and a multiple of heads {self.heads}"
        elif self.window_samples % self.stride or (self.vector_filters and self.window_samples % SEGMENTS):
            segments = f" and of {SEGMENTS}" if self.vector_filters else ""
            wrong = f"window_samples {self.window_samples} must be a multiple of stride {self.stride}{segments}"
        elif self.patch < self.stride or (self.patch - self.stride) % 2:
            wrong = f"patch {self.patch} must be stride {self.stride} plus an even number"
        elif (
            self.attention_pools < 0
            or min(self.invariant_filters, self.vector_filters, self.channel_filters) < 0
            or (self.filters == 0 and not self.plain_stem)
        ):
            wrong = (
                "one of invariant_filters, vector_filters and channel_filters must be positive unless there is plain_stem, and neither they "
                "nor attention_pools negative"
            )
        elif self.channels != len(CHANNELS) and self.filters:
            wrong = (
                f"invariant_filters {self.invariant_filters}, vector_filters {self.vector_filters} and channel_filters "
                f"{self.channel_filters} need the {len(CHANNELS)} channels of an IMU, not {self.channels}: set them to 0 and use plain_stem"
            )
        elif self.pooling == "summary" and self.attention_pools:
            wrong = f"attention_pools {self.attention_pools} go with pooling 'mean', not with 'summary'"
        elif not all(0 <= share < 1 for share in (self.dropout, self.drop_path, self.token_mask)):
            wrong = "dropout, drop_path and token_mask must be at least 0 and below 1"
        if wrong:
            raise BundleError(f"encoder 'transformer': {wrong}.")

    @property
    def filters(self) -> int:
        """Of all stems but the plain one."""
        return self.invariant_filters + self.vector_filters + self.channel_filters


class PatchTransformer(nn.Module):
    """(B, channels, window_samples) float32, for an IMU in SI units, to (B, dimension) float32 of unit norm."""

    def __init__(self, options: TransformerOptions) -> None:
        super().__init__()
        self.options = options
        width, patch, stride = options.width, options.patch, options.stride
        self.tokens = options.window_samples // stride
        stems: list[nn.Module] = []
        if options.invariant_filters:
            stems.append(InvariantStem(width, options.invariant_filters, patch, stride))
        if options.vector_filters:
            stems.append(VectorStem(width, options.vector_filters, patch, stride))
        if options.channel_filters:
            stems.append(ChannelStem(width, options.channel_filters, patch, stride))
        self.stems = nn.ModuleList(stems)
        if options.plain_stem:
            self.plain_stem = PlainStem(options.channels, width, patch, stride)
        self.stem_norm = nn.LayerNorm(width)
        self.summaries = int(options.pooling == "summary")
        positions = 0.3 * sinusoids(self.summaries + self.tokens, width)
        if options.positions == "learned":
            self.positions = nn.Parameter(positions)
        else:
            self.register_buffer("positions", positions, persistent=False)
        if options.token_mask:
            self.hidden_token = nn.Parameter(torch.zeros(width))
        if self.summaries:
            self.summary_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(width), std=0.02))
        last = max(1, options.depth - 1)
        self.blocks = nn.ModuleList([Block(options, options.drop_path * i / last) for i in range(options.depth)])
        self.norm = nn.LayerNorm(width)
        if options.attention_pools:
            self.pools = nn.Linear(width, options.attention_pools)
        self.projection = nn.Linear(width * (1 + options.attention_pools), options.dimension)

    def forward(self, windows: Tensor) -> Tensor:
        if self.training and self.options.token_mask:
            x = self.encode(windows, self._stretches(len(windows)), self.hidden_token)
        else:
            x = self.encode(windows)
        embedding = self.projection(self._pool(x)).float()
        unit: Tensor = embedding / length(embedding, 1, 1e-12)[:, None]
        return unit

    def encode(self, windows: Tensor, hidden: Tensor | None = None, instead: Tensor | None = None) -> Tensor:
        """Tokens behind the last block, normalised: (B, N, width), and before them the summary token where there is one.

        In place of the tokens that are `hidden`, (B, N) bool, `instead` enters the first block: (width,), or (N, width) where it tells
        positions apart. What their samples say to the directions of the window and to overlapping patches is not taken back.
        """
        x = self.stem_norm(self._patches(windows)) + self.positions[self.summaries :]  # (B, N, width)
        if hidden is not None and instead is not None:
            x = torch.where(hidden[..., None].to(x.device), instead.to(x.dtype), x)
        if self.summaries:
            summary = self.summary_token + self.positions[0]
            x = torch.cat([summary.to(x.dtype).expand(x.shape[0], 1, -1), x], 1)
        for block in self.blocks:
            x = block(x)
        normed: Tensor = self.norm(x)
        return normed

    def _patches(self, windows: Tensor) -> Tensor:
        """The sum of what the stems make of a window: (B, N, width)."""
        found = []
        if len(self.stems):
            acceleration, rate, up = scale(windows)
            found = [stem(acceleration, rate, up) for stem in self.stems]
        if self.options.plain_stem:
            found.append(self.plain_stem(windows))
        return torch.stack(found).sum(0)

    def _pool(self, x: Tensor) -> Tensor:
        """(B, N, width) to the summary token, or to the mean over tokens and the weighted means beside it."""
        if self.summaries:
            return x[:, 0]
        mean = x.mean(1)
        if not self.options.attention_pools:
            return mean
        weights = self.pools(x).softmax(1)  # (B, N, pools)
        return torch.cat([mean, (weights.transpose(1, 2) @ x).flatten(1)], 1)

    def _stretches(self, batch: int) -> Tensor:
        """(B, N) one stretch of tokens in a share of the windows, to be hidden as a sensor that slips out of reach would hide them."""
        place, size = torch.rand(batch, 1), (torch.rand(batch, 1) * (self.tokens // 5)).ceil()
        start = (place * (self.tokens - size + 1)).floor()  # anywhere, up to where it ends with the window
        chosen = torch.rand(batch, 1) < self.options.token_mask
        index = torch.arange(self.tokens)[None]
        return (index >= start) & (index < start + size) & chosen


class Block(nn.Module):
    """Attention and feed-forward, each on the normalised input and added to it."""

    def __init__(self, options: TransformerOptions, drop_path: float) -> None:
        super().__init__()
        width = options.width
        self.heads, self.drop_path, self.dropout = options.heads, drop_path, options.dropout
        self.drops_elements = options.dropout_of == "elements"
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=options.qkv_bias), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, options.mlp_ratio * width), nn.Linear(options.mlp_ratio * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(self.norm_1(x)).reshape(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, N, d)
        # Written out: on a CPU the fused backward pass takes twelve times as long for so few tokens in bfloat16.
        weights = (q @ k.transpose(2, 3) * (width // self.heads) ** -0.5).softmax(3)
        attended = (weights @ v).transpose(1, 2).reshape(batch, tokens, width)
        x = self._add(x, self.out(attended))
        hidden = F.gelu(self.up(self.norm_2(x)))
        if self.drops_elements:
            hidden = F.dropout(hidden, self.dropout, self.training)
        return self._add(x, self.down(hidden))

    def _add(self, x: Tensor, half: Tensor) -> Tensor:
        if self.training:
            if self.drops_elements:
                half = F.dropout(half, self.dropout)
            elif self.dropout:
                whole = torch.rand(len(x), 1, x.shape[2], device=x.device) >= self.dropout
                half = half * (whole.to(half.dtype) / (1 - self.dropout))
            if self.drop_path:
                kept = torch.rand(len(x), 1, 1, device=x.device) >= self.drop_path
                half = half * (kept.to(half.dtype) / (1 - self.drop_path))
        return x + half


def sinusoids(tokens: int, width: int) -> Tensor:
    """(tokens, width) sines and cosines of wavelengths from 2 pi to 1000 times that, in tokens."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(1000.0) / width))
    angles = torch.arange(tokens)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], 2).reshape(tokens, width)
