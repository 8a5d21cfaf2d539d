"""Units: by the names people write, to SI, or a clear refusal."""

from __future__ import annotations

import math
from contextlib import suppress
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_edge.errors import InputError, UnitsError
from aura_edge.sources.units import SI, Units, known_units, parse_unit, parse_units, to_si


@pytest.mark.parametrize(
    ("written", "name", "factor"),
    [
        ("m/s2", "m/s2", 1),
        ("m/s²", "m/s2", 1),
        ("M/S^2", "m/s2", 1),
        ("[m s^-2]", "m/s2", 1),
        ("m/s/s", "m/s2", 1),
        ("g", "g", 9.80665),
        (" G ", "g", 9.80665),
        ("mg", "mg", 0.00980665),
        ("cm/s2", "cm/s2", 0.01),
        ("rad/s", "rad/s", 1),
        ("rad s^-1", "rad/s", 1),
        ("radians per second", "rad/s", 1),
        ("mrad/s", "mrad/s", 0.001),
        ("deg/s", "deg/s", math.pi / 180),
        ("DPS", "deg/s", math.pi / 180),
        ("°/s", "deg/s", math.pi / 180),
        ("mdps", "mdeg/s", math.pi / 180_000),
        ("rpm", "rpm", math.pi / 30),
        ("ns", "ns", 1),
        ("µs", "us", 1e3),
        ("msec", "ms", 1e6),
        ("seconds", "s", 1e9),
    ],
)
def test_units_are_known_by_the_names_people_write(written: str, name: str, factor: float) -> None:
    """Spelling, case, brackets and powers do not matter."""
    unit = parse_unit(written)
    assert unit.name == name
    assert float(unit.factor) == pytest.approx(factor, rel=1e-15)


@pytest.mark.parametrize(
    ("written", "factor"),
    [
        ("1/256 g", 9.80665 / 256),
        ("256 LSB/g", 9.80665 / 256),
        ("0.0039g", 0.0039 * 9.80665),
        ("16.4 LSB/(deg/s)", math.pi / 180 / 16.4),
        ("4000/65536 deg/s", 4000 / 65536 * math.pi / 180),
        ("1e-3 rad/s", 0.001),
        ("1/32768 s", 1e9 / 32768),
    ],
)
def test_a_number_scales_a_unit(written: str, factor: float) -> None:
    """Raw counts are read with what one count is, or with how many there are to a unit."""
    assert float(parse_unit(written).factor) == pytest.approx(factor, rel=1e-15)


def test_units_come_in_any_order() -> None:
    """`--units` takes one of each kind."""
    assert parse_units("ms, deg/s; g") == parse_units("g,dps,msec")
    assert str(parse_units("ms,deg/s,g")) == "g, deg/s, ms"
    assert parse_units("m/s2,rad/s") == SI


@pytest.mark.parametrize("written", ["furlong", "", "g,furlong", "g,,s", "uT", "m/s", "3", "-1 g"])
def test_an_unknown_unit_is_refused_with_the_known_ones(written: str) -> None:
    """The error names what was written and lists what is known."""
    with pytest.raises(UnitsError, match=r"unknown unit .*acceleration: m/s2.*angular rate: rad/s.*time: ns"):
        parse_units(written)


@pytest.mark.parametrize("written", ["m/s2 rad/s", "g deg/s ms", ""])
def test_units_without_commas_are_told_of_commas(written: str) -> None:
    """The error shows what a list of units looks like."""
    with pytest.raises(UnitsError, match="Commas separate units, as in 'g, deg/s, ms'"):
        parse_units(written)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("raw", "without a scale"),
        ("LSB", "without a scale"),
        ("16 counts", "without a scale"),
        ("0 g", "scale of zero"),
        ("1/0 g", "not a scale"),
        ("g, mg, deg/s", "g and mg are both of acceleration"),
    ],
)
def test_units_that_mean_nothing_are_refused(written: str, said: str) -> None:
    """Counts without a scale, impossible scales and two units of one kind."""
    with pytest.raises(UnitsError, match=said):
        parse_units(written)


def test_units_errors_are_input_errors() -> None:
    """One `except` catches everything that is wrong with an input."""
    assert issubclass(UnitsError, InputError)
    assert "deg/s" in known_units()


def test_readings_become_si() -> None:
    """One g is 9.80665 m/s2 and 180 deg/s are pi rad/s, as float32."""
    converted = to_si([[1, 0, -1, 180, 0, -90]], parse_units("g, deg/s"))
    assert converted.dtype == np.float32
    np.testing.assert_allclose(converted, [[9.80665, 0, -9.80665, math.pi, 0, -math.pi / 2]], rtol=1e-7)


def test_readings_beyond_float32_become_infinite() -> None:
    """They are counted as not finite downstream, without a warning here."""
    assert np.isinf(to_si([[1e300, 0, 0, 0, 0, 0]], SI)[0, 0])


def test_conversion_needs_both_units() -> None:
    """A unit that is not known is never taken for another."""
    with pytest.raises(UnitsError, match="one of acceleration and one of angular rate"):
        to_si([[0.0] * 6], Units(acceleration=parse_unit("g")))


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.sampled_from(["g", "deg/s", "ms"]))
def test_scales_are_exact(numerator: int, denominator: int, name: str) -> None:
    """A scale multiplies a unit without rounding."""
    scale = Fraction(numerator, denominator)
    assert parse_unit(f"{numerator}/{denominator} {name}").factor == parse_unit(name).factor * scale


@given(st.text(max_size=20))
def test_any_text_is_a_unit_or_a_units_error(text: str) -> None:
    """Nothing else comes out of the parser."""
    with suppress(UnitsError):
        assert str(parse_units(text))
