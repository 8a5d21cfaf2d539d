"""How often the self-diagnosis is right: false alarms on recordings as they are, and what it finds when a mistake is planted in them.

`python -m aura_edge_bench.diagnosis_rates --data FOLDER` plays whole trials as they are, one stream each: SisFall's test subjects, those of
sp-sw-har, and the single recordings. Then it cuts them into ten seconds each, plants every mistake in every cut that moves, and gives the share
of cuts in which that very kind of mistake is told before they end.

Thresholds were chosen on nine of SisFall's training subjects and on all of the other recordings; one of them (`LEAST_GRAVITY`) was raised after
a false alarm on a test subject.
"""

from __future__ import annotations

import argparse
import math
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from aura_edge.diagnosis import AXES_LOST, LEAST_GRAVITY, Diagnosis, Finding
from aura_edge.kinematics import Kinematics
from aura_edge.resample import Resampler
from aura_edge.sources.presets import preset
from aura_edge.sources.recordings import Trial, read_trials
from aura_edge.types import STANDARD_GRAVITY_M_S2, ImuChunk, Window
from aura_edge_bench.machine import Machine, this_machine

SCHEMA = 2
TEST_SUBJECTS = ("SA19", "SA20", "SA21", "SA22", "SA23", "SE12", "SE13", "SE14", "SE15")
SINGLE = {"neon": "neon", "fusion": "fusion/sensor_data.csv", "euroc": "euroc/imu0.csv"}
CUT_S, WINDOW_S, HOP_S, RATE_HZ = 10.0, 5.0, 0.5, 200.0
MOVES = (1.0, 0.3)
"""Standard deviation in m/s2 and rad/s from which a cut is said to move."""
SMALL_RANGE_M_S2 = 2 * STANDARD_GRAVITY_M_S2

Signal = NDArray[np.float32]


def _scaled(acc: float, gyro: float) -> Callable[[Signal], Signal]:
    return lambda x: (x * np.repeat([acc, gyro], 3)[:, None]).astype(np.float32)


def _without_gravity(x: Signal) -> Signal:
    slow = np.stack([np.convolve(np.pad(row, 200, mode="edge"), np.full(401, 1 / 401), "valid") for row in x[:3]])
    return np.concatenate([x[:3] - slow, x[3:]]).astype(np.float32)


def _dead(*axes: int) -> Callable[[Signal], Signal]:
    def plant(x: Signal) -> Signal:
        x = x.copy()
        x[list(axes)] = x[list(axes), :1]
        return x

    return plant


def _exchanged_in_g_and_degrees(x: Signal) -> Signal:
    degrees, g = np.degrees(x[3:]), x[:3] / STANDARD_GRAVITY_M_S2
    return np.concatenate([degrees * STANDARD_GRAVITY_M_S2, np.radians(g)]).astype(np.float32)


def _signs(*signs: int) -> Callable[[Signal], Signal]:
    return lambda x: (x * np.array(signs)[:, None]).astype(np.float32)


MISTAKES: dict[str, tuple[str, Callable[[Signal], Signal]]] = {
    "g taken for m/s2": ("acceleration units", _scaled(1 / STANDARD_GRAVITY_M_S2, 1.0)),
    "m/s2 taken for g": ("acceleration units", _scaled(STANDARD_GRAVITY_M_S2, 1.0)),
    "mg taken for m/s2": ("acceleration units", _scaled(1000 / STANDARD_GRAVITY_M_S2, 1.0)),
    "counts of 1/4096 g taken for m/s2": ("acceleration units", _scaled(4096 / STANDARD_GRAVITY_M_S2, 1.0)),
    "gravity missing": ("gravity missing", _without_gravity),
    "deg/s taken for rad/s": ("angular rate units", _scaled(1.0, 180 / math.pi)),
    "rad/s taken for deg/s": ("angular rate units", _scaled(1.0, math.pi / 180)),
    "g, deg/s taken for m/s2, rad/s": ("angular rate units", _scaled(1 / STANDARD_GRAVITY_M_S2, 180 / math.pi)),
    "gyroscope x and y exchanged": ("swapped axes", lambda x: x[[0, 1, 2, 4, 3, 5]]),
    "gyroscope axes moved on by one": ("swapped axes", lambda x: x[[0, 1, 2, 4, 5, 3]]),
    "gyroscope z the other way": ("swapped axes", _signs(1, 1, 1, 1, 1, -1)),
    "accelerometer x the other way": ("swapped axes", _signs(-1, 1, 1, 1, 1, 1)),
    "both left-handed": ("swapped axes", _signs(-1, 1, 1, -1, 1, 1)),
    "accelerometer and gyroscope exchanged": ("swapped axes", lambda x: x[[3, 4, 5, 0, 1, 2]]),
    "exchanged, in g and deg/s": ("swapped axes", _exchanged_in_g_and_degrees),
    "acc_y dead": ("dead axis", _dead(1)),
    "gyro_z dead": ("dead axis", _dead(5)),
    "gyroscope dead": ("dead axis", _dead(3, 4, 5)),
}
"""What has to be told, and how it is planted in (6, n) samples."""


class AsDeclared(msgspec.Struct, frozen=True, kw_only=True):
    """Recordings as they are: what is found is a false alarm, or a defect of theirs."""

    streams: int
    hours: float
    found: dict[str, int]
    """Streams by kind of finding."""
    notes: list[str]


class Planted(msgspec.Struct, frozen=True, kw_only=True):
    """One mistake, in every cut that moves."""

    cuts: int
    found: int
    """Cuts in which the right kind was told."""
    turning: int
    """Cuts in which gravity turns enough for the rates as they are to tell more of it than the threshold."""
    found_turning: int
    kinds: dict[str, int]
    """Cuts by each kind that was told."""


class DiagnosisRates(msgspec.Struct, frozen=True, kw_only=True):
    """The result, as JSON gives it."""

    schema: int = SCHEMA
    benchmark: str = "diagnosis rates"
    machine: Machine
    seconds_per_cut: float
    as_declared: dict[str, AsDeclared]
    planted: dict[str, dict[str, Planted]]
    """By set and mistake, for sets with cuts that move."""
    us_per_window_p50: float
    us_per_window_p99: float
    """The first window of a stream takes longest: all of it is new."""


def segments(trial: Trial) -> Iterator[Signal]:
    """(6, n) at 200 Hz, without gaps, at least one window long."""
    resampler, pieces = Resampler(trial.info.rate_hz, RATE_HZ), list[Signal]()
    for block in [*resampler.push(ImuChunk(trial.t_ns, trial.samples, 0)), *resampler.finish()]:
        pieces = [block.samples] if block.starts_segment else [*pieces, block.samples]
        if block.ends_segment and (whole := np.concatenate(pieces)).shape[0] >= WINDOW_S * RATE_HZ:
            yield np.ascontiguousarray(whole.T)


def diagnosed(signal: Signal, taken: list[float], *, acc_range_m_s2: float = math.inf) -> list[Finding]:
    """What is told of a stream; `taken` gets the seconds per window."""
    diagnosis, length, hop = Diagnosis(rate_hz=RATE_HZ), round(WINDOW_S * RATE_HZ), round(HOP_S * RATE_HZ)
    full = np.abs(signal[:3]).max(axis=0) >= acc_range_m_s2
    for start in range(0, signal.shape[1] - length + 1, hop):
        t0_ns = round(start * 1e9 / RATE_HZ)
        clipped = float(full[start : start + length].mean())
        window = Window(signal[:, start : start + length], t0_ns, t0_ns + round(WINDOW_S * 1e9), 0, 0.0, clipped)
        begin = time.perf_counter()
        diagnosis.see(window)
        taken.append(time.perf_counter() - begin)
    return diagnosis.findings


def turns(cut: Signal) -> bool:
    """Whether the rates as declared tell enough of how gravity turns."""
    kinematics = Kinematics(RATE_HZ)
    kinematics.see(Window(cut, 0, round(cut.shape[1] * 1e9 / RATE_HZ), 0, 0.0, 0.0))
    reading = kinematics.reading()
    return reading is not None and reading.told > AXES_LOST and reading.gravity > LEAST_GRAVITY


def recordings(data: Path) -> Iterator[tuple[str, list[tuple[str, Signal]]]]:
    """Sets by name, and what they hold."""
    sisfall = [(s, read_trials(data / "sisfall" / f"{s}.parquet", preset("sisfall"))) for s in TEST_SUBJECTS]
    yield (
        "sisfall",
        [
            ("_".join((s, *trial.segment)), signal)
            for s, trials in sisfall
            for trial in trials
            for signal in segments(trial)
        ],
    )
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(data / "sp-sw-har" / "sp-sw-har.tar.xz") as archive:
            archive.extractall(folder, filter="data")
        for name, end in (("phone", "_sp"), ("watch", "_sw")):
            paths = sorted(path for path in Path(folder).rglob(f"s*{end}.csv") if "s19" <= path.stem[:3] <= "s23")
            opened = [(path.stem, read_trials(path, preset("sp-sw-har"))) for path in paths]
            yield name, [(stem, signal) for stem, trials in opened for trial in trials for signal in segments(trial)]
    for name, where in SINGLE.items():
        yield name, [(name, signal) for t in read_trials(data / where, preset(name)) for signal in segments(t)]


def diagnosis_rates(data: Path, *, most_cuts: int) -> DiagnosisRates:
    """All of it; at most `most_cuts` of each set get mistakes."""
    machine, taken, length = this_machine(), list[float](), round(CUT_S * RATE_HZ)
    as_declared, planted = dict[str, AsDeclared](), dict[str, dict[str, Planted]]()
    for name, signals in recordings(data):
        found = [(stem, finding) for stem, signal in signals for finding in diagnosed(signal, taken)]
        as_declared[name] = AsDeclared(
            streams=len(signals),
            hours=sum(signal.shape[1] for _, signal in signals) / RATE_HZ / 3600,
            found=dict(Counter(finding.kind for _, finding in found)),
            notes=[f"{stem}: {finding.text}" for stem, finding in found],
        )
        cuts = [s[:, i : i + length] for _, s in signals for i in range(0, s.shape[1] - length + 1, length // 2)]
        moving = [cut for cut in cuts if cut[:3].std(axis=1).max() > MOVES[0] and cut[3:].std() > MOVES[1]]
        chosen = [moving[i] for i in np.random.default_rng(0).permutation(len(moving))[:most_cuts]]
        if not chosen:
            continue
        turning = [turns(cut) for cut in chosen]
        planted[name] = {
            mistake: _counted(kind, [diagnosed(plant(cut), taken) for cut in chosen], turning)
            for mistake, (kind, plant) in MISTAKES.items()
        }
        small = [np.clip(cut, -SMALL_RANGE_M_S2, SMALL_RANGE_M_S2) for cut in chosen]
        clipped = [diagnosed(cut, taken, acc_range_m_s2=SMALL_RANGE_M_S2) for cut in small]
        planted[name]["a range of 2 g"] = _counted("saturation", clipped, turning)
    return DiagnosisRates(
        machine=machine,
        seconds_per_cut=CUT_S,
        as_declared=as_declared,
        planted=planted,
        us_per_window_p50=float(np.median(taken) * 1e6),
        us_per_window_p99=float(np.quantile(taken, 0.99) * 1e6),
    )


def _counted(kind: str, found: list[list[Finding]], turning: list[bool]) -> Planted:
    right = [any(finding.kind == kind for finding in findings) for findings in found]
    return Planted(
        cuts=len(found),
        found=sum(right),
        turning=sum(turning),
        found_turning=sum(hit and turned for hit, turned in zip(right, turning, strict=True)),
        kinds=dict(Counter(finding.kind for findings in found for finding in findings)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cuts", type=int, default=300)
    chosen = parser.parse_args()
    result = diagnosis_rates(chosen.data, most_cuts=chosen.cuts)
    print(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())


if __name__ == "__main__":
    main()
