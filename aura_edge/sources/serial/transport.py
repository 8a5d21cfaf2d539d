"""Bytes from and to a port. pyserial has one door, this one, so that something else can take its place.

Anything that pyserial opens can be named: `/dev/ttyUSB0`, `socket://HOST:PORT`, `rfc2217://HOST:PORT`, `loop://`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import serial
from serial.tools import list_ports

from aura_edge.errors import DeviceError, InputError

DEFAULT_BAUD = 115_200
LARGEST_READ = 4096
SOCKET_NAP_S = 0.02
"""pyserial's sockets do not tell how much waits: they are read as much as comes in this time."""
_Errors = tuple[type[Exception], ...]
_GONE: _Errors = (serial.SerialException, OSError, TypeError)
"""What reading and writing raise. TypeError: where the other thread has closed the port meanwhile."""
_REFUSED: _Errors = (serial.SerialException, OSError, ValueError, OverflowError)
with contextlib.suppress(ImportError):
    import termios

    _GONE, _REFUSED = (*_GONE, termios.error), (*_REFUSED, termios.error)


class NotThereError(DeviceError):
    """A port that is not there, and may come."""


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
    location: str | None = None
    """The jack, as the system numbers them."""

    def is_same_device(self, other: Port) -> bool:
        """Whether both are the same USB device, whatever their paths are: without a serial number, one of its kind in the same jack."""
        return (
            self.vendor_id is not None
            and (self.vendor_id, self.product_id, self.serial_number)
            == (other.vendor_id, other.product_id, other.serial_number)
            and (self.serial_number is not None or self.location == other.location)
        )  # fmt: skip


def ports() -> list[Port]:
    """The serial ports of this machine, those of USB devices first."""
    found = [
        Port(p.device, p.description or "", p.vid, p.pid, p.serial_number, p.location) for p in list_ports.comports()
    ]
    return sorted(found, key=lambda port: (port.vendor_id is None, port.path))


class SerialTransport:
    """A port opened by pyserial, for ourselves alone."""

    def __init__(self, url: str, *, baud: int = DEFAULT_BAUD) -> None:
        """Raises `DeviceError` for a port that is not there, is taken, or may not be opened; `InputError` for an impossible name or rate."""
        self.name = url
        _check_address(url)
        try:
            self._port: Any = serial.serial_for_url(url, do_not_open=True)
            self._port.baudrate = baud
            self._port.write_timeout = 1.0
            if "://" not in url:
                # Two readers would each get half of the bytes.
                self._port.exclusive = True
            self._port.open()
        except _REFUSED as error:
            raise _refusal(url, baud, error) from error
        self._is_socket = url.startswith("socket://")
        self._timeout_s: float | None = None
        self._cancelled = False
        self._settle()

    def read(self, timeout_s: float) -> bytes:
        try:
            if timeout_s != self._timeout_s:
                self._port.timeout = min(timeout_s, SOCKET_NAP_S) if self._is_socket else timeout_s
                self._timeout_s = timeout_s
            if self._is_socket:
                return self._read_socket(time.monotonic() + timeout_s)
            first: bytes = self._port.read(1)
            waiting = self._port.in_waiting if first else 0
            return first + bytes(self._port.read(min(waiting, LARGEST_READ))) if waiting else first
        except _GONE as error:
            raise _gone(self.name, error) from error

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except _GONE as error:
            raise _gone(self.name, error) from error

    def cancel(self) -> None:
        self._cancelled = True
        with contextlib.suppress(AttributeError, *_GONE):  # sockets have none
            self._port.cancel_read()

    def close(self) -> None:
        with contextlib.suppress(*_GONE):
            self._port.close()

    def _read_socket(self, until_s: float) -> bytes:
        while True:
            data = bytes(self._port.read(LARGEST_READ))
            if data or self._cancelled or time.monotonic() >= until_s:
                return data

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


def _check_address(url: str) -> None:
    """Raises `InputError` for a socket without its number, which pyserial would tell in terms of its own."""
    scheme, is_url, _ = url.partition("://")
    if not is_url or scheme not in ("socket", "rfc2217"):
        return
    with contextlib.suppress(ValueError):  # it is none, or too large
        if urlsplit(url).port is not None:
            return
    raise InputError(f"{url}: names no TCP port of 0 to 65535. Expected {scheme}://HOST:PORT.")


def _refusal(url: str, baud: int, error: Exception) -> InputError:
    number = getattr(error, "errno", None)
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        there = ", ".join(port.path for port in ports()) or "none"
        return NotThereError(
            f"{url}: no such device; serial ports here: {there}. Plug it in, or wait for it with --wait."
        )
    if number in (errno.EACCES, errno.EPERM):
        return DeviceError(
            f"{url}: you may not open it. Add yourself to its group and log in again: sudo usermod -aG dialout $USER"
        )
    if number in (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK) or "exclusively lock" in str(error):
        return DeviceError(f"{url}: another program has it open. Close that (a serial monitor, another stream) first.")
    if isinstance(error, (ValueError, OverflowError)):
        return InputError(
            f"{url} at {baud} baud: cannot be opened ({error}). Expected a path or a URL that pyserial takes."
        )
    unreached = error.__context__  # what pyserial makes a sentence of, where nobody answers at an address
    if isinstance(unreached, OSError) and not isinstance(unreached, serial.SerialException) and "://" in url:
        return NotThereError(
            f"{url}: cannot be reached ({unreached}). Check the name and that it is on, or wait for it with --wait."
        )
    return DeviceError(f"{url}: cannot be opened ({error}). Check the name and that the device is on.")


def _gone(name: str, error: Exception) -> DeviceError:
    return DeviceError(f"{name}: gone ({error}). Check its cable; the stream goes on when it is back.")
