"""What a board and a host say: every message survives its way over the wire, and nothing that does not fit one gets on it."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_edge_bench.wire_cost import wire_cost
from aura_edge_firmware_bridge.codec import LONGEST_FRAME, Decoder, encode
from aura_edge_firmware_bridge.messages import (
    KINDS,
    MOST_SAMPLES,
    Acknowledgement,
    Answer,
    Command,
    Config,
    Event,
    EventKind,
    Hello,
    HelloFlag,
    Message,
    SampleFlag,
    Samples,
    Status,
    TimeRequest,
    TimeResponse,
)
from fuzz.properties import plain
from fuzz.reference import receive

U8, U16 = st.integers(0, 0xFF), st.integers(0, 0xFFFF)
U32, U64 = st.integers(0, 0xFFFF_FFFF), st.integers(0, 0xFFFF_FFFF_FFFF_FFFF)
F32 = st.floats(width=32, allow_nan=False)
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
TEXT = st.text(max_size=31).filter(lambda text: len(text.encode()) <= 31)
AXES = st.tuples(st.permutations((1, 2, 3)), st.tuples(*[st.sampled_from((1, -1))] * 3)).map(
    lambda drawn: tuple(axis * sign for axis, sign in zip(*drawn, strict=True))
)
RAW = st.integers(1, MOST_SAMPLES).flatmap(
    lambda count: st.binary(min_size=12 * count, max_size=12 * count).map(
        lambda drawn: np.frombuffer(drawn, np.int16).reshape(-1, 6)
    )
)
HELLO = st.builds(
    Hello, TEXT, TEXT, TEXT, U32, U64, U32, *[FINITE] * 6, AXES, U8, U16, st.integers(0, 255).map(HelloFlag)
)
MESSAGES: dict[type, st.SearchStrategy[Any]] = {
    Hello: HELLO,
    Samples: st.builds(Samples, U32, U32, U32, RAW, U8.map(SampleFlag)),
    Status: st.builds(Status, U32, U64, U32, U32, U32, U32),
    Event: st.builds(Event, st.sampled_from(EventKind), U64, U32, U32),
    TimeResponse: st.builds(TimeResponse, U32, U64, U64),
    Acknowledgement: st.builds(Acknowledgement, U8, U8, st.sampled_from(Answer), F32),
    TimeRequest: st.builds(TimeRequest, U32),
    Config: st.builds(Config, U8, U8, F32),
}


def hello(**changed: Any) -> Hello:
    sound: dict[str, Any] = {
        "device_id": "a",
        "firmware": "b",
        "sensor": "c",
        "boot": 1,
        "time_us": 2,
        "next_sequence": 3,
    }
    sound |= {"rate_hz": 200.0, "clock_hz": 8e6, "acc_m_s2_per_count": 0.5, "gyro_rad_s_per_count": 0.25}
    sound |= {"acc_range_m_s2": 78.0, "gyro_range_rad_s": 17.0}
    return Hello(**sound | changed)


def test_there_is_a_strategy_for_every_kind() -> None:
    """No kind of message escapes the round trip below."""
    assert set(MESSAGES) == set(KINDS.values())


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_any_message_arrives_as_it_was_sent(kind: type, data: st.DataObject) -> None:
    """Whatever the fields hold, a receiver gets them; numbers that travel as f32 arrive as these."""
    message: Message = data.draw(MESSAGES[kind])
    frame = encode(message)
    (arrived,) = Decoder().feed(frame)
    assert type(arrived) is kind
    assert plain(arrived) == plain(message)
    assert len(frame) <= LONGEST_FRAME
    assert frame.index(0) == len(frame) - 1


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_the_page_is_met(kind: type, data: st.DataObject) -> None:
    """A receiver that shares no code with ours, written from PROTOCOL.md, reads the same fields."""
    message: Message = data.draw(MESSAGES[kind])
    ((name, fields),) = receive(encode(message)).messages
    assert (name, fields) == plain(message)


@given(rate_hz=st.floats(1e-3, 1e6))
def test_floats_arrive_as_f32(rate_hz: float) -> None:
    """What a double has beyond single precision is lost, and nothing else."""
    (arrived,) = Decoder().feed(encode(hello(rate_hz=rate_hz)))
    assert isinstance(arrived, Hello)
    assert arrived.rate_hz == float(np.float32(rate_hz))


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_any_body_is_a_message_or_a_value_error(kind: type, data: st.DataObject) -> None:
    """Bytes from a wire raise nothing else, and what is read from them is all that they say."""
    size = len(data.draw(MESSAGES[kind]).pack())
    body = data.draw(st.binary(max_size=250) | st.binary(min_size=size, max_size=size))
    try:
        message = kind.unpack(body)  # type: ignore[attr-defined]
    except (ValueError, struct.error):
        return
    if "nan" not in repr(message):
        assert message.pack() == body


@given(message=HELLO, at=st.integers(0, 200), byte=U8)
def test_a_hello_with_any_byte_changed_is_a_message_or_a_value_error(message: Hello, at: int, byte: int) -> None:
    """Lengths of texts that lead beyond the end included."""
    body = bytearray(message.pack())
    body[at % len(body)] = byte
    try:
        arrived = Hello.unpack(bytes(body))
    except (ValueError, struct.error):
        return
    assert arrived.pack() == body


@pytest.mark.parametrize("size", range(51))
def test_a_hello_that_ends_early_is_a_value_error(size: int) -> None:
    """Wherever it ends: among the numbers, before a text's length, or inside a text."""
    body = hello().pack()
    assert len(body) > 51
    with pytest.raises((ValueError, struct.error)):
        Hello.unpack(body[:size])


@pytest.mark.parametrize(
    "message",
    [
        TimeRequest(1 << 32),
        TimeRequest(-1),
        Config(256, Command.START),
        Config(0, Command.RATE_HZ, 1e39),
        Status(0, 1 << 64, 0, 0, 0, 0),
        hello(acc_range_m_s2=1e300),
        hello(axes=(1, 2, 300)),
        hello(sensor="ü" * 16),
        hello(device_id="\ud800"),
        Samples(0, 0, 0, np.zeros((0, 6), np.int16)),
        Samples(0, 0, 0, np.zeros((MOST_SAMPLES + 1, 6), np.int16)),
        Samples(0, 0, 0, np.zeros((6, 10), np.int16)),
        Samples(0, 0, 0, np.zeros(6, np.int16)),
        Samples(0, 0, 0, np.full((1, 6), 40_000)),  # type: ignore[arg-type]
        Samples(0, 0, 0, np.full((1, 6), 0.5)),  # type: ignore[arg-type]
    ],
    ids=lambda message: repr(message)[:50].replace("\n", " "),
)
def test_what_does_not_fit_is_not_sent(message: Message) -> None:
    """A number, a text or an array that its field cannot hold is a `ValueError`, never other bytes."""
    with pytest.raises(ValueError):
        encode(message)


def test_what_does_not_fit_is_named() -> None:
    """The error says which message it was."""
    with pytest.raises(ValueError, match=r"Config: .*fit"):
        encode(Config(0, Command.RATE_HZ, 1e39))


@pytest.mark.parametrize("number", ["rate_hz", "clock_hz", "acc_m_s2_per_count", "gyro_range_rad_s"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_scale_that_is_no_number_is_refused(number: str, value: float) -> None:
    """A board that does not know its scale cannot be read."""
    decoder = Decoder()
    assert decoder.feed(b"\0" + encode(hello(**{number: value}))) == []
    assert list(decoder.discarded) == ["body"]


@pytest.mark.parametrize("axes", [(1, 1, 3), (0, 1, 2), (1, 2, 4), (1, -1, 2)])
def test_axes_that_are_no_axes_are_refused(axes: tuple[int, int, int]) -> None:
    """Each axis of the sensor belongs to one of the board."""
    with pytest.raises(ValueError, match="axes"):
        Hello.unpack(hello(axes=axes).pack())


def test_a_text_longer_than_the_page_says_is_refused() -> None:
    """31 bytes are a text, 32 are not, though they would fit the frame."""
    assert Hello.unpack(hello(sensor="s" * 31).pack()).sensor == "s" * 31
    body = hello(sensor="").pack()
    with pytest.raises(ValueError, match="text"):
        Hello.unpack(body[:-1] + bytes([32]) + b"s" * 32)


@pytest.mark.parametrize("count", [0, MOST_SAMPLES + 1])
def test_samples_are_1_to_19(count: int) -> None:
    """None and too many are refused, also where the length of the body agrees."""
    with pytest.raises(ValueError, match="samples"):
        Samples.unpack(struct.pack("<IIIBB", 0, 0, 0, 0, count) + bytes(12 * count))


def test_flags_of_later_boards_are_kept() -> None:
    """Bits without a meaning yet arrive and do no harm."""
    (arrived,) = Decoder().feed(encode(hello(flags=HelloFlag(0b1000_0001))))
    assert isinstance(arrived, Hello)
    assert arrived.flags == 0b1000_0001
    assert HelloFlag.GRAVITY_INCLUDED in arrived.flags


def test_ten_samples_take_what_the_page_says() -> None:
    """139 bytes: 200 Hz fit 115,200 baud with three quarters of it to spare."""
    frame = encode(Samples(0, 0, 5_000_000, np.zeros((10, 6), np.int16)))
    assert len(frame) == 139
    assert round(100 * len(frame) * 20 * 10 / 115_200) == 24


def test_the_fullest_messages_fit_a_frame() -> None:
    """19 samples, and a HELLO with three longest texts."""
    assert len(encode(Samples(0, 0, 0, np.zeros((MOST_SAMPLES, 6), np.int16)))) <= LONGEST_FRAME
    assert len(encode(hello(device_id="d" * 31, firmware="f" * 31, sensor="s" * 31))) <= LONGEST_FRAME


def test_the_cost_of_the_wire_is_measured_on_what_arrives() -> None:
    """The benchmark sends what it says, loses nothing on a sound wire, and on a damaged one what the damage touched."""
    result = wire_cost((1, 10), samples=2000, rounds=2, seed=1)
    assert [(cost.samples_per_message, cost.damaged_frames) for cost in result.costs] == [
        (1, 0),
        (1, 20),
        (10, 0),
        (10, 2),
    ]
    for cost in result.costs:
        assert cost.samples == 2000
        lost = cost.samples - cost.samples_given
        assert cost.damaged_frames <= lost / cost.samples_per_message <= 2 * cost.damaged_frames
        assert len(cost.decode_us_per_sample_rounds) == 2
        assert (cost.encode_us_per_sample is None) == (cost.damaged_frames > 0)
