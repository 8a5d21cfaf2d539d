"""The resampling contract: frequency response, gaps, accounting, and results that do not depend on how the input was cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aura_edge.errors import InputError
from aura_edge.resample import Resampler
from aura_edge.types import GridBlock, ImuChunk

Samples = NDArray[np.float32]
Times = NDArray[np.int64]


def noise(count: int, seed: int = 0) -> Samples:
    return np.random.default_rng(seed).normal(size=(count, 6)).astype(np.float32)


def regular(count: int, rate_hz: float) -> Times:
    return np.rint(np.arange(count) * 1e9 / rate_hz).astype(np.int64)


def run(resampler: Resampler, t_ns: Times, samples: Samples, cuts: list[int] | None = None) -> list[GridBlock]:
    edges = [0, *sorted(cuts or []), len(t_ns)]
    blocks: list[GridBlock] = []
    for start, end in pairwise(edges):
        blocks += resampler.push(ImuChunk(t_ns[start:end], samples[start:end], host_ns=end))
    return blocks + resampler.finish()


def joined(blocks: list[GridBlock]) -> list[tuple[int, str | None, bytes, bytes, bytes]]:
    """Each segment as start, reason of its end and the bytes of its samples, marks and counts."""
    segments: list[list[GridBlock]] = []
    for block in blocks:
        if block.starts_segment:
            segments.append([])
        segments[-1].append(block)
    return [
        (
            parts[0].t0_ns,
            parts[-1].ends_segment,
            np.concatenate([p.samples for p in parts]).tobytes(),
            np.concatenate([p.interpolated for p in parts]).tobytes(),
            np.concatenate([p.inputs for p in parts]).tobytes(),
        )
        for parts in segments
    ]


def accounted(resampler: Resampler, blocks: list[GridBlock]) -> int:
    return sum(int(block.inputs.sum()) for block in blocks) + sum(resampler.dropped.values())


def test_samples_on_the_grid_pass_unchanged() -> None:
    """A regular 200 Hz recording is given back bit for bit, with nothing interpolated."""
    samples = noise(3000)
    blocks = run(Resampler(200), regular(3000, 200), samples)
    assert np.array_equal(np.concatenate([b.samples for b in blocks]), samples)
    assert not any(b.interpolated.any() for b in blocks)


def gain_db(rate_hz: float, tone_hz: float, jitter: float = 0.0) -> float:
    t_ns = regular(int(rate_hz * 6), rate_hz)
    late = np.random.default_rng(7).uniform(-jitter, jitter, len(t_ns)) * 1e9 / rate_hz
    t_ns = t_ns + np.rint(late).astype(np.int64)
    samples = np.zeros((len(t_ns), 6), np.float32)
    samples[:, 2] = np.sin(2 * np.pi * tone_hz * t_ns / 1e9)
    out = np.concatenate([b.samples for b in run(Resampler(rate_hz), t_ns, samples)])[200:-200, 2]
    return float(20 * np.log10(max(out.std() * np.sqrt(2), 1e-12)))


@pytest.mark.parametrize("rate_hz", [250, 416, 800, 1000, 1125, 2000])
def test_pass_band_is_flat_and_stop_band_is_down(rate_hz: float) -> None:
    """Going down, up to 80 Hz passes within 0.1 dB and everything from 120 Hz on is at least 60 dB down."""
    for tone_hz in (2, 10, 33, 61, 80):
        assert abs(gain_db(rate_hz, tone_hz)) < 0.1
    for tone_hz in (120, 131, 170, 233, 480, 940):
        if tone_hz < rate_hz / 2:
            assert gain_db(rate_hz, tone_hz) < -60


@pytest.mark.parametrize("rate_hz", [800, 1000])
def test_jitter_of_glasses_does_not_open_the_stop_band(rate_hz: float) -> None:
    """With 6 % of clock jitter, as Aria glasses have, tones from 120 to 200 Hz are still 60 dB down, and 80 Hz passes."""
    assert abs(gain_db(rate_hz, 80, 0.06)) < 0.1
    for tone_hz in (120, 150, 200) if rate_hz == 1000 else (120, 140):
        assert gain_db(rate_hz, tone_hz, 0.06) < -60


@pytest.mark.parametrize(("rate_hz", "jitter", "error"), [(208, 0.05, 0.004), (416, 0.1, 0.002), (1000, 0.3, 0.001)])
def test_jitter_makes_no_noise_of_motion(rate_hz: float, jitter: float, error: float) -> None:
    """A movement of 10 Hz sampled by a jittered clock, whose times are known, comes out as it was."""
    rng = np.random.default_rng(3)
    t_ns = regular(2000, rate_hz) + np.rint(rng.uniform(-jitter, jitter, 2000) * 1e9 / rate_hz).astype(np.int64)
    samples = np.repeat(np.sin(2 * np.pi * 10 * t_ns / 1e9)[:, None], 6, axis=1).astype(np.float32)
    blocks = run(Resampler(rate_hz), t_ns, samples)
    out = np.concatenate([b.samples for b in blocks])[20:-20, 0]
    grid_s = blocks[0].t0_ns / 1e9 + np.arange(20, len(out) + 20) / 200
    assert np.sqrt(np.mean((out - np.sin(2 * np.pi * 10 * grid_s)) ** 2)) < error


def test_samples_in_one_bunch_do_not_run_wild() -> None:
    """Arrival times, several within microseconds and then a pause: noise comes out no louder than it went in."""
    t_ns = np.sort(regular(2000, 1000) // 16_000_000 * 16_000_000 + np.arange(2000) * 7_000)
    out = np.concatenate([b.samples for b in run(Resampler(1000), t_ns, noise(2000))])
    assert np.abs(out).max() < np.abs(noise(2000)).max()


@pytest.mark.parametrize("rate_hz", [20, 50, 104, 190])
def test_going_up_follows_slow_motion(rate_hz: float) -> None:
    """Going up, a motion far below the input's Nyquist rate is followed within 2 % of its amplitude."""
    rng = np.random.default_rng(1)
    count = int(rate_hz * 10)
    t_ns = regular(count, rate_hz) + rng.integers(-int(1e8 / rate_hz), int(1e8 / rate_hz), count)
    tone_hz = rate_hz / 25
    samples = np.repeat(np.sin(2 * np.pi * tone_hz * t_ns / 1e9)[:, None], 6, axis=1).astype(np.float32)
    blocks = run(Resampler(rate_hz), t_ns, samples)
    out = np.concatenate([b.samples for b in blocks])[:, 0]
    grid_s = blocks[0].t0_ns / 1e9 + np.arange(len(out)) / 200
    assert np.abs(out - np.sin(2 * np.pi * tone_hz * grid_s)).max() < 0.02


@pytest.mark.parametrize("rate_hz", [20, 104, 200, 1000])
def test_gravity_survives_jitter_exactly(rate_hz: float) -> None:
    """A constant stays that constant whatever the clock does."""
    rng = np.random.default_rng(2)
    t_ns = regular(400, rate_hz) + rng.integers(0, int(0.4e9 / rate_hz), 400)
    samples = np.full((400, 6), 9.80665, np.float32)
    out = np.concatenate([b.samples for b in run(Resampler(rate_hz), t_ns, samples)])
    assert np.abs(out - np.float32(9.80665)).max() < 2e-6


@pytest.mark.parametrize(("rate_hz", "limit_ns"), [(1000, 20_000_000), (104, 24_038_462), (20, 125_000_000)])
def test_holes_up_to_the_limit_are_bridged_and_longer_ones_end_the_segment(rate_hz: float, limit_ns: int) -> None:
    """20 ms, or two and a half periods where those are longer, is the longest hole that is bridged; it is marked as interpolated."""
    for hole_ns, segments in ((limit_ns, 1), (limit_ns + 1, 2)):
        before = regular(300, rate_hz)
        t_ns = np.concatenate([before, before + before[-1] + hole_ns])
        blocks = run(Resampler(rate_hz), t_ns, noise(600))
        assert sum(b.starts_segment for b in blocks) == segments
        assert [b.ends_segment for b in blocks if b.ends_segment] == ["gap", "end"][-segments:]
        marked_s = sum(int(b.interpolated.sum()) for b in blocks) / 200
        assert marked_s == pytest.approx(hole_ns / 1e9 if segments == 1 else 0, abs=0.006)


def test_delay_is_constant_and_stated() -> None:
    """A grid sample comes with the first input later than it by more than the stated delay, and not before."""
    for rate_hz in (50, 200, 1000):
        resampler = Resampler(rate_hz)
        given = 0
        for t, row in zip(regular(400, rate_hz).tolist(), noise(400), strict=True):
            given += sum(len(b.samples) for b in resampler.push(ImuChunk(np.array([t]), row[None], 0)))
            settled = t - round(resampler.delay_s * 1e9)
            assert given == max(0, -(-settled // 5_000_000))


def test_impossible_samples_are_dropped_and_counted() -> None:
    """Non-finite, absurd, repeated and late samples are refused, each under its own name."""
    t_ns, samples = regular(1000, 200).copy(), noise(1000)
    samples[10, 3] = np.nan
    samples[20, 0] = 1e30
    t_ns[30] = 1 << 62
    t_ns[40] = t_ns[39]
    t_ns[50] = t_ns[45]
    resampler = Resampler(200)
    blocks = run(resampler, t_ns, samples)
    assert dict(resampler.dropped) == {"non_finite": 1, "out_of_range": 2, "duplicate": 1, "late": 1}
    assert accounted(resampler, blocks) == resampler.read == 1000
    assert all(np.isfinite(b.samples).all() and np.abs(b.samples).max() < 10 for b in blocks)


def test_a_clock_that_goes_back_starts_a_new_segment() -> None:
    """After a reset the stream goes on, rather than counting everything as late."""
    t_ns = np.concatenate([regular(800, 200) + 10_000_000_000, regular(900, 200)])
    blocks = run(Resampler(200), t_ns, noise(1700))
    assert [b.ends_segment for b in blocks if b.ends_segment] == ["reset", "end"]
    assert sum(len(b.samples) for b in blocks) == 1700


def test_losses_before_the_host_are_counted_from_the_sequence() -> None:
    """A jump of the device's own count is a loss, however the times look."""
    resampler = Resampler(200)
    t_ns, samples = regular(40, 200), noise(40)
    resampler.push(ImuChunk(t_ns[:20], samples[:20], 0, sequence=100))
    resampler.push(ImuChunk(t_ns[30:], samples[30:], 0, sequence=130))
    assert resampler.lost == 10


def test_readings_at_full_scale_are_counted() -> None:
    """Samples at the sensor's range are marked as clipped."""
    samples = noise(1000)
    samples[100:110, 1] = 156.9
    samples[200, 5] = -34.9
    blocks = run(Resampler(200, acc_range_m_s2=156.9, gyro_range_rad_s=34.9), regular(1000, 200), samples)
    assert sum(int(b.clipped.sum()) for b in blocks) == 11


@pytest.mark.parametrize("rate_hz", [19.9, 2000.1, float("nan"), 0.0])
def test_rates_outside_the_contract_are_refused(rate_hz: float) -> None:
    """The error names what was found and what was expected."""
    with pytest.raises(InputError, match="expected 20 to 2000 Hz"):
        Resampler(rate_hz)


def test_rows_that_do_not_match_their_times_are_refused() -> None:
    """A chunk of another shape is an error, not a broadcast."""
    with pytest.raises(InputError, match=r"expected \(5, 6\)"):
        Resampler(200).push(ImuChunk(regular(5, 200), noise(4), 0))


def test_a_single_sample_is_accounted_for() -> None:
    """One sample makes one grid sample and carries itself."""
    for rate_hz in (50, 1000):
        blocks = run(Resampler(rate_hz), np.array([7]), noise(1))
        assert [(len(b.samples), int(b.inputs.sum()), b.ends_segment) for b in blocks] == [(1, 1, "end")]


@st.composite
def dirty_streams(draw: st.DrawFn) -> tuple[float, Times, Samples, list[int]]:
    """A stream with jitter, holes, repeats, steps back, resets and damage, and places to cut it."""
    rate_hz = draw(st.sampled_from([20.0, 50.0, 102.4, 150.0, 198.0, 200.0, 208.0, 416.0, 1000.0]))
    count = draw(st.integers(1, 260))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    steps = np.full(count, 1e9 / rate_hz)
    if draw(st.booleans()):
        steps *= rng.uniform(0.7, 1.3, count)
    oddities = rng.random(count)
    steps[oddities < 0.03] *= rng.uniform(1.5, 6.0)
    if draw(st.booleans()):
        steps[oddities > 0.98] = 0
        steps[(oddities > 0.96) & (oddities <= 0.98)] *= -2
    if draw(st.booleans()):
        steps[int(rng.integers(count))] = -3e9
    t_ns = np.rint(np.cumsum(steps)).astype(np.int64)
    samples = rng.normal(size=(count, 6)).astype(np.float32)
    if draw(st.booleans()):
        samples[rng.random(count) < 0.05, 2] = np.nan
    return rate_hz, t_ns, samples, draw(st.lists(st.integers(0, count), max_size=12))


@settings(max_examples=150, deadline=None)
@given(dirty_streams())
def test_cutting_the_input_changes_nothing(stream: tuple[float, Times, Samples, list[int]]) -> None:
    """Any chunking gives bit-identical segments, and every sample read is given or counted."""
    rate_hz, t_ns, samples, cuts = stream
    whole, cut = Resampler(rate_hz), Resampler(rate_hz)
    expected, found = run(whole, t_ns, samples), run(cut, t_ns, samples, cuts)
    assert joined(found) == joined(expected)
    assert cut.dropped == whole.dropped
    assert accounted(whole, expected) == whole.read == len(t_ns)


def test_one_sample_at_a_time_changes_nothing() -> None:
    """The smallest chunks give the same bits too."""
    rng = np.random.default_rng(5)
    for rate_hz in (104.0, 1000.0):
        t_ns = np.cumsum(rng.uniform(0.8, 1.2, 500) * 1e9 / rate_hz).astype(np.int64)
        samples = noise(500)
        one = run(Resampler(rate_hz), t_ns, samples, list(range(1, 500)))
        assert joined(one) == joined(run(Resampler(rate_hz), t_ns, samples))
