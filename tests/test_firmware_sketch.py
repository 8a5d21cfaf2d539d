"""The Arduino sketch itself, compiled for the host with a fake chip behind Wire: what it writes, the codec reads."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from aura_edge_firmware_bridge.codec import Decoder, encode
from aura_edge_firmware_bridge.messages import (
    Acknowledgement,
    Answer,
    Command,
    Config,
    Event,
    EventKind,
    Hello,
    HelloFlag,
    Message,
    Samples,
    Status,
    TimeRequest,
    TimeResponse,
)

ROOT = Path(__file__).parents[1]
FIRMWARE = ROOT / "firmware_bridge/firmware"
FAKES = ROOT / "tests/drivers"
SKETCH = FIRMWARE / "boards/arduino/AuraEdge/examples/AuraEdgeStream/AuraEdgeStream.ino"
SANITIZED = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
CHIPS = {"MPU-6050": (1, 0, 0x68), "ICM-20948": (2, 1, 0x69), "LSM6DSO": (3, 2, 0x6A), "BMI270": (4, 3, 0x68)}
"""The sketch's choice, the fake's kind, the address on the bus."""
G, DEGREE = 9.80665, np.pi / 180

Build = Callable[..., Path]


@dataclass(frozen=True, slots=True)
class Run:
    """What the sketch wrote, and what the chip made meanwhile."""

    messages: list[Message]
    decoder: Decoder
    text: bytes
    made: int
    longest_loop_us: int

    def of(self, kind: type[Message]) -> list[Message]:
        return [message for message in self.messages if isinstance(message, kind)]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Compiles the sketch for one chip, once for each choice of options."""
    c, cxx = ("clang", "clang++") if shutil.which("clang++") else ("gcc", "g++")
    if shutil.which(c) is None or shutil.which(cxx) is None:
        pytest.skip("no C++ compiler: install g++ or clang")
    folder = tmp_path_factory.mktemp("sketch")
    includes = [
        f"-I{folder}",
        f"-I{FIRMWARE / 'core'}",
        f"-I{FIRMWARE / 'drivers'}",
        f"-I{FAKES}",
        f"-I{FAKES / 'arduino_stub'}",
    ]
    objects = []
    for source in [*FIRMWARE.glob("core/*.c"), *FIRMWARE.glob("drivers/*.c"), FAKES / "fake_chip.c"]:
        objects.append(str(folder / f"{source.stem}.o"))
        subprocess.run([c, "-std=c99", *SANITIZED, *includes, "-c", str(source), "-o", objects[-1]], check=True)
    firmware = ",".join(str((index * 31 ^ index >> 8) & 255) for index in range(8192))  # the fake's, not Bosch's
    (folder / "bmi270_config_file.h").write_text(f"static const uint8_t bmi270_config_file[] = {{{firmware}}};\n")

    def compile_sketch(chip: str, *, baud: int = 115_200) -> Path:
        program = folder / f"{chip}-{baud}"
        if not program.exists():
            options = [
                f"-DAURA_EDGE_CHIP={CHIPS[chip][0]}",
                f"-DAURA_EDGE_BAUD={baud}",
                "-include",
                "Arduino.h",
                "-x",
                "c++",
            ]
            command = [cxx, "-std=c++11", *WARNINGS, *SANITIZED, *includes, *options, str(SKETCH)]
            command += [str(FAKES / "arduino_stub/main.cpp"), "-x", "none", *objects, "-o", str(program)]
            subprocess.run(command, check=True)
        return program

    return compile_sketch


def run(
    program: Path, chip: str, *, seconds: float, host: dict[int, Message] | None = None, faults: dict[int, str] | None = None,
    address: int | None = None,
) -> Run:  # fmt: skip
    """Runs the sketch for `seconds` of device time; what comes from the host, and what goes wrong, at which millisecond."""
    frames = {at_ms: encode(message) for at_ms, message in (host or {}).items()}
    happens = {at_ms: str(len(frame)) for at_ms, frame in frames.items()} | (faults or {})
    arguments = [word for at_ms, what in sorted(happens.items()) for word in (what, str(at_ms))]
    _, kind, usual = CHIPS[chip]
    done = subprocess.run(
        [str(program), str(kind), str(usual if address is None else address), str(seconds), *arguments],
        input=b"".join(frames.values()), capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    decoder = Decoder()
    messages = decoder.feed(done.stdout)
    made, longest_loop_us = map(int, done.stderr.split())
    return Run(messages, decoder, done.stdout, made, longest_loop_us)


def samples_of(found: Run) -> tuple[np.ndarray, np.ndarray]:
    """The chip's numbers of all samples, and their numbers on the wire; rows that are no sample fail."""
    chip, wire = [], []
    for message in found.of(Samples):
        assert isinstance(message, Samples)
        raw = np.asarray(message.raw).astype(np.uint16).astype(np.int64)
        numbers = raw[:, 0] | raw[:, 1] << 16
        mixed = numbers.astype(np.uint32) * np.uint32(2654435761)
        for channel in range(2, 6):
            mixed = (mixed ^ (mixed >> np.uint32(15))) * np.uint32(2246822519)
            np.testing.assert_array_equal(raw[:, channel], mixed >> np.uint32(8) & np.uint32(0xFFFF))
        chip.append(numbers)
        wire.append(message.sequence + np.arange(len(raw)))
    return np.concatenate(chip), np.concatenate(wire)


@pytest.mark.parametrize("chip", CHIPS)
def test_sketch_streams_every_sample_of_the_chip(build: Build, chip: str) -> None:
    """Told to start, the sketch sends what the chip made, bit for bit and without a hole, and says how to read it."""
    found = run(build(chip), chip, seconds=12, host={1500: Config(token=7, command=Command.START, value=0)})
    assert found.decoder.discarded == {}
    hello = found.messages[0]
    assert isinstance(hello, Hello)
    assert hello.sensor == chip
    assert hello.boot != 0
    assert HelloFlag.GRAVITY_INCLUDED in HelloFlag(hello.flags)
    assert hello.acc_range_m_s2 == pytest.approx(8 * G)
    assert hello.gyro_range_rad_s == pytest.approx(2000 * DEGREE)
    assert hello.rate_hz == pytest.approx({"ICM-20948": 225, "LSM6DSO": 210.53}.get(chip, 200), rel=1e-3)
    assert Acknowledgement(token=7, command=Command.START, answer=Answer.DONE, value=0) in found.messages
    numbers, sequence = samples_of(found)
    np.testing.assert_array_equal(np.diff(numbers), 1)
    np.testing.assert_array_equal(np.diff(sequence), 1)
    assert len(numbers) > 10 * hello.rate_hz
    assert 0 <= found.made - numbers[-1] <= 40
    status = found.of(Status)[-1]
    assert isinstance(status, Status)
    assert (status.dropped_fifo, status.dropped_transmit) == (0, 0)


def test_times_on_the_wire_are_regular(build: Build) -> None:
    """From message to message the time moves on by the samples between them, to within an interval."""
    found = run(build("MPU-6050"), "MPU-6050", seconds=12, host={1500: Config(token=7, command=Command.START, value=0)})
    samples = [message for message in found.of(Samples) if isinstance(message, Samples)]
    sequence = np.array([message.sequence for message in samples])
    time_us = np.array([message.time_us for message in samples])
    off_us = time_us - time_us[0] - (sequence - sequence[0]) * 5000
    assert np.abs(off_us).max() < 5000
    assert np.abs(off_us[50:] - off_us[-1]).max() < 500


def test_wire_that_is_too_slow_costs_whole_messages_and_is_accounted(build: Build) -> None:
    """At 19,200 bits/s most samples cannot be sent: the loop never waits, and received and dropped make up what was made."""
    start = Config(token=1, command=Command.START, value=0)
    stop = Config(token=2, command=Command.STOP, value=0)
    found = run(build("BMI270", baud=19_200), "BMI270", seconds=22, host={1500: start, 12_000: stop})
    assert found.decoder.discarded == {}
    numbers, sequence = samples_of(found)
    np.testing.assert_array_equal(np.diff(numbers), np.diff(sequence))
    status = found.of(Status)[-1]
    assert isinstance(status, Status)
    assert status.dropped_transmit > 300
    assert status.dropped_fifo == 0
    assert len(numbers) + status.dropped_transmit == status.produced == status.next_sequence
    assert found.longest_loop_us < 20_000


def test_host_changes_the_rate_and_range(build: Build) -> None:
    """RATE and ACC RANGE are carried out on the chip, acknowledged with what is in force, and followed by a HELLO."""
    host = {
        1500: Config(token=1, command=Command.START, value=0),
        3000: Config(token=2, command=Command.RATE_HZ, value=100),
        5000: Config(token=3, command=Command.ACC_RANGE_M_S2, value=30),
        7000: Config(token=4, command=Command.GYRO_RANGE_RAD_S, value=100),
    }
    found = run(build("MPU-6050"), "MPU-6050", seconds=9, host=host)
    answers = {answer.token: answer for answer in found.of(Acknowledgement) if isinstance(answer, Acknowledgement)}
    assert (answers[2].answer, answers[2].value) == (Answer.DONE, 100)
    assert (answers[3].answer, answers[3].value) == (Answer.DONE, pytest.approx(4 * G))
    assert (answers[4].answer, answers[4].value) == (Answer.IMPOSSIBLE_VALUE, pytest.approx(2000 * DEGREE))
    hello = found.of(Hello)[-1]
    assert isinstance(hello, Hello)
    assert (hello.rate_hz, hello.acc_m_s2_per_count) == (100, pytest.approx(G / 8192))
    last = found.of(Samples)[-1]
    assert isinstance(last, Samples)
    assert last.interval_ns == pytest.approx(10_000_000, rel=0.01)
    numbers, sequence = samples_of(found)
    assert np.all(np.diff(sequence) >= 1)
    assert np.all(np.diff(numbers) >= 1)


def test_host_gets_the_device_clock(build: Build) -> None:
    """A TIME REQUEST is answered with the clock of its arrival and of its answer."""
    found = run(build("LSM6DSO"), "LSM6DSO", seconds=3, host={2500: TimeRequest(token=99)})
    (answer,) = found.of(TimeResponse)
    assert isinstance(answer, TimeResponse)
    assert answer.token == 99
    assert 2_000_000 < answer.received_us <= answer.sent_us < 3_000_000


def test_sensor_that_is_not_there_is_said_in_words(build: Build) -> None:
    """With nobody at the address the sketch says so on the port and tries again; no message pretends a sensor."""
    found = run(build("MPU-6050"), "MPU-6050", seconds=5, address=0x10)
    assert found.text.count(b"aura-edge: no answer from the sensor: check wires") >= 4
    assert found.messages == []


@pytest.mark.parametrize("chip", CHIPS)
def test_loose_wire_and_loss_of_power_are_told_and_survived(build: Build, chip: str) -> None:
    """Unanswered transfers and a chip that lost its power bring EVENTs; samples go on, and their numbers say what is missing."""
    start = Config(token=1, command=Command.START, value=0)
    found = run(build(chip), chip, seconds=16, host={1500: start}, faults={6000: "-f400", 10_000: "-p"})
    events = {event.what for event in found.of(Event) if isinstance(event, Event)}
    assert {EventKind.BUS_ERROR, EventKind.FIFO_OVERFLOW} <= events
    numbers, sequence = samples_of(found)
    missing = np.diff(sequence) - 1
    assert np.count_nonzero(missing) == 2
    before = np.flatnonzero(missing)[0]
    assert abs(int(numbers[before + 1] - numbers[before]) - int(sequence[before + 1] - sequence[before])) <= 1
    assert np.count_nonzero(np.diff(numbers) != 1) <= 2
    last = found.of(Samples)[-1]
    assert isinstance(last, Samples)
    assert last.time_us > 14_800_000


def test_no_event_is_sent_while_all_is_well(build: Build) -> None:
    """Ten quiet seconds bring no EVENT."""
    found = run(build("BMI270"), "BMI270", seconds=10, host={1500: Config(token=7, command=Command.START, value=0)})
    assert [event for event in found.of(Event) if isinstance(event, Event) and event.what != 2] == []


def test_zephyr_sample_is_valid_c() -> None:
    """With stand-ins for Zephyr's headers the sample compiles without a warning. It is not built against Zephyr."""
    compiler = shutil.which("clang") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: install gcc or clang")
    includes = [f"-I{FAKES / 'zephyr_stub'}", f"-I{FIRMWARE / 'core'}"]
    source = str(FIRMWARE / "boards/zephyr/src/main.c")
    subprocess.run([compiler, "-std=gnu11", *WARNINGS[:3], "-fsyntax-only", *includes, source], check=True)
