"""Rungs 3 and 4 on the emulator: the same bodies that a GPU runs, thread by thread on a CPU, under a schedule of one's choice."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import EngineError
from aura_edge.kernels import build, packing
from aura_edge.kernels.plan import Plan

Schedule = Literal["forward", "reverse", "greedy", "greedy reverse", "shuffled"]
SCHEDULES: tuple[Schedule, ...] = ("forward", "reverse", "greedy", "greedy reverse", "shuffled")
"""Orders in which warps run: each in turn, backwards, each as far as it can, that backwards, and drawn by chance."""


class Counts(ctypes.Structure):
    """What a launch did: tensor-core products, loads of matrices, their bank conflicts (extra cycles), and barriers passed."""

    _fields_ = (
        ("mmas", ctypes.c_long),
        ("matrix_loads", ctypes.c_long),
        ("bank_conflicts", ctypes.c_long),
        ("barriers", ctypes.c_long),
    )


class EmulatedKernel:
    """`attention_block` or `encoder`, compiled by g++ for one plan."""

    def __init__(
        self,
        name: Literal["attention_block", "encoder"],
        plan: Plan,
        packed: Mapping[str, NDArray[Any]],
        *,
        sources: Path = build.SOURCES,
    ) -> None:
        self.name, self.plan = name, plan
        self.weights = packing.blob(packed)
        places, _ = packing.offsets(packed)
        library = build.emulated(name, plan.defines(places), sources=sources)
        self._function = getattr(library, f"aura_{name}")
        self._function.restype = ctypes.c_char_p

    def run(self, inputs: NDArray[Any], schedule: Schedule = "forward") -> tuple[NDArray[Any], Counts]:
        """Windows (B, 6, n) float32 to vectors (B, D), or tokens (B, tokens, width) float16 to the same; and what was counted.

        Raises `EngineError` for a deadlock, lanes that part ways, and memory outside of a buffer.
        """
        shape = self.plan.shape
        if self.name == "encoder":
            inputs = np.ascontiguousarray(inputs, np.float32)
            outputs = np.empty((len(inputs), shape.dimension), np.float32)
        else:
            inputs = np.ascontiguousarray(inputs, np.float16)
            outputs = np.empty((len(inputs), shape.tokens, shape.width), np.float16)
        counts = Counts()
        error = self._function(
            _pointer(inputs),
            _pointer(outputs),
            _pointer(self.weights),
            len(inputs),
            ctypes.c_long(self.weights.nbytes),
            SCHEDULES.index(schedule),
            ctypes.byref(counts),
        )
        if error is not None:
            raise EngineError(
                f"the emulated kernel {self.name!r} failed under schedule {schedule!r}: {error.decode()}."
            )
        return outputs, counts


def _pointer(array: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
