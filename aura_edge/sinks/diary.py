"""A diary: predictions and events kept in a DuckDB file, a session for each run; see `aura_edge.diary.schema` for what is in it.

Rows are written together every few seconds, in one transaction each time: a process that is killed loses what came since the last one, and
the file opens again as it was then. Committing takes milliseconds; no thread of its own is needed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aura_edge.diary.clock import DayClock, Share, time_zone, utc_offset_s
from aura_edge.diary.schema import KIND, TABLES, VIEWS, reason_of, stated_kind
from aura_edge.errors import SinkError, require
from aura_edge.types import Event, Prediction, Summary

COMMIT_S = 5.0
"""Rows wait no longer than this for the next item of the stream that brings them to disk."""
COMMIT_ROWS = 512
"""... and no more of them than this wait."""

_PREDICTION = (
    "INTEGER, INTEGER, BIGINT, BIGINT, BIGINT, BIGINT, BIGINT, BIGINT, INTEGER, VARCHAR, VARCHAR, DOUBLE, VARCHAR[], "
    "DOUBLE[], DOUBLE, DOUBLE, VARCHAR, VARCHAR"
)
_EVENT = "INTEGER, VARCHAR, VARCHAR, VARCHAR, BIGINT, BIGINT, BIGINT, INTEGER, DOUBLE, DOUBLE"


class DiarySink:
    """Adds one session to the diary `target`, which is made where there is none."""

    def __init__(
        self,
        target: str | os.PathLike[str],
        *,
        source: str = "",
        clock_s: Callable[[], float] = time.monotonic,
        host_clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`source` is what the session is called. Raises `SinkError` where the file is something else, taken, or cannot be written."""
        self._name = os.fspath(target)
        self._source = source.encode(errors="replace").decode()  # the name of a file may be no text
        self._clock_s, self._host_clock_ns = clock_s, host_clock_ns
        self._began_ns = host_clock_ns()
        self._duckdb = require("duckdb", extra="diary")
        self._connection: Any = None
        try:
            self._connection = self._duckdb.connect(self._name, config={"threads": "1"})
            self._session = self._prepare()
        except self._duckdb.Error as error:
            self._release()
            raise self._failure("cannot be opened", error) from error
        except SinkError:
            self._release()
            raise
        self._day = DayClock()
        self._number = 0
        self._undated: list[Event] = []  # their host time is known with the prediction that follows
        self._predictions: list[tuple[Any, ...]] = []
        self._events: list[tuple[Any, ...]] = []
        self._waiting_since_s: float | None = None
        self._models = ("", "")
        self._begun = False

    def emit(self, item: Prediction | Event | Summary) -> None:
        """Take one item; commit when those that wait have waited long enough. Raises `SinkError` where that fails."""
        if self._connection is None:
            raise SinkError(f"{self._name}: written to after it was closed. Open the sink again.")
        if isinstance(item, Event):
            self._undated.append(item)
            return
        if isinstance(item, Prediction):
            self._take(item)
            now_s = self._clock_s()
            if self._waiting_since_s is None:
                self._waiting_since_s = now_s
            if now_s - self._waiting_since_s >= COMMIT_S or len(self._predictions) >= COMMIT_ROWS:
                self._commit()
            return
        self._commit(ending=item)

    def close(self) -> None:
        """Commit what waits and close the file."""
        if self._connection is None:
            return
        try:
            if self._predictions or self._undated:
                self._commit()
            self._connection.close()
            self._connection = None
        except self._duckdb.Error as error:
            raise self._failure("cannot be completed", error) from error
        finally:
            self._release()

    def _prepare(self) -> int:
        """Make the tables of a new file, or see that they are ours; the number of this session."""
        connection = self._connection
        if not connection.execute("SELECT count(*) FROM duckdb_tables()").fetchone()[0]:
            connection.execute(f"BEGIN; {TABLES} {VIEWS} COMMIT;")
            return 1
        if (found := stated_kind(connection)) != KIND:
            raise SinkError(f"{self._name}: holds {found}; expected {KIND}. Choose another file.")
        (last,) = connection.execute("SELECT coalesce(max(session), 0) FROM session").fetchone()
        return int(last) + 1

    def _take(self, prediction: Prediction) -> None:
        before = self._day.last
        share = self._day.place(prediction)
        for event in self._undated:
            # What ended before a pause ended when the stretch before it did.
            self._keep(event, before if event.kind == "end" and before and not share.continues else share)
        self._undated.clear()
        row = (
            self._session,
            self._number,
            share.from_ns,
            prediction.t0_ns,
            prediction.t1_ns,
            prediction.host_ns,
            prediction.host_t1_ns,
            share.clock_ns,
            utc_offset_s(share.clock_ns),
            prediction.label,
            prediction.state,
            float(prediction.score),
            [label for label, _ in prediction.top],
            [float(score) for _, score in prediction.top],
            float(prediction.interpolated),
            float(prediction.clipped),
            prediction.model,
            prediction.prototypes,
        )
        if self._number == 0:
            self._models = prediction.model, prediction.prototypes
        self._predictions.append(row)
        self._number += 1

    def _keep(self, event: Event, share: Share) -> None:
        clock_ns = share.clock_at(event.t_ns)
        row = (self._session, event.kind, event.label, event.state, event.t_ns, event.host_ns, clock_ns)
        self._events.append((*row, utc_offset_s(clock_ns), float(event.score), event.duration_s))

    def _commit(self, ending: Summary | None = None) -> None:
        """All that waits, in one transaction: a reader finds all of it or nothing. A run without one window leaves no session."""
        if self._day.last is None:
            return
        for event in self._undated:
            self._keep(event, self._day.last)
        self._undated.clear()
        execute = self._connection.execute
        try:
            execute("BEGIN")
            if not self._begun:
                zone = (utc_offset_s(self._began_ns), time_zone(self._began_ns))
                session = (self._session, self._source, *self._models, self._began_ns, *zone)
                execute("INSERT INTO session VALUES (?, ?, ?, ?, ?, ?, ?)", session)
            for table, types, rows in (("prediction", _PREDICTION, self._predictions), ("event", _EVENT, self._events)):
                if rows:
                    columns = ", ".join(f"unnest(?::{kind}[])" for kind in types.split(", "))
                    execute(
                        f"INSERT INTO {table} SELECT {columns}", [list(column) for column in zip(*rows, strict=True)]
                    )
            if ending is not None:
                said = (ending.engine, ending.interrupted, ending.windows_skipped, ending.lost, list(ending.notes))
                execute(
                    "INSERT INTO ending VALUES (?, ?, ?, ?, ?, ?, ?)", (self._session, self._host_clock_ns(), *said)
                )
            execute("COMMIT")
        except self._duckdb.Error as error:
            self._release()
            raise self._failure("cannot be written", error) from error
        self._begun = True
        self._predictions.clear()
        self._events.clear()
        self._waiting_since_s = None

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(self._duckdb.Error):  # the failure that led here is the one that is told
                connection.close()

    def _failure(self, what: str, error: Exception) -> SinkError:
        return SinkError(f"{self._name}: {what}: {reason_of(error)}")
