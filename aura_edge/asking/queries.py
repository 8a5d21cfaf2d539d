"""Queries that are run for a language model: read-only, of limited size and time, every row with a name by which it can be cited."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import msgspec

from aura_edge.asking.permitted import NotPermittedError, require_permitted
from aura_edge.diary.reading import reading
from aura_edge.errors import require

MOST_ROWS = 50
MOST_COLUMNS = 20
LONGEST_CELL = 200
LONGEST_RESULT = 10_000
"""Characters in all cells of a result, about."""
TIME_LIMIT_S = 5.0
MEMORY_LIMIT = "512MB"
MEMORY_ABOVE_BYTES = 1 << 30

_SPOKEN = """
CREATE TEMP MACRO spoken(s) AS CASE
    WHEN s < 60 THEN printf('%.1f s', s::DOUBLE)
    WHEN round(s) < 3600 THEN printf('%d min %02d s', round(s)::BIGINT // 60, round(s)::BIGINT % 60)
    ELSE printf('%d h %02d min', round(s / 60)::BIGINT // 60, round(s / 60)::BIGINT % 60)
END
"""

Cell = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Answered:
    """One query and what the database gave for it."""

    name: str
    """`q1`; its rows are `q1.1`, `q1.2`, ..."""
    sql: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()
    more: bool = False
    """Whether there were more rows than are given."""
    error: str | None = None
    """Why there is no result."""

    def told(self) -> str:
        """The result as JSON, for the model."""
        if self.error is not None:
            return msgspec.json.encode({"query": self.name, "error": self.error}).decode()
        rows = [{"row": f"{self.name}.{i}", "values": row} for i, row in enumerate(self.rows, 1)]
        note = {"note": f"only the first {len(rows)} rows; aggregate, or select fewer"} if self.more else {}
        return msgspec.json.encode({"query": self.name, "columns": self.columns, "rows": rows, **note}).decode()


class Queries:
    """Runs queries on one diary, and keeps what came back."""

    def __init__(self, connection: Any, *, time_limit_s: float = TIME_LIMIT_S) -> None:
        self._connection, self._time_limit_s = connection, time_limit_s
        self._errors = require("duckdb", extra="ask").Error
        self.answered: list[Answered] = []
        self.names = frozenset(
            str(name)
            for (name,) in connection.execute(
                "SELECT label FROM prediction UNION SELECT source FROM session UNION SELECT unnest(top_labels) FROM prediction"
            ).fetchall()
        )
        """Labels and sources: text of others, whose figures measure nothing."""

    def columns(self, view: str) -> list[str]:
        """Columns of a view, each with its type."""
        rows = self._connection.execute(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index", [view]
        ).fetchall()
        return [f"{name} {kind}" for name, kind in rows]

    def run(self, sql: str) -> Answered:
        """Run one query, or say why not: whoever asked may ask better."""
        name = f"q{len(self.answered) + 1}"
        try:
            result = self._run(name, sql)
        except (NotPermittedError, self._errors) as error:
            result = Answered(name, sql, error=" ".join(str(error).split())[: 2 * LONGEST_CELL])
        self.answered.append(result)
        return result

    def _run(self, name: str, sql: str) -> Answered:
        require_permitted(self._connection, sql)
        over_time = threading.Event()

        def interrupt() -> None:
            over_time.set()
            self._connection.interrupt()

        timer = threading.Timer(self._time_limit_s, interrupt)
        timer.start()
        try:
            with _memory_ceiling():
                return self._fetched(name, sql)
        except self._errors as error:
            if over_time.is_set():
                raise NotPermittedError(f"took longer than {self._time_limit_s:g} s; ask for less.") from error
            raise
        except MemoryError as error:
            raise NotPermittedError(f"needs more than {MEMORY_LIMIT}; ask for less.") from error
        finally:
            timer.cancel()
            timer.join()

    def _fetched(self, name: str, sql: str) -> Answered:
        cursor = self._connection.execute(sql)
        columns = tuple(str(column[0]) for column in cursor.description)
        if len(columns) > MOST_COLUMNS:
            raise NotPermittedError(f"{len(columns)} columns; at most {MOST_COLUMNS} are given.")
        found = cursor.fetchmany(MOST_ROWS + 1)
        rows: list[tuple[Cell, ...]] = []
        left = LONGEST_RESULT
        for row in found[:MOST_ROWS]:
            rows.append(tuple(_plain(cell) for cell in row))
            left -= sum(len(str(cell)) for cell in rows[-1])
            if left < 0:
                break
        return Answered(name, sql, columns, tuple(rows), more=len(found) > len(rows))


@contextmanager
def _memory_ceiling() -> Iterator[None]:
    """On Linux, hold the process to a gigabyte more than it has: DuckDB's own limit does not see the texts that a query builds."""
    if not sys.platform.startswith("linux"):
        yield
        return
    import resource

    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    ceiling = now + MEMORY_ABOVE_BYTES
    if before[0] != resource.RLIM_INFINITY:
        ceiling = min(ceiling, before[0])
    resource.setrlimit(resource.RLIMIT_AS, (ceiling, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def queries(diary: str | os.PathLike[str], *, time_limit_s: float = TIME_LIMIT_S) -> Iterator[Queries]:
    """Queries on the diary at `diary`. Raises what `diary.reading.reading` raises."""
    with reading(diary) as connection:
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        connection.execute(_SPOKEN)
        connection.execute("SET lock_configuration = true")
        yield Queries(connection, time_limit_s=time_limit_s)


def _plain(cell: Any) -> Cell:
    """A value as JSON has it; times as people write them."""
    if cell is None or isinstance(cell, bool | float):
        return cell
    if isinstance(cell, int):
        return cell if abs(cell) < 1 << 63 else float(cell)
    if isinstance(cell, datetime):
        return cell.isoformat(" ", "milliseconds" if cell.microsecond else "seconds")
    if isinstance(cell, date | time):
        return cell.isoformat()
    try:
        return float(cell)  # decimals
    except (TypeError, ValueError):
        text = str(cell)
        return text if len(text) <= LONGEST_CELL else f"{text[: LONGEST_CELL - 1]}…"
