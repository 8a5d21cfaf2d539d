"""Parsers of what other makers' boards send: right numbers, books that balance, and the same however a stream is cut or damaged."""

from __future__ import annotations

import importlib.util
import json
import struct
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from aura_edge.errors import InputError, UnitsError
from aura_edge.sources.serial.parsers import Rows
from aura_edge.sources.serial.parsers.books import LONGEST_LINE, Books
from aura_edge.sources.serial.parsers.delimited import Delimited, find_table
from aura_edge.sources.serial.parsers.motioncal import MotionCal
from aura_edge.sources.serial.parsers.sensiml import CONNECT, DISCONNECT, LARGEST_PACKET, SensiML
from aura_edge.sources.serial.parsers.teapot import Teapot
from aura_edge.sources.serial.parsers.ximu3 import XImu3
from aura_edge.sources.units import parse_units

CAPTURES = Path(__file__).resolve().parent / "captures"
IN_ORDER = {name: place for place, name in enumerate(("acc_x", "acc_y", "acc_z", "gyro_x", "gyro_y", "gyro_z"))}
COUNTS = "0.122 mg, 70 mdeg/s"


def capture(name: str) -> bytes:
    return (CAPTURES / name).read_bytes()


def _csv_header() -> Books:
    return Delimited(find_table(capture("csv-header.txt"), units=None, columns={}, rate_hz=None))


def _csv_values() -> Books:
    return Delimited(find_table(capture("csv-values.txt"), units="m/s2, deg/s", columns=IN_ORDER, rate_hz=None))


PARSERS: dict[str, Callable[[], Books]] = {
    "csv-header.txt": _csv_header,
    "csv-values.txt": _csv_values,
    "motioncal.txt": MotionCal,
    "teapot.bin": lambda: Teapot(rate_hz=100.0),
    "sensiml-1.bin": lambda: SensiML(units=parse_units(COUNTS)),
    "sensiml-2.bin": lambda: SensiML(units=parse_units(COUNTS)),
    "ximu3-ascii.txt": lambda: XImu3(binary=False),
    "ximu3.bin": lambda: XImu3(binary=True),
}
LOST_BY_DAMAGE = {"sensiml-2.bin": 12}
"""Samples, at most, that one damaged place costs: a line or packet on either side of it."""


def parse(parser: Books, *snippets: bytes) -> list[Rows]:
    return [rows for snippet in snippets for rows in parser.feed(snippet)]


def samples_of(rows: list[Rows]) -> NDArray[np.float32]:
    return np.concatenate([np.zeros((0, 6), np.float32), *(piece.samples for piece in rows)])


def times_of(rows: list[Rows]) -> list[int]:
    return [t for piece in rows if piece.t_ns is not None for t in piece.t_ns.tolist()]


def numbers_of(rows: list[Rows]) -> list[int]:
    return [piece.sequence + k for piece in rows if piece.sequence is not None for k in range(len(piece.samples))]


def booked(parser: Books) -> int:
    return parser.sample_bytes + sum(parser.other.values()) + sum(parser.discarded.values()) + parser.pending


def books(parser: Books) -> tuple[object, ...]:
    return parser.bytes, parser.sample_bytes, parser.other, parser.discarded, parser.pending


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("captures_generate", CAPTURES / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_captures_are_what_the_generator_writes(generator: ModuleType) -> None:
    """The files are golden: they change only with the generator. Orientation goes through sines, which differ by a bit between machines."""
    for name, (data, said) in generator.captures().items():
        assert len(capture(name)) < 30_000
        if name != "teapot.bin":
            assert data == capture(name), name
            np.testing.assert_allclose(np.load(CAPTURES / "expected.npz")[name], said, rtol=1e-6)


@pytest.mark.parametrize("name", PARSERS)
def test_a_capture_gives_the_numbers_that_were_written_into_it(name: str) -> None:
    """Every sample of a golden capture comes out as the generator computed it, in m/s2 and rad/s."""
    expected = np.load(CAPTURES / "expected.npz")[name]
    rows = parse(PARSERS[name](), capture(name))
    if name == "csv-values.txt":  # the first line may have lost its beginning
        expected = expected[1:]
    np.testing.assert_allclose(samples_of(rows), expected, rtol=2e-6, atol=2e-5 if name == "teapot.bin" else 1e-6)


def test_the_captures_hold_the_recording_itself(generator: ModuleType) -> None:
    """What the formats say is the recording to within their own steps: no axis is swapped, no unit is off."""
    _, imu = generator.recording()
    with np.load(CAPTURES / "expected.npz") as expected:
        for name in set(PARSERS) - {"teapot.bin"}:
            np.testing.assert_allclose(expected[name], imu, rtol=1e-3, atol=6e-3)


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.data())
def test_samples_and_books_do_not_depend_on_the_cuts(name: str, data: st.DataObject) -> None:
    """A damaged stream in one piece and in any others gives the same samples, times, numbers and books, and every byte is in them."""
    sent = bytearray(capture(name)[:3000])
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(sent) - 1))
        junk = data.draw(st.binary(max_size=40) | st.integers(900, 3000).map(lambda count: b"x" * count))
        sent[at : at + data.draw(st.integers(0, 40))] = junk
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=12)))
    snippets = [bytes(sent[a:b]) for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    whole, pieces = PARSERS[name](), PARSERS[name]()
    together, apart = parse(whole, bytes(sent)), parse(pieces, *snippets)
    np.testing.assert_array_equal(samples_of(together), samples_of(apart))
    assert times_of(together) == times_of(apart)
    assert numbers_of(together) == numbers_of(apart)
    assert books(whole) == books(pieces)
    assert booked(whole) == whole.bytes == len(sent)
    assert np.isfinite(samples_of(together)).all()


@pytest.mark.parametrize("name", PARSERS)
@given(snippets=st.lists(st.binary(max_size=300), max_size=8), begun=st.booleans())
def test_no_bytes_upset_a_parser(name: str, snippets: list[bytes], begun: bool) -> None:
    """Whatever comes, fresh or in the middle of a stream: no exception, no byte unaccounted for, a bounded rest."""
    parser = PARSERS[name]()
    parse(parser, capture(name)[:2000] if begun else b"", *snippets)
    assert booked(parser) == parser.bytes
    assert len(parser._rest) <= max(LONGEST_LINE, LARGEST_PACKET)


@pytest.mark.parametrize("name", PARSERS)
def test_memory_is_bounded_without_line_ends_or_marks(name: str) -> None:
    """A hundred kilobytes of one letter leave no more than a line behind, and are in the books."""
    for letter in (b"$", b"\xff", b"1", b"{", b"\xdb", b"\0"):
        parser = PARSERS[name]()
        for _ in range(100):
            parser.feed(letter * 1000)
            assert len(parser._rest) <= LONGEST_LINE
        assert booked(parser) == parser.bytes == 100_000


@pytest.mark.parametrize("name", sorted(set(PARSERS) - {"sensiml-1.bin"}))
@given(data=st.data())
def test_damage_costs_what_is_damaged(name: str, data: st.DataObject) -> None:
    """Bytes lost or put in cost the line or packet that they hit, and its neighbour at most; the next ones are there again."""
    sent = capture(name)
    start = sent.rindex(b":2}\r\n") + 5 if name == "sensiml-2.bin" else 400
    at = data.draw(st.integers(start, len(sent) - 500))
    junk = data.draw(st.binary(max_size=30))
    damaged = sent[:at] + junk + sent[at + data.draw(st.integers(0, 20)) :]
    undamaged = samples_of(parse(PARSERS[name](), sent))
    rows = samples_of(parse(PARSERS[name](), damaged))
    lost = LOST_BY_DAMAGE.get(name, 3)
    assert len(undamaged) - lost <= len(rows) <= len(undamaged) + 1
    np.testing.assert_array_equal(rows[-3:], undamaged[-3:])


@pytest.mark.parametrize("name", PARSERS)
def test_after_a_cut_wire_the_stream_goes_on(name: str) -> None:
    """`cut` books what waited, and what comes afterwards is read from its own beginning."""
    sent = capture(name)
    parser = PARSERS[name]()
    parse(parser, sent[:-5])
    parser.cut()
    assert parser.pending == 0
    assert booked(parser) == parser.bytes
    before = parser.sample_bytes
    rows = parse(parser, sent)
    assert len(samples_of(rows)) >= 154
    assert parser.sample_bytes > before


def test_motioncal_counts_every_sample_once() -> None:
    """`Raw:` and `Uni:` of one sample are one sample; `Uni:` steps in for a `Raw:` that was damaged, and alone it is read."""
    raw, uni = b"Raw:8192,0,-8192,16,0,-32,1,2,3\r\n", b"Uni:9.81,0.00,-9.81,0.0175,0.0000,-0.0349,0.1,0.2,0.3\r\n"
    parser = MotionCal()
    np.testing.assert_allclose(
        samples_of(parse(parser, raw + uni)), [[9.80665, 0, -9.80665, np.pi / 180, 0, -np.pi / 90]], rtol=1e-6
    )
    assert parser.other["Uni"] == len(uni)
    assert len(samples_of(parse(parser, raw.replace(b",", b";", 1) + uni))) == 1
    np.testing.assert_allclose(samples_of(parse(MotionCal(), uni + uni)), [[9.81, 0, -9.81, 0.0175, 0, -0.0349]] * 2)


def test_motioncal_takes_other_scales_when_told() -> None:
    """`--units` replaces the scale of the counts, of one sensor or both."""
    parser = MotionCal(units=parse_units("1/4096 g"))
    assert samples_of(parse(parser, b"Raw:4096,0,0,16,0,0,1,2,3\n"))[0, 0] == pytest.approx(9.80665)
    assert parser.units == "1/4096 g, 1/16 deg/s"


def test_ximu3_stuffing_is_undone() -> None:
    """0x0A and 0xDB inside a message come back; a wrong escape costs the message."""
    body = struct.pack("<BQ6f", 0xC9, 0x0ADB0A, 1, 2, 3, 0.5, 0, 1)
    assert b"\n" in body
    assert b"\xdb" in body
    sent = body.replace(b"\xdb", b"\xdb\xdd").replace(b"\n", b"\xdb\xdc") + b"\n"
    parser = XImu3(binary=True)
    (rows,) = parser.feed(sent)
    assert times_of([rows]) == [0x0ADB0A * 1000]
    np.testing.assert_allclose(rows.samples[0, :3], [0.5 * 9.80665, 0, 9.80665], rtol=1e-6)
    np.testing.assert_allclose(rows.samples[0, 3:], np.deg2rad([1, 2, 3]), rtol=1e-6)
    assert parser.feed(sent.replace(b"\xdb\xdd", b"\xdb\xde")) == []
    assert parser.discarded["stuffing"] == len(sent)


def test_ximu3_counts_other_messages_by_name() -> None:
    """Messages of other kinds are known, and thrown away is nothing of a whole stream."""
    for name in ("ximu3-ascii.txt", "ximu3.bin"):
        parser = PARSERS[name]()
        parse(parser, capture(name))
        assert {"quaternion", "temperature"} <= set(parser.other)
        assert not parser.discarded


def test_teapot_says_loudly_what_is_missing_and_turns_over_lost_packets() -> None:
    """The note is there, and a rate over a hole of packets is spread over its time."""
    sent = capture("teapot.bin")
    parser = Teapot(rate_hz=100.0)
    assert "LINEAR ACCELERATION IS MISSING" in parser.notes[0]
    start = sent.index(b"$\x02")
    packets = [sent[at : at + 14] for at in range(start, len(sent), 14)]
    whole = samples_of(parse(parser, sent))
    holed = parse(Teapot(rate_hz=100.0), *packets[:10], *packets[12:])
    assert numbers_of(holed)[8:10] == [9, 12]
    np.testing.assert_allclose(samples_of(holed)[9, 3:], whole[9:12, 3:].mean(axis=0), atol=0.05)


def test_a_quaternion_and_its_negative_are_one_orientation() -> None:
    """Between the two there is no turn, and a small turn across the sign is a small one."""

    def packet(count: int, *q: float) -> bytes:
        return b"$\x02" + struct.pack(">4h", *(int(16384 * value) for value in q)) + bytes([0, count]) + b"\r\n"

    parser = Teapot(rate_hz=100.0)
    rows = samples_of(
        parse(parser, packet(0, 1, 0, 0, 0), packet(1, -1, 0, 0, 0), packet(2, np.cos(0.05), 0, 0, np.sin(0.05)))
    )
    np.testing.assert_allclose(rows[:, 5], [0, 0.1 * 100], atol=0.05)
    np.testing.assert_allclose(rows[:, :3], [[0, 0, 9.80665]] * 2, atol=1e-3)


def test_a_stray_dollar_costs_itself_alone() -> None:
    """The packet behind it is found, and a packet with a quaternion that is none is thrown away."""
    sent = capture("teapot.bin")
    start = sent.index(b"$\x02")
    parser = Teapot(rate_hz=100.0)
    rows = parse(parser, sent[: start + 140] + b"$" + sent[start + 140 :] + b"$\x02" + bytes(9) + b"\x09\r\n")
    assert len(samples_of(rows)) == 155
    assert parser.discarded == {"between packets": start + 1, "norm": 14}


def test_teapot_follows_the_gyroscope_it_was_made_from(generator: ModuleType) -> None:
    """Angular rate out of orientation is the recording's own, to within what 1/16384 allows at 100 packets a second."""
    _, imu = generator.recording()
    rate_hz = 102.4
    rows = samples_of(parse(Teapot(rate_hz=rate_hz), capture("teapot.bin")))
    np.testing.assert_allclose(rows[:, 3:], imu[1:, 3:], atol=4 * rate_hz / 16384)


def test_sensiml_connects_once_and_again_when_it_was_not_heard() -> None:
    """The first description is answered; a board looks once a second, so that another answer waits for the third one after."""
    line = capture("sensiml-1.bin").split(b"\n")[0] + b"\n"
    parser = PARSERS["sensiml-1.bin"]()
    assert parser.reply() == b""
    said = []
    for _ in range(5):
        parser.feed(line)
        said.append(parser.reply())
    assert said == [CONNECT, b"", b"", CONNECT, b""]
    assert parser.rate_hz == 119


def test_sensiml_that_streams_already_is_asked_to_begin_anew() -> None:
    """Counts without a description cannot be read: the board is told to disconnect, once."""
    parser = PARSERS["sensiml-1.bin"]()
    parser.feed(bytes(range(11, 200)) * 10)
    assert parser.reply() == DISCONNECT
    parser.feed(bytes(range(11, 200)) * 10)
    assert parser.reply() == b""
    assert len(samples_of(parse(parser, b"\n" + capture("sensiml-1.bin")))) == 156


def test_sensiml_2_numbers_its_samples_and_refuses_a_wrong_check() -> None:
    """The packet's number times its samples; a flipped bit costs the packet, and the numbers show the hole."""
    sent = bytearray(capture("sensiml-2.bin"))
    assert numbers_of(parse(PARSERS["sensiml-2.bin"](), bytes(sent))) == list(range(6, 6 + 156))
    first = sent.rindex(b":2}\r\n") + 5
    sent[first + 82 + 20] ^= 1
    parser = PARSERS["sensiml-2.bin"]()
    numbers = numbers_of(parse(parser, bytes(sent)))
    assert numbers == [*range(6, 12), *range(18, 6 + 156)]
    assert parser.discarded["between packets"] == 82
    assert parser.sequence_modulus == 6 << 32


def test_sensiml_2_follows_one_channel_and_checks_the_reserved_byte_too() -> None:
    """Another sensor's packets are known and left out; the check covers all from the reserved byte on."""
    line = capture("sensiml-2.bin").split(b"\n")[0] + b"\n"

    def packet(reserved: int, channel: int, number: int) -> bytes:
        checked = struct.pack("<BBI", reserved, channel, number) + bytes(range(72))
        check = 0
        for byte in checked:
            check ^= byte
        return struct.pack("<BH", 0xFF, len(checked)) + checked + bytes([check])

    parser = PARSERS["sensiml-2.bin"]()
    rows = parse(parser, line + packet(7, 1, 3) + packet(0, 2, 1) + packet(0, 1, 4))
    assert numbers_of(rows) == list(range(18, 30))
    assert parser.other["channel"] == 82
    assert not parser.discarded


def test_sensiml_1_says_that_it_cannot_notice_a_loss_and_recovers_with_a_description() -> None:
    """Version 1 has no marks: the note says so, and a restart of the board puts things right."""
    sent = capture("sensiml-1.bin")
    parser = PARSERS["sensiml-1.bin"]()
    rows = parse(parser, sent[:-7] + sent)
    assert "lost byte" in parser.notes[0]
    np.testing.assert_array_equal(samples_of(rows)[-156:], samples_of(parse(PARSERS["sensiml-1.bin"](), sent)))
    assert parser.discarded["partial packet"] == 72 - 7


def test_an_unusable_sensiml_description_is_booked_and_no_more() -> None:
    """A board with an accelerometer only, or columns with a hole, gives no samples and no exception."""
    one = {"AccelerometerX": 0, "AccelerometerY": 1, "AccelerometerZ": 2}
    for places, rate_hz in (
        (one, 100),
        ({"AccelerometerX": 7}, 100),
        ([], 100),
        ({"a": "b"}, 100),
        (one, 10**400),
        (one, "fast"),
    ):
        parser = PARSERS["sensiml-1.bin"]()
        said = json.dumps({"sample_rate": rate_hz, "samples_per_packet": 1, "column_location": places}).encode() + b"\n"
        assert parser.feed(said + bytes(300)) == []
        assert parser.discarded["unusable description"] == len(said)
        assert parser.reply() == b""


@pytest.mark.parametrize("delimiter", [",", ";", "\t", " ", ", "])
@pytest.mark.parametrize("header", [True, False])
def test_lines_with_any_delimiter_and_with_or_without_header(delimiter: str, header: bool) -> None:
    """All mean the same numbers."""
    names = ["ax [g]", "ay [g]", "az [g]", "gx [dps]", "gy [dps]", "gz [dps]"]
    if delimiter == " ":
        names = [name.split()[0] for name in names]
    lines = [delimiter.join(names)] if header else ["0 0"]
    lines += [delimiter.join(f"{value:.2f}" for value in (k, 0, 1, 90, -45, k)) for k in range(8)]
    sent = "".join(line + "\n" for line in lines).encode()
    table = find_table(sent, units="g,deg/s", columns={} if header else IN_ORDER, rate_hz=None)
    rows = samples_of(parse(Delimited(table), sent))
    assert rows.shape == (8, 6)
    np.testing.assert_allclose(rows[:, 0], 9.80665 * np.arange(8), rtol=1e-6)
    np.testing.assert_allclose(rows[:, 3], np.pi / 2, rtol=1e-6)


def test_decimal_commas() -> None:
    """Half of Europe writes them; the delimiter is then another one."""
    sent = b"ax;ay;az;gx;gy;gz\n" + 5 * b"0,5;0,0;1,0;90,0;0,0;0,0\n"
    rows = samples_of(parse(Delimited(find_table(sent, units="g,deg/s", columns={}, rate_hz=None)), sent))
    np.testing.assert_allclose(rows[:, 0], 0.5 * 9.80665, rtol=1e-6)


@pytest.mark.parametrize(
    ("unit", "text", "ns"), [("s", "1.25", 1_250_000_000), ("ms", "1250", 1_250_000_000), ("us", "1250", 1_250_000)]
)
def test_a_time_column_in_any_unit(unit: str, text: str, ns: int) -> None:
    """Seconds, milliseconds and microseconds become exact nanoseconds; counts of 32 bits are said to wrap."""
    sent = (
        f"t ({unit}),ax (g),ay (g),az (g),gx (rad/s),gy (rad/s),gz (rad/s)\n".encode()
        + 5 * f"{text},0,0,1,0,0,0\n".encode()
    )
    parser = Delimited(find_table(sent, units=None, columns={}, rate_hz=None))
    assert times_of(parse(parser, sent)) == [ns] * 5
    assert parser.clock_wrap_ns == {"s": None, "ms": 2**32 * 10**6, "us": 2**32 * 10**3}[unit]


def test_lines_that_are_no_rows_are_booked_by_what_they_are() -> None:
    """Header again after a restart, comments, blank lines, boot messages, and rows with a field too few or a word in them."""
    header = b"ax (g),ay (g),az (g),gx (dps),gy (dps),gz (dps)\n"
    row = b"0,0,1,0,0,0\n"
    sent = header + 5 * row
    parser = Delimited(find_table(sent, units=None, columns={}, rate_hz=None))
    rows = parse(
        parser,
        sent,
        b"\r\n",
        b"# calm\n",
        b"boot!\n",
        header,
        b"0,0,1,0,0\n",
        b"0,0,1,0,0,0,0\n",
        b"0,0,nan,0,0,0\n",
        b"0,0,1_0,0,0,0\n",
        row,
    )
    assert len(samples_of(rows)) == 6
    assert parser.other == {"header": 2 * len(header), "blank": 2, "comment": 7}
    assert parser.discarded == {"text": 6, "fields": 10 + 14, "number": 14 + 14}


def test_lines_without_a_header_need_columns_and_units() -> None:
    """Neither is guessed; the message has the flag to add, with these columns."""
    sent = capture("csv-values.txt")
    with pytest.raises(InputError, match=r"--columns acc_x=0,acc_y=1.*--units"):
        find_table(sent, units=None, columns={}, rate_hz=None)
    with pytest.raises(UnitsError, match=r'acceleration and of angular rate.*--units "m/s2,rad/s"'):
        find_table(sent, units=None, columns=IN_ORDER, rate_hz=None)
    seven = b"".join(b"%d,0,0,1,0,0,0\n" % (1000 + 10 * k) for k in range(20))
    with pytest.raises(InputError, match=r"acc_x=1,.*gyro_z=6,t=0"):
        find_table(seven, units=None, columns={}, rate_hz=None)
    later = {name: place + 1 for name, place in IN_ORDER.items()} | {"t": 0}
    with pytest.raises(UnitsError, match=r"unit of time.*In ms its timestamps would say 100 Hz"):
        find_table(seven, units="g,dps", columns=later, rate_hz=None)
    assert (
        times_of(parse(Delimited(find_table(seven, units="g,dps,ms", columns=later, rate_hz=None)), seven))[0]
        == 1010 * 10**6
    )


def test_a_header_without_units_needs_them() -> None:
    """Names alone say no units: a guess between g and m/s2 would be wrong one day."""
    with pytest.raises(UnitsError, match=r"--units"):
        find_table(b"ax,ay,az,gx,gy,gz\n" + 5 * b"0,0,1,0,0,0\n", units=None, columns={}, rate_hz=None)


def test_sensiml_2_understands_a_board_that_came_back_another() -> None:
    """Its new description counts, whether the wire was cut before or not; so do packets of the size that it says."""

    def packets(columns: int, first: int) -> bytes:
        sent = b""
        for number in range(first, first + 20):
            body = struct.pack("<BBI", 0, 1, number) + bytes(range(12 * columns))
            check = 0
            for byte in body:
                check ^= byte
            sent += struct.pack("<BH", 0xFF, len(body)) + body + bytes([check])
        return sent

    line = capture("sensiml-2.bin").split(b"\n")[0] + b"\n"
    more = line.replace(b'"column_location":{', b'"column_location":{"Spare":6,').replace(b"119", b"104")
    assert more != line
    for cut in (True, False):
        for pieces in (1, 7, 4096):
            parser = PARSERS["sensiml-2.bin"]()
            sent = line + packets(6, 0)
            assert len(samples_of(parse(parser, sent))) == 120
            if cut:
                parser.cut()
            again = b"\n" + more + packets(7, 0)
            rows = parse(parser, *(again[i : i + pieces] for i in range(0, len(again), pieces)))
            assert len(samples_of(rows)) == 120
            assert parser.rate_hz == 104
            assert booked(parser) == parser.bytes
            assert parser.pending == 0


def test_sensiml_2_does_not_wait_for_the_end_of_a_brace_in_noise() -> None:
    """What begins like a description and is none costs itself."""
    line, packets = capture("sensiml-2.bin")[:0], capture("sensiml-2.bin")
    parser = PARSERS["sensiml-2.bin"]()
    count = len(samples_of(parse(parser, line + packets)))
    first = packets.rindex(b":2}\r\n") + 5
    assert len(samples_of(parse(parser, b'{"' + packets[first:]))) == count


def test_lines_that_are_no_table_are_not_told_to_name_their_format_again() -> None:
    """`--format csv` was said already."""
    with pytest.raises(InputError, match="no lines of numbers") as error:
        find_table(b"hello\nworld\n" * 20, units=None, columns={}, rate_hz=None)
    assert "--format" not in str(error.value)
    assert "--baud" in str(error.value)
