"""Reading a diary: a connection that can do nothing but read this one file, and what the days in it amount to."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec

from aura_edge.diary.schema import KIND, reason_of, stated_kind
from aura_edge.errors import InputError, require


class SessionEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run. Times are local to where the diary was kept."""

    session: int
    source: str
    model: str
    """sha256 of the weights."""
    labels: str
    """Digest of the label set it began with."""
    label_sets: int
    """How many label sets it used."""
    began: datetime
    """When the stream was opened."""
    started: datetime
    """When the first window begins."""
    ended: datetime
    seconds: float
    """Device time that its windows cover."""
    windows: int
    closed: bool
    """False where the run was killed, or still goes on."""
    time_zone: str
    utc_offset_s: int


class HourEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Device time of one label within one hour of local time."""

    hour: datetime
    utc_offset_s: int
    label: str
    state: str
    seconds: float


class Spell(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One stay in a label."""

    session: int
    label: str
    state: str
    started: datetime
    ended: datetime
    seconds: float


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often one label followed another without a pause."""

    from_label: str
    to_label: str
    count: int


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a diary, or one day of it, amounts to."""

    diary: str
    day: date | None
    """The only day that it is about; None for all."""
    time_zones: tuple[str, ...]
    """What local time means here: `CET (UTC+01:00)`."""
    seconds: dict[str, float]
    """By label, most first; their sum is the time covered."""
    sessions: tuple[SessionEntry, ...]
    hours: tuple[HourEntry, ...]
    transitions: tuple[Change, ...]
    spells: tuple[Spell, ...]

    @property
    def days(self) -> tuple[date, ...]:
        """The days on which something was, in order."""
        return tuple(sorted({entry.hour.date() for entry in self.hours}))


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[Any]:
    """A read-only connection to the diary at `path`, without access to any other file or to the network, closed at the end.

    Raises `InputError` where there is no diary, it cannot be read, or a stream is writing it, and `MissingExtraError`.
    """
    file = Path(path)
    duckdb = require("duckdb", extra="diary")
    if not file.is_file():
        raise InputError(f"{file}: there is no such diary. Keep one with: aura-edge stream --diary {file}")
    config = {
        "enable_external_access": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "threads": "1",
    }
    try:
        connection = duckdb.connect(str(file), read_only=True, config=config)
    except duckdb.Error as error:
        raise InputError(f"{file}: cannot be read: {reason_of(error)}") from error
    try:
        if (found := stated_kind(connection)) != KIND:
            raise InputError(f"{file}: holds {found}; expected {KIND}.")
        yield connection
    except duckdb.Error as error:
        raise InputError(f"{file}: cannot be read: {reason_of(error)}") from error
    finally:
        connection.close()


def account(path: str | os.PathLike[str], day: date | None = None) -> Account:
    """What the diary at `path` amounts to, or one `day` of it in its own local time. A spell belongs to each day that it touches, a change to
    the day on which it was. Raises what `reading` raises, and `InputError` for a day that is not in it."""
    with reading(path) as connection:
        sessions = tuple(_rows(connection, SessionEntry, "SELECT {} FROM sessions ORDER BY session"))
        hours = tuple(
            _rows(connection, HourEntry, "SELECT {} FROM hours ORDER BY hour, utc_offset_s DESC, ns DESC, label")
        )
        spells = tuple(_rows(connection, Spell, "SELECT {} FROM spells ORDER BY session, spell"))
        changes = connection.execute("SELECT from_label, to_label, changed FROM transitions").fetchall()
        zones = connection.execute(
            "SELECT utc_offset_s, min(time_zone) FROM ("
            "SELECT p.utc_offset_s, CASE WHEN p.utc_offset_s = s.utc_offset_s THEN s.time_zone END AS time_zone "
            "FROM prediction p JOIN session s USING (session)) GROUP BY utc_offset_s ORDER BY utc_offset_s"
        ).fetchall()
    if day is not None:
        if day not in {entry.hour.date() for entry in hours}:
            known = sorted({entry.hour.date().isoformat() for entry in hours})
            raise InputError(f"{path}: has nothing of {day}; its days are: {', '.join(known) or 'none'}.")
        hours = tuple(entry for entry in hours if entry.hour.date() == day)
        sessions = tuple(entry for entry in sessions if _touches(entry.started, entry.ended, day))
        spells = tuple(entry for entry in spells if _touches(entry.started, entry.ended, day))
        changes = [change for change in changes if change[2].date() == day]
    seconds: defaultdict[str, float] = defaultdict(float)
    for entry in hours:
        seconds[entry.label] += entry.seconds
    counts = Counter((before, after) for before, after, _ in changes)
    return Account(
        diary=os.fspath(path),
        day=day,
        time_zones=tuple(_zone(name, offset_s) for offset_s, name in zones),
        seconds=dict(sorted(seconds.items(), key=lambda row: (-row[1], row[0]))),
        sessions=sessions,
        hours=hours,
        transitions=tuple(
            Change(*pair, count) for pair, count in sorted(counts.items(), key=lambda row: (-row[1], row[0]))
        ),
        spells=spells,
    )


def _touches(started: datetime, ended: datetime, day: date) -> bool:
    return started.date() <= day and ended > datetime.combine(day, datetime.min.time())


def _zone(name: str | None, offset_s: int) -> str:
    offset = str(timezone(timedelta(seconds=offset_s))).replace("UTC", "") or "+00:00"
    return f"{name} (UTC{offset})" if name and name != "UTC" else f"UTC{offset}"


def _rows(connection: Any, kind: Any, query: str) -> list[Any]:
    fields = kind.__struct_fields__
    return [kind(*row) for row in connection.execute(query.format(", ".join(fields))).fetchall()]
