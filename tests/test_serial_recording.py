"""A recording that is damaged, was not ended, is of another schema, or is closed twice: told, and played as far as it goes."""

from __future__ import annotations

import math
import signal
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from aura_edge.errors import InputError
from aura_edge.sources.serial.happenings import Arrived, Connected
from aura_edge.sources.serial.recording import Header, Recorded, Recorder
from aura_edge.sources.serial.session import Session
from aura_edge.sources.serial.source import RecordedWire, WireSource
from aura_edge_firmware_bridge.codec import encode
from aura_edge_firmware_bridge.messages import Hello, Samples

S = 1_000_000_000
HEADER = Header(port="/dev/ttyTEST", baud=115200)
HELLO = Hello("id", "fw", "chip", 5, 0, 0, 200.0, 0.0, 0.01, 0.001, 160.0, 32.0)
MESSAGES = 60


def record(path: Path, header: Header = HEADER) -> Recorder:
    """Three seconds of a board, each message taken by itself; not closed."""
    recorder = Recorder(path, header, host_ns=0)
    happenings = [Connected(0, "/dev/ttyTEST"), Arrived(1, b"\0" + encode(HELLO))]
    raw = np.ones((10, 6), np.int16)
    for i in range(MESSAGES):
        happenings.append(Arrived((i + 1) * S // 20, encode(Samples(i * 10, i * 50_000, 5_000_000, raw))))
    for happening in happenings:
        recorder.append(happening)
        recorder.taken(1, happening.host_ns)
    return recorder


def played(path: Path) -> tuple[int, tuple[str, ...]]:
    """Samples of a recorded run, and what it tells."""
    recorded = Recorded(path)
    source = WireSource(RecordedWire(recorded, speed=math.inf), Session(recorded.header))
    return sum(len(chunk.t_ns) for chunk in source), source.info.notes


def test_whole_recording_has_nothing_to_tell(tmp_path: Path) -> None:
    """A run that was ended in order, all of it."""
    record(tmp_path / "run.aurec").close()
    assert played(tmp_path / "run.aurec") == (10 * MESSAGES, ())


def test_flipped_bit_in_the_middle_is_told(tmp_path: Path) -> None:
    """What is behind the damage is not played, and is not passed over in silence."""
    path = tmp_path / "run.aurec"
    record(path).close()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    samples, notes = played(path)
    assert 0 < samples < 10 * MESSAGES
    (note,) = notes
    assert "bytes" in note
    assert "damaged" in note
    recorded = Recorded(path)
    list(recorded.batches())
    assert len(data) // 3 < recorded.cut_bytes < 2 * len(data) // 3
    assert f"{recorded.cut_bytes:,} bytes" in note


def test_killed_run_is_told(tmp_path: Path) -> None:
    """All that arrived is there; that nobody ended the run is said."""
    recorder = record(tmp_path / "run.aurec")
    samples, notes = played(tmp_path / "run.aurec")
    recorder.close()
    assert samples == 10 * MESSAGES
    (note,) = notes
    assert "not ended in order" in note


def test_recording_cut_within_a_record_is_told_once(tmp_path: Path) -> None:
    """The bytes that cannot be read, and nothing about an end that is not there."""
    path = tmp_path / "run.aurec"
    record(path).close()
    path.write_bytes(path.read_bytes()[:-3])
    samples, notes = played(path)
    assert samples == 10 * MESSAGES
    (note,) = notes
    assert "14 bytes" in note


def test_replay_that_is_stopped_early_says_nothing_of_what_it_did_not_read(tmp_path: Path) -> None:
    """The end was not looked at."""
    recorder = record(tmp_path / "run.aurec")
    recorded = Recorded(tmp_path / "run.aurec")
    source = WireSource(RecordedWire(recorded, speed=math.inf), Session(recorded.header))
    next(source)
    source.close()
    recorder.close()
    assert not any("not ended" in note for note in source.info.notes)


def test_damage_before_anything_is_known_is_in_the_error(tmp_path: Path) -> None:
    """A recording that ends too soon because it is damaged is not to be recorded longer."""
    path = tmp_path / "run.aurec"
    record(path).close()
    data = path.read_bytes()
    at = data.index(b"chip")
    path.write_bytes(data[:at] + b"X" + data[at + 1 :])
    with pytest.raises(InputError, match="cannot be read"):
        played(path)


def test_recording_of_another_schema_is_refused(tmp_path: Path) -> None:
    """The error names both."""
    record(tmp_path / "run.aurec", msgspec.structs.replace(HEADER, schema=9)).close()
    with pytest.raises(InputError, match=r"schema 9.*1"):
        Recorded(tmp_path / "run.aurec")


def test_signal_while_it_is_closed_neither_hangs_nor_ends_it_twice(tmp_path: Path) -> None:
    """A handler that closes what is being closed: one end."""
    path = tmp_path / "run.aurec"
    recorder = record(path)
    before_index = path.stat().st_size

    class Closing(Recorder):
        def _index(self) -> None:
            signal.raise_signal(signal.SIGUSR1)
            super()._index()

    recorder.__class__ = Closing
    handler = signal.signal(signal.SIGUSR1, lambda number, frame: recorder.close())
    alarm = signal.signal(signal.SIGALRM, lambda number, frame: pytest.fail("it hangs"))
    signal.setitimer(signal.ITIMER_REAL, 5.0)
    try:
        recorder.close()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGUSR1, handler)
        signal.signal(signal.SIGALRM, alarm)
    assert path.stat().st_size == before_index + (13 + 16 + 4) + (13 + 4)
    assert played(path) == (10 * MESSAGES, ())


def test_source_that_is_closed_twice_says_farewell_once() -> None:
    """A second Ctrl-C, or a signal during the first close."""

    class Wire:
        sent: list[bytes] = []  # noqa: RUF012 - one wire
        closes = 0

        def take(self, timeout_s: float) -> list[object]:
            return [Connected(0, "p"), Arrived(1, b"\0" + encode(replace(HELLO, boot=1)))]

        def send(self, data: bytes) -> None:
            self.sent.append(data)

        def close(self) -> None:
            self.closes += 1
            source.close()

    wire = Wire()
    source = WireSource(wire, Session(HEADER))  # type: ignore[arg-type]
    told = len(wire.sent)
    source.close()
    source.close()
    assert (len(wire.sent) - told, wire.closes) == (1, 1)
