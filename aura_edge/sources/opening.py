"""What each kind of source can be told, and how it is made."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from aura_edge.errors import InputError
from aura_edge.sources.formats import RecordingFormat
from aura_edge.sources.presets import choose_format
from aura_edge.sources.recordings import open_recording
from aura_edge.sources.replay import Player

_Clock = Callable[[], float]
_Sleep = Callable[[float], object]


def replay(
    path: str,
    *,
    form: RecordingFormat | None = None,
    preset: str | None = None,
    units: str | None = None,
    columns: str | Mapping[str, str | int] | None = None,
    rate_hz: float | None = None,
    delimiter: str | None = None,
    placement: str | None = None,
    speed: str | float = 1.0,
    loop: bool = False,
    clock: _Clock = time.monotonic,
    sleep: _Sleep = time.sleep,
) -> Player:
    """A recorded file. `form` says all at once what the options from `preset` to `placement` say one by one."""
    _path_given("replay", path)
    if path == "-":
        raise InputError("replay:-: standard input is /dev/stdin here, as in --replay /dev/stdin < FILE.")
    if form is None:
        form = choose_format(
            preset, units=units, columns=columns, rate_hz=rate_hz, delimiter=delimiter, placement=placement
        )
    return Player(open_recording(path, form), speed=speed, loop=loop, clock=clock, sleep=sleep)


def vrs(
    path: str,
    *,
    stream: str | None = None,
    frame: str = "imu",
    speed: str | float = 1.0,
    loop: bool = False,
    clock: _Clock = time.monotonic,
    sleep: _Sleep = time.sleep,
) -> Player:
    """An Aria recording. `stream` is a label; `frame` is `imu` (that sensor's) or `device` (the glasses')."""
    from aura_edge.sources.vrs import DEFAULT_STREAM, VrsRecording

    _path_given("vrs", path)
    recording = VrsRecording(path, stream=stream or DEFAULT_STREAM, frame=frame)
    return Player(recording, speed=speed, loop=loop, clock=clock, sleep=sleep)


def synthetic(
    path: str,
    *,
    seconds: float | None = None,
    seed: int = 0,
    rate_hz: float = 100.0,
    jitter_ms: float = 0.0,
    loss: float = 0.0,
    counter: bool = False,
    speed: str | float = 1.0,
    clock: _Clock = time.monotonic,
    sleep: _Sleep = time.sleep,
) -> Player:
    """Made-up motion."""
    from aura_edge.sources.synthetic import SyntheticRecording

    if path:
        raise InputError(f"synthetic:{path}: takes no path, only options, as in synthetic:?seconds=30&seed=1")
    recording = SyntheticRecording(
        seconds=seconds, seed=seed, rate_hz=rate_hz, jitter_ms=jitter_ms, loss=loss, counter=counter
    )
    return Player(recording, speed=speed, clock=clock, sleep=sleep)


def _path_given(scheme: str, path: str) -> None:
    if not path:
        raise InputError(f"{scheme}: names no file. Expected {scheme}:PATH")
