"""A board's whole side of the protocol, in C, driven from here: who speaks first, what is promised, and that every sample is accounted for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from aura_edge_firmware_bridge.messages import (
    Acknowledgement,
    Answer,
    Command,
    Config,
    Event,
    Hello,
    HelloFlag,
    Message,
    SampleFlag,
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


def test_a_zero_comes_first(board_of: BoardOf) -> None:
    """What a boot loader printed does not cost the first frame."""
    data = board_of().transmit_bytes(0, 1000)
    assert data[0] == 0
    assert data.count(0) == 2


def test_hello_once_a_second_until_the_host_answers(board_of: BoardOf) -> None:
    """HELLO repeats; one readable frame of the host ends that, noise does not."""
    board = board_of(device_id="häuschen", boot=9)
    said = []
    for now_us in range(0, 5 * SECOND, SECOND // 10):
        board.update(now_us)
        said += board.transmit(now_us)
    assert kinds(said) == ["Hello"] * 5
    assert [hello.time_us for hello in only(said, Hello)] == [n * SECOND for n in range(5)]
    assert (said[0].device_id, said[0].boot, said[0].flags) == ("häuschen", 9, HelloFlag.GRAVITY_INCLUDED)
    board.receive(5 * SECOND, b"\0\x07noise\0")
    board.update(5 * SECOND)
    assert kinds(board.transmit(5 * SECOND)) == ["Hello"]
    board.say(5 * SECOND, TimeRequest(1))
    for now_us in range(5 * SECOND, 9 * SECOND, SECOND // 10):
        board.update(now_us)
        said += board.transmit(now_us)
    assert kinds(said) == ["Hello"] * 5 + ["TimeResponse"]


def test_board_without_a_receiving_line(board_of: BoardOf) -> None:
    """It streams from its start and goes on saying HELLO."""
    board = board_of(from_start=True)
    said = []
    for n in range(600):
        board.sample(5000 * n)
        board.update(5000 * n)
        said += board.transmit(5000 * n)
    assert kinds(said).count("Hello") == 3
    assert said[0].flags == HelloFlag.GRAVITY_INCLUDED | HelloFlag.STREAMING
    assert sum(len(message.raw) for message in only(said, Samples)) == 600


def test_start_samples_status_stop(board_of: BoardOf) -> None:
    """START is answered, ten samples are a message, STATUS comes once a second, STOP sends what is pending and then a STATUS."""
    board = board_of()
    board.sample(0)  # before START: neither sent nor counted
    board.say(0, START)
    said = board.transmit(0)
    assert kinds(said) == ["Acknowledgement", "Hello"]
    assert said[0] == Acknowledgement(1, Command.START, Answer.DONE, 0.0)
    assert board.told() == (0, 1)
    said = []
    for n in range(505):
        board.sample(5000 * n, [n, -n, n, -n, n, -n])
        board.update(5000 * n)
        said += board.transmit(5000 * n)
    assert kinds(said).count("Status") == 2
    board.say(5000 * 505, STOP)
    last = board.transmit(5000 * 505)
    assert kinds(last) == ["Acknowledgement", "Samples", "Status"]
    messages = only(said + last, Samples)
    assert [message.sequence for message in messages] == list(range(0, 505, 10))
    assert [message.time_us for message in messages] == list(range(0, 5000 * 505, 50_000))
    assert {message.interval_ns for message in messages} == {5_000_000}
    raw = np.concatenate([message.raw for message in messages])
    np.testing.assert_array_equal(raw, np.outer(np.arange(505), [1, -1] * 3))
    assert last[-1] == Status(7, 5000 * 505, 505, 505, 0, 0)
    board.update(9 * SECOND)
    assert board.transmit(9 * SECOND) == []


def test_every_stop_is_followed_by_a_status(board_of: BoardOf) -> None:
    """Also one that stops nothing; and a second START changes nothing."""
    board = board_of()
    board.say(0, STOP, START, START)
    assert kinds(board.transmit(0)) == ["Acknowledgement"] * 3 + ["Hello", "Status"]
    assert board.told() == (0, 1)


def test_time_is_answered_first_and_at_once(board_of: BoardOf) -> None:
    """It overtakes samples, but not the message that is on its way; the times are those of reading and of handing over."""
    board = board_of().start()
    board.stream(40)
    assert board.transmit(300_000, space=20) == []
    board.say(300_100, TimeRequest(77))
    said = board.transmit(300_200)
    assert kinds(said)[:3] == ["Samples", "TimeResponse", "Samples"]
    assert said[1] == TimeResponse(77, 300_100, 300_200)


def test_time_of_a_fifo(board_of: BoardOf) -> None:
    """Samples read together have the interval they were told with, also where one message holds the end of one reading and the next."""
    board = board_of(estimated=True).start()
    for reading in range(3):
        board.samples(1_000_000 + reading * 7 * 4_807_692 // 1000, 4_807_692, [[1] * 6] * 7)
    messages = only(board.transmit(2_000_000), Samples)
    assert [message.time_us for message in messages] == [1_000_000, 1_048_076]
    assert all(abs(message.interval_ns - 4_807_692) < 300 for message in messages)
    assert {message.flags for message in messages} == {SampleFlag.ESTIMATED_TIME}
    board = board_of().start()
    board.samples(1_000_000, 4_807_692, [[1] * 6] * 20)
    assert [message.interval_ns for message in only(board.transmit(2_000_000), Samples)] == [4_807_692, 4_807_692]


def test_saturation_is_flagged_and_told_once_a_second(board_of: BoardOf) -> None:
    """The message says that a reading stood at its end; the EVENT names the channels, those of the second before too."""
    board = board_of().start()
    for n in range(401):
        board.sample(5000 * n, [32767 if n % 2 else 0, 0, 0, 0, -32768 if n == 10 else 0, 0])
    said = board.transmit(401 * 5000)
    assert all(message.flags == SampleFlag.SATURATED for message in only(said, Samples))
    board = board_of().start()
    events = []
    for n in range(401):
        board.sample(5000 * n, [32767 if n % 2 else 0, 0, 0, 0, -32768 if n == 10 else 0, 0])
        events += only(board.transmit(5000 * n), Event)
    assert [event.value for event in events] == [0b000001, 0b010001]
    assert [event.time_us for event in events] == [5000, 5000 + SECOND]
    assert [event.sequence for event in events] == [1, 201]


def test_channels_that_are_not_there_never_saturate(board_of: BoardOf) -> None:
    """Only those in `fields` count."""
    board = board_of(fields=0b000111).start()
    board.samples(0, 5_000_000, [[0, 0, 0, 32767, 32767, 32767]] * 10)
    said = board.transmit(50_000)
    assert kinds(said) == ["Samples"]
    assert said[0].flags == 0


def test_change_takes_effect_between_two_messages(board_of: BoardOf) -> None:
    """What was taken before is sent before the HELLO, what follows it is read as it says; also where changes pile up on a blocked wire."""
    board = board_of().start()
    board.stream(13)
    for n, wanted_m_s2 in enumerate((15.0, 30.0, 80.0)):
        board.say(100_000, Config(10 + n, Command.ACC_RANGE_M_S2, wanted_m_s2))
        board.samples(100_000 + n * 50_000, 5_000_000, [[n] * 6] * 3)
    board.say(300_000, SAY_HELLO)
    said = board.transmit(300_000)
    answers = only(said, Acknowledgement)
    assert [answer.value for answer in answers] == [20.0, 40.0, 80.0, 0.0]
    order = [message for message in said if isinstance(message, Hello | Samples)]
    ranges = [message.acc_range_m_s2 if isinstance(message, Hello) else len(message.raw) for message in order]
    eight_g = pytest.approx(8 * 9.80665)
    assert ranges == [eight_g, 10, 3, 20.0, 3, 40.0, 3, 80.0]  # the last three samples wait for seven more
    following = [hello.next_sequence for hello in only(said, Hello)]
    assert following == [0, 13, 16, 19]


def test_commands_are_answered(board_of: BoardOf) -> None:
    """Done, unknown, impossible, failed; `value` is what is in force."""
    board = board_of()
    board.transmit(0)

    def answer(command: int, value: float = 0.0) -> tuple[Answer, float]:
        board.say(1, Config(5, command, value))
        reply = only(board.transmit(1), Acknowledgement)[0]
        assert (reply.token, reply.command) == (5, command)
        return reply.answer, reply.value

    assert answer(Command.RATE_HZ, 100.0) == (Answer.DONE, 104.0)
    assert answer(Command.GYRO_RANGE_RAD_S, 35.0) == (Answer.DONE, 40.0)
    assert answer(Command.GYRO_RANGE_RAD_S, 90.0) == (Answer.IMPOSSIBLE_VALUE, 40.0)
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        assert answer(Command.RATE_HZ, wrong) == (Answer.IMPOSSIBLE_VALUE, 104.0)
    assert answer(77, 1.0) == (Answer.UNKNOWN_COMMAND, 0.0)
    board.core.ask("fail", 1)
    assert answer(Command.RATE_HZ, 200.0) == (Answer.SENSOR_FAILED, 104.0)
    assert answer(Command.START) == (Answer.SENSOR_FAILED, 0.0)
    board.sample(0)
    board.say(2, SAY_HELLO, SAY_HELLO)
    said = board.transmit(2)
    assert kinds(said) == ["Hello", "Acknowledgement"] * 2
    assert (said[0].rate_hz, said[0].flags, said[0].next_sequence) == (104.0, HelloFlag.GRAVITY_INCLUDED, 0)
