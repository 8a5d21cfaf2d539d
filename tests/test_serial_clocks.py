"""A device's clock against the host's, its true rate, and regular times for boards that send none."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_edge.sources.serial.bridge import Bridge
from aura_edge.sources.serial.clock_fit import MOVED_S, ClockFit
from aura_edge.sources.serial.timeline import RateMeter, SampleClock, Unwrapper
from aura_edge_firmware_bridge.codec import encode
from aura_edge_firmware_bridge.messages import Hello, Samples

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
    """Surprises that agree for two seconds are a new truth."""
    fit, _ = followed(3)
    device_ns, host_ns = 10**11 + 31 * S, 1_795_000_000 * S + 131 * S
    for k in range(round(MOVED_S * S / STEP_NS) + 2):
        fit.observe(device_ns + k * STEP_NS, host_ns + k * STEP_NS)
    reading = fit.reading()
    assert reading is not None
    assert reading.host_at(device_ns) == pytest.approx(host_ns, abs=MS)


@pytest.mark.parametrize("seed", range(20))
def test_exchanges_bring_one_sided_delays_within_a_millisecond(seed: int) -> None:
    """Arrivals and both ways of every exchange take 0 to 5 ms: the quickest out and the quickest back say what the mean is."""
    rng = np.random.default_rng(seed)
    fit, device_ns = ClockFit(), 0
    for k in range(600):
        device_ns += STEP_NS
        fit.observe(device_ns, round(device_ns * 1.0002 + rng.uniform(0, 5) * MS))
        if (k < 40 and k % 4 == 0) or k % 40 == 0:
            out, back = rng.uniform(0, 5, 2) * MS
            fit.exchange(
                round(device_ns * 1.0002 - out), device_ns, device_ns + MS, round((device_ns + MS) * 1.0002 + back)
            )
    reading = fit.reading()
    assert reading is not None
    assert reading.host_at(device_ns) == pytest.approx(device_ns * 1.0002, abs=MS)
    assert fit.delay_ns == pytest.approx(2.5 * MS, abs=MS)


def test_exchange_that_no_clock_allows_is_left_out() -> None:
    """An answer that came back sooner than it was sent says nothing."""
    fit = ClockFit()
    fit.observe(0, 0)
    fit.exchange(0, 0, 10 * MS, 5 * MS)
    assert fit.delay_ns is None


@pytest.mark.parametrize("rate_hz", [20, 200])
@pytest.mark.parametrize("stall_s", [1.0, 3.0, 10.0, 30.0])
def test_what_a_stall_held_up_does_not_move_the_fit(stall_s: float, rate_hz: int) -> None:
    """All that waited arrives at one time, each message less late than the one before: none of it is believed."""
    fit, rng = ClockFit(), np.random.default_rng(5)
    for k in range(80 * rate_hz):
        device_ns = k * S // rate_hz
        arrival_ns = device_ns * 1.0002 + rng.uniform(-5, 5) * MS
        if 40 * S <= device_ns < (40 + stall_s) * S:
            arrival_ns = (40 + stall_s) * S * 1.0002
        fit.observe(device_ns, round(arrival_ns))
        if device_ns >= 40 * S:
            reading = fit.reading()
            assert reading is not None
            assert reading.host_at(device_ns) == pytest.approx(device_ns * 1.0002, abs=2 * MS)


@pytest.mark.parametrize("waiting_s", [0.2, 1.5, 10.0])
def test_what_waited_in_a_buffer_at_the_start_is_forgotten(waiting_s: float) -> None:
    """A port that is opened gives what came before, all at once: half a minute later nothing of it is left in the fit."""
    fit, rng = ClockFit(), np.random.default_rng(5)
    for k in range(round((waiting_s + 30) * 20)):
        device_ns = k * STEP_NS
        arrival_ns = max(device_ns * 1.0002 + rng.uniform(-5, 5) * MS, waiting_s * S * 1.0002 + k * 1000)
        fit.observe(device_ns, round(arrival_ns))
    reading = fit.reading()
    assert reading is not None
    assert reading.host_at(device_ns) == pytest.approx(device_ns * 1.0002, abs=2 * MS)


@pytest.mark.parametrize("drift", [0.01, -0.01, 0.02])
def test_oscillator_that_is_off_by_percents_is_followed(drift: float) -> None:
    """What is usual of crystals does not draw a resonator's rate towards the host's."""
    fit, error_ms = followed(2, drift=drift)
    assert abs(error_ms) < 1.0
    assert fit.drift_ppm == pytest.approx(-drift * 1e6, abs=60)


@pytest.mark.parametrize("step_s", [-3600.0, -1.0, 1.0, 3600.0])
@pytest.mark.parametrize("at_s", [1.0, 5.0, 40.0])
def test_host_clock_that_is_set_is_followed(at_s: float, step_s: float) -> None:
    """Within seconds, also while the fit is still settling."""
    fit, rng = ClockFit(), np.random.default_rng(5)
    for k in range(round((at_s + 10) * 20)):
        device_ns = k * STEP_NS
        host_ns = device_ns + (round(step_s * S) if device_ns > at_s * S else 0)
        fit.observe(device_ns, host_ns + round(rng.uniform(-5, 5) * MS))
    reading = fit.reading()
    assert reading is not None
    assert reading.host_at(device_ns) == pytest.approx(host_ns, abs=4 * MS)


def test_wire_that_calms_down_is_believed() -> None:
    """After a minute of arrivals off by up to a fifth of a second, twenty seconds within 5 ms count for more."""
    fit, rng = ClockFit(), np.random.default_rng(5)
    for k in range(80 * 20):
        spread_ms = 200 if k < 60 * 20 else 5
        fit.observe(k * STEP_NS, k * STEP_NS + round(rng.uniform(-spread_ms, spread_ms) * MS))
    reading = fit.reading()
    assert reading is not None
    assert reading.host_at(80 * S) == pytest.approx(80 * S, abs=2 * MS)


def test_wire_that_gets_worse_is_not_lost() -> None:
    """Arrivals that are late by a tenth to four tenths of a second from now on are surprises for ten seconds, and then the truth."""
    fit, rng = ClockFit(), np.random.default_rng(5)
    for k in range(60 * 20):
        delay_ms = rng.uniform(0, 2) if k < 30 * 20 else rng.uniform(100, 400)
        fit.observe(k * STEP_NS, k * STEP_NS + round(delay_ms * MS))
    reading = fit.reading()
    assert reading is not None
    assert reading.host_at(60 * S) == pytest.approx(60 * S + 250 * MS, abs=50 * MS)
    assert reading.residual_ns == pytest.approx(300 / 12**0.5 * MS, rel=0.2)


@given(st.integers(0, 2**32))
def test_any_trouble_is_over_half_a_minute_after_it(seed: int) -> None:
    """Steps of the host's clock, stalls and silences in any mixture: forty sound seconds later the fit is right again."""
    rng = random.Random(seed)
    fit, device_ns, step_ns, held_ns = ClockFit(), 0, 0, 0.0
    trouble_ns = rng.uniform(1, 30) * S
    while device_ns < trouble_ns + 40 * S:
        device_ns += STEP_NS
        if device_ns < trouble_ns:
            device_ns += round(rng.uniform(0, 30) * S) if rng.random() < 0.001 else 0
            step_ns += rng.choice([-3600, -10, -1, 1, 10, 3600]) * S if rng.random() < 0.01 else 0
            held_ns = device_ns + step_ns + rng.uniform(0, 10) * S if rng.random() < 0.02 else held_ns
        arrival_ns = device_ns + step_ns + rng.uniform(-5, 5) * MS
        waits = device_ns < trouble_ns and held_ns - arrival_ns < 20 * S
        fit.observe(device_ns, round(max(arrival_ns, held_ns) if waits else arrival_ns))
    reading = fit.reading()
    assert reading is not None
    assert reading.host_at(device_ns) == pytest.approx(device_ns + step_ns, abs=5 * MS)


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


def test_rate_is_not_moved_by_a_few_wrong_times() -> None:
    """Three of sixty marks are off by a fifth of a second, the last one among them."""
    meter = RateMeter()
    for half in range(60):
        wrong_ns = S // 5 if half in (10, 41, 59) else 0
        meter.observe(half * 100, half * S // 2 + wrong_ns)
    assert meter.rate_hz == pytest.approx(200, rel=1e-4)


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
    ("true_hz", "nominal_hz", "bunch"),
    [(200, 200, 1), (203, 200, 1), (196.5, 200, 3), (50, 50, 2), (50, 51, 30), (100, 98, 20)],
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
    assert abs(np.diff(steps)).max() < 0.005 * S / true_hz
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
    """Three seconds of nothing are three seconds of device time, and the rate after them is the one before."""
    clock = SampleClock(100)
    arrivals_ns = [k * 10 * S / 103 + (3 * S if k > 600 else 0) for k in range(1, 640)]
    given_ns = [clock.place(round(arrival_ns), 10) for arrival_ns in arrivals_ns]
    assert given_ns[600][0] - given_ns[599][-1] == pytest.approx(3 * S, rel=0.01)
    assert np.diff(np.concatenate(given_ns[600:])) == pytest.approx(S / 103, rel=0.002)
    assert clock.pauses == 1


def test_stall_of_the_host_is_one_gap_and_does_not_change_the_rate() -> None:
    """What came while the host did not read arrives at once: the rate stays what it was."""
    clock, rates = SampleClock(200), []
    for k in range(1, 200 * 60):
        arrival_ns = k * 5 * MS
        clock.place(23 * S + k if 20 * S <= arrival_ns < 23 * S else arrival_ns, 1)
        rates.append(clock.rate_hz)
    assert clock.pauses == 1
    assert max(rates) - min(rates) < 0.2


@pytest.mark.parametrize("step_s", [-3600.0, -0.3])
def test_host_clock_set_back_does_not_change_the_rate(step_s: float) -> None:
    """No time is given twice, none is left out, the period stays, and a pause is still seen."""
    clock, given_ns = SampleClock(200), []
    for k in range(1, 200 * 60):
        given_ns.append(clock.place(10**18 + k * 5 * MS + (round(step_s * S) if k > 4000 else 0), 1))
    steps = np.diff(np.concatenate(given_ns))
    assert steps.min() > 0.999 * 5 * MS
    assert steps.max() < 1.001 * 5 * MS
    assert clock.pauses == 0
    clock.place(10**18 + 63 * S + round(step_s * S), 1)
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


# ---- what a board sends, however it is lost, doubled, overtaken, wrapped, silent or started anew ----


@given(st.integers(0, 2**32), st.booleans())
def test_every_step_of_a_board_is_taken_for_what_it_is(seed: int, numbered_starts: bool) -> None:
    """Given and lost are what was made; a restart is never taken for a wrap nor a wrap for a restart, also after hours of silence."""
    rng, bridge, host_ns = random.Random(seed), Bridge("board"), 10**18
    wrap_ns, run_ns, raw = (1 << 32) * 1000, STEP_NS, np.zeros((10, 6), np.int16)
    device_ns = wrap_ns - rng.randrange(20 * S // 1000) * 1000
    sequence = made = wraps = restarts = 0
    seen_ns = device_ns

    def boot() -> None:
        start = rng.randrange(1, 1 << 32) if numbered_starts else 0
        said = Hello("id", "fw", "part", start, device_ns // 1000, sequence, 200.0, 0.0, 0.01, 0.001, 80.0, 30.0)
        bridge.feed(host_ns, encode(said))

    def message() -> bytes:
        nonlocal device_ns, host_ns, sequence, made, wraps, seen_ns
        wraps += device_ns // wrap_ns - seen_ns // wrap_ns
        seen_ns = device_ns
        data = encode(Samples(sequence, device_ns // 1000 % (1 << 32), run_ns // 10, raw))
        device_ns, host_ns, sequence, made = device_ns + run_ns, host_ns + run_ns, sequence + 10, made + 10
        return data

    boot()
    for _ in range(rng.randrange(1, 6)):
        for _ in range(30):  # a restart in the first second can be told by its boot number only
            bridge.feed(host_ns, message())
        for _ in range(rng.randrange(60)):
            arrives = [message() for _ in range(2)]
            arrives = rng.choice([arrives, arrives, arrives[1:], [*arrives, arrives[0]], arrives[::-1]])
            for data in arrives:
                bridge.feed(host_ns, data)
        bridge.feed(host_ns, message())
        away_ns = rng.choice([2, 30, 59, 61, 90, 600, 2000, 2400, 4300, 5000, 20000]) * S
        host_ns += round(away_ns * (1 + rng.uniform(-2e-4, 2e-4)))
        if rng.random() < 0.5:
            device_ns, sequence, made = (
                device_ns + away_ns,
                sequence + away_ns // run_ns * 10,
                made + away_ns // run_ns * 10,
            )
        else:
            device_ns, sequence, restarts = rng.randrange(2 * S // 1000) * 1000, 0, restarts + 1
            seen_ns = device_ns
            if numbered_starts or rng.random() < 0.5:
                boot()
    bridge.feed(host_ns, message())
    chunks = [*bridge.drain(), *bridge.finish()]
    told = bridge.report()
    assert sum(len(chunk.samples) for chunk in chunks) + told["lost"] == made
    assert (told["clock_wraps"], told.get("restarts", 0), told["clock_restarts"]) == (wraps, restarts, restarts)
    times = [int(t_ns) for chunk in chunks for t_ns in chunk.t_ns]
    assert all(before < after for before, after in pairwise(times))
