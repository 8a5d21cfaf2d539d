"""Numbered runs of samples in the order of their numbers, each sample once: what came twice, or too late, is counted and left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

AHEAD = 3
"""So many runs are held back for one that is missing. A wire does not reorder; a radio or a socket behind it may, by one or two."""
MOST_HOLES = 64
"""Holes that are remembered, so that what fills one later is known to be late and not a second copy."""


@dataclass(frozen=True, slots=True)
class Numbered(Generic[T]):
    """A run of samples: `count` of them, the first with the number `sequence`."""

    sequence: int
    count: int
    value: T


class Ordering(Generic[T]):
    """Follows one count. `next` is the number that the next run should start with."""

    def __init__(self) -> None:
        self.next: int | None = None
        self.lost = 0
        """Samples whose number was passed over, those included that came later and too late."""
        self.duplicate = 0
        """Samples that came again."""
        self.late = 0
        """Samples that came after those behind them had been given; part of `lost`."""
        self._ahead: list[Numbered[T]] = []
        self._holes: list[tuple[int, int]] = []

    def push(self, run: Numbered[T]) -> list[Numbered[T]]:
        """Take the next run that came; give those that are in order now."""
        if self.next is None:
            self.next = run.sequence
        if run.sequence < self.next:
            self._past(run)
            return []
        if any(
            held.sequence < run.sequence + run.count and run.sequence < held.sequence + held.count
            for held in self._ahead
        ):
            self.duplicate += run.count
            return []
        self._ahead.append(run)
        self._ahead.sort(key=lambda held: held.sequence)
        given = self._in_order()
        while len(self._ahead) > AHEAD:
            given += self._skip()
        return given

    def flush(self) -> list[Numbered[T]]:
        """Give what is held back, whatever is missing before it."""
        given: list[Numbered[T]] = []
        while self._ahead:
            given += self._skip()
        return given

    def skip_to(self, sequence: int) -> int:
        """All before this number was sent: count what is missing, and say how much that is."""
        if self.next is None or sequence <= self.next:
            return 0
        missing = sequence - self.next
        self._hole(sequence)
        return missing

    def _in_order(self) -> list[Numbered[T]]:
        given = []
        while self._ahead and self._ahead[0].sequence == self.next:
            run = self._ahead.pop(0)
            self.next += run.count
            given.append(run)
        return given

    def _skip(self) -> list[Numbered[T]]:
        self._hole(self._ahead[0].sequence)
        return self._in_order()

    def _hole(self, stop: int) -> None:
        if self.next is not None and stop > self.next:
            self._holes = [*self._holes[1 - MOST_HOLES :], (self.next, stop)]
            self.lost += stop - self.next
            self.next = stop

    def _past(self, run: Numbered[T]) -> None:
        """A run that starts before what was given last."""
        stop = run.sequence + run.count
        late = sum(max(0, min(stop, b) - max(run.sequence, a)) for a, b in self._holes)
        # What filled a hole once is a copy when it comes again.
        remaining: list[tuple[int, int]] = []
        for a, b in self._holes:
            remaining += [(x, y) for x, y in ((a, min(b, run.sequence)), (max(a, stop), b)) if x < y]
        self._holes = remaining[-MOST_HOLES:]
        self.late += late
        self.duplicate += run.count - late
