"""What a board owes when the wire or the sensor fails, in C: every sample sent, or counted as dropped where it lies."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aura_edge_firmware_bridge.codec import encode
from aura_edge_firmware_bridge.messages import (
    Acknowledgement,
    Command,
    Config,
    Event,
    EventKind,
    Hello,
    Message,
    Samples,
    Status,
    TimeRequest,
    TimeResponse,
)

if TYPE_CHECKING:
    from conftest import Board

BoardOf = Callable[..., "Board"]
START, STOP, SAY_HELLO = (Config(n, c) for n, c in ((1, Command.START), (2, Command.STOP), (3, Command.SAY_HELLO)))
SECOND = 1_000_000


def kinds(messages: list[Message]) -> list[str]:
    return [type(message).__name__ for message in messages]


def only(messages: list[Message], kind: type[Message]) -> list[Any]:
    return [message for message in messages if isinstance(message, kind)]


def test_sequence_and_time_wrap(board_of: BoardOf) -> None:
    """The count wraps after 2^32 samples, the time of SAMPLES after 2^32 microseconds; neither is a hole."""
    board = board_of().start()
    board.core.ask("number", 2**32 - 15)
    board.stream(30, from_us=2**32 - 100_000)
    messages = only(board.transmit(2**32 + 500_000), Samples)
    assert [message.sequence for message in messages] == [2**32 - 15, 2**32 - 5, 5]
    assert [message.time_us for message in messages] == [2**32 - 100_000, 2**32 - 50_000, 0]
    board.say(2**32 + 600_000, STOP)
    assert board.transmit(2**32 + 600_000)[-1] == Status(7, 2**32 + 600_000, 15, 15, 0, 0)


def test_overflow_and_bus_errors_are_told(board_of: BoardOf) -> None:
    """A hole never lies inside a message; while the wire is blocked, the events of a kind become one."""
    board = board_of().start()
    board.stream(4)
    board.lost(25_000, 85)
    board.bus_error(25_000)
    board.bus_error(26_000)
    board.stream(10, from_us=450_000)
    board.lost(500_000, 5)
    said = board.transmit(510_000)
    events = [Event(EventKind.FIFO_OVERFLOW, 25_000, 89, 90), Event(EventKind.BUS_ERROR, 25_000, 89, 2)]
    assert said[:2] == events
    assert [(message.sequence, len(message.raw)) for message in only(said, Samples)] == [(0, 4), (89, 10)]
    board.say(520_000, STOP)
    assert only(board.transmit(520_000), Status) == [Status(7, 520_000, 104, 104, 90, 0)]


def test_what_cannot_be_answered_is_not_done(board_of: BoardOf) -> None:
    """Eight commands and four time requests wait for a blocked wire; of more, commands are refused and the newest times kept."""
    board = board_of()
    board.transmit(0)
    board.say(1, *(Config(n, Command.START if n > 7 else 77) for n in range(10)), *(TimeRequest(n) for n in range(6)))
    said = board.transmit(2)
    assert [response.token for response in only(said, TimeResponse)] == [2, 3, 4, 5]
    assert [answer.token for answer in only(said, Acknowledgement)] == list(range(8))
    assert board.told() == (4, 0)


def test_blocked_wire_drops_the_oldest_whole_messages(board_of: BoardOf) -> None:
    """Sixteen messages wait, the one on its way is finished, and the sequence jumps by exactly what was dropped."""
    board = board_of().start()
    board.stream(10)
    assert board.transmit(60_000, space=50) == []
    board.stream(300, from_us=55_000)
    board.say(2 * SECOND, STOP)
    said = board.transmit(2 * SECOND)
    sequences = [message.sequence for message in only(said, Samples)]
    assert sequences == [0, *range(150, 310, 10)]
    assert said[-1] == Status(7, 2 * SECOND, 310, 310, 0, 140)
    assert board.decoder.discarded == {}


def test_status_counts_losses_where_they_lie(board_of: BoardOf) -> None:
    """What was lost behind samples that still wait is not counted before they are sent: the numbers agree at every moment."""
    board = board_of().start()
    for n, lost in enumerate((3, 5, 7)):
        board.stream(10, from_us=n * 100_000)
        board.lost(n * 100_000 + 60_000, lost)
    told = []
    for n in range(1, 5):
        board.update(n * SECOND)
        told += [board.one(n * SECOND) for _ in range(3 if n == 1 else 1 if n == 4 else 2)]
    assert kinds(told) == ["Event", "Status", "Samples", "Status", "Samples", "Status", "Samples", "Status"]
    assert [(status.next_sequence, status.dropped_fifo) for status in only(told, Status)] == [
        (0, 0),
        (13, 3),
        (28, 8),
        (45, 15),
    ]


def test_change_is_told_though_its_samples_are_dropped(board_of: BoardOf) -> None:
    """The HELLO that was to come before a message that is dropped comes before the next one."""
    board = board_of().start()
    board.stream(10)
    board.say(60_000, Config(9, Command.ACC_RANGE_M_S2, 15.0))
    board.stream(200, from_us=60_000)
    order = [message for message in board.transmit(2 * SECOND) if isinstance(message, Hello | Samples)]
    assert kinds(order[:2]) == ["Hello", "Samples"]
    assert (order[0].acc_range_m_s2, order[0].next_sequence) == (20.0, order[1].sequence) == (20.0, 50)


def test_clock_that_goes_back_parts_messages(board_of: BoardOf) -> None:
    """A sensor driver that corrects its clock backwards never makes a message whose times go astray."""
    board = board_of().start()
    board.stream(4, from_us=100_000)
    board.stream(10, from_us=90_000)
    messages = only(board.transmit(SECOND), Samples)
    assert [(message.time_us, message.interval_ns) for message in messages] == [
        (100_000, 5_000_000),
        (90_000, 5_000_000),
    ]


def test_silent_sensor_does_not_keep_samples(board_of: BoardOf) -> None:
    """A second after the last sample an unfinished message is sent."""
    board = board_of().start()
    board.stream(4)
    board.update(SECOND)
    assert kinds(board.transmit(SECOND)) == ["Status"]
    board.update(SECOND + 30_000)
    assert [len(message.raw) for message in board.transmit(SECOND + 30_000)] == [4]


moves = st.one_of(
    st.tuples(st.just("samples"), st.integers(1, 120)),
    st.tuples(st.just("lost"), st.integers(1, 100)),
    st.tuples(st.just("transmit"), st.integers(0, 900)),
    st.tuples(st.just("wait"), st.integers(1, 3_000_000)),
    st.tuples(
        st.just("say"), st.sampled_from([START, STOP, SAY_HELLO, TimeRequest(1), Config(9, Command.RATE_HZ, 90.0)])
    ),
    st.tuples(st.just("noise"), st.binary(min_size=1, max_size=300)),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(about=st.integers(1, 19), plan=st.lists(moves, max_size=40))
def test_every_sample_is_accounted_for(board_of: BoardOf, about: int, plan: list[tuple[str, Any]]) -> None:
    """Whatever happens: each STATUS agrees with what came before it to the sample, each jump is a drop, and no frame is ever torn."""
    board = board_of(samples_per_message=about)
    board.say(0, START)
    now_us, made, said = 0, 0, board.transmit(0)
    streaming = True
    for move, value in [*plan, ("say", STOP), ("transmit", 100_000)]:
        if move == "samples":
            board.stream(value, from_us=now_us)
            now_us += 5000 * value
            made += value * streaming
        elif move == "lost":
            board.lost(now_us, value)
            made += value * streaming
        elif move == "transmit":
            said += board.transmit(now_us, value)
        elif move == "wait":
            now_us += value
        elif move == "noise":
            board.receive(now_us, b"\0" + value + b"\0")
        else:
            refused = board.told()[0]
            board.say(now_us, value)
            if value in (START, STOP) and board.told()[0] == refused:
                streaming = value == START
        board.update(now_us)
    now_us += SECOND
    board.say(now_us, STOP)
    said += board.transmit(now_us)
    sent, following = 0, 0
    for message in said:
        if isinstance(message, Samples):
            assert (message.sequence - following) >= 0
            sent += len(message.raw)
            following = message.sequence + len(message.raw)
        elif isinstance(message, Status):
            assert sent == message.next_sequence - message.dropped_fifo - message.dropped_transmit
            assert message.next_sequence >= following
    status = only(said, Status)[-1]
    assert status.produced == status.next_sequence == made
    assert board.decoder.discarded == {}


def test_frames_leave_whole_in_any_portions(board_of: BoardOf) -> None:
    """A wire that takes a byte at a time carries the same bytes as one that takes all."""
    portions = []
    for space in (1, 7, 100_000):
        board = board_of().start()
        board.stream(150)
        data = b""
        while part := board.transmit_bytes(SECOND, space):
            data += part
        portions.append(data)
    assert portions[0] == portions[1] == portions[2]
    assert len(portions[0]) == 15 * 139


def test_ten_samples_take_139_bytes(board_of: BoardOf) -> None:
    """As the page says."""
    board = board_of().start()
    board.stream(10)
    assert len(data := board.transmit_bytes(SECOND, 1000)) == 139
    assert encode(board.decoder.feed(data)[0]) == data
