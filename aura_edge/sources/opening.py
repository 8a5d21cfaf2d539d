"""What each kind of source can be told, and how it is made."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from aura_edge.errors import InputError
from aura_edge.sources import Source
from aura_edge.sources.formats import RecordingFormat
from aura_edge.sources.presets import choose_format
from aura_edge.sources.recordings import open_recording
from aura_edge.sources.replay import Player, parse_speed
from aura_edge.sources.serial import is_recording

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
) -> Source:
    """A recorded file, or a recorded run of a live device. `form` says all at once what the options from `preset` to `placement` say one by one."""
    _path_given("replay", path)
    if is_recording(path):
        told = {"form": form, "preset": preset, "units": units, "columns": columns, "rate_hz": rate_hz}
        told |= {"delimiter": delimiter, "placement": placement}
        if ours := [name for name, value in told.items() if value is not None]:
            raise InputError(
                f"{path}: {', '.join(ours)} means nothing to a recorded run, which is read as it was then. Leave it out."
            )
        return _run_again(path, speed, loop, clock, sleep)
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


def serial(
    path: str,
    *,
    format: str = "auto",
    baud: int | None = None,
    units: str | None = None,
    columns: str | None = None,
    rate_hz: float | None = None,
    placement: str | None = None,
    wait: bool = False,
    record: str | os.PathLike[str] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Source:
    """A board on a serial port, or on anything else that pyserial opens. `record` keeps everything in a file that is not there yet;
    `wait` waits for a port that is not there yet; `cancelled` is asked while nothing is known, and ends that with `KeyboardInterrupt`."""
    from aura_edge.sources.serial.live import open_live

    _path_given("serial", path)
    told = {"format": format, "units": units, "columns": columns, "rate_hz": rate_hz, "placement": placement}
    options = {name: value for name, value in told.items() if value is not None}
    return open_live(path, options, baud=baud, wait=wait, record=record, cancelled=cancelled)


def _run_again(path: str, speed: str | float, loop: bool, clock: _Clock, sleep: _Sleep) -> Source:
    from aura_edge.sources.serial.recording import Recorded
    from aura_edge.sources.serial.session import Session
    from aura_edge.sources.serial.source import RecordedWire, WireSource

    if loop:
        raise InputError(f"{path}: a recorded run ends as it ended then; it cannot be played with --loop.")
    recorded = Recorded(path)
    wire = RecordedWire(recorded, speed=parse_speed(speed), clock=clock, sleep=sleep)
    return WireSource(wire, Session(recorded.header))


def _path_given(scheme: str, path: str) -> None:
    if not path:
        raise InputError(f"{scheme}: names no file. Expected {scheme}:PATH")
