"""Every sample of every real recording is accounted for: read is the sum of used and of every reason."""

from __future__ import annotations

import tarfile
from collections import Counter
from pathlib import Path

import pytest

from aura_edge.errors import InputError, TooShortError
from aura_edge.manifest import EncoderSpec, Manifest
from aura_edge.pipeline import Pipeline
from aura_edge.sources import open_source
from aura_edge.sources.presets import preset
from aura_edge.sources.recordings import read_recording
from aura_edge.testing import TINY_SPACE, FakeEngine, tiny_prototypes
from aura_edge.types import Summary

pytestmark = pytest.mark.shared_data

MANIFEST = Manifest(
    name="tiny", encoder=EncoderSpec("tiny", {}, 1), text_space=TINY_SPACE, prototypes="tiny", hop_s=5.0
)


def played(url: str, **options: str) -> Summary:
    """The whole path over a recording, as fast as it goes; the summary is there for one without a window too."""
    pipeline = Pipeline(open_source(url, speed="max", **options), FakeEngine(), tiny_prototypes(), MANIFEST, [])
    try:
        return pipeline.run()
    except TooShortError:
        return pipeline.summary()


def accounted(summary: Summary) -> Counter[str]:
    """The counts, checked to add up."""
    counts = Counter(summary.samples)
    assert counts["pending"] == 0
    assert counts["read"] > 0
    assert counts["read"] == counts.total() - counts["read"]
    return counts


@pytest.mark.parametrize(
    ("name", "path", "reasons"),
    [
        ("neon", "neon", {"used", "end", "gap"}),
        ("euroc", "euroc/imu0.csv", {"used", "end", "gap", "non_finite"}),
        ("fusion", "fusion/sensor_data.csv", {"used", "end", "gap"}),
    ],
)
def test_single_recordings(shared_data: Path, name: str, path: str, reasons: set[str]) -> None:
    """Jittered glasses, a damaged spreadsheet, an export with ten holes of 30 ms: all rows are read, and each loss has a known reason."""
    counts = accounted(played(f"replay:{shared_data / path}", preset=name))
    assert counts["read"] == len(read_recording(shared_data / path, preset(name)).t_ns)
    assert {reason for reason, count in counts.items() if count} - {"read"} <= reasons
    assert counts["used"] > 0.8 * counts["read"]


def test_the_damaged_rows_of_euroc_are_counted(shared_data: Path) -> None:
    """Its seven damaged rows are what is not finite."""
    assert accounted(played(f"replay:{shared_data / 'euroc/imu0.csv'}", preset="euroc"))["non_finite"] == 7


def test_aria_recordings(shared_data: Path) -> None:
    """Both streams of each clip, all too short for a window: every sample is counted as the end."""
    pytest.importorskip("projectaria_tools", reason="projectaria-tools has no wheel for this Python")
    found = 0
    for clip in sorted((shared_data / "aria").glob("*.vrs")):
        for stream in ("imu-right", "imu-left"):
            try:
                counts = accounted(played(f"vrs:{clip}", stream=stream))
            except InputError:
                assert clip.stem == "gen1_synthetic_no_left_imu"
                continue
            assert counts["used"] == 0
            found += counts["read"]
    assert found > 1500


def test_raw_sisfall(shared_data: Path) -> None:
    """The original text files, one trial each."""
    for trial in sorted((shared_data / "sisfall-raw").glob("*/*.txt")):
        counts = accounted(played(f"replay:{trial}", preset="sisfall"))
        assert counts["used"] + counts["end"] == counts["read"]


@pytest.mark.slow
def test_sp_sw_har(shared_data: Path, tmp_path: Path) -> None:
    """All executions of both devices: arrival times torn by bunches are no reason to lose a sample."""
    with tarfile.open(shared_data / "sp-sw-har" / "sp-sw-har.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    files = sorted(tmp_path.glob("DATA/s*/s*.csv"))
    total = sum((accounted(played(f"replay:{file}", preset="sp-sw-har")) for file in files), Counter[str]())
    assert len(files) == 446
    assert total["used"] > 0.75 * total["read"]  # executions of about 11 s, windows every 5 s
    assert set(total) <= {"read", "used", "end"}


def test_utd_mhad(shared_data: Path, tmp_path: Path) -> None:
    """All 861 trials, each shorter than a window: every sample is counted as the end."""
    with tarfile.open(shared_data / "utd-mhad" / "utd-mhad.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    files = sorted(tmp_path.rglob("*_inertial.mat"))
    assert len(files) == 861
    total = sum((accounted(played(f"replay:{file}", preset="utd-mhad")) for file in files), Counter[str]())
    assert total["end"] + total["used"] == total["read"] > 100_000


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_sisfall(shared_data: Path, part: int) -> None:
    """All 38 subjects, 15,858,929 rows in 4 parts: trials are kept apart, so their ends are gaps, and nothing else is lost."""
    files = sorted((shared_data / "sisfall").glob("*.parquet"))
    assert len(files) == 38
    for file in files[part::4]:
        counts = accounted(played(f"replay:{file}", preset="sisfall"))
        assert set(counts) <= {"read", "used", "gap", "end"}
