"""Formats of public data sets by name, for `--preset`.

To add one, add an entry to `PRESETS` with what its files do not say themselves: see `RecordingFormat` for the fields. A file whose header names
columns and units in words that are recognised (`Accelerometer X (g)`) needs no preset at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from aura_edge.errors import InputError
from aura_edge.sources.formats import RecordingFormat
from aura_edge.types import CHANNELS, STANDARD_GRAVITY_M_S2

PRESETS: Mapping[str, RecordingFormat] = {
    # SisFall (Sucerquia, Lopez, Vargas-Bonilla, Sensors 2017, 17(1), 198): a subject's trials in one Parquet file, or the original text file
    # of one trial, which has no header, three more columns of a second accelerometer, and a semicolon at the end of each line.
    # Raw counts of an ADXL345 (+-16 g, 13 bit) and an ITG3200 (+-2000 deg/s, 16 bit), counted at 200 Hz.
    "sisfall": RecordingFormat(
        headerless=("acc_x", "acc_y", "acc_z", "gyro_x", "gyro_y", "gyro_z", "second_x", "second_y", "second_z"),
        units="32/8192 g, 4000/65536 deg/s",
        rate_hz=200.0,
        segments=("activity", "trial"),
        placement="waist",
        acc_range_m_s2=16 * STANDARD_GRAVITY_M_S2,
        gyro_range_rad_s=math.radians(2000),
    ),
    # Matey-Sanz, Casteleyn, Granell, Data in Brief 2023, 109809: x_acc ... z_gyro, timestamp, label; about 102 Hz (phone) and 104 Hz (watch).
    # The timestamps are those of delivery: one phone sample in twelve has the same as the one before it.
    "sp-sw-har": RecordingFormat(
        units="m/s2, rad/s, ms",
        arrival_times=True,
        placement_by_ending={"_sp": "pocket", "_sw": "wrist"},
    ),
    # UTD-MHAD (Chen, Jafari, Kehtarnavaz, ICIP 2015): one action in a MATLAB file, 50 Hz, at the wrist or the thigh.
    "utd-mhad": RecordingFormat(reader="matlab", units="g, deg/s", rate_hz=50.0),
    # Pupil Labs Neon glasses: binary records, about 104 Hz.
    "neon": RecordingFormat(reader="neon", units="g, deg/s", placement="glasses"),
    # EuRoC MAV: gyroscope first, 200 Hz; worn by a drone.
    "euroc": RecordingFormat(
        columns={
            "t": "timestamp",
            "gyro_x": "w_RS_S_x",
            "gyro_y": "w_RS_S_y",
            "gyro_z": "w_RS_S_z",
            "acc_x": "a_RS_S_x",
            "acc_y": "a_RS_S_y",
            "acc_z": "a_RS_S_z",
        },
        units="m/s2, rad/s, ns",
    ),
    # x-io Fusion and x-IMU3 exports: the header says it all.
    "fusion": RecordingFormat(units="g, deg/s, s"),
}

_DELIMITER_WORDS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";"}


def preset(name: str) -> RecordingFormat:
    """The format of that name. Raises `InputError` listing the known ones."""
    try:
        return PRESETS[name.lower()]
    except KeyError:
        raise InputError(
            f"no preset {name!r}. Known are: {', '.join(sorted(PRESETS))}. Without one, say --columns and --units."
        ) from None


def choose_format(
    name: str | None = None,
    *,
    units: str | None = None,
    columns: str | Mapping[str, str | int] | None = None,
    rate_hz: float | None = None,
    delimiter: str | None = None,
    placement: str | None = None,
) -> RecordingFormat:
    """A preset, or nothing known, with what was said on top of it."""
    form = RecordingFormat() if name is None else preset(name)
    if units is not None:
        form = replace(form, units=units)
    if columns is not None:
        told = parse_columns(columns) if isinstance(columns, str) else columns
        form = replace(form, columns={**form.columns, **told})
    if rate_hz is not None:
        if not (math.isfinite(rate_hz) and rate_hz > 0):
            raise InputError(f"sampling rate {rate_hz!r}: expected a number of Hz above zero, as in --rate-hz 100.")
        form = replace(form, rate_hz=rate_hz)
    if delimiter is not None:
        form = replace(form, delimiter=_DELIMITER_WORDS.get(delimiter.lower(), delimiter))
    if placement is not None:
        form = replace(form, placement=placement, placement_by_ending={})
    return form


def parse_columns(text: str) -> dict[str, str | int]:
    """A mapping as in `--columns "acc_x=ax,acc_y=ay,t=time"`."""
    mapping: dict[str, str | int] = {}
    for part in text.split(","):
        role, equals, name = (piece.strip() for piece in part.partition("="))
        if not equals or not name or role not in (*CHANNELS, "t", "label"):
            raise InputError(
                f"columns {text!r}: {part.strip()!r} is not ROLE=NAME with a role of {', '.join(CHANNELS)}, t or label; "
                "NAME is a column's name or its place counted from 0."
            )
        mapping[role] = name
    return mapping
