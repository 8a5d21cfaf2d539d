"""Whether figures of an answer are found in the rows, and only those that are there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_edge.asking.figures import citations_of, figures_of
from aura_edge.asking.queries import Answered, Cell

ROWS: tuple[tuple[Cell, ...], ...] = (
    (11784.0, "3 h 16 min", "2023-11-23 08:16:43.500"),
    (0.4321, True, "climbing 2 stairs"),
    (-7, None, "14:05"),
    (1234567, "climbing 2 stairs for 40 s", "2024-02-29"),
)
RESULT = Answered("q1", "SELECT", ("a", "b", "c"), ROWS)
NAMES = frozenset(["climbing 2 stairs", "walk_88.csv", "walking"])


def where(answer: str) -> list[tuple[str, str]]:
    return [(one.text, one.where) for one in figures_of(answer, [RESULT], NAMES)]


@pytest.mark.parametrize(
    "answer",
    [
        "11784 s",
        "11,784 seconds",
        "11784.00",
        "3 h 16 min",
        "first at 08:16",
        "at 8:16:43",
        "at 8:16 am",
        "at 8:17",  # rounded
        "at 2:05 PM",
        "at 2 pm",
        "on 2023-11-23",
        "on 23 November 2023",
        "a share of 0.43",
        "a share of 0,43",
        "7 below zero",
        "1,234,567 rows",
        "40 s",
        "no figure at all",
    ],
)
def test_figures_of_the_rows_are_found(answer: str) -> None:
    """Rounded or not, with separators, as clock time or date: it is in the rows."""
    assert all(place == "row" for _, place in where(answer))


@pytest.mark.parametrize(
    "answer",
    [
        "11785 s",
        "11784.1",
        "12:16",
        "8:18",
        "8:16 pm",
        "2023-11-22",
        "0.44",
        "0.4322",
        "43 %",
        "1,234,568",
        "3.5 h",
        "1 time",
    ],
)
def test_figures_of_nobody_are_not(answer: str) -> None:
    """Off by one in the last digit that is said, another hour, a percentage that the database did not compute."""
    assert ("none") in [place for _, place in where(answer)]


def test_names_measure_nothing() -> None:
    """A figure inside a label or a source is told apart, also where a query glued the label to something."""
    assert where("2 stairs, 88 steps, 40 s") == [("2", "name"), ("88", "name"), ("40", "row")]


def test_marks_of_lists_and_citations_are_no_figures() -> None:
    """An answer in points, with its rows named, holds no figure but those it states."""
    assert where("1. walking [q1.1]\n2) climbing [q77.5, q1]") == []


def test_citations_are_those_of_given_rows() -> None:
    """A row, a whole result; not what was never given, or failed."""
    failed = Answered("q2", "SELECT", error="no")
    assert citations_of("[q1.1, q1] [q1.9] q2 q1.1 [q3.1]", [RESULT, failed]) == (
        ("q1.1", "q1"),
        ("q1.9", "q2", "q3.1"),
    )


@given(st.floats(0, 1e9, allow_nan=False), st.integers(0, 3))
def test_a_value_agrees_with_its_own_rounding(value: float, digits: int) -> None:
    """At however many digits it is said; and not with the next one of the last digit but one."""
    result = Answered("q1", "SELECT", ("v",), ((value,),))
    said = f"{value:,.{digits}f}"
    (figure,) = figures_of(f"about {said} s", [result], frozenset())
    assert figure.where == "row"
    (other,) = figures_of(f"about {value + 2 * 10.0**-digits:.{digits}f} s", [result], frozenset())
    assert other.where == "none" or value > 1e8


@given(st.text(max_size=300), st.lists(st.text(max_size=20), max_size=4))
def test_any_text_can_be_checked(answer: str, cells: list[str]) -> None:
    """Nothing that a model or a label says makes the check fail."""
    result = Answered("q1", "SELECT", ("v",), tuple((cell,) for cell in cells))
    figures_of(answer, [result], frozenset(cells))
    citations_of(answer, [result])
