"""A device's clock against the host's, its true rate, and regular times for boards that send none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_edge.sources.serial.clock_fit import MOST_SURPRISES, ClockFit
from aura_edge.sources.serial.timeline import RateMeter, SampleClock, Unwrapper

S = 1_000_000_000
MS = 1_000_000
STEP_NS = 50 * MS


def followed(
    seed: int, *, drift: float = 200e-6, jitter_ms: float = 5.0, seconds: float = 30.0
) -> tuple[ClockFit, float]:
    """A fit after some seconds of messages that arrive up to `jitter_ms` early or late; and its error then in ms."""
    rng = np.random.default_rng(seed)
    fit, device_0, host_0 = ClockFit(), 10**11, 1_795_000_000 * S

    def host_of(device_ns: float) -> float:
        return host_0 + (device_ns - device_0) * (1 + drift)

    device_ns = device_0
    for _ in range(round(seconds * S / STEP_NS)):
        device_ns += STEP_NS
        fit.observe(device_ns, round(host_of(device_ns) + rng.uniform(-jitter_ms, jitter_ms) * MS))
    reading = fit.reading()
    assert reading is not None
    return fit, (reading.host_at(device_ns) - host_of(device_ns)) / MS


@pytest.mark.parametrize("seed", range(20))
def test_fit_is_within_a_millisecond_after_half_a_minute(seed: int) -> None:
    """With 5 ms of arrival jitter and 200 ppm of drift; deterministic by its seed."""
    fit, error_ms = followed(seed)
    assert abs(error_ms) < 1.0
    assert fit.drift_ppm == pytest.approx(-200, abs=40)


def test_residual_is_the_spread_of_arrivals() -> None:
    """Uniform within 5 ms either way has a root mean square of 2.9 ms."""
    fit, _ = followed(1)
    reading = fit.reading()
    assert reading is not None
    assert reading.residual_ns / MS == pytest.approx(5 / 3**0.5, rel=0.1)


def test_exchanges_take_the_mean_delay_out() -> None:
    """Arrivals that are all late by 7 ms are told from a clock that is 7 ms off."""
    fit = ClockFit()
    for k in range(200):
        fit.observe(k * STEP_NS, k * STEP_NS + 7 * MS)
    late = fit.reading()
    assert late is not None
    assert late.host_at(10 * S) == pytest.approx(10 * S + 7 * MS, abs=10_000)
    fit.exchange(5 * S - MS // 2, 5 * S, 5 * S, 5 * S + MS // 2)
    fit.exchange(6 * S - 90 * MS, 6 * S, 6 * S, 6 * S + 10 * MS)  # a slow one says less
    assert fit.delay_ns == pytest.approx(7 * MS, abs=10_000)
    right = fit.reading()
    assert right is not None
    assert right.host_at(10 * S) == pytest.approx(10 * S, abs=10_000)


def test_one_late_arrival_does_not_move_the_fit() -> None:
    """A message held up for two seconds says nothing about the clock."""
    fit, _ = followed(3)
    before = fit.reading()
    fit.observe(10**11 + 31 * S, 1_795_000_000 * S + 33 * S)
    assert fit.reading() == before


def test_clock_that_moved_is_followed() -> None:
    """Many surprises in a row are a new truth."""
    fit, _ = followed(3)
    device_ns, host_ns = 10**11 + 31 * S, 1_795_000_000 * S + 131 * S
    for k in range(MOST_SURPRISES + 2):
        fit.observe(device_ns + k * STEP_NS, host_ns + k * STEP_NS)
    reading = fit.reading()
    assert reading is not None
    assert reading.host_at(device_ns) == pytest.approx(host_ns, abs=MS)


def test_fit_is_exact_after_days() -> None:
    """A week of messages: the origin moves along, and nothing is lost to rounding."""
    fit = ClockFit()
    for minute in range(7 * 24 * 60):
        fit.observe(minute * 60 * S, minute * 60 * S + minute * 60 * 20_000)
    reading = fit.reading()
    assert reading is not None
    last = (7 * 24 * 60 - 1) * 60
    assert reading.host_at(last * S) == pytest.approx(last * S + last * 20_000, abs=100_000)
    assert fit.drift_ppm == pytest.approx(-20, abs=0.5)


def test_nothing_is_read_before_the_first_message() -> None:
    """No line without a point."""
    assert ClockFit().reading() is None
    assert ClockFit().delay_ns is None


# ---- rates ----


def test_rate_is_measured_in_the_devices_own_clock() -> None:
    """Said 200, sends 207.3; losses do not change it."""
    meter = RateMeter()
    for message in range(400):
        if message % 7 != 3:
            meter.observe(message * 10, round(message * 10 * S / 207.3))
    assert meter.rate_hz == pytest.approx(207.3, rel=1e-6)


def test_rate_is_unknown_before_two_seconds() -> None:
    """A number from less would be noise."""
    meter = RateMeter()
    assert meter.rate_hz is None
    meter.observe(0, 0)
    meter.observe(300, round(1.5 * S))
    assert meter.rate_hz is None
    meter.observe(400, 2 * S)
    assert meter.rate_hz == pytest.approx(200)


@given(st.integers(2, 2**32), st.lists(st.integers(-3, 400), max_size=50), st.integers(0, 2**32))
def test_counter_goes_on_where_it_starts_again(modulus: int, steps: list[int], start: int) -> None:
    """Steps below half the modulus, back ones too, are kept exactly."""
    unwrap = Unwrapper(modulus)
    truth = start % modulus
    first = unwrap(truth)
    for step in steps:
        step = max(-(modulus // 2), min(step, (modulus - 1) // 2))
        truth += step
        assert unwrap(truth % modulus) - first == truth - start % modulus


# ---- a regular clock out of arrivals ----


@pytest.mark.parametrize(
    ("true_hz", "nominal_hz", "bunch"), [(200, 200, 1), (203, 200, 1), (196.5, 200, 3), (50, 50, 2)]
)
def test_times_are_regular_and_their_rate_is_true(true_hz: float, nominal_hz: float, bunch: int) -> None:
    """16 ms of arrival jitter do not show; the rate converges to what really comes."""
    rng = np.random.default_rng(0)
    clock = SampleClock(nominal_hz)
    given_ns = []
    for piece in range(1, round(60 * true_hz / bunch)):
        host_ns = 10**18 + round(piece * bunch / true_hz * S + rng.uniform(0, 16) * MS)
        given_ns.append(clock.place(host_ns, bunch))
    t_ns = np.concatenate(given_ns)
    steps = np.diff(t_ns)
    assert (steps > 0).all()
    assert abs(np.diff(steps)).max() < 0.008 * S / true_hz
    last = t_ns[-round(20 * true_hz) :]
    assert (len(last) - 1) * S / (last[-1] - last[0]) == pytest.approx(true_hz, rel=0.001)
    assert clock.rate_hz == pytest.approx(true_hz, rel=0.001)
    assert clock.pauses == 0


def test_bunches_are_no_gaps() -> None:
    """Thirty samples at once, then nothing for a third of a second, again and again: one regular stream."""
    clock = SampleClock(100)
    t_ns = np.concatenate([clock.place(10**18 + k * 300 * MS, 30) for k in range(1, 40)])
    assert np.diff(t_ns).max() < 10.2 * MS
    assert clock.pauses == 0


def test_pause_of_the_board_is_a_gap() -> None:
    """Three seconds of nothing are three seconds of device time."""
    clock = SampleClock(100)
    before = [clock.place(k * 100 * MS, 10) for k in range(1, 50)][-1]
    after = clock.place(49 * 100 * MS + 3100 * MS, 10)
    assert after[0] - before[-1] == pytest.approx(3 * S, rel=0.01)
    assert clock.pauses == 1


@given(st.lists(st.tuples(st.integers(0, 3 * S), st.integers(1, 50)), max_size=60))
def test_times_always_advance(pieces: list[tuple[int, int]]) -> None:
    """However pieces arrive, no time is given twice or goes back."""
    clock = SampleClock(200)
    host_ns, last = 10**18, -1
    for step_ns, count in pieces:
        host_ns += step_ns
        t_ns = clock.place(host_ns, count)
        assert len(t_ns) == count
        assert t_ns[0] > last
        assert (np.diff(t_ns) > 0).all()
        last = int(t_ns[-1])
