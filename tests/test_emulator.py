"""The board made of software: it keeps the protocol, and the same calls give the same bytes."""

from __future__ import annotations

import numpy as np
import pytest
from emulated import walking_and_shaking
from hypothesis import given
from hypothesis import strategies as st

from aura_edge_firmware_bridge.codec import Decoder, encode
from aura_edge_firmware_bridge.emulator import GYRO_RANGES_RAD_S, Board, BoardSettings
from aura_edge_firmware_bridge.faults import NAMES, Fault, parse_fault
from aura_edge_firmware_bridge.faulty_wire import FaultyWire
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

RECORDING = walking_and_shaking()
START = encode(Config(1, Command.START))
S = 1_000_000


def board(**settings: object) -> Board:
    return Board(RECORDING, BoardSettings(**settings))  # type: ignore[arg-type]


def said(one: Board, to_us: int) -> list[Message]:
    decoder = Decoder()
    return decoder.feed(b"\0" + b"".join(sent.data for sent in one.advance(to_us)))


def test_hello_is_said_every_second_until_it_is_answered() -> None:
    """Either side may start first."""
    one = board()
    assert [type(m) for m in said(one, 3 * S - 1)] == [Hello, Hello, Hello]
    one.receive(encode(TimeRequest(1)))
    assert [type(m) for m in said(one, 10 * S)] == [TimeResponse]


def test_first_frame_follows_a_zero() -> None:
    """What a boot loader printed does not cost it."""
    assert board().advance(0)[0].data[0] == 0


def test_samples_are_those_of_the_recording() -> None:
    """Counts times scale is what was recorded, to half a count; numbers and times follow each other."""
    one = board()
    one.receive(START)
    messages = [m for m in said(one, 10 * S) if isinstance(m, Samples)]
    hello = one.hello()
    raw = np.concatenate([m.raw for m in messages])
    scale = np.repeat([hello.acc_m_s2_per_count, hello.gyro_rad_s_per_count], 3)
    np.testing.assert_allclose(raw * scale, RECORDING[: len(raw)], atol=0.51 * scale.max())
    assert [m.sequence for m in messages] == list(range(0, 2000, 10))
    assert [m.time_us for m in messages] == list(range(0, 10 * S, 50_000))
    assert {m.interval_ns for m in messages} == {5_000_000}


def test_status_is_told_every_second_and_at_the_end() -> None:
    """Produced and sent, in samples."""
    one = board()
    one.receive(START)
    told = [m for m in said(one, 3 * S) if isinstance(m, Status)]
    assert [m.produced for m in told] == [200, 400, 600]
    one.receive(encode(Config(2, Command.STOP)))
    last = said(one, 5 * S)
    assert [type(m) for m in last] == [Acknowledgement, Status]
    assert isinstance(last[1], Status)
    assert (last[1].produced, last[1].next_sequence) == (600, 600)


def test_ranges_change_with_a_hello() -> None:
    """The smallest range that holds what is wanted; what follows the HELLO is read as it says."""
    one = board()
    one.receive(encode(Config(3, Command.GYRO_RANGE_RAD_S, 5.0)))
    answer, hello = said(one, S // 2)
    assert isinstance(answer, Acknowledgement)
    assert isinstance(hello, Hello)
    assert (answer.answer, answer.value) == (Answer.DONE, pytest.approx(GYRO_RANGES_RAD_S[1], rel=1e-6))
    assert hello.gyro_range_rad_s == pytest.approx(GYRO_RANGES_RAD_S[1], rel=1e-6)


@pytest.mark.parametrize(
    ("config", "answer"),
    [
        (Config(1, Command.ACC_RANGE_M_S2, 1e6), Answer.IMPOSSIBLE_VALUE),
        (Config(1, Command.RATE_HZ, 999.0), Answer.IMPOSSIBLE_VALUE),
        (Config(1, Command.RATE_HZ, 200.0), Answer.DONE),
        (Config(1, 200), Answer.UNKNOWN_COMMAND),
    ],
)
def test_commands_are_answered(config: Config, answer: Answer) -> None:
    """With what became of them."""
    one = board()
    one.receive(encode(config))
    (found,) = [m for m in said(one, 1) if isinstance(m, Acknowledgement)]
    assert found.answer == answer


def test_full_wire_drops_the_oldest_and_counts() -> None:
    """The board never waits: whole messages go, and STATUS tells how many samples."""
    one = board(pending_messages=4)
    one.receive(START)
    one.advance(S)
    one.wire_takes = False
    assert one.advance(2 * S) == []
    one.wire_takes = True
    after = said(one, 2 * S + 1)
    sequences = [m.sequence for m in after if isinstance(m, Samples)]
    assert sequences == [360, 370, 380, 390]
    assert one.dropped_transmit == 160
    (status,) = [m for m in said(one, 3 * S) if isinstance(m, Status)]
    assert status.dropped_transmit == 160


def test_after_a_stall_the_board_speaks_of_now() -> None:
    """One STATUS and it is true, the question about the time answered when it is sent, and no answer lost."""
    one = board(pending_messages=4)
    one.receive(START)
    one.advance(S)
    one.wire_takes = False
    one.advance(2 * S)
    one.receive(encode(TimeRequest(9)) + encode(Config(7, Command.SAY_HELLO)))
    one.advance(12 * S)
    one.wire_takes = True
    time, hello, answer, status, *samples = said(one, 12 * S)
    assert time == TimeResponse(9, 2 * S, 12 * S)
    assert isinstance(hello, Hello)
    assert isinstance(answer, Acknowledgement)
    assert isinstance(status, Status)
    assert (status.time_us, status.produced, status.dropped_transmit) == (12 * S, 2400, 2160)
    assert hello.next_sequence == status.next_sequence == 2360
    assert [m.sequence for m in samples if isinstance(m, Samples)] == [2360, 2370, 2380, 2390]


@given(st.lists(st.sampled_from([10.0, 30.0, 70.0, 150.0]), min_size=1, max_size=6), st.integers(1, 40))
def test_samples_are_read_as_the_hello_before_them_says(ranges: list[float], pending: int) -> None:
    """Also those that waited, or were made after a change, while the wire was full."""
    one = board(pending_messages=pending)
    decoder = Decoder()
    messages = decoder.feed(b"\0" + b"".join(sent.data for sent in one.advance(0)))
    one.receive(START)
    one.wire_takes = False
    for turn, range_m_s2 in enumerate(ranges):
        one.receive(encode(Config(turn, Command.ACC_RANGE_M_S2, range_m_s2)))
        one.advance((turn + 1) * S // 4)
    one.wire_takes = True
    messages += decoder.feed(b"".join(sent.data for sent in one.advance(3 * S)))
    scale = 0.0
    for message in messages:
        if isinstance(message, Hello):
            scale = message.acc_m_s2_per_count
        elif isinstance(message, Samples):
            expected = RECORDING[message.sequence : message.sequence + len(message.raw), :3]
            np.testing.assert_allclose(message.raw[:, :3] * scale, expected, atol=0.51 * scale)


def test_value_in_force_is_told_with_a_refusal() -> None:
    """What was asked for changes nothing, and the answer says what is so."""
    one = board()
    for token, wanted in enumerate([10.0, 1e6, -1.0, float("nan")]):
        one.receive(encode(Config(token, Command.ACC_RANGE_M_S2, wanted)))
    answers = [m for m in said(one, 1) if isinstance(m, Acknowledgement)]
    assert [m.answer for m in answers] == [Answer.DONE] + [Answer.IMPOSSIBLE_VALUE] * 3
    assert [m.value for m in answers] == [pytest.approx(2 * 9.80665)] * 4


def test_lower_rate_is_answered_with_the_lowest_there_is() -> None:
    """A board that can only do 200 Hz gives at least 50."""
    one = board()
    one.receive(encode(Config(1, Command.RATE_HZ, 50.0)))
    answer, hello = said(one, 1)
    assert isinstance(answer, Acknowledgement)
    assert (answer.answer, answer.value) == (Answer.DONE, 200.0)
    assert isinstance(hello, Hello)


def test_each_start_has_another_number() -> None:
    """Counted on from the first; a board that cannot know says 0."""
    for first, expected in [(7, [7, 8, 9]), (0xFFFF_FFFE, [0xFFFF_FFFE, 0xFFFF_FFFF, 1]), (0, [0, 0, 0])]:
        one, boots = board(boot=first), []
        for _ in expected:
            boots += [m.boot for m in said(one, 0) if isinstance(m, Hello)]
            one.restart()
        assert boots == expected


@pytest.mark.parametrize(
    "settings",
    [{"rate_hz": 0.0}, {"true_rate_hz": -1.0}, {"samples_per_message": 20}, {"pending_messages": 0}, {"boot": -1}],
)
def test_board_that_cannot_be_is_refused(settings: dict[str, float]) -> None:
    """Before it runs."""
    with pytest.raises(ValueError, match="expected"):
        BoardSettings(**settings)  # type: ignore[arg-type]


def test_saturated_readings_are_flagged_and_told_once_a_second() -> None:
    """At the end of the scale."""
    one = Board(RECORDING * 100, BoardSettings())
    one.receive(START)
    messages = said(one, 3 * S)
    assert all(m.flags & SampleFlag.SATURATED for m in messages if isinstance(m, Samples))
    assert 2 <= len([m for m in messages if isinstance(m, Event)]) <= 4


def test_board_without_a_receiving_line_streams_at_once() -> None:
    """And goes on saying HELLO, whatever it is told."""
    one = board(streams_at_once=True)
    one.receive(encode(Config(1, Command.STOP)))
    messages = said(one, 3 * S - 1)
    assert {type(m) for m in messages} == {Hello, Samples, Status}
    hellos = [m for m in messages if isinstance(m, Hello)]
    assert len(hellos) == 3
    assert hellos[0].flags & HelloFlag.STREAMING
    assert sum(len(m.raw) for m in messages if isinstance(m, Samples)) == 600


def test_recording_that_does_not_loop_ends() -> None:
    """Every sample once, then only STATUS."""
    one = Board(RECORDING[:1005], BoardSettings(loops=False))
    one.receive(START)
    messages = said(one, 20 * S)
    assert sum(len(m.raw) for m in messages if isinstance(m, Samples)) == 1005


@given(st.lists(st.integers(1, 3 * S), min_size=1, max_size=12))
def test_steps_of_time_do_not_matter(steps: list[int]) -> None:
    """However the time goes by, the bytes are the same."""
    whole, parts = board(), board()
    for one in (whole, parts):
        one.receive(START)
    end = sum(steps)
    expected = b"".join(sent.data for sent in whole.advance(end))
    now, found = 0, b""
    for step in steps:
        now += step
        found += b"".join(sent.data for sent in parts.advance(now))
    assert found == expected


@pytest.mark.parametrize("name", NAMES)
def test_faults_are_the_same_again(name: str) -> None:
    """The same seed, the same bytes; and every fault changes something."""

    def bytes_of(faults: list[Fault]) -> list[tuple[int, bytes]]:
        wire = FaultyWire(RECORDING, BoardSettings(streams_at_once=True), faults, jitter_ms=2.0, seed=5)
        return wire.read(30 * S)

    fault = Fault(name, at_s=3.0, for_s=4.0, every_s=10.0, rate=0.3)
    assert bytes_of([fault]) == bytes_of([fault])
    assert bytes_of([fault]) != bytes_of([])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gremlins", "expected one of"),
        ("drop:often=1", "KEY=NUMBER"),
        ("drop:rate=x", "KEY=NUMBER"),
        ("drop:rate=2", "0 to 1"),
    ],
)
def test_fault_that_makes_no_sense_is_refused(text: str, message: str) -> None:
    """With what there is."""
    with pytest.raises(ValueError, match=message):
        parse_fault(text)


def test_fault_is_what_its_text_says() -> None:
    """Keys as they are listed."""
    assert parse_fault("stuck:axis=3,at=1.5,for=2,every=9") == Fault("stuck", 1.5, 2.0, 9.0, axis=3)
    assert parse_fault("drift").amount == 200.0
