"""A diary on a terminal, as values that rich can draw."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import groupby
from string import ascii_lowercase, ascii_uppercase

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from aura_edge.diary.day import minutes, ranked, spoken
from aura_edge.diary.reading import Account

LETTERS = ascii_uppercase + ascii_lowercase
COLOURS = ("green", "blue", "magenta", "yellow", "cyan", "red")
_BAR_COLUMNS = 24


def account_view(account: Account) -> RenderableType:
    """Sessions, the picture of each day, seconds per label and hour, and what followed what."""
    about = f"{account.diary}: times are local to where it was kept, {', '.join(account.time_zones) or 'unknown'}"
    parts: list[RenderableType] = [Text(about, style="dim"), Text(), _sessions(account)]
    for day in [account.day] if account.day else account.days:
        parts += [Text(), Text(f"{day:%A} {day.isoformat()}", style="bold"), _picture(account, day)]
    parts += [Text(), _legend(account), Text(), _hours(account)]
    if account.transitions:
        parts += [Text(), _transitions(account)]
    return Group(*parts)


def _style(rank: int) -> str:
    return COLOURS[rank % len(COLOURS)]


def _letter(rank: int) -> str:
    return LETTERS[rank] if rank < len(LETTERS) else "*"


def _picture(account: Account, day: date) -> RenderableType:
    """A line for each hour from the first with anything to the last, a letter for each minute."""
    ranks, filled = ranked(account), minutes(account.spells, day)
    hours = [hour for hour in range(24) if any(filled[hour * 60 : hour * 60 + 60])]
    table = Table.grid(padding=(0, 1))
    for hour in range(hours[0], hours[-1] + 1) if hours else ():
        line = Text()
        for label in filled[hour * 60 : hour * 60 + 60]:
            line.append(
                "·" if label is None else _letter(ranks[label]), "dim" if label is None else _style(ranks[label])
            )
        table.add_row(Text(f"{hour:02}:00", style="dim"), line)
    return table


def _legend(account: Account) -> Table:
    table = _table("", "label", "time", "share")
    total = sum(account.seconds.values())
    for label, rank in ranked(account).items():
        spent = account.seconds[label]
        table.add_row(
            Text(_letter(rank), style=_style(rank)), Text(label), spoken(spent), f"{spent / total:.0%}" if total else ""
        )
    table.add_row("", Text("together", style="dim"), Text(spoken(total), style="dim"))
    return table


def _sessions(account: Account) -> Table:
    table = _table("session", "source", "from", "to", "time", "model", "labels")
    for entry in account.sessions:
        more = f" and {entry.label_sets - 1} more" if entry.label_sets > 1 else ""
        table.add_row(
            str(entry.session),
            Text(entry.source),
            f"{entry.started:%Y-%m-%d %H:%M:%S}",
            Text(f"{entry.ended:%Y-%m-%d %H:%M:%S}") + Text("" if entry.closed else " not ended", style="yellow"),
            spoken(entry.seconds),
            Text(entry.model[:8]),
            Text(entry.labels[:8] + more),
        )
    return table


def _hours(account: Account) -> Table:
    ranks = ranked(account)
    table = _table("hour", "label", "seconds", "")
    for (hour, _), entries in groupby(account.hours, key=lambda entry: (entry.hour, entry.utc_offset_s)):
        for name, entry in zip(_once(f"{hour:%Y-%m-%d %H:%M}"), entries, strict=False):
            style = _style(ranks[entry.label])
            bar = ProgressBar(
                total=3600, completed=entry.seconds, width=_BAR_COLUMNS, complete_style=style, finished_style=style
            )
            table.add_row(name, Text(entry.label), f"{entry.seconds:,.1f}", bar)
    return table


def _transitions(account: Account) -> Table:
    table = _table("from", "to", "times")
    for change in account.transitions:
        table.add_row(Text(change.from_label), Text(change.to_label), str(change.count))
    return table


def _once(text: str) -> Iterator[str]:
    yield text
    while True:
        yield ""


def _table(*names: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, justify="right" if name in ("time", "share", "seconds", "times") else "left")
    return table
