"""Videos as rows of frame embeddings, one for every 0.1 s, from which the vector of any window is made later (`videos.py`).

As in IMU2CLIP (Moon et al. 2022, arXiv:2210.14395) and AURA-MFM (Matsuishi et al. 2025): frames at 10 FPS, 224 px, mean over the window.
Row k is the frame that is on the screen k / rate seconds after the first one; time stamps decide, not frame numbers, so variable frame
rates and dropped frames do not shift anything.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import InputError, require
from aura_edge_train.towers.image import ImageTower

RATE_HZ = 10.0
MISSING_S = 1.0
"""A video that ends this much before it says it would was cut short."""
SLACK = 0.01
"""Of a period: a frame stamped this little behind a grid time was due at it. Some containers round stamps to milliseconds."""


def embed_video(
    tower: ImageTower, path: Path, *, rate_hz: float = RATE_HZ, advance: Callable[[float], None] = lambda seconds: None
) -> NDArray[np.float32]:
    """(N, D) float32 of unit norm, one row per 1 / `rate_hz`; `advance` hears the seconds of video done. Needs `av`.

    A frame that is shown over several rows is embedded once. Raises `InputError` for a file that is no video, is damaged, or ends early.
    """
    repeats: list[int] = []

    def once() -> Iterator[NDArray[np.uint8]]:
        for frame, rows in shown_frames(path, rate_hz=rate_hz):
            repeats.append(rows)
            advance(rows / rate_hz)
            yield frame

    rows = list(tower.stream(once()))
    return np.repeat(np.stack(rows), repeats, axis=0)


def shown_frames(path: Path, *, rate_hz: float = RATE_HZ) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Frames (H, W, 3) uint8 RGB, each with the number (at least 1) of grid times at which it is on the screen; all of them together are
    the grid from the first frame to the end of the last. Decoded one after the other, never held."""
    if not (rate_hz > 0 and math.isfinite(rate_hz)):
        raise InputError(f"a rate of {rate_hz} frames per second; expected more than 0.")
    av = require("av", extra="video")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"{path}: has no video in it.")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            yield from _held(path, stream, container.decode(stream), rate_hz)
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"{path}: cannot be read as a video ({error}). Look whether the file is complete.") from error


def _held(path: Path, stream: Any, frames: Iterator[Any], rate_hz: float) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Each frame until the next one comes, on the grid."""
    row, held, origin, at = 0, None, 0.0, -math.inf
    for frame in itertools.chain(frames, [None]):
        if frame is not None:
            if frame.time is None:
                raise InputError(f"{path}: a frame has no time stamp. Write the file again with its times.")
            if held is None:
                origin = frame.time
            now = frame.time - origin
            if now < at:
                raise InputError(f"{path}: time goes back at {at:.3f} s, to {now:.3f} s. Write the file again.")
        else:
            if held is None:
                raise InputError(f"{path}: has no frame in it.")
            now = at + _duration_s(held, stream)
            declared = float(stream.duration * stream.time_base) if stream.duration else 0.0
            if now < declared - MISSING_S:
                raise InputError(
                    f"{path}: ends after {now:.1f} s, and says it is {declared:.1f} s long. Look whether the file is complete."
                )
        until = max(row, math.ceil(now * rate_hz - SLACK))
        if held is not None and until > row:
            yield held.to_ndarray(format="rgb24"), until - row
            row = until
        held, at = frame, now


def _duration_s(frame: Any, stream: Any) -> float:
    """How long the last frame stays: what it says, else one period of the nominal rate."""
    if frame.duration and frame.time_base:
        return float(frame.duration * frame.time_base)
    return float(1 / stream.average_rate) if stream.average_rate else 0.0
