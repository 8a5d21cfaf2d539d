"""Opening a live wire: the port, waiting for it, finding it again under another name, and recording it."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aura_edge
from aura_edge.errors import DeviceError, InputError
from aura_edge.sources.serial.happenings import steady_clock_ns
from aura_edge.sources.serial.reader import Reader
from aura_edge.sources.serial.recording import Header, Recorded, Recorder
from aura_edge.sources.serial.session import Session
from aura_edge.sources.serial.source import WireSource
from aura_edge.sources.serial.transport import (
    DEFAULT_BAUD,
    NotThereError,
    Port,
    SerialTransport,
    Transport,
    find_again,
    identity,
    ports,
)

WAIT_PAUSE_S = 0.25
MOST_REFUSALS = 12
"""Of a port that has just come: for a moment it belongs to the system, which sets up who may open it."""

_log = logging.getLogger("aura_edge.sources.serial")


def open_live(
    url: str,
    options: Mapping[str, Any],
    *,
    baud: int | None = None,
    wait: bool = False,
    record: str | os.PathLike[str] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    open_port: Callable[[str], Transport] | None = None,
    list_ports: Callable[[], Sequence[Port]] = ports,
    identify: Callable[[str], Port | None] = identity,
    clock_ns: Callable[[], int] | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> WireSource:
    """Open `url`, listen until it is known what is spoken, and give the source. Raises `DeviceError`, `InputError`, `SinkError`; a recording
    of not one byte is not kept then.

    `open_port`, `list_ports` and `identify` are the machine's ports; `options` are those of `Header`.
    """
    baud = baud or DEFAULT_BAUD
    header = Header(port=url, baud=baud, options=dict(options), aura_edge=aura_edge.__version__)
    session = Session(header)  # before anything is opened: it refuses options that make no sense
    clock_ns = clock_ns or steady_clock_ns()
    opened = open_port or (lambda path: SerialTransport(path, baud=baud))
    transport = _first(url, opened, wait, cancelled, sleep)
    known = identify(url)
    recorder = None
    try:
        if record is not None:
            recorder = Recorder(record, header, host_ns=clock_ns())
    except BaseException:
        transport.close()
        raise
    reader = Reader(
        transport, lambda: opened(find_again(url, known, list_ports())), journal=recorder, clock_ns=clock_ns
    )
    try:
        return WireSource(reader, session, cancelled=cancelled)
    except BaseException:
        if record is not None:
            _drop_if_silent(record)
        raise


def _first(
    url: str,
    open_port: Callable[[str], Transport],
    wait: bool,
    cancelled: Callable[[], bool],
    sleep: Callable[[float], object],
) -> Transport:
    waited, refusals = False, 0
    while True:
        if cancelled():
            raise KeyboardInterrupt
        try:
            return open_port(url)
        except NotThereError:
            if not wait:
                raise
            if not waited:
                _log.warning("%s: not there yet; waiting for it", url)
            waited, refusals = True, 0
        except DeviceError:
            refusals += 1
            if not waited or refusals > MOST_REFUSALS:
                raise
        sleep(WAIT_PAUSE_S)


def _drop_if_silent(record: str | os.PathLike[str]) -> None:
    """A recording of nothing would only stand in the way of the next attempt."""
    with contextlib.suppress(InputError):  # it could not be read: it stays
        if not any(data for _, data in Recorded(record).arrived()):
            os.unlink(record)
