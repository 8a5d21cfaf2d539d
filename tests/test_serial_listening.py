"""Before it is known what is spoken: what options are refused, what is asked, what counts as heard, and what listening costs."""

from __future__ import annotations

import time

import pytest

from aura_edge.errors import DeviceError, InputError
from aura_edge.sources.serial.bridge import SAY_HELLO
from aura_edge.sources.serial.happenings import Arrived, Connected, Disconnected, Overflowed
from aura_edge.sources.serial.recording import Header
from aura_edge.sources.serial.session import Session
from aura_edge_firmware_bridge.codec import encode
from aura_edge_firmware_bridge.messages import Hello, TimeRequest

S = 1_000_000_000
MS = 1_000_000
HELLO = Hello("id", "fw", "chip", 5, 0, 0, 200.0, 0.0, 0.01, 0.001, 160.0, 32.0)


def session(**options: object) -> Session:
    return Session(Header(port="/dev/ttyTEST", baud=115200, options=dict(options)))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"units": "furlong"}, "furlong"),
        ({"columns": "x"}, "ROLE=NAME"),
        ({"rate_hz": float("nan")}, "rate"),
        ({"rate_hz": -5.0}, "20 to 2000"),
        ({"rate_hz": "fast"}, "fast"),
        ({"format": "morse"}, "morse"),
    ],
)
def test_option_that_makes_no_sense_is_refused_before_anything_is_opened(options: dict[str, object], says: str) -> None:
    """Whatever the board turns out to speak."""
    with pytest.raises(InputError, match=says):
        session(**options)


def test_echo_of_what_is_asked_is_no_board() -> None:
    """`loop://`, or a line that gives back what is sent: only what boards say counts."""
    one = session()
    one.take([Connected(0, "p"), Arrived(2 * S, b"")])
    assert one.replies() == [SAY_HELLO]
    one.take([Arrived(2 * S + MS, SAY_HELLO + encode(TimeRequest(1)))])
    assert one.found == ""
    with pytest.raises(InputError, match="none of the known formats"):
        one.take([Arrived(5 * S, b"")])


def test_board_behind_an_echo_is_found() -> None:
    """Both on one wire."""
    one = session()
    one.take([Connected(0, "p"), Arrived(S, SAY_HELLO), Arrived(S + MS, encode(HELLO))])
    assert one.found == "aura-edge frames"


def test_silent_board_is_asked_again_after_it_came_back() -> None:
    """One question for each opening of the port."""
    one = session()
    one.take([Connected(0, "p"), Arrived(2 * S, b"")])
    assert one.replies() == [SAY_HELLO]
    one.take([Disconnected(3 * S, "pulled"), Connected(10 * S, "p"), Arrived(12 * S, b"")])
    assert one.replies() == [SAY_HELLO]
    with pytest.raises(DeviceError, match="not one byte"):
        one.take([Arrived(16 * S, b"")])


def test_halves_of_a_frame_from_before_and_after_a_return_are_none() -> None:
    """What is listened to begins anew with the port."""
    one = session()
    whole = encode(HELLO)
    one.take([Connected(0, "p"), Arrived(MS, b"\0" + whole[:40]), Disconnected(S, "pulled"), Connected(2 * S, "p")])
    one.take([Arrived(2 * S + MS, whole[40:])])
    assert one.found == ""


def test_hole_while_it_listens_is_not_read_over() -> None:
    """Bytes that were thrown away lay between two halves of a line: that line is left out."""
    one = session(format="csv", units="m/s2, rad/s")
    head, line = b"ax,ay,az,gx,gy,gz\n", b"0.1,0.2,9.8,0,0,0\n"
    one.take([Connected(0, "p"), Arrived(MS, head + 20 * line)])
    one.take(
        [Arrived(S, 50 * line + b"0.1,0.2,9"), Overflowed(S + MS, 99), Arrived(S + 2 * MS, b"2.8,0,0,0\n" + 50 * line)]
    )
    one.take([Arrived(round(2.5 * S), 100 * line), Arrived(round(4.6 * S), 100 * line)])
    (*_, chunk) = [*one.take([Arrived(round(4.7 * S), line)]), *one.finish()]
    assert len(chunk.t_ns)
    assert one.report()["discarded_cut_bytes"] == 9


@pytest.mark.parametrize("byte", [0, 0x41])
def test_listening_costs_no_more_the_longer_it_lasts(byte: int) -> None:
    """Two seconds at 921,600 baud in pieces of 64 bytes, none of which is a frame."""
    one = session()
    one.take([Connected(0, "p")])
    piece, since_s = bytes([byte, 7] * 32), time.process_time()
    for i in range(2880):
        one.take([Arrived((i + 1) * 690_000, piece)])
    assert time.process_time() - since_s < 3.0
