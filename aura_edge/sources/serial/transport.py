"""Bytes from and to a port. pyserial has one door, this one, so that something else can take its place.

Anything that pyserial opens can be named: `/dev/ttyUSB0`, `socket://HOST:PORT`, `rfc2217://HOST:PORT`, `loop://`.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import serial
from serial.tools import list_ports

from aura_edge.errors import DeviceError, InputError

DEFAULT_BAUD = 115_200
LARGEST_READ = 4096
SOCKET_NAP_S = 0.02
"""pyserial's sockets do not tell how much waits: they are read as much as comes in this time."""


class Transport(Protocol):
    """One open port."""

    name: str
    """As it was opened."""

    def read(self, timeout_s: float) -> bytes:
        """What has come, waiting at most so long for the first byte; empty when nothing did. Raises `DeviceError` when the port is gone."""
        ...

    def write(self, data: bytes) -> None:
        """Raises `DeviceError` when the port is gone or takes nothing for a second."""
        ...

    def cancel(self) -> None:
        """Make a `read` in another thread return at once."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Port:
    """A port of this machine, and the USB device behind it where there is one."""

    path: str
    description: str = ""
    vendor_id: int | None = None
    product_id: int | None = None
    serial_number: str | None = None

    def is_same_device(self, other: Port) -> bool:
        """Whether both are the same USB device, whatever their paths are."""
        return (
            self.vendor_id is not None
            and (self.vendor_id, self.product_id, self.serial_number)
            == (other.vendor_id, other.product_id, other.serial_number)
        )  # fmt: skip


def ports() -> list[Port]:
    """The serial ports of this machine, those of USB devices first."""
    found = [Port(p.device, p.description or "", p.vid, p.pid, p.serial_number) for p in list_ports.comports()]
    return sorted(found, key=lambda port: (port.vendor_id is None, port.path))


class SerialTransport:
    """A port opened by pyserial, for ourselves alone."""

    def __init__(self, url: str, *, baud: int = DEFAULT_BAUD) -> None:
        """Raises `DeviceError` for a port that is not there, is taken, or may not be opened."""
        self.name = url
        try:
            self._port: Any = serial.serial_for_url(url, do_not_open=True)
            self._port.baudrate = baud
            self._port.write_timeout = 1.0
            if "://" not in url:
                # Two readers would each get half of the bytes.
                self._port.exclusive = True
            self._port.open()
        except (serial.SerialException, OSError, ValueError) as error:
            raise _refusal(url, baud, error) from error
        self._is_socket = url.startswith("socket://")
        self._timeout_s: float | None = None
        self._settle()

    def read(self, timeout_s: float) -> bytes:
        if timeout_s != self._timeout_s:
            self._timeout_s = timeout_s
            self._port.timeout = min(timeout_s, SOCKET_NAP_S) if self._is_socket else timeout_s
        try:
            if self._is_socket:
                return bytes(self._port.read(LARGEST_READ))
            first: bytes = self._port.read(1)
            waiting = self._port.in_waiting if first else 0
            return first + bytes(self._port.read(min(waiting, LARGEST_READ))) if waiting else first
        except (serial.SerialException, OSError, TypeError) as error:
            # TypeError: what pyserial raises where the port is closed under a read.
            raise _gone(self.name, error) from error

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except (serial.SerialException, OSError) as error:
            raise _gone(self.name, error) from error

    def cancel(self) -> None:
        with contextlib.suppress(AttributeError, OSError):  # loop:// and sockets have none: their reads are short
            self._port.cancel_read()

    def close(self) -> None:
        with contextlib.suppress(OSError, serial.SerialException):
            self._port.close()

    def _settle(self) -> None:
        """What makes a real port behave; where there is none of it, nothing is lost."""
        # An FTDI chip hands bytes over every 16 ms unless it is told that somebody waits for them.
        with contextlib.suppress(Exception):
            self._port.set_low_latency_mode(True)
        # Many boards restart when DTR falls, as it does when a port is closed: leave it standing, so that the next opening restarts nothing.
        with contextlib.suppress(Exception):
            import termios

            attributes = termios.tcgetattr(self._port.fd)
            attributes[2] &= ~termios.HUPCL
            termios.tcsetattr(self._port.fd, termios.TCSANOW, attributes)


def find_again(wanted: str, known: Port | None, found: Sequence[Port]) -> str:
    """Under which path to look for a device that went away: its own when it is there, else that of the same USB device."""
    if known is None or any(port.path == wanted and port.is_same_device(known) for port in found):
        return wanted
    return next((port.path for port in found if port.is_same_device(known)), wanted)


def identity(url: str) -> Port | None:
    """The USB device behind a path; None where there is none."""
    if "://" in url:
        return None
    real = os.path.realpath(url)
    return next((p for p in ports() if p.vendor_id is not None and os.path.realpath(p.path) == real), None)


def _refusal(url: str, baud: int, error: Exception) -> InputError:
    number = getattr(error, "errno", None)
    if number in (errno.EACCES, errno.EPERM):
        return DeviceError(
            f"{url}: you may not open it. Add yourself to its group and log in again: sudo usermod -aG dialout $USER"
        )
    if number in (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK) or "lock" in str(error):
        return DeviceError(f"{url}: another program has it open. Close that (a serial monitor, another stream) first.")
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        there = ", ".join(port.path for port in ports()) or "none"
        return DeviceError(
            f"{url}: no such device; serial ports here: {there}. Plug it in, or wait for it with --wait."
        )
    if isinstance(error, ValueError):
        return InputError(
            f"{url} at {baud} baud: cannot be opened ({error}). Expected a path or a URL that pyserial takes."
        )
    return DeviceError(f"{url}: cannot be opened ({error}). Check the name and that the device is on.")


def _gone(name: str, error: Exception) -> DeviceError:
    return DeviceError(f"{name}: gone ({error}). Check its cable; the stream goes on when it is back.")
