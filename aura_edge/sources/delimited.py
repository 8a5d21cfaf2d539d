"""Text recordings: CSV and its relatives, read in blocks, where a damaged row costs that row and nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import InputError
from aura_edge.sources.clock import sampling_times
from aura_edge.sources.columns import settle_units
from aura_edge.sources.files import reading
from aura_edge.sources.formats import Block, RecordingFormat
from aura_edge.sources.layout import find_layout, is_number
from aura_edge.sources.timeline import (
    HEAD_ROWS,
    carry_over,
    counted_ns,
    exact_ns,
    plausible_rates_hz,
    rate_of_head,
    settle_rate,
)
from aura_edge.sources.units import to_si
from aura_edge.types import SourceInfo


class DelimitedRecording:
    """A text file with one sample a line.

    Every line after the header that is neither blank nor a comment (`#`) is a row. A row with missing, surplus or unreadable fields gives a
    sample that is not a number, and so does one without a readable time, which gets the time of the row before.
    """

    def __init__(self, path: Path, form: RecordingFormat) -> None:
        self._path = path
        self._layout = find_layout(path, form)
        self._columns = self._layout.columns
        self._rate_hz = form.rate_hz or math.nan
        head = next(self._lines(), None)
        if head is None:
            raise InputError(f"{path}: a header, but no row of data below it. Record it again.")
        times = self._texts(head, self._columns.time)
        if times and not any(map(is_number, times)):
            raise InputError(
                f"{path}: none of the first {len(times)} timestamps is a number (they begin with {times[0]!r}), and dates are not read. "
                "Choose another column (--columns t=NAME), or count samples at a known rate: --columns t=none --rate-hz HZ."
            )
        self._units, unit_notes = settle_units(
            path, form, self._columns.units, timed=bool(times), rates_hz=lambda: plausible_rates_hz(times)
        )
        t_ns, readable, samples = self._convert(head, 0)
        shown_hz = rate_of_head(path, t_ns, readable, samples)
        self._taken_ns: NDArray[np.int64] | None = None
        if form.arrival_times and self._columns.time is not None:
            self._taken_ns = sampling_times(np.concatenate([block.t_ns for block in self.blocks()]), shown_hz)
            shown_hz = rate_of_head(path, self._taken_ns[: len(head)], np.ones(len(head), np.bool_), samples)
        self._rate_hz, rate_notes = settle_rate(path, shown_hz, form.rate_hz)
        notes = (*self._columns.notes, *unit_notes, *rate_notes)
        self.info = SourceInfo(name=str(path), rate_hz=self._rate_hz, units=str(self._units), notes=notes)

    def blocks(self, *, labels: bool = False) -> Iterator[Block]:
        """All rows, some thousands at a time."""
        row, before_ns = 0, None
        for lines in self._lines():
            t_ns, readable, samples = self._convert(lines, row)
            t_ns = carry_over(t_ns, readable, before_ns)
            samples[~readable] = np.nan
            before_ns = int(t_ns[-1])
            if self._taken_ns is not None:
                t_ns = self._taken_ns[row : row + len(lines)]
            row += len(lines)
            named = (
                np.array(self._texts(lines, self._columns.label))
                if labels and self._columns.label is not None
                else None
            )
            yield Block(t_ns, samples, named)

    def _lines(self) -> Iterator[list[str]]:
        """Rows as text, `HEAD_ROWS` at a time."""
        with reading(self._path), self._path.open(encoding=self._layout.encoding, errors="replace") as file:
            rows = (
                line for line in islice(file, self._layout.skipped, None) if line.strip() and line.lstrip()[0] != "#"
            )
            while lines := list(islice(rows, HEAD_ROWS)):
                yield lines

    def _convert(self, lines: list[str], row: int) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.float32]]:
        """Times (n,), which of them could be read (n,), and samples (n, 6) in SI units; `row` is the number of the first."""
        texts, values = self._fast(lines) or self._patient(lines)
        samples = to_si(values, self._units)
        if self._columns.time is None or self._units.time is None:
            return counted_ns(row, len(lines), self._rate_hz), np.ones(len(lines), np.bool_), samples
        return *exact_ns(texts, self._units.time), samples

    def _fast(self, lines: list[str]) -> tuple[list[str], NDArray[np.float64]] | None:
        """Times as text and readings (n, 6), by numpy's parser (a quarter of the time); None when any row is not as it should be."""
        layout, time = self._layout, self._columns.time
        white = layout.delimiter == " "
        if layout.decimal_comma:
            lines = [line.replace(",", ".") for line in lines]
        for line in lines:
            if (len(line.split()) - 1 if white else line.count(layout.delimiter)) != layout.delimiters or '"' in line:
                return None
        if layout.delimiters + 1 != layout.fields and not all(
            not field.strip() for line in lines for field in layout.split(line)[layout.fields :]
        ):
            return None
        delimiter = None if white else layout.delimiter
        try:
            values = np.loadtxt(lines, delimiter=delimiter, usecols=self._columns.channels, comments=None, ndmin=2)
        except ValueError:
            return None
        return ([] if time is None else [line.split(delimiter, time + 1)[time] for line in lines]), values

    def _patient(self, lines: list[str]) -> tuple[list[str], NDArray[np.float64]]:
        """The same, row by row, with whatever damage."""
        layout, time = self._layout, self._columns.time
        texts, values = [], np.full((len(lines), 6), np.nan)
        for row, line in enumerate(lines):
            fields = layout.split(line)
            short = len(fields) < layout.fields
            # The last field of a row that was cut may have lost digits.
            whole = fields[:-1] if short else fields
            if not short and not any(field.strip() for field in fields[layout.fields :]):
                values[row] = [_number(fields[place]) for place in self._columns.channels]
            if time is not None:
                texts.append(whole[time] if time < len(whole) else "")
        return texts, values

    def _texts(self, lines: list[str], place: int | None) -> list[str]:
        """One column as text; empty where a row has no such field."""
        rows = [self._layout.split(line) for line in lines]
        return [] if place is None else [fields[place].strip() if place < len(fields) else "" for fields in rows]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
