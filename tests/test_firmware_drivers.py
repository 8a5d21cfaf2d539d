"""The C drivers of the four sensors against register-level fakes of the chips, compiled with the sanitizers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[1]
DRIVERS = ROOT / "firmware_bridge/firmware/drivers"
FAKES = ROOT / "tests/drivers"
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
SANITIZED = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
COMPILERS = {
    "gcc": ["gcc"],
    "clang": ["clang"],
    "cortex-m0": ["arm-none-eabi-gcc", "-mcpu=cortex-m0", "-mthumb"],
    "cortex-m3": ["arm-none-eabi-gcc", "-mcpu=cortex-m3", "-mthumb"],
    "cortex-m4": ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb"],
}
MPU, ICM, LSM, BMI = range(4)
CHIPS = {MPU: "MPU-6050", ICM: "ICM-20948", LSM: "LSM6DSO", BMI: "BMI270"}
OK, BUS_ERROR, WRONG_CHIP, NOT_READY, BAD_SETTING, NO_FIRMWARE, STALLED = range(7)
G, DEGREE = 9.80665, np.pi / 180

every_chip = pytest.mark.parametrize("kind", CHIPS, ids=CHIPS.values())


@dataclass(frozen=True, slots=True)
class InForce:
    """What an initialisation answered."""

    result: int
    rate_hz: float
    acc_range_m_s2: float
    gyro_range_rad_s: float
    acc_m_s2_per_count: float
    gyro_rad_s_per_count: float
    identity: int


@dataclass(frozen=True, slots=True)
class Fake:
    """What the fake chip says of itself."""

    value: int
    made: int
    now_ns: int
    transactions: int
    next_ns: int
    bus_errors: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What one read gave, and the numbers of the samples that the rows are."""

    result: int
    lost: int
    overflow: bool
    time_us: int
    interval_ns: int
    samples: np.ndarray


def row_of(sample: np.ndarray) -> np.ndarray:
    """The fake's six counts for each sample: (n,) to (n, 6)."""
    mixed = sample.astype(np.uint32) * np.uint32(2654435761)
    columns = [sample & 0xFFFF, sample >> 16]
    for _ in range(4):
        mixed = (mixed ^ (mixed >> np.uint32(15))) * np.uint32(2246822519)
        columns.append((mixed >> np.uint32(8)) & 0xFFFF)
    return np.stack(columns, axis=1).astype(np.uint16)


class Device:
    """A driver on a fake chip in a process of its own."""

    def __init__(self, program: Path, kind: int, *, transfer: int = 0, fifo: int | None = None) -> None:
        arguments = [str(program), str(kind), str(transfer), *([] if fifo is None else [str(fifo)])]
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait() == 0, "the sanitizer found something, see its words above"

    def ask(self, line: str) -> list[str]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(line, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline().split()
        assert answer, "the sanitizer found something, see its words above"
        return answer

    def tell(self, line: str) -> Fake:
        return Fake(*map(int, self.ask(line)))

    def start(
        self, *, rate_hz: float = 200, acc: float = 8 * G, gyro: float = 2000 * DEGREE, watermark: int = 1,
        firmware: int = 8192, command: str = "init",
    ) -> InForce:  # fmt: skip
        result, *numbers, identity = self.ask(f"{command} {rate_hz} {acc} {gyro} {watermark} {firmware}")
        return InForce(int(result), *map(float, numbers), int(identity))

    def read(self, capacity: int = 400) -> Batch:
        result, count, lost, overflow, time_us, interval_ns, *rows = self.ask(f"read {capacity}")
        found = np.frombuffer(bytes.fromhex(rows[0]) if rows else b"", ">u2").reshape(-1, 6)
        samples = found[:, 0].astype(np.int64) | found[:, 1].astype(np.int64) << 16
        assert len(found) == int(count)
        np.testing.assert_array_equal(found, row_of(samples), err_msg="a row that is no sample: torn or shifted")
        np.testing.assert_array_equal(np.diff(samples), 1, err_msg="a hole or a repetition within a batch")
        return Batch(int(result), int(lost), overflow == "1", int(time_us), int(interval_ns), samples)


@dataclass(slots=True)
class Tally:
    """Follows the samples of one device: what the driver did not say is in `off`."""

    next: int | None = None
    received: int = 0
    lost: int = 0
    off: int = 0

    def add(self, batch: Batch) -> None:
        if len(batch.samples) == 0:
            return
        if self.next is not None:
            off = int(batch.samples[0]) - self.next - batch.lost
            assert abs(off) <= 1 + batch.lost / 1000, "a hole is counted to within one sample, or 0.1 %"
            self.off += off
            self.lost += batch.lost
        self.received += len(batch.samples)
        self.next = int(batch.samples[-1]) + 1


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("clang") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: install gcc or clang")
    path = tmp_path_factory.mktemp("drivers") / "drive"
    sources = [*DRIVERS.glob("*.c"), FAKES / "fake_chip.c", FAKES / "drive.c"]
    subprocess.run(
        [compiler, *STRICT, *SANITIZED, f"-I{DRIVERS}", f"-I{FAKES}", *map(str, sources), "-o", str(path)], check=True
    )
    return path


@pytest.fixture(params=CHIPS, ids=CHIPS.values())
def device(program: Path, request: pytest.FixtureRequest) -> Iterator[tuple[int, Device]]:
    with Device(program, request.param) as device:
        yield request.param, device


@pytest.mark.parametrize("name", COMPILERS)
def test_drivers_compile_without_a_warning(name: str, tmp_path: Path) -> None:
    """The drivers are C99 without a warning, for the host and for the small processors."""
    command = COMPILERS[name]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    for source in DRIVERS.glob("*.c"):
        subprocess.run([*command, *STRICT, "-O2", "-c", str(source), "-o", str(tmp_path / "object.o")], check=True)


REGISTERS = {  # bank, register: value; from the data sheets
    MPU: {(0, 0x6B): 0x01, (0, 0x6C): 0, (0, 0x1A): 2, (0, 0x19): 4, (0, 0x1B): 0x18, (0, 0x1C): 0x10, (0, 0x6A): 0x40,
          (0, 0x23): 0x78, (0, 0x38): 0x10},
    ICM: {(0, 0x06): 0x01, (0, 0x07): 0, (2, 0x00): 4, (2, 0x11): 4, (2, 0x10): 0, (2, 0x01): 0x17, (2, 0x14): 0x15,
          (2, 0x09): 1, (0, 0x03): 0x40, (0, 0x66): 0, (0, 0x67): 0x1E, (0, 0x68): 0, (0, 0x69): 0, (0, 0x12): 1},
    LSM: {(0, 0x12): 0x44, (0, 0x18): 0xE2, (0, 0x10): 0x5C, (0, 0x11): 0x5C, (0, 0x07): 20, (0, 0x08): 0, (0, 0x09): 0x55,
          (0, 0x0A): 6, (0, 0x0D): 8},
    BMI: {(0, 0x7C): 0, (0, 0x7D): 6, (0, 0x40): 0xA9, (0, 0x41): 2, (0, 0x42): 0xE9, (0, 0x43): 0, (0, 0x46): 130, (0, 0x47): 0,
          (0, 0x48): 0, (0, 0x49): 0xD0, (0, 0x53): 0x0A, (0, 0x58): 2, (0, 0x59): 1, (0, 0x21): 1},
}  # fmt: skip


def test_initialise_leaves_the_registers_as_the_data_sheet_wants(device: tuple[int, Device]) -> None:
    """After the start every register that matters has its value, and the identity was read."""
    kind, driver = device
    state = driver.start(watermark=10)
    assert state.result == OK
    assert state.identity == {MPU: 0x68, ICM: 0xEA, LSM: 0x6C, BMI: 0x24}[kind]
    found = {place: driver.tell(f"peek {place[0]} {place[1]}").value for place in REGISTERS[kind]}
    assert found == REGISTERS[kind]


@pytest.mark.parametrize(
    ("kind", "wanted_hz", "rate_hz"),
    [
        (MPU, 200, 200), (MPU, 201, 200), (MPU, 210, 250), (MPU, 1000, 1000), (MPU, 1, 1000 / 256), (MPU, 60, 62.5),
        (ICM, 200, 225), (ICM, 225, 225), (ICM, 100, 1125 / 11), (ICM, 1125, 1125),
        (LSM, 200, 6667 / 32 * 1.0105), (LSM, 12.5, 6667 / 512 * 1.0105), (LSM, 400, 6667 / 16 * 1.0105),
        (BMI, 200, 200), (BMI, 201, 200), (BMI, 203, 400), (BMI, 20, 25), (BMI, 1600, 1600),
    ],
)  # fmt: skip
def test_rate_is_the_lowest_at_or_above(program: Path, kind: int, wanted_hz: float, rate_hz: float) -> None:
    """The rate in force is the chip's lowest that is not more than 1 % below the wanted one, and the chip runs at it."""
    with Device(program, kind) as driver:
        assert driver.start(rate_hz=wanted_hz).rate_hz == pytest.approx(rate_hz, rel=1e-6)
        before = driver.tell("wait 0")
        after = driver.tell("wait 10000000")
        assert (after.made - before.made) / 10 == pytest.approx(rate_hz, abs=0.11)


@pytest.mark.parametrize(
    ("kind", "acc_g", "gyro_deg_s", "held_g", "held_deg_s", "acc_scale", "gyro_scale"),
    [
        (MPU, 2, 250, 2, 250, G / 16384, DEGREE / 131), (MPU, 2.1, 251, 4, 500, G / 8192, DEGREE / 65.5),
        (MPU, 16, 2000, 16, 2000, G / 2048, DEGREE / 16.4), (ICM, 0.1, 600, 2, 1000, G / 16384, DEGREE / 32.8),
        (ICM, 5, 2000, 8, 2000, G / 4096, DEGREE / 16.4), (LSM, 2, 100, 2, 125, 0.061e-3 * G, 4.375e-3 * DEGREE),
        (LSM, 16, 300, 16, 500, 0.488e-3 * G, 17.5e-3 * DEGREE), (LSM, 3, 2000, 4, 2000, 0.122e-3 * G, 70e-3 * DEGREE),
        (BMI, 2, 10, 2, 125, G / 16384, DEGREE / 262.144), (BMI, 9, 1000, 16, 1000, G / 2048, DEGREE / 32.768),
    ],
)  # fmt: skip
def test_range_is_the_smallest_that_holds(
    program: Path, kind: int, acc_g: float, gyro_deg_s: float, held_g: float, held_deg_s: float, acc_scale: float,
    gyro_scale: float,
) -> None:  # fmt: skip
    """The ranges in force are the smallest that hold the wanted ones, with the scale of the data sheet."""
    with Device(program, kind) as driver:
        state = driver.start(acc=acc_g * G, gyro=gyro_deg_s * DEGREE)
    assert state.acc_range_m_s2 == pytest.approx(held_g * G, rel=1e-6)
    assert state.gyro_range_rad_s == pytest.approx(held_deg_s * DEGREE, rel=1e-6)
    assert state.acc_m_s2_per_count == pytest.approx(acc_scale, rel=1e-6)
    assert state.gyro_rad_s_per_count == pytest.approx(gyro_scale, rel=1e-6)


@pytest.mark.parametrize("transfer", [0, 14, 32, 255])
@every_chip
def test_every_sample_arrives_bit_for_bit(program: Path, kind: int, transfer: int) -> None:
    """Whatever a transfer of the board can carry, samples arrive complete, in order and unchanged."""
    tally = Tally()
    with Device(program, kind, transfer=transfer) as driver:
        assert driver.start(watermark=5).result == OK
        for step in range(400):
            driver.tell(f"wait {7000 + 911 * (step % 23)}")
            batch = driver.read(9 if step % 3 else 40)
            assert (batch.result, batch.overflow) == (OK, False)
            tally.add(batch)
        for _ in range(20):
            tally.add(driver.read())
        made = driver.tell("wait 0").made
    assert tally.received > 1000
    assert (tally.lost, tally.off) == (0, 0)
    assert tally.next is not None
    assert 0 <= made - tally.next <= 6


def test_nothing_is_read_below_the_watermark(device: tuple[int, Device]) -> None:
    """Fewer samples than the watermark stay in the FIFO."""
    _, driver = device
    driver.start(watermark=20)
    driver.tell("wait 60000")
    assert len(driver.read().samples) == 0
    driver.tell("wait 60000")
    assert len(driver.read().samples) >= 20


@pytest.mark.parametrize("speed_ppm", [985_000, 1_000_000, 1_015_000])
@every_chip
def test_time_follows_the_oscillator_of_the_chip(program: Path, kind: int, speed_ppm: int) -> None:
    """Times do not run ahead of the reading, stay within an interval of the truth, and the interval is learned."""
    with Device(program, kind) as driver:
        driver.tell(f"speed {speed_ppm}")
        true_ns = 1e9 / (driver.start().rate_hz * speed_ppm / 1e6)
        for step in range(1500):
            fake = driver.tell(f"wait {37000 + 1300 * (step % 11)}")
            batch = driver.read()
            if step < 300 or not len(batch.samples):
                continue
            taken_ns = fake.next_ns - (fake.made - batch.samples[0]) * true_ns
            assert abs(batch.time_us * 1000 - taken_ns) < 1.1 * true_ns
            last_us = batch.time_us + (len(batch.samples) - 1) * batch.interval_ns / 1000
            assert last_us <= fake.now_ns / 1000 + true_ns / 16000
    assert batch.interval_ns == pytest.approx(true_ns, rel=1e-3)


@every_chip
def test_overflow_is_found_counted_and_left_on_a_border(program: Path, kind: int) -> None:
    """With an oscillator 1 % off and a loop of some milliseconds, ten overflows together are counted to within one sample."""
    tally = Tally()
    with Device(program, kind) as driver:
        driver.tell("speed 1010000")
        true_ns = 1e9 / (1.01 * driver.start(watermark=5).rate_hz)
        for step in range(3000):
            driver.tell(f"wait {1300 + 100 * (step % 13)}")
            tally.add(driver.read())
        assert tally.lost == 0
        for pause_us in (1_400_000, 1_400_000, 4_000_000, 2_345_678, 1_300_000) * 2:
            driver.tell(f"wait {pause_us}")
            batches = [driver.read()]
            for step in range(150):
                driver.tell(f"wait {1300 + 100 * (step % 13)}")
                batches.append(driver.read())
            assert any(batch.overflow for batch in batches)
            for batch in batches:
                assert batch.result == OK
                tally.add(batch)
            assert batches[-1].interval_ns == pytest.approx(true_ns, rel=5e-4)
    assert abs(tally.off) <= 1
    assert tally.lost > 2500


@pytest.mark.parametrize("hole", ["overflow", "loss of power", "bus error"])
@every_chip
def test_interval_is_not_measured_across_a_hole(program: Path, kind: int, hole: str) -> None:
    """The count of a hole rests on the interval believed so far: measured across it, that would confirm itself and stay."""
    with Device(program, kind) as driver:
        driver.tell("speed 1015000")
        true_ns = 1e9 / (1.015 * driver.start().rate_hz)
        for _ in range(20):  # so many that it is being measured, too few for it to be known
            driver.tell("wait 23000")
            assert driver.read().interval_ns == pytest.approx(1.015 * true_ns, rel=1e-6)
        if hole == "loss of power":
            driver.tell("power")
        elif hole == "bus error":
            driver.tell("fail 1 1")
            assert driver.read().result == BUS_ERROR
        driver.tell("wait 20000000")
        if hole == "loss of power":
            assert int(driver.ask("restart")[0]) == OK
        lost = 0
        for step in range(100):
            driver.tell(f"wait {23000 + 1300 * (step % 11)}")
            batch = driver.read()
            lost += batch.lost
    assert lost > 3500
    assert batch.interval_ns == pytest.approx(true_ns, rel=2e-3)


@every_chip
def test_overflow_while_reading_tears_no_row(program: Path, kind: int) -> None:
    """A bus so slow that the FIFO overflows under the reader costs samples, never a row."""
    tally = Tally()
    overflows = 0
    with Device(program, kind, transfer=32) as driver:
        driver.start(rate_hz=800)
        driver.tell("slow 150000")
        for step in range(250):
            batch = driver.read(30)
            assert batch.result == OK
            overflows += batch.overflow
            tally.add(batch)
            if step % 10 == 9:
                driver.tell(f"wait {40000 + 9000 * (step % 7)}")
    assert overflows > 3
    assert tally.received > 100


@pytest.mark.parametrize("capacity", [512, 4096])
def test_icm_20948_works_with_either_size_of_fifo(program: Path, capacity: int) -> None:
    """The data sheet says 512 bytes, users found 4096: overflows of both are found."""
    tally = Tally()
    with Device(program, ICM, fifo=capacity) as driver:
        driver.start()
        for pause_us in (30_000, 100_000, 2_000_000, 30_000, 30_000):
            driver.tell(f"wait {pause_us}")
            tally.add(driver.read())
    assert tally.lost > 300
    assert abs(tally.off) <= 1


def test_bmi270_counts_what_its_fifo_counted(program: Path) -> None:
    """Up to 254 overwritten frames are counted exactly, and the frames that were kept are not thrown away."""
    tally = Tally()
    with Device(program, BMI) as driver:
        driver.start()
        driver.tell("wait 30000")
        tally.add(driver.read())
        driver.tell("wait 1600000")
        batch = driver.read()
        tally.add(batch)
    assert batch.overflow
    assert len(batch.samples) > 150
    assert 150 < batch.lost < 200
    assert tally.off == 0


def test_bmi270_steps_over_frames_that_are_no_samples(program: Path) -> None:
    """A change of settings and a lone accelerometer frame in the FIFO are passed over."""
    tally = Tally()
    with Device(program, BMI, transfer=32) as driver:
        driver.start()
        for _ in range(5):
            driver.tell("wait 23000")
            driver.tell("odd")
            driver.tell("wait 23000")
            tally.add(driver.read())
        driver.tell("wait 23000")
        tally.add(driver.read())
    assert (tally.lost, tally.off) == (0, 0)
    assert tally.received >= 45


@pytest.mark.parametrize("pause_us", [15_000, 18_000, 24_000, 31_000])
def test_bmi270_learns_its_interval_among_frames_that_are_no_samples(program: Path, pause_us: int) -> None:
    """Bytes taken for samples that then are none make the count go back: a step back is no lesson, least of all one of 2^32 samples."""
    with Device(program, BMI) as driver:
        driver.start()
        for step in range(400):
            driver.tell(f"wait {pause_us}")
            for _ in range(6 if step < 25 else 0):
                driver.tell("odd")
            driver.read()
            driver.tell("wait 5200")
            batch = driver.read()
    assert batch.interval_ns == pytest.approx(5e6, rel=1e-2)


def test_lsm6dso_takes_its_words_in_either_order(program: Path) -> None:
    """A sample is the two words of one time slot, whichever comes first, also with half of it still to come."""
    tally = Tally()
    with Device(program, LSM) as driver:
        driver.tell("swap")
        driver.start()
        for step in range(600):
            driver.tell(f"wait {4000 + 13 * step}")
            tally.add(driver.read(3 if step % 2 else 40))
    assert (tally.lost, tally.off) == (0, 0)
    assert tally.received > 1000


def test_lsm6dso_never_joins_halves_of_two_samples(program: Path) -> None:
    """Where a FIFO is emptied between the two words of a sample, the half that is left never meets another sample's."""
    received = 0
    with Device(program, LSM, transfer=14) as driver:
        driver.tell("half 2400")
        driver.start()
        for step in range(400):
            driver.tell(f"wait {11000 + 337 * (step % 29)}")
            if step % 4 == 3:
                driver.tell(f"fail {2 + step % 5} 1")
            received += len(driver.read(7).samples)  # which looks at every row
    assert received > 400


def test_initialise_reports_a_bus_error_at_every_transaction(device: tuple[int, Device]) -> None:
    """Wherever the bus fails during the start it is reported, and the next attempt succeeds."""
    _, driver = device
    before = driver.tell("wait 0").transactions
    driver.start()
    needed = driver.tell("wait 0").transactions - before
    assert needed > 10
    for place in range(1, needed + 1):
        driver.tell(f"fail {place} 1")
        assert driver.start().result == BUS_ERROR
        assert driver.tell("wait 0").bus_errors == 1
    assert driver.start().result == OK


@pytest.mark.parametrize("cut", [0, 5])
def test_read_reports_and_survives_a_bus_error_at_every_transaction(device: tuple[int, Device], cut: int) -> None:
    """Wherever the bus fails during a read, it is reported once, and what was lost by it is counted."""
    _, driver = device
    tally = Tally()
    driver.start()
    for step in range(800):
        driver.tell(f"wait {3000 + 100 * (step % 17)}")
        tally.add(driver.read())
    driver.tell(f"cut {cut}")
    errors = 0
    for place in range(1, 25):
        driver.tell("wait 41000")
        driver.tell(f"fail {place} 1")
        for step in range(13):
            batch = driver.read()
            errors += batch.result == BUS_ERROR
            assert batch.result in (OK, BUS_ERROR)
            tally.add(batch)
            driver.tell(f"wait {3000 + 730 * step}")
    assert errors == driver.tell("wait 0").bus_errors == 24
    assert tally.lost > 24
    assert abs(tally.off) <= 1


def test_long_silence_of_the_bus_is_counted(device: tuple[int, Device]) -> None:
    """Many failures in a row, as from a loose wire, are each reported; the samples of that time are counted."""
    _, driver = device
    tally = Tally()
    driver.start()
    for _ in range(100):
        driver.tell("wait 41000")
        tally.add(driver.read())
    driver.tell("fail 1 50")
    for _ in range(50):
        driver.tell("wait 40000")
        assert driver.read().result == BUS_ERROR
    for _ in range(5):
        driver.tell("wait 40000")
        tally.add(driver.read())
    assert tally.lost > 390
    assert abs(tally.off) <= 1


def test_another_chip_is_refused(device: tuple[int, Device]) -> None:
    """A wrong identity is told, with what was found, before anything is written to that chip."""
    _, driver = device
    driver.tell("identity 0x71")
    state = driver.start()
    assert (state.result, state.identity) == (WRONG_CHIP, 0x71)
    assert driver.tell("wait 0").transactions <= 2
    driver.tell("wait 10000000")
    assert driver.read().result == STALLED


def test_reset_that_never_ends_is_given_up(device: tuple[int, Device]) -> None:
    """A chip that does not come out of its reset is reported after a bounded number of looks and a bounded time."""
    _, driver = device
    driver.tell("stuck 1")
    before = driver.tell("wait 0")
    assert driver.start().result == NOT_READY
    after = driver.tell("wait 0")
    assert after.transactions - before.transactions < 80
    assert after.now_ns - before.now_ns < 500_000_000


def test_bmi270_without_its_configuration_file_is_refused(program: Path) -> None:
    """No file, or one of another length, is an error of its own, found before the chip is touched."""
    with Device(program, BMI) as driver:
        assert driver.start(firmware=0).result == NO_FIRMWARE
        assert driver.start(firmware=8190).result == NO_FIRMWARE
        assert driver.tell("wait 0").transactions == 0


@pytest.mark.parametrize("transfer", [0, 14, 31, 32, 255])
def test_bmi270_takes_only_the_whole_configuration_file(program: Path, transfer: int) -> None:
    """The file arrives whole in transfers of any size; with one bit changed the chip does not start, which is told."""
    with Device(program, BMI, transfer=transfer) as driver:
        assert driver.start().result == OK
        driver.tell("spoil 5000")
        assert driver.start().result == NOT_READY


def test_loss_of_power_is_noticed_and_counted(device: tuple[int, Device]) -> None:
    """A chip that was reset behind our back makes no samples: stalled, until a restart; the time between is a loss."""
    _, driver = device
    tally = Tally()
    driver.start()
    for _ in range(50):
        driver.tell("wait 41000")
        tally.add(driver.read())
    driver.tell("power")
    results = []
    for _ in range(20):
        driver.tell("wait 41000")
        results.append(driver.read().result)
    assert results[0] == OK
    assert results[-1] == STALLED
    assert int(driver.ask("restart")[0]) == OK
    driver.tell("wait 41000")
    batch = driver.read()
    assert batch.result == OK
    assert len(batch.samples) >= 8
    assert batch.lost > 160


def test_chip_that_stops_with_samples_in_its_fifo_is_noticed(device: tuple[int, Device]) -> None:
    """Fewer than the watermark wait and no more come: stalled as well, and what was not made meanwhile is a loss."""
    _, driver = device
    driver.start(watermark=20)
    for _ in range(50):
        driver.tell("wait 41000")
        driver.read()
    driver.tell("freeze")
    results = []
    for _ in range(200):
        driver.tell("wait 4100")
        results.append(driver.read().result)
    assert results[0] == OK
    assert results[-1] == STALLED
    assert int(driver.ask("restart")[0]) == OK
    driver.tell("wait 121000")
    batch = driver.read()
    assert (batch.result, len(batch.samples) >= 20) == (OK, True)
    assert batch.lost > 160


def test_pause_of_the_board_is_no_silence_of_the_chip(device: tuple[int, Device]) -> None:
    """A board that looks in vain, is busy until the FIFO overflows, empties it and looks in vain again has a chip that is well."""
    _, driver = device
    driver.start()
    driver.read()
    for pause_us in (1_400_000, 0, 0, 30_000):
        driver.tell(f"wait {pause_us}")
        assert driver.read().result == OK


@pytest.mark.parametrize(
    "wrong",
    [{"rate_hz": 0}, {"rate_hz": -5}, {"rate_hz": "nan"}, {"rate_hz": 7000}, {"rate_hz": "inf"}, {"acc": 17 * G}, {"acc": 0},
     {"acc": "nan"}, {"gyro": 36}, {"gyro": -1}, {"watermark": 0}, {"watermark": 41}],
)  # fmt: skip
def test_impossible_setting_changes_nothing(device: tuple[int, Device], wrong: dict[str, float]) -> None:
    """A rate or range that the chip does not have is refused, and the sensor goes on as it was."""
    _, driver = device
    tally = Tally()
    good = driver.start()
    driver.tell("wait 41000")
    tally.add(driver.read())
    before = driver.tell("wait 0").transactions
    state = driver.start(command="set", **wrong)
    assert state.result == BAD_SETTING
    assert driver.tell("wait 0").transactions == before
    assert state.rate_hz == good.rate_hz
    driver.tell("wait 41000")
    tally.add(driver.read())
    assert (tally.lost, tally.off) == (0, 0)
    assert driver.start(command="init", **wrong).result == BAD_SETTING


def test_transfers_too_short_for_a_frame_are_refused(program: Path) -> None:
    """A board whose transfers hold no whole sample gets an error, not a loop without end."""
    with Device(program, BMI, transfer=13) as driver:
        assert driver.start().result == BAD_SETTING


def test_settings_can_change_while_it_runs(device: tuple[int, Device]) -> None:
    """A new rate and range are in force at once, and samples go on with the new interval."""
    _, driver = device
    tally = Tally()
    driver.start()
    driver.tell("wait 41000")
    tally.add(driver.read())
    state = driver.start(command="set", rate_hz=100, acc=2 * G, gyro=500 * DEGREE)
    assert state.result == OK
    assert state.rate_hz == pytest.approx(100, rel=0.06)
    assert state.acc_range_m_s2 == pytest.approx(2 * G)
    for _ in range(10):
        driver.tell("wait 100000")
        batch = driver.read()
        assert 9 <= len(batch.samples) <= 12
    assert batch.interval_ns == pytest.approx(1e9 / state.rate_hz, rel=0.01)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(0, 2_000_000)),
        st.tuples(st.just("wait"), st.integers(0, 60_000)),
        st.tuples(st.just("read"), st.integers(0, 60)),
        st.tuples(st.just("fail"), st.integers(1, 30)),
        st.tuples(st.just("cut"), st.integers(0, 100)),
    ),
    max_size=40,
)


@example(kind=MPU, transfer=0, steps=[("wait", 1_961_659), ("fail", 20)])
@example(kind=ICM, transfer=0, steps=[("wait", 161_239)])
@given(kind=st.sampled_from([MPU, ICM, LSM, BMI]), transfer=st.sampled_from([0, 14, 32, 100]), steps=steps)
@settings(max_examples=60, deadline=None)
def test_rows_are_whole_and_losses_counted_whatever_happens(
    program: Path, kind: int, transfer: int, steps: list[tuple[str, int]]
) -> None:
    """Any order of pauses, reads and bus errors: every row is a sample, and every hole between them is counted."""
    tally = Tally()
    with Device(program, kind, transfer=transfer) as driver:
        driver.start()
        for step in range(60):  # let it learn the phase of the chip's clock
            driver.tell(f"wait {31000 + 700 * (step % 13)}")
            tally.add(driver.read())
        for word, number in steps:
            if word == "read":
                tally.add(driver.read(number))
            else:
                driver.tell(f"{word} {number}")
        for _ in range(12):
            driver.tell("wait 30000")
            tally.add(driver.read())
