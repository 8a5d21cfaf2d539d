"""A ring buffer in fixed memory: grid blocks in, windows of a fixed length out, one every hop, and an account of what is in none.

Windows never span two segments. The first one starts with the segment; each further one a hop later. Unless a flush is asked for, samples
after the last whole window are in no window, and are counted with the reason for which their segment ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import InputError
from aura_edge.types import NS_PER_S, GridBlock, Window

MIN_HOP_S, MAX_HOP_S = 0.1, 5.0


class Windower:
    """Holds one window of signal. `push` blocks in order."""

    def __init__(self, *, rate_hz: float, window_s: float, hop_s: float, flush: bool = False) -> None:
        """With `flush`, a segment that ends between two hops gives one more window, aligned with its end (where it holds a whole window)."""
        if not MIN_HOP_S <= hop_s <= MAX_HOP_S or hop_s > window_s:
            raise InputError(
                f"hop of {hop_s:g} s: expected {MIN_HOP_S:g} to {min(MAX_HOP_S, window_s):g} s (a longer one would skip samples)."
            )
        self.length = round(window_s * rate_hz)
        self.hop = round(hop_s * rate_hz)
        self.used = 0
        """Input samples that are in at least one window."""
        self.unused: Counter[str] = Counter()
        """Input samples that are in none, by the reason their segment ended: `gap`, `reset`, `end`."""
        self.interpolated = 0
        """Grid samples that bridge holes, whether in a window or not."""
        self._rate_hz = rate_hz
        self._flush = flush
        # Each sample is written twice, a length apart: the newest window is then always one contiguous slice.
        self._signal = np.zeros((6, 2 * self.length), np.float32)
        self._marks = np.zeros((3, 2 * self.length), np.int64)  # interpolated, inputs, clipped
        self._start(0)

    def _start(self, t0_ns: int) -> None:
        self._origin_ns = t0_ns
        self._filled = 0  # grid samples of this segment so far
        self._covered = 0  # of these, how many are in a window
        self._pending = 0  # input samples behind grid samples not yet in a window

    def push(self, block: GridBlock) -> Iterator[Window]:
        """Windows that this block completes, oldest first."""
        if block.starts_segment:
            self._start(block.t0_ns)
        self.interpolated += int(block.interpolated.sum())
        marks = np.stack([block.interpolated.astype(np.int64), block.inputs, block.clipped])
        at, end = 0, len(block.samples)
        while at < end:
            due = self.length if self._filled < self.length else self._covered + self.hop
            take = min(end - at, due - self._filled, self.length)
            self._write(block.samples[at : at + take], marks[:, at : at + take])
            at += take
            if self._filled == due:
                yield self._window(block.host_ns)
        if block.ends_segment is not None:
            if self._flush and self._covered < self._filled and self._filled >= self.length:
                yield self._window(block.host_ns)
            self.unused[block.ends_segment] += self._pending
            self._pending = 0

    def _write(self, samples: NDArray[np.float32], marks: NDArray[np.int64]) -> None:
        where = np.arange(self._filled, self._filled + len(samples)) % self.length
        for copy in (where, where + self.length):
            self._signal[:, copy] = samples.T
            self._marks[:, copy] = marks
        self._filled += len(samples)
        self._pending += int(marks[1].sum())

    def _window(self, host_ns: int) -> Window:
        """The newest `length` samples."""
        start = self._filled % self.length
        interpolated, inputs, clipped = self._marks[:, start : start + self.length].sum(axis=1).tolist()
        self._covered = self._filled
        self.used += self._pending
        self._pending = 0
        first = self._filled - self.length
        return Window(
            samples=self._signal[:, start : start + self.length].copy(),
            t0_ns=self._t_ns(first),
            t1_ns=self._t_ns(self._filled),
            host_ns=host_ns,
            interpolated=interpolated / self.length,
            clipped=clipped / max(1, inputs),
        )

    def _t_ns(self, index: int) -> int:
        return self._origin_ns + round(index * NS_PER_S / self._rate_hz)
