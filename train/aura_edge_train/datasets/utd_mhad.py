"""UTD-MHAD: 8 people, 27 actions, 861 trials, an IMU at the right wrist (actions 1 to 21) or the right thigh (22 to 27), and a Kinect.

Chen, Jafari and Kehtarnavaz, UTD-MHAD: A Multimodal Dataset for Human Action Recognition Utilizing a Depth Camera and a Wearable Inertial
Sensor, ICIP 2015. One archive, `utd-mhad/utd-mhad.tar.xz`: for each trial `d_iner` (N, 6) in g and deg/s at 50 Hz, and `d_skel` (20, 3, T) in
metres, y up.

The skeleton is described as of 30 Hz, but its files hold 11 to 21 frames for each second of the inertial ones (median 19): the Kinect dropped
frames. They are spread evenly over the time of the IMU here, since the motion says that both began and ended together: over the trials of
actions 1 to 21, the speed of the right wrist and the gyroscope on it have a mean correlation of 0.72 this way, and of 0.23 at 30 Hz from a
common start. Where in a trial frames were dropped is not known.

Split by subject as published: 1, 3, 5, 7 train and 2, 4, 6, 8 test; 7 is taken out of training to choose with. Trials last 2.1 to 6.5 s: the
short ones are extended to a window.

That tells both modalities how long a trial was, which is enough to find the partner of a test trial among the nearest ten of 430 in 38 to
54 % of cases, as finely as lengths are read (chance 2 %), without a look at the movement. `utd-mhad-middle` is the same trials without that:
of each the 2.1 s in its middle, extended alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import InputError, RecipeError
from aura_edge.sources.presets import preset
from aura_edge.sources.units import parse_units, to_si
from aura_edge.types import NS_PER_S, ImuChunk
from aura_edge_train.datasets import DataSet, LabelledRecording, Part, in_parts, read_captions
from aura_edge_train.datasets.archives import read_members
from aura_edge_train.datasets.matlab_arrays import read_array
from aura_edge_train.datasets.modalities import Pose
from aura_edge_train.datasets.poses import KINECT

ACTIONS = 27
MIDDLE_ROWS = 105
"""No trial is shorter."""
WINDOW_S = 5.0
_MEMBER = re.compile(r"(?:\./)?data/\w+/(?P<name>a\d{1,2}_s\d_t\d_(?:inertial|skeleton))\.mat")
_NAME = re.compile(r"a(?P<action>\d{1,2})_s(?P<subject>\d)_t(?P<trial>\d)_(?P<kind>inertial|skeleton)")


def _files(folder: Path) -> list[Path]:
    archive = folder / "utd-mhad" / "utd-mhad.tar.xz"
    if not archive.is_file():
        raise RecipeError(f"{archive}: not there; expected the archive of UTD-MHAD.")
    return [archive]


def _caption_of(labels: NDArray[np.int8], starts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """A trial is one action: its windows are called what it is called."""
    return labels[starts].astype(np.int64)


def _parts(folder: Path) -> list[Part]:
    """One for each person."""
    members = read_members(_files(folder)[0], _MEMBER)
    return [Part(f"s{subject}") for subject in sorted({_named(name)["subject"] for name in members})]


def _read_part(folder: Path, part: Part) -> Iterator[LabelledRecording]:
    (archive,) = _files(folder)
    members = read_members(archive, _MEMBER)
    own = [name for name in members if name.endswith("_inertial") and f"s{_named(name)['subject']}" == part.name]
    for name in sorted(own, key=lambda each: (int(_named(each)["action"]), each)):
        yield _trial(archive, name.removesuffix("_inertial"), members)


def _read_middle(folder: Path, part: Part) -> Iterator[LabelledRecording]:
    """The same with the middle of each trial alone; the skeleton outside it is not looked at."""
    for trial in _read_part(folder, part):
        ((t_ns, samples),) = ((chunk.t_ns, chunk.samples) for chunk in trial.chunks)
        middle = slice((len(t_ns) - MIDDLE_ROWS) // 2, (len(t_ns) + MIDDLE_ROWS) // 2)
        chunk = ImuChunk(t_ns[middle], samples[middle], host_ns=0)
        yield replace(trial, chunks=[chunk], t_ns=t_ns[middle], labels=trial.labels[middle])


def _trial(archive: Path, name: str, members: Mapping[str, bytes]) -> LabelledRecording:
    kind = preset("utd-mhad")
    if kind.rate_hz is None or kind.units is None:
        raise TypeError("the preset of UTD-MHAD has lost its rate or its units")
    action = int(_named(f"{name}_inertial")["action"])
    try:
        readings = read_array(members[f"{name}_inertial"], "d_iner")
        skeleton = read_array(members[f"{name}_skeleton"], "d_skel")
    except KeyError as error:
        raise RecipeError(f"{archive}: {error.args[0]}.mat is missing. Copy the archive again.") from error
    except InputError as error:
        raise RecipeError(f"{archive}: {name}: {error}") from error
    wrong = readings.ndim != 2 or readings.shape[1] != 6 or len(readings) < MIDDLE_ROWS
    if wrong or skeleton.ndim != 3 or skeleton.shape[:2] != (20, 3) or skeleton.shape[2] < 2 or action > ACTIONS:
        raise RecipeError(
            f"{archive}: {name} holds {readings.shape} and {skeleton.shape}; expected (N, 6) of at least {MIDDLE_ROWS} rows and (20, 3, T), "
            f"of an action up to {ACTIONS}. Copy the archive again."
        )
    t_ns = np.rint(np.arange(len(readings)) * (NS_PER_S / kind.rate_hz)).astype(np.int64)
    frames_ns = np.rint(np.linspace(0, t_ns[-1], skeleton.shape[2])).astype(np.int64)
    return LabelledRecording(
        name=name,
        subject=f"s{_named(f'{name}_inertial')['subject']}",
        rate_hz=kind.rate_hz,
        chunks=[ImuChunk(t_ns, to_si(readings, parse_units(kind.units)), host_ns=0)],
        t_ns=t_ns,
        labels=np.full(len(t_ns), action - 1, np.int8),
        pose=Pose(frames_ns, np.ascontiguousarray(skeleton.transpose(2, 0, 1), dtype=np.float32)),
    )


def _read_all_middles(folder: Path) -> Iterator[LabelledRecording]:
    for part in _parts(folder):
        yield from _read_middle(folder, part)


def _named(name: str) -> re.Match[str]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise RecipeError(f"{name}: no name of a trial; expected a1_s1_t1_inertial and the like.")
    return match


UTD_MHAD = DataSet(
    name="utd-mhad",
    classes=tuple(f"a{action}" for action in range(1, ACTIONS + 1)),
    captions=read_captions("utd-mhad", "captions_utd_mhad.json"),
    redistributable=False,
    test_subjects=frozenset({"s2", "s4", "s6", "s8"}),
    validation_subjects=frozenset({"s7"}),
    evaluation_step_s=2.5,
    files=_files,
    read=in_parts(_parts, _read_part),
    caption_of=_caption_of,
    parts=_parts,
    read_part=_read_part,
    pads_to_s=WINDOW_S,
    skeleton=KINECT,
)
UTD_MHAD_MIDDLE = replace(
    UTD_MHAD, name="utd-mhad-middle", read=_read_all_middles, read_part=_read_middle, same_files_as=UTD_MHAD.name
)
