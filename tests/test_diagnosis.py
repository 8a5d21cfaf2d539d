"""A signal that contradicts how it was declared is told of, once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from emulated import turned_about
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aura_edge.commands.stream import demo_file
from aura_edge.diagnosis import JUDGED_BY, Diagnosis, Finding, GravityCheck
from aura_edge.kinematics import TURNS, Kinematics
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
    return [finding.text for finding in findings(signal, seconds=seconds, clipped=clipped)]


def findings(signal: NDArray[np.float32], *, seconds: float = 10.0, clipped: float = 0.0) -> list[Finding]:
    """What is found within so many seconds."""
    diagnosis = Diagnosis(rate_hz=200.0)
    told = [note for window in windows(signal, seconds=seconds, clipped=clipped) for note in diagnosis.see(window)]
    assert told == diagnosis.notes == [finding.text for finding in diagnosis.findings]
    return diagnosis.findings


def windows(signal: NDArray[np.float32], *, seconds: float = 10.0, clipped: float = 0.0) -> Iterator[Window]:
    """Of five seconds, every half second."""
    for start in range(0, round(seconds * 200) - 1000 + 1, 100):
        t0_ns = start * 5_000_000
        yield Window(signal[:, start : start + 1000], t0_ns, t0_ns + 5_000_000_000, 0, 0.0, clipped)


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


# ---- axes and units by how gravity turns ----


@pytest.fixture(scope="module")
def turned() -> NDArray[np.float32]:
    """(6, n) of a board that is turned about all of its axes: 20 s."""
    return turned_about().T


def remapped(signal: NDArray[np.float32], turn: NDArray[np.float64]) -> NDArray[np.float32]:
    """The gyroscope's axes as a driver would give them that is wrong by the opposite of `turn`."""
    return np.concatenate([signal[:3], turn.T @ signal[3:]]).astype(np.float32)


@pytest.mark.parametrize("turn", TURNS[1:], ids=lambda turn: str(turn.astype(int).tolist()))
def test_any_order_and_sign_of_axes_is_found_and_named(turned: NDArray[np.float32], turn: NDArray[np.float64]) -> None:
    """All 47 wrong ones, and what has to stand in the place of x, y, z."""
    (finding,) = findings(remapped(turned, turn))
    row = [int(np.abs(axes).argmax()) for axes in turn]
    named = ", ".join(f"{'-' if axes[i] < 0 else ''}{'xyz'[i]}" for axes, i in zip(turn, row, strict=True))
    assert finding.kind == "swapped axes"
    assert f"as if its {named} were x, y, z" in finding.text
    assert "axis map of the device" in finding.text


@pytest.mark.parametrize(
    "turn", [turn for turn in TURNS if np.linalg.det(turn) > 0], ids=lambda turn: str(turn.argmax())
)
def test_a_board_mounted_otherwise_is_fine(turned: NDArray[np.float32], turn: NDArray[np.float64]) -> None:
    """Both sensors turned alike contradict nothing."""
    both = np.concatenate([turn @ turned[:3], turn @ turned[3:]]).astype(np.float32)
    assert findings(both, seconds=20.0) == []


def test_a_left_handed_board_is_found(turned: NDArray[np.float32]) -> None:
    """One axis mirrored in both sensors is no rotation: rates turn the other way in a mirror."""
    (finding,) = findings(turned * np.array([[-1], [1], [1], [-1], [1], [1]], np.float32))
    assert finding.kind == "swapped axes"
    assert "as if its -x, -y, -z were x, y, z" in finding.text


def test_axes_that_motion_does_not_tell_apart_are_not_named() -> None:
    """Turning about x alone, the other way: that is found, and no order of the others is made up."""
    t_s = np.arange(2000) / 200
    roll = 1.2 * np.sin(2 * np.pi * 0.3 * t_s)
    zero = np.zeros_like(roll)
    acc = 9.81 * np.stack([zero, np.sin(roll), np.cos(roll)])
    signal = np.concatenate([acc, [-np.gradient(roll, 1 / 200), zero, zero]])
    signal += np.random.default_rng(2).normal(0, 0.002, signal.shape)
    (finding,) = findings(signal.astype(np.float32))
    assert finding.kind == "swapped axes"
    assert "otherwise than it says" in finding.text


@pytest.mark.parametrize("gyro", [180 / np.pi, np.pi / 180])
@pytest.mark.parametrize("acc", [1.0, 1 / 9.80665, 1000 / 9.80665])
def test_two_units_and_an_order_wrong_at_once_are_told_apart(
    turned: NDArray[np.float32], acc: float, gyro: float
) -> None:
    """Each by its own kind, whatever the others are."""
    kinds = {finding.kind for finding in findings(scaled(turned[[0, 1, 2, 4, 3, 5]], acc, gyro))}
    assert kinds == {"angular rate units", "swapped axes"} | ({"acceleration units"} if acc != 1 else set())


def test_groups_exchanged_are_found_in_whatever_unit(worn: NDArray[np.float32]) -> None:
    """Columns of g and deg/s, taken for each other: gravity in the gyroscope's place gives them away."""
    degrees, g = np.degrees(worn[3:]), worn[:3] / 9.80665
    (finding,) = findings(np.concatenate([degrees * 9.80665, np.radians(g)]).astype(np.float32))
    assert finding.kind == "swapped axes"
    assert "accelerometer and gyroscope are exchanged" in finding.text


def test_missing_gravity_is_told_from_wrong_units(worn: NDArray[np.float32]) -> None:
    """Both average to little: only gravity in another unit is steady."""
    slow = np.stack([np.convolve(np.pad(row, 200, mode="edge"), np.full(401, 1 / 401), "valid") for row in worn[:3]])
    linear = np.concatenate([worn[:3] - slow, worn[3:]]).astype(np.float32)
    assert [finding.kind for finding in findings(linear)] == ["gravity missing"]
    assert [finding.kind for finding in findings(scaled(worn, acc=1 / 9.80665))] == ["acceleration units"]


def test_what_shakes_about_one_metre_a_second_squared_is_no_gravity_in_g() -> None:
    """A mean of one, as g would have, and three times as much on top of it: linear acceleration."""
    t_s = np.arange(2000) / 200
    slow = np.stack([np.cos(0.5 * t_s), np.sin(0.5 * t_s), 0 * t_s])
    shaken = np.concatenate([slow + 3 * np.sin(2 * np.pi * 2.0 * t_s), 0.5 * slow])
    shaken += np.random.default_rng(3).normal(0, 0.01, shaken.shape)
    assert [finding.kind for finding in findings(shaken.astype(np.float32))] == ["gravity missing"]


def test_quick_turns_in_degrees_are_not_taken_for_gravity(worn: NDArray[np.float32]) -> None:
    """g and deg/s as they come: rates of ten in the wrong unit, and yet the columns are in place."""
    for start in range(0, worn.shape[1] - 2000, 1000):
        kinds = {finding.kind for finding in findings(scaled(worn[:, start:], 1 / 9.80665, 18 / np.pi))}
        assert "swapped axes" not in kinds


def test_a_gyroscope_that_gives_nothing_is_dead(worn: NDArray[np.float32]) -> None:
    """All of its axes stand still while the accelerometer moves."""
    off = worn.copy()
    off[3:] = 0
    (finding,) = findings(off)
    assert finding.kind == "dead axis"
    assert finding.text.startswith("gyro_x and gyro_y and gyro_z never move while the other sensor does")


def test_an_axis_stuck_at_the_end_of_its_scale_is_dead_and_not_saturated(worn: NDArray[np.float32]) -> None:
    """A larger range would not help."""
    stuck = worn.copy()
    stuck[0] = 16 * 9.80665
    assert [finding.kind for finding in findings(stuck, clipped=1.0)] == ["dead axis"]


def test_what_follows_from_saturation_is_not_told(worn: NDArray[np.float32]) -> None:
    """Twenty times as much, cut off: neither the unit nor the axes are at fault."""
    full = np.repeat([16 * 9.80665, np.radians(2000)], 3)[:, None]
    cut = np.clip(worn * 20, -full, full).astype(np.float32)
    assert [finding.kind for finding in findings(cut, seconds=20.0, clipped=0.3)] == ["saturation"]


def test_counts_taken_for_acceleration_are_a_unit_though_they_exceed_the_scale(worn: NDArray[np.float32]) -> None:
    """All of them stand beyond it, and yet a larger range would not help."""
    kinds = [finding.kind for finding in findings(scaled(worn, acc=4096 / 9.80665), clipped=1.0)]
    assert "acceleration units" in kinds


@pytest.mark.parametrize("scale", [0.0, 1e-4, 1e-2])
def test_nothing_is_found_at_rest(scale: float) -> None:
    """Noise, a bias and gravity in any direction."""
    rest = np.random.default_rng(1).normal(0, scale, (6, 4000))
    rest[:3] += np.array([[3.0], [-5.0], [7.86]])
    rest[3:] += 0.02
    assert findings(rest.astype(np.float32), seconds=20.0) == []


def test_gaps_and_hops_left_out_do_not_disturb(turned: NDArray[np.float32]) -> None:
    """Only what follows on is joined; a second half after a hole of minutes is as right as the first."""
    diagnosis = Diagnosis(rate_hz=200.0)
    shifted = [*windows(turned), *windows(turned[:, 2000:])]
    for i, window in enumerate(shifted):
        later_ns = 300_000_000_000 if i >= len(shifted) // 2 else 0
        if i % 4 != 2:  # a hop left out
            diagnosis.see(Window(window.samples, window.t0_ns + later_ns, window.t1_ns + later_ns, 0, 0.0, 0.0))
    assert diagnosis.notes == []


def test_windows_that_do_not_follow_on_are_not_joined(turned: NDArray[np.float32]) -> None:
    """Two of them with a minute between are not ten seconds: too little to judge."""
    apart, joined = Kinematics(200.0), Kinematics(200.0)
    for start, later_ns in ((0, 0), (1000, 60_000_000_000)):
        t0_ns = start * 5_000_000
        window = Window(turned[:, start : start + 1000], t0_ns, t0_ns + 5_000_000_000, 0, 0.0, 0.0)
        joined.see(window)
        apart.see(Window(window.samples, t0_ns + later_ns, window.t1_ns + later_ns, 0, 0.0, 0.0))
    assert joined.reading() is not None
    assert apart.reading() is None


def test_each_sample_is_judged_once_however_windows_overlap(turned: NDArray[np.float32]) -> None:
    """Windows every tenth of a second say what windows every half second do."""
    coarse, fine = Kinematics(200.0), Kinematics(200.0)
    for window in windows(turned):
        coarse.see(window)
    for start in range(0, 1001, 20):
        fine.see(Window(turned[:, start : start + 1000], start * 5_000_000, (start + 1000) * 5_000_000, 0, 0.0, 0.0))
    one, other = coarse.reading(), fine.reading()
    assert one is not None
    assert other is not None
    assert one.gravity == other.gravity
    assert one.told == other.told


def test_a_wrong_clock_and_a_wrong_rate_are_both_kinds_of_rate() -> None:
    """By kind, for whoever reads them by program."""
    diagnosis = Diagnosis(rate_hz=200.0, nominal_hz=100.0)
    diagnosis.measured(None, None)
    diagnosis.measured(200.0, 60_000.0)
    assert [finding.kind for finding in diagnosis.findings] == ["wrong rate", "wrong rate"]


@settings(max_examples=40)
@given(
    st.lists(st.sampled_from([0.0, 1e-30, 1e-3, 1.0, 9.8, 57.3, 9999.0]), min_size=6, max_size=6),
    st.permutations(range(6)),
    st.booleans(),
)
def test_no_mistake_nor_any_of_them_together_disturbs_the_run(
    scales: list[float], order: list[int], constant: bool
) -> None:
    """Whatever the windows hold, each kind is told at most once, in words of finite numbers."""
    signal = motion("walking", samples=2200)[order] * np.array(scales, np.float32)[:, None]
    if constant:
        signal = np.repeat(signal[:, :1], 2200, axis=1)
    found = findings(np.clip(signal, -1e4, 1e4).astype(np.float32), seconds=11.0, clipped=0.5)
    kinds = [finding.kind for finding in found]
    assert len(kinds) == len(set(kinds))
    assert not any(re.search(r"\b(nan|inf)\b", finding.text) for finding in found)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "where"),
    [("neon", "neon"), ("fusion", "fusion/sensor_data.csv"), ("euroc", "euroc/imu0.csv")],
)
def test_no_false_alarm_on_glasses_hands_and_a_drone(shared_data: Path, name: str, where: str) -> None:
    """Every stretch without a gap, as it was recorded."""
    trial = read_recording(shared_data / where, preset(name))
    resampler = Resampler(trial.info.rate_hz)
    blocks = [*resampler.push(ImuChunk(trial.t_ns, trial.samples, 0)), *resampler.finish()]
    starts = [i for i, block in enumerate(blocks) if block.starts_segment]
    for first, after in pairwise([*starts, len(blocks)]):
        signal = np.concatenate([block.samples for block in blocks[first:after]]).T
        assert findings(signal, seconds=signal.shape[1] / 200) == []


@pytest.mark.shared_data
def test_jogging_is_no_mistake(shared_data: Path) -> None:
    """A hundred seconds in which a third of the acceleration is gravity, and steps and turns go together: the axes are not judged."""
    trials = read_trials(shared_data / "sisfall/SA22.parquet", preset("sisfall"))
    jogging = next(trial for trial in trials if trial.segment[0] == "D04")
    assert findings(jogging.samples.T, seconds=len(jogging.samples) / 200) == []


@pytest.mark.shared_data
def test_exchanged_axes_of_a_person_are_found(shared_data: Path) -> None:
    """A trial of SisFall in which somebody sits down and gets up: within ten seconds."""
    trials = list(read_trials(shared_data / "sisfall/SA03.parquet", preset("sisfall")))
    lying = [
        trial.samples.T for trial in trials if trial.segment[0] in ("D12", "D13", "D14") and len(trial.samples) >= 2000
    ]
    found = [[finding.kind for finding in findings(signal[[0, 1, 2, 4, 3, 5]])] for signal in lying]
    assert sum(kinds == ["swapped axes"] for kinds in found) > len(found) / 2
