"""The firmware's core as a process: what a test says to it, and what it answers."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from aura_edge_firmware_bridge.codec import Decoder, encode
from aura_edge_firmware_bridge.messages import Command, Config, Message

HERE = Path(__file__).resolve().parent
CORE = HERE.parents[1] / "firmware_bridge/firmware/core"
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
SANITIZED = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


class Core:
    """`core_host` behind its pipes. It ends with a report when a sanitizer finds anything."""

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def ask(self, *words: object) -> str:
        """The answer to one line."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(" ".join(map(str, words)) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        assert answer.endswith("\n"), process.stderr.read()
        return answer[:-1]

    def end(self) -> None:
        _, said = self._process.communicate()
        assert (self._process.returncode, said) == (0, "")


class Board:
    """A bridge in the core, with a wire that takes as much as the test allows, and the codec at its other end."""

    def __init__(
        self,
        core: Core,
        *,
        device_id: str = "board",
        boot: int = 7,
        samples_per_message: int = 10,
        fields: int = 0x3F,
        from_start: bool = False,
        estimated: bool = False,
    ) -> None:
        self.core = core
        self.decoder = Decoder()
        core.ask(
            "bridge",
            hexadecimal(device_id.encode()),
            boot,
            samples_per_message,
            fields,
            int(from_start),
            int(estimated),
        )

    def say(self, now_us: int, *messages: Message) -> None:
        self.receive(now_us, b"\0" + b"".join(map(encode, messages)))

    def receive(self, now_us: int, data: bytes) -> None:
        self.core.ask("receive", now_us, hexadecimal(data))

    def update(self, now_us: int) -> None:
        self.core.ask("update", now_us)

    def sample(self, time_us: int, raw: Sequence[int] = (1, 2, 3, 4, 5, 6)) -> None:
        self.core.ask("samples", time_us, 0, 1, *raw)

    def samples(self, time_us: int, interval_ns: int, rows: Sequence[Sequence[int]]) -> None:
        self.core.ask("samples", time_us, interval_ns, len(rows), *(count for row in rows for count in row))

    def lost(self, now_us: int, lost: int) -> None:
        self.core.ask("lost", now_us, lost)

    def bus_error(self, now_us: int) -> None:
        self.core.ask("bus", now_us)

    def transmit(self, now_us: int, space: int = 100_000) -> list[Message]:
        """What the host reads when the wire takes so many bytes."""
        return self.decoder.feed(self.transmit_bytes(now_us, space))

    def transmit_bytes(self, now_us: int, space: int) -> bytes:
        data = unhexadecimal(self.core.ask("transmit", now_us, space))
        assert len(data) <= space
        return data

    def start(self) -> Board:
        """Has it stream, and say what it has to say about that."""
        self.say(0, Config(1, Command.START))
        self.transmit(0)
        return self

    def stream(self, count: int, *, from_us: int = 5000) -> None:
        """So many samples, 5 ms apart; the first two channels say which it is."""
        self.samples(from_us, 5_000_000, [[k % 30000, -k % 30000, 1, 2, 3, 4] for k in range(count)])

    def one(self, now_us: int) -> Message:
        """The next message, of a wire that takes a byte at a time."""
        for _ in range(256):
            if said := self.transmit(now_us, space=1):
                return said[0]
        raise AssertionError("nothing came")

    def told(self) -> tuple[int, int]:
        """Messages of the host that were refused, and how often the sensor was started."""
        refused, started = self.core.ask("told").split()
        return int(refused), int(started)


def hexadecimal(data: bytes) -> str:
    return data.hex() or "-"


def unhexadecimal(word: str) -> bytes:
    return b"" if word == "-" else bytes.fromhex(word)


def f32(value: float) -> float:
    return struct.unpack("<f", struct.pack("<f", value))[0]  # type: ignore[no-any-return]


@pytest.fixture(scope="session", params=["gcc", "clang"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler: str = request.param
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    out = tmp_path_factory.mktemp(compiler) / "core_host"
    command: list[Any] = [compiler, *STRICT, *SANITIZED, f"-I{CORE}", HERE / "core_host.c", *sorted(CORE.glob("*.c"))]
    built = subprocess.run([*command, "-o", out], capture_output=True, text=True, check=False)
    if "libclang_rt" in built.stderr:
        pytest.skip("clang without its sanitizers: install libclang-rt-dev")
    assert (built.returncode, built.stderr) == (0, "")
    return out


@pytest.fixture
def core(program: Path) -> Iterator[Core]:
    running = Core(program)
    try:
        yield running
    finally:
        running.end()


@pytest.fixture
def board_of(core: Core) -> Any:
    """Makes a board: `board_of(boot=1)`."""
    return lambda **settings: Board(core, **settings)
