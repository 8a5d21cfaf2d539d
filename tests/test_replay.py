"""Recordings in files: what is in them comes out in SI units, row by row, at the right pace, whatever is wrong with them."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import math
import tarfile
import zipfile
from collections import Counter
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aura_edge.errors import InputError, TooShortError, UnitsError
from aura_edge.resample import Resampler
from aura_edge.sources import open_source
from aura_edge.sources.columns import recognise
from aura_edge.sources.formats import Recording, RecordingFormat
from aura_edge.sources.presets import choose_format, preset
from aura_edge.sources.recordings import open_recording, read_recording, read_trials
from aura_edge.sources.replay import Player
from aura_edge.sources.synthetic import SyntheticRecording
from aura_edge.sources.timeline import HEAD_ROWS, estimate_rate_hz, exact_ns
from aura_edge.sources.units import parse_unit
from aura_edge.types import NS_PER_S

HEADER = "time (ms),acc x (g),acc y (g),acc z (g),gyro x (deg/s),gyro y (deg/s),gyro z (deg/s)\n"
ROW = "{},0.1,0.2,0.97,10,-20,30"
EXPECTED = [0.980665, 1.96133, 9.5124505, 0.17453293, -0.34906585, 0.52359878]


def rows(count: int, step: int = 10) -> list[str]:
    """So many rows of the same reading, `step` ms apart."""
    return [ROW.format(number * step) for number in range(count)]


def written(tmp_path: Path, text: str | bytes, name: str = "walk.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


# ---- what text files look like ----


@pytest.mark.parametrize(
    ("name", "role"),
    [
        *(
            (name, "acc_x")
            for name in ("acc_x", "ax", "accel_x", "accl_x", "x_acc", "AccX", "ACC_X", "Accelerometer X (g)")
        ),
        *((name, "acc_y") for name in ("acc_y_m_s2", "a_y", "imu_acc_y", "acceleration.y [m/s^2]", '"Acc Y"')),
        *((name, "gyro_z") for name in ("gyro_z", "gz", "z_gyro", "gyrZ", "wz", "Gyroscope Z (deg/s)", "gyro_z_rad_s")),
        *((name, "gyro_x") for name in ("angular_velocity_x", "omega_x", "Angular Rate X", "raw_gyro_x")),
        *((name, "t") for name in ("t", "time", "Time (s)", "timestamp", "#timestamp [ns]", "canonical_timestamp_ms")),
        *((name, "label") for name in ("label", "Activity")),
        *(
            (name, None)
            for name in (
                "mag_x",
                "Magnetometer X (uT)",
                "linear_acceleration_x",
                "acc_x_std",
                "x",
                "a",
                "",
                "temperature",
            )
        ),
    ],
)
def test_columns_are_recognised_by_the_names_people_write(name: str, role: str | None) -> None:
    """Readings, time and label; an acceleration without gravity is not taken for one with it."""
    assert recognise(name)[0] == role


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("acc_x_g", "g"),
        ("Gyroscope X (deg/s)", "deg/s"),
        ("gyro_x_rad_s", "rad/s"),
        ("time_ns", "ns"),
        ("acc_x (uT)", None),
        ("gyro_x_g", None),
    ],
)
def test_names_state_units(name: str, unit: str | None) -> None:
    """In brackets or at the end; a unit of another kind is none."""
    found = recognise(name)[1]
    assert (found.name if found else None) == unit


VARIANTS: dict[str, str | bytes] = {
    "plain": HEADER + "\n".join(rows(100)) + "\n",
    "no newline at the end": HEADER + "\n".join(rows(100)),
    "BOM and CRLF": "\ufeff" + HEADER.replace("\n", "\r\n") + "\r\n".join(rows(100)) + "\r\n",
    "old Mac line ends": (HEADER + "\n".join(rows(100))).replace("\n", "\r"),
    "blank and comment lines": "# made by hand\n\n"
    + HEADER
    + "\n".join(rows(50))
    + "\n\n# pause\n"
    + "\n".join(rows(100)[50:])
    + "\n\n\n",
    "a header that is a comment": "#" + HEADER + "\n".join(rows(100)),
    "lines before the header": "Device: 7\nRate,100\nsep=,\n" + HEADER + "\n".join(rows(100)),
    "semicolons": (HEADER + "\n".join(rows(100))).replace(",", ";"),
    "semicolons and decimal commas": (HEADER + "\n".join(rows(100))).replace(",", ";").replace(".", ","),
    "tabs": (HEADER + "\n".join(rows(100))).replace(",", "\t"),
    "white space": (
        "t_ms ax_g ay_g az_g gx_dps gy_dps gz_dps\n" + "\n".join("  " + row.replace(",", "  ") for row in rows(100))
    ),
    "quotes": '"'
    + HEADER.strip().replace(",", '","')
    + '"\n'
    + "\n".join('"' + row.replace(",", '","') + '"' for row in rows(100)),
    "a delimiter at the end": HEADER + ",\n".join(rows(100)) + ",",
    "spaces after the commas": (HEADER + "\n".join(rows(100))).replace(",", ", "),
    "columns in another order": (
        "label,gyro z (dps),gyro y (dps),gyro x (dps),time (s),mag x (uT),acc z (mg),acc y (mg),acc x (mg)\n"
        + "\n".join(f"walk,30,-20,10,{n / 100},7,970,200,100" for n in range(100))
    ),
    "UTF-16": (HEADER + "\n".join(rows(100))).encode("utf-16"),
    "Latin-1": ("# °\n" + HEADER + "\n".join(rows(100))).encode("latin-1"),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_text_is_read_however_it_is_written(tmp_path: Path, variant: str) -> None:
    """Encodings, line ends, delimiters, headers: the same hundred samples."""
    recording = read_recording(written(tmp_path, VARIANTS[variant]))
    np.testing.assert_array_equal(recording.t_ns, np.arange(100) * 10_000_000)
    np.testing.assert_allclose(recording.samples, np.tile(EXPECTED, (100, 1)), rtol=1e-6)
    assert recording.samples.dtype == np.float32
    assert recording.info.rate_hz == pytest.approx(100)


def test_labels_come_with_the_rows(tmp_path: Path) -> None:
    """Where a column holds them; a delimiter inside quotes is part of one."""
    text = HEADER.strip() + ",label\n" + "\n".join(f'{row},"walking, slowly"' for row in rows(5000))
    recording = read_recording(written(tmp_path, text))
    assert recording.labels is not None
    assert Counter(recording.labels.tolist()) == {"walking, slowly": 5000}


def test_columns_can_be_told(tmp_path: Path) -> None:
    """By name, with or without the unit in it, or by their place; what is told is stronger than what is recognised."""
    text = "when,ax,ay,az,foot x (g),foot y (g),foot z (g),w 0,w 1,w 2\n" + "\n".join(
        f"{n},9,9,9,.1,.2,.97,10,-20,30" for n in range(0, 900, 10)
    )
    columns = "t=when,acc_x=foot x,acc_y=foot y (g),acc_z=6,gyro_x=w 0,gyro_y=W 1,gyro_z=9"
    recording = read_recording(written(tmp_path, text), choose_format(columns=columns, units="dps, ms"))
    np.testing.assert_allclose(recording.samples[0], EXPECTED, rtol=1e-6)
    assert recording.t_ns[1] == 10_000_000


def test_a_file_without_a_header_needs_places(tmp_path: Path) -> None:
    """Columns are then numbers; and the error without them says how."""
    path = written(tmp_path, "\n".join(rows(100)))
    with pytest.raises(InputError, match=r"no header line .* --columns acc_x=1"):
        open_recording(path)
    form = choose_format(columns="t=0,acc_x=1,acc_y=2,acc_z=3,gyro_x=4,gyro_y=5,gyro_z=6", units="g,deg/s,ms")
    np.testing.assert_allclose(read_recording(path, form).samples[99], EXPECTED, rtol=1e-6)


def test_a_rate_stands_in_for_a_time_column(tmp_path: Path) -> None:
    """Samples are then counted; nothing drifts over many of them."""
    text = "ax,ay,az,gx,gy,gz\n" + ".1,.2,.97,10,-20,30\n" * 10_000
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=r"no column for the time.*--columns t=NAME.*--rate-hz"):
        open_recording(path, choose_format(units="g,dps"))
    recording = read_recording(path, choose_format(units="g,dps", rate_hz=30))
    assert recording.info.rate_hz == 30
    assert recording.t_ns[-1] == round(9999 * NS_PER_S / 30)


@pytest.mark.parametrize("mapping", ["acc_x", "acc_x=", "speed=3", "=x"])
def test_a_mapping_that_is_none_is_refused(mapping: str) -> None:
    """The error says what one looks like."""
    with pytest.raises(InputError, match="is not ROLE=NAME with a role of acc_x"):
        choose_format(columns=mapping)


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(-(2**62), 2**62), *[st.floats(-1e6, 1e6, width=32)] * 6),
        min_size=2,
        max_size=40,
        unique_by=lambda r: r[0],
    ),
    st.sampled_from([",", ";", "\t", " "]),
)
def test_numbers_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[Any, ...]], delimiter: str
) -> None:
    """Every nanosecond and every bit of every reading."""
    table = sorted(table)
    text = delimiter.join(["t_ns", "ax", "ay", "az", "gx", "gy", "gz"]) + "\n"
    text += "\n".join(delimiter.join(map(repr, row)) for row in table)
    path = written(tmp_path_factory.mktemp("numbers"), text)
    recording = read_recording(path, choose_format(units="m/s2, rad/s", rate_hz=100))
    assert recording.t_ns.tolist() == [row[0] for row in table]
    np.testing.assert_array_equal(recording.samples, np.array([row[1:] for row in table], np.float32))


# ---- times ----


@example(Decimal("1e-999999999"), "1/32768 s")
@example(Decimal("0e-40"), "s")
@given(
    st.decimals(-(10**9), 10**9, allow_nan=False, allow_infinity=False),
    st.sampled_from(["ns", "us", "ms", "s", "1/32768 s"]),
)
def test_written_times_are_exact(number: Decimal, name: str) -> None:
    """Decimal fractions and exponents to the nanosecond, as rational arithmetic has it."""
    unit = parse_unit(name)
    t_ns, readable = exact_ns([str(number)], unit)
    assert readable[0]
    if number.adjusted() < -40:
        assert t_ns[0] == 0
    else:
        assert abs(Fraction(int(t_ns[0])) - Fraction(number) * unit.factor) <= Fraction(1, 2)


@pytest.mark.parametrize("first", ["2025-01-01T00:00:00.000", "01.01.2025 00:00:00", "00:00:01.5"])
def test_dates_are_refused_at_once(tmp_path: Path, first: str) -> None:
    """Before units are asked for, with what works; and it does."""
    text = "timestamp,ax,ay,az,gx,gy,gz\n" + f"{first},1,2,3,4,5,6\n" * 50
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=rf"begin with '{first}'.*dates are not read.*--columns t=none --rate-hz HZ"):
        open_recording(path)
    counted = read_recording(path, choose_format(units="m/s2,rad/s", columns="t=none", rate_hz=50))
    assert counted.t_ns[-1] == 49 * 20_000_000
    assert counted.info.notes == ()


@pytest.mark.parametrize(
    ("step_ms", "said"),
    [
        (
            100,
            r"walk\.csv: sampling rate of 10 Hz, expected 20 to 2000 Hz; below 20 Hz too little is left of a movement",
        ),
        (0.25, r"walk\.csv: sampling rate of 4000 Hz, expected 20 to 2000 Hz; above 2000 Hz decimate it first"),
    ],
)
def test_rates_that_cannot_be_resampled_are_refused(tmp_path: Path, step_ms: float, said: str) -> None:
    """With the file's name and what to do, whether it is the recording or the unit of its times."""
    path = written(tmp_path, HEADER + "\n".join(ROW.format(n * step_ms) for n in range(200)))
    with pytest.raises(InputError, match=said + r".*--units.*--columns t=NAME"):
        open_recording(path)
    with pytest.raises(
        InputError, match=r"sampling rate of 5 Hz, .* If that is not its rate, say another with --rate-hz"
    ):
        open_recording(path, choose_format(rate_hz=5))


@pytest.mark.parametrize("kind", ["csv", "npz", "parquet", "neon"])
@pytest.mark.parametrize(("rate_hz", "noted"), [(50, True), (130, True), (90, False), (None, False)])
def test_a_rate_that_contradicts_the_times_is_noted(
    tmp_path: Path, kind: str, rate_hz: float | None, noted: bool
) -> None:
    """By more than a fifth: either it or the times are wrong."""
    if kind == "csv":
        path = written(tmp_path, HEADER + "\n".join(rows(200)))
    elif kind == "npz":
        path = archive(tmp_path, units="g, deg/s")
    else:
        path = table(tmp_path) if kind == "parquet" else neon(tmp_path, 1, 100)
    info = open_recording(path, choose_format("neon" if kind == "neon" else None, rate_hz=rate_hz)).info
    assert info.rate_hz == pytest.approx(rate_hz or 100)
    assert info.notes == ((f"sampling rate taken as {rate_hz} Hz, though the timestamps show 100 Hz",) if noted else ())


@pytest.mark.parametrize(
    "text", ["", "abc", "nan", "inf", "-Infinity", "1e999999999", "9e18999999", "99999999999999999999", "1,5", "0x10"]
)
def test_what_is_no_time_is_unreadable(text: str) -> None:
    """Text, infinities and what does not fit 64 bit, at no cost in memory."""
    assert exact_ns(["12", text, "13.5"], parse_unit("ns"))[1].tolist() == [True, False, True]


@pytest.mark.parametrize("rate_hz", [20.0, 102.456, 104.0, 800.0, 2000.0])
def test_the_rate_is_estimated_through_jitter_and_damage(rate_hz: float) -> None:
    """Jitter of a third of a period, holes, steps back and repeated rows move it by less than one in two hundred."""
    random = np.random.default_rng(0)
    t_ns = ((np.arange(4000) + random.uniform(-0.3, 0.3, 4000)) * NS_PER_S / rate_hz).astype(np.int64)
    samples = random.normal(size=(4000, 6)).astype(np.float32)
    t_ns[1000:] += 30 * NS_PER_S
    t_ns[2000:] -= 100 * NS_PER_S
    keep = np.sort(np.concatenate([np.delete(np.arange(4000), slice(2500, 2700)), np.arange(100, 300)]))
    assert estimate_rate_hz(t_ns[keep], samples[keep]) == pytest.approx(rate_hz, rel=0.005)


def test_the_rate_survives_timestamps_in_milliseconds() -> None:
    """At 104 Hz most steps are 10 ms and some 9: a median of steps would say 100 Hz."""
    t_ns = (np.arange(2000) * 1000 // 104) * 1_000_000
    samples = np.random.default_rng(0).normal(size=(2000, 6)).astype(np.float32)
    assert estimate_rate_hz(t_ns, samples) == pytest.approx(104, rel=0.002)


def test_delivery_times_become_sampling_times(tmp_path: Path) -> None:
    """A format may say that times are those of delivery in bunches; then every sample gets its own."""
    taken = np.arange(1000) * 9.8
    delivered = np.ceil(taken / 29.4) * 29.4
    text = HEADER + "\n".join(ROW.format(int(t)) for t in delivered)
    bunched = read_recording(written(tmp_path, text))
    spread = read_recording(written(tmp_path, text), RecordingFormat(arrival_times=True))
    assert (np.diff(bunched.t_ns) == 0).sum() > 600
    assert np.diff(spread.t_ns) == pytest.approx(9.8e6, rel=0.001)
    assert spread.info.rate_hz == pytest.approx(1000 / 9.8, rel=0.001)
    path = written(tmp_path, text)
    played = Player(open_recording(path, RecordingFormat(arrival_times=True)), speed="max")
    np.testing.assert_array_equal(np.concatenate([chunk.t_ns for chunk in played]), spread.t_ns)


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (["noon"] * 50, r"none of the first 50 timestamps is a number"),
        ([""] * 50, r"none of the first 50 timestamps is a number"),
        ([f"{10**19 + n}" for n in range(50)], r"fits 64 bit nanoseconds"),
        (["17"] * 50, r"the first 50 timestamps never advance \(they begin with 17000000 ns\)"),
        ([str(-n) for n in range(50)], r"never advance"),
    ],
)
def test_times_that_are_none_are_refused(tmp_path: Path, times: list[str], said: str) -> None:
    """And the error says how to do without them."""
    path = written(tmp_path, HEADER + "\n".join(ROW.format(t) for t in times))
    with pytest.raises(InputError, match=said + r".*--columns t=none --rate-hz"):
        open_recording(path)
    counted = read_recording(path, choose_format(columns="t=none", rate_hz=50))
    assert counted.t_ns[-1] == 49 * 20_000_000


def test_times_that_jump_pass_through(tmp_path: Path) -> None:
    """Steps back and absurd times are the resampler's to count, not the source's to mend."""
    times = [*range(0, 1000, 10), 500, 9_000_000_000_000, -9_000_000_000_000, *range(1000, 2000, 10)]
    path = written(tmp_path, HEADER + "\n".join(ROW.format(t) for t in times))
    recording = read_recording(path)
    assert recording.t_ns.tolist() == [t * 1_000_000 for t in times]
    assert recording.info.rate_hz == pytest.approx(100)


# ---- damage ----


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 99), st.text(max_size=60)), max_size=10))
@example([(3, '"')])
@example([(3, "10,0.1,0.2,0.97,10,-20")])
@example([(3, "10,0.1,0.2,0.97,10,-20,30,40")])
@example([(3, "10,0.1,0.2,0.9\x007,10,-20,30")])
def test_a_damaged_row_costs_itself_only(tmp_path: Path, damage: list[tuple[int, str]]) -> None:
    """Whatever stands in a line: every row is there, and those beside it are untouched."""
    lines, hurt = rows(100), set()
    for place, text in damage:
        line = "".join(c for c in text if c not in "\r\n").encode("utf-8", "replace").decode()
        if line.strip() and not line.lstrip().startswith("#"):
            lines[place] = line
            hurt.add(place)
    recording = read_recording(written(tmp_path, HEADER + "\n".join(lines)))
    assert len(recording.t_ns) == 100
    sound = [row for row in range(100) if row not in hurt]
    np.testing.assert_array_equal(recording.t_ns[sound], np.array(sound) * 10_000_000)
    np.testing.assert_allclose(recording.samples[sound], np.tile(EXPECTED, (len(sound), 1)), rtol=1e-6)


@pytest.mark.parametrize(
    "line",
    [
        "30,,,,,,",
        "30,0.1,0.2,0.97,10,-20,",
        "30,0.1,0.2,0.97,10,-2",
        "30,0.1,x,0.97,10,-20,30",
        "30,0.1,0.2,0.97,10,-20,30,40",
        "nan,nan,nan,nan,nan,nan,nan",
        "noon,0.1,,0.97,10,-20,30",
    ],
)
def test_a_damaged_row_is_counted_as_not_finite(tmp_path: Path, line: str) -> None:
    """It goes downstream as a sample that is not a number, in its place in time."""
    lines = rows(100)
    lines[3] = line
    path = written(tmp_path, HEADER + "\n".join(lines))
    recording = read_recording(path)
    assert not np.isfinite(recording.samples[3]).all()
    assert np.isfinite(np.delete(recording.samples, 3, axis=0)).all()
    assert recording.t_ns[3] in (30_000_000, 20_000_000)
    resampler = Resampler(recording.info.rate_hz)
    for chunk in open_source(path, speed="max"):
        resampler.push(chunk)
    assert (resampler.read, +resampler.dropped) == (100, Counter(non_finite=1))


def test_an_unreadable_time_is_that_of_the_row_before(tmp_path: Path) -> None:
    """Also across the seams between blocks, and at the very beginning that of the first readable one; the sample is not used."""
    lines = rows(3 * HEAD_ROWS)
    for place in (0, 1, HEAD_ROWS, 2 * HEAD_ROWS - 1):
        lines[place] = ROW.format("noon")
    recording = read_recording(written(tmp_path, HEADER + "\n".join(lines)))
    assert len(recording.t_ns) == 3 * HEAD_ROWS
    times = (recording.t_ns // 10_000_000).tolist()
    assert times[:3] == [2, 2, 2]
    assert times[HEAD_ROWS] == HEAD_ROWS - 1
    assert times[2 * HEAD_ROWS - 1] == 2 * HEAD_ROWS - 2
    assert np.flatnonzero(np.isnan(recording.samples).any(axis=1)).tolist() == [0, 1, HEAD_ROWS, 2 * HEAD_ROWS - 1]


def test_a_cut_time_is_not_a_time(tmp_path: Path) -> None:
    """The last field of a row that was cut may have lost digits: it is not believed."""
    lines = rows(100)
    lines[-1] = "99"
    assert read_recording(written(tmp_path, HEADER + "\n".join(lines))).t_ns[-1] == 980_000_000


def test_a_damaged_first_row_is_a_row(tmp_path: Path) -> None:
    """Below a header and without one."""
    lines = rows(100)
    lines[0] = "0,,,,,,"
    assert len(read_recording(written(tmp_path, HEADER + "\n".join(lines))).t_ns) == 100
    form = choose_format(columns="t=0,acc_x=1,acc_y=2,acc_z=3,gyro_x=4,gyro_y=5,gyro_z=6", units="g,deg/s,ms")
    assert len(read_recording(written(tmp_path, "\n".join(lines)), form).t_ns) == 100


# ---- what is refused ----


@pytest.mark.parametrize(
    "text",
    [
        "Dear reader,\n\nthis is a letter, not a table.\nYours\n",
        "\n\n\n",
        "<html><body>404</body></html>",
        '{"imu": [1, 2]}',
        "# only\n# comments\n",
    ],
)
def test_text_that_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    """The error says what was looked for."""
    with pytest.raises(InputError, match=r"no rows of numbers in its first .* lines: this is no CSV file"):
        open_recording(written(tmp_path, text))


def test_binary_data_is_refused(tmp_path: Path) -> None:
    """Noise under a text file's name."""
    noise = np.random.default_rng(0).integers(0, 256, 5000, np.uint8).tobytes()
    with pytest.raises(InputError, match="binary data, not text"):
        open_recording(written(tmp_path, noise))


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zip"])
def test_packed_files_are_to_be_unpacked(tmp_path: Path, kind: str) -> None:
    """Known by their first bytes, whatever their name."""
    data = (HEADER + "\n".join(rows(50))).encode()
    if kind == "zip":
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as packed:
            packed.writestr("walk.csv", data)
        data = file.getvalue()
    else:
        data = gzip.compress(data) if kind == "gz" else bz2.compress(data) if kind == "bz2" else lzma.compress(data)
    for name in (f"walk.csv.{kind}", "walk.csv"):
        with pytest.raises(InputError, match=r"a packed file, expected text\. Unpack it first"):
            open_recording(written(tmp_path, data, name))


def test_a_header_alone_is_refused(tmp_path: Path) -> None:
    """Nothing was recorded."""
    with pytest.raises(InputError, match="a header, but no row of data"):
        open_recording(written(tmp_path, HEADER))


def test_one_row_is_too_short(tmp_path: Path) -> None:
    """One sample shows no rate."""
    with pytest.raises(TooShortError, match="one sample only"):
        open_recording(written(tmp_path, HEADER + rows(1)[0]))


def test_missing_columns_are_named(tmp_path: Path) -> None:
    """With those that are there, and the flag to say which is which."""
    text = "time (ms),acc x (g),acc y (g),acc z (g),gyro x (dps)\n" + "\n".join(f"{n},1,2,3,4" for n in range(50))
    with pytest.raises(
        InputError, match=r"no column for gyro_y, gyro_z. Its columns are: time \(ms\), .*--columns gyro_y=NAME"
    ):
        open_recording(written(tmp_path, text))


def test_ambiguous_columns_are_named(tmp_path: Path) -> None:
    """Two accelerometers: the file does not say which one is meant."""
    text = HEADER.strip() + ",ax\n" + "\n".join(row + ",1" for row in rows(50))
    with pytest.raises(
        InputError, match=r"more than one column could be acc_x: acc x \(g\), ax. Choose one: --columns acc_x=NAME"
    ):
        open_recording(written(tmp_path, text))


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (
            "t_s,ax,ay,az",
            r"no column for gyro_x, .*model needs a gyroscope too: record one, or join the two files by time",
        ),
        ("t_s,z,y,x", r"no column for acc_x, .*model needs a gyroscope too"),
        (
            "time,lin_acc_x,lin_acc_y,lin_acc_z,gx,gy,gz",
            r"no column for acc_x.*export plain acceleration \(with gravity\) instead\.$",
        ),
        (
            "t,userAcceleration.x,userAcceleration.y,userAcceleration.z",
            r"export plain acceleration .*needs a gyroscope too",
        ),
        (
            "#timestamp [ns],w_RS_S_x [rad s^-1],w_RS_S_y [rad s^-1],w_RS_S_z [rad s^-1],"
            "a_RS_S_x [m s^-2],a_RS_S_y [m s^-2],a_RS_S_z [m s^-2]",
            r"They are those of a preset: --preset euroc\.$",
        ),
    ],
)
def test_missing_columns_come_with_what_helps(tmp_path: Path, header: str, said: str) -> None:
    """A mapping helps only where there is something to map."""
    row = ",".join(map(str, range(header.count(",") + 1)))
    with pytest.raises(InputError, match=said):
        open_recording(written(tmp_path, header + f"\n{row}" * 50))


def test_linear_acceleration_that_is_told_is_noted(tmp_path: Path) -> None:
    """Who says so may, and hears what is wrong with it."""
    header = HEADER.replace("acc ", "Linear Acceleration ")
    names = [f"Linear Acceleration {axis}" for axis in "xyz"]
    columns = ",".join(f"acc_{name[-1]}={name}" for name in names)
    info = open_recording(written(tmp_path, header + "\n".join(rows(50))), choose_format(columns=columns)).info
    assert info.notes == (
        f"{', '.join(f'{name} (g)' for name in names)}: without gravity, which the model needs; export plain acceleration",
    )


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("gyro_x=1,gyro_y=1,gyro_z=1", r"column acc x \(g\) cannot be acc_x and gyro_x at once"),
        (
            "acc_x=acc x,acc_y=acc x",
            r"column acc x \(g\) cannot be acc_x and acc_y at once. Say another: --columns acc_y=NAME",
        ),
        ("t=gyro z", r"column gyro z \(deg/s\) cannot be"),
    ],
)
def test_no_column_is_two_things(tmp_path: Path, columns: str, said: str) -> None:
    """Told twice, or told as one and recognised as the other."""
    with pytest.raises(InputError, match=said):
        open_recording(written(tmp_path, HEADER + "\n".join(rows(50))), choose_format(columns=columns))


def test_a_told_column_must_be_there(tmp_path: Path) -> None:
    """Neither by name nor by place."""
    path = written(tmp_path, HEADER + "\n".join(rows(50)))
    for where in ("speed", "7", "99"):
        with pytest.raises(InputError, match=f"no column '{where}' for acc_x"):
            open_recording(path, choose_format(columns=f"acc_x={where}"))


def test_unknown_units_ask_for_the_flag(tmp_path: Path) -> None:
    """A file that says no units is refused, with the flag that says them and what its times would mean."""
    text = "timestamp,ax,ay,az,gx,gy,gz\n" + "\n".join(rows(100))
    with pytest.raises(
        UnitsError,
        match=r'unit of acceleration and of angular rate and of time is not in .*--units "m/s2,rad/s,ms".* in ms it would be 100 Hz',
    ):
        open_recording(written(tmp_path, text))


@pytest.mark.parametrize(
    ("name", "step", "told", "asked", "example"),
    [
        ("t", 0.01, None, "acceleration and of angular rate and of time", "m/s2,rad/s,s"),
        ("t", 10_000_000, None, "acceleration and of angular rate and of time", "m/s2,rad/s,ns"),
        ("t", 10_000, "g,dps", "time", "g,deg/s,us"),
        ("t", 10, "16384 LSB/g", "angular rate and of time", "16384 LSB/(g),rad/s,ms"),
        ("time_s", 0.01, None, "acceleration and of angular rate", "m/s2,rad/s"),
        ("timestamp_us", 10_000, "dps", "acceleration", "m/s2,deg/s"),
        ("time_s", 10, "g,ms", "angular rate", "g,rad/s,ms"),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_units_suggested_are_right_for_the_file(
    tmp_path: Path, name: str, step: float, told: str | None, asked: str, example: str, ending: str
) -> None:
    """What is told or stated is kept, the unit of time is the plausible one, and the example works when it is copied."""
    times = [n * step for n in range(200)]
    if ending == "csv":
        text = f"{name},ax,ay,az,gx,gy,gz\n" + "\n".join(f"{t:.10g},1,2,3,4,5,6" for t in times)
        path = written(tmp_path, text)
    else:
        units = dict.fromkeys(("t_ms", "ax_g", "ay_g", "az_g", "gx_dps", "gy_dps", "gz_dps"))
        path = table(
            tmp_path, **units, **{name: times}, **{c: [1.0] * 200 for c in ("ax", "ay", "az", "gx", "gy", "gz")}
        )
    with pytest.raises(UnitsError, match=f"the unit of {asked} is not in this file") as caught:
        open_recording(path, choose_format(units=told))
    assert f'--units "{example}"' in str(caught.value)
    assert open_recording(path, choose_format(units=example)).info.rate_hz == pytest.approx(100)


def test_times_that_no_unit_explains_are_told(tmp_path: Path) -> None:
    """Then the column is probably another one."""
    text = "time,ax,ay,az,gx,gy,gz\n" + "1,1,2,3,4,5,6\n" * 50
    with pytest.raises(UnitsError, match=r"None of its usual units .* plausible: check .*--columns t=NAME"):
        open_recording(written(tmp_path, text))


def test_axes_in_different_units_are_refused(tmp_path: Path) -> None:
    """Unless the units are told."""
    path = written(tmp_path, HEADER.replace("acc y (g)", "acc y (mg)") + "\n".join(rows(50)))
    with pytest.raises(UnitsError, match="state g as well as mg for acceleration"):
        open_recording(path)


def test_told_units_are_stronger_and_the_difference_is_noted(tmp_path: Path) -> None:
    """A header may be wrong; what was overruled is said."""
    path = written(tmp_path, HEADER + "\n".join(rows(50)))
    recording = read_recording(path, choose_format(units="m/s2"))
    np.testing.assert_allclose(recording.samples[0, :3], [0.1, 0.2, 0.97], rtol=1e-6)
    np.testing.assert_allclose(recording.samples[0, 3:], EXPECTED[3:], rtol=1e-6)
    assert recording.info.notes == ("read as m/s2, as told, though the file says g",)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(min_size=1, max_size=300),
        st.text(min_size=1, max_size=300).map(lambda s: s.encode("utf-8", "replace")),
        st.lists(st.lists(st.text("0123456789.-e,x", max_size=4), min_size=6, max_size=8), min_size=1, max_size=9).map(
            lambda table: "\n".join(map(";".join, table)).encode()
        ),
    )
)
@example(b"\xff\xfeab")
@example(b"a,b\n1,2\n3,4\n")
@pytest.mark.parametrize("name", ["walk.csv", "walk.npz", "walk.parquet"])
def test_any_bytes_are_a_recording_or_an_input_error(tmp_path: Path, name: str, data: bytes) -> None:
    """No other exception comes out of any reader."""
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    form = choose_format(
        units="g,dps,ms",
        rate_hz=100,
        columns={"t": 0, "acc_x": 1, "acc_y": 2, "acc_z": 3, "gyro_x": 4, "gyro_y": 5, "gyro_z": 6},
    )
    for asked in (None, form):
        with suppress(InputError):
            read_recording(written(tmp_path, data, name), asked)


# ---- npz ----


def archive(tmp_path: Path, **arrays: Any) -> Path:
    path = tmp_path / "walk.npz"
    imu = np.tile(np.array([0.1, 0.2, 0.97, 10, -20, 30], np.float32), (100, 1))
    content = {"t_ns": np.arange(100, dtype=np.int64) * 10_000_000, "imu": imu, **arrays}
    np.savez(path, **{name: array for name, array in content.items() if array is not None})
    return path


def test_npz_is_read_in_its_units(tmp_path: Path) -> None:
    """With units and labels in the file."""
    labels = np.array(["walk"] * 60 + ["run"] * 40)
    recording = read_recording(archive(tmp_path, units="g, deg/s", labels=labels))
    np.testing.assert_allclose(recording.samples, np.tile(EXPECTED, (100, 1)), rtol=1e-6)
    np.testing.assert_array_equal(recording.labels, labels)
    assert recording.info.rate_hz == pytest.approx(100)
    assert recording.info.notes == ()


def test_npz_without_units_is_si_and_says_so(tmp_path: Path) -> None:
    """That is the definition of the format; `--units` says otherwise."""
    recording = read_recording(archive(tmp_path))
    assert recording.samples[0, 2] == np.float32(0.97)
    assert recording.info.notes == ("names no units: read as m/s2 and rad/s",)
    np.testing.assert_allclose(
        read_recording(archive(tmp_path), choose_format(units="g,dps")).samples[0], EXPECTED, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"imu": None}, "no array imu in it"),
        ({"t_ns": None, "imu": None}, "no array t_ns and imu in it"),
        ({"t_ns": np.arange(99)}, r"t_ns has shape \(99,\) and imu \(100, 6\)"),
        ({"imu": np.zeros((100, 3))}, r"imu \(100, 3\)"),
        ({"t_ns": np.zeros(0, np.int64), "imu": np.zeros((0, 6))}, "not empty"),
        ({"t_ns": np.arange(100.0)}, "t_ns is float64"),
        ({"t_ns": np.arange(100, dtype=np.uint64) + np.uint64(2**63)}, "must fit int64"),
        ({"imu": np.full((100, 6), "x")}, "imu is <U1, expected numbers"),
        ({"imu": np.full((100, 6), None)}, "not a readable .npz archive"),
        ({"units": "furlong"}, "unknown unit 'furlong'"),
        ({"labels": np.array(["walk"])}, "labels has shape"),
        ({"t_ns": np.zeros(100, np.int64)}, "never advance"),
        ({"imu": np.full((100, 6), np.nan)}, "none of the first 100 rows has six readable numbers"),
    ],
)
def test_npz_that_makes_no_sense_is_refused(tmp_path: Path, arrays: dict[str, Any], said: str) -> None:
    """Each with what was found and what was expected; pickled objects are never loaded."""
    with pytest.raises(InputError, match=said):
        open_recording(archive(tmp_path, **arrays))


def test_a_cut_npz_is_refused(tmp_path: Path) -> None:
    """And a single array under that name."""
    path = archive(tmp_path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"not a readable .npz archive"):
        open_recording(path)
    with path.open("wb") as file:
        np.save(file, np.zeros((5, 6)))
    with pytest.raises(InputError, match=r"not a readable .npz archive"):
        open_recording(path)


# ---- parquet ----


def table(tmp_path: Path, **columns: Any) -> Path:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    content = {
        "t_ms": list(range(0, 1000, 10)),
        **dict(
            zip(
                ("ax_g", "ay_g", "az_g", "gx_dps", "gy_dps", "gz_dps"),
                ([v] * 100 for v in (0.1, 0.2, 0.97, 10, -20, 30)),
                strict=True,
            )
        ),
    }
    content.update(columns)
    path = tmp_path / "walk.parquet"
    parquet.write_table(
        arrow.table({name: column for name, column in content.items() if column is not None}), path, row_group_size=30
    )
    return path


def test_parquet_is_read_by_the_names_of_its_columns(tmp_path: Path) -> None:
    """Integers, floats, nulls and labels."""
    gyro = [10] * 99 + [None]
    recording = read_recording(table(tmp_path, gx_dps=gyro, label=["walk", None] * 50))
    np.testing.assert_allclose(recording.samples[:99], np.tile(EXPECTED, (99, 1)), rtol=1e-6)
    assert np.isnan(recording.samples[99, 3])
    np.testing.assert_array_equal(recording.t_ns, np.arange(100) * 10_000_000)
    assert recording.labels is not None
    assert recording.labels.tolist() == ["walk", ""] * 50


def test_parquet_timestamps_state_their_unit(tmp_path: Path) -> None:
    """A column of timestamps needs no unit; a null among them is that of the row before."""
    arrow = pytest.importorskip("pyarrow")
    times = [None if n == 50 else 1_700_000_000_000_000 + n * 10_000 for n in range(100)]
    recording = read_recording(table(tmp_path, t_ms=None, time=arrow.array(times, arrow.timestamp("us"))))
    assert recording.t_ns[0] == 1_700_000_000_000_000_000
    assert recording.t_ns[50] == recording.t_ns[49]
    assert np.flatnonzero(np.isnan(recording.samples).any(axis=1)).tolist() == [50]
    assert recording.info.rate_hz == pytest.approx(100)


def test_trials_never_touch(tmp_path: Path) -> None:
    """Where the columns that name trials change, a gap in time begins; rows without a time column are counted within each."""
    names = ["a"] * 30 + ["b"] * 45 + ["a"] * 25
    form = RecordingFormat(units="g, deg/s", rate_hz=100, segments=("who", "trial"))
    path = table(tmp_path, t_ms=None, who=names, trial=[1] * 60 + [2] * 40)
    trials = list(read_trials(path, form))
    assert [(trial.segment, len(trial.t_ns)) for trial in trials] == [
        (("a", "1"), 30),
        (("b", "1"), 30),
        (("b", "2"), 15),
        (("a", "2"), 25),
    ]
    steps = np.diff(read_recording(path, form).t_ns)
    assert np.flatnonzero(steps == NS_PER_S).tolist() == [29, 59, 74]
    assert set(np.delete(steps, [29, 59, 74]).tolist()) == {10_000_000}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"ax_g": ["x"] * 100}, "column ax_g holds string, expected numbers"),
        ({"gz_dps": None}, "no column for gyro_z"),
        ({"t_ms": ["noon"] * 100}, "column t_ms holds string.*--columns t=none --rate-hz HZ"),
        ({"t_ms": [7] * 100}, "never advance"),
        ({"t_ms": [2**62 + n for n in range(100)]}, "fits 64 bit nanoseconds"),
    ],
)
def test_parquet_that_makes_no_sense_is_refused(tmp_path: Path, columns: dict[str, Any], said: str) -> None:
    """Each with what was found."""
    with pytest.raises(InputError, match=said):
        open_recording(table(tmp_path, **columns))


def test_parquet_without_rows_is_refused(tmp_path: Path) -> None:
    """Columns alone are no recording."""
    empty: dict[str, list[float]] = {
        name: [] for name in ("t_ms", "ax_g", "ay_g", "az_g", "gx_dps", "gy_dps", "gz_dps")
    }
    with pytest.raises(InputError, match="no row in it"):
        open_recording(table(tmp_path, **empty))


def test_a_cut_parquet_is_refused(tmp_path: Path) -> None:
    """Its end holds what is needed to read it."""
    path = table(tmp_path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match="not a readable Parquet file"):
        open_recording(path)


# ---- Neon ----


def neon(folder: Path, part: int, count: int, *, start_ns: int = 0) -> Path:
    """One part of a Neon recording: gyroscope, accelerometer and quaternion after the time."""
    fields = [
        ("timestamp_ns", "<i8"),
        *((f"gyro_{a}", "<f4") for a in "xyz"),
        *((f"accel_{a}", "<f4") for a in "xyz"),
        *((f"quaternion_{a}", "<f4") for a in "wxyz"),
    ]
    records = np.zeros(count, fields)
    records["timestamp_ns"] = start_ns + np.arange(count) * 10_000_000
    for name, value in zip(
        ("accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z"), (0.1, 0.2, 0.97, 10, -20, 30), strict=True
    ):
        records[name] = value
    path = folder / f"imu ps{part}.raw"
    path.write_bytes(records.tobytes())
    path.with_suffix(".time").write_bytes(records["timestamp_ns"].tobytes())
    return path


def test_neon_parts_come_in_order(tmp_path: Path) -> None:
    """Part 10 comes after part 2, and one part can be read alone."""
    for part in (10, 2, 1):
        neon(tmp_path, part, 50, start_ns=part * NS_PER_S)
    recording = read_recording(tmp_path, preset("neon"))
    assert (recording.t_ns // NS_PER_S)[::50].tolist() == [1, 2, 10]
    np.testing.assert_allclose(recording.samples, np.tile(EXPECTED, (150, 1)), rtol=1e-6)
    assert recording.info.placement == "glasses"
    assert recording.info.notes == ()
    assert len(read_recording(tmp_path / "imu ps2.raw", preset("neon")).t_ns) == 50


def test_a_cut_neon_part_is_said(tmp_path: Path) -> None:
    """The whole records are read; what is missing is in the notes."""
    path = neon(tmp_path, 1, 50)
    path.write_bytes(path.read_bytes()[:-100])
    recording = read_recording(tmp_path, preset("neon"))
    assert len(recording.t_ns) == 47
    assert recording.info.notes == (
        "imu ps1.raw is cut: it ends 4 bytes before the end of a record",
        "imu ps1.raw holds 47 samples, imu ps1.time 50",
    )


def test_what_is_no_neon_recording_is_refused(tmp_path: Path) -> None:
    """A folder without parts, a part without a record, a layout that is none, and a folder without the preset."""
    with pytest.raises(InputError, match=r"no 'imu ps1\.raw' in this folder"):
        open_recording(tmp_path, preset("neon"))
    part = neon(tmp_path, 1, 50)
    with pytest.raises(InputError, match="--preset neon"):
        open_recording(tmp_path)
    with pytest.raises(UnitsError, match="--units"):
        open_recording(part, RecordingFormat(reader="neon"))
    fields = [("timestamp_ns", "i8")] + [(f"{kind}_{axis}", "f4") for kind in ("gyro", "accel") for axis in "xyz"]
    for layout, said in (
        ("import os", "not a list of names and types"),
        ('[("timestamp_ns", "int64")]', "names no accel_x"),
        (repr([*fields[:-1], ("accel_z", "O")]), "accel_z is no number"),
        (repr([*fields[:-1], ("accel_z", "U7")]), "accel_z is no number"),
    ):
        (tmp_path / "imu.dtype").write_text(layout)
        with pytest.raises(InputError, match=said):
            open_recording(tmp_path, preset("neon"))
    (tmp_path / "imu.dtype").unlink()
    part.write_bytes(b"short")
    with pytest.raises(InputError, match="not one whole record of 48 bytes"):
        open_recording(tmp_path, preset("neon"))


# ---- playing ----


class FakeTime:
    """A clock that goes on when someone sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds

    def clock(self) -> float:
        return self.now_s


def paced(recording: Recording, **options: Any) -> list[tuple[float, int, int]]:
    """When each chunk came, its last time and how many samples it has."""
    time = FakeTime()
    player = Player(recording, clock=time.clock, sleep=time.sleep, **options)
    return [(time.now_s, int(chunk.t_ns[-1]), len(chunk.t_ns)) for chunk in player]


@pytest.mark.parametrize(("speed", "rows_each"), [(1.0, 10), ("1", 10), (0.5, 5), ("2x", 20), (100, 100)])
def test_each_chunk_comes_when_its_last_sample_is_due(speed: str | float, rows_each: int) -> None:
    """A tenth of a second at a time, paced by the times of the samples divided by the speed."""
    factor = float(str(speed).removesuffix("x"))
    came = paced(SyntheticRecording(seconds=3), speed=speed)
    for now_s, last_ns, count in came:
        assert now_s == pytest.approx(last_ns / NS_PER_S / factor)
        assert count <= rows_each
    assert sum(count for *_, count in came) == 300
    assert came[0][2] == rows_each


def test_at_full_speed_nothing_waits() -> None:
    """Chunks are a second long then, and no clock is looked at."""

    def never(*_: float) -> float:
        raise AssertionError("the clock was asked")

    chunks = list(Player(SyntheticRecording(seconds=5), speed="max", clock=never, sleep=never))
    assert [len(chunk.t_ns) for chunk in chunks] == [100] * 5


def test_a_taker_who_is_late_is_not_made_later() -> None:
    """What is overdue comes at once, and the pace is that of the recording again."""
    time = FakeTime()
    came = []
    for chunk in Player(SyntheticRecording(seconds=3), clock=time.clock, sleep=time.sleep):
        came.append(time.now_s - chunk.t_ns[-1] / NS_PER_S)
        if len(came) == 5:
            time.now_s += 1.0
    assert max(came[:5]) < 1e-6
    assert came[5] == pytest.approx(0.9, abs=0.02)
    assert abs(came[-1]) < 1e-6


def gappy(tmp_path: Path, gap_s: float) -> Path:
    t_ns = np.arange(100, dtype=np.int64) * 10_000_000
    t_ns[55:] += round(gap_s * NS_PER_S)
    path = tmp_path / "gap.npz"
    np.savez(path, t_ns=t_ns, imu=np.ones((100, 6), np.float32))
    return path


def test_a_pause_is_waited_out_after_what_was_before_it(tmp_path: Path) -> None:
    """The samples before a pause do not wait for those after it."""
    came = paced(open_recording(gappy(tmp_path, 3)))
    assert all(now_s == pytest.approx(last_ns / NS_PER_S) for now_s, last_ns, _ in came)
    assert [count for *_, count in came] == [10] * 5 + [5, 5] + [10] * 4


def test_a_pause_of_hours_is_skipped(tmp_path: Path) -> None:
    """It is a damaged time or another day; its samples are as they were."""
    came = paced(open_recording(gappy(tmp_path, 9e5)))
    assert came[-1][0] == pytest.approx(0.99)
    assert came[-1][1] == 900_000_990_000_000


def test_times_that_go_back_do_not_stop_the_clock(tmp_path: Path) -> None:
    """The pace goes on with the next step forward."""
    path = tmp_path / "back.npz"
    t_ns = np.concatenate([np.arange(100), np.arange(20, 120)]).astype(np.int64) * 10_000_000
    np.savez(path, t_ns=t_ns, imu=np.ones((200, 6), np.float32))
    came = paced(open_recording(path))
    assert came[-1][0] == pytest.approx(0.99 + 0.99)
    assert sum(count for *_, count in came) == 200


def test_a_loop_goes_on_in_time() -> None:
    """Between two rounds lies one sample period, in time as in the pace."""
    time = FakeTime()
    player = Player(SyntheticRecording(seconds=1), loop=True, clock=time.clock, sleep=time.sleep)
    t_ns, samples = np.empty(0, np.int64), []
    for chunk in player:
        t_ns = np.concatenate([t_ns, chunk.t_ns])
        samples.append(chunk.samples)
        if len(t_ns) == 350:
            player.close()
    np.testing.assert_array_equal(t_ns, np.arange(350) * 10_000_000)
    np.testing.assert_array_equal(np.concatenate(samples)[100:200], np.concatenate(samples)[:100])
    assert time.now_s == pytest.approx(3.49)


def test_a_damaged_end_does_not_tear_a_loop(tmp_path: Path) -> None:
    """The next round begins after the last sound sample, whatever a damaged row says the time is."""
    lines = [*rows(100), "3,,,,,,"]
    player = Player(open_recording(written(tmp_path, HEADER + "\n".join(lines))), loop=True, speed="max")
    t_ns = np.empty(0, np.int64)
    for chunk in player:
        t_ns = np.concatenate([t_ns, chunk.t_ns[np.isfinite(chunk.samples).all(axis=1)]])
        if len(t_ns) >= 300:
            player.close()
    np.testing.assert_array_equal(t_ns, np.arange(300) * 10_000_000)


def test_a_loop_that_leaves_64_bit_says_so(tmp_path: Path) -> None:
    """Rather than starting at the other end of time."""
    path = tmp_path / "late.npz"
    t_ns = np.arange(100, dtype=np.int64) * 10_000_000 + (2**63 - 2 * NS_PER_S)
    np.savez(path, t_ns=t_ns, imu=np.ones((100, 6), np.float32))
    with pytest.raises(InputError, match="leaves 64 bit nanoseconds"):
        list(open_source(path, loop=True, speed="max"))


def test_absurd_times_do_not_hold_it_up(tmp_path: Path) -> None:
    """Both ends of 64 bit in the middle of a recording: they come as they are, and the pace is kept."""
    path = tmp_path / "absurd.npz"
    t_ns = np.arange(100, dtype=np.int64) * 10_000_000
    t_ns[50], t_ns[51] = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    np.savez(path, t_ns=t_ns, imu=np.ones((100, 6), np.float32))
    came = paced(open_recording(path))
    assert sum(count for *_, count in came) == 100
    assert came[-1][0] == pytest.approx(0.99, abs=0.03)


def test_close_ends_a_wait() -> None:
    """From a signal handler or another thread: within a tenth of a second, not at the end of a long pause."""
    time = FakeTime()

    def interrupted(seconds: float) -> None:
        time.sleep(seconds)
        player.close()

    player = Player(SyntheticRecording(rate_hz=1, seconds=100), clock=time.clock, sleep=interrupted)
    assert [len(chunk.t_ns) for chunk in player] == [1]
    assert time.slept == [0.1]
    assert list(player) == []


@pytest.mark.parametrize("speed", ["fast", 0, -1, "nan", ""])
def test_an_impossible_speed_is_refused(speed: str | float) -> None:
    """The error says what a speed is."""
    with pytest.raises(InputError, match="expected 'max' or a number above zero"):
        Player(SyntheticRecording(seconds=1), speed=speed)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunk_s=st.floats(1e-4, 20), count=st.integers(2, 400))
def test_chunks_hold_every_row_once(tmp_path: Path, chunk_s: float, count: int) -> None:
    """Whatever the length of a chunk and the end of the file."""
    path = written(tmp_path, HEADER + "\n".join(rows(count)))
    chunks = list(Player(open_recording(path), speed="max", chunk_s=chunk_s))
    np.testing.assert_array_equal(np.concatenate([chunk.t_ns for chunk in chunks]), np.arange(count) * 10_000_000)
    assert all(len(chunk.t_ns) == len(chunk.samples) for chunk in chunks)


def test_chunks_carry_the_time_of_the_host() -> None:
    """That at which each was given, beside that of the device."""
    times = iter(range(1, 100))
    chunks = list(Player(SyntheticRecording(seconds=3), speed="max", host_clock_ns=lambda: next(times)))
    assert [chunk.host_ns for chunk in chunks] == [1, 2, 3]


# ---- the recordings beside the project ----


def summary(recording: Recording) -> tuple[int, int, float]:
    """Rows, rows that are not finite, and the median magnitude of the acceleration in g."""
    count, broken, magnitudes = 0, 0, []
    for block in recording.blocks():
        finite = np.isfinite(block.samples).all(axis=1)
        count, broken = count + len(block.t_ns), broken + int((~finite).sum())
        magnitudes.append(np.linalg.norm(block.samples[finite, :3], axis=1))
    return count, broken, float(np.median(np.concatenate(magnitudes))) / 9.80665


@pytest.mark.shared_data
def test_euroc(shared_data: Path) -> None:
    """Every line but the header is a row; seven are damaged; the readings are those of the file."""
    path = shared_data / "euroc" / "imu0.csv"
    recording = open_recording(path, preset("euroc"))
    lines = path.read_text().splitlines()
    count, broken, gravity = summary(recording)
    assert (count, broken) == (len(lines) - 1, 7)
    assert recording.info.rate_hz == pytest.approx(200, rel=0.001)
    assert 0.9 < gravity < 1.1
    first = lines[1].split(",")
    block = next(recording.blocks())
    assert block.t_ns[0] == int(float(first[0]) / 1e4) * 10_000
    np.testing.assert_array_equal(block.samples[0], np.array([float(v) for v in first[4:7] + first[1:4]], np.float32))


@pytest.mark.shared_data
@pytest.mark.parametrize("name", [None, "fusion"])
def test_fusion(shared_data: Path, name: str | None) -> None:
    """Its header says all that is needed; the preset says the same."""
    path = shared_data / "fusion" / "sensor_data.csv"
    recording = open_recording(path, preset(name) if name else None)
    with path.open(newline="") as file:
        table = list(csv.DictReader(file))
    count, broken, gravity = summary(recording)
    assert (count, broken) == (len(table), 0)
    assert recording.info.rate_hz == pytest.approx(100, rel=0.01)
    assert 0.9 < gravity < 1.1
    block = next(recording.blocks())
    assert block.samples[7, 2] == pytest.approx(float(table[7]["Accelerometer Z (g)"]) * 9.80665, rel=1e-6)
    assert block.samples[7, 4] == pytest.approx(math.radians(float(table[7]["Gyroscope Y (deg/s)"])), rel=1e-6)
    assert block.t_ns[7] == round(Fraction(table[7]["Time (s)"]) * NS_PER_S)


@pytest.mark.shared_data
def test_neon(shared_data: Path) -> None:
    """All three parts, one after the other, with the times of the `.time` files."""
    recording = read_recording(shared_data / "neon", preset("neon"))
    times = [np.fromfile(shared_data / "neon" / f"imu ps{part}.time", "<i8") for part in (1, 2, 3)]
    np.testing.assert_array_equal(recording.t_ns, np.concatenate(times))
    assert recording.info.rate_hz == pytest.approx(104, rel=0.02)
    assert 0.9 < np.median(np.linalg.norm(recording.samples[:, :3], axis=1)) / 9.80665 < 1.1
    assert recording.info.notes == ()


@pytest.mark.shared_data
def test_sisfall_text_and_parquet_agree(shared_data: Path) -> None:
    """The original text file of a trial, and the same trial in its subject's Parquet file, to the bit."""
    pytest.importorskip("pyarrow")
    files = sorted((shared_data / "sisfall-raw").glob("S*/*.txt"))
    assert len(files) == 6
    for path in files:
        text = read_recording(path, preset("sisfall"))
        lines = path.read_text().split("\n")
        assert len(text.t_ns) == sum(bool(line.strip()) for line in lines)
        first = [int(v) for v in lines[0].strip(" ;\r").split(",")]
        np.testing.assert_allclose(text.samples[0, :3], np.array(first[:3]) * 32 / 2**13 * 9.80665, rtol=1e-6)
        np.testing.assert_allclose(text.samples[0, 3:], np.radians(np.array(first[3:6]) * 4000 / 2**16), rtol=1e-6)
        activity, _, number = path.stem.split("_")
        for trial in read_trials(shared_data / "sisfall" / f"{path.parent.name}.parquet", preset("sisfall")):
            if trial.segment == (activity, str(int(number[1:]))):
                np.testing.assert_array_equal(trial.samples, text.samples)
                break
        else:
            pytest.fail(f"{path.name} is not among the trials of {path.parent.name}")


@pytest.mark.shared_data
@pytest.mark.slow
def test_sisfall_whole(shared_data: Path) -> None:
    """Every row of every subject, every trial apart from the next."""
    pytest.importorskip("pyarrow")
    rows_read, trials = 0, 0
    paths = sorted((shared_data / "sisfall").glob("*.parquet"))
    assert len(paths) == 38
    for path in paths:
        recording = open_recording(path, preset("sisfall"))
        assert recording.info.rate_hz == 200
        before, last_ns, magnitudes = None, -NS_PER_S, []
        for block in recording.blocks():
            rows_read += len(block.t_ns)
            trials += block.segment != before
            assert int(block.t_ns[0]) - last_ns == (5_000_000 if block.segment == before else NS_PER_S)
            assert np.all(np.diff(block.t_ns) == 5_000_000)
            before, last_ns = block.segment, int(block.t_ns[-1])
            magnitudes.append(np.linalg.norm(block.samples[::10, :3], axis=1))
        assert 0.9 < np.median(np.concatenate(magnitudes)) / 9.80665 < 1.1, path.name
    assert (rows_read, trials) == (15_858_929, 4_505)


@pytest.mark.shared_data
@pytest.mark.slow
def test_sp_sw_har_whole(shared_data: Path, tmp_path: Path) -> None:
    """Every row of every execution of phone and watch, with its label, at the rates of the data sheet."""
    rates: dict[str, list[float]] = {"pocket": [], "wrist": []}
    rows_read, labels = 0, Counter[str]()
    with tarfile.open(shared_data / "sp-sw-har" / "sp-sw-har.tar.xz") as archive:
        for member in archive:
            if not member.name.endswith(("_sp.csv", "_sw.csv")):
                continue
            stream = archive.extractfile(member)
            assert stream is not None
            data = stream.read()
            path = written(tmp_path, data, Path(member.name).name)
            recording = read_recording(path, preset("sp-sw-har"))
            assert len(recording.t_ns) == len(list(csv.reader(io.StringIO(data.decode())))) - 1
            assert np.isfinite(recording.samples).all()
            assert 0.9 < np.median(np.linalg.norm(recording.samples[:, :3], axis=1)) / 9.80665 < 1.2, member.name
            assert recording.info.placement is not None
            assert recording.labels is not None
            rates[recording.info.placement].append(recording.info.rate_hz)
            rows_read += len(recording.t_ns)
            labels.update(recording.labels.tolist())
    assert (len(rates["pocket"]), len(rates["wrist"]), rows_read) == (223, 223, sum(labels.values()))
    assert set(labels) == {"SEATED", "STANDING_UP", "WALKING", "TURNING", "SITTING_DOWN"}
    assert np.median(rates["pocket"]) == pytest.approx(102, abs=1)
    assert np.median(rates["wrist"]) == pytest.approx(104, abs=1)
