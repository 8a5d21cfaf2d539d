"""How an encoder is divided among blocks, warps and passes, and the macros that say so to the compiler.

The kernel is compiled for one encoder and one plan; `encoder_shape.cuh` derives everything else, and refuses to compile where it counts shared
memory otherwise than this page does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aura_edge.errors import EngineError
from aura_edge.kernels.shape import ACCUMULATORS_LIMIT, CLUSTER_LIMIT, FEATURES_PER_FILTER, TILE, WARPS, EncoderShape

THREADS = 32 * WARPS
PASS_ACCUMULATORS, ALL_ACCUMULATORS = 64, 160
"""Registers of a thread for the results of one pass, and with those of the tokens that it holds meanwhile."""
SHARED_PORTABLE_BYTES = 99 * 1024
"""What every GPU since sm_80 gives one block."""
SHARED_HOPPER_BYTES = 227 * 1024
ARRAYS = (
    *(f"stem.{kind}.{part}" for kind in ("invariant", "channel") for part in ("patches", "patches_bias", "mix")),
    *(f"stem.vector.{part}" for part in ("patches", "partner", "gates", "mix")),
    *("stem.plain.patches", "stem.bias", "stem.scale", "positions"),
    *(f"blocks.{part}{bias}" for part in ("qkv", "out", "up", "down") for bias in ("", "_bias")),
    *("pools", "projection", "projection.bias"),
)
"""Names that the kernel knows; those that an encoder does not have are never read."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One way to run an encoder."""

    shape: EncoderShape
    blocks: int
    """Of a cluster, that share a window; 1 needs no cluster."""
    pass_heads: int
    pass_hidden: int

    @property
    def all_rows(self) -> int:
        """Tokens, filled up to whole tiles in every block."""
        step = TILE * self.blocks
        return -(-self.shape.tokens // step) * step

    @property
    def rows(self) -> int:
        """Of one block."""
        return self.all_rows // self.blocks

    @property
    def shared_bytes(self) -> int:
        """Shared memory of a block: the same count as in encoder_shape.cuh."""
        statistics = _aligned(self.rows * (WARPS + 1) * 8)
        frame = _aligned((3 * 5 + 3 * 9 + WARPS * 3 * 4 + 3) * 4)
        return statistics + frame + max(self._layers_bytes(), self._stem_bytes(), self._head_bytes())

    def defines(self, offsets: Mapping[str, int]) -> dict[str, int]:
        """Macros for the compiler; `offsets` is where packed arrays lie in their buffer (`packing.offsets`)."""
        shape = self.shape
        numbers = {
            "samples": shape.window_samples,
            "width": shape.width,
            "depth": shape.depth,
            "heads": shape.heads,
            "hidden": shape.hidden,
            "dimension": shape.dimension,
            "stride": shape.stride,
            "patch": shape.patch,
            "invariant_filters": shape.invariant_filters,
            "vector_filters": shape.vector_filters,
            "channel_filters": shape.channel_filters,
            "pools": shape.pools,
            "plain": int(shape.plain),
            "summary": int(shape.summary),
            "residual": int(shape.residual),
            "tokens": shape.tokens,
            "blocks": self.blocks,
            "rows": self.all_rows,
            "pass_heads": self.pass_heads,
            "pass_hidden": self.pass_hidden,
            "shared_bytes": self.shared_bytes,
        }
        places = {f"at_{name.replace('.', '_')}": offsets.get(name, 0) for name in ARRAYS}
        return {f"AURA_{name.upper()}": number for name, number in (numbers | places).items()}

    def _layers_bytes(self) -> int:
        normed = _aligned(self.rows * _pitch(self.shape.width) * 2)
        passed = _pitch(self.pass_heads * self.shape.head_size) * 2
        attention = _aligned(self.rows * passed) + 2 * _aligned(self.all_rows * passed)
        hidden = _aligned(self.rows * _pitch(self.pass_hidden) * 2)
        return normed + (max(attention, hidden) if self.blocks == 1 else attention + hidden)

    def _stem_bytes(self) -> int:
        shape = self.shape
        filtered = [
            self._signal_bytes(channels) + _aligned(self.rows * _pitch(filters) * 2)
            for channels, filters in ((10, shape.invariant_filters), (6, shape.channel_filters))
            if filters
        ]
        vectors = 0
        if filters := shape.vector_filters:
            slots = (self.all_rows - 1) * shape.stride + shape.patch
            strip = _aligned(16 * _pitch(FEATURES_PER_FILTER * filters) * 2) + _aligned(16 * filters * 4)
            vectors = max(_aligned(3 * slots * 2 * 2), strip)
            vectors += _aligned(3 * self.all_rows * (filters + 1) * 4) + _aligned(3 * self.rows * _pitch(filters) * 2)
        return max(*filtered, vectors, self._signal_bytes(6) if shape.plain else 0, 0)

    def _signal_bytes(self, channels: int) -> int:
        shape = self.shape
        slots, row = (self.rows - 1) * shape.stride + shape.patch, shape.stride * channels
        if shape.patch == shape.stride and row // 8 % 2 == 0:
            row += 8
        return _aligned((slots // shape.stride + 1) * row * 2)

    def _head_bytes(self) -> int:
        shape, logits = self.shape, max(self.shape.pools, 1)
        outputs = -(-shape.dimension // self.blocks)
        shares = 1 if outputs > THREADS // 2 else 2 if outputs > THREADS // 4 else 4
        floats = (self.blocks + 1) * shape.features + (self.all_rows + self.rows * WARPS) * logits
        return _aligned((floats + shares * outputs + WARPS + self.blocks) * 4)


def plan_for(shape: EncoderShape, *, blocks: int | None = None, shared_bytes: int = SHARED_PORTABLE_BYTES) -> Plan:
    """The plan with the fewest passes that fits a block's registers and `shared_bytes`.

    `blocks` of a cluster, 1 for large batches; None for as many as there are tiles of tokens, at most `CLUSTER_LIMIT`: that is for batch 1.
    Raises `EngineError` where nothing fits.
    """
    if blocks is None:
        blocks = next(count for count in (8, 4, 2, 1) if count <= min(CLUSTER_LIMIT, shape.rows // TILE))
    owned = -(-shape.rows // (TILE * blocks)) * (shape.width // (8 * WARPS)) * 4
    if owned <= ACCUMULATORS_LIMIT:
        for heads in _divisors(shape.heads):
            for hidden in _divisors(shape.hidden // (8 * WARPS)):
                plan = Plan(shape, blocks, heads, hidden * 8 * WARPS)
                if _fits(plan) and plan.shared_bytes <= shared_bytes:
                    return plan
    raise EngineError(
        f"an encoder of {shape.tokens} tokens and width {shape.width} does not fit {blocks} block{'s' * (blocks > 1)} with {shared_bytes} bytes "
        "of shared memory. Use --engine ort or trt."
    )


def best_plans(shape: EncoderShape, *, shared_bytes: int, clusters: bool) -> tuple[Plan, Plan]:
    """How a GPU that gives a block `shared_bytes` runs one window, and many: in a cluster where it has clusters, and a window a block where
    that fits. Raises `EngineError` where neither does."""
    if not clusters:
        plan = plan_for(shape, blocks=1, shared_bytes=shared_bytes)
        return plan, plan
    alone = plan_for(shape, shared_bytes=shared_bytes)
    try:
        return alone, plan_for(shape, blocks=1, shared_bytes=shared_bytes)
    except EngineError:
        return alone, alone


def _fits(plan: Plan) -> bool:
    """Whether a pass of heads divides among eight warps, and a pass of either half leaves room in the registers."""
    row_tiles, tiles = plan.rows // TILE, 3 * plan.pass_heads * plan.shape.head_size // 8
    across = 8 if tiles % 8 == 0 else 4 if tiles % 4 == 0 else 2
    down = WARPS // across
    if tiles % across or row_tiles % down:
        return False
    attention, hidden = row_tiles // down * (tiles // across) * 4, row_tiles * (plan.pass_hidden // (8 * WARPS)) * 4
    owned = row_tiles * (plan.shape.width // (8 * WARPS)) * 4
    return max(attention, hidden) <= min(PASS_ACCUMULATORS, ALL_ACCUMULATORS - owned)


def _divisors(number: int) -> list[int]:
    """Largest first."""
    return [divisor for divisor in range(number, 0, -1) if number % divisor == 0]


def _pitch(columns: int) -> int:
    return columns + 8


def _aligned(count: int) -> int:
    return -(-count // 128) * 128
