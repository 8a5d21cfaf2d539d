"""Whether gyroscope and accelerometer belong together: gravity stands still once the turns that the gyroscope tells are undone.

Over a few seconds the acceleration is averaged in a frame that the gyroscope holds still. With the true turns the average is gravity, whatever the
body did, as linear acceleration comes to nothing; with any other turns it is shorter. So the length of the average is a measure of any guess how
the rates should be read: in which of the 48 signed orders of axes, and in which unit.

Exchanging the axes of the rates is the same as exchanging those of the acceleration the other way, which keeps lengths. One integration of the
rates and one of their opposites therefore serve all orders: the average is kept as a tensor that is linear in the acceleration.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from aura_edge.types import NS_PER_S, Window

BLOCK_S, BLOCKS = 0.05, 10
"""Length of a step of the integration, and steps in a segment."""
JOINED = 8
"""Segments over which gravity is averaged: 4 s. Fewer let linear acceleration through, more let a gyroscope's bias turn the frame."""
KEPT, LEAST = 24, 8
"""Averages that are judged together, one begun with every segment, and the least number of them."""

TURNS: NDArray[np.float64] = np.array(
    [
        [[sign[row] * (order[row] == column) for column in range(3)] for row in range(3)]
        for order in permutations(range(3))
        for sign in product((1, -1), repeat=3)
    ],
    dtype=np.float64,
)
"""(48, 3, 3) signed orders of axes; each maps rates as declared to true ones. The first is the identity."""
SCALES = (1.0, math.pi / 180, 180 / math.pi)
"""What rates as declared may have to be multiplied with: nothing wrong, deg/s taken for rad/s, rad/s taken for deg/s."""

_OPPOSITE = np.linalg.det(TURNS) < 0
_PROPER = TURNS * np.where(_OPPOSITE, -1.0, 1.0)[:, None, None]
_FACTORS = np.array([*(way * scale for scale in SCALES for way in (1.0, -1.0)), 0.0])
"""The last for no turns at all: a reading that does no better tells nothing."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How the rates are best read, against how they were declared."""

    turn: NDArray[np.float64]
    """(3, 3) of `TURNS`."""
    scale: float
    """Of `SCALES`."""
    gravity: float
    """Mean square of gravity's length in this reading, as a share of that of the acceleration, as are all below: near 1 when all is well."""
    told: float
    """What of it is lost without any turns: how much the rates have to tell."""
    axes_lost: float
    """What of it is lost with the axes as declared, in whichever of `SCALES` is best for them."""
    unit_lost: float
    """What of it is lost with these axes in the unit declared."""
    clear: float
    """What of it is lost with the next best axes: near 0 where the motion cannot tell some of them apart."""


class Kinematics:
    """Follows the windows of one stream."""

    def __init__(self, rate_hz: float) -> None:
        """`rate_hz` is that of the windows."""
        self._rate_hz = rate_hz
        self._block = max(1, round(BLOCK_S * rate_hz))
        self._segment = self._block * BLOCKS
        self._covered_ns: int | None = None
        self._segments: deque[tuple[NDArray[np.float64], NDArray[np.float64], float]] = deque(maxlen=JOINED)
        self._kept: deque[tuple[NDArray[np.float64], float, float]] = deque(maxlen=KEPT)

    def see(self, window: Window) -> bool:
        """Take what the next window adds to those before it; True when it added anything to judge."""
        length = window.samples.shape[1]
        if self._covered_ns is None or not window.t0_ns <= self._covered_ns <= window.t1_ns:
            self._segments.clear()
            self._covered_ns = window.t0_ns
        start = round((self._covered_ns - window.t0_ns) * self._rate_hz / NS_PER_S)
        added = False
        for first in range(start, length - self._segment + 1, self._segment):
            self._add(window.samples[:, first : first + self._segment].astype(np.float64))
            self._covered_ns += round(self._segment * NS_PER_S / self._rate_hz)
            added = True
        return added

    def reading(self) -> Reading | None:
        """What the last of them say; None before there are enough."""
        if len(self._kept) < LEAST:
            return None
        felt = max(sum(average[1] for average in self._kept), 1e-30)
        lengths = np.sum([average[0] for average in self._kept], axis=0) / felt  # (scales, 48)
        scale, turn = divmod(int(lengths.argmax()), len(TURNS))
        best, by_turn = float(lengths[scale, turn]), lengths.max(axis=0)
        return Reading(
            turn=TURNS[turn],
            scale=SCALES[scale],
            gravity=best,
            told=best - sum(average[2] for average in self._kept) / felt,
            axes_lost=best - float(by_turn[0]),
            unit_lost=best - float(lengths[0, turn]),
            clear=best - float(np.delete(by_turn, turn).max()),
        )

    def _add(self, samples: NDArray[np.float64]) -> None:
        blocks = samples.reshape(6, BLOCKS, self._block).mean(axis=2)
        acc, turned = blocks[:3].T, blocks[3:].T[:, None] * (_FACTORS[:, None] * self._block / self._rate_hz)
        halves = _rotations(turned / 2)  # (blocks, 6, 3, 3)
        frame = np.broadcast_to(np.eye(3), (len(_FACTORS), 3, 3))
        total = np.zeros((len(_FACTORS), 3, 3, 3))  # frame (i, j) times acceleration l
        for half, felt in zip(halves, acc, strict=True):
            middle = frame @ half
            total += middle[..., None] * felt
            frame = middle @ half
        self._segments.append((frame, total, float((acc**2).sum())))
        if len(self._segments) == JOINED:
            self._kept.append(self._average())

    def _average(self) -> tuple[NDArray[np.float64], float, float]:
        """(scales, 48) square of gravity's length in each reading; mean square of the acceleration; square of gravity's length without turns."""
        joined = np.zeros((len(_FACTORS), 3, 9))
        for frame, total, _ in reversed(self._segments):
            joined = total.reshape(-1, 3, 9) + frame @ joined
        joined /= JOINED * BLOCKS
        gravity = joined @ _PROPER.transpose(0, 2, 1).reshape(-1, 9).T  # (factors, 3, 48)
        squares = (gravity**2).sum(axis=1)
        ways = squares[:-1].reshape(len(SCALES), 2, -1)
        felt = sum(segment[2] for segment in self._segments) / (JOINED * BLOCKS)
        return np.where(_OPPOSITE, ways[:, 1], ways[:, 0]), felt, float(squares[-1, 0])


def _rotations(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 3) rotation vectors to (..., 3, 3) matrices."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    angle = np.maximum(np.sqrt(x * x + y * y + z * z), 1e-12)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3) / angle[..., None, None]
    sine, cosine = np.sin(angle)[..., None, None], np.cos(angle)[..., None, None]
    turned: NDArray[np.float64] = np.eye(3) + sine * cross + (1 - cosine) * (cross @ cross)
    return turned
