"""Project Aria recordings: the right stream, rectified, in device time, and honest about what is missing."""

from __future__ import annotations

import importlib.util
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aura_edge.errors import InputError
from aura_edge.resample import Resampler
from aura_edge.sources import open_source
from aura_edge.sources.synthetic import Gait, SyntheticRecording, motion
from aura_edge.sources.vrs import BLOCK_ROWS, VrsRecording
from aura_edge.sources.vrs_file import survey
from aura_edge.types import NS_PER_S, ImuChunk

pytestmark = pytest.mark.shared_data

data_provider = pytest.importorskip("projectaria_tools.core.data_provider", reason="needs aura-edge[vrs]")

REAL = {
    "gen1_digital_twin.vrs": (99, 79),
    "gen1_everyday.vrs": (400, 319),
    "gen1_timecode.vrs": (150, 121),
    "gen2_bluetooth.vrs": (238, 239),
}
"""Samples of the right and the left IMU."""
WITHOUT_IMU = ("chunks-shuffled.vrs", "chunks.vrs", "sample_file.vrs", "sample_raw_pixel_formats.vrs")


@pytest.fixture(scope="module")
def aria(shared_data: Path) -> Path:
    return shared_data / "aria"


@pytest.fixture(scope="module")
def tool(shared_data: Path) -> ModuleType:
    """The script that makes longer VRS files out of real ones."""
    spec = importlib.util.spec_from_file_location("aria_vrs", shared_data.parent / "tools" / "aria_vrs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def filled(
    aria: Path, tool: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, np.ndarray, np.ndarray]:
    """A real file, its right IMU filled with twelve seconds of a known walk at 1000 Hz: path, times and samples."""
    t_s = 8 + np.arange(12_000) / 1000
    t_ns, imu = np.rint(t_s * NS_PER_S).astype(np.int64), motion(t_s, Gait.of_seed(1)).astype(np.float32)
    source = (aria / "gen1_everyday.vrs").read_bytes()
    path = tmp_path_factory.mktemp("vrs") / "filled.vrs"
    tool.write(path, source, tool.fill(source, t_ns, imu))
    return path, t_ns, imu


def chunks(url: str | Path, **options: Any) -> list[ImuChunk]:
    return list(open_source(url, speed="max", **options))


def samples(found: Sequence[ImuChunk]) -> np.ndarray:
    return np.concatenate([chunk.samples for chunk in found])


def times(found: Sequence[ImuChunk]) -> np.ndarray:
    return np.concatenate([chunk.t_ns for chunk in found])


@pytest.mark.parametrize("stream", ["imu-right", "imu-left"])
@pytest.mark.parametrize("name", REAL)
def test_every_sample_of_a_stream_comes(aria: Path, name: str, stream: str) -> None:
    """Of both generations, by label: as many as the file has, at its rate, reading gravity."""
    source = open_source(f"vrs:{aria / name}?stream={stream}", speed="max")
    found = list(source)
    assert len(times(found)) == REAL[name][stream == "imu-left"]
    first_generation_right = name.startswith("gen1") and stream == "imu-right"
    assert source.info.rate_hz == pytest.approx(1000 if first_generation_right else 800, rel=0.015)
    assert (source.info.units, source.info.placement) == ("m/s2, rad/s", "glasses")
    assert 0.9 < np.median(np.linalg.norm(samples(found)[:, :3], axis=1)) / 9.80665 < 1.1
    assert np.isfinite(samples(found)).all()
    other = "imu-left" if stream == "imu-right" else "imu-right"
    assert source.info.notes == (f"stream {stream}; there is also {other}",)


def test_the_right_one_is_the_default(aria: Path) -> None:
    """A bare path opens it, in both generations, whose stream ids differ."""
    for name, (right, _) in REAL.items():
        assert len(times(chunks(aria / name))) == right


@pytest.mark.parametrize("name", REAL)
def test_readings_are_those_of_the_library(aria: Path, name: str) -> None:
    """Rectified sample by sample by its own functions, and in device time."""
    provider = data_provider.create_vrs_data_provider(str(aria / name))
    stream = provider.get_stream_id_from_label("imu-right")
    factory = provider.get_device_calibration().get_imu_calib("imu-right")
    rows = [provider.get_imu_data_by_index(stream, index) for index in range(provider.get_num_data(stream))]
    expected = [
        [*factory.raw_to_rectified_accel(row.accel_msec2), *factory.raw_to_rectified_gyro(row.gyro_radsec)]
        for row in rows
    ]
    found = chunks(aria / name)
    np.testing.assert_allclose(samples(found), np.squeeze(expected), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(times(found), [row.capture_timestamp_ns for row in rows])


@pytest.mark.parametrize("name", [name for name in REAL if name.startswith("gen1")])
def test_left_and_right_agree_in_the_frame_of_the_glasses(aria: Path, name: str) -> None:
    """Two sensors on one body turn alike: their mean rates differ by less than 0.01 rad/s there, and not in their own frames."""

    def apart(frame: str) -> float:
        means = [
            samples(chunks(aria / name, stream=s, frame=frame))[:, 3:].mean(axis=0) for s in ("imu-left", "imu-right")
        ]
        return float(np.abs(means[0] - means[1]).max())

    assert apart("device") < 0.01 < apart("imu")


def test_a_filled_file_gives_back_its_motion(filled: tuple[Path, np.ndarray, np.ndarray]) -> None:
    """A known walk written as raw readings comes back rectified, at its times, in chunks that hold each sample once."""
    path, t_ns, imu = filled
    provider = data_provider.create_vrs_data_provider(str(path))
    factory = provider.get_device_calibration().get_imu_calib("imu-right")
    found = chunks(path)
    np.testing.assert_array_equal(times(found), t_ns)
    back = [
        [*factory.rectified_to_raw_accel(row[:3]), *factory.rectified_to_raw_gyro(row[3:])]
        for row in samples(found).astype(np.float64)
    ]
    np.testing.assert_allclose(np.squeeze(back), imu, atol=2e-5)
    assert {len(chunk.t_ns) for chunk in found[:-1]} <= {1000, BLOCK_ROWS - 1000}


def test_a_filled_file_is_paced_by_its_clock(filled: tuple[Path, np.ndarray, np.ndarray]) -> None:
    """Twelve seconds of it take twelve seconds, a tenth at a time."""
    path, t_ns, _ = filled
    now_s = [0.0]

    def sleep(seconds: float) -> None:
        now_s[0] += seconds

    source = open_source(path, clock=lambda: now_s[0], sleep=sleep, loop=False)
    late = [now_s[0] - (chunk.t_ns[-1] - t_ns[0]) / NS_PER_S for chunk in source]
    assert np.abs(late).max() < 1e-6
    assert now_s[0] == pytest.approx(11.999)
    assert len(late) >= 120


def test_a_filled_file_goes_through_the_resampler(filled: tuple[Path, np.ndarray, np.ndarray]) -> None:
    """Every sample is accounted for, and 200 Hz come out in one segment."""
    resampler = Resampler(1000.0)
    blocks = [block for chunk in chunks(filled[0]) for block in resampler.push(chunk)] + resampler.finish()
    assert resampler.read == 12_000 == sum(int(block.inputs.sum()) for block in blocks)
    assert sum(len(block.samples) for block in blocks) == 2400
    assert sum(block.starts_segment for block in blocks) == 1


def test_a_repeated_file_gives_its_samples_again(aria: Path, tool: ModuleType, tmp_path: Path) -> None:
    """Two real streams, over and over: each round has the same readings, later."""
    path = tmp_path / "repeated.vrs"
    source = (aria / "gen1_everyday.vrs").read_bytes()
    tool.write(path, source, tool.repeat(source, 3))
    once, again = chunks(aria / "gen1_everyday.vrs"), chunks(path)
    rounds = len(times(again)) // 400
    assert rounds * 400 == len(times(again)) >= 3000
    np.testing.assert_array_equal(samples(again), np.tile(samples(once), (rounds, 1)))
    np.testing.assert_array_equal(times(again)[:400], times(once))
    assert np.all(np.diff(times(again)) > 0)


def test_a_loop_over_vrs_goes_on_in_time(aria: Path) -> None:
    """The playing is that of every other recording."""
    source = open_source(aria / "gen1_everyday.vrs", speed="max", loop=True)
    t_ns = np.empty(0, np.int64)
    for chunk in source:
        t_ns = np.concatenate([t_ns, chunk.t_ns])
        if len(t_ns) >= 1200:
            source.close()
    assert 0 < np.diff(t_ns).min() <= np.diff(t_ns).max() < 1_200_000


# ---- what is missing ----


def test_without_a_calibration_it_says_so(aria: Path) -> None:
    """The readings are those of the file, and the glasses' frame is not to be had."""
    path = aria / "gen1_synthetic_no_left_imu.vrs"
    source = open_source(path, speed="max")
    assert source.info.notes == (
        "stream imu-right",
        "no factory calibration in the file: read as measured, not rectified",
    )
    provider = data_provider.create_vrs_data_provider(str(path))
    stream = provider.get_stream_id_from_label("imu-right")
    row = provider.get_imu_data_by_index(stream, 0)
    found = samples(list(source))
    np.testing.assert_array_equal(found[0], np.array([*row.accel_msec2, *row.gyro_radsec], np.float32))
    assert len(found) == 101
    with pytest.raises(InputError, match="no calibration of imu-right"):
        open_source(path, frame="device")


def test_a_stream_that_is_not_there_is_refused(aria: Path) -> None:
    """The library gives an id for its label all the same."""
    path = aria / "gen1_synthetic_no_left_imu.vrs"
    with pytest.raises(InputError, match=r"no IMU stream 'imu-left'\. It has: imu-right\."):
        open_source(path, stream="imu-left")
    with pytest.raises(InputError, match=r"no IMU stream 'camera-rgb'\. It has: imu-left, imu-right"):
        open_source(aria / "gen1_everyday.vrs", stream="camera-rgb")
    with pytest.raises(InputError, match="frame 'world': expected imu or device"):
        open_source(path, frame="world")


@pytest.mark.parametrize("name", WITHOUT_IMU)
def test_a_recording_without_imu_lists_what_it_has(shared_data: Path, name: str) -> None:
    """Real VRS files of other devices, whether the library opens them or not."""
    with pytest.raises(InputError, match=r"no IMU.*; its streams are: .*(101-1 \(\d+ records\)|camera-rgb)"):
        open_source(shared_data / "vrs" / name)


def test_what_is_no_vrs_file_is_refused(tmp_path: Path) -> None:
    """Other data under its name, and a file that ends in its header."""
    for content in (b"VisionRe", b"not a VRS file" * 100, b"\0" * 1000):
        (tmp_path / "other.vrs").write_bytes(content)
        with pytest.raises(InputError, match="not a VRS file"):
            open_source(tmp_path / "other.vrs")


@pytest.mark.parametrize("name", [*REAL, "gen1_synthetic_no_left_imu.vrs"])
def test_a_whole_file_is_found_whole(aria: Path, name: str) -> None:
    """With its index in front or at the end, and as many IMU records as the library reads."""
    found = survey(aria / name)
    assert found.damage is None
    provider = data_provider.create_vrs_data_provider(str(aria / name))
    for stream in provider.get_all_streams():
        label = provider.get_label_from_stream_id(stream)
        if label.startswith("imu"):
            assert found.data_records[str(stream)] == provider.get_num_data(stream), label


def test_made_files_without_an_index_are_whole(filled: tuple[Path, np.ndarray, np.ndarray]) -> None:
    """No index is no damage when the records end with the file."""
    assert survey(filled[0]).damage is None
    assert survey(filled[0]).data_records["1202-1"] == 12_000


def test_a_truncated_file_is_played_and_said(aria: Path, tmp_path: Path) -> None:
    """The library drops what is missing without a word; the notes tell how much of the file is left."""
    whole = (aria / "gen1_everyday.vrs").read_bytes()
    path = tmp_path / "cut.vrs"
    path.write_bytes(whole[: len(whole) // 2])
    source = open_source(path, speed="max")
    found = list(source)
    np.testing.assert_array_equal(samples(found), samples(chunks(aria / "gen1_everyday.vrs"))[: len(times(found))])
    assert 100 < len(times(found)) < 300
    assert re.search(r"the file is cut: \d+ of its 785 records are left", source.info.notes[-1])


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
@pytest.mark.parametrize("name", ["gen1_timecode.vrs", "gen1_synthetic_no_left_imu.vrs", "made"])
def test_every_cut_is_found(
    aria: Path, tool: ModuleType, filled: tuple[Path, Any, Any], tmp_path: Path, name: str, share: float
) -> None:
    """Index in front, at the end, or none: wherever the file is cut, it is said or refused, unless the cut falls between two records of a
    file that has no index to tell.
    """
    whole = (filled[0] if name == "made" else aria / name).read_bytes()
    length = int(share * len(whole))
    path = tmp_path / "cut.vrs"
    path.write_bytes(whole[:length])
    if length < 80:
        with pytest.raises(InputError, match=r"the file is empty|not a VRS file"):
            survey(path)
    else:
        cut_within = name != "made" or length not in {80, *(offset for offset, _, _ in tool.records(whole))}
        assert (survey(path).damage is not None) == cut_within


def test_a_cut_at_the_end_of_a_record_is_found(aria: Path, tool: ModuleType, tmp_path: Path) -> None:
    """Nothing is torn there, but the index promises more."""
    whole = (aria / "gen1_everyday.vrs").read_bytes()
    *_, (last, _, _) = tool.records(whole)
    (tmp_path / "cut.vrs").write_bytes(whole[:last])
    assert survey(tmp_path / "cut.vrs").damage == "the file is cut: 784 of its 785 records are left"


def test_a_file_cut_before_its_first_sample_is_refused(aria: Path, tmp_path: Path) -> None:
    """There is nothing to play, and the error says why."""
    whole = (aria / "gen1_everyday.vrs").read_bytes()
    for length in (200, 20_000, 40_000):
        (tmp_path / "cut.vrs").write_bytes(whole[:length])
        with pytest.raises(InputError, match="the file is cut"):
            open_source(tmp_path / "cut.vrs")


def test_a_part_of_a_split_recording_is_not_called_cut(shared_data: Path, tmp_path: Path) -> None:
    """Where the next file of the same recording lies beside it."""
    first = (shared_data / "vrs" / "chunks.vrs").read_bytes()
    (tmp_path / "chunks.vrs").write_bytes(first)
    assert survey(tmp_path / "chunks.vrs").damage is not None
    (tmp_path / "chunks.vrs_1").write_bytes(b"the rest")
    assert survey(tmp_path / "chunks.vrs").damage is None


class InvalidNowAndThen:
    """A real provider whose device marked some samples as invalid."""

    def __init__(self, provider: Any, invalid: Callable[[int], tuple[bool, bool]]) -> None:
        self._provider, self._invalid = provider, invalid

    def get_imu_data_by_index(self, stream: Any, index: int) -> Any:
        row = self._provider.get_imu_data_by_index(stream, index)
        acc, gyro = self._invalid(index)
        return SimpleNamespace(
            capture_timestamp_ns=row.capture_timestamp_ns,
            accel_msec2=row.accel_msec2,
            gyro_radsec=row.gyro_radsec,
            accel_valid=row.accel_valid and not acc,
            gyro_valid=row.gyro_valid and not gyro,
        )


def test_invalid_samples_are_counted_as_not_finite(aria: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They keep their time, and the sensor that was valid its reading."""
    recording = VrsRecording(aria / "gen1_everyday.vrs")
    faulty = InvalidNowAndThen(recording._provider, lambda index: (index % 10 == 3, index % 25 == 4))
    monkeypatch.setattr(recording, "_provider", faulty)
    (block,) = recording.blocks()
    assert len(block.t_ns) == 400
    assert np.isnan(block.samples[3::10, :3]).all()
    assert np.isnan(block.samples[4::25, 3:]).all()
    assert np.isfinite(block.samples[3::10, 3:]).all()
    assert np.isfinite(block.samples).all(axis=1).sum() == 400 - 40 - 16
    resampler = Resampler(1000.0)
    resampler.push(ImuChunk(block.t_ns, block.samples, 0))
    assert resampler.dropped["non_finite"] == 56


# ---- manners ----


def test_the_library_writes_nothing_where_others_write(shared_data: Path) -> None:
    """Its lines go to the log; standard output and error stay free for labels and errors."""
    code = (
        "import sys; from aura_edge.errors import InputError; from aura_edge.sources import open_source\n"
        "print('before')\n"
        "for chunk in open_source(sys.argv[1], speed='max'): print(len(chunk.t_ns))\n"
        "try: open_source(sys.argv[2])\n"
        "except InputError: print('refused')\n"
    )
    synthetic, other = shared_data / "aria" / "gen1_synthetic_no_left_imu.vrs", shared_data / "vrs" / "sample_file.vrs"
    done = subprocess.run([sys.executable, "-c", code, synthetic, other], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["before", "101", "refused"]
    assert done.stderr == ""


def test_the_library_is_heard_in_the_log(aria: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At debug level, for those who look for a reason."""
    with caplog.at_level(logging.DEBUG, "aura_edge.sources.vrs"):
        open_source(aria / "gen1_everyday.vrs")
    assert any("streamId 1202-1/imu-right activated" in message for message in caplog.messages)


def test_a_recording_can_be_read_twice(aria: Path) -> None:
    """Each reading begins at the start."""
    recording = VrsRecording(aria / "gen2_bluetooth.vrs", stream="imu-left")
    one, other = (np.concatenate([b.samples for b in recording.blocks()]) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_blocks_are_bounded(filled: tuple[Path, np.ndarray, np.ndarray]) -> None:
    """Memory does not grow with the recording."""
    sizes = [len(block.t_ns) for block in VrsRecording(filled[0]).blocks()]
    assert max(sizes) == BLOCK_ROWS
    assert sum(sizes) == 12_000
    assert max(len(block.t_ns) for block in SyntheticRecording(seconds=100).blocks()) <= BLOCK_ROWS
