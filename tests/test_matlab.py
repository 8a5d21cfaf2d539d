"""MATLAB recordings: one matrix of six columns, at a rate and in units that somebody says."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aura_edge.errors import InputError, UnitsError
from aura_edge.sources.presets import choose_format, preset
from aura_edge.sources.recordings import read_recording

scipy_io = pytest.importorskip("scipy.io", reason="writes the files; it comes with scikit-learn")

READINGS = np.random.default_rng(0).normal(size=(5000, 6))


def saved(tmp_path: Path, *, compressed: bool = False, **content: np.ndarray) -> Path:
    scipy_io.savemat(tmp_path / "walk.mat", content, do_compression=compressed)
    return tmp_path / "walk.mat"


def test_a_matrix_is_read_at_its_rate_and_in_its_units(tmp_path: Path) -> None:
    """Every row, converted, at regular times; other variables of the file do not matter."""
    path = saved(tmp_path, d_iner=READINGS, subject=np.array([[3]]))
    found = read_recording(path, preset("utd-mhad"))
    assert np.array_equal(found.t_ns, np.arange(5000) * 20_000_000)
    np.testing.assert_allclose(found.samples[:, :3], READINGS[:, :3] * 9.80665, rtol=1e-6)
    np.testing.assert_allclose(found.samples[:, 3:], np.radians(READINGS[:, 3:]), rtol=1e-6)
    assert found.info.rate_hz == 50.0


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["f8", "f4", "i2", "u1", "i4"])
def test_every_way_to_store_numbers(tmp_path: Path, kind: str, compressed: bool) -> None:
    """Doubles and integers, plain and compressed, beside variables that are something else."""
    readings = np.arange(600).reshape(100, 6).astype(kind)
    others = {
        "name": np.array(["walk"]),
        "cell": np.array([{"a": 1}], dtype=object),
        "x": np.eye(2) * 1j,
        "cube": np.ones((2, 2, 6)),
    }
    path = saved(tmp_path, compressed=compressed, imu=readings, **others)
    found = read_recording(path, choose_format(rate_hz=100, units="m/s2, rad/s"))
    np.testing.assert_allclose(found.samples, readings.astype(np.float32), rtol=1e-6)


_FILES: list[bytes] = []


def files() -> list[bytes]:
    """A plain and a compressed file, written once."""
    if not _FILES:
        for compressed in (False, True):
            file = io.BytesIO()
            scipy_io.savemat(file, {"d_iner": READINGS[:50], "s": np.eye(3)}, do_compression=compressed)
            _FILES.append(file.getvalue())
    return _FILES


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, 1), st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=8), st.integers(0, 4000)
)
def test_damage_gives_a_recording_or_an_error_of_ours(
    tmp_path: Path, which: int, changes: list[tuple[int, int]], length: int
) -> None:
    """Whatever bytes are changed or cut off, nothing else happens."""
    content = bytearray(files()[which])
    for place, value in changes:
        content[place % len(content)] = value
    (tmp_path / "x.mat").write_bytes(content[:length] if length < len(content) else content)
    with suppress(InputError):
        assert read_recording(tmp_path / "x.mat", preset("utd-mhad")).samples.shape[1] == 6


def test_what_the_file_does_not_say_is_asked_for(tmp_path: Path) -> None:
    """Rate and units are never guessed."""
    path = saved(tmp_path, imu=READINGS)
    with pytest.raises(InputError, match="--rate-hz"):
        read_recording(path, choose_format(units="g, deg/s"))
    with pytest.raises(UnitsError, match="--units"):
        read_recording(path, choose_format(rate_hz=50))
    with pytest.raises(InputError, match="20 Hz"):
        read_recording(path, choose_format(rate_hz=5, units="g, deg/s"))


def test_none_or_two_matrices_are_refused(tmp_path: Path) -> None:
    """The error names what was found."""
    with pytest.raises(InputError, match=r"0 matrices of six columns \(none\)"):
        read_recording(saved(tmp_path, skeleton=np.zeros((20, 3, 50))), preset("utd-mhad"))
    with pytest.raises(InputError, match=r"2 matrices of six columns \(left, right\)"):
        read_recording(saved(tmp_path, left=READINGS, right=READINGS), preset("utd-mhad"))


@pytest.mark.parametrize(
    "content", [b"not a matlab file at all, but long enough to have a header" * 10, b"MATLAB 5.0 MAT-file" + b" " * 200]
)
def test_other_files_under_its_name_are_refused(tmp_path: Path, content: bytes) -> None:
    """Garbage and a file that ends in its header give one clear error."""
    (tmp_path / "x.mat").write_bytes(content)
    with pytest.raises(InputError, match="MATLAB"):
        read_recording(tmp_path / "x.mat", preset("utd-mhad"))
