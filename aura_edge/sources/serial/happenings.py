"""What happens on a wire, as values: a run is a sequence of these, and the same sequence gives the same samples.

Every one carries the host time (`host_ns`, Unix time in nanoseconds) at which it happened; nothing downstream looks at a clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arrived:
    """Bytes were read; no bytes are a second of silence."""

    host_ns: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """Bytes were handed to the port."""

    host_ns: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Connected:
    """A port was opened, for the first time or again."""

    host_ns: int
    port: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The port is gone."""

    host_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class Overflowed:
    """Bytes were read and thrown away, because nobody had taken those before."""

    host_ns: int
    size: int


Happening = Arrived | Sent | Connected | Disconnected | Overflowed


def steady_clock_ns() -> Callable[[], int]:
    """A clock that starts at the present Unix time and that nobody sets afterwards; it goes on while the machine is suspended."""
    number = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    offset_ns = time.time_ns() - time.clock_gettime_ns(number)
    return lambda: time.clock_gettime_ns(number) + offset_ns
