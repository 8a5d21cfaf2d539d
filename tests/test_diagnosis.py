"""A signal that contradicts how it was declared is told of, once."""

from __future__ import annotations

import re

import numpy as np
import pytest

from aura_edge.diagnosis import JUDGED_BY, GravityCheck
from aura_edge.testing import motion
from aura_edge.types import Window


def window(scale: float = 1.0, *, gravity: bool = True) -> Window:
    samples = motion("walking") * np.float32(scale)
    if not gravity:
        samples[:3] -= samples[:3].mean(axis=1, keepdims=True)
    return Window(samples, 0, 5_000_000_000, 0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (window(9.80665), r"averages 96\.\d+ m/s2.*--units"),
        (window(1 / 9.80665), "averages 1.00 m/s2.*--units.*linear"),
        (window(gravity=False), "averages 0.00 m/s2.*gravity was taken out"),
    ],
)
def test_wrong_units_and_missing_gravity_are_noticed(wrong: Window, says: str) -> None:
    """m/s2 taken for g, g taken for m/s2, linear acceleration: the window that settles it says so, and no other."""
    check = GravityCheck()
    assert [check.see(wrong) for _ in range(JUDGED_BY + 3)] == [False] * (JUDGED_BY - 1) + [True, False, False, False]
    assert check.note is not None
    assert re.search(says, check.note)


def test_a_person_is_fine_even_upside_down_and_with_a_fall_in_between() -> None:
    """Any orientation is gravity, and two odd windows among many are no misreading."""
    check = GravityCheck()
    for scale in (1, -1, 1, 0.1, 0.1, 1, 1, -1, 1.1, 0.9):
        assert not check.see(window(scale))
    assert check.note is None
