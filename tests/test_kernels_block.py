"""Rung 3, the fused attention block, on the emulator: right for any number of tokens, under every schedule, without bank conflicts."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest
from kernel_cases import made
from numpy.typing import NDArray

from aura_edge.errors import EngineError
from aura_edge.kernels import encoder_reference, packing
from aura_edge.kernels.emulated import SCHEDULES, EmulatedKernel
from aura_edge.kernels.plan import Plan, plan_for
from aura_edge.kernels.shape import shape_of

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None, reason="the emulator is compiled by g++, which is not here"
)

TOLERANCE = 5e-3
"""Against float64, for FP16 tokens of unit size."""


def block(tokens: int, width: int, heads: int, blocks: int) -> tuple[Plan, dict[str, NDArray[Any]]]:
    """A plan for so many tokens in so many blocks of a cluster, and packed weights."""
    options = {
        "dimension": 8,
        "width": width,
        "depth": 1,
        "heads": heads,
        "window_samples": 8 * tokens,
        "stride": 8,
        "patch": 8,
    }
    spec, _, tensors = made("transformer", options | {"invariant_filters": 0, "vector_filters": 0, "plain_stem": True})
    return plan_for(shape_of(spec), blocks=blocks), packing.pack(spec, tensors)


def worst(plan: Plan, packed: dict[str, NDArray[Any]], tokens: NDArray[Any], found: NDArray[Any]) -> float:
    reference = encoder_reference.Reference(plan.shape, packed)
    expected = np.stack([reference.attention_half(0, each.astype(np.float64)) for each in tokens])
    return float(np.abs(found - expected).max())


@pytest.mark.parametrize(
    ("tokens", "width", "heads", "blocks"),
    [
        (1, 64, 2, 1),
        (17, 64, 2, 2),
        (50, 128, 4, 1),
        (64, 128, 2, 4),
        (65, 64, 1, 1),
        (126, 192, 6, 1),
        (126, 192, 6, 8),
        (250, 64, 2, 2),
        (256, 128, 2, 8),
    ],
)
def test_the_block_is_right_for_any_number_of_tokens(tokens: int, width: int, heads: int, blocks: int) -> None:
    """From one token to 256, heads of 32 and 64, in one block and in a cluster: within tolerance of float64, no bank conflict."""
    plan, packed = block(tokens, width, heads, blocks)
    kernel = EmulatedKernel("attention_block", plan, packed)
    given = np.random.default_rng(tokens).standard_normal((2, tokens, width)).astype(np.float16)
    results = []
    for schedule in SCHEDULES if tokens < 100 else SCHEDULES[::3]:
        found, counts = kernel.run(given, schedule)
        assert worst(plan, packed, given, found) <= TOLERANCE
        assert counts.bank_conflicts == 0
        assert counts.mmas > 0
        results.append(found)
    assert all(np.array_equal(each, results[0]) for each in results)


def test_large_tokens_do_not_overflow() -> None:
    """Tokens far from zero, and scores that an exponential alone would not survive."""
    plan, packed = block(50, 64, 2, 1)
    given = (np.random.default_rng(0).standard_normal((1, 50, 64)) * 100 + 50).astype(np.float16)
    packed = packed | {"blocks.qkv": packed["blocks.qkv"] * np.float16(8)}
    found, _ = EmulatedKernel("attention_block", plan, packed).run(given)
    assert np.isfinite(found).all()
    assert worst(plan, packed, given, found) <= 0.3  # FP16 has steps of 0.25 there


def test_what_does_not_fit_is_refused() -> None:
    """A width whose tokens do not fit one block's registers, and shared memory that is too small, say so."""
    options = {"dimension": 8, "width": 384, "depth": 1, "heads": 6, "stride": 8, "patch": 8, "plain_stem": True}
    spec, _, _ = made("transformer", options | {"invariant_filters": 0, "vector_filters": 0})
    shape = shape_of(spec)
    with pytest.raises(EngineError, match="125 tokens and width 384 does not fit 1 block with"):
        plan_for(shape, blocks=1)
    assert plan_for(shape).blocks == 8
    with pytest.raises(EngineError, match="does not fit 8 blocks with 20000 bytes"):
        plan_for(shape, shared_bytes=20_000)
