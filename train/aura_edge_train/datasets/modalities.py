"""What may come with the signal of a recording: moments told in words, the body's pose, video."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that somebody said about a point in time."""

    t_ns: int
    """Device time."""
    text: str
    kind: str
    """What sort of text it is: `narration`, `atomic`, `commentary`."""


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Which joints a set's motion capture has, in which order, and where up is. Each set keeps its own: none is made up for another."""

    joints: tuple[str, ...]
    hips: tuple[str, str]
    """Left and right: their middle is the pelvis, their line says where the body faces."""
    up: int
    """The axis that points up: 0, 1 or 2 for x, y or z."""

    @property
    def channels(self) -> int:
        """Numbers per frame: three per joint."""
        return 3 * len(self.joints)


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """Motion capture of a recording; its data set's `skeleton` names the joints."""

    t_ns: NDArray[np.int64]
    """(M,) device time of each frame, in order."""
    joints: NDArray[np.float32]
    """(M, J, 3) in metres in a frame that stands still; NaN where a joint was not seen."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A video of a recording."""

    path: Path
    t0_ns: int
    """Device time of its first frame."""
    camera: str = ""
    seconds_at: Callable[[int], float] | None = None
    """Seconds from its first frame at a device time, where its frames are not as far apart as it says they are."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a recording that is not to be used."""

    t0_ns: int
    t1_ns: int
    """Device time; the end is not part of it."""
    reason: str
