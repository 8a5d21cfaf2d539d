"""An emulated board in real time on a pseudo terminal: what a program opens as if it were `/dev/ttyUSB0`."""

from __future__ import annotations

import os
import select
import time
import tty
from collections.abc import Callable
from pathlib import Path

from aura_edge_firmware_bridge.faulty_wire import FaultyWire

TICK_S = 0.005
"""A frame is late by this at most; less than a message lasts."""
LONGEST_READ = 4096


class PseudoTerminal:
    """A port that a reader may open and close as it likes; `link` always leads to it, also after it was opened again."""

    def __init__(self, link: Path | None = None) -> None:
        """Raises `ValueError` where something else is at `link`."""
        if link is not None and (link.exists() or link.is_symlink()) and not link.is_symlink():
            raise ValueError(f"{link}: is there already and is no link. Name a place that is free.")
        self._link = link
        self._fds: tuple[int, int] | None = None
        self.path = ""

    def open(self) -> None:
        # The slave stays open here too: a reader that closes it leaves a port behind, not an error.
        master, slave = self._fds = os.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        self.path = os.ttyname(slave)
        if self._link is not None:
            draft = self._link.with_name(f".{self._link.name}.{os.getpid()}")
            draft.symlink_to(self.path)
            draft.replace(self._link)

    def close(self) -> None:
        """The port goes, as when a cable is pulled."""
        fds, self._fds = self._fds, None
        for fd in fds or ():
            os.close(fd)
        if self._link is not None and self._link.is_symlink():
            self._link.unlink()

    def read(self, timeout_s: float) -> bytes:
        """What the host sent, after waiting for it at most so long."""
        if self._fds is None:
            time.sleep(timeout_s)
            return b""
        ready, _, _ = select.select([self._fds[0]], [], [], timeout_s)
        try:
            return os.read(self._fds[0], LONGEST_READ) if ready else b""
        except (BlockingIOError, OSError):
            return b""

    def write(self, data: bytes) -> int:
        """How many of these bytes the port took."""
        try:
            return 0 if self._fds is None else os.write(self._fds[0], data)
        except BlockingIOError:
            return 0


def serve(
    wire: FaultyWire,
    port: PseudoTerminal,
    *,
    stopped: Callable[[], bool],
    seconds: float | None = None,
    clock_s: Callable[[], float] = time.monotonic,
    told: Callable[[str], None] = lambda what: None,
) -> None:
    """Play `wire` on `port` until `stopped`, or for so long. `told` hears when the port goes and where it is back."""
    start_s, unsent, is_open = clock_s(), b"", False
    while not stopped():
        now_s = clock_s() - start_s
        if seconds is not None and now_s >= seconds:
            break
        frames = wire.read(round(now_s * 1e6))
        if wire.is_connected != is_open:
            is_open, unsent = wire.is_connected, b""
            if is_open:
                port.open()
                told(port.path)
            else:
                port.close()
                told("")
        # What does not fit stays here; until it is gone the wire takes no more.
        unsent += b"".join(data for _, data in frames)
        unsent = unsent[port.write(unsent) :] if unsent else b""
        wire.host_takes = not unsent
        if heard := port.read(TICK_S):
            wire.write(heard)
    port.close()
