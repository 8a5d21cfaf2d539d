"""Real recordings give bit-identical windows however they are cut: the promise that what is learned offline holds online."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aura_edge.commands.stream import DEMO_RECORDING, demo_file
from aura_edge.resample import Resampler
from aura_edge.sources.formats import RecordingFormat
from aura_edge.sources.presets import preset
from aura_edge.sources.recordings import Trial, read_recording
from aura_edge.types import ImuChunk
from aura_edge.window import Windower

LONGEST = 6000
"""Samples taken of each recording, around its worst place where it has one."""
Found = tuple[list[tuple[int, int, float, bytes]], dict[str, int], dict[str, int]]


def windows(recording: Trial, rows: slice, cuts: list[int]) -> Found:
    """All windows of these rows, cut at these places, with what was dropped and what is in no window."""
    t_ns, samples = recording.t_ns[rows], recording.samples[rows]
    resampler = Resampler(recording.info.rate_hz)
    windower = Windower(rate_hz=200.0, window_s=5.0, hop_s=0.5)
    edges = [0, *sorted(min(cut, len(t_ns)) for cut in cuts), len(t_ns)]
    blocks = [
        block
        for start, end in pairwise(edges)
        for block in resampler.push(ImuChunk(t_ns[start:end], samples[start:end], 0))
    ]
    found = [w for block in [*blocks, *resampler.finish()] for w in windower.push(block)]
    return (
        [(w.t0_ns, w.t1_ns, w.interpolated, w.samples.tobytes()) for w in found],
        dict(resampler.dropped),
        dict(windower.unused),
    )


def check(recording: Trial, cuts: list[int]) -> None:
    damaged = np.flatnonzero(~np.isfinite(recording.samples).all(axis=1))
    start = max(0, int(damaged[0]) - 2000) if len(damaged) else 0
    rows = slice(start, start + LONGEST)
    expected = windows(recording, rows, [])
    assert expected[0]
    assert windows(recording, rows, cuts) == expected


many_cuts = st.lists(st.integers(0, LONGEST), max_size=40)


@settings(max_examples=15, deadline=None)
@given(many_cuts)
def test_the_demo_recording(cuts: list[int]) -> None:
    """About 102 Hz, brought up to 200."""
    check(read_recording(demo_file(DEMO_RECORDING), RecordingFormat()), cuts)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("euroc", "euroc/imu0.csv"),
        ("fusion", "fusion/sensor_data.csv"),
        ("neon", "neon"),
        ("sisfall", "sisfall-raw/SE01/D07_SE01_R01.txt"),
    ],
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=many_cuts)
def test_recordings_of_all_kinds(shared_data: Path, name: str, path: str, cuts: list[int]) -> None:
    """A damaged spreadsheet with a clock that goes back, holes of 30 ms, jitter of 60 %, and a regular one."""
    check(read(shared_data / path, name), cuts)


@pytest.mark.shared_data
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=many_cuts)
def test_glasses_at_a_thousand_hertz(glasses: Trial, cuts: list[int]) -> None:
    """Real Aria samples with their jitter, repeated to seven seconds, brought down to 200 Hz."""
    check(glasses, cuts)


@pytest.fixture(scope="module")
def glasses(shared_data: Path) -> Trial:
    pytest.importorskip("projectaria_tools", reason="projectaria-tools has no wheel for this Python")
    from aura_edge.sources import open_source

    source = open_source(f"vrs:{shared_data / 'aria' / 'gen1_everyday.vrs'}", speed="max")
    found = list(source)
    t_ns = np.concatenate([c.t_ns for c in found])
    samples = np.concatenate([c.samples for c in found])
    rounds, period = 18, int(t_ns[-1] - t_ns[0]) + 1_000_000
    return Trial(
        source.info,
        np.concatenate([t_ns + n * period for n in range(rounds)]),
        np.concatenate([samples] * rounds),
    )


_READ: dict[Path, Trial] = {}


def read(path: Path, name: str) -> Trial:
    """Read once: hypothesis asks many times."""
    if path not in _READ:
        _READ[path] = read_recording(path, preset(name))
    return _READ[path]
