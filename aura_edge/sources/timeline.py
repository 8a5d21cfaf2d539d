"""Times of samples: exact nanoseconds from written numbers, the sampling rate they show, and what stands in for an unreadable one."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import InputError, TooShortError
from aura_edge.resample import MAX_RATE_HZ, MIN_RATE_HZ
from aura_edge.sources.units import Unit, parse_unit
from aura_edge.types import NS_PER_S

HEAD_ROWS = 4096
"""A rate is estimated from so many rows at the start, whether a recording is streamed or loaded whole: both must agree."""
SPAN_STEPS = 64
"""Steps between samples that are averaged in the estimate of a rate; in a short recording a quarter of all."""
RATE_TOLERANCE = 0.2
"""A rate told that differs by more from the one that the timestamps show contradicts them."""
_LOWEST, _HIGHEST = int(np.iinfo(np.int64).min), int(np.iinfo(np.int64).max)


def estimate_rate_hz(t_ns: NDArray[np.int64], samples: NDArray[np.float32] | None = None) -> float | None:
    """Sampling rate that (n,) times show, or None when they show none; (n, 6) samples tell repeated rows from others of the same time.

    It is the median, over all spans of `SPAN_STEPS` consecutive steps, of samples per second. The average within a span levels jitter and times
    rounded to milliseconds, where a median of single steps is off by a tenth; the median over spans ignores what a few of them went through.
    Rows repeated whole, steps back, and holes of more than ten usual steps are left out before.
    """
    steps = np.diff(t_ns.astype(np.float64))
    counted = steps >= 0
    if samples is not None:
        counted &= (steps > 0) | (samples[1:] != samples[:-1]).any(axis=1)
    steps = steps[counted]
    if not (steps > 0).any():
        return None
    steps = steps[steps <= 10 * np.median(steps[steps > 0])]
    span = max(1, min(SPAN_STEPS, len(steps) // 4))
    summed = np.concatenate([[0.0], np.cumsum(steps)])
    typical = float(np.median(summed[span:] - summed[:-span]))
    return span * NS_PER_S / typical if typical > 0 else None


def rate_of_head(
    path: Path, t_ns: NDArray[np.int64], readable: NDArray[np.bool_], samples: NDArray[np.float32]
) -> float:
    """The rate that the first rows of a recording show. Raises `InputError` where they show none."""
    if not readable.any():
        raise InputError(
            f"{path}: none of the first {len(t_ns)} timestamps is a number that fits 64 bit nanoseconds. Check which column holds the "
            "time (--columns t=NAME) and its unit (--units), or count samples at a known rate: --columns t=none --rate-hz HZ."
        )
    if not np.isfinite(samples).all(axis=1).any():
        raise InputError(
            f"{path}: none of the first {len(t_ns)} rows has six readable numbers. Check which columns hold them (--columns)."
        )
    t_ns = carry_over(t_ns, readable, None)
    if len(t_ns) == 1:
        raise TooShortError(f"{path}: one sample only, expected a recording of some seconds.")
    rate_hz = estimate_rate_hz(t_ns, samples)
    if rate_hz is None:
        raise InputError(
            f"{path}: the first {len(t_ns)} timestamps never advance (they begin with {int(t_ns[0])} ns). Check which column holds the time "
            "(--columns t=NAME), or count samples at a known rate: --columns t=none --rate-hz HZ."
        )
    return rate_hz


def settle_rate(path: Path, shown_hz: float, told_hz: float | None) -> tuple[float, tuple[str, ...]]:
    """The rate to read with: the one told, else the one that the timestamps show; and a note where the two contradict each other.

    Raises `InputError` for one that cannot be resampled.
    """
    rate_hz = told_hz or shown_hz
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        remedy = (
            f"below {MIN_RATE_HZ:g} Hz too little is left of a movement: record it faster"
            if rate_hz < MIN_RATE_HZ
            else f"above {MAX_RATE_HZ:g} Hz decimate it first"
        )
        doubt = (
            "say another with --rate-hz"
            if told_hz
            else "the unit of its timestamps was taken wrongly (--units), or another column holds the time (--columns t=NAME)"
        )
        raise InputError(
            f"{path}: sampling rate of {rate_hz:.6g} Hz, expected {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} Hz; {remedy}. If that is not its rate, {doubt}."
        )
    if abs(rate_hz - shown_hz) > RATE_TOLERANCE * shown_hz:
        return rate_hz, (f"sampling rate taken as {rate_hz:.4g} Hz, though the timestamps show {shown_hz:.4g} Hz",)
    return rate_hz, ()


def exact_ns(texts: Sequence[str], unit: Unit) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Written numbers to nanoseconds without the rounding of floating point: (n,) times, and (n,) which of them could be read."""
    factor = unit.factor
    if factor.denominator == 1 and (integers := _all_integers(texts)) is not None:
        scaled = [number * factor.numerator for number in integers]
        if scaled and min(scaled) >= _LOWEST and max(scaled) <= _HIGHEST:
            return np.array(scaled, np.int64), np.ones(len(texts), np.bool_)
    whole = Decimal(factor.numerator) if factor.denominator == 1 else None
    t_ns = np.zeros(len(texts), np.int64)
    readable = np.ones(len(texts), np.bool_)
    for row, text in enumerate(texts):
        try:
            number = Decimal(text)
        except InvalidOperation:
            readable[row] = False
            continue
        # The exponent is looked at first: 1e999999999 or its inverse as an integer or a fraction would fill the memory.
        if not number.is_finite() or number.adjusted() > 30:
            readable[row] = False
            continue
        if number.adjusted() < -30:
            value = 0
        elif whole is not None:
            value = int((number * whole).to_integral_value())
        else:
            value = round(Fraction(number) * factor)
        if _LOWEST <= value <= _HIGHEST:
            t_ns[row] = value
        else:
            readable[row] = False
    return t_ns, readable


def scaled_ns(values: NDArray[np.generic], unit: Unit) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Numbers of a binary file to nanoseconds: (n,) times, and (n,) which of them fit 64 bit."""
    if np.issubdtype(values.dtype, np.integer) and unit.factor.denominator == 1:
        factor = unit.factor.numerator
        whole = values.astype(np.int64)
        fits = (whole >= _LOWEST // factor + 1) & (whole <= _HIGHEST // factor)
        if values.dtype == np.uint64:
            fits &= whole >= 0
        return np.where(fits, whole, 0) * np.int64(factor), fits
    scaled = np.rint(values.astype(np.float64) * float(unit.factor))
    fits = np.abs(scaled) < 2.0**63
    return np.where(fits, scaled, 0).astype(np.int64), fits


def carry_over(t_ns: NDArray[np.int64], readable: NDArray[np.bool_], before_ns: int | None) -> NDArray[np.int64]:
    """Give each unreadable time that of the row before it; the first rows, where nothing is before, that of the first readable one."""
    if readable.all():
        return t_ns
    where = np.where(readable, np.arange(len(t_ns)), -1)
    where = np.maximum.accumulate(where)
    if before_ns is None:
        before_ns = int(t_ns[int(np.argmax(readable))])
    filled: NDArray[np.int64] = np.where(where >= 0, t_ns[where], before_ns)
    return filled


def counted_ns(first: int, count: int, rate_hz: float) -> NDArray[np.int64]:
    """Times of samples `first` ... `first + count - 1` of a recording that has only a rate; the first sample of all is at 0."""
    times: NDArray[np.int64] = np.rint(np.arange(first, first + count) * (NS_PER_S / rate_hz)).astype(np.int64)
    return times


def plausible_rates_hz(texts: Sequence[str]) -> dict[str, float]:
    """The sampling rate that these timestamps show, by each unit that makes it a plausible one."""
    rates_hz = {}
    for name in ("s", "ms", "us", "ns"):
        t_ns, readable = exact_ns(texts, parse_unit(name))
        rate_hz = estimate_rate_hz(t_ns[readable])
        if rate_hz is not None and 5 <= rate_hz <= 5000:
            rates_hz[name] = rate_hz
    return rates_hz


def _all_integers(texts: Sequence[str]) -> list[int] | None:
    """The numbers when all are integers, which is the usual case and three times faster."""
    try:
        return list(map(int, texts))
    except ValueError:
        return None
