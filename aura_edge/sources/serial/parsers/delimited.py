"""Lines of numbers with commas, semicolons, tabs or spaces between them, with or without a header line: what most sketches print.

Where a header names columns and units, they are taken from it; otherwise they have to be told. There is no check sum: a line counts when it has
as many fields as the others and the needed ones are numbers. The first line that is heard may have lost its beginning, and is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aura_edge.errors import InputError, UnitsError
from aura_edge.sources.columns import NO_TIME, Columns, find_columns, recognise, settle_units
from aura_edge.sources.formats import RecordingFormat
from aura_edge.sources.layout import is_number, split_line
from aura_edge.sources.serial.parsers.books import LONGEST_LINE, Found, Lines, numbers, to_sample
from aura_edge.sources.timeline import exact_ns, plausible_rates_hz
from aura_edge.sources.units import Unit, Units, parse_units
from aura_edge.types import CHANNELS

_DELIMITERS = (";", "\t", ",", " ")
_NAMES = {";": "semicolons", "\t": "tabs", ",": "commas", " ": "spaces"}
_HERE = Path("stream")
_LOOKED_AT = 200
"""Lines that are looked at for the layout."""
_WRAP = 1 << 32
"""`micros()` and `millis()` of small boards start again after so many."""


@dataclass(frozen=True, slots=True)
class Table:
    """All that is needed to read the lines."""

    delimiter: str
    """A space stands for any white space."""
    decimal_comma: bool
    fields: int
    columns: Columns
    units: Units
    header: str | None
    """The line that names the columns, where there is one."""
    clock_wraps: bool
    """Whether the time looks like a 32-bit count of micro- or milliseconds."""
    notes: tuple[str, ...]

    def split(self, line: str) -> list[str]:
        """The fields of a line; blank ones at its end do not count."""
        return _split(line.replace(",", ".") if self.decimal_comma else line, self.delimiter)


class Delimited(Lines):
    """What a board prints, as a `Table` says."""

    name = "csv"

    def __init__(self, table: Table) -> None:
        super().__init__()
        self._table = table
        self.units = str(table.units)
        timed = f", time in {table.units.time.name}" if table.columns.time is not None and table.units.time else ""
        named = "named by a header" if table.header else "without a header"
        self.description = f"lines of {table.fields} numbers between {_NAMES[table.delimiter]}, {named}{timed}"
        self.notes = table.notes
        if table.clock_wraps and table.units.time:
            self.clock_wrap_ns = int(_WRAP * table.units.time.factor)
        self._first = True

    def cut(self) -> None:
        super().cut()
        self._first = True

    def _skipped(self) -> None:
        self._first = False

    def _read(self, line: bytes, size: int) -> Found | None:
        text = line.decode(errors="replace").strip()
        first, self._first = self._first, False
        if not text:
            self.other["blank"] += size
        elif text == self._table.header:
            self.other["header"] += size
        elif text.startswith("#"):
            self.other["comment"] += size
        elif first:
            self.discarded["partial"] += size
        else:
            return self._row(self._table.split(text), size)
        return None

    def _row(self, fields: list[str], size: int) -> Found | None:
        table = self._table
        if len(fields) != table.fields:
            self.discarded["fields" if any(map(is_number, fields)) else "text"] += size
            return None
        values = numbers([fields[place] for place in table.columns.channels])
        if values is None:
            self.discarded["number"] += size
            return None
        sample = to_sample(values, table.units)
        if table.columns.time is None or table.units.time is None:
            return None, sample
        t_ns = _time_ns(fields[table.columns.time], table.units.time)
        if t_ns is None:
            self.discarded["time"] += size
            return None
        return t_ns, sample


def find_table(data: bytes, *, units: str | None, columns: Mapping[str, str | int], rate_hz: float | None) -> Table:
    """How the lines in `data` are laid out. Raises `UnitsError` or `InputError` naming the flag for what they do not say."""
    texts = [line[:LONGEST_LINE].decode(errors="replace").strip() for line in data.split(b"\n")[:-1]]
    lines = [text for text in texts if text][:_LOOKED_AT]
    delimiter = max(_DELIMITERS, key=lambda delimiter: sum(_numbers(line, delimiter) for line in lines))
    # The first line may have lost its beginning.
    rows = [_split(line, delimiter) for line in lines[1:] if _is_row(line, delimiter)]
    counts = Counter(map(len, rows))
    if not counts:
        raise InputError(
            "stream: no lines of numbers in it; expected six numbers a line, at least. Check what the board prints, and its rate (--baud)."
        )
    fields = counts.most_common(1)[0][0]
    rows = [row for row in rows if len(row) == fields]
    found, header = _columns(lines, rows[0], delimiter, columns, rate_hz)
    times = [row[found.time] for row in rows] if found.time is not None else []
    settled, notes = _units(found.units, units, times)
    decimal_comma = delimiter != "," and any("," in field for row in rows for field in row)
    return Table(
        delimiter,
        decimal_comma,
        fields,
        found,
        settled,
        header,
        clock_wraps=_may_wrap(times, settled.time),
        notes=(*found.notes, *notes),
    )


def _columns(
    lines: Sequence[str], row: Sequence[str], delimiter: str, told: Mapping[str, str | int], rate_hz: float | None
) -> tuple[Columns, str | None]:
    """The columns, and the line that names them; `row` is one of numbers."""
    fields = len(row)
    refused: InputError | None = None
    for line in lines:
        names = _split(line, delimiter)
        if len(names) == fields and not any(map(is_number, names)):
            try:
                return _find(names, told, rate_hz), line
            except InputError as error:
                refused = refused or error
    if refused and not told:
        raise refused
    if fields < len(CHANNELS):
        raise InputError(
            f"stream: lines of {fields} numbers. The models need an accelerometer and a gyroscope with three axes each, six numbers a line at least. "
            "Send all of them."
        )
    if not told:
        first = fields > len(CHANNELS)
        what = f"{fields} {'numbers' if all(map(is_number, row)) else f'fields ({row[0][:20]!r} first), some of them text,'}"
        example = ",".join([f"{name}={place + first}" for place, name in enumerate(CHANNELS)] + ["t=0"] * first)
        raise InputError(
            f"stream: lines of {what} without a header that names them. Say where each is, counted from 0, and the units, as in "
            f'--columns {example} --units "m/s2,rad/s{",ms" * first}"; or reset the board while this listens, if it prints a header at its start.'
        )
    return _find([str(place) for place in range(fields)], told, rate_hz), None


def _find(names: Sequence[str], told: Mapping[str, str | int], rate_hz: float | None) -> Columns:
    """Places among `names`; a time is taken where there is one, and not missed where there is none: arrival stands in for it."""
    timed = told.get("t", NO_TIME) != NO_TIME or ("t" not in told and any(recognise(name)[0] == "t" for name in names))
    form = RecordingFormat(columns=told, rate_hz=None if timed else rate_hz or 1.0)
    return find_columns(_HERE, [name.strip() for name in names], form)


def _units(stated: Units, told: str | None, times: Sequence[str]) -> tuple[Units, tuple[str, ...]]:
    """Those told, else those stated. Raises `UnitsError` naming the flag when one is known from neither."""
    known = parse_units(told) if told is not None else Units()
    usual = {
        "acceleration": known.acceleration or stated.acceleration,
        "angular rate": known.angular_rate or stated.angular_rate,
    }
    if times:
        usual["time"] = known.time or stated.time
    missing = [kind for kind, unit in usual.items() if unit is None]
    if missing:
        plausible = plausible_rates_hz(times) if "time" in missing else {}
        example = {"acceleration": "m/s2", "angular rate": "rad/s", "time": next(iter(plausible), "ms")}
        shown = ",".join(unit.name if unit else example[kind] for kind, unit in usual.items())
        more = "".join(f" In {name} its timestamps would say {rate:.4g} Hz." for name, rate in plausible.items())
        raise UnitsError(
            f"stream: the unit of {' and of '.join(missing)} is not said in it, and a guess would be wrong one day. "
            f'Say the units, as in --units "{shown}".{more}'
        )
    return settle_units(_HERE, RecordingFormat(units=told), stated, timed=bool(times))


def _may_wrap(times: Sequence[str], unit: Unit | None) -> bool:
    """Whether these look like a 32-bit count of microseconds or milliseconds."""
    return (
        unit is not None
        and unit.name in ("us", "ms")
        and bool(times)
        and all(text.isascii() and text.isdecimal() and len(text) < 20 and int(text) < _WRAP for text in times)
    )


def _time_ns(text: str, unit: Unit) -> int | None:
    """A written time; None where it is none, or does not fit."""
    if len(text) < 10 and text.isdecimal() and text.isascii() and unit.factor.denominator == 1:
        return int(text) * unit.factor.numerator
    t_ns, readable = exact_ns([text], unit)
    return int(t_ns[0]) if readable[0] else None


def _split(line: str, delimiter: str) -> list[str]:
    fields = [field.strip() for field in split_line(line, delimiter)]
    while fields and not fields[-1]:
        fields.pop()
    return fields


def _numbers(line: str, delimiter: str) -> int:
    return 0 if line.startswith("#") else sum(map(is_number, split_line(line, delimiter)))


def _is_row(line: str, delimiter: str) -> bool:
    """Whether most of the fields of a line are numbers, and two at least."""
    count = _numbers(line, delimiter)
    return count >= 2 and 2 * count > len(_split(line, delimiter))
