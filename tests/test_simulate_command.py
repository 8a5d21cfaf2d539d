"""A board on a pseudo terminal, and `aura-edge simulate`: ports that come and go, links, recordings of every kind."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from emulated import walking_and_shaking
from typer.testing import CliRunner

from aura_edge.commands.simulate import app
from aura_edge.errors import InputError
from aura_edge_firmware_bridge.codec import Decoder, encode
from aura_edge_firmware_bridge.emulator import BoardSettings
from aura_edge_firmware_bridge.faults import NAMES, parse_fault
from aura_edge_firmware_bridge.faulty_wire import FaultyWire
from aura_edge_firmware_bridge.messages import (
    Acknowledgement,
    Command,
    Config,
    Hello,
    Message,
    Samples,
    TimeRequest,
    TimeResponse,
)
from aura_edge_firmware_bridge.serving import PortError, PseudoTerminal, serve

RECORDING = walking_and_shaking()
S = 1_000_000
SAY_HELLO, START = encode(Config(0, Command.SAY_HELLO)), encode(Config(1, Command.START))
HEADER = "acc_x,acc_y,acc_z,gyro_x,gyro_y,gyro_z\n"
UNITS = ["--units", "m/s2, rad/s"]


class FakePort:
    """Takes up to `room` bytes a write; time goes by while the board waits for what the host says."""

    path = "fake"

    def __init__(self, room: int = 1 << 20) -> None:
        self.room, self.now_s, self.pause_s = room, 0.0, 0.0
        self.took = b""
        self.took_at: list[tuple[float, bytes]] = []
        self.largest_offer = 0
        self.said: list[tuple[float, bytes]] = []
        self.opened: list[tuple[float, bool]] = []

    def open(self) -> None:
        self.opened.append((self.now_s, True))

    def close(self) -> None:
        self.opened.append((self.now_s, False))

    def read(self, timeout_s: float) -> bytes:
        self.now_s += timeout_s + self.pause_s
        self.pause_s = 0.0
        return self.said.pop(0)[1] if self.said and self.said[0][0] <= self.now_s else b""

    def write(self, data: bytes) -> int:
        self.largest_offer = max(self.largest_offer, len(data))
        taken = data[: self.room] if self.opened[-1][1] else b""
        self.took += taken
        self.took_at.append((self.now_s, taken))
        return len(taken)

    def serve(self, wire: FaultyWire, until_s: float) -> list[Message]:
        serve(wire, self, stopped=lambda: self.now_s >= until_s, clock_s=lambda: self.now_s)
        return Decoder().feed(self.took)


@contextmanager
def served(port: PseudoTerminal) -> Iterator[None]:
    """A board on a real pseudo terminal, as long as this lasts."""
    done, there = threading.Event(), threading.Event()

    def told(path: str) -> None:
        there.set()

    thread = threading.Thread(
        target=serve, args=(FaultyWire(RECORDING), port), kwargs={"stopped": done.is_set, "told": told}
    )
    thread.start()
    try:
        assert there.wait(10)
        yield
    finally:
        done.set()
        thread.join()


def followed(path: Path | str, enough: Callable[[list[Message]], bool]) -> list[Message]:
    """Open a port, ask, read until it is enough, close."""
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        decoder, messages = Decoder(), []
        os.write(fd, b"\0" + SAY_HELLO + START)
        while not enough(messages):
            assert select.select([fd], [], [], 10)[0]
            messages += decoder.feed(os.read(fd, 4096))
        return messages
    finally:
        os.close(fd)


def test_board_on_a_pseudo_terminal_is_a_port(tmp_path: Path) -> None:
    """Opened through its link, answered, read, closed and opened again; gone at the end."""
    link = tmp_path / "board"
    with served(PseudoTerminal(link)):
        for _ in range(2):
            messages = followed(link, lambda found: sum(isinstance(m, Samples) for m in found) >= 5)
            assert {type(m) for m in messages} >= {Hello, Samples, Acknowledgement}
    assert not link.is_symlink()


def test_link_never_replaces_what_is_no_port(tmp_path: Path) -> None:
    """A file stays, and so does a link to one."""
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for name in ("file", "link"):
        with pytest.raises(PortError, match="is there already"):
            PseudoTerminal(tmp_path / name)
    with pytest.raises(PortError, match="folder"):
        PseudoTerminal(tmp_path / "nowhere" / "board")


@pytest.mark.parametrize("target", ["/dev/null", "/dev/ttyUSB-unplugged"])
def test_link_to_a_real_port_is_left_alone(tmp_path: Path, target: str) -> None:
    """A name that somebody gave to a device, plugged in or not."""
    link = tmp_path / "imu"
    link.symlink_to(target)
    with pytest.raises(PortError, match="is there already"):
        PseudoTerminal(link)
    assert os.readlink(link) == target


def test_link_that_was_left_behind_or_taken_over_is_its_last_board_s(tmp_path: Path) -> None:
    """A board that was killed leaves a link, which the next one may have; who goes removes only their own."""
    link = tmp_path / "board"
    link.symlink_to("/dev/pts/does-not-exist")
    first = PseudoTerminal(link)
    first.open()
    second = PseudoTerminal(link)
    second.open()
    first.close()
    assert os.readlink(link) == second.path
    second.close()
    assert not link.is_symlink()


def test_port_goes_also_when_nobody_can_be_told(tmp_path: Path) -> None:
    """Standard output that is closed leaves no link behind."""
    link = tmp_path / "board"

    def told(path: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        serve(FaultyWire(RECORDING), PseudoTerminal(link), stopped=lambda: False, told=told)
    assert not link.is_symlink()


def test_board_never_waits_for_a_port_that_takes_nothing() -> None:
    """What does not fit is dropped by the board and counted; the rest stays small."""
    port, wire = FakePort(room=0), FaultyWire(RECORDING)
    wire.write(START)
    port.serve(wire, 60.0)
    assert wire.produced >= 11_980
    assert wire.board.dropped_transmit >= wire.produced - 10 * (BoardSettings().pending_messages + 2)
    assert port.largest_offer < 1000


def test_port_that_takes_little_gets_whole_frames_in_pieces() -> None:
    """Seven bytes at a time: every frame arrives, in order."""
    port, wire = FakePort(room=7), FaultyWire(RECORDING)
    wire.write(START)
    samples = [m for m in port.serve(wire, 30.0) if isinstance(m, Samples)]
    numbers = [m.sequence for m in samples]
    assert len(numbers) > 100
    assert numbers == sorted(set(numbers))


def test_time_is_told_as_of_when_the_question_came() -> None:
    """And leaves at once: a tick earlier or later would be milliseconds of nothing but our own."""
    port, wire = FakePort(), FaultyWire(RECORDING)
    port.said = [(2.0025, encode(TimeRequest(5)))]
    (response,) = [m for m in port.serve(wire, 3.0) if isinstance(m, TimeResponse)]
    assert response.received_us == response.sent_us
    (answered_s,) = [at_s for at_s, data in port.took_at if encode(response) in data]
    assert response.received_us == pytest.approx(answered_s * S, abs=2)
    assert 2.0025 < answered_s < 2.0076


def test_every_question_is_heard_also_while_samples_leave() -> None:
    """One every seven milliseconds of ten seconds of streaming, so that many come in a tick in which the board speaks as well."""
    port, wire = FakePort(), FaultyWire(RECORDING)
    wire.write(START)
    port.said = [(0.5 + 0.007 * token, encode(TimeRequest(token))) for token in range(1, 1300)]
    answered = [m.token for m in port.serve(wire, 11.0) if isinstance(m, TimeResponse)]
    assert answered == list(range(1, 1300))


def test_pause_of_the_process_is_caught_up_in_small_steps() -> None:
    """Minutes in which it was stopped do not become a megabyte at once."""
    port, wire = FakePort(), FaultyWire(RECORDING)
    wire.write(START)
    port.pause_s = 120.0
    port.serve(wire, 121.0)
    assert wire.produced >= 23_000
    assert port.largest_offer < 1000


def test_port_goes_and_comes_with_the_fault() -> None:
    """The board runs on meanwhile: what it made then was sent to nobody, and is not dropped."""
    port, wire = FakePort(), FaultyWire(RECORDING, faults=[parse_fault("disconnect:at=2.049,for=3")])
    wire.read(2500)  # so that a message of samples is under way, within a tick, when the port goes
    wire.write(START)
    messages = port.serve(wire, 8.0)
    assert [(round(at_s), there) for at_s, there in port.opened] == [(0, True), (2, False), (5, True), (8, False)]
    assert wire.produced >= 1580
    assert wire.board.dropped_transmit == 0
    assert sum(len(m.raw) for m in messages if isinstance(m, Samples)) == pytest.approx(1000, abs=30)


@pytest.mark.parametrize("name", ["walk.csv", "ü" * 25 + ".csv"])
def test_file_without_times_is_played_at_the_rate_that_is_said(name: str, tmp_path: Path) -> None:
    """Whatever its name; damaged rows are left out, and that is said."""
    (tmp_path / name).write_text(HEADER + "0,0,9.8,0,0,0\n" * 300 + ",,,,,\n" + "0,0,9.8,0,0,0\n" * 99)
    args = ["--replay", str(tmp_path / name), *UNITS, "--rate-hz", "50", "--duration", "0.1"]
    done = CliRunner().invoke(app, args, catch_exceptions=False)
    assert done.exit_code == 0
    assert "a board of 50 Hz on /dev/pts/" in done.output
    assert "1 damaged rows are left out" in done.output
    assert "sent whole" in done.output


def test_recording_of_nothing_is_refused(tmp_path: Path) -> None:
    """As one line."""
    (tmp_path / "a.csv").write_text(HEADER + ",,,,,\n" * 400)
    args = ["--replay", str(tmp_path / "a.csv"), *UNITS, "--rate-hz", "50", "--duration", "0.1"]
    with pytest.raises(InputError, match="number"):
        CliRunner().invoke(app, args, catch_exceptions=False)


def test_link_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    """An error of ours, no traceback."""
    with pytest.raises(InputError, match="folder"):
        CliRunner().invoke(
            app, ["--synthetic", "--link", str(tmp_path / "no" / "board"), "--duration", "0.1"], catch_exceptions=False
        )


def test_faults_are_listed_with_what_can_be_said_of_them() -> None:
    """Every name, and its keys."""
    lines = CliRunner().invoke(app, ["--list-faults"]).output.splitlines()
    assert [line.split()[0] for line in lines[: len(NAMES)]] == list(NAMES)
    assert next(line for line in lines if line.startswith("stuck")).endswith("[at, for, every, axis]")


@pytest.mark.parametrize("faults", [["drift", "drift:amount=3"], ["stall:rate=1"]])
def test_faults_that_make_no_sense_are_wrong_usage(faults: list[str]) -> None:
    """Exit code 2."""
    args = [part for fault in faults for part in ("--fault", fault)]
    assert CliRunner().invoke(app, ["--synthetic", *args]).exit_code == 2
