"""The one door to pyserial: every refusal and every loss is one of our errors, a silent socket is silent for as long as was asked."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from aura_edge.errors import DeviceError, InputError
from aura_edge.sources.serial.transport import NotThereError, Port, SerialTransport, find_again

if sys.platform == "win32":
    pytest.skip("pseudo terminals are needed", allow_module_level=True)

import termios
import tty


@pytest.fixture
def terminal() -> Iterator[str]:
    """The path of a pseudo terminal that nobody speaks on."""
    master, slave = os.openpty()
    tty.setraw(slave)
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """Somebody who listens on a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def url_of(server: socket.socket) -> str:
    return f"socket://127.0.0.1:{server.getsockname()[1]}"


class HungUp:
    """What pyserial gives for a terminal whose other side goes at the worst moment."""

    def __init__(self, *, opens: bool) -> None:
        self._opens, self._timeout = opens, None

    def open(self) -> None:
        if not self._opens:
            raise termios.error(5, "Input/output error")

    def read(self, size: int) -> bytes:
        return b""

    @property
    def timeout(self) -> float | None:
        return self._timeout

    @timeout.setter
    def timeout(self, timeout_s: float) -> None:
        raise termios.error(5, "Input/output error")


def test_terminal_that_hangs_up_while_it_is_opened_is_a_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """`termios.error` is neither an `OSError` nor one of pyserial's; on a replug it would end the stream."""
    monkeypatch.setattr(serial, "serial_for_url", lambda url, do_not_open: HungUp(opens=False))
    with pytest.raises(DeviceError, match="Input/output error"):
        SerialTransport("/dev/ttyTEST")


def test_terminal_that_hangs_up_before_a_read_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Setting the timeout touches the port as well."""
    monkeypatch.setattr(serial, "serial_for_url", lambda url, do_not_open: HungUp(opens=True))
    with pytest.raises(DeviceError, match="gone"):
        SerialTransport("/dev/ttyTEST").read(1.0)


@pytest.mark.parametrize("baud", [99_999_999_999, 1 << 70])
def test_impossible_rate_is_refused(terminal: str, baud: int) -> None:
    """Whatever the library makes of it, it is one line that names the rate."""
    with pytest.raises(InputError, match=f"{baud} baud"):
        SerialTransport(terminal, baud=baud)


def test_write_to_a_port_that_the_reader_just_closed_is_a_device_error(terminal: str) -> None:
    """Between pyserial's look and its write the other thread may close: the descriptor is None then."""
    port = SerialTransport(terminal)
    os.close(port._port.fd)
    port._port.fd = None
    with pytest.raises(DeviceError, match="gone"):
        port.write(b"hello")


def test_absent_port_with_lock_in_its_name_is_not_there(tmp_path: Path) -> None:
    """A word in a path says nothing of why."""
    with pytest.raises(NotThereError, match="no such device"):
        SerialTransport(str(tmp_path / "clock0"))


def test_port_that_is_open_already_is_taken(terminal: str) -> None:
    """Also by ourselves; and that is no reason to wait."""
    port = SerialTransport(terminal)
    with pytest.raises(DeviceError, match="another program has it open") as refused:
        SerialTransport(terminal)
    assert not isinstance(refused.value, NotThereError)
    port.close()


def test_socket_that_nobody_listens_on_is_not_there(server: socket.socket) -> None:
    """It may come: it is what `--wait` waits for."""
    url = url_of(server)
    server.close()
    with pytest.raises(NotThereError, match="refused"):
        SerialTransport(url)


@pytest.mark.parametrize(
    "url", ["socket://localhost", "rfc2217://localhost", "socket://localhost:70000", "socket://h:x"]
)
def test_address_without_a_port_is_refused_in_our_words(url: str) -> None:
    """Not in those of a comparison inside pyserial."""
    with pytest.raises(InputError, match="HOST:PORT") as refused:
        SerialTransport(url)
    assert "<=" not in str(refused.value)
    assert not isinstance(refused.value, DeviceError)


def test_silent_socket_is_waited_for_as_long_as_was_asked(server: socket.socket) -> None:
    """Nothing was heard for that long: less would be told as silence fifty times a second."""
    port = SerialTransport(url_of(server))
    asked = time.monotonic()
    assert port.read(0.2) == b""
    assert time.monotonic() - asked >= 0.2
    port.close()


def test_silent_socket_gives_back_at_once_when_it_is_cancelled(server: socket.socket) -> None:
    """A close need not wait for a second of silence."""
    port = SerialTransport(url_of(server))
    port.cancel()
    asked = time.monotonic()
    assert port.read(30.0) == b""
    assert time.monotonic() - asked < 15.0
    port.close()


def test_socket_gives_what_came(server: socket.socket) -> None:
    """As soon as it came."""
    port = SerialTransport(url_of(server))
    peer, _ = server.accept()
    peer.sendall(b"hello")
    assert port.read(30.0) == b"hello"
    peer.close()
    with pytest.raises(DeviceError, match="gone"):
        port.read(30.0)
    port.close()


def test_two_adapters_without_serial_numbers_are_told_apart_by_their_jacks() -> None:
    """The one that stayed is not the one that was pulled."""
    pulled = Port("/dev/ttyUSB0", "adapter", 0x1A86, 0x7523, None, "1-1:1.0")
    other = Port("/dev/ttyUSB1", "adapter", 0x1A86, 0x7523, None, "1-2:1.0")
    back = Port("/dev/ttyUSB2", "adapter", 0x1A86, 0x7523, None, "1-1:1.0")
    assert find_again("/dev/ttyUSB0", pulled, [other]) == "/dev/ttyUSB0"
    assert find_again("/dev/ttyUSB0", pulled, [other, back]) == "/dev/ttyUSB2"
