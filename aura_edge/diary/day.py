"""One day as a picture needs it: which label filled each minute, and a style for each label that stays the same from day to day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from aura_edge.diary.reading import Account, Spell

MINUTES = 24 * 60


def of_day(spells: Sequence[Spell], day: date) -> list[tuple[str, float, float]]:
    """(label, start, end) of every spell that touches the day, in minutes since its midnight, cut at its ends."""
    midnight = datetime.combine(day, datetime.min.time())
    found = []
    for spell in spells:
        start = (spell.started - midnight) / timedelta(minutes=1)
        end = (spell.ended - midnight) / timedelta(minutes=1)
        if end > 0 and start < MINUTES:
            found.append((spell.label, max(0.0, start), min(float(MINUTES), end)))
    return found


def minutes(spells: Sequence[Spell], day: date) -> list[str | None]:
    """For each of the day's 1,440 minutes the label that fills most of it; None where nothing was."""
    filled: list[dict[str, float]] = [{} for _ in range(MINUTES)]
    for label, start, end in of_day(spells, day):
        for minute in range(int(start), min(MINUTES, int(end) + 1)):
            overlap = min(end, minute + 1) - max(start, minute)
            if overlap > 0:
                filled[minute][label] = filled[minute].get(label, 0.0) + overlap
    return [max(sorted(labels), key=lambda label: labels[label]) if labels else None for labels in filled]


def ranked(account: Account) -> dict[str, int]:
    """Labels in the order of their time, with their rank: what colours and letters go by."""
    return {label: rank for rank, label in enumerate(account.seconds)}


def spoken(seconds: float) -> str:
    """A length of time for people: `2 h 05 min`, `3 min 20 s`, `4.5 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    whole = round(seconds / 60)
    return f"{whole // 60} h {whole % 60:02} min"
