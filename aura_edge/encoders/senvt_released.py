"""The Transformer of AURA-MFM's released code (Matsuishi, Ukita and Okita 2025), which is not the paper's: its blocks have no residual
connections.

Each half of a block works on the normalised input and replaces it, so that what reaches the next block has passed through every layer.
It is here to load checkpoints made by that code and to be compared with `transformer`, whose preset `aura` is the paper's encoder. Size SS (the
defaults) has 1,912,072 parameters, eight of which do nothing: a convolution that turns a mask of samples into one of patches, used by
masked pre-training alone and never trained, since its result is taken as true or false.

Windows enter as they are, in SI units, as that code was trained.
"""

from __future__ import annotations

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aura_edge.encoders.frame import length
from aura_edge.errors import BundleError

MLP_RATIO = 2


class SenvtOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of kind `senvt_released`; the defaults are size SS for an IMU."""

    dimension: int = 512
    """Length of the embedding: that of the text tower."""
    window_samples: int = 1000
    """Samples of a window; what does not fill a last patch is not looked at."""
    channels: int = 6
    """6 for an IMU, three for each joint of motion capture."""
    width: int = 192
    """Length of a token."""
    depth: int = 6
    """Blocks."""
    heads: int = 6
    """Attention heads of a block."""
    patch: int = 8
    """Samples of a token."""
    dropout: float = 0.1
    """In training: share of the elements dropped after attention, after the activation and after the feed-forward half."""

    def __post_init__(self) -> None:
        wrong = None
        sizes = (self.dimension, self.window_samples, self.channels, self.width, self.depth, self.heads, self.patch)
        if min(sizes) < 1:
            wrong = "dimension, window_samples, channels, width, depth, heads and patch must be at least 1"
        elif self.width % self.heads:
            wrong = f"width {self.width} must be a multiple of heads {self.heads}"
        elif self.window_samples < self.patch:
            wrong = f"window_samples {self.window_samples} must hold a patch of {self.patch}"
        elif not 0 <= self.dropout < 1:
            wrong = "dropout must be at least 0 and below 1"
        if wrong:
            raise BundleError(f"encoder 'senvt_released': {wrong}.")


class ReleasedSenvt(nn.Module):
    """(B, channels, window_samples) float32 to (B, dimension) float32 of unit norm."""

    def __init__(self, options: SenvtOptions) -> None:
        super().__init__()
        self.options = options
        width, patch = options.width, options.patch
        self.patches = nn.Conv1d(options.channels, width, patch, patch)
        self.mask_patches = nn.Conv1d(1, 1, patch, patch, bias=False).requires_grad_(False)
        self.stem_norm = nn.LayerNorm(width)
        self.summary_token = nn.Parameter(torch.empty(width))
        self.positions = nn.Parameter(torch.rand(options.window_samples // patch + 1, width))
        self.blocks = nn.ModuleList([ReleasedBlock(options) for _ in range(options.depth)])
        self.norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width, options.dimension)
        nn.init.trunc_normal_(self.summary_token, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, windows: Tensor) -> Tensor:
        x = self.stem_norm(self.patches(windows).transpose(1, 2))  # (B, N, width)
        x = torch.cat([self.summary_token.expand(x.shape[0], 1, -1).to(x.dtype), x], 1) + self.positions
        for block in self.blocks:
            x = block(x)
        embedding = self.projection(self.norm(x)[:, 0]).float()
        unit: Tensor = embedding / length(embedding, 1, 1e-12)[:, None]
        return unit


class ReleasedBlock(nn.Module):
    """Attention and feed-forward, each in place of its normalised input."""

    def __init__(self, options: SenvtOptions) -> None:
        super().__init__()
        width = options.width
        self.heads, self.dropout = options.heads, options.dropout
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, MLP_RATIO * width), nn.Linear(MLP_RATIO * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(self.norm_1(x)).reshape(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, N, d)
        weights = (q @ k.transpose(2, 3) * (width // self.heads) ** -0.5).softmax(3)
        x = self._drop(self.out((weights @ v).transpose(1, 2).reshape(batch, tokens, width)))
        return self._drop(self.down(self._drop(F.gelu(self.up(self.norm_2(x))))))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)
