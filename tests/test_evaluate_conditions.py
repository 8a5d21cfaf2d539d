"""Windows worn otherwise: what a slower sensor loses and keeps, noise of the size asked for, and the same numbers every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="rotations are drawn with it; it comes with aura-edge[train]")

from aura_edge.errors import RecipeError  # noqa: E402
from aura_edge_train.datasets.index import Index, Segment  # noqa: E402
from aura_edge_train.datasets.made_up import MADE_UP  # noqa: E402
from aura_edge_train.datasets.store import Store, open_store  # noqa: E402
from aura_edge_train.evaluation.conditions import GYRO_NOISE_SHARE, Conditions, Wearing  # noqa: E402

N = 1000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(MADE_UP, Path(), cache=tmp_path_factory.mktemp("cache"))


def tones(*tones_hz: float, samples: int = 3000) -> Store:
    """A store of one segment: a sum of sines on every channel, each channel of its own phase."""
    t_s = np.arange(samples)[:, None] / 200
    signals = sum(np.sin(2 * np.pi * hz * t_s + np.arange(6)) for hz in tones_hz)
    index = Index("tones", "", 200.0, ("a",), (Segment("r", "p", 0, samples),), {})
    return Store(MADE_UP, index, np.asarray(signals, np.float32), np.zeros(samples, np.int8))


def worn(store: Store, starts: NDArray[np.int64], seed: int = 0, **conditions: float) -> NDArray[np.float32]:
    return Wearing(Conditions(**conditions), seed=seed).windows(store, starts, N)  # type: ignore[arg-type]


def test_nothing_asked_for_changes_nothing(store: Store) -> None:
    """Windows are the store's own."""
    starts = store.window_starts("test", N)
    assert np.array_equal(worn(store, starts), store.windows(starts, N))


def test_slow_sensor_keeps_what_it_can_see_and_loses_the_rest() -> None:
    """At 20 Hz, 2 Hz stay and 15 Hz are gone: not folded down to 5 Hz, as decimation by index would have it."""
    starts = np.array([0, 700, 2000])
    kept = worn(tones(2.0), starts, rate_hz=20)
    np.testing.assert_allclose(kept[1], tones(2.0).windows(starts, N)[1], atol=0.1)
    lost = worn(tones(15.0), starts, rate_hz=20)
    assert np.abs(lost[1]).max() < 0.01
    assert np.abs(lost[[0, 2]]).max() < 0.6, "where a segment ends, its last sample stays: a step, no more"
    both = worn(tones(2.0, 15.0), starts, rate_hz=20)
    np.testing.assert_allclose(both[1], kept[1], atol=0.01)


def test_windows_know_what_lies_around_them() -> None:
    """A window inside its segment is what it would be had all of it been resampled: neighbours agree where they overlap."""
    found = worn(tones(1.0, 3.0), np.array([1000, 1010]), rate_hz=20)  # one period of the sensor apart
    np.testing.assert_allclose(found[0][:, 10:], found[1][:, :-10], atol=1e-5)


@given(rate_hz=st.floats(20, 200), level=st.floats(-9, 9))
@settings(max_examples=25, deadline=None)
def test_any_rate_leaves_rest_alone(rate_hz: float, level: float) -> None:
    """What does not change is the same to every sensor."""
    still = tones(0.0)
    still = Store(still.data_set, still.index, np.full_like(still.signals, level), still.labels)
    found = worn(still, np.array([0, 500]), rate_hz=rate_hz)
    assert found.shape == (2, 6, N)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, level, atol=1e-4)


def test_full_rate_is_no_change_but_rounding() -> None:
    """200 Hz of 200 Hz."""
    starts = np.array([300])
    np.testing.assert_allclose(
        worn(tones(2.0, 30.0), starts, rate_hz=200), tones(2.0, 30.0).windows(starts, N), atol=1e-5
    )


def test_sensor_faster_than_the_store_is_refused() -> None:
    """Nothing is made up above what was recorded."""
    with pytest.raises(RecipeError, match="ask for a slower one"):
        worn(tones(2.0), np.array([0]), rate_hz=400)


def test_noise_has_the_size_asked_for(store: Store) -> None:
    """On accelerations, and its share on rates; the seed decides, also which noise a slow sensor has."""
    starts = store.window_starts("test", N)[:20]
    added = worn(store, starts, noise_m_s2=0.5) - store.windows(starts, N)
    assert added[:, :3].std() == pytest.approx(0.5, rel=0.02)
    assert added[:, 3:].std() == pytest.approx(0.5 * GYRO_NOISE_SHARE, rel=0.02)
    assert np.array_equal(worn(store, starts, noise_m_s2=0.5), worn(store, starts, noise_m_s2=0.5))
    assert not np.array_equal(worn(store, starts, 1, noise_m_s2=0.5), worn(store, starts, 2, noise_m_s2=0.5))
    slow = worn(store, starts, noise_m_s2=0.5, rate_hz=50) - worn(store, starts, rate_hz=50)
    assert 0.3 < slow[:, :3].std() < 0.5, "the cubic between noisy samples is smoother than they are"


def test_sentence_says_what_was_changed() -> None:
    """For people."""
    assert Conditions().sentence == ""
    said = Conditions(rotation_seed=4, rate_hz=25, noise_m_s2=0.1).sentence
    assert said == "each window turned (seed 4), as from a sensor of 25 Hz, noise of 0.1 m/s2 added"
