"""Units by the names people write, and the factors that bring them to m/s2, rad/s and nanoseconds.

`parse_units("g, deg/s, ms")` takes one unit of each kind in any order. A number before a unit scales it, for raw counts: `1/256 g` means that
one count is 1/256 g, and `256 LSB/g` means the same. Upper and lower case, spaces, brackets and the usual ways to write powers do not matter.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aura_edge.errors import UnitsError
from aura_edge.types import NS_PER_S

Kind = Literal["acceleration", "angular rate", "time"]

_G = Fraction("9.80665")
_DEGREE = Fraction(math.pi / 180)

# name, kind, factor to m/s2, rad/s or ns, other spellings (in the form that `_plain` gives)
_TABLE: tuple[tuple[str, Kind, Fraction, str], ...] = (
    ("m/s2", "acceleration", Fraction(1), "m/s/s ms-2 m.s-2 mps2 m/sec2 ms2 meter/s2 meters/second2"),
    ("mm/s2", "acceleration", Fraction(1, 1000), "mm/s/s mms-2 mm.s-2"),
    ("cm/s2", "acceleration", Fraction(1, 100), "cm/s/s cms-2 gal"),
    ("g", "acceleration", _G, "gs gee gforce"),
    ("mg", "acceleration", _G / 1000, "millig"),
    ("ug", "acceleration", _G / 1_000_000, "microg"),
    ("rad/s", "angular rate", Fraction(1), "rads-1 rad.s-1 rad/sec radian/s radians/s radians/sec radians/second"),
    ("mrad/s", "angular rate", Fraction(1, 1000), "mrads-1 mrad/sec"),
    (
        "deg/s",
        "angular rate",
        _DEGREE,
        "dps degs-1 deg.s-1 deg/sec degree/s degrees/s degrees/sec degrees/second",
    ),
    ("mdeg/s", "angular rate", _DEGREE / 1000, "mdps mdegs-1 mdeg/sec"),
    ("rpm", "angular rate", Fraction(math.pi / 30), "r/min rev/min"),
    ("ns", "time", Fraction(1), "nsec nanosecond nanoseconds"),
    ("us", "time", Fraction(1000), "usec microsecond microseconds"),
    ("ms", "time", Fraction(1_000_000), "msec millisecond milliseconds"),
    ("s", "time", Fraction(NS_PER_S), "sec secs second seconds"),
)
_KNOWN = {alias: (name, kind, factor) for name, kind, factor, also in _TABLE for alias in (name, *also.split())}

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,2})?"
_SCALED = re.compile(rf"\s*({_NUMBER}(?:\s*/\s*{_NUMBER})?)\s*(.*)", re.IGNORECASE)
_COUNTS_PER = re.compile(r"(?:lsb|counts?|raw)/(.+)")
_COUNTS = {"raw", "rawcounts", "count", "counts", "lsb", "lsbs", "digit", "digits"}


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit of one kind."""

    name: str
    """As it is shown: `deg/s`, `1/256 g`."""
    kind: Kind
    factor: Fraction
    """What a reading is multiplied with to get m/s2, rad/s or nanoseconds."""


@dataclass(frozen=True, slots=True)
class Units:
    """At most one unit of each kind; None where it is not known."""

    acceleration: Unit | None = None
    angular_rate: Unit | None = None
    time: Unit | None = None

    def __str__(self) -> str:
        return ", ".join(unit.name for unit in (self.acceleration, self.angular_rate, self.time) if unit)

    def set(self, unit: Unit) -> Units:
        """These units with `unit` in the place of its kind."""
        if unit.kind == "acceleration":
            return replace(self, acceleration=unit)
        return replace(self, angular_rate=unit) if unit.kind == "angular rate" else replace(self, time=unit)

    def get(self, kind: Kind) -> Unit | None:
        """The unit of that kind, where there is one."""
        if kind == "acceleration":
            return self.acceleration
        return self.angular_rate if kind == "angular rate" else self.time


def known_units() -> str:
    """Every unit by kind, for messages."""
    kinds: dict[str, list[str]] = {}
    for name, kind, _, _ in _TABLE:
        kinds.setdefault(kind, []).append(name)
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds.items())


def parse_unit(text: str) -> Unit:
    """One unit by name, with or without a scale. Raises `UnitsError` listing the known ones."""
    scale, rest, shown = Fraction(1), text, ""
    if number := _SCALED.fullmatch(text):
        try:
            scale, rest, shown = Fraction(number[1].replace(" ", "")), number[2], number[1]
        except (ValueError, ZeroDivisionError):
            raise UnitsError(f"{text!r}: {number[1]!r} is not a scale. Write it as 0.0039 g or 1/256 g.") from None
        if scale == 0:
            raise UnitsError(f"{text!r}: a scale of zero makes every reading zero. Write it as 0.0039 g or 1/256 g.")
    plain = _plain(rest)
    per = _COUNTS_PER.fullmatch(plain)
    if per and shown:
        scale, plain = 1 / scale, per[1]
    if plain in _COUNTS:
        raise UnitsError(
            f"{text!r}: raw counts have no meaning without a scale. Say what one count is, as in '1/256 g' or '16.4 LSB/(deg/s)'."
        )
    if plain not in _KNOWN:
        raise UnitsError(
            f"unknown unit {text.strip()!r}. Commas separate units, as in 'g, deg/s, ms'. Known are {known_units()}; a number before one "
            "scales it: '1/256 g'."
        )
    name, kind, factor = _KNOWN[plain]
    if per and shown:
        name = f"{shown} LSB/({name})"
    elif shown:
        name = f"{shown} {name}"
    return Unit(name, kind, factor * scale)


def parse_units(text: str) -> Units:
    """Units of a recording, as in `--units "g, deg/s, ms"`: one of each kind at most, in any order."""
    units = Units()
    for part in re.split(r"[,;]", text):
        unit = parse_unit(part)
        if other := units.get(unit.kind):
            raise UnitsError(
                f"units {text!r}: {other.name} and {unit.name} are both of {unit.kind}. Give one of each kind."
            )
        units = units.set(unit)
    return units


def to_si(values: ArrayLike, units: Units) -> NDArray[np.float32]:
    """(n, 6) readings to m/s2 and rad/s. What does not fit float32 becomes infinite, and is counted as such downstream."""
    if units.acceleration is None or units.angular_rate is None:
        raise UnitsError(
            f"units {str(units)!r}: one of acceleration and one of angular rate are needed, as in 'g, deg/s'."
        )
    factors = np.repeat([float(units.acceleration.factor), float(units.angular_rate.factor)], 3)
    with np.errstate(over="ignore", invalid="ignore"):
        converted: NDArray[np.float32] = (np.asarray(values, np.float64) * factors).astype(np.float32)
    return converted


def _plain(text: str) -> str:
    """One spelling for the many: `[m s^-2]`, `m/s²` and `M/S^2` become `ms-2`, `m/s2` and `m/s2`."""
    text = text.strip().lower()
    for found, plain in (("²", "2"), ("⁻", "-"), ("¹", "1"), ("µ", "u"), ("μ", "u"), ("°", "deg")):
        text = text.replace(found, plain)
    text = re.sub(r"\s+per\s+", "/", text)
    return re.sub(r"[\s\[\](){}^*·_'\"]", "", text)


SI = parse_units("m/s2, rad/s")
