"""The emulator itself: each primitive against the tables of the PTX manual, and each thing that a kernel must not do."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aura_edge.kernels import build
from aura_edge.kernels.emulated import SCHEDULES, Counts

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None, reason="the emulator is compiled by g++, which is not here"
)

PROBES = [
    "mma",
    "load",
    "load_transposed",
    "shuffle",
    "copy_waited",
    "copy_not_waited",
    "copy_beyond",
    "load_beyond",
    "load_misaligned",
    "write_beyond",
    "barrier_missed",
    "lanes_part",
    "remote",
    "read_unwritten",
    "write_before",
]
"""In the order of kernel_probe.cpp."""
LANES = np.arange(32)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("probe")
    shutil.copytree(build.SOURCES / "emulator", folder / "emulator")
    shutil.copy(Path(__file__).parent / "kernel_probe.cpp", folder / "emulator" / "probe.cpp")
    loaded = build.emulated("probe", {}, sources=folder, cache=folder)
    loaded.probe.restype = ctypes.c_char_p
    return loaded


def run(
    library: Any, probe: str, inputs: NDArray[Any] | None = None, *, pitch: int = 8, schedule: int = 0, blocks: int = 1
) -> tuple[NDArray[np.uint32], Counts, str]:
    """Four words of each of 64 threads of each block, what was counted, and what went wrong."""
    words = np.zeros(64 * 4, np.uint32) if inputs is None else np.ascontiguousarray(inputs)
    out, counts = np.zeros((blocks * 64, 4), np.uint32), Counts()
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (words, out)]
    error = library.probe(PROBES.index(probe), *pointers, pitch, schedule, ctypes.byref(counts))
    return out, counts, error.decode() if error else ""


def test_products_have_the_layout_of_the_manual(library: Any) -> None:
    """mma.m16n8k16: a thread's registers hold the rows and columns of the table, and the sum is added to what was there."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((16, 16)).astype(np.float16), rng.standard_normal((16, 8)).astype(np.float16)
    registers = np.zeros((32, 6, 2), np.float16)
    expected = np.zeros((32, 4))
    product = a.astype(np.float64) @ b.astype(np.float64) + 1
    for lane in LANES:
        group, member = lane // 4, lane % 4
        for i in range(8):
            row = group if i in (0, 1, 4, 5) else group + 8
            registers[lane, i // 2, i % 2] = a[row, member * 2 + i % 2 + (8 if i >= 4 else 0)]
        for i in range(4):
            registers[lane, 4 + i // 2, i % 2] = b[member * 2 + i % 2 + (8 if i >= 2 else 0), group]
            expected[lane, i] = product[group + (8 if i >= 2 else 0), member * 2 + i % 2]
    out, counts, error = run(library, "mma", registers.view(np.uint32))
    assert not error
    assert counts.mmas == 2
    np.testing.assert_allclose(out.view(np.float32), np.tile(expected, (2, 1)), atol=1e-5)


@pytest.mark.parametrize("transposed", [False, True])
def test_matrices_are_loaded_as_the_manual_says(library: Any, transposed: bool) -> None:
    """ldmatrix.x4: thread 4 r + c gets columns 2 c and 2 c + 1 of row r, or rows of a column."""
    out, _, error = run(library, "load_transposed" if transposed else "load", pitch=24)
    assert not error
    halves = np.ascontiguousarray(out).view(np.uint16).reshape(2, 32, 4, 2)
    for matrix in range(4):
        rows = np.array([[(matrix * 8 + row) * 24 + column for column in range(8)] for row in range(8)])
        expected = (rows.T if transposed else rows).reshape(32, 2)
        for warp in range(2):
            np.testing.assert_array_equal(halves[warp, :, matrix], expected)


@pytest.mark.parametrize(("pitch", "expected"), [(8, 0), (24, 0), (40, 0), (16, 4), (32, 12), (64, 28), (48, 4)])
def test_bank_conflicts_are_counted(library: Any, pitch: int, expected: int) -> None:
    """Rows an odd number of 16-byte chunks apart never meet; twice as far, in pairs; 128 bytes apart all eight do."""
    _, counts, error = run(library, "load", pitch=pitch)
    assert not error
    assert counts.matrix_loads == 2
    assert counts.bank_conflicts == 2 * expected


def test_shuffles(library: Any) -> None:
    """Each lane gets what the lane beyond the mask holds."""
    out, _, error = run(library, "shuffle")
    assert not error
    for i in range(4):
        np.testing.assert_array_equal(out.view(np.float32)[:32, i], LANES ^ (1 << i))


def test_copies_land_when_they_are_waited_for(library: Any) -> None:
    """Late under three schedules: NaN until then, and zeros where nothing was to be read. At once under the greedy one that goes backwards."""
    words = np.arange(256, dtype=np.uint32).reshape(64, 4) + 1
    expected = np.where(np.arange(64)[:, None] % 2 == 0, words, 0)
    for schedule in range(len(SCHEDULES)):
        out, _, error = run(library, "copy_waited", words, schedule=schedule)
        assert not error
        np.testing.assert_array_equal(out, expected)
        early, _, _ = run(library, "copy_not_waited", words, schedule=schedule)
        name = SCHEDULES[schedule]
        if name == "greedy reverse":
            np.testing.assert_array_equal(early, expected)
        elif name == "shuffled":
            assert 0 < (early == 0xFFFFFFFF).all(1).sum() < 64
        else:
            assert (early == 0xFFFFFFFF).all()


@pytest.mark.parametrize("schedule", range(len(SCHEDULES)))
def test_blocks_of_a_cluster_see_each_other(library: Any, schedule: int) -> None:
    """What one writes to the other's shared memory is there behind the cluster's barrier."""
    out, _, error = run(library, "remote", schedule=schedule, blocks=2)
    assert not error
    np.testing.assert_array_equal(out.view(np.float32)[:, 0], np.repeat([2, 1], 64))


def test_shared_memory_starts_as_nan(library: Any) -> None:
    """In FP16 and in FP32, so that what nobody wrote is seen in the result."""
    out, _, error = run(library, "read_unwritten")
    assert not error
    assert np.isnan(out[:, 0].view(np.float32)).all()
    assert np.isnan(np.ascontiguousarray(out[:, 0]).view(np.float16)).all()


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        ("copy_beyond", "cp.async to outside of shared memory"),
        ("load_beyond", "ldmatrix outside of shared memory"),
        ("load_misaligned", "no multiple of 16 bytes"),
        ("write_beyond", "memory outside of a buffer"),
        ("write_before", "a write before the begin of a buffer"),
        ("lanes_part", "lanes of one warp meet for different things"),
        ("barrier_missed", "deadlock"),
    ],
)
@pytest.mark.parametrize("schedule", range(len(SCHEDULES)))
def test_what_a_kernel_must_not_do(library: Any, probe: str, message: str, schedule: int) -> None:
    """Ends the launch with its reason, under every schedule, and not the process."""
    assert message in run(library, probe, schedule=schedule)[2]
    assert not run(library, "shuffle")[2]


def test_halves_are_rounded_as_numpy_rounds_them(library: Any) -> None:
    """All halves, what lies halfway between two of them, what overflows, and what is too small to be normal."""
    halves = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)
    halves = halves[np.isfinite(halves)]
    between = np.sort(halves)
    between = between[:-1] + np.diff(between) / 2
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 2**32, 100_000, dtype=np.uint64).astype(np.uint32).view(np.float32)
    drawn = drawn[~np.isnan(drawn)]
    edges = np.array([np.inf, -np.inf, 65520.0, 65519.9], np.float32)
    values = np.concatenate([halves, between, np.nextafter(between, np.float32(np.inf)), drawn, edges])
    assert values.dtype == np.float32
    found, back = np.zeros(len(values), np.uint16), np.zeros(len(values), np.float32)
    library.round_trip(*(ctypes.c_void_p(array.ctypes.data) for array in (values, found, back)), len(values))
    with np.errstate(over="ignore"):
        expected = values.astype(np.float16)
    np.testing.assert_array_equal(found, expected.view(np.uint16))
    np.testing.assert_array_equal(back, expected.astype(np.float32))
