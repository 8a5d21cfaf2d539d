"""The one thread of a live source: reads a port, notes when, brings it back when it goes, and hands everything on through a bounded queue."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from aura_edge.errors import DeviceError, InputError
from aura_edge.sources.serial.happenings import (
    Arrived,
    Connected,
    Disconnected,
    Happening,
    Overflowed,
    Sent,
    steady_clock_ns,
)
from aura_edge.sources.serial.transport import Transport

LIMIT_BYTES = 1 << 20
"""Bytes that wait to be taken: six minutes of 200 Hz. What comes beyond them is counted as overflowed."""
SILENCE_S = 1.0
"""So long without a byte is told, so that whoever follows the wire can act on it."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
"""Between two attempts to open a port again: doubled from the one to the other."""

_log = logging.getLogger("aura_edge.sources.serial")


class Journal(Protocol):
    """What is told of everything that happens, in order, and of what was taken of it; called from both threads."""

    def append(self, happening: Happening, overflowed: bytes = b"") -> None: ...

    def taken(self, count: int, host_ns: int) -> None: ...

    def close(self) -> None: ...


class Reader:
    """Reads until it is closed. `take` and `send` belong to one thread, the reading to its own."""

    def __init__(
        self,
        transport: Transport,
        reopen: Callable[[], Transport],
        *,
        journal: Journal | None = None,
        limit_bytes: int = LIMIT_BYTES,
        clock_ns: Callable[[], int] | None = None,
    ) -> None:
        """`reopen` opens the port again, wherever it is by then, or raises `InputError`."""
        self._transport: Transport | None = transport
        self._reopen, self._journal, self._limit_bytes = reopen, journal, limit_bytes
        self._clock_ns = clock_ns or steady_clock_ns()
        self._queue: deque[Happening] = deque()
        self._queued_bytes = 0
        self._waiting = 0  # happenings since the last take, as the journal has them
        self._changed = threading.Condition()
        self._closed = False
        self._failure: BaseException | None = None
        self._put(Connected(self._clock_ns(), transport.name))
        self._thread = threading.Thread(target=self._run, name="aura-edge reader", daemon=True)
        self._thread.start()

    def take(self, timeout_s: float) -> list[Happening]:
        """All that has happened since, in order; after `timeout_s` without anything, nothing. Raises what ended the thread."""
        with self._changed:
            if not self._queue and self._failure is None:
                self._changed.wait(timeout_s)
            taken = list(self._queue)
            self._queue.clear()
            self._queued_bytes = 0
            count, self._waiting = self._waiting, 0
            if count and self._journal is not None:
                self._journal.taken(count, self._clock_ns())
        if not taken and self._failure is not None:
            raise self._failure
        return taken

    def send(self, data: bytes) -> None:
        """Hand bytes to the port; where it is gone they are lost, as they would be on the way."""
        transport = self._transport
        if transport is None:
            return
        sent_ns = self._clock_ns()
        try:
            transport.write(data)
        except DeviceError as error:
            _log.info("%s", error)
            return
        self._put(Sent(sent_ns, data))

    def close(self) -> None:
        """End the thread and close the port and the journal."""
        self._closed = True
        with self._changed:
            self._changed.notify_all()
        if (transport := self._transport) is not None:
            transport.cancel()
        if self._thread is not threading.current_thread():
            self._thread.join()
        if self._journal is not None:
            self._journal.close()

    def _run(self) -> None:
        try:
            while not self._closed:
                transport = self._transport or self._again()
                if transport is not None:
                    self._read(transport)
        except BaseException as error:  # whatever it is belongs to whoever takes
            self._failure = error
        finally:
            if self._transport is not None:
                self._transport.close()
            with self._changed:
                self._changed.notify_all()

    def _read(self, transport: Transport) -> None:
        try:
            data = transport.read(SILENCE_S)
        except DeviceError as error:
            if self._closed:
                return
            self._transport = None
            transport.close()
            _log.warning("%s", error)
            self._put(Disconnected(self._clock_ns(), str(error)))
            return
        if not self._closed:
            self._put(Arrived(self._clock_ns(), data))

    def _again(self) -> Transport | None:
        """Open the port again, trying until it is there; None once closed."""
        pause_s = FIRST_PAUSE_S
        while not self._closed:
            try:
                transport = self._reopen()
            except InputError:  # also of a port that is not yet what it will be
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            self._transport = transport
            _log.warning("%s: there again", transport.name)
            self._put(Connected(self._clock_ns(), transport.name))
            return transport
        return None

    def _put(self, happening: Happening) -> None:
        with self._changed:
            overflowed = b""
            if isinstance(happening, Arrived) and happening.data:
                if self._queued_bytes + len(happening.data) > self._limit_bytes:
                    overflowed = happening.data
                    happening = Overflowed(happening.host_ns, len(overflowed))
                else:
                    self._queued_bytes += len(happening.data)
            if self._journal is not None:
                self._journal.append(happening, overflowed)
            self._waiting += 1
            last = self._queue[-1] if self._queue else None
            if isinstance(happening, Overflowed) and isinstance(last, Overflowed):
                self._queue[-1] = Overflowed(happening.host_ns, last.size + happening.size)
            else:
                self._queue.append(happening)
            self._changed.notify_all()
