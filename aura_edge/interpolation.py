"""Reading a jittered signal at other times: a windowed-sinc average, what takes the jitter out before it, and a monotone cubic.

All compute each output from its own neighbours in the same order of operations, whatever else is computed with it: the resampler's promise
that results do not depend on how the input was cut rests on this.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aura_edge.types import NS_PER_S

HALF_WIDTH_PERIODS = 10
"""Half width of the kernel in output periods: 50 ms at 200 Hz."""
KAISER_BETA = 6.25
"""65 dB at this width and a transition of 0.2 of the output rate (Kaiser's formula)."""
NEIGHBOURS = 3
"""Samples on either side that take part in taking out the jitter of one."""
TABLE_STEP_NS = 1000
"""The kernel is tabulated at this step: rounding a sample's time to it stays 80 dB below the signal."""


class WindowedSinc:
    """Anti-aliasing average for inputs at or above the output rate.

    Flat within 0.1 dB to 0.4 of the output rate and more than 60 dB down from 0.6 of it (80 and 120 Hz at 200 Hz); samples that already
    lie on the grid pass unchanged. Each sample is weighted by the time it stands for, so that a clock that is not quite regular does
    little harm.
    """

    def __init__(self, output_rate_hz: float) -> None:
        self.reach_ns = round(HALF_WIDTH_PERIODS / output_rate_hz * NS_PER_S)
        """How far to either side samples count."""
        tau = np.arange(self.reach_ns // TABLE_STEP_NS + 2) * (TABLE_STEP_NS / NS_PER_S)
        inside = np.maximum(0.0, 1.0 - (tau * NS_PER_S / self.reach_ns) ** 2)
        table = np.sinc(output_rate_hz * tau) * np.i0(KAISER_BETA * np.sqrt(inside)) / np.i0(KAISER_BETA)
        table[np.abs(table) < 1e-15] = 0.0  # exact zeros on the grid, so that samples on it pass unchanged
        table[-1] = 0.0
        self._half = table

    def average(
        self, t_ns: NDArray[np.int64], x: NDArray[np.float64], grid_ns: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Samples (N, C) at strictly increasing times (N,), read at (n,) grid times inside them: (n, C)."""
        if len(t_ns) == 1:
            return np.repeat(x, len(grid_ns), axis=0)
        spans = np.empty(len(t_ns))
        spans[1:-1] = (t_ns[2:] - t_ns[:-2]) * 0.5
        spans[0], spans[-1] = t_ns[1] - t_ns[0], t_ns[-1] - t_ns[-2]
        low = np.searchsorted(t_ns, grid_ns - self.reach_ns)
        taps = int(np.max(np.searchsorted(t_ns, grid_ns + self.reach_ns, side="right") - low))
        # At least eight columns: numpy then adds row after row, in the same order for any number of outputs.
        spare = max(0, 8 - len(grid_ns))
        columns = np.concatenate([low, np.repeat(low[-1:], spare)])
        times = np.concatenate([grid_ns, np.repeat(grid_ns[-1:], spare)])
        rows = columns[None, :] + np.arange(taps)[:, None]  # (taps, n)
        beyond = rows >= len(t_ns)
        rows = np.minimum(rows, len(t_ns) - 1)
        offset = np.abs(t_ns[rows] - times)
        cell = np.minimum((offset + TABLE_STEP_NS // 2) // TABLE_STEP_NS, len(self._half) - 1)
        weights = self._half[cell] * spans[rows]
        weights[beyond] = 0.0
        total = np.add.reduce(weights, axis=0)
        weighted = np.add.reduce(x[rows] * weights[:, :, None], axis=0)
        mean: NDArray[np.float64] = weighted[: len(grid_ns)] / total[: len(grid_ns), None]
        return mean


def without_jitter(
    t_ns: NDArray[np.int64], x: NDArray[np.float64], period_ns: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows (N, C) at times (N,), moved to the mean time of themselves and `NEIGHBOURS` on either side; those at both ends are left out.

    Summing a kernel over jittered times makes noise of fast signals. Read by a polynomial through the neighbours (Lagrange) at nearly regular
    times, 6 % of jitter at 1 kHz lets through -64 dB at 120 Hz instead of -52. A row among samples closer than half a period stays where
    it is: a polynomial through them would run wild.
    """
    rows = np.arange(len(t_ns) - 2 * NEIGHBOURS)[:, None] + np.arange(2 * NEIGHBOURS + 1)  # (n, 7)
    here = slice(NEIGHBOURS, len(t_ns) - NEIGHBOURS)
    offset = t_ns[rows] - t_ns[here, None]
    shift = np.rint(offset.sum(axis=1) / rows.shape[1]).astype(np.int64)
    shift[(np.diff(offset, axis=1) < 0.5 * period_ns).any(axis=1) | (np.abs(shift) <= 1)] = 0
    moved = np.flatnonzero(shift)
    times, values = t_ns[here] + shift, x[here].copy()
    if len(moved):
        node, at = offset[moved] / period_ns, shift[moved, None] / period_ns
        weights = np.ones_like(node)
        for i in range(rows.shape[1]):
            others = np.arange(rows.shape[1]) != i
            weights[:, others] *= (at - node[:, i, None]) / (node[:, others] - node[:, i, None])
        total = np.zeros((len(moved), x.shape[1]))
        for i in range(rows.shape[1]):  # one after the other: the same order for any number of rows
            total += weights[:, i, None] * x[rows[moved, i]]
        values[moved] = total
    return times, values


def monotone_cubic(
    t_ns: NDArray[np.int64], x: NDArray[np.float64], grid_ns: NDArray[np.int64], reach_ns: int
) -> NDArray[np.float64]:
    """Samples (N, C) read at (n,) grid times inside them: (n, C). Cubics through the two samples around each time, with slopes from one more
    on either side that never overshoot where jitter puts two samples close together (Fritsch and Butland, SIAM J. Sci. Stat. Comput. 5,
    1984). A sample more than `reach_ns` after a grid time does not count for it, come or not."""
    if len(t_ns) == 1:
        return np.repeat(x, len(grid_ns), axis=0)
    k = np.minimum(np.searchsorted(t_ns, grid_ns, side="right") - 1, len(t_ns) - 2)
    lengths = np.diff(t_ns).astype(np.float64)
    secants = np.diff(x, axis=0) / lengths[:, None]
    h, secant = lengths[k, None], secants[k]
    has_left = (k > 0)[:, None]
    after = np.minimum(k + 2, len(t_ns) - 1)
    has_right = ((k + 2 < len(t_ns)) & (t_ns[after] <= grid_ns + reach_ns))[:, None]
    left, right = np.maximum(k - 1, 0), np.minimum(k + 1, len(secants) - 1)
    slope0 = np.where(has_left, _knot_slope(secants[left], secant, lengths[left, None], h), secant)
    slope1 = np.where(has_right, _knot_slope(secant, secants[right], h, lengths[right, None]), secant)
    u = (grid_ns - t_ns[k])[:, None] / h
    v = 1.0 - u
    value: NDArray[np.float64] = (
        x[k] * (1 + 2 * u) * v * v + x[k + 1] * u * u * (3 - 2 * u) + h * u * v * (slope0 * v - slope1 * u)
    )
    return value


def _knot_slope(
    d0: NDArray[np.float64], d1: NDArray[np.float64], h0: NDArray[np.float64], h1: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weighted harmonic mean of the secants beside a knot, zero at a turning point."""
    same = d0 * d1 > 0
    w0, w1 = 2 * h1 + h0, h1 + 2 * h0
    safe0, safe1 = np.where(same, d0, 1.0), np.where(same, d1, 1.0)
    return np.where(same, (w0 + w1) / (w0 / safe0 + w1 / safe1), 0.0)
