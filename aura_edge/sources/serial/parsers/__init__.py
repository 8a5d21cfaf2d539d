"""What boards of other makers say, each format at its own door: bytes in any snippets to rows of samples in SI units."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Consecutive samples as one piece of the stream brought them."""

    samples: NDArray[np.float32]
    """(n, 6) in the order of `CHANNELS`, m/s2 with gravity and rad/s; a row that could not be read is left out and counted by its parser."""
    t_ns: NDArray[np.int64] | None = None
    """(n,) device time as found, before any unwrapping; None where the device tells none."""
    sequence: int | None = None
    """The device's number of the first of these samples, before any unwrapping; None where it does not count. Rows are consecutive in it."""


class Parser(Protocol):
    """Follows one stream; allocates no more than a bound whatever arrives, and counts what it throws away."""

    name: str
    """As `--format` takes it."""
    description: str
    """One line for people, with what was found: `x-IMU3 binary inertial messages, microseconds`."""
    rate_hz: float | None
    """Nominal rate where the stream tells it."""
    units: str
    """As found, before conversion."""
    clock_wrap_ns: int | None
    """After how many nanoseconds the device's clock starts again from 0; None where it never does, or there is none."""
    sequence_modulus: int | None
    """After how many samples the device's count starts again from 0."""
    discarded: Counter[str]
    """Bytes thrown away so far, by reason."""
    notes: tuple[str, ...]
    """Anything a person should be told."""

    def feed(self, data: bytes) -> list[Rows]:
        """Take the next bytes; give the samples that they complete, in order."""
        ...

    def cut(self) -> None:
        """The wire was lost: what came half is thrown away and counted."""
        ...

    def farewell(self) -> bytes:
        """What the device must be sent before it is left, so that it is as it was found; empty where nothing."""
        ...

    def reply(self) -> bytes:
        """What the device must be sent now, as in a handshake; empty where nothing. Asked after every `feed`, and once before the first."""
        ...
