"""Opening a live wire: the port, waiting for it, finding it again under another name, and recording it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aura_edge
from aura_edge.errors import DeviceError
from aura_edge.sources.serial.happenings import steady_clock_ns
from aura_edge.sources.serial.reader import Reader
from aura_edge.sources.serial.recording import Header, Recorder
from aura_edge.sources.serial.session import Session
from aura_edge.sources.serial.source import WireSource
from aura_edge.sources.serial.transport import (
    DEFAULT_BAUD,
    Port,
    SerialTransport,
    Transport,
    find_again,
    identity,
    ports,
)

WAIT_PAUSE_S = 0.25


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
    """Open `url`, listen until it is known what is spoken, and give the source. Raises `DeviceError`, `InputError`, `SinkError`.

    `open_port`, `list_ports` and `identify` are the machine's ports; `options` are those of `Header`.
    """
    baud = baud or DEFAULT_BAUD
    header = Header(port=url, baud=baud, options=dict(options), aura_edge=aura_edge.__version__)
    session = Session(header)  # before anything is opened: it refuses options that make no sense
    clock_ns = clock_ns or steady_clock_ns()
    opened = open_port or (lambda path: SerialTransport(path, baud=baud))
    transport = _first(lambda: opened(url), wait, cancelled, sleep)
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
    return WireSource(reader, session, cancelled=cancelled)


def _first(
    open_port: Callable[[], Transport], wait: bool, cancelled: Callable[[], bool], sleep: Callable[[float], object]
) -> Transport:
    while True:
        if cancelled():
            raise KeyboardInterrupt
        try:
            return open_port()
        except DeviceError:
            if not wait:
                raise
        sleep(WAIT_PAUSE_S)
