"""A signal that contradicts how it was declared is told of, once."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from aura_edge.commands.stream import demo_file
from aura_edge.diagnosis import JUDGED_BY, Diagnosis, GravityCheck
from aura_edge.resample import Resampler
from aura_edge.sources.presets import preset
from aura_edge.sources.recordings import read_recording, read_trials
from aura_edge.testing import motion
from aura_edge.types import ImuChunk, Window


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


# ---- the whole diagnosis ----

RECORDING = demo_file("demo_recording.npz")


@pytest.fixture(scope="module")
def worn() -> NDArray[np.float32]:
    """(6, n) of the demo recording at 200 Hz: somebody gets up, walks, turns, sits down."""
    trial = read_recording(RECORDING)
    resampler = Resampler(trial.info.rate_hz)
    blocks = [*resampler.push(ImuChunk(trial.t_ns, trial.samples, 0)), *resampler.finish()]
    return np.concatenate([block.samples for block in blocks]).T


def said(signal: NDArray[np.float32], *, seconds: float = 10.0, clipped: float = 0.0) -> list[str]:
    """What is said within so many seconds."""
    diagnosis = Diagnosis(rate_hz=200.0)
    for start in range(0, round(seconds * 200) - 1000 + 1, 100):
        t0_ns = start * 5_000_000
        diagnosis.see(Window(signal[:, start : start + 1000], t0_ns, t0_ns + 5_000_000_000, 0, 0.0, clipped))
    return diagnosis.notes


def scaled(signal: NDArray[np.float32], acc: float = 1.0, gyro: float = 1.0) -> NDArray[np.float32]:
    return (signal * np.repeat([acc, gyro], 3)[:, None]).astype(np.float32)


def test_nothing_is_said_of_a_recording_as_it_is(worn: NDArray[np.float32]) -> None:
    """Silence, over all of it."""
    assert said(worn, seconds=worn.shape[1] / 200) == []


@pytest.mark.parametrize("label", ["walking", "spinning"])
def test_nothing_is_said_of_made_up_motion(label: str) -> None:
    """It contradicts nothing, or not enough to say so."""
    assert said(motion(label, samples=2000)) == []


def test_nothing_is_said_of_a_sensor_at_rest() -> None:
    """Noise and gravity: no axis is dead because none moves."""
    rest = np.zeros((6, 2000), np.float32)
    rest[2] = 9.81
    assert said(rest) == []


@pytest.mark.parametrize(
    ("acc", "gyro", "says"),
    [
        (1 / 9.80665, 1.0, r"acceleration averages 0\.99.*looks like g"),
        (9.80665, 1.0, "acceleration averages 9.*taken for g"),
        (1000 / 9.80665, 1.0, "looks like mg"),
        (1.0, 180 / np.pi, r"angular rate.*deg/s"),
        (1.0, np.pi / 180, r"angular rate.*taken for deg/s"),
    ],
)
def test_wrong_units_are_found_within_ten_seconds(
    worn: NDArray[np.float32], acc: float, gyro: float, says: str
) -> None:
    """By how long gravity is, and by how fast people turn."""
    (note,) = said(scaled(worn, acc, gyro))
    assert re.search(says, note)
    assert "--units" in note


def test_axes_that_do_not_belong_together_are_found() -> None:
    """A board that is turned about, with two axes of its gyroscope exchanged: gravity turns otherwise than it says."""
    t_s = np.arange(2000) / 200
    roll, pitch = 0.9 * np.sin(2 * np.pi * 0.31 * t_s), 0.7 * np.sin(2 * np.pi * 0.23 * t_s + 1)
    acc = 9.81 * np.stack([-np.sin(pitch), np.cos(pitch) * np.sin(roll), np.cos(pitch) * np.cos(roll)])
    roll_rate, pitch_rate = np.gradient(roll, 1 / 200), np.gradient(pitch, 1 / 200)
    gyro = np.stack([roll_rate, pitch_rate * np.cos(roll), -pitch_rate * np.sin(roll)])
    right = np.concatenate([acc, gyro]).astype(np.float32)
    assert said(right) == []
    (note,) = said(right[[0, 1, 2, 4, 3, 5]])
    assert "as if its y, x, z were x, y, z" in note
    (note,) = said(right * np.array([[1], [1], [1], [-1], [1], [1]], np.float32))
    assert "as if its -x, y, z were x, y, z" in note
    (note,) = said(right[[3, 4, 5, 0, 1, 2]])
    assert "exchanged" in note


def test_dead_axis_is_named(worn: NDArray[np.float32]) -> None:
    """One axis stands still while the others move."""
    dead = worn.copy()
    dead[4] = 0.25
    (note,) = said(dead)
    assert note.startswith("gyro_y never moves")


def test_saturation_is_told_with_its_share(worn: NDArray[np.float32]) -> None:
    """More than a few impacts."""
    assert said(worn, clipped=0.03) == []
    (note,) = said(worn, clipped=0.2)
    assert "20% of the samples" in note
    assert "range" in note


def test_rate_and_clock_that_are_not_as_declared_are_told_once() -> None:
    """A few percent are an oscillator; more is another rate."""
    diagnosis = Diagnosis(rate_hz=200.0, nominal_hz=200.0)
    assert diagnosis.measured(205.0, 200.0) == []
    (note,) = diagnosis.measured(208.0, 200.0)
    assert "208 samples a second come, where 200 were declared" in note
    assert diagnosis.measured(208.0, 200.0) == []
    (note,) = diagnosis.measured(208.0, -50_000.0)
    assert "5.0 % too slow" in note
    assert len(diagnosis.notes) == 2


@pytest.mark.shared_data
@pytest.mark.parametrize("subject", ["SA03", "SE02"])
def test_no_false_alarm_on_real_people(shared_data: Path, subject: str) -> None:
    """Two of SisFall's subjects, every trial as it was worn."""
    found = [
        (trial.segment, note)
        for trial in read_trials(shared_data / f"sisfall/{subject}.parquet", preset("sisfall"))
        for note in said(trial.samples.T, seconds=len(trial.samples) / 200)
    ]
    assert found == []
