"""Whether a gyroscope and an accelerometer belong together: gravity turns as the body rates say, d/dt g = -w x g.

Both are averaged over blocks; over a fifth of a second the change of the averaged acceleration is compared with what the rates make of it. The
relation is linear in a 3 x 3 matrix that maps the rates as declared to the true ones, so that a few sums tell, for any exchange of axes and any
scale, how much of the change it explains.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

BLOCK_S = 0.05
SMOOTH, LAG = 5, 5
"""Blocks averaged, and blocks between the two ends of a change."""
KEPT = 6
"""Windows whose sums are added: half a minute of windows of five seconds."""

TURNS = np.array(
    [
        [[sign[row] * (order[row] == column) for column in range(3)] for row in range(3)]
        for order in permutations(range(3))
        for sign in product((1, -1), repeat=3)
    ],
    dtype=np.float64,
)
"""(48, 3, 3) signed exchanges of axes; each maps rates as declared to true ones. The first is the identity."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How well one exchange of axes explains the turning of gravity."""

    turn: NDArray[np.float64]
    scale: float
    """What the rates have to be multiplied with."""
    explained: float
    """Share of the change of acceleration, 0 to 1; 0 where only a negative scale would."""


class Kinematics:
    """Sums over the last few windows of one stream."""

    def __init__(self, rate_hz: float) -> None:
        self._rate_hz = rate_hz
        self._block = max(1, round(BLOCK_S * rate_hz))
        self._sums: deque[tuple[NDArray[np.float64], NDArray[np.float64], float, float]] = deque(maxlen=KEPT)

    def add(self, samples: NDArray[np.float32]) -> None:
        """The next (6, n) window, which overlaps none before."""
        count = samples.shape[1] // self._block
        blocks = samples[:, : count * self._block].astype(np.float64).reshape(6, count, self._block).mean(axis=2)
        kernel = np.full(SMOOTH, 1 / SMOOTH)
        acc = np.stack([np.convolve(row, kernel, "valid") for row in blocks[:3]])  # (3, m)
        gyro = np.stack([np.convolve(row, kernel, "valid") for row in blocks[3:]])
        step_s = self._block / self._rate_hz
        # -(e_i x a) w_j for each entry (i, j) of the matrix, summed over the lag: (3, 9, m)
        crossed = -np.cross(np.eye(3)[:, :, None], acc[None], axis=1)  # (i, xyz, m)
        terms = (crossed[:, None] * gyro[None, :, None]).reshape(9, 3, -1).transpose(1, 0, 2)
        running = np.cumsum((terms[..., 1:] + terms[..., :-1]) / 2 * step_s, axis=-1)
        running = np.concatenate([np.zeros((3, 9, 1)), running], axis=-1)
        turned = (running[..., LAG:] - running[..., :-LAG]).transpose(1, 0, 2).reshape(9, -1)  # (9, 3 m)
        changed = (acc[:, LAG:] - acc[:, :-LAG]).reshape(-1)
        self._sums.append((turned @ turned.T, turned @ changed, float(changed @ changed), changed.size / 3))

    @property
    def windows(self) -> int:
        """How many are added up."""
        return len(self._sums)

    @property
    def change_m_s2(self) -> float:
        """Root mean square change of the averaged acceleration: how much there is to explain."""
        total, size = sum(s[2] for s in self._sums), sum(s[3] for s in self._sums)
        return float(np.sqrt(total / size)) if size else 0.0

    def fits(self) -> list[Fit]:
        """All 48 exchanges, in the order of `TURNS`."""
        matrix = np.sum([s[0] for s in self._sums], axis=0)
        vector = np.sum([s[1] for s in self._sums], axis=0)
        total = sum(s[2] for s in self._sums)
        flat = TURNS.reshape(len(TURNS), 9)
        along, power = flat @ vector, np.einsum("ki,ij,kj->k", flat, matrix, flat)
        scale = along / np.maximum(power, 1e-30)
        explained = np.where(along > 0, along * scale / max(total, 1e-30), 0.0)
        return [Fit(turn, float(c), float(e)) for turn, c, e in zip(TURNS, scale, explained, strict=True)]
