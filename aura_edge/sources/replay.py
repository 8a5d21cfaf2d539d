"""Playing a recording of any kind as a source: cut into chunks, paced by the times of its samples, over and over if wanted."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from aura_edge.errors import InputError
from aura_edge.sources.formats import Recording
from aura_edge.types import NS_PER_S, ImuChunk

CHUNK_S = 0.1
"""Device time in a chunk at real speed; at other speeds as much as passes in this time, up to a second."""
LONGEST_CHUNK_S = 1.0
LONGEST_WAIT_S = 10.0
"""A pause in a recording is waited out; one longer than this is a damaged time or another day, and is skipped."""
_NAP_S = 0.1
"""`close()` is looked at this often while waiting."""
_INT64_MAX = int(np.iinfo(np.int64).max)


def parse_speed(text: str | float) -> float:
    """`max` (as fast as it is taken), or how many times faster than it was recorded: `1`, `0.5`, `2x`."""
    try:
        word = str(text).strip().lower()
        speed = math.inf if word == "max" else float(word.removesuffix("x"))
    except ValueError:
        speed = math.nan
    if not speed > 0:
        raise InputError(f"speed {text!r}: expected 'max' or a number above zero, where 1 is as recorded.")
    return speed


class Player:
    """A recording as a source. `close()` may be called from another thread or from a signal handler: it only sets a flag."""

    def __init__(
        self,
        recording: Recording,
        *,
        speed: str | float = 1.0,
        loop: bool = False,
        chunk_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        host_clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`loop` starts again at the end, with times that go on one sample period after the last; `clock` and `sleep` are in seconds."""
        self.info = recording.info
        self._recording = recording
        self._speed = parse_speed(speed)
        self._loop = loop
        self._clock, self._sleep, self._host_clock_ns = clock, sleep, host_clock_ns
        if chunk_s is None:
            chunk_s = min(CHUNK_S * self._speed, LONGEST_CHUNK_S)
        self._rows = max(1, round(chunk_s * recording.info.rate_hz))
        self._period_ns = max(1, round(NS_PER_S / recording.info.rate_hz))
        self._closed = False

    def __iter__(self) -> Iterator[ImuChunk]:
        return self._repeated() if math.isinf(self._speed) else self._paced()

    def close(self) -> None:
        """End the iteration before its next chunk."""
        self._closed = True

    def _paced(self) -> Iterator[ImuChunk]:
        """Each chunk at the moment at which its last sample is due; when the taker is late, at once."""
        start_s = self._clock()
        for elapsed_s, chunk in self._timed():
            due_s = start_s + elapsed_s / self._speed
            while not self._closed and (left_s := due_s - self._clock()) > 0:
                self._sleep(min(left_s, _NAP_S))
            if self._closed:
                return
            yield ImuChunk(chunk.t_ns, chunk.samples, self._host_clock_ns(), chunk.sequence)

    def _timed(self) -> Iterator[tuple[float, ImuChunk]]:
        """Each chunk with how far its last sample is into the recording, in seconds."""
        elapsed_ns, last_ns = 0, None
        for chunk in self._repeated():
            before_ns = int(chunk.t_ns[0]) if last_ns is None else last_ns
            steps_ns = np.diff(chunk.t_ns, prepend=before_ns)
            # A step between absurd times does not fit 64 bit: floating point tells how long it is.
            roughly_s = np.diff(chunk.t_ns.astype(np.float64), prepend=float(before_ns)) / NS_PER_S
            steps_ns[roughly_s > LONGEST_WAIT_S] = self._period_ns
            steps_ns[(roughly_s < 0) | (steps_ns < 0)] = 0
            elapsed_ns, last_ns = elapsed_ns + int(steps_ns.sum()), int(chunk.t_ns[-1])
            yield elapsed_ns / NS_PER_S, chunk

    def _repeated(self) -> Iterator[ImuChunk]:
        """The recording once, or over and over."""
        shift_ns = 0
        while not self._closed:
            first_ns, last_ns = _INT64_MAX, -_INT64_MAX
            for chunk in self._chunks():
                if self._closed:
                    return
                if shift_ns:
                    chunk = self._shifted(chunk, shift_ns)
                if self._loop:
                    times = chunk.t_ns[np.isfinite(chunk.samples).all(axis=1)]  # a damaged row may carry a damaged time
                    first_ns = min(first_ns, int(times.min(initial=_INT64_MAX)))
                    last_ns = max(last_ns, int(times.max(initial=-_INT64_MAX)))
                yield chunk
            if not self._loop:
                return
            shift_ns += max(0, last_ns - first_ns) + self._period_ns

    def _chunks(self) -> Iterator[ImuChunk]:
        """The recording once, in chunks of at most the length wanted, which never reach over a pause longer than that."""
        pause_ns = self._rows * self._period_ns
        for block in self._recording.blocks():
            pauses = np.flatnonzero(np.diff(block.t_ns.astype(np.float64)) > pause_ns) + 1
            # A chunk tells the count of its first sample only: within it none may be missing.
            counted = np.arange(len(block.t_ns)) if block.sequence is None else block.sequence
            jumps = np.flatnonzero(np.diff(counted) != 1) + 1
            cuts = [np.arange(0, len(block.t_ns), self._rows), pauses, jumps, np.array([len(block.t_ns)])]
            edges = np.unique(np.concatenate(cuts)).tolist()
            for start, stop in pairwise(edges):
                yield ImuChunk(
                    block.t_ns[start:stop],
                    block.samples[start:stop],
                    self._host_clock_ns(),
                    None if block.sequence is None else int(block.sequence[start]),
                )

    def _shifted(self, chunk: ImuChunk, shift_ns: int) -> ImuChunk:
        if shift_ns + max(0, int(chunk.t_ns.max())) > _INT64_MAX:
            raise InputError(
                f"{self.info.name}: its times are so late that repeating it leaves 64 bit nanoseconds. Play it without --loop."
            )
        return ImuChunk(chunk.t_ns + shift_ns, chunk.samples, chunk.host_ns, chunk.sequence)
