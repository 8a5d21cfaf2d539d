"""Whether the figures of an answer stand in the rows that the database gave.

Looked at are numbers in digits, clock times and dates. A number agrees with a value that rounds to it at as many digits as it has; a clock time with
a time of that minute or second. What stands only inside the name of a label or a source measures nothing, and is told apart. Numbers in
words are not seen.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from aura_edge.asking.queries import Answered

CITATION = re.compile(r"\bq\d+(?:\.\d+)?\b")
_LIST_MARK = re.compile(r"(?m)^\s*\d+[.)]\s")
_TOKEN = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})"
    r"|(?P<clock>\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:\s*[ap]\.?m\b)?|\d{1,2}\s*[ap]\.?m\b)"
    r"|(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+[.,]\d+|\d+)",
    re.IGNORECASE,
)

Where = Literal["row", "name", "none"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the answer, and where it stands: in a row, only in the name of a label or source, or nowhere."""

    text: str
    where: Where


@dataclass(slots=True)
class _Values:
    """Everything that figures may agree with."""

    numbers: list[float] = field(default_factory=list)
    dates: set[str] = field(default_factory=set)
    clocks: set[float] = field(default_factory=set)  # seconds since midnight

    def add(self, text: str) -> None:
        for found in _TOKEN.finditer(text):
            if found["date"]:
                self.dates.add(found["date"])
                year, _, day = found["date"].split("-")
                self.numbers += [float(year), float(day)]  # as in "on 23 November 2026"
            elif found["clock"]:
                self.clocks.add(_seconds(found["clock"])[0])
            else:
                self.numbers.append(_number(found["number"])[0])

    def have(self, found: re.Match[str]) -> bool:
        if found["date"]:
            return found["date"] in self.dates
        if found["clock"]:
            at_s, step_s = _seconds(found["clock"])
            return any(at_s <= one < at_s + step_s or abs(one - at_s) <= step_s / 2 for one in self.clocks)
        value, step = _number(found["number"])
        return any(abs(abs(one) - value) <= step / 2 + 1e-12 * abs(one) for one in self.numbers)


def figures_of(answer: str, answered: Iterable[Answered], names: Collection[str]) -> tuple[Figure, ...]:
    """Every figure of `answer`, each once, in order. `names` are labels and sources."""
    said = _LIST_MARK.sub(" ", CITATION.sub(" ", answer))
    values, named = _Values(), _Values()
    for name in names:
        named.add(name)
    texts = sorted((name for name in names if re.search(r"\d", name)), key=len, reverse=True)
    for cell in (cell for one in answered for row in one.rows for cell in row):
        if isinstance(cell, str):
            for name in texts:
                cell = cell.replace(name, " ")
            values.add(cell)
        elif isinstance(cell, int | float) and not isinstance(cell, bool):
            values.numbers.append(float(cell))
    found: dict[str, Where] = {}
    for token in _TOKEN.finditer(said):
        found[token[0].strip()] = "row" if values.have(token) else "name" if named.have(token) else "none"
    return tuple(Figure(text, where) for text, where in found.items())


def citations_of(answer: str, answered: Sequence[Answered]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The rows, or whole results, that `answer` cites, each once in order: those that there are, and those that there are not."""
    known = {one.name for one in answered if one.rows}
    known |= {f"{one.name}.{i}" for one in answered for i in range(1, len(one.rows) + 1)}
    cited = list(dict.fromkeys(CITATION.findall(answer)))
    return tuple(one for one in cited if one in known), tuple(one for one in cited if one not in known)


def _number(text: str) -> tuple[float, float]:
    """Value, and the step of its last digit."""
    whole = text.replace(",", "") if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", text) else text.replace(",", ".")
    return float(whole), 10.0 ** -len(whole.partition(".")[2])


def _seconds(text: str) -> tuple[float, float]:
    """Seconds since midnight of a clock time, and the step of its last part."""
    parts = [float(part) for part in re.findall(r"\d+(?:\.\d+)?", text)]
    hour = parts[0]
    if half := re.search(r"([ap])\.?m", text.lower()):
        hour = hour % 12 + (12 if half[1] == "p" else 0)
    step_s = (3600.0, 60.0, 1.0)[len(parts) - 1]
    return hour * 3600 + sum(part * unit for part, unit in zip(parts[1:], (60, 1), strict=False)), step_s
