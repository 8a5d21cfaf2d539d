"""The mps2-an385 board under QEMU: its image is built, started, and spoken to over its UART."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import selectors
import shutil
import subprocess
import sys
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from aura_edge_firmware_bridge.codec import Decoder, encode
from aura_edge_firmware_bridge.messages import (
    Acknowledgement,
    Answer,
    Command,
    Config,
    Hello,
    HelloFlag,
    Message,
    Samples,
    Status,
    TimeRequest,
    TimeResponse,
)

ROOT = Path(__file__).resolve().parents[1]
BOARD = ROOT / "firmware_bridge/firmware/boards/mps2-an385"
RECORDING = ROOT / "aura_edge/data/demo_recording.npz"
FAST = ["-icount", "shift=4,sleep=off"]
"""16 ns an instruction, and no waiting where the processor sleeps: device time runs as fast as the emulator can."""
PATIENCE_S = 60.0
"""For what takes a moment, on a machine that does something else beside."""


@dataclass
class Link:
    """A running board: what it sent so far, and the way to it."""

    receive_from: int
    send_to: int
    decoder: Decoder = field(default_factory=Decoder)
    heard: list[Message] = field(default_factory=list)

    def say(self, *messages: Message) -> None:
        os.write(self.send_to, b"\0" + b"".join(encode(message) for message in messages))

    def until(self, enough: Callable[[list[Message]], bool], *, at_once: int = 1 << 16) -> list[Message]:
        """What came since the last call, when it is enough; read in snippets of so many bytes at most."""
        deadline = time.monotonic() + PATIENCE_S
        found: list[Message] = []
        with selectors.DefaultSelector() as selector:
            selector.register(self.receive_from, selectors.EVENT_READ)
            while not enough(found):
                assert selector.select(deadline - time.monotonic()), f"the board fell silent after {found[-5:]}"
                found += self.decoder.feed(os.read(self.receive_from, at_once))
        self.heard += found
        return found

    def until_kind(self, kind: type[Message], count: int = 1) -> list[Message]:
        return self.until(lambda found: sum(isinstance(message, kind) for message in found) >= count)


@pytest.fixture(scope="module")
def motion() -> NDArray[np.int16]:
    """(n, 6) what is compiled in."""
    return make_motion().counts_of(RECORDING)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for tool in ("arm-none-eabi-gcc", "qemu-system-arm"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool}: install gcc-arm-none-eabi, libnewlib-arm-none-eabi and qemu-system-arm")
    out = tmp_path_factory.mktemp("mps2-an385")
    environment = {**os.environ, "PYTHON": sys.executable}
    built = subprocess.run(
        ["sh", BOARD / "build.sh", out], env=environment, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    assert built.stderr == ""
    return out / "firmware.elf"


def make_motion() -> ModuleType:
    """The board's script, which lies in no package."""
    specification = importlib.util.spec_from_file_location("make_motion", BOARD / "make_motion.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@contextmanager
def qemu(image: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The board switched on, and off whatever happens."""
    command = ["qemu-system-arm", "-M", "mps2-an385", "-kernel", str(image), "-nographic", "-monitor", "none", *options]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def opened(path: str) -> Iterator[Link]:
    """One opening of the pseudo terminal."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        tty.setraw(descriptor)
        yield Link(descriptor, descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def on_pty(image: Path, *options: str) -> Iterator[str]:
    """The board with its UART as a pseudo terminal; gives its path."""
    with qemu(image, "-serial", "pty", *options) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert "/dev/" in said, said
        yield next(word for word in said.split() if word.startswith("/dev/"))


@contextmanager
def on_pipes(image: Path, folder: Path, *options: str) -> Iterator[Link]:
    """The board with its UART as two pipes that hold minutes of what it says: a slow reader costs nothing."""
    descriptors = []
    for name in ("wire.in", "wire.out"):
        os.mkfifo(folder / name)
        descriptors.append(os.open(folder / name, os.O_RDWR))
        fcntl.fcntl(descriptors[-1], fcntl.F_SETPIPE_SZ, 1 << 20)
    try:
        with qemu(image, "-chardev", f"pipe,id=wire,path={folder / 'wire'}", "-serial", "chardev:wire", *options):
            yield Link(receive_from=descriptors[1], send_to=descriptors[0])
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def samples_of(messages: list[Message], motion: NDArray[np.int16]) -> int:
    """How many; each is the motion's, each number follows the one before, each time is 5 ms after the one before."""
    found = [message for message in messages if isinstance(message, Samples)]
    first, total = found[0].sequence, 0
    for message in found:
        assert message.sequence == first + total
        assert message.time_us == (found[0].time_us + 5000 * total) % 2**32
        assert message.interval_ns == 5_000_000
        total += len(message.raw)
    at = (first + np.arange(total)) % len(motion)
    np.testing.assert_array_equal(np.concatenate([message.raw for message in found]), motion[at])
    return total


def test_motion_is_the_recording(motion: NDArray[np.int16]) -> None:
    """What is compiled in is the recording, within half a count, wherever a sample of it falls on one of the recording."""
    module = make_motion()
    with np.load(RECORDING) as arrays:
        t_s, imu = (arrays["t_ns"] - arrays["t_ns"][0]) / 1e9, arrays["imu"]
    per_count = np.repeat(module.PER_COUNT, 3)
    assert np.abs(motion[0] * per_count - imu[0]).max() <= 0.51 * per_count.max()
    assert len(motion) == int(t_s[-1] * 200) + 1
    assert motion.dtype == np.int16
    assert np.abs(motion.mean(axis=0) * per_count - imu.mean(axis=0)).max() < 0.01


def test_board_speaks_the_protocol_in_real_time(image: Path, motion: NDArray[np.int16]) -> None:
    """HELLO until it is answered, START, the motion bit for bit at 200 Hz of its own clock, TIME, STATUS, STOP; over a pseudo terminal."""
    with on_pty(image) as path, opened(path) as link:
        hello = next(message for message in link.until_kind(Hello) if isinstance(message, Hello))
        assert hello.device_id == "mps2-an385"
        assert hello.flags == HelloFlag.GRAVITY_INCLUDED
        assert hello.acc_m_s2_per_count == make_motion().PER_COUNT[0]
        link.say(Config(1, Command.START), TimeRequest(77))
        streamed = link.until_kind(Samples, 25)
        link.say(Config(2, Command.STOP))
        streamed += link.until(
            lambda found: any(isinstance(m, Status) and m.produced == m.next_sequence for m in found)
        )
        status = next(message for message in reversed(streamed) if isinstance(message, Status))
        assert samples_of(streamed, motion) == status.produced
        assert (status.dropped_fifo, status.dropped_transmit) == (0, 0)
        response = next(message for message in streamed if isinstance(message, TimeResponse))
        assert response.token == 77
        assert hello.time_us < response.received_us <= response.sent_us < status.time_us
        answers = [message for message in streamed if isinstance(message, Acknowledgement)]
        assert [(answer.token, answer.answer) for answer in answers] == [(1, Answer.DONE), (2, Answer.DONE)]


def test_host_leaves_and_returns(image: Path, motion: NDArray[np.int16]) -> None:
    """A host that closes the port and opens it again finds the board streaming, and what it missed is missing in the sequence."""
    with on_pty(image) as path:
        with opened(path) as link:
            link.until_kind(Hello)
            link.say(Config(1, Command.START))
            before = link.until_kind(Samples, 3)
        with opened(path) as link:
            link.say(Config(2, Command.SAY_HELLO))
            hello = next(
                message for message in reversed(link.until_kind(Acknowledgement)) if isinstance(message, Hello)
            )
            assert HelloFlag.STREAMING in hello.flags
            after = link.until_kind(Samples, 3)
    last = [message for message in before if isinstance(message, Samples)][-1]
    assert next(message for message in after if isinstance(message, Samples)).sequence >= last.sequence + len(last.raw)
    assert samples_of(after, motion) >= 30


def test_commands_of_a_board_that_cannot_change(image: Path, tmp_path: Path) -> None:
    """Each CONFIG is answered: what is in force, what is impossible, what is unknown."""
    with on_pipes(image, tmp_path) as link:
        asked = [Config(1, Command.RATE_HZ, 100.0), Config(2, Command.ACC_RANGE_M_S2, 500.0), Config(3, 99, 1.0)]
        link.say(*asked, Config(4, Command.SAY_HELLO))
        found = link.until(lambda found: any(isinstance(m, Acknowledgement) and m.token == 4 for m in found))
        answers = {message.token: message for message in found if isinstance(message, Acknowledgement)}
        assert (answers[1].answer, answers[1].value) == (Answer.DONE, 200.0)
        assert (answers[2].answer, answers[2].value) == (Answer.IMPOSSIBLE_VALUE, pytest.approx(16 * 9.80665))
        assert answers[3].answer == Answer.UNKNOWN_COMMAND
        assert link.decoder.discarded == {}


def test_blocked_wire_costs_whole_messages_and_is_told(image: Path, tmp_path: Path, motion: NDArray[np.int16]) -> None:
    """While the host is too slow, the board drops whole messages; the sequence jumps by exactly what it says it dropped."""
    with on_pipes(image, tmp_path, *FAST) as link:
        fcntl.fcntl(link.receive_from, fcntl.F_SETPIPE_SZ, 4096)
        link.say(Config(1, Command.START))
        link.until_kind(Samples, 1)
        # byte by byte is slower than a board that runs 70 times too fast
        link.until(
            lambda found: any(isinstance(message, Status) and message.dropped_transmit > 0 for message in found[-30:]),
            at_once=1,
        )
        link.say(Config(2, Command.STOP))
        link.until(lambda found: any(isinstance(m, Status) and m.produced == m.next_sequence for m in found))
    messages = [message for message in link.heard if isinstance(message, Samples)]
    status = next(message for message in reversed(link.heard) if isinstance(message, Status))
    sent = sum(len(message.raw) for message in messages)
    assert sent + status.dropped_transmit == status.produced
    assert link.decoder.discarded == {}
    for message in messages:
        at = (message.sequence + np.arange(len(message.raw))) % len(motion)
        np.testing.assert_array_equal(message.raw, motion[at])


@pytest.mark.slow
def test_ten_minutes_without_a_loss(image: Path, tmp_path: Path, motion: NDArray[np.int16]) -> None:
    """120,000 samples of device time played fast: each one arrives, bit for bit, and the board counts the same."""
    with on_pipes(image, tmp_path, *FAST) as link:
        link.say(Config(1, Command.START), TimeRequest(1))
        link.until_kind(Samples, 12_000)
        link.say(Config(2, Command.STOP))
        link.until(lambda found: any(isinstance(m, Status) and m.produced == m.next_sequence for m in found))
    status = next(message for message in reversed(link.heard) if isinstance(message, Status))
    total = samples_of(link.heard, motion)
    assert total == status.produced >= 120_000
    assert (status.dropped_fifo, status.dropped_transmit) == (0, 0)
    assert link.decoder.discarded == {}
    assert status.time_us >= 600_000_000
