"""Which column of a table is what, and in which unit: by the names people give them, or as told."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aura_edge.errors import InputError, UnitsError
from aura_edge.sources.formats import RecordingFormat
from aura_edge.sources.presets import PRESETS
from aura_edge.sources.units import Kind, Unit, Units, parse_unit, parse_units
from aura_edge.types import CHANNELS

_ACC = {"a", "acc", "accel", "accl", "accelerometer", "acceleration"}
_GYRO = {"g", "w", "gyr", "gyro", "gyroscope", "omega", "angularvelocity", "angularrate", "rotationrate"}
_TIME = {"t", "ts", "time", "times", "timestamp", "timestamps", "timestep"}
_LABEL = {"label", "labels", "activity", "annotation"}
# Words that add nothing. Any other word makes a name unrecognised: `linear acceleration` has no gravity, `acc_x_std` is no reading.
_FILLERS = {
    "imu",
    "sensor",
    "axis",
    "raw",
    "calibrated",
    "cal",
    "data",
    "device",
    "canonical",
    "unix",
    "epoch",
    "sample",
    "utc",
    "host",
}
_NO_GRAVITY = {"linear", "lin", "user"}
_WORD = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+")
_BRACKETS = re.compile(r"[\[(]([^\[(]*)[\])]\s*$")
_COMPACT = re.compile(rf"({'|'.join(sorted(_ACC | _GYRO, key=len, reverse=True))})([xyz])")
_KINDS: tuple[Kind, ...] = ("acceleration", "angular rate", "time")
_USUAL: dict[Kind, str] = {"acceleration": "m/s2", "angular rate": "rad/s", "time": "ms"}
"""Stand in for missing units in the example of an error."""
_READINGS: dict[str, Kind] = {name: "acceleration" if name.startswith("acc") else "angular rate" for name in CHANNELS}
NO_TIME = "none"
"""`t=none` leaves a time column unread: samples are then counted at a known rate."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Places of the columns, counted from 0, and the units their names state."""

    channels: tuple[int, ...]
    """The six readings in the order of `CHANNELS`."""
    time: int | None
    label: int | None
    units: Units
    names: tuple[str, ...]
    """All columns, for messages."""
    notes: tuple[str, ...] = ()
    """What is doubtful about the choice, in words."""


def find_columns(path: Path, names: Sequence[str], form: RecordingFormat) -> Columns:
    """Find the readings, the time and the label among `names`. Raises `InputError` saying which are missing or ambiguous."""
    found: dict[str, list[int]] = {}
    stated: dict[int, Unit] = {}
    for place, name in enumerate(names):
        role, unit = recognise(name)
        if role:
            found.setdefault(role, []).append(place)
        if unit:
            stated[place] = unit
    for role, where in form.columns.items():
        if (role, where) == ("t", NO_TIME):
            found.pop("t", None)
        else:
            found[role] = [_told(path, role, where, names)]
    listed = ", ".join(names) or "none"
    missing = [role for role in CHANNELS if role not in found]
    if missing:
        raise InputError(
            f"{path}: no column for {', '.join(missing)}. Its columns are: {listed}. {_remedy(missing, names)}"
        )
    for role, places in found.items():
        if len(places) > 1 and not (role == "label" or (role == "t" and form.rate_hz)):
            raise InputError(
                f"{path}: more than one column could be {role}: {', '.join(names[i] for i in places)}. Choose one: --columns {role}=NAME"
            )
    if "t" not in found and form.rate_hz is None:
        raise InputError(
            f"{path}: no column for the time. Its columns are: {listed}. Say which it is (--columns t=NAME), or the sampling rate (--rate-hz)."
        )
    roles: dict[int, str] = {}
    for role, (place, *more) in found.items():
        if not more and (other := roles.setdefault(place, role)) != role:
            raise InputError(
                f"{path}: column {names[place]} cannot be {other} and {role} at once. Say another: --columns {role}=NAME."
            )
    linear = [names[found[role][0]] for role in CHANNELS[:3] if _without_gravity(names[found[role][0]])]
    label = found.get("label", [])
    return Columns(
        channels=tuple(found[role][0] for role in CHANNELS),
        time=found["t"][0] if len(found.get("t", [])) == 1 else None,
        label=label[0] if len(label) == 1 else None,
        units=_stated_units(path, {role: stated.get(places[0]) for role, places in found.items()}),
        names=tuple(names),
        notes=(f"{', '.join(linear)}: without gravity, which the model needs; export plain acceleration",)
        if linear
        else (),
    )


def recognise(name: str) -> tuple[str | None, Unit | None]:
    """What a column of that name holds (`acc_x` ... `gyro_z`, `t`, `label`), or None, and the unit that the name states."""
    text, unit = name.strip().strip("#\"'").strip(), None
    if brackets := _BRACKETS.search(text):
        unit, text = _unit_or_none(brackets[1]), text[: brackets.start()]
    words = [word.lower() for word in _WORD.findall(text)]
    if unit is None:
        for count in (2, 1):  # acc_x_m_s2, time_ns
            if len(words) > count and (unit := _unit_or_none("/".join(words[-count:]))):
                words = words[:-count]
                break
    words = [word for word in words if word not in _FILLERS]
    joined = "".join(words)
    if joined in _TIME:
        return "t", unit if unit and unit.kind == "time" else None
    if joined in _LABEL:
        return "label", None
    axes = [word for word in words if word in ("x", "y", "z")]
    word, axis = "".join(w for w in words if w not in ("x", "y", "z")), axes[0] if len(axes) == 1 else ""
    if not axes and (compact := _COMPACT.fullmatch(joined)):
        word, axis = compact[1], compact[2]
    sensor = "acc" if word in _ACC else "gyro" if word in _GYRO else None
    if sensor is None or not axis:
        return None, unit
    role = f"{sensor}_{axis}"
    return role, unit if unit and unit.kind == _READINGS[role] else None


def settle_units(
    path: Path, form: RecordingFormat, stated: Units, *, timed: bool, rates_hz: Callable[[], Mapping[str, float]] = dict
) -> tuple[Units, tuple[str, ...]]:
    """The units to read with: those told, else those stated in the file; and a note where the two differ.

    Raises `UnitsError` naming the flag when one is known from neither. `rates_hz` gives the plausible sampling rates by unit of time,
    and is asked where that unit is missing.
    """
    told = parse_units(form.units) if form.units is not None else Units()
    units, notes = stated, []
    for kind in _KINDS:
        given, found = told.get(kind), stated.get(kind)
        if given is not None:
            units = units.set(given)
            if found is not None and found.factor != given.factor:
                notes.append(f"read as {given.name}, as told, though the file says {found.name}")
    missing = [kind for kind in _KINDS if units.get(kind) is None and (timed or kind != "time")]
    if missing:
        usual, more = dict(_USUAL), ""
        if "time" in missing:
            more = " None of its usual units makes these timestamps plausible: check which column holds the time (--columns t=NAME)."
            if plausible := rates_hz():
                usual["time"] = next(iter(plausible))
                shown = ", ".join(f"in {name} it would be {rate_hz:.4g} Hz" for name, rate_hz in plausible.items())
                more = f" As for its timestamps: {shown}."
        # The flag replaces itself: what it says already must be in the example. A unit that the file states need not be, but reads better.
        example = [
            unit.name if (unit := units.get(kind)) else usual[kind]
            for kind in _KINDS
            if kind != "time" or "time" in missing or told.time
        ]
        raise UnitsError(
            f"{path}: the unit of {' and of '.join(missing)} is not in this file, and a guess would be wrong one day. "
            f'Say the units, as in --units "{",".join(example)}".{more}'
        )
    return units, tuple(notes)


def _remedy(missing: Sequence[str], names: Sequence[str]) -> str:
    """What to do about missing columns, as far as the names of those that are there tell."""
    for name, form in PRESETS.items():
        if form.columns and all(_place(where, names) is not None for where in form.columns.values()):
            return f"They are those of a preset: --preset {name}."
    remedies = []
    if "acc_x" in missing and any(map(_without_gravity, names)):
        remedies.append(
            "Linear acceleration is without gravity, which the model needs: export plain acceleration (with gravity) instead."
        )
    if set(CHANNELS[3:]) <= set(missing):
        remedies.append(
            "The model needs a gyroscope too: record one, or join the two files by time. "
            "If it is among these columns, say where, as in --columns gyro_x=NAME."
        )
    return " ".join(remedies) or f"Say which is which, as in --columns {missing[0]}=NAME."


def _without_gravity(name: str) -> bool:
    """Whether a column of that name holds what phones call linear or user acceleration."""
    words = {word.lower() for word in _WORD.findall(name)}
    return bool(words & _NO_GRAVITY and words & _ACC)


def _told(path: Path, role: str, where: str | int, names: Sequence[str]) -> int:
    """Place of the column that a mapping names."""
    place = _place(where, names)
    if place is None:
        raise InputError(f"{path}: no column {where!r} for {role}. Its columns are: {', '.join(names) or 'none'}.")
    return place


def _place(where: str | int, names: Sequence[str]) -> int | None:
    """Place of a column, by name first, with or without the unit in it, then by number; None where there is none."""
    if isinstance(where, str):
        wanted = where.strip().lower()
        for place, name in enumerate(names):
            bare = name.strip().strip("#\"'").strip().lower()
            if wanted in (bare, _BRACKETS.sub("", bare).strip()):
                return place
    return int(where) if str(where).strip().isdecimal() and int(where) < len(names) else None


def _stated_units(path: Path, found: Mapping[str, Unit | None]) -> Units:
    """The units that the names of the columns in use state; all three axes must agree."""
    units = Units()
    for role, unit in found.items():
        if unit is None or role == "label" or unit.kind != _READINGS.get(role, "time"):
            continue
        other = units.get(unit.kind)
        if other and other.factor != unit.factor:
            raise UnitsError(
                f"{path}: its columns state {other.name} as well as {unit.name} for {unit.kind}. Say which one with --units."
            )
        units = units.set(unit)
    return units


def _unit_or_none(text: str) -> Unit | None:
    try:
        return parse_unit(text)
    except UnitsError:
        return None
