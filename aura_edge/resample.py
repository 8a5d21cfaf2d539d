"""Jittered, gappy samples of any rate to an exact grid: causal, accounted for, and the same however the input is cut into chunks.

Going down or level (input at least 98 % of the output rate), each output is a windowed-sinc average; going up, a monotone cubic
(see `interpolation.py` for both).

An output at time t depends on samples up to t + `delay_s` and is given as soon as one later than that has come: that delay is constant (of
a jittered clock it is the mean; three samples of it are counted, not timed). The
grid starts at the first sample of a segment. Holes up to 20 ms, or two and a half periods where those are longer, are bridged; a longer
one, or a clock that goes back by more than a second, ends the segment and starts another.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import InputError
from aura_edge.interpolation import NEIGHBOURS, WindowedSinc, monotone_cubic, without_jitter
from aura_edge.types import NS_PER_S, GridBlock, ImuChunk

MIN_RATE_HZ, MAX_RATE_HZ = 20.0, 2000.0
BRIDGED_S = 0.020
BRIDGED_PERIODS = 2.5
HOLE_PERIODS = 1.5
"""An interval longer than this many nominal periods misses at least one sample."""
RESET_NS = NS_PER_S
"""A step back by more than this is a clock that was reset; by less, a late sample."""
MAX_READING = 1e4
"""No IMU reads beyond this, in m/s2 or rad/s: such a value is damage, and one of them would ring through a whole kernel."""
MAX_T_NS = 1 << 62
"""Times beyond this (146 years) are damage, and their differences would overflow."""
SLICE = 256
"""Outputs computed at a time: bounds the memory of one push whatever its size."""


class Resampler:
    """Holds a tenth of a second of one stream. `push` chunks in order, `finish` at the end; both give finished grid blocks."""

    def __init__(
        self,
        input_rate_hz: float,
        output_rate_hz: float = 200.0,
        *,
        acc_range_m_s2: float | None = None,
        gyro_range_rad_s: float | None = None,
    ) -> None:
        """`input_rate_hz` is nominal and chooses the method; times are taken from the samples. Ranges mark clipped samples."""
        if not MIN_RATE_HZ <= input_rate_hz <= MAX_RATE_HZ:
            raise InputError(
                f"sampling rate of {input_rate_hz:g} Hz: expected {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} Hz. If the unit of the "
                "timestamps was taken wrongly, say it with --units; if there are no timestamps, give --rate-hz."
            )
        self.rate_hz = output_rate_hz
        self.read = 0
        """Samples pushed so far."""
        self.lost = 0
        """Samples that the device counted and that never came."""
        self.dropped: Counter[str] = Counter()
        """Samples refused, by reason: `non_finite`, `out_of_range`, `duplicate`, `late`."""
        self._hole_ns = round(HOLE_PERIODS * NS_PER_S / input_rate_hz)
        self._period_ns = NS_PER_S / input_rate_hz
        self._bridged_ns = round(max(BRIDGED_S, BRIDGED_PERIODS / input_rate_hz) * NS_PER_S)
        self._averages = input_rate_hz >= 0.98 * output_rate_hz
        self._sinc = WindowedSinc(output_rate_hz)
        self._reach_ns = self._sinc.reach_ns if self._averages else self._bridged_ns
        self._limits = np.repeat(
            [0.999 * (acc_range_m_s2 or np.inf), 0.999 * (gyro_range_rad_s or np.inf)], 3
        )  # full scale, less the rounding of a conversion
        self._next_sequence: int | None = None
        self._host_ns = 0
        self._clear()

    @property
    def delay_s(self) -> float:
        """How far behind the newest sample the output stays; constant."""
        lookahead_ns = NEIGHBOURS * self._period_ns if self._averages else 0.0
        return (self._reach_ns + lookahead_ns) / NS_PER_S

    def push(self, chunk: ImuChunk) -> list[GridBlock]:
        """Take the next samples of the stream; give the grid samples that they complete."""
        self._count_lost(chunk)
        self._host_ns = chunk.host_ns
        t_ns, samples = self._plausible(chunk)
        blocks: list[GridBlock] = []
        for reason, keep in self._runs(t_ns):
            if reason:
                blocks += self._finish(reason)
            self._append(t_ns[keep], samples[keep])
        blocks += self._advance()
        return blocks

    def finish(self) -> list[GridBlock]:
        """The stream has ended: give what is left, up to the last sample."""
        return self._finish("end")

    # ---- what comes in ----

    def _count_lost(self, chunk: ImuChunk) -> None:
        if chunk.sequence is not None:
            if self._next_sequence is not None:
                self.lost += max(0, chunk.sequence - self._next_sequence)
            self._next_sequence = chunk.sequence + len(chunk.t_ns)

    def _plausible(self, chunk: ImuChunk) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The chunk without what no sensor can have said."""
        t_ns, samples = chunk.t_ns, chunk.samples.astype(np.float64)
        if samples.shape != (len(t_ns), 6):
            raise InputError(
                f"a chunk of {len(t_ns)} timestamps with samples of shape {samples.shape}: expected ({len(t_ns)}, 6), one row "
                "of acc_x acc_y acc_z gyro_x gyro_y gyro_z per timestamp."
            )
        self.read += len(t_ns)
        magnitude = np.abs(samples)
        finite = np.isfinite(samples).all(axis=1)
        in_range = (magnitude <= MAX_READING).all(axis=1) & (t_ns > -MAX_T_NS) & (t_ns < MAX_T_NS)
        good = finite & in_range
        if not good.all():
            self.dropped["non_finite"] += int((~finite).sum())
            self.dropped["out_of_range"] += int((finite & ~in_range).sum())
            t_ns, samples = t_ns[good], samples[good]
        return t_ns, samples

    def _runs(self, t_ns: NDArray[np.int64]) -> list[tuple[str | None, NDArray[np.intp] | slice]]:
        """Which rows to keep, in runs; each but the first with the reason for which it starts a new segment."""
        if not len(t_ns):
            return []
        last = self._last_ns
        steps = np.diff(t_ns) if last is None else np.diff(t_ns, prepend=last)
        if (steps > 0).all() and (steps <= self._bridged_ns).all():
            return [(None, slice(None))]
        runs: list[tuple[str | None, list[int]]] = [(None, [])]
        for row, t in enumerate(t_ns.tolist()):
            if last is not None:
                step = t - last
                if step == 0:
                    self.dropped["duplicate"] += 1
                    continue
                if -RESET_NS <= step < 0:
                    self.dropped["late"] += 1
                    continue
                if step < 0:
                    runs.append(("reset", []))
                elif step > self._bridged_ns:
                    runs.append(("gap", []))
            runs[-1][1].append(row)
            last = t
        return [(reason, np.array(rows, dtype=np.intp)) for reason, rows in runs if rows]

    # ---- one segment ----

    def _clear(self) -> None:
        self._t = np.empty(0, np.int64)  # samples still needed, holes filled
        self._x = np.empty((0, 6))
        self._real = np.empty(0, np.int64)  # per row: input samples up to and including it
        self._clip = np.empty(0, np.int64)  # the same for clipped ones
        self._u, self._y = self._t, self._x  # the same rows without jitter, as far as their neighbours are known
        self._last_ns: int | None = None
        self._origin_ns = 0
        self._next = 0  # index of the next grid sample
        self._inputs_given = 0
        self._clipped_given = 0

    def _append(self, t_ns: NDArray[np.int64], x: NDArray[np.float64]) -> None:
        if not len(t_ns):
            return
        if self._last_ns is None:
            self._origin_ns = int(t_ns[0])
        self._last_ns = int(t_ns[-1])
        before_real = self._real[-1] if len(self._real) else 0
        before_clip = self._clip[-1] if len(self._clip) else 0
        real = before_real + np.arange(1, len(t_ns) + 1)
        clip = before_clip + np.cumsum((np.abs(x) >= self._limits).any(axis=1))
        t, x = np.concatenate([self._t, t_ns]), np.concatenate([self._x, x])
        real, clip = np.concatenate([self._real, real]), np.concatenate([self._clip, clip])
        if self._averages:
            t, x, real, clip = self._fill_holes(t, x, real, clip)
        self._t, self._x, self._real, self._clip = t, x, real, clip
        self._settle(len(t) - NEIGHBOURS)

    def _settle(self, stop: int) -> None:
        """Take the jitter out of the rows before `stop`; the first and last of a segment have no neighbours and stay as they are."""
        if not self._averages:
            self._u, self._y = self._t, self._x
            return
        done = len(self._u)
        if stop <= done:
            return
        plain = slice(done, min(max(done, NEIGHBOURS), stop))  # only a segment's first rows have fewer before them
        last = min(stop, len(self._t) - NEIGHBOURS)
        times, values = [self._u, self._t[plain]], [self._y, self._x[plain]]
        if plain.stop < last:
            around = slice(plain.stop - NEIGHBOURS, last + NEIGHBOURS)
            moved_t, moved_x = without_jitter(self._t[around], self._x[around], self._period_ns)
            times.append(moved_t)
            values.append(moved_x)
        rest = slice(max(plain.stop, last), stop)
        self._u = np.concatenate([*times, self._t[rest]])
        self._y = np.concatenate([*values, self._x[rest]])

    def _fill_holes(
        self, t: NDArray[np.int64], x: NDArray[np.float64], real: NDArray[np.int64], clip: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
        """Put samples on a straight line into each hole: a kernel near the Nyquist rate cannot reach across one."""
        steps = np.diff(t)
        holes = np.flatnonzero(steps > self._hole_ns)
        if not len(holes):
            return t, x, real, clip
        missing = np.rint(steps[holes] / self._period_ns).astype(np.int64) - 1
        missing = np.maximum(missing, 1)
        left = np.repeat(holes, missing)
        nth = np.concatenate([np.arange(1, m + 1) for m in missing])
        share = nth / np.repeat(missing + 1, missing)
        t_new = t[left] + np.rint(share * steps[left]).astype(np.int64)
        x_new = x[left] + share[:, None] * (x[left + 1] - x[left])
        at = left + 1
        return (
            np.insert(t, at, t_new),
            np.insert(x, at, x_new, axis=0),
            np.insert(real, at, real[left]),
            np.insert(clip, at, clip[left]),
        )

    def _grid_ns(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        times: NDArray[np.int64] = self._origin_ns + np.rint(index * (NS_PER_S / self.rate_hz)).astype(np.int64)
        return times

    def _count_until(self, t_ns: int) -> int:
        """How many grid samples of this segment lie at or before `t_ns`."""
        count = int((t_ns - self._origin_ns) * self.rate_hz / NS_PER_S) + 2
        while int(self._grid_ns(np.array([count - 1]))[0]) > t_ns:
            count -= 1
        return count

    def _advance(self) -> list[GridBlock]:
        """Give the grid samples whose surroundings are complete."""
        if not len(self._u) or int(self._u[-1]) - self._reach_ns <= self._origin_ns:
            return []
        # Strictly before: then the sample after the last one in reach is known too.
        blocks = self._give(self._count_until(int(self._u[-1]) - self._reach_ns - 1), None)
        oldest_ns = int(self._grid_ns(np.array([self._next]))[0]) - self._reach_ns
        keep = max(0, min(int(np.searchsorted(self._u, oldest_ns)) - 2, len(self._u) - NEIGHBOURS))
        self._t, self._x, self._real, self._clip = self._t[keep:], self._x[keep:], self._real[keep:], self._clip[keep:]
        self._u, self._y = self._u[keep:], self._y[keep:]
        return blocks

    def _finish(self, reason: str) -> list[GridBlock]:
        if self._last_ns is None:
            return []
        self._settle(len(self._t))
        # The last grid sample is never given before the end, so there is one to carry the reason and the remaining inputs.
        blocks = self._give(self._count_until(self._last_ns), reason)
        self._clear()
        return blocks

    def _give(self, stop: int, ends: str | None) -> list[GridBlock]:
        blocks = []
        while self._next < stop:
            first, last = self._next, min(self._next + SLICE, stop)
            grid = self._grid_ns(np.arange(first, last))
            right = np.searchsorted(self._t, grid, side="right")
            real, clip = self._real[right - 1], self._clip[right - 1]
            closing = ends if last == stop else None
            if closing:
                real[-1], clip[-1] = self._real[-1], self._clip[-1]
            # A grid sample on an input is that input; one between two inputs bridges them when they stand too far apart.
            after = np.minimum(right, len(self._t) - 1)
            bridged = self._bridged(right - 1, after, grid)
            samples = (
                self._sinc.average(self._u, self._y, grid)
                if self._averages
                else monotone_cubic(self._t, self._x, grid, self._reach_ns)
            )
            blocks.append(
                GridBlock(
                    t0_ns=int(grid[0]),
                    samples=samples.astype(np.float32),
                    interpolated=bridged,
                    inputs=np.diff(real, prepend=self._inputs_given),
                    clipped=np.diff(clip, prepend=self._clipped_given),
                    starts_segment=first == 0,
                    ends_segment=closing,
                    host_ns=self._host_ns,
                )
            )
            self._inputs_given, self._clipped_given = int(real[-1]), int(clip[-1])
            self._next = last
        return blocks

    def _bridged(self, before: NDArray[np.intp], after: NDArray[np.intp], grid: NDArray[np.int64]) -> NDArray[np.bool_]:
        between: NDArray[np.bool_] = self._t[before] != grid
        if not self._averages:
            return between & (self._t[after] - self._t[before] > self._hole_ns)
        # Rows put into a hole add no input: the count stands still on them.
        filled_before: NDArray[np.bool_] = (before > 0) & (self._real[before] == self._real[np.maximum(before - 1, 0)])
        filled_after: NDArray[np.bool_] = (after > before) & (self._real[after] == self._real[before])
        return filled_before | (between & filled_after)
