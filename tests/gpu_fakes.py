"""A GPU made of numpy that runs our own kernels: what would be a launch on it is one on the emulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aura_edge.cuda.driver import DeviceFacts, Grid
from aura_edge.cuda.fake import FACTS, FakeDriver, Kernel
from aura_edge.kernels import attention
from aura_edge.kernels.emulated import EmulatedKernel
from aura_edge.kernels.plan import THREADS, best_plans
from aura_edge.kernels.shape import EncoderShape

HOPPER = replace(FACTS, name="Fake Hopper", compute_capability=(9, 0), shared_bytes=227 << 10, clusters=True)
ORIN = FACTS


class GpuThatRuns(FakeDriver):
    """Tells a kernel, behind its own arguments, how many blocks of a cluster it was compiled for: `fake_cubin` wrote that into the module."""

    def launch(self, function: int, grid: Grid, block: Grid, arguments: Sequence[np.generic], **how: Any) -> None:
        module, _, _ = self._functions[function]
        super().launch(function, grid, block, [*arguments, np.int32(int(self._modules[module]))], **how)


def fake_cubin(name: str, defines: Mapping[str, int], architecture: int) -> bytes:
    """In place of `build.cubin`: nothing is compiled for a GPU that is not there."""
    return str(defines.get("AURA_BLOCKS", 1)).encode()


def gpu_that_runs(shape: EncoderShape, packed: Mapping[str, NDArray[Any]], facts: DeviceFacts = ORIN) -> GpuThatRuns:
    """A fake GPU whose modules hold every rung, 3 and 4 for this shape. Weights come from the device memory that the launch names."""
    kernels: dict[str, Kernel] = {
        "aura_encoder": planned("encoder", shape, packed, facts),
        "aura_attention_block": planned("attention_block", shape, packed, facts),
    }
    for rung in ("attention_naive", "attention_fused"):
        for head in attention.HEAD_SIZES:
            kernels[attention.kernel_name(rung, head)] = attending(rung, head)
    return GpuThatRuns(facts, kernels)


def planned(
    name: Literal["encoder", "attention_block"],
    shape: EncoderShape,
    packed: Mapping[str, NDArray[Any]],
    facts: DeviceFacts,
) -> Kernel:
    """Rung 3 or 4, in either plan."""
    plans = best_plans(shape, shared_bytes=facts.shared_bytes, clusters=facts.clusters)
    runners = {plan.blocks: EmulatedKernel(name, plan, packed) for plan in plans}

    def kernel(
        driver: FakeDriver,
        grid: Grid,
        block: Grid,
        given: np.uint64,
        result: np.uint64,
        weights: np.uint64,
        blocks: np.int32,
    ) -> None:
        runner = runners[int(blocks)]
        runner.weights = driver.view(int(weights), runner.weights.nbytes).copy()
        batch = grid[0] // int(blocks)
        sizes = (batch, 6, shape.window_samples) if name == "encoder" else (batch, shape.tokens, shape.width)
        kind = np.dtype(np.float32 if name == "encoder" else np.float16)
        inputs = driver.view(int(given), int(np.prod(sizes)) * kind.itemsize).view(kind)
        assert block == (THREADS, 1, 1)
        found, _ = runner.run(inputs.reshape(sizes))
        driver.view(int(result), found.nbytes)[:] = found.reshape(-1).view(np.uint8)

    return kernel


def attending(rung: attention.Rung, head: int) -> Kernel:
    """Rung 1 or 2."""

    def kernel(
        driver: FakeDriver,
        grid: Grid,
        block: Grid,
        qkv: np.uint64,
        result: np.uint64,
        tokens: np.int32,
        heads: np.int32,
        scale_log2: np.float32,
        blocks: np.int32,
    ) -> None:
        sizes = (grid[0], int(tokens), 3, int(heads), head)
        assert grid == attention.grid(rung, sizes)
        assert np.isclose(scale_log2, attention.scale_log2(head))
        packed = driver.view(int(qkv), int(np.prod(sizes)) * 2).view(np.float16).reshape(sizes)
        found, _ = attention.emulate(rung, packed)
        driver.view(int(result), found.nbytes)[:] = found.reshape(-1).view(np.uint8)

    return kernel
