"""Rungs 0 to 2, attention on packed queries, keys and values: right for 1 to 256 tokens, under every schedule, without bank conflicts."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from numpy.typing import NDArray

from aura_edge.errors import EngineError
from aura_edge.kernels import attention, build, reference
from aura_edge.kernels.emulated import SCHEDULES, Schedule

TOLERANCE = 5e-3
"""Against float64, for FP16 inputs of unit size."""
ARCHITECTURES = (80, 86, 87, 89, 90, 120)
RUNGS: tuple[attention.Rung, ...] = ("attention_naive", "attention_fused")
needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="the emulator is compiled by g++, which is not here"
)
needs_nvcc = pytest.mark.skipif(build.find_nvcc() is None, reason="nvcc is not here")


def packed(shape: tuple[int, int, int, int], seed: int = 0) -> NDArray[np.float16]:
    """Standard normal queries, keys and values for (B, N, H, d)."""
    batch, tokens, heads, head = shape
    return np.random.default_rng(seed).standard_normal((batch, tokens, 3, heads, head)).astype(np.float16)


def worst(found: NDArray[np.float16], qkv: NDArray[np.float16]) -> float:
    return float(np.abs(found - reference.attention(qkv)).max())


def test_the_reference_is_the_definition() -> None:
    """Rung 0 against the sum written out, token by token."""
    qkv = packed((1, 3, 1, 32)).astype(np.float64)
    q, k, v = qkv[0, :, :, 0].transpose(1, 0, 2)
    for token in range(3):
        weights = [np.exp(q[token] @ k[other] / 32**0.5) for other in range(3)]
        expected = sum(weight * value for weight, value in zip(weights, v, strict=True)) / sum(weights)
        np.testing.assert_allclose(reference.attention(qkv)[0, token, 0], expected, rtol=1e-12)
    with pytest.raises(EngineError, match=r"shape \(2, 3\)"):
        reference.attention(np.zeros((2, 3)))


@needs_compiler
@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("head", attention.HEAD_SIZES)
def test_every_number_of_tokens(rung: attention.Rung, head: int) -> None:
    """Each of 1 to 256 tokens, a schedule after the other: within 5e-3 of float64."""
    for tokens in range(1, attention.MAX_TOKENS + 1):
        qkv = packed((1, tokens, 1, head), seed=tokens)
        found, _ = attention.emulate(rung, qkv, SCHEDULES[tokens % len(SCHEDULES)])
        assert worst(found, qkv) < TOLERANCE, tokens


@needs_compiler
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("shape", [(2, 50, 4, 32), (1, 126, 6, 32), (3, 65, 2, 64), (1, 250, 3, 64)])
def test_windows_heads_and_schedules(
    rung: attention.Rung, shape: tuple[int, int, int, int], schedule: Schedule
) -> None:
    """Several windows and heads at once, in every order in which warps may run."""
    qkv = packed(shape)
    found, counts = attention.emulate(rung, qkv, schedule)
    assert worst(found, qkv) < TOLERANCE
    assert counts.bank_conflicts == 0
    if rung == "attention_fused":
        tiles, queries = -(-shape[1] // 64), attention.grid(rung, shape_of(shape))[2] * 4
        assert counts.mmas == shape[0] * shape[2] * queries * tiles * 2 * (8 * shape[3] // 16)
        assert counts.matrix_loads > 0


def shape_of(shape: tuple[int, int, int, int]) -> tuple[int, int, int, int, int]:
    batch, tokens, heads, head = shape
    return batch, tokens, 3, heads, head


@needs_compiler
@pytest.mark.parametrize("rung", RUNGS)
def test_large_and_equal_scores(rung: attention.Rung) -> None:
    """Scores of several hundred do not overflow, and where all are equal the mean of the values comes out."""
    sharp = packed((1, 130, 1, 64)) * np.float16(8)
    sharp[:, :, 2] /= np.float16(8)
    assert worst(attention.emulate(rung, sharp)[0], sharp) < TOLERANCE
    flat = packed((1, 130, 1, 64))
    flat[:, :, 0] = 0
    mean = flat[0, :, 2, 0].astype(np.float64).mean(0)
    np.testing.assert_allclose(attention.emulate(rung, flat)[0][0, :, 0], np.tile(mean, (130, 1)), atol=TOLERANCE)


@needs_compiler
def test_a_window_is_computed_the_same_in_any_batch() -> None:
    """To the bit, alone or among others."""
    qkv = packed((3, 70, 2, 32))
    together, _ = attention.emulate("attention_fused", qkv)
    for window in range(3):
        alone, _ = attention.emulate("attention_fused", qkv[window : window + 1])
        np.testing.assert_array_equal(alone[0], together[window])


@pytest.mark.parametrize(
    "shape", [(1, 257, 3, 1, 32), (1, 0, 3, 1, 32), (1, 5, 2, 1, 32), (1, 5, 3, 1, 48), (5, 3, 32)]
)
def test_other_sizes_are_refused(shape: tuple[int, ...]) -> None:
    """What no test proves does not run."""
    with pytest.raises(EngineError, match=r"fused attention takes \(B, N, 3, H, d\)"):
        attention.emulate("attention_fused", np.zeros(shape, np.float16))


def test_other_types_are_refused() -> None:
    """Nothing is rounded silently."""
    with pytest.raises(EngineError, match="float32; expected float16"):
        attention.emulate("attention_fused", np.zeros((1, 4, 3, 1, 32), np.float32))  # type: ignore[arg-type]


@needs_nvcc
@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nvcc_compiles_without_spills(architecture: int) -> None:
    """For every architecture: no warning, no spill, and the shared memory of five tiles."""
    for rung in RUNGS:
        found = build.resources(rung, {}, architecture)
        assert set(found) == {attention.kernel_name(rung, head) for head in attention.HEAD_SIZES}
        for head in attention.HEAD_SIZES:
            taken = found[attention.kernel_name(rung, head)]
            assert taken.spilled_bytes == 0
            assert taken.static_shared_bytes == (5 * 64 * head * 2 if rung == "attention_fused" else 0)
            assert taken.registers <= 255
