"""What the encoder in one launch needs to know before it is compiled: sizes, and how they are divided among blocks and warps.

Read from an `EncoderSpec` without torch; what the kernel cannot run is refused here, before anything is packed or compiled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aura_edge.errors import EngineError
from aura_edge.manifest import EncoderSpec

WARPS = 8
"""Of every block: each owns an eighth of a token's columns, and keeps them in registers from the first layer to the last."""
TILE = 16
"""Rows of one tensor-core tile."""
CLUSTER_LIMIT = 8
"""Blocks of a portable cluster."""
ACCUMULATORS_LIMIT = 96
"""Registers of a thread that may hold tokens: with 255 of them, attention and the weights in flight need the rest."""
SEGMENTS = 5
"""Parts of a window whose mean accelerations the stem takes."""
FEATURES_PER_FILTER = 12
"""Invariants of one filtered vector: length, along up, with its partner, and with five plus four reference directions."""


@dataclass(frozen=True, slots=True)
class EncoderShape:
    """Sizes of an encoder that the kernel can run."""

    dimension: int
    window_samples: int
    width: int
    depth: int
    heads: int
    hidden: int
    stride: int
    patch: int
    invariant_filters: int
    vector_filters: int
    channel_filters: int
    plain: bool
    """Patches of the channels as they are, one linear map each."""
    scaled: bool
    """Channels enter in g and in units of the rate scale; otherwise in SI units, as AURA-MFM's released code was trained."""
    pools: int
    summary: bool
    """A learned token before the others is what is pooled."""
    residual: bool
    """Each half of a block is added to its input; in AURA-MFM's released code it takes its place."""

    @property
    def head_size(self) -> int:
        return self.width // self.heads

    @property
    def patches(self) -> int:
        """Tokens that are made of samples."""
        return (self.window_samples + 2 * self.padding - self.patch) // self.stride + 1

    @property
    def padding(self) -> int:
        """Samples that patches reach beyond either end of the window."""
        return (self.patch - self.stride) // 2

    @property
    def tokens(self) -> int:
        return self.patches + int(self.summary)

    @property
    def rows(self) -> int:
        """Tokens, filled up to whole tiles."""
        return -(-self.tokens // TILE) * TILE

    @property
    def features(self) -> int:
        """Of the projection: the pooled token, or the mean and the weighted means."""
        return self.width * (1 + self.pools)


def shape_of(spec: EncoderSpec) -> EncoderShape:
    """Sizes of the encoder that `spec` describes. Raises `EngineError` for a kind, or for sizes, that the kernel cannot run."""
    options = spec.options
    if spec.kind == "transformer":
        shape = _transformer(options)
    elif spec.kind == "senvt_released":
        shape = _senvt(options)
    else:
        raise EngineError(
            f"the cuda engine runs encoders of kind 'transformer' and 'senvt_released', this one is {spec.kind!r}: use --engine ort or trt."
        )
    if wrong := _refusal(shape, options):
        raise EngineError(f"the cuda engine cannot run this {spec.kind!r} encoder: {wrong}. Use --engine ort or trt.")
    return shape


def _transformer(options: dict[str, Any]) -> EncoderShape:
    return EncoderShape(
        dimension=options["dimension"],
        window_samples=options["window_samples"],
        width=options["width"],
        depth=options["depth"],
        heads=options["heads"],
        hidden=options["mlp_ratio"] * options["width"],
        stride=options["stride"],
        patch=options["patch"],
        invariant_filters=options["invariant_filters"],
        vector_filters=options["vector_filters"],
        channel_filters=options["channel_filters"],
        plain=options["plain_stem"],
        scaled=True,
        pools=options["attention_pools"],
        summary=options["pooling"] == "summary",
        residual=True,
    )


def _senvt(options: dict[str, Any]) -> EncoderShape:
    return EncoderShape(
        dimension=options["dimension"],
        window_samples=options["window_samples"],
        width=options["width"],
        depth=options["depth"],
        heads=options["heads"],
        hidden=2 * options["width"],
        stride=options["patch"],
        patch=options["patch"],
        invariant_filters=0,
        vector_filters=0,
        channel_filters=0,
        plain=True,
        scaled=False,
        pools=0,
        summary=True,
        residual=False,
    )


def _refusal(shape: EncoderShape, options: dict[str, Any]) -> str | None:
    """What the kernel cannot do with it; None where it can."""
    filters = (shape.invariant_filters, shape.vector_filters, shape.channel_filters)
    if options["channels"] != 6:
        return f"it has {options['channels']} channels, the kernel reads the 6 of an IMU"
    if shape.width % (8 * WARPS) or shape.head_size not in (32, 64):
        return f"width {shape.width} with heads of {shape.head_size}; the kernel needs a multiple of {8 * WARPS} and heads of 32 or 64"
    if shape.stride % 4 or shape.patch % 8:
        return f"stride {shape.stride} and patch {shape.patch}; the kernel needs multiples of 4 and of 8"
    if (shape.invariant_filters or shape.vector_filters) and shape.window_samples % SEGMENTS:
        return f"windows of {shape.window_samples} samples; the kernel needs a multiple of {SEGMENTS} to find up"
    if any(count % TILE for count in filters):
        return f"filters {filters}; the kernel needs multiples of {TILE}"
    if shape.tokens > 16 * TILE or shape.pools > WARPS:
        return (
            f"{shape.tokens} tokens and {shape.pools} attention pools; the kernel takes up to {16 * TILE} and {WARPS}"
        )
    return None
