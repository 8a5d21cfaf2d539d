"""What a board speaks, found out from its bytes alone; and what is said where nobody understands it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aura_edge.errors import InputError, UnitsError
from aura_edge.sources.serial.recognition import FORMATS, Recognition, make_parser, recognise
from aura_edge_firmware_bridge.codec import encode
from aura_edge_firmware_bridge.messages import Status

CAPTURES = Path(__file__).resolve().parent / "captures"
IN_ORDER = {name: place for place, name in enumerate(("acc_x", "acc_y", "acc_z", "gyro_x", "gyro_y", "gyro_z"))}
FOUND = {
    "csv-header.txt": "csv",
    "csv-values.txt": "csv",
    "motioncal.txt": "motioncal",
    "sensiml-1.bin": "sensiml",
    "sensiml-2.bin": "sensiml",
    "ximu3-ascii.txt": "ximu3-ascii",
    "ximu3.bin": "ximu3",
}


def capture(name: str) -> bytes:
    return (CAPTURES / name).read_bytes()


def recognised(name: str, data: bytes) -> Recognition:
    """With what a user has to say for those that do not say it."""
    if name.startswith("csv-values"):
        return recognise(data, units="m/s2,deg/s", columns=IN_ORDER)
    return recognise(data, units="0.122 mg, 70 mdeg/s" if name.startswith("sensiml") else None)


def at_another_rate(data: bytes, sent_baud: int, heard_baud: int) -> bytes:
    """What a UART at one rate hears of one that sends at another: ten bits a byte, sampled in the middle of its own."""
    line = np.concatenate([np.ones(40, np.uint8), *([0, *(byte >> k & 1 for k in range(8)), 1] for byte in data)])
    step, at, heard = sent_baud / heard_baud, 0.0, bytearray()
    while True:
        low = np.flatnonzero(line[int(at) :] == 0)
        if not low.size:
            return bytes(heard)
        start = int(at) + int(low[0]) if int(low[0]) else at
        places = (start + step * (np.arange(9) + 1.5)).astype(int)
        if places[-1] >= len(line):
            return bytes(heard)
        heard.append(int(sum(int(line[place]) << k for k, place in enumerate(places[:8]))))
        at = start + step * 9.5


@pytest.mark.parametrize("name", FOUND)
def test_each_capture_is_recognised_and_read(name: str) -> None:
    """The format has its name, a sentence, and a fresh parser that reads the same bytes."""
    found = recognised(name, capture(name))
    assert found.name == FOUND[name]
    assert found.parser is not None
    assert found.parser.name == FOUND[name]
    assert found.parser.description in found.sentence
    assert sum(len(rows.samples) for rows in found.parser.feed(capture(name))) in (155, 156)


@pytest.mark.parametrize("name", FOUND)
@given(start=st.integers(0, 300))
@settings(max_examples=30)
def test_half_a_message_at_the_start_does_not_confuse(name: str, start: int) -> None:
    """Listening begins anywhere: in the middle of a line, of a greeting, of a packet."""
    if name == "csv-header.txt":  # without its header it is another stream
        start %= 10
    assert recognised(name, capture(name)[start:]).name == FOUND[name]


@pytest.mark.parametrize("name", sorted(set(FOUND) - {"csv-header.txt"}))
@given(noise=st.binary(max_size=200))
@settings(max_examples=30)
def test_noise_of_a_starting_board_does_not_confuse(name: str, noise: bytes) -> None:
    """A boot loader at another rate is heard as noise before the data."""
    assert recognised(name, noise + b"\r\n" + capture(name)).name == FOUND[name]


@given(noise=st.binary(max_size=4000))
@example(noise=b"")
def test_random_bytes_are_never_recognised(noise: bytes) -> None:
    """Not even where the user says columns and units: that is for lines that are there."""
    with pytest.raises(InputError, match=r"silent|--baud|--format"):
        recognise(noise, units="g,dps", columns=IN_ORDER)


def test_long_noise_is_never_recognised() -> None:
    """Two seconds of noise at 115,200 baud, again and again."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        with pytest.raises(InputError, match="--baud"):
            recognise(rng.bytes(23_000), units="g,dps", columns=IN_ORDER)


@pytest.mark.parametrize("name", ["csv-header.txt", "motioncal.txt", "ximu3.bin", "sensiml-2.bin"])
@pytest.mark.parametrize(
    ("sent", "heard"),
    [(115_200, 9600), (115_200, 57_600), (115_200, 230_400), (9600, 115_200), (115_200, 921_600), (57_600, 38_400)],
)
def test_a_wrong_baud_rate_is_refused_and_named(name: str, sent: int, heard: int) -> None:
    """What a UART makes of another rate is nothing that is known, and the message says what to try."""
    garbage = at_another_rate(capture(name)[:3000], sent, heard)
    assert garbage
    with pytest.raises(InputError, match="--baud"):
        recognise(garbage, units="g,dps", columns=IN_ORDER)


def test_the_right_rate_of_that_uart_is_recognised() -> None:
    """The simulated UART is one: at the right rate it hears what was sent."""
    assert at_another_rate(capture("motioncal.txt")[:3000], 9600, 9600)[:-1] == capture("motioncal.txt")[:2999]


def test_our_own_frames_win() -> None:
    """One good frame is enough, whatever is around it."""
    found = recognise(b"booting\r\n\0" + encode(Status(1, 2, 3, 4, 5, 6)) + capture("motioncal.txt"))
    assert (found.name, found.parser) == ("aura", None)
    assert recognise(b"", name="aura").name == "aura"


def test_teapot_is_refused_unless_it_is_forced() -> None:
    """Orientation is no acceleration: the user has to insist, and to say the rate."""
    sent = capture("teapot.bin")
    with pytest.raises(InputError, match=r"LINEAR ACCELERATION IS MISSING.*--format teapot --rate-hz"):
        recognise(sent)
    with pytest.raises(InputError, match="--rate-hz"):
        recognise(sent, name="teapot")
    found = recognise(sent, name="teapot", rate_hz=100.0)
    assert found.parser is not None
    assert "MISSING" in found.parser.notes[0]


def test_sensiml_needs_the_scale_of_its_counts() -> None:
    """Counts have no unit: the message asks for one, and guesses none."""
    with pytest.raises(UnitsError, match="--units"):
        recognise(capture("sensiml-2.bin"))
    with pytest.raises(UnitsError, match="--units"):
        recognise(capture("sensiml-2.bin"), units="g")


def test_sensiml_without_a_gyroscope_is_refused() -> None:
    """A description of three columns says which are missing."""
    said = b'{"sample_rate":100,"samples_per_packet":1,"column_location":{"AccelerometerX":0,"AccelerometerY":1,"AccelerometerZ":2}}\r\n'
    with pytest.raises(InputError, match="gyro_x"):
        recognise(said * 2, units="g,dps")


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "silent.*--baud"),
        (200 * b"temperature is fine\r\n", r"'temperature is fine'.*--format"),
        (50 * b'{"ax":1.0,"ay":2.0}\r\n', r"\{\"ax\".*--format"),
        (50 * b"1.00,2.00,3.00\r\n", "3 numbers.*accelerometer and a gyroscope"),
        (b"ax,ay,az\r\n" + 50 * b"1.00,2.00,3.00\r\n", "no column for gyro_x"),
        (50 * b"1,2,3,4,5,6\r\n", "--columns"),
        (100 * b"\x80\xff\x00\xf8", r"400 bytes that are no text.*--baud"),
        (50 * ("\x1b[31m" + 200 * "x" + "\n").encode(), r"\\x1b\[31mx+…"),
    ],
)
def test_what_nobody_understands_is_described(data: bytes, match: str) -> None:
    """Silence, text, too few numbers, noise: each message says what was found and what to do."""
    with pytest.raises(InputError, match=match) as caught:
        recognise(data)
    assert len(str(caught.value)) < 500


def test_a_line_with_a_number_among_text_is_no_table() -> None:
    """x-IMU3 text has commas and numbers, and MotionCal's lines too: neither is taken for a table when it holds no inertial messages."""
    for line in (b"Q,1000,1.0,0.0,0.0,0.0\r\n", b"Cal1:0.1,0.2,0.3,0.4,0.5,0.6,0.7\r\n"):
        with pytest.raises(InputError):
            recognise(60 * line, units="g,dps")


def test_forced_formats() -> None:
    """`--format` takes every name in `FORMATS`, and says which there are."""
    for name, form in FOUND.items():
        found = recognise(
            capture(name), name=form, units="0.122 mg, 70 mdeg/s", columns=IN_ORDER if form == "csv" else None
        )
        assert found.name == form
        assert found.sentence.endswith("as told")
        assert form in FORMATS
    with pytest.raises(InputError, match=r"expected one of auto, aura, csv"):
        recognise(b"", name="nmea")
    with pytest.raises(InputError, match="expected one of csv"):
        make_parser("aura", b"")


def test_a_few_lines_are_not_enough() -> None:
    """What is recognised is followed for hours: four lines may be chance."""
    lines = capture("motioncal.txt").splitlines(keepends=True)[3:]
    with pytest.raises(InputError, match="some of them text"):
        recognise(b"".join(lines[:8]))
    assert recognise(b"".join(lines[:10])).name == "motioncal"


def test_the_rate_is_told_where_the_time_is_known() -> None:
    """The sentence counts samples a second by arrival; without a duration it counts samples."""
    assert "78 a second by arrival" in recognise(capture("motioncal.txt"), heard_s=2.0).sentence
    assert "156 of them" in recognise(capture("motioncal.txt")).sentence


def test_the_same_bytes_give_the_same_answer() -> None:
    """Nothing is remembered between two calls, and the parser has not been fed."""
    one, two = recognise(capture("ximu3.bin")), recognise(capture("ximu3.bin"))
    assert one.sentence == two.sentence
    assert one.parser is not two.parser
