"""An emulated board in real time on a pseudo terminal: what a program opens as if it were `/dev/ttyUSB0`."""

from __future__ import annotations

import os
import select
import time
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from aura_edge_firmware_bridge.faulty_wire import FaultyWire

TICK_S = 0.005
"""A frame is late by this at most; less than a message lasts."""
LONGEST_STEP_US = 50_000
"""After a pause (a stopped process) time is caught up in such steps, so that what the port does not take stays little."""
LONGEST_READ = 4096
PSEUDO = ("/dev/pts/", "/dev/ttys")
"""So begin the paths of pseudo terminals, here and on a Mac."""


class PortError(ValueError):
    """A port that cannot be made, or not where it was asked for."""


class Port(Protocol):
    """Where a board is plugged in. None of these waits, but for `read`."""

    path: str

    def open(self) -> None: ...

    def close(self) -> None: ...

    def read(self, timeout_s: float) -> bytes: ...

    def write(self, data: bytes) -> int: ...


class PseudoTerminal:
    """A port that a reader may open and close as it likes; `link` always leads to it, also after it was opened again."""

    def __init__(self, link: Path | None = None) -> None:
        """Raises `PortError` where something else is at `link`, or nothing can be put there."""
        if link is not None:
            left_behind = link.is_symlink() and os.readlink(link).startswith(PSEUDO)
            if (link.exists() or link.is_symlink()) and not left_behind:
                raise PortError(f"{link}: is there already and leads to no emulated board. Name a place that is free.")
            if not os.access(link.parent, os.W_OK | os.X_OK):
                raise PortError(f"{link}: its folder is not there, or not yours to write. Name a place that is.")
        self._link = link
        self._fds: tuple[int, int] | None = None
        self.path = ""

    def open(self) -> None:
        """Raises `PortError` where there are no pseudo terminals."""
        try:
            master, slave = self._fds = os.openpty()
        except OSError as error:
            raise PortError(f"no pseudo terminal to be had: {error.strerror}. Is /dev/pts mounted?") from error
        # The slave stays open here too: a reader that closes it leaves a port behind, not an error.
        tty.setraw(slave)
        os.set_blocking(master, False)
        self.path = os.ttyname(slave)
        if self._link is not None:
            draft = self._link.with_name(f".{self._link.name}.{os.getpid()}")
            draft.symlink_to(self.path)
            draft.replace(self._link)

    def close(self) -> None:
        """The port goes, as when a cable is pulled; the link too, unless another board has taken it over."""
        fds, self._fds = self._fds, None
        if self._link is not None and fds and self._link.is_symlink() and os.readlink(self._link) == self.path:
            self._link.unlink()
        for fd in fds or ():
            os.close(fd)

    def read(self, timeout_s: float) -> bytes:
        """What the host sent, after waiting for it at most so long."""
        if self._fds is None:
            time.sleep(timeout_s)
            return b""
        ready, _, _ = select.select([self._fds[0]], [], [], timeout_s)
        try:
            return os.read(self._fds[0], LONGEST_READ) if ready else b""
        except BlockingIOError:
            return b""

    def write(self, data: bytes) -> int:
        """How many of these bytes the port took."""
        try:
            return 0 if self._fds is None else os.write(self._fds[0], data)
        except BlockingIOError:
            return 0


def serve(
    wire: FaultyWire,
    port: Port,
    *,
    stopped: Callable[[], bool],
    seconds: float | None = None,
    clock_s: Callable[[], float] = time.monotonic,
    told: Callable[[str], None] = lambda what: None,
) -> None:
    """Play `wire` on `port` until `stopped`, or for so long. `told` hears when the port goes and where it is back."""
    start_s, unsent, heard, is_open, played_us = clock_s(), b"", b"", False, 0
    try:
        while not stopped():
            now_s = clock_s() - start_s
            if seconds is not None and now_s >= seconds:
                break
            now_us = round(now_s * 1e6)
            played_us = min(now_us, played_us + LONGEST_STEP_US)
            frames = wire.read(played_us)
            if heard:  # heard now, not when it was last the board's turn: its answers tell the time
                wire.write(heard)
                frames += wire.read(played_us)
            if wire.is_connected != is_open:
                is_open, unsent = wire.is_connected, b""
                if is_open:
                    port.open()
                    told(port.path)
                else:
                    port.close()
                    told("")
            if is_open:
                # What does not fit stays here; until it is gone the wire takes no more.
                unsent += b"".join(data for _, data in frames)
                unsent = unsent[port.write(unsent) :] if unsent else b""
            wire.host_takes = not unsent
            heard = port.read(TICK_S if played_us == now_us else 0.0)
    finally:
        port.close()
