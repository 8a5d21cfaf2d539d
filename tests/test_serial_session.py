"""Happenings to samples: calibration, losses, restarts, returns, and what the board is told; decided by the happenings alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aura_edge.errors import DeviceError, InputError
from aura_edge.sources.serial.happenings import Arrived, Connected, Disconnected, Happening, Overflowed, Sent
from aura_edge.sources.serial.recording import Header
from aura_edge.sources.serial.session import Session
from aura_edge.types import ImuChunk
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
    Samples,
    Status,
    TimeRequest,
    TimeResponse,
)

S = 1_000_000_000
INTERVAL_US = 5000
HELLO = Hello(
    device_id="e661",
    firmware="test",
    sensor="MPU-6050",
    boot=77,
    time_us=1_000_000,
    next_sequence=0,
    rate_hz=200.0,
    clock_hz=0.0,
    acc_m_s2_per_count=0.01,
    gyro_rad_s_per_count=0.001,
    acc_range_m_s2=160.0,
    gyro_range_rad_s=32.0,
    axes=(2, -1, 3),
)


def session(**options: object) -> Session:
    return Session(Header(port="/dev/ttyTEST", baud=115200, options=dict(options)))


def samples(index: int, *, start_us: int = 1_000_000, count: int = 10) -> Samples:
    """Message `index` of `count` samples, whose acc_x counts them."""
    first = index * count
    raw = np.tile(np.arange(1, 7, dtype=np.int16), (count, 1))
    raw[:, 0] = np.arange(first, first + count)
    return Samples(first, (start_us + first * INTERVAL_US) % (1 << 32), INTERVAL_US * 1000, raw)


def at(seconds: float, *messages: object) -> Arrived:
    return Arrived(round(seconds * S), b"".join(encode(message) for message in messages))  # type: ignore[arg-type]


def follow(one: Session, *happenings: Happening) -> list[ImuChunk]:
    return [chunk for happening in happenings for chunk in one.take([happening]) if len(chunk.t_ns)]


def started(**options: object) -> Session:
    """A session that knows its board."""
    one = session(**options)
    one.take([Connected(0, "/dev/ttyTEST"), Arrived(1, b"\0"), at(0.1, HELLO)])
    one.replies()
    return one


def told(one: Session) -> list[object]:
    """What the board is sent, as messages."""
    return list(Decoder().feed(b"\0" + b"".join(one.replies())))


def test_board_says_how_it_is_read() -> None:
    """The first HELLO gives name, rate, units and ranges, and is answered with START."""
    one = session()
    one.take([Connected(0, "/dev/ttyTEST"), Arrived(1, b"\0"), at(0.1, HELLO)])
    assert one.info is not None
    assert one.info.name == "/dev/ttyTEST (MPU-6050, e661, test)"
    assert (one.info.rate_hz, one.info.live, one.info.gravity_included) == (200.0, True, True)
    assert one.info.acc_range_m_s2 == 160.0
    assert one.found == "aura-edge frames"
    assert Config(1, Command.START) in told(one)


def test_samples_are_in_si_units_and_in_the_axes_of_the_board() -> None:
    """Counts times scale, turned as the axis map says."""
    (chunk,) = follow(started(), at(0.2, samples(0)))
    assert chunk.sequence == 0
    assert chunk.t_ns.tolist() == [S + k * INTERVAL_US * 1000 for k in range(10)]
    # Axes (2, -1, 3): x of the board is y of the sensor, y is the other way than x.
    np.testing.assert_allclose(chunk.samples[5], [0.02, -0.05, 0.03, 0.005, -0.004, 0.006], rtol=1e-6)


def test_consecutive_messages_are_one_chunk() -> None:
    """What is taken together and goes on is one chunk."""
    one = started()
    chunks = [c for c in one.take([at(0.2, samples(0), samples(1)), at(0.25, samples(2))]) if len(c.t_ns)]
    assert [len(chunk.t_ns) for chunk in chunks] == [30]


def test_lost_message_is_counted_by_whoever_counts_chunks() -> None:
    """A jump of the sequence shows in the chunks."""
    one = started()
    chunks = follow(one, *(at(0.2 + i / 20, samples(i)) for i in (0, 1, 3, 4, 5, 6)))
    assert [chunk.sequence for chunk in chunks] == [0, 10, 30]
    assert one.report()["lost"] == 10


def test_losses_before_the_first_samples_are_known() -> None:
    """HELLO says which number comes first."""
    one = session()
    everything = one.take(
        [Connected(0, "p"), Arrived(1, b"\0"), at(0.1, HELLO), *(at(0.2, samples(i)) for i in (2, 3, 4, 5))]
    )
    assert [(chunk.sequence, len(chunk.t_ns)) for chunk in everything] == [(0, 0), (20, 40)]


def test_losses_behind_the_last_samples_are_known() -> None:
    """The last STATUS says how far the board was."""
    one = started()
    follow(one, at(0.2, samples(0)), at(0.3, Status(77, 1_100_000, 50, 50, 0, 0)))
    (tail,) = one.finish()
    assert (tail.sequence, len(tail.t_ns)) == (50, 0)
    assert one.report()["lost"] == 40
    assert one.report()["device_produced"] == 50


def test_restart_goes_on_with_a_gap() -> None:
    """Another boot: count and clock go on, a second later, and the board is told to start again."""
    one = started()
    follow(one, at(10.0, samples(0)), at(10.05, samples(1)))
    again = replace(HELLO, boot=78, time_us=50_000)
    chunks = follow(one, at(12.0, again), at(12.1, *(samples(i, start_us=50_000) for i in (1, 2, 3, 4))))
    assert [chunk.sequence for chunk in chunks] == [30]
    assert Config(1, Command.START) in told(one)
    last = follow(started(), at(10.0, samples(0)), at(10.05, samples(1)))[-1].t_ns[-1]
    assert S < chunks[0].t_ns[0] - last < 3 * S
    assert one.report()["restarts"] == 1
    assert one.report()["lost"] == 10
    assert any("restarted once" in note for note in one.notes())


def test_restart_without_a_hello_is_seen_by_the_count() -> None:
    """A board without a boot number that streams at once: its count starts again."""
    one = session()
    plain = replace(HELLO, boot=0)
    one.take([Connected(0, "p"), Arrived(1, b"\0"), at(0.1, plain)])
    follow(one, *(at(0.2 + i / 20, samples(i)) for i in range(40)))
    chunks = follow(one, *(at(4.0 + i / 20, samples(i, start_us=0)) for i in range(3)))
    assert [chunk.sequence for chunk in chunks] == [400, 410, 420]
    assert one.report()["restarts"] == 1


def test_wrap_of_the_clock_is_no_restart() -> None:
    """After 71.6 minutes the 32 bits start again; time goes on."""
    one = session()
    start_us = (1 << 32) - 70_000
    one.take([Connected(0, "p"), Arrived(1, b"\0"), at(0.1, replace(HELLO, time_us=start_us))])
    chunks = follow(one, *(at(0.2 + i / 20, samples(i, start_us=start_us)) for i in range(4)))
    t_ns = np.concatenate([chunk.t_ns for chunk in chunks])
    assert set(np.diff(t_ns).tolist()) == {INTERVAL_US * 1000}
    report = one.report()
    assert (report["clock_wraps"], report.get("restarts", 0)) == (1, 0)


def test_clock_that_jumps_alone_is_continued() -> None:
    """The count goes on and the clock does not: no samples are lost, and time does not go back."""
    one = started()
    chunks = follow(one, *(at(0.2 + i / 20, samples(i, start_us=60_000_000 if i < 3 else 1_000_000)) for i in range(6)))
    t_ns = np.concatenate([chunk.t_ns for chunk in chunks])
    assert (np.diff(t_ns) > 0).all()
    assert one.report()["lost"] == 0
    assert one.report()["clock_restarts"] == 1


def test_port_that_came_back_is_asked_who_it_is() -> None:
    """The same boot after a reconnect: what was missed is lost, the clock goes on."""
    one = started()
    follow(one, at(0.2, samples(0)), Disconnected(S, "pulled"), Connected(3 * S, "/dev/ttyTEST1"))
    assert Config(0, Command.SAY_HELLO) in told(one)
    streaming = replace(HELLO, flags=HelloFlag(3), time_us=4_000_000, next_sequence=600)
    chunks = follow(one, at(3.1, streaming), at(3.2, samples(60)), *(at(3.3, samples(i)) for i in (61, 62, 63)))
    assert [chunk.sequence for chunk in chunks] == [600]
    report = one.report()
    assert (report["returns"], report["lost"], report.get("restarts", 0)) == (1, 590, 0)
    assert chunks[0].t_ns[0] == S + 600 * INTERVAL_US * 1000


def test_half_a_frame_before_a_disconnect_costs_nothing_after_it() -> None:
    """What came back begins anew."""
    one = started()
    whole = encode(samples(0))
    follow(one, Arrived(S, whole[:50]), Disconnected(S, "pulled"), Connected(2 * S, "p"))
    assert [chunk.sequence for chunk in follow(one, at(2.1, samples(0)))] == [0]


def test_silent_board_of_ours_is_asked_and_then_given_up() -> None:
    """Nothing for more than a second: asked; nothing for five: an error that says what to check."""
    one = session()
    one.take([Connected(0, "p"), Arrived(S, b"")])
    assert told(one) == []
    one.take([Arrived(2 * S, b"")])
    assert told(one) == [Config(0, Command.SAY_HELLO)]
    with pytest.raises(DeviceError, match="not one byte"):
        one.take([Arrived(6 * S, b"")])


def test_board_that_never_says_how_it_is_read_is_an_error() -> None:
    """Samples without a HELLO cannot be used."""
    one = session(format="aura")
    one.take([Connected(0, "p"), at(0.1, samples(0))])
    assert Config(0, Command.SAY_HELLO) in told(one)
    with pytest.raises(DeviceError, match="says how to read"):
        one.take([at(9.0, samples(1))])


def test_board_that_stops_talking_is_asked_again() -> None:
    """Two seconds without samples: who are you?"""
    one = started()
    follow(one, at(0.2, samples(0)))
    one.replies()
    one.take([Arrived(2 * S, b"")])
    assert Config(0, Command.SAY_HELLO) not in told(one)
    one.take([Arrived(3 * S, b"")])
    assert Config(0, Command.SAY_HELLO) in told(one)


def test_time_is_asked_for_and_answered() -> None:
    """Requests leave early and then now and then; a response is matched with when its request left."""
    one = started()
    follow(one, at(0.4, samples(0)))
    (request,) = [message for message in told(one) if isinstance(message, TimeRequest)]
    one.take([Sent(round(0.5 * S), encode(request)), at(0.502, TimeResponse(request.token, 1_400_000, 1_400_100))])
    assert "clock_delay_ms" in one.report()
    one.take([at(0.6, TimeResponse(12345, 0, 0))])  # nobody asked


def test_what_the_board_tells_is_counted_and_noted() -> None:
    """Overflows, bus errors and refusals reach the person who runs it."""
    one = started()
    one.take(
        [
            at(0.5, Event(EventKind.FIFO_OVERFLOW, 1_000_000, 10, 85), Event(EventKind.BUS_ERROR, 1_000_000, 10, 1)),
            at(0.6, Acknowledgement(1, Command.START, Answer.SENSOR_FAILED, 0.0)),
            Overflowed(S, 123),
        ]
    )
    report = one.report()
    assert (report["fifo_overflows"], report["bus_errors"], report["overflowed_bytes"]) == (1, 1, 123)
    notes = " ".join(one.notes())
    assert "FIFO" in notes
    assert "sensor failed" in notes
    assert "123 bytes" in notes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fields": 0b000111}, "six channels"),
        ({"axes": (1, 2, -3)}, "mirror image"),
        ({"acc_m_s2_per_count": 0.0}, "above zero"),
        ({"rate_hz": 0.0}, "above zero"),
    ],
)
def test_board_whose_samples_cannot_be_used_is_refused(change: dict[str, object], message: str) -> None:
    """A HELLO that makes no sense is an error that names it."""
    one = session()
    with pytest.raises(InputError, match=message):
        one.take([Connected(0, "p"), Arrived(1, b"\0"), at(0.1, replace(HELLO, **change))])  # type: ignore[arg-type]


def test_unknown_format_is_refused_before_anything_is_opened() -> None:
    """The error lists what there is."""
    with pytest.raises(InputError, match="motioncal"):
        session(format="morse")


def test_same_happenings_give_the_same_chunks_however_bytes_are_cut() -> None:
    """Messages that arrive in crumbs give what whole ones give."""
    data = b"".join(encode(samples(i)) for i in range(6))
    whole = follow(started(), Arrived(S, data))
    crumbs = follow(started(), *(Arrived(S, data[i : i + 7]) for i in range(0, len(data), 7)))
    assert np.concatenate([c.t_ns for c in whole]).tolist() == np.concatenate([c.t_ns for c in crumbs]).tolist()
    assert np.concatenate([c.samples for c in whole]).tobytes() == np.concatenate([c.samples for c in crumbs]).tobytes()


@pytest.mark.parametrize("boot", [0, 77])
@pytest.mark.parametrize("time_us", [2**64 - 1, 2**63, 2**62])
def test_clock_that_says_what_no_clock_can_say_is_passed_over(boot: int, time_us: int) -> None:
    """In a HELLO, a STATUS, an answer, a restart: samples keep their own times, and nothing is too large to be written down."""
    one = session()
    one.take([Connected(0, "p"), Arrived(1, b"\0"), at(0.1, replace(HELLO, boot=boot, time_us=time_us))])
    chunks = follow(one, at(0.2, samples(0)), at(0.3, samples(1)), at(0.31, Status(boot, time_us, 20, 20, 0, 0)))
    (request,) = [message for message in told(one) if isinstance(message, TimeRequest)][:1]
    chunks += follow(
        one, Sent(round(0.32 * S), encode(request)), at(0.33, TimeResponse(request.token, time_us, time_us), samples(2))
    )
    assert [int(t_ns) for chunk in chunks for t_ns in chunk.t_ns] == [S + k * INTERVAL_US * 1000 for k in range(30)]
    assert all(chunk.clock is not None and abs(chunk.clock.host_ns) < 2 * S for chunk in chunks)
    again = replace(HELLO, boot=boot and 78, time_us=time_us)
    chunks += follow(one, at(2.0, again), *(at(2.1 + i / 20, samples(i, start_us=0)) for i in range(40)))
    chunks += one.finish()
    times = np.concatenate([chunk.t_ns for chunk in chunks])
    assert (np.diff(times) > 0).all()
    assert times[-1] < 60 * S
    assert one.report()["restarts" if boot else "lost"] == (1 if boot else 0)


def test_board_that_streamed_already_is_left_streaming() -> None:
    """Who did not start it does not stop it; unless it had to be started after all."""
    one = session()
    streaming = replace(HELLO, flags=HelloFlag.STREAMING)
    one.take([Connected(0, "p"), Arrived(1, b"\0"), at(0.1, streaming), at(0.2, samples(0))])
    assert one.info is not None
    assert one.farewell() == b""
    one.take([at(3.0, replace(HELLO, boot=78))])
    assert one.farewell() == encode(Config(2, Command.STOP))
    assert started().farewell() == encode(Config(2, Command.STOP))


def test_hole_cuts_a_frame_and_keeps_the_order() -> None:
    """Bytes that were thrown away: two halves are no frame, and what is held back waits on for what may still come."""
    one = started()
    half = encode(samples(1))
    chunks = follow(
        one,
        at(0.2, samples(0)),
        at(0.25, samples(2)),
        Arrived(round(0.3 * S), half[:60]),
        Overflowed(round(0.3 * S), 139),
        Arrived(round(0.3 * S), half[60:]),
        at(0.35, samples(1)),
    )
    assert [(chunk.sequence, len(chunk.t_ns)) for chunk in chunks] == [(0, 10), (10, 20)]
    assert one.report()["lost"] == 0
    assert sum(n for name, n in one.report().items() if name.startswith("discarded_")) == 2
