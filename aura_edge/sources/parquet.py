"""Recordings in Parquet: columns by name as in CSV, read a batch at a time; recordings of many trials are taken apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import InputError, require
from aura_edge.sources.columns import find_columns, settle_units
from aura_edge.sources.files import open_binary
from aura_edge.sources.formats import Block, RecordingFormat
from aura_edge.sources.timeline import (
    HEAD_ROWS,
    carry_over,
    counted_ns,
    plausible_rates_hz,
    rate_of_head,
    scaled_ns,
    settle_rate,
)
from aura_edge.sources.units import Units, parse_unit, to_si
from aura_edge.types import NS_PER_S, SourceInfo

BATCH_ROWS = 4 * HEAD_ROWS
SEGMENT_GAP_NS = NS_PER_S
"""Time put between two trials that have no times of their own: far more than any gap that is bridged, so no window spans two of them."""


class ParquetRecording:
    """A Parquet file with one sample a row. A row with a null among its readings or its time gives a sample that is not a number."""

    def __init__(self, path: Path, form: RecordingFormat) -> None:
        self._path = path
        open_binary(path).close()  # a file that is not there needs no package
        self._arrow, self._parquet = require("pyarrow", extra="parquet"), require("pyarrow.parquet", extra="parquet")
        with self._open() as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
        if not rows:
            raise InputError(f"{path}: columns, but no row in it. Record it again.")
        columns = find_columns(path, schema.names, form)
        self._channels = [schema.names[place] for place in columns.channels]
        self._time = None if columns.time is None else schema.names[columns.time]
        self._label = None if columns.label is None else schema.names[columns.label]
        self._segments = [name for name in form.segments if name in schema.names]
        stated = self._check_types(schema, columns.units)
        head = next(self._batches(HEAD_ROWS))
        self._units, unit_notes = settle_units(
            path,
            form,
            stated,
            timed=self._time is not None,
            rates_hz=lambda: plausible_rates_hz(list(map(str, head.column(self._time).to_pylist()))),
        )
        self._rate_hz = form.rate_hz or 0.0
        every = slice(0, head.num_rows)
        shown_hz = rate_of_head(path, *self._times(head, every, 0, 0), self._samples(head, every))
        self._rate_hz, rate_notes = settle_rate(path, shown_hz, form.rate_hz)
        notes = (*columns.notes, *unit_notes, *rate_notes)
        self.info = SourceInfo(name=str(path), rate_hz=self._rate_hz, units=str(self._units), notes=notes)

    def blocks(self, *, labels: bool = False) -> Iterator[Block]:
        """All rows, some thousands at a time; no block spans two trials."""
        origin_ns, row, before_ns, current = 0, 0, None, None
        for batch in self._batches(BATCH_ROWS):
            for rows, segment in self._runs(batch):
                if current is not None and segment != current:
                    origin_ns += int(counted_ns(row - 1, 1, self._rate_hz)[0]) + SEGMENT_GAP_NS
                    row = 0
                t_ns, readable = self._times(batch, rows, row, origin_ns)
                t_ns, samples = carry_over(t_ns, readable, before_ns), self._samples(batch, rows)
                samples[~readable] = np.nan
                row, before_ns, current = row + len(t_ns), int(t_ns[-1]), segment
                yield Block(t_ns, samples, self._labels(batch, rows) if labels else None, segment)

    @contextmanager
    def _open(self) -> Iterator[Any]:
        with open_binary(self._path) as file:
            try:
                yield self._parquet.ParquetFile(file)
            except (self._arrow.ArrowException, OSError) as error:
                raise InputError(
                    f"{self._path}: not a readable Parquet file ({error}). Copy or write it again."
                ) from error

    def _batches(self, rows: int) -> Iterator[Any]:
        wanted = [*self._channels, *self._segments, *(name for name in (self._time, self._label) if name)]
        with self._open() as file:
            yield from file.iter_batches(batch_size=rows, columns=list(dict.fromkeys(wanted)), use_threads=False)

    def _check_types(self, schema: Any, stated: Units) -> Units:
        """Readings must be numbers; a time may be a timestamp, whose type states its unit."""
        types = self._arrow.types
        for name in (*self._channels, *([self._time] if self._time else [])):
            kind = schema.field(name).type
            if name == self._time and types.is_timestamp(kind):
                stated = stated.set(parse_unit(kind.unit))
            elif not (types.is_integer(kind) or types.is_floating(kind)):
                raise InputError(
                    f"{self._path}: column {name} holds {kind}, expected numbers. Choose another with --columns."
                    + (
                        " Or count samples at a known rate: --columns t=none --rate-hz HZ."
                        if name == self._time
                        else ""
                    )
                )
        return stated

    def _runs(self, batch: Any) -> Iterator[tuple[slice, tuple[str, ...]]]:
        """Rows of one trial each, and its name."""
        changes = np.zeros(batch.num_rows, np.bool_)
        changes[0] = True
        for name in self._segments:
            codes = batch.column(name).dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)
            changes[1:] |= codes[1:] != codes[:-1]
        starts = np.flatnonzero(changes).tolist()
        for start, stop in zip(starts, [*starts[1:], batch.num_rows], strict=True):
            yield slice(start, stop), tuple(str(batch.column(name)[start].as_py()) for name in self._segments)

    def _times(self, batch: Any, rows: slice, row: int, origin_ns: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        count = rows.stop - rows.start
        if self._time is None or self._units.time is None:
            return origin_ns + counted_ns(row, count, self._rate_hz), np.ones(count, np.bool_)
        column = batch.column(self._time)[rows]
        there = column.is_valid().to_numpy(zero_copy_only=False)
        if self._arrow.types.is_timestamp(column.type):
            column = column.cast(self._arrow.int64())
        t_ns, fits = scaled_ns(column.fill_null(0).to_numpy(zero_copy_only=False), self._units.time)
        return t_ns, fits & there

    def _samples(self, batch: Any, rows: slice) -> NDArray[np.float32]:
        readings = [batch.column(name)[rows].to_numpy(zero_copy_only=False) for name in self._channels]
        return to_si(np.stack(readings, axis=1), self._units)

    def _labels(self, batch: Any, rows: slice) -> NDArray[np.str_] | None:
        if self._label is None:
            return None
        coded = batch.column(self._label)[rows].dictionary_encode()
        names = np.array([*(str(name) for name in coded.dictionary.to_pylist()), ""])  # a null is the last one
        labels: NDArray[np.str_] = names[coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
        return labels
