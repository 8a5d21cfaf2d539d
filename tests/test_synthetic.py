"""Made-up motion: the same however it is cut, countable, and physically of one piece."""

from __future__ import annotations

import math
from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aura_edge.errors import InputError
from aura_edge.resample import Resampler
from aura_edge.sources import open_source
from aura_edge.sources.replay import Player
from aura_edge.sources.synthetic import Gait, SyntheticRecording, angles, motion
from aura_edge.types import STANDARD_GRAVITY_M_S2


def test_the_url_makes_so_many_seconds() -> None:
    """`seconds` times `rate_hz` samples come, one period apart."""
    source = open_source("synthetic:?seconds=30&seed=1&rate_hz=104&speed=max")
    t_ns = np.concatenate([chunk.t_ns for chunk in source])
    assert source.info.rate_hz == 104
    assert len(t_ns) == 30 * 104
    assert set(np.diff(t_ns).tolist()) == {9615384, 9615385}


@settings(max_examples=20)
@given(chunk_s=st.floats(0.001, 5), other_s=st.floats(0.001, 5), seed=st.integers(0, 5))
def test_samples_do_not_depend_on_the_cut(chunk_s: float, other_s: float, seed: int) -> None:
    """Any two chunk lengths give the same bits, with jitter and loss."""

    def played(length_s: float) -> tuple[bytes, bytes]:
        recording = SyntheticRecording(seconds=30, seed=seed, jitter_ms=3, loss=0.1)
        chunks = list(Player(recording, speed="max", chunk_s=length_s))
        return b"".join(c.t_ns.tobytes() for c in chunks), b"".join(c.samples.tobytes() for c in chunks)

    assert played(chunk_s) == played(other_s)


def test_a_longer_recording_begins_like_a_shorter_one() -> None:
    """A sample does not know how many come after it."""
    short = next(SyntheticRecording(seconds=3, jitter_ms=1).blocks())
    long = next(SyntheticRecording(jitter_ms=1).blocks())
    np.testing.assert_array_equal(short.samples, long.samples[:300])
    np.testing.assert_array_equal(short.t_ns, long.t_ns[:300])


def test_seeds_differ() -> None:
    """Another seed is another walk."""
    one, other = (next(SyntheticRecording(seed=seed).blocks()).samples for seed in (1, 2))
    assert not np.allclose(one, other, atol=0.1)


def test_without_seconds_it_never_ends() -> None:
    """Only `close` ends it."""
    source = open_source("synthetic:", speed="max")
    seen = 0
    for chunk in islice(source, 500):
        seen += len(chunk.t_ns)
        if seen > 20_000:
            source.close()
    assert 20_000 < seen < 21_000


def test_the_counter_proves_every_loss() -> None:
    """With `counter`, acc_x is the number of the sample, and `sequence` that of a chunk's first."""
    source = open_source("synthetic:?seconds=60&counter=1&loss=0.2&speed=max")
    chunks = list(source)
    firsts = [-1 if chunk.sequence is None else chunk.sequence for chunk in chunks]
    numbers = np.concatenate([chunk.samples[:, 0] for chunk in chunks])
    assert firsts == [int(chunk.samples[0, 0]) for chunk in chunks]
    assert np.all(np.diff(numbers) >= 1)
    lost = 6000 - len(numbers)
    assert 0.15 < lost / 6000 < 0.25
    counted = [*firsts, 6000]
    assert firsts[0] + sum(b - a - len(c.t_ns) for (a, b), c in zip(pairwise(counted), chunks, strict=True)) == lost


def test_without_loss_every_number_comes_once() -> None:
    """The counter runs without a hole."""
    chunks = list(open_source("synthetic:?seconds=40&counter=1&speed=max"))
    numbers = np.concatenate([chunk.samples[:, 0] for chunk in chunks])
    np.testing.assert_array_equal(numbers, np.arange(4000))


def test_jitter_moves_times_and_nothing_else() -> None:
    """Timestamps move by up to `jitter_ms`, the samples stay."""
    still, moved = (next(SyntheticRecording(jitter_ms=jitter).blocks()) for jitter in (0.0, 4.0))
    shift_ms = (moved.t_ns - still.t_ns) / 1e6
    assert 3.5 < np.abs(shift_ms).max() <= 4
    assert abs(shift_ms.mean()) < 0.5
    np.testing.assert_array_equal(still.samples, moved.samples)


def test_at_rest_it_reads_gravity_and_no_rate() -> None:
    """In the first ten seconds nobody moves."""
    block = next(SyntheticRecording(seconds=9.9).blocks(labels=True))
    assert block.labels is not None
    assert set(block.labels) == {"still"}
    assert np.median(np.linalg.norm(block.samples[:, :3], axis=1)) == pytest.approx(STANDARD_GRAVITY_M_S2, abs=0.05)
    assert np.abs(block.samples[:, 3:]).max() < 0.02


def test_walking_shows_its_step_frequency() -> None:
    """The vertical acceleration of the walk peaks at the step frequency of the gait."""
    gait = Gait.of_seed(4)
    t_s = np.arange(1200, 2200) / 100
    spectrum = np.abs(np.fft.rfft(motion(t_s, gait)[:, 2] - STANDARD_GRAVITY_M_S2))
    assert np.argmax(spectrum) * 0.1 == pytest.approx(gait.step_hz, abs=0.1)


def test_gyroscope_and_orientation_agree() -> None:
    """Turning a frame by the gyroscope's readings ends in the orientation of the formulae: the two sensors move as one body."""
    gait, rate_hz = Gait.of_seed(3), 2000
    t_s = np.arange(8 * rate_hz, 30 * rate_hz) / rate_hz
    rates = motion(t_s + 0.5 / rate_hz, gait)[:, 3:]
    turned = _orientation(angles(t_s[:1], gait)[:, 0])
    for rate in rates:
        turned = turned @ _rotation(rate / rate_hz)
    expected = _orientation(angles(t_s[-1:] + 1 / rate_hz, gait)[:, 0])
    np.testing.assert_allclose(turned, expected, atol=1e-4)
    assert angles(t_s[-1:], gait)[2, 0] == pytest.approx(math.pi, abs=0.2)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("synthetic:?rate_hz=0", "rate_hz is 0.0, expected 1 to 10000"),
        ("synthetic:?loss=1", "loss is 1.0"),
        ("synthetic:?jitter_ms=6", "jitter_ms is 6.0, expected 0 to 4.99"),
        ("synthetic:?seconds=0", "seconds is 0.0"),
        ("synthetic:?seconds=nan", "seconds is nan"),
        ("synthetic:?seed=-1", "seed is -1"),
        ("synthetic:?seed=many", "expected a number"),
        ("synthetic:?counter=perhaps", "expected 1 or 0"),
        ("synthetic:walk.csv", "takes no path"),
        ("synthetic:?loop=1", "option 'loop' means nothing to synthetic"),
    ],
)
def test_impossible_motion_is_refused(url: str, said: str) -> None:
    """The error names the option, what was found and what is possible."""
    with pytest.raises(InputError, match=said):
        open_source(url)


def _rotation(angle: np.ndarray) -> np.ndarray:
    """Rodrigues' formula."""
    size = float(np.linalg.norm(angle)) or 1e-30
    x, y, z = angle / size
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turned: np.ndarray = np.eye(3) + math.sin(size) * cross + (1 - math.cos(size)) * cross @ cross
    return turned


def _orientation(roll_pitch_yaw: np.ndarray) -> np.ndarray:
    roll, pitch, yaw = roll_pitch_yaw
    about_z, about_y = _rotation(np.array([0, 0, yaw])), _rotation(np.array([0, pitch, 0]))
    orientation: np.ndarray = about_z @ about_y @ _rotation(np.array([roll, 0, 0]))
    return orientation


@pytest.mark.parametrize("loss", [0.05, 0.3])
def test_every_loss_before_the_host_is_counted(loss: float) -> None:
    """What the resampler reads and what it finds lost add up to the last sample that came, wherever the losses fall."""
    resampler, last = Resampler(100.0), 0
    for chunk in open_source("synthetic:", speed="max", seconds=60.0, loss=loss):
        resampler.push(chunk)
        assert chunk.sequence is not None
        last = chunk.sequence + len(chunk.t_ns)
    first = next(iter(open_source("synthetic:", speed="max", seconds=60.0, loss=loss))).sequence or 0
    assert resampler.read + resampler.lost == last - first
    assert 5990 < last <= 6000
