"""What all parsers have: the rest that waits for more, and books in which every byte that was fed is found again.

Bytes fed = those of samples + those of known messages that are none + those thrown away + those that wait, at any moment and however the
stream was cut.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence

import numpy as np

from aura_edge.errors import UnitsError
from aura_edge.sources.serial.parsers import Rows
from aura_edge.sources.units import Units

LONGEST_LINE = 1024
"""Bytes of a line, with its end; what is longer is no line of any format here."""


LARGEST = 1e12
"""No sensor gives more, in whatever unit."""

Sample = Sequence[float]
"""Six readings in m/s2 and rad/s."""
Found = tuple[int | None, Sample]
"""Time in ns, where there is one, and a sample."""


class Books(ABC):
    """A parser of bytes that fit no lines. A subclass takes what it can from `_rest` in `_take`, and books it."""

    name = ""
    description = ""
    units = ""

    def __init__(self) -> None:
        self.rate_hz: float | None = None
        self.clock_wrap_ns: int | None = None
        self.sequence_modulus: int | None = None
        self.notes: tuple[str, ...] = ()
        self.bytes = 0
        """Fed so far."""
        self.sample_bytes = 0
        """Of messages that gave samples."""
        self.other: Counter[str] = Counter()
        """Bytes of messages that are understood and hold no sample, by kind."""
        self.discarded: Counter[str] = Counter()
        """Bytes thrown away, by reason."""
        self._rest = b""

    @property
    def pending(self) -> int:
        """Bytes of a message whose end has not come."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[Rows]:
        """Take the next bytes, any number; give the samples that they complete, in order. Never raises."""
        self.bytes += len(data)
        self._rest += data
        return self._take()

    def reply(self) -> bytes:
        return b""

    def farewell(self) -> bytes:
        return b""

    def cut(self) -> None:
        """The wire was cut: what waits will never be completed."""
        if waiting := self.pending:
            self.discarded["cut"] += waiting
        self._rest = b""

    @abstractmethod
    def _take(self) -> list[Rows]:
        """The samples in `_rest`, which keeps what is not complete."""

    def _drop(self, count: int, reason: str) -> None:
        """Throw the first bytes of the rest away."""
        if count:
            self.discarded[reason] += count
            self._rest = self._rest[count:]


class Lines(Books):
    """A parser of lines, which end with a line feed. A subclass reads one at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._overlong = 0  # bytes of a line that is being skipped; its end has not come

    @property
    def pending(self) -> int:
        return len(self._rest) + self._overlong

    def cut(self) -> None:
        super().cut()
        self._overlong = 0

    def _take(self) -> list[Rows]:
        *closed, self._rest = self._rest.split(b"\n")
        t_ns: list[int] = []
        samples: list[Sample] = []
        for line in closed:
            size = len(line) + 1 + self._overlong
            self._overlong = 0
            if size > LONGEST_LINE:
                self.discarded["overlong"] += size
                self._skipped()
                continue
            found = self._read(line, size)
            if found is not None:
                self.sample_bytes += size
                samples.append(found[1])
                if found[0] is not None:
                    t_ns.append(found[0])
        if len(self._rest) > LONGEST_LINE or self._overlong:
            self._overlong += len(self._rest)
            self._rest = b""
        if not samples:
            return []
        return [Rows(np.array(samples, np.float64).astype(np.float32), np.array(t_ns, np.int64) if t_ns else None)]

    @abstractmethod
    def _read(self, line: bytes, size: int) -> Found | None:
        """Time in ns, where there is one, and the sample of a line without its end, in SI units; else None, and its `size` is booked."""

    def _skipped(self) -> None:
        """A line was too long."""


def numbers(texts: Sequence[str]) -> list[float] | None:
    """The numbers as they are written, or None where one is no finite number that a sensor might give."""
    try:
        found = [float(text) for text in texts]
    except ValueError:
        return None
    # Python would read 1_0 as ten.
    return (
        found
        if all(-LARGEST < number < LARGEST for number in found) and not any("_" in text for text in texts)
        else None
    )


def to_sample(values: Sequence[float], units: Units) -> Sample:
    """Six readings to m/s2 and rad/s; much faster than `to_si` for a single one, and equal to it."""
    if units.acceleration is None or units.angular_rate is None:
        raise UnitsError(
            f"units {str(units)!r}: one of acceleration and one of angular rate are needed, as in 'g, deg/s'."
        )
    acceleration, rate = float(units.acceleration.factor), float(units.angular_rate.factor)
    return [value * acceleration for value in values[:3]] + [value * rate for value in values[3:6]]


def joined(rows: Sequence[Rows], modulus: int) -> list[Rows]:
    """Numbered rows, those put together that follow each other without a hole."""
    runs: list[list[Rows]] = []
    stop = -1
    for piece in rows:
        start = piece.sequence or 0
        if start == stop:
            runs[-1].append(piece)
        else:
            runs.append([piece])
        stop = (start + len(piece.samples)) % modulus
    return [Rows(np.concatenate([piece.samples for piece in run]), sequence=run[0].sequence) for run in runs]
