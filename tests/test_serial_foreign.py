"""Boards of other makers: times without a check sum, bytes that are missing, and how such a board is left."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_edge.sources.serial.happenings import Arrived, Connected, Overflowed
from aura_edge.sources.serial.parsers.sensiml import CONNECT, DISCONNECT
from aura_edge.sources.serial.recording import Header
from aura_edge.sources.serial.session import Session
from aura_edge.types import ImuChunk

S = 1_000_000_000
STEP_US = 10_000
HOST_NS = 1_795_000_000 * S
UPTIME_US = 36_000_000_000  # ten hours
WRAP_US = 1 << 32


def session(**options: object) -> Session:
    return Session(Header(port="p", baud=115200, options=dict(options)))


def ximu3(time_us: int) -> bytes:
    return b"I,%d,1.0,2.0,3.0,0.1,0.2,0.9\r\n" % time_us


def table(time_us: int) -> bytes:
    return b"%d,0.1,0.2,9.8,0.1,0.2,0.3\n" % time_us


CSV = {"format": "csv", "units": "m/s2, rad/s, us", "columns": "t=0,acc_x=1,acc_y=2,acc_z=3,gyro_x=4,gyro_y=5,gyro_z=6"}
SPEAKS = {"ximu3": (ximu3, {}), "csv": (table, CSV)}


def followed(times_us: Sequence[int], speaks: str = "ximu3", each: int = 5) -> tuple[Session, list[ImuChunk]]:
    """Lines with these times, a hundred a second on the host, `each` arriving together."""
    line, options = SPEAKS[speaks]
    one, chunks = session(**options), []
    one.take([Connected(HOST_NS, "p")])
    for start in range(0, len(times_us), each):
        data = b"".join(map(line, times_us[start : start + each]))
        chunks += one.take([Arrived(HOST_NS + start * STEP_US * 1000, data)])
    chunks += one.finish()
    return one, chunks


def times_of(chunks: Sequence[ImuChunk]) -> list[int]:
    return [int(t_ns) for chunk in chunks for t_ns in chunk.t_ns]


@pytest.mark.parametrize("bit", [22, 26, 35, 45, 52, 60])
@pytest.mark.parametrize("speaks", SPEAKS)
def test_far_off_time_costs_its_own_sample_and_no_more(bit: int, speaks: str) -> None:
    """Three damaged times, before and after the rate is known: all others are where they would be."""
    times = [UPTIME_US + i * STEP_US for i in range(2000)]
    expected = [us * 1000 for i, us in enumerate(times) if i not in (100, 900, 1500)]
    for i in (100, 900, 1500):
        times[i] ^= 1 << bit
    _, chunks = followed(times, speaks)
    assert times_of(chunks) == expected[speaks == "csv" :]  # the first line that is heard is left out


@pytest.mark.parametrize("bit", [22, 35, 52, 60])
def test_two_in_a_row_that_are_damaged_alike_are_two_starts_of_the_clock(bit: int) -> None:
    """Nobody can tell: nothing is lost, and time goes on."""
    times = [UPTIME_US + i * STEP_US for i in range(2000)]
    for i in (1500, 1501):
        times[i] ^= 1 << bit
    one, chunks = followed(times)
    given_ns = times_of(chunks)
    assert len(given_ns) == 2000 - 2 * (bit == 60)
    assert (np.diff(given_ns) > 0).all()
    assert one.report()["restarts"] <= 2


def test_single_far_off_times_are_counted_and_noted() -> None:
    """The report has their number, and a note says what they mean."""
    times = [UPTIME_US + i * STEP_US for i in range(1500)]
    for i in (40, 700, 900):
        times[i] ^= 1 << 52
    one, chunks = followed(times)
    assert len(times_of(chunks)) == 1497
    assert (one.report()["samples"], one.report()["far_off"]) == (1497, 3)
    assert one.report()["restarts"] == 0
    assert any("3 samples" in note for note in one.notes())
    one, _ = followed([UPTIME_US + i * STEP_US for i in range(1500)])
    assert "far_off" not in one.report()
    assert one.notes() == ()


@pytest.mark.parametrize("bit", [61, 62, 63])
def test_time_beyond_any_clock_never_ends_the_run(bit: int) -> None:
    """Also as the first one, and again and again, two at a time."""
    times = [(UPTIME_US + i * STEP_US) ^ (1 << bit if i % 40 in (0, 1) else 0) for i in range(1200)]
    _, chunks = followed(times)
    assert len(times_of(chunks)) >= 1140


@pytest.mark.parametrize("jump_s", [-36_000, -20, 5, 3000, 40 * 365 * 86400])
def test_clock_that_jumps_is_followed_without_a_loss(jump_s: int) -> None:
    """A restart, a clock that is set: the next time agrees, and every sample counts. Time never goes back."""
    times = [UPTIME_US + i * STEP_US + (jump_s * 1_000_000 if i >= 1000 else 0) for i in range(2000)]
    one, chunks = followed(times)
    given_ns = times_of(chunks)
    assert len(given_ns) == 2000
    assert (np.diff(given_ns) > 0).all()
    assert given_ns[-1] - given_ns[1000] == 999 * STEP_US * 1000
    assert "far_off" not in one.report()
    if 0 < jump_s < 86400:
        assert given_ns[1000] - given_ns[999] == jump_s * S + STEP_US * 1000
    else:
        assert S <= given_ns[1000] - given_ns[999] < 2 * S


def test_clock_that_is_set_to_and_fro_for_ever_never_leaves_what_nanoseconds_hold() -> None:
    """Forty years ahead and back, twenty times: each is a start of the clock."""
    times = [UPTIME_US + i * STEP_US + (i // 100 % 2) * 40 * 365 * 86400 * 1_000_000 for i in range(4000)]
    one, chunks = followed(times)
    assert len(times_of(chunks)) == 4000
    assert one.report()["restarts"] == 39


def test_wrap_of_a_printed_clock_loses_nothing() -> None:
    """`micros()` starts again after 71.6 minutes; a time that is damaged just then costs itself."""
    times = [(WRAP_US - 5_000_000 + i * STEP_US) % WRAP_US for i in range(1000)]
    one, chunks = followed(times, "csv")
    assert set(np.diff(times_of(chunks)).tolist()) == {STEP_US * 1000}
    assert (one.report()["clock_wraps"], one.report()["restarts"]) == (1, 0)
    times[501] ^= 1 << 31
    one, chunks = followed(times, "csv")
    assert sorted(set(np.diff(times_of(chunks)).tolist())) == [STEP_US * 1000, 2 * STEP_US * 1000]
    assert (one.report()["clock_wraps"], one.report()["restarts"], one.report()["far_off"]) == (1, 0, 1)


def test_what_a_buffer_lost_during_a_stall_is_a_gap_of_device_time() -> None:
    """What waited, then what is made now, arrive at once: nothing else is missing."""
    one, line = session(), ximu3
    one.take([Connected(HOST_NS, "p")])
    chunks = []
    for i in range(400):
        chunks += one.take([Arrived(HOST_NS + i * STEP_US * 1000, line(UPTIME_US + i * STEP_US))])
    waited = b"".join(line(UPTIME_US + i * STEP_US) for i in [*range(400, 500), *range(2400, 2410)])
    chunks += one.take([Arrived(HOST_NS + 2410 * STEP_US * 1000, waited)])
    assert times_of(chunks)[-111:] == [
        (UPTIME_US + i * STEP_US) * 1000 for i in [399, *range(400, 500), *range(2400, 2410)]
    ]


@given(st.lists(st.tuples(st.integers(0, 1999), st.integers(0, 63)), max_size=30), st.sampled_from([1, 7, 50]))
def test_no_damaged_times_do_more_than_cost_themselves(flips: list[tuple[int, int]], each: int) -> None:
    """Whatever bits are flipped: no exception, and nearly all samples come."""
    times = [UPTIME_US + i * STEP_US for i in range(2000)]
    for i, bit in flips:
        times[i] ^= 1 << bit
    one, chunks = followed(times, each=each)
    report = one.report()
    discarded = report.get("discarded_number_bytes", 0) / len(ximu3(1 << 63))
    assert len(times_of(chunks)) + report.get("far_off", 0) + discarded == pytest.approx(2000, abs=1)
    assert len(times_of(chunks)) >= 2000 - 2 * len(flips)


# ---- bytes that are missing ----


def test_lines_on_both_sides_of_a_hole_are_not_one() -> None:
    """`9` before and `2.8` after bytes that were thrown away are no 92.8."""
    one = session(format="csv", units="m/s2, rad/s")
    line = b"0.1,0.2,9.8,0,0,0\n"
    one.take([Connected(HOST_NS, "p"), Arrived(HOST_NS, b"ax,ay,az,gx,gy,gz\n" + 5 * line)])
    chunks = []
    for i in range(1, 50):
        chunks += one.take([Arrived(HOST_NS + i * S // 10, 10 * line)])
    now_ns = HOST_NS + 5 * S
    chunks += one.take([Arrived(now_ns, b"0.1,0.2,9"), Overflowed(now_ns, 999), Arrived(now_ns, b"2.8,0,0,0\n" + line)])
    chunks += one.finish()
    assert {float(row[2]) for chunk in chunks for row in chunk.samples} == {float(np.float32(9.8))}


# ---- SensiML ----


def description(columns: int, version: int, rate_hz: int = 100) -> bytes:
    named = ("AccelerometerX", "AccelerometerY", "AccelerometerZ", "GyroscopeX", "GyroscopeY", "GyroscopeZ", "Spare")
    places = ",".join(f'"{name}":{place}' for place, name in enumerate(named[:columns]))
    said = f'"sample_rate":{rate_hz},"samples_per_packet":5,"column_location":{{{places}}}'
    return f'{{"version":{version},{said}}}\r\n'.encode()


class SensiMLBoard:
    """Describes itself until it hears `connect`, streams until it hears `disconnect`."""

    def __init__(self, version: int, columns: int = 6) -> None:
        self.version, self.columns = version, columns
        self.streams = False
        self._number = 0

    def hears(self, data: bytes) -> None:
        self.streams = data == CONNECT if data in (CONNECT, DISCONNECT) else self.streams

    def sends(self) -> bytes:
        """In a twentieth of a second."""
        if not self.streams:
            return description(self.columns, self.version)
        counts = struct.pack(f"<{5 * self.columns}h", *(5 * (10, 20, 8192, 1, 2, 3, 4)[: self.columns]))
        if self.version == 1:
            return counts
        body = struct.pack("<BBI", 0, 1, self._number) + counts
        self._number += 1
        check = 0
        for byte in body:
            check ^= byte
        return struct.pack("<BH", 0xFF, len(body)) + body + bytes([check])


class Run:
    """A session and its board on one wire."""

    def __init__(self, board: SensiMLBoard) -> None:
        self.board, self.session = board, session(units="8192 LSB/g, 16.4 LSB/(deg/s)")
        self.now_ns = HOST_NS
        self.session.take([Connected(HOST_NS, "p")])

    def goes_on(self, seconds: float, lost: int = 0) -> list[ImuChunk]:
        chunks: list[ImuChunk] = []
        for _ in range(round(20 * seconds)):
            self.now_ns += S // 20
            chunks += self.session.take([Arrived(self.now_ns, self.board.sends()[lost:])])
            lost = 0
            for reply in self.session.replies():
                self.board.hears(reply)
        return chunks


@pytest.mark.parametrize("version", [1, 2])
def test_sensiml_board_is_left_as_it_was_found(version: int) -> None:
    """Told to disconnect at the end, so that the next run hears a description again."""
    board = SensiMLBoard(version)
    for _ in range(2):
        run = Run(board)
        assert len(times_of(run.goes_on(6))) > 100
        assert board.streams
        farewell = run.session.farewell()
        assert farewell == DISCONNECT
        board.hears(farewell)
        assert not board.streams


def test_board_that_was_told_nothing_is_told_no_farewell() -> None:
    """A board that just prints, and one of which nothing is known yet."""
    one, _ = followed([UPTIME_US + i * STEP_US for i in range(500)])
    assert one.farewell() == b""
    assert session().farewell() == b""


def test_sensiml_1_is_read_aright_after_a_hole() -> None:
    """It has no marks: after bytes that were thrown away it is asked to begin anew, and no wrong reading comes."""
    run = Run(SensiMLBoard(1))
    run.goes_on(6)
    before = run.session.report()["samples"]
    run.session.take([Overflowed(run.now_ns, 61)])
    chunks = run.goes_on(6, lost=31)
    assert {float(row[2]) for chunk in chunks for row in chunk.samples} == {float(np.float32(9.80665))}
    assert run.session.report()["samples"] - before > 200
