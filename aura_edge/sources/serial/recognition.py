"""What a board speaks, from the first seconds of its bytes and nothing else; and where nobody understands it, what its bytes look like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aura_edge.errors import InputError, UnitsError
from aura_edge.sources.serial.bridge import speaks_bridge
from aura_edge.sources.serial.parsers import Parser
from aura_edge.sources.serial.parsers.books import Books
from aura_edge.sources.serial.parsers.delimited import Delimited, find_table
from aura_edge.sources.serial.parsers.motioncal import MotionCal, fields_in
from aura_edge.sources.serial.parsers.sensiml import SensiML, describe, is_description
from aura_edge.sources.serial.parsers.teapot import WARNING, Teapot
from aura_edge.sources.serial.parsers.ximu3 import XImu3
from aura_edge.sources.units import Units, parse_units
from aura_edge_firmware_bridge.codec import Decoder

FOREIGN = ("csv", "motioncal", "teapot", "sensiml", "ximu3-ascii", "ximu3")
FORMATS = ("auto", "aura", *FOREIGN)
"""As `--format` takes them; `aura` is the protocol of our own firmware."""
LEAST_SAMPLES = 5
"""Fewer may be chance."""
LEAST_SHARE = 0.7
"""So much of the bytes from the first sample on has to be understood: the rest may be damage."""
_PIECE = 64
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was found."""

    name: str
    """One of `FORMATS`, never `auto`."""
    parser: Parser | None
    """A fresh one, which has not been fed; None for our own protocol, which is more than samples."""
    sentence: str
    """What was found, for people, and how much of the bytes it is not."""


@dataclass(frozen=True, slots=True)
class _Score:
    samples: int
    share: float

    @property
    def convinces(self) -> bool:
        return self.samples >= LEAST_SAMPLES and self.share >= LEAST_SHARE


def recognise(
    data: bytes,
    *,
    units: str | None = None,
    columns: Mapping[str, str | int] | None = None,
    rate_hz: float | None = None,
    name: str = "auto",
    heard_s: float | None = None,
) -> Recognition:
    """Find out what `data` is, or take it as `name` says; `heard_s` is how long it took to arrive, and is shown only.

    Raises `UnitsError` where the stream is understood but for its units, `InputError` for what nobody understands.
    """
    if name not in FORMATS:
        raise InputError(f"format {name!r}: expected one of {', '.join(FORMATS)}.")
    told = dict(columns or {})
    if name == "aura" or (name == "auto" and speaks_bridge(Decoder().feed(data))):
        return Recognition("aura", None, "aura-edge frames")
    if name != "auto":
        parser = make_parser(name, data, units=units, columns=told, rate_hz=rate_hz)
        return Recognition(name, parser, f"{parser.description}, as told")
    if not data:
        raise InputError(
            "stream: silent, not one byte. Check that the board is on and sends, its cable, and the rate (--baud)."
        )
    told_units = parse_units(units) if units is not None else None
    binary = data.count(b"\n\xc9") > data.count(b"\nI,")
    fresh: dict[str, Callable[[], Books]] = {
        "motioncal": lambda: MotionCal(fields=fields_in(data), units=told_units),
        "ximu3" if binary else "ximu3-ascii": lambda: XImu3(binary=binary),
    }
    for form, make in fresh.items():
        if (score := _score(make(), data)).convinces:
            return _found(form, make(), score, heard_s)
    if _description(data):
        parser = make_parser("sensiml", data, units=units, columns=told)
        return Recognition(
            "sensiml", parser, f"{parser.description}, as the board says; it begins when it is told to connect"
        )
    if _score(Teapot(rate_hz=100.0), data).convinces:
        raise InputError(
            f"stream: teapot packets. {WARNING}. To go on all the same: --format teapot --rate-hz HZ, with the packets a second."
        )
    return _recognise_lines(data, units, told, rate_hz, heard_s)


def make_parser(
    name: str,
    data: bytes,
    *,
    units: str | None = None,
    columns: Mapping[str, str | int] | None = None,
    rate_hz: float | None = None,
) -> Parser:
    """A fresh parser of a foreign format that the user named; `data` is what has been heard, for what the format leaves open.

    Raises `UnitsError` or `InputError` naming the flag that is missing.
    """
    told = parse_units(units) if units is not None else None
    if name == "csv":
        return Delimited(find_table(data, units=units, columns=columns or {}, rate_hz=rate_hz))
    if name == "motioncal":
        return MotionCal(fields=fields_in(data), units=told)
    if name in ("ximu3", "ximu3-ascii"):
        return XImu3(binary=name == "ximu3")
    if name == "teapot":
        if rate_hz is None:
            raise InputError(
                "teapot packets tell no time, and rotation is computed from it: say the packets a second with --rate-hz."
            )
        return Teapot(rate_hz=rate_hz)
    if name == "sensiml":
        line = _description(data)
        said = describe(line, columns) if line else None
        return SensiML(units=_scales(told), columns=columns, description=said)
    raise InputError(f"format {name!r}: expected one of {', '.join(FOREIGN)}.")


def _recognise_lines(
    data: bytes, units: str | None, columns: Mapping[str, str | int], rate_hz: float | None, heard_s: float | None
) -> Recognition:
    """The last resort: lines of numbers."""
    if not _is_text(data):
        raise InputError(_binary(data))
    try:
        table = find_table(data, units=units, columns=columns, rate_hz=rate_hz)
    except InputError as error:
        if _share_of_numbers(data) < LEAST_SHARE:
            raise InputError(_unknown_text(data)) from error
        raise
    score = _score(Delimited(table), data)
    if not score.convinces:
        raise InputError(_unknown_text(data))
    return _found("csv", Delimited(table), score, heard_s)


def _found(name: str, parser: Books, score: _Score, heard_s: float | None) -> Recognition:
    rate = f"{score.samples / heard_s:.0f} a second by arrival" if heard_s else f"{score.samples} of them so far"
    doubt = "" if score.share > 0.99 else f"; {100 * (1 - score.share):.0f} % of the bytes are something else"
    return Recognition(name, parser, f"{parser.description}, {rate}{doubt}")


def _score(parser: Books, data: bytes) -> _Score:
    """How much of the bytes a parser understands, from where it gave the first sample."""
    samples, before, since = 0, (0, 0), None
    for start in range(0, len(data), _PIECE):
        before = (parser.bytes - parser.pending, sum(parser.discarded.values()))
        samples += sum(len(rows.samples) for rows in parser.feed(data[start : start + _PIECE]))
        if samples and since is None:
            since = before
    if since is None:
        return _Score(0, 0.0)
    taken = parser.bytes - parser.pending - since[0]
    lost = sum(parser.discarded.values()) - since[1]
    return _Score(samples, 1 - lost / max(1, taken))


def _description(data: bytes) -> bytes | None:
    """The first line in which a SensiML board describes itself."""
    for line in data.splitlines(keepends=True):
        start = line.find(b"{")
        if start >= 0 and line.endswith(b"\n") and is_description(line[start:]):
            return line[start:]
    return None


def _scales(told: Units | None) -> Units:
    """Raises `UnitsError` where one of the two is missing."""
    if told is None or told.acceleration is None or told.angular_rate is None:
        raise UnitsError(
            "stream: SensiML boards send counts and do not say their scale. Say what one count is, as the sensor's data sheet and its range have "
            'it: --units "8192 LSB/g, 16.4 LSB/(deg/s)".'
        )
    return told


def _is_text(data: bytes) -> bool:
    """Whether nearly all bytes are printable."""
    printable = sum(0x20 <= byte < 0x7F or byte in b"\t\r\n" for byte in data)
    # Letters of other alphabets, as in a header with a degree sign, are few.
    return printable >= 0.95 * len(data)


def _share_of_numbers(data: bytes) -> float:
    return sum(byte in b"0123456789+-.,;: \t\r\neE" for byte in data) / max(1, len(data))


def _unknown_text(data: bytes) -> str:
    # What was heard first may be half a line.
    lines = [line for line in data.splitlines() if line.strip()]
    shown = lines[1 if len(lines) > 1 else 0] if lines else b""
    return (
        f"stream: text that is none of the known formats, such as {_escaped(shown)}. Known are {', '.join(FOREIGN)} and our own firmware. "
        "If it is one of these, name it with --format; if the board prints no such thing, its rate is another one (--baud); else have it print six "
        "numbers a line with a header that names them and their units."
    )


def _binary(data: bytes) -> str:
    return (
        f"stream: {len(data)} bytes that are no text and none of the known formats, such as {data[:12].hex(' ')}. Often the rate is another one "
        f"(--baud). If the format is one of {', '.join(FOREIGN)}, name it with --format."
    )


def _escaped(line: bytes) -> str:
    shown = line.decode(errors="replace").strip()
    return repr(shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…")
