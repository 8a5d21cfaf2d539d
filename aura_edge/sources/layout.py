"""How a text recording is laid out: its encoding, delimiter, header and columns, found out from its first lines."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aura_edge.errors import InputError
from aura_edge.sources.columns import Columns, find_columns
from aura_edge.sources.files import open_binary, reading
from aura_edge.sources.formats import RecordingFormat

HEAD_BYTES = 1 << 16
HEAD_LINES = 100
"""The header and the first row of numbers are looked for in so many lines."""
_PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"\xfd7zXZ", b"7z\xbc\xaf", b"\x28\xb5\x2f\xfd", b"BZh91AY")
"""How gzip, zip, xz, 7z, zstd and bzip2 files begin."""
_DELIMITERS = (";", "\t", "|", ",", " ")


@dataclass(frozen=True, slots=True)
class Layout:
    """All that is needed to read the rows of a text file."""

    encoding: str
    delimiter: str
    """A space stands for any white space."""
    decimal_comma: bool
    skipped: int
    """Lines before the first that may be a row."""
    fields: int
    """How many fields a whole row has; blank ones after them do not count."""
    delimiters: int
    """How many delimiters most rows have."""
    columns: Columns

    def split(self, line: str) -> list[str]:
        """The fields of one line. A quote never reaches into the next line: one stray quote must not swallow the rest of a file."""
        if self.decimal_comma:
            line = line.replace(",", ".")
        return split_line(line, self.delimiter)


def split_line(line: str, delimiter: str) -> list[str]:
    """The fields of one line."""
    if delimiter == " ":
        return line.split()
    line = line.rstrip("\r\n")
    if '"' in line:
        with suppress(csv.Error):
            return next(csv.reader([line], delimiter=delimiter))
    return line.split(delimiter)


def is_number(text: str) -> bool:
    """Whether a field holds a number, written with a point or a comma."""
    try:
        float(text.replace(",", ".", 1))
    except ValueError:
        return False
    return True


def find_layout(path: Path, form: RecordingFormat) -> Layout:
    """Look at the beginning of a text file. Raises `InputError` when it holds no table, or not the columns that are needed."""
    encoding, lines = _head(path)
    delimiter = form.delimiter or _find_delimiter(lines)
    rows = [_is_row(line, delimiter) for line in lines]
    first = rows.index(True) if any(rows) else len(lines)
    counts = Counter(len(split_line(line, delimiter)) for line, row in zip(lines, rows, strict=True) if row)
    usual = counts.most_common(1)[0][0] if counts else 0
    skipped, columns = _header(path, form, lines, first, delimiter, usual)
    usual = usual or len(columns.names)
    decimal_comma = delimiter != "," and any(
        is_number(field) and "," in field
        for line, row in zip(lines, rows, strict=True)
        if row
        for field in split_line(line, delimiter)
    )
    needed = 1 + max(*columns.channels, columns.time or 0)
    fields = max(needed, min(usual, len(columns.names)))
    return Layout(encoding, delimiter, decimal_comma, skipped, fields, usual - 1, columns)


def _find_delimiter(lines: list[str]) -> str:
    """The one that cuts the first lines into most numbers; where there are none, the first that could divide a header."""
    numbers = {delimiter: sum(_numbers(line, delimiter) for line in lines) for delimiter in _DELIMITERS}
    if not any(numbers.values()):
        return next((d for d in _DELIMITERS if any(line.count(d) > 4 for line in lines)), ",")
    return max(_DELIMITERS, key=lambda delimiter: numbers[delimiter])


def _head(path: Path) -> tuple[str, list[str]]:
    """Encoding, and the first lines."""
    with open_binary(path) as file, reading(path):
        head = file.read(HEAD_BYTES)
        whole = not file.peek(1)
    if head.startswith(_PACKED):
        raise InputError(f"{path}: a packed file, expected text. Unpack it first.")
    encoding = "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head, final=whole)
    except UnicodeDecodeError:
        encoding = "latin-1"
        text = head.decode(encoding)
    lines = list(io.StringIO(text, newline=None))
    if not whole:
        lines = lines[:-1]
    odd = sum(text.count(letter) for letter in map(chr, range(32)) if letter not in "\t\n\r\f")
    if 10 * odd > len(text) or not lines:
        raise InputError(
            f"{path}: binary data, not text. Expected CSV, or a name in .npz, .parquet or .mat; Project Aria recordings are played with --vrs."
        )
    return encoding, lines[:HEAD_LINES]


def _numbers(line: str, delimiter: str) -> int:
    return 0 if line.lstrip().startswith("#") else sum(map(is_number, split_line(line, delimiter)))


def _is_row(line: str, delimiter: str) -> bool:
    """Whether most of the fields of a line are numbers, and two at least."""
    numbers = _numbers(line, delimiter)
    return numbers >= 2 and 2 * numbers > sum(bool(field.strip()) for field in split_line(line, delimiter))


def _header(
    path: Path, form: RecordingFormat, lines: list[str], first: int, delimiter: str, usual: int
) -> tuple[int, Columns]:
    """How many lines to skip, and the columns: named by the nearest line above the first row that names them, or numbered."""
    refused: InputError | None = None
    for number in reversed(range(first)):
        names = split_line(lines[number], delimiter)
        while names and not names[-1].strip():
            names.pop()
        if len(names) > 1:
            try:
                return number + 1, find_columns(path, [name.strip() for name in names], form)
            except InputError as error:
                refused = refused or error
    if first == len(lines):
        raise InputError(
            f"{path}: no rows of numbers in its first {len(lines)} lines: this is no CSV file. Expected a header that names the columns and "
            "one sample a line, its fields divided by commas, semicolons, tabs or spaces."
        )
    names = list(form.headerless) or [str(place) for place in range(usual)]
    try:
        columns = find_columns(path, names, form)
    except InputError:
        if refused:
            raise refused from None
        raise InputError(
            f"{path}: no header line that names its columns. Say where each is, counted from 0: "
            "--columns acc_x=1,acc_y=2,acc_z=3,gyro_x=4,gyro_y=5,gyro_z=6,t=0"
        ) from None
    # A damaged first row is a row nevertheless: only words are skipped.
    return next(number for number in range(first + 1) if _numbers(lines[number], delimiter)), columns
