"""Faults of the emulated board: when they come, what each does to the bytes, and an account that is exact."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from emulated import walking_and_shaking
from hypothesis import given
from hypothesis import strategies as st

from aura_edge_firmware_bridge.codec import Decoder, encode
from aura_edge_firmware_bridge.emulator import BoardSettings
from aura_edge_firmware_bridge.faults import NAMES, Fault, check_together, keys_of, parse_fault
from aura_edge_firmware_bridge.faulty_wire import FaultyWire
from aura_edge_firmware_bridge.messages import Command, Config, Event, Hello, Message, SampleFlag, Samples, Status

RECORDING = walking_and_shaking()
S = 1_000_000


def wire_with(*texts: str, jitter_ms: float = 0.0, streams: bool = True) -> FaultyWire:
    faults = [parse_fault(text) for text in texts]
    return FaultyWire(RECORDING, BoardSettings(streams_at_once=streams), faults, jitter_ms=jitter_ms, seed=3)


def heard(wire: FaultyWire, seconds: float) -> list[tuple[float, Message]]:
    """What a host decodes, with its host time in seconds."""
    decoder = Decoder()
    return [(us / S, message) for us, data in wire.read(round(seconds * S)) for message in decoder.feed(data)]


def counts(messages: list[tuple[float, Message]], since_s: float, until_s: float) -> np.ndarray:
    return np.concatenate([m.raw for t, m in messages if isinstance(m, Samples) and since_s < t <= until_s])


@given(
    at=st.integers(0, 10**6),
    every=st.integers(10, 10**7),
    part=st.floats(0.01, 0.99),
)
def test_fault_that_comes_again_never_ends(at: int, every: int, part: float) -> None:
    """Each edge turns it on or off, at its time, whatever rounding does."""
    fault = Fault("stall", at_s=at / 1000, for_s=part * every / 1000, every_s=every / 1000)
    now_s = fault.next_edge_s(0.0) if at else 0.0
    for turn in range(20):
        assert fault.is_on(now_s + 1e-9)
        assert now_s == pytest.approx((at + turn * every) / 1000)
        now_s = fault.next_edge_s(now_s)
        assert not fault.is_on(now_s + 1e-9)
        now_s = fault.next_edge_s(now_s)


@given(st.floats(0.0, 1000.0), st.sampled_from([0.0, 3.7, 10.1]))
def test_fault_that_starts_at_any_time_is_read_past(at: float, every: float) -> None:
    """Rounding a time to microseconds and back never leaves the start of a fault ahead for ever."""
    fault = Fault("drop", at_s=at, for_s=1.0, every_s=every)
    edge_s = fault.next_edge_s(0.0)
    assert fault.next_edge_s(edge_s * S / S) > edge_s
    assert fault.next_edge_s(edge_s - 1e-10) > edge_s + 0.5


def test_wire_with_a_fault_at_an_odd_time_comes_to_its_end() -> None:
    """1.4221165855827174 s, which microseconds cannot say."""
    wire = wire_with("drop:at=1.4221165755827174,for=1")
    assert heard(wire, 3.0)


@given(st.lists(st.integers(1, 2 * S), min_size=1, max_size=15), st.integers(-90_000, 90_000))
def test_steps_of_reading_do_not_matter(steps: list[int], ppm: int) -> None:
    """However it is read, the same bytes come at the same microsecond."""
    texts = [
        f"drift:amount={ppm}",
        "corrupt:at=1,for=3",
        "reorder:at=1,for=4",
        "stall:at=3,for=0.7,every=1.3",
        "reset:at=6",
    ]
    whole, parts = wire_with(*texts, jitter_ms=2.0), wire_with(*texts, jitter_ms=2.0)
    now, found = 0, []
    for step in steps:
        now += step
        found += parts.read(now)
    assert found == whole.read(now)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "corrupt"])
def test_delivered_is_what_a_host_gets(name: str) -> None:
    """Each sequence once: what was lost is not among it, what came twice is there once."""
    timed = {"at", "for"} <= set(keys_of(name))
    texts = [f"{name}:at=2,for=3,every=7" if timed else name]
    # A frame that is overtaken by a restart has a number of the start before it: told apart by nothing here.
    wire = wire_with(*texts, *([] if name == "reset" else ["reorder:at=1,for=90,rate=0.4"]))
    decoder, got, base, boot = Decoder(), set(), 0, None
    for _, data in wire.read(20 * S):
        for message in decoder.feed(data):
            if isinstance(message, (Hello, Status)) and message.boot != boot:
                boot, base = message.boot, base + (1 << 33)
            if isinstance(message, Samples):
                got |= {base + message.sequence + k for k in range(len(message.raw))}
    assert len(got) == wire.delivered
    if name not in ("drop", "stall", "disconnect"):
        assert wire.produced - wire.delivered <= 10 * (
            1 + len(wire.board.produced_before)
        )  # one may be held to be overtaken


def test_every_sample_is_produced_dropped_or_delivered() -> None:
    """Over a stall: what the board made is what came and what it says it dropped."""
    wire = wire_with("stall:at=2,for=4,every=9")
    messages = heard(wire, 26)
    came = sum(len(m.raw) for _, m in messages if isinstance(m, Samples))
    assert came == wire.delivered
    assert wire.produced == came + wire.board.dropped_transmit
    assert wire.board.dropped_transmit > 0


def test_damage_is_found_by_its_checksum() -> None:
    """A bit in every frame: nothing comes, and nothing is counted as whole."""
    wire = wire_with("corrupt:at=0,for=99,rate=1")
    assert not [m for _, m in heard(wire, 20) if isinstance(m, Samples)]
    assert wire.delivered == 0
    assert wire.produced == 4000


def test_stuck_axis_stays_beside_other_faults() -> None:
    """One value for as long as it lasts, whatever else is planned."""
    messages = heard(wire_with("stuck:at=2,for=5", "swapped:at=100", "stuck:axis=4,at=3,for=1"), 12)
    stuck = counts(messages, 2.1, 7.0)
    assert len(set(stuck[:, 0].tolist())) == 1
    assert len(set(stuck[:, 1].tolist())) > 10
    assert len(set(counts(messages, 7.1, 12)[:, 0].tolist())) > 10


def test_faults_of_the_sensor_keep_host_time_over_a_restart() -> None:
    """Second 8 is second 8, also where the board's clock began anew at second 5."""
    messages = heard(wire_with("reset:at=5", "saturation:at=8,for=2"), 20)
    clipped = [t for t, m in messages if isinstance(m, Samples) and m.flags & SampleFlag.SATURATED]
    assert 8.0 <= clipped[0] < 8.1
    assert 9.9 < clipped[-1] <= 10.0


def test_clock_that_jumps_back_stops_at_its_start() -> None:
    """No time before zero, which would look like one of 71 minutes."""
    times = [m.time_us for _, m in heard(wire_with("jump:at=10.02,amount=-20"), 12) if isinstance(m, Samples)]
    assert max(times) < 11 * S
    assert min(times) == 0


def test_saturation_is_told_once_a_second_also_after_a_jump() -> None:
    """The clock that is back by eight seconds does not silence the board for as long."""
    messages = heard(wire_with("saturation:at=5,for=20", "jump:at=10,amount=-8"), 20)
    told = [t for t, m in messages if isinstance(m, Event)]
    assert len(told) == 15
    assert max(b - a for a, b in pairwise(told)) < 1.1


def test_clock_wraps_when_it_is_told() -> None:
    """32 bits of SAMPLES turn over; 64 of STATUS go on."""
    messages = heard(wire_with("wrap:at=3"), 6)
    samples = [(t, m.time_us) for t, m in messages if isinstance(m, Samples)]
    (turned,) = [t for (_, a), (t, b) in pairwise(samples) if b < a]
    assert turned == pytest.approx(3.0, abs=0.1)
    assert [m.time_us for _, m in messages if isinstance(m, Status)][-1] > 1 << 32


def test_disconnected_port_hears_nothing() -> None:
    """What a host writes into a port that is gone does not arrive later."""
    wire = wire_with("disconnect:at=2,for=2", streams=False)
    wire.read(3 * S)
    wire.write(encode(Config(1, Command.START)))
    assert not [m for _, m in heard(wire, 6) if isinstance(m, Samples)]
    wire.write(encode(Config(1, Command.START)))
    assert [m for _, m in heard(wire, 7) if isinstance(m, Samples)]


def test_answers_come_with_the_next_reading_of_the_same_time() -> None:
    """A server that has just brought a question need not let time go by."""
    wire = wire_with(streams=False)
    wire.read(S // 2)
    wire.write(encode(Config(1, Command.SAY_HELLO)))
    assert [us for us, _ in wire.read(S // 2)] == [S // 2, S // 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stall:rate=0.5", "at, for, every"),
        ("drift:at=10", "amount"),
        ("drift:amount=nan", "KEY=NUMBER"),
        ("drift:amount=-1e6", "expected -100000"),
        ("rate:amount=-100", "expected -90"),
        ("units:amount=1e300", "expected 1e-06"),
        ("jump:amount=inf", "expected -1e"),
        ("wrap:at=5000", "to 4294"),
        ("stall:at=inf", "at >= 0"),
        ("stall:at=1,at=2", "once"),
        ("stuck:axis=6", "0 to 5"),
        ("stuck:axis=1.5", "KEY=NUMBER"),
        ("stall:for=5,every=5", "every > for"),
    ],
)
def test_number_that_would_break_the_board_is_refused(text: str, message: str) -> None:
    """Before it runs, with what is possible."""
    with pytest.raises(ValueError, match=message):
        parse_fault(text)


@given(st.text(alphabet="abcdefiklmnoprstuvwxy-:=,.0123456789 ", max_size=40))
def test_any_text_is_a_fault_or_refused(text: str) -> None:
    """Never anything but a `ValueError`."""
    try:
        fault = parse_fault(text)
    except ValueError:
        return
    assert fault.name in NAMES
    assert math.isfinite(fault.amount)


def test_nothing_is_taken_for_an_amount_of_nothing() -> None:
    """Zero is zero; only what is not said is the default."""
    assert parse_fault("drift:amount=0").amount == 0.0
    assert parse_fault("rate").amount == 4.0


def test_restarts_may_come_quickly() -> None:
    """They last no time, so `for` need not be shortened for them."""
    wire = wire_with("reset:at=1,every=2")
    wire.read(10 * S)
    assert wire.board.produced_before == [200, 400, 400, 400, 400]


def test_lasting_fault_is_given_once() -> None:
    """Two drifts would leave one unheard."""
    with pytest.raises(ValueError, match="more than once"):
        check_together([parse_fault("drift"), parse_fault("drift:amount=3")])
