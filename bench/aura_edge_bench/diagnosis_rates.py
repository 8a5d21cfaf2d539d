"""How often the self-diagnosis is right: false alarms on recordings as they are, and what it finds when a mistake is planted in them.

`python -m aura_edge_bench.diagnosis_rates --data FOLDER` reads SisFall's test subjects (their false alarms were seen when thresholds were last moved)
and the single recordings below FOLDER, cuts them into ten seconds each, and gives for every mistake the share of
cuts in which it is found within them.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from aura_edge.diagnosis import EXPLAINED, LEAST_CHANGE_M_S2, Diagnosis
from aura_edge.kinematics import Kinematics
from aura_edge.resample import Resampler
from aura_edge.sources.presets import preset
from aura_edge.sources.recordings import Trial, read_recording, read_trials
from aura_edge.types import ImuChunk, Window
from aura_edge.window import Windower
from aura_edge_bench.machine import Machine, this_machine

SCHEMA = 1
TEST_SUBJECTS = ("SA19", "SA20", "SA21", "SA22", "SA23", "SE12", "SE13", "SE14", "SE15")
SINGLE = {"neon": "neon", "fusion": "fusion/sensor_data.csv", "euroc": "euroc/imu0.csv"}
CUT_S, HOP_S, RATE_HZ = 10.0, 0.5, 200.0


def _scaled(acc: float, gyro: float) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    return lambda x: (x * np.repeat([acc, gyro], 3)[:, None]).astype(np.float32)


def _without_gravity(x: NDArray[np.float32]) -> NDArray[np.float32]:
    slow = np.stack([np.convolve(np.pad(row, 200, mode="edge"), np.full(401, 1 / 401), "valid") for row in x[:3]])
    return np.concatenate([x[:3] - slow, x[3:]]).astype(np.float32)


def _dead(x: NDArray[np.float32]) -> NDArray[np.float32]:
    x = x.copy()
    x[1] = x[1, 0]
    return x


MISTAKES: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "none": lambda x: x,
    "g taken for m/s2": _scaled(1 / 9.80665, 1.0),
    "m/s2 taken for g": _scaled(9.80665, 1.0),
    "deg/s taken for rad/s": _scaled(1.0, 180 / np.pi),
    "rad/s taken for deg/s": _scaled(1.0, np.pi / 180),
    "gravity missing": _without_gravity,
    "gyroscope x and y exchanged": lambda x: x[[0, 1, 2, 4, 3, 5]],
    "gyroscope z the other way": lambda x: (x * np.array([1, 1, 1, 1, 1, -1])[:, None]).astype(np.float32),
    "accelerometer and gyroscope exchanged": lambda x: x[[3, 4, 5, 0, 1, 2]],
    "acc_y dead": _dead,
}
"""On (6, n) samples."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One mistake."""

    cuts: int
    found: int
    """Cuts in which anything was said."""
    notes: dict[str, int]
    """What was said, by the beginning of the sentence."""


class DiagnosisRates(msgspec.Struct, frozen=True, kw_only=True):
    """The result, as JSON gives it."""

    schema: int = SCHEMA
    benchmark: str = "diagnosis rates"
    machine: Machine
    seconds_per_cut: float
    as_declared: dict[str, Found]
    """By recording, nothing planted: what is found is a false alarm, or a defect of the recording."""
    planted: dict[str, Found]
    """By mistake, over cuts of SisFall's test subjects in which the sensor moves (standard deviation over 1 m/s2 and 0.3 rad/s)."""
    planted_turning: dict[str, Found]
    """The same over those cuts in which gravity turns enough to be judged: as declared, the rates explain it (`EXPLAINED`)."""
    us_per_window: float


def cuts(trial: Trial) -> Iterator[NDArray[np.float32]]:
    """(6, n) of ten seconds at 200 Hz each, without gaps."""
    resampler = Resampler(trial.info.rate_hz, RATE_HZ)
    windower = Windower(rate_hz=RATE_HZ, window_s=CUT_S, hop_s=5.0)
    for block in [*resampler.push(ImuChunk(trial.t_ns, trial.samples, 0)), *resampler.finish()]:
        for window in windower.push(block):
            yield window.samples


def diagnosed(cut: NDArray[np.float32], taken: list[float]) -> list[str]:
    """What is said of ten seconds."""
    diagnosis = Diagnosis(rate_hz=RATE_HZ)
    length, hop = round(5 * RATE_HZ), round(HOP_S * RATE_HZ)
    for start in range(0, cut.shape[1] - length + 1, hop):
        samples = cut[:, start : start + length]
        t0_ns = round(start * 1e9 / RATE_HZ)
        window = Window(samples, t0_ns, t0_ns + 5_000_000_000, 0, 0.0, 0.0)
        begin = time.perf_counter()
        diagnosis.see(window)
        taken.append(time.perf_counter() - begin)
    return diagnosis.notes


def turns(cut: NDArray[np.float32]) -> bool:
    """Whether the turning of gravity is explained by the rates as declared."""
    kinematics, length = Kinematics(RATE_HZ), round(5 * RATE_HZ)
    for start in (0, length):
        kinematics.add(cut[:, start : start + length])
    return kinematics.change_m_s2 > LEAST_CHANGE_M_S2 and kinematics.fits()[0].explained > EXPLAINED


def _counted(notes: list[list[str]]) -> Found:
    said = Counter(
        " ".join(note.replace("about", "averages").split(" averages ")[0].split()[:4])
        for found in notes
        for note in found
    )
    return Found(cuts=len(notes), found=sum(map(bool, notes)), notes=dict(said))


def diagnosis_rates(data: Path, *, most_cuts: int) -> DiagnosisRates:
    """All of it."""
    machine, taken = this_machine(), list[float]()
    sisfall = [
        cut
        for subject in TEST_SUBJECTS
        for trial in read_trials(data / "sisfall" / f"{subject}.parquet", preset("sisfall"))
        for cut in cuts(trial)
    ]
    as_declared = {"sisfall": _counted([diagnosed(cut, taken) for cut in sisfall])}
    for name, where in SINGLE.items():
        as_declared[name] = _counted(
            [diagnosed(cut, taken) for cut in cuts(read_recording(data / where, preset(name)))]
        )
    moving = [cut for cut in sisfall if cut[:3].std() > 1.0 and cut[3:].std() > 0.3]
    moving = [moving[i] for i in np.random.default_rng(0).permutation(len(moving))[:most_cuts]]
    turning = [cut for cut in moving if turns(cut)]
    planted = {name: _counted([diagnosed(plant(cut), taken) for cut in moving]) for name, plant in MISTAKES.items()}
    return DiagnosisRates(
        machine=machine,
        seconds_per_cut=CUT_S,
        as_declared=as_declared,
        planted=planted,
        planted_turning={
            name: _counted([diagnosed(plant(cut), taken) for cut in turning]) for name, plant in MISTAKES.items()
        },
        us_per_window=float(np.median(taken) * 1e6),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cuts", type=int, default=500)
    chosen = parser.parse_args()
    result = diagnosis_rates(chosen.data, most_cuts=chosen.cuts)
    print(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())


if __name__ == "__main__":
    main()
