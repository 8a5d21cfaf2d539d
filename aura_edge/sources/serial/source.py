"""A wire as a source: live, or out of a recording of a run. Both go through the same session, so that both give the same."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

from aura_edge.errors import InputError
from aura_edge.sources.serial.happenings import Happening
from aura_edge.sources.serial.recording import Recorded
from aura_edge.sources.serial.session import Session
from aura_edge.types import NS_PER_S, ImuChunk, SourceInfo

TAKE_S = 0.1
"""A close is looked for this often."""


class Wire(Protocol):
    """Where happenings come from: a `Reader`, or a recording."""

    def take(self, timeout_s: float) -> list[Happening] | None:
        """Those since the last call; None when there will be no more."""
        ...

    def send(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class WireSource:
    """Opens with listening until it is known what is spoken; then every piece taken from the wire is a chunk, or a few."""

    def __init__(self, wire: Wire, session: Session, *, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Raises `InputError` for a wire that ends, or a board that nobody understands; the wire is closed then. `cancelled` is asked while
        it listens; once true, that ends with `KeyboardInterrupt`."""
        self._wire, self._session = wire, session
        self._closed = self._taking = self._finished = self._shutting = False
        self._told_of_the_file = wire.notes if isinstance(wire, RecordedWire) else tuple
        self._ready: list[ImuChunk] = []
        try:
            while session.info is None:
                if cancelled():
                    raise KeyboardInterrupt
                if not self._take():
                    found = "; ".join(self._told_of_the_file())
                    raise InputError(
                        f"the recording ends before it is clear what the board speaks{found and ': '}{found}. Record longer."
                    )
        except BaseException:
            wire.close()
            raise
        self._plain: SourceInfo = session.info
        self.info: SourceInfo = session.info
        self._tell()

    @property
    def found(self) -> str:
        """What the board speaks, in words."""
        return self._session.found

    def report(self) -> dict[str, float]:
        """Counts of the wire and measurements of the device's clock."""
        return self._session.report()

    def __iter__(self) -> Iterator[ImuChunk]:
        return self

    def __next__(self) -> ImuChunk:
        # A signal handler may call `close` at any moment: while this runs it only leaves a mark.
        self._taking = True
        try:
            while not self._ready and not self._finished:
                if self._closed or not self._take():
                    self._finished = True
                    self._ready += self._session.finish()
                    self._shut()
                self._tell()
        finally:
            self._taking = False
        if not self._ready:
            raise StopIteration
        return self._ready.pop(0)

    def close(self) -> None:
        """End the iteration behind what was taken; may be called from a signal handler."""
        self._closed = True
        if not self._taking:
            self._shut()

    def _take(self) -> bool:
        """One piece of the wire; False when there are no more."""
        happenings = self._wire.take(TAKE_S)
        if happenings is None:
            return False
        if happenings:
            self._ready += self._session.take(happenings)
            for data in self._session.replies():
                self._wire.send(data)
        return True

    def _tell(self) -> None:
        notes = (*self._session.notes(), *self._told_of_the_file())
        if self.info.notes[len(self._plain.notes) :] != notes:
            self.info = replace(self.info, notes=(*self._plain.notes, *notes))

    def _shut(self) -> None:
        if self._shutting:  # also by a signal handler, in the middle of it
            return
        self._shutting = True
        if data := self._session.farewell():
            self._wire.send(data)
        self._wire.close()


class RecordedWire:
    """A recording of a run as a wire: the same happenings in the same pieces, paced by their host times."""

    def __init__(
        self,
        recorded: Recorded,
        *,
        speed: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.notes = recorded.notes
        self._batches = recorded.batches()
        self._speed, self._clock, self._sleep = speed, clock, sleep
        self._start_s: float | None = None
        self._first_ns = 0
        self._next: list[Happening] | None = None

    def take(self, timeout_s: float) -> list[Happening] | None:
        if self._next is None:
            self._next = next(self._batches, None)
        if self._next is None:
            return None
        if self._next and not math.isinf(self._speed) and not self._is_due(self._next[-1].host_ns, timeout_s):
            return []
        taken, self._next = self._next, None
        return taken

    def send(self, data: bytes) -> None:
        """Nothing: what was sent then is in the recording."""

    def close(self) -> None:
        self._batches.close()

    def _is_due(self, host_ns: int, timeout_s: float) -> bool:
        now_s = self._clock()
        if self._start_s is None:
            self._start_s, self._first_ns = now_s, host_ns
        left_s = self._start_s + (host_ns - self._first_ns) / NS_PER_S / self._speed - now_s
        if left_s > 0:
            self._sleep(min(left_s, timeout_s))
        return left_s <= timeout_s
