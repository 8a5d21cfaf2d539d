"""A data set of your own: any folder of CSV, Parquet or MATLAB recordings, described by a file beside them, without code.

    name = "gym"                                  # what recipes and bundles call it
    recordings = "**/*.csv"                       # below the folder of this file
    file_name = '(?P<subject>s\\d+)/(?P<label>\\w+)_\\d+'   # of the path without its ending; or columns.subject, columns.label
    units = "g, deg/s, ms"                        # where the files' headers do not say them
    rate_hz = 50                                  # where there is no time column
    test_subjects = ["s05"]
    validation_subjects = ["s04"]

    [columns]                                     # where their names are not recognised; acc_x ... gyro_z, t, label,
    acc_x = "ax"                                  # subject, trial, gravity_x ... gravity_z: a name, or a place counted from 0

    [[captions]]                                  # one for each label
    key = "squats"
    label = "doing squats"
    group = "exercise"
    sentences = ["a person is doing squats", "someone bends the knees and comes up again, over and over"]

As TOML or JSON; `Sidecar` lists every key. A recording ends where its subject or its trial changes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from aura_edge.encoders.checkpoint import Caption
from aura_edge.errors import RecipeError
from aura_edge.sources.formats import RecordingFormat
from aura_edge.sources.recordings import Trial, read_recording
from aura_edge.types import CHANNELS, ImuChunk
from aura_edge_train.datasets import DATA_SETS, DataSet, LabelledRecording, codes

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

UNLABELLED = "UNLABELLED"
"""Class of the samples that belong to no activity; it comes last, and has no caption."""
SHARE = 0.6
"""A window is called after the class that fills at least this much of it: 3 s of 5."""
MOST_CLASSES = 127
"""As many as a label of one byte tells apart."""
GRAVITY = ("gravity_x", "gravity_y", "gravity_z")
ROLES = (*CHANNELS, "t", "label", "subject", "trial", *GRAVITY)


class Sidecar(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The description of a set of one's own."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    recordings: str = "**/*.csv"
    """Which files, as a pattern for paths below the folder of the description."""
    file_name: str = ""
    """Regular expression with a group `subject` or `label` or both, for the whole of such a path without its ending."""
    units: str | None = None
    """As for `--units`; stronger than what a header says."""
    rate_hz: Annotated[float, msgspec.Meta(gt=0)] | None = None
    delimiter: str | None = None
    headerless: tuple[str, ...] = ()
    """Names of the columns of files without a header line."""
    arrival_times: bool = False
    """Whether times are those of delivery, in bunches."""
    placement: str | None = None
    gravity_points_down: bool = False
    """Whether the accelerometer reads gravity downwards at rest, as iPhones do: then all of it is turned."""
    columns: dict[str, str | int] = {}
    unlabelled: tuple[str, ...] = ("",)
    """Labels that stand for no activity."""
    share: Annotated[float, msgspec.Meta(gt=0.5, le=1)] = SHARE
    """A window that no class fills so far has no caption."""
    captions: Annotated[tuple[Caption, ...], msgspec.Meta(min_length=1, max_length=MOST_CLASSES)]
    test_subjects: frozenset[str] = frozenset()
    validation_subjects: frozenset[str] = frozenset()
    evaluation_step_s: Annotated[float, msgspec.Meta(gt=0)] = 2.5
    redistributable: bool = False
    """Whether the licence lets windows of it travel inside a bundle."""
    citation: str = ""
    """For people."""


def open_table(path: Path) -> DataSet:
    """The data set that the file `path` (`.toml` or `.json`) describes. Raises `RecipeError` naming the key that is wrong."""
    try:
        content = path.read_bytes()
        known = msgspec.json.decode(content) if path.suffix == ".json" else tomllib.loads(content.decode())
        said = msgspec.convert(known, Sidecar)
    except OSError as error:
        raise RecipeError(f"{path}: no description of a data set: {error.strerror}. Check the path.") from error
    except (msgspec.MsgspecError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: {error}. Its keys are: {', '.join(Sidecar.__struct_fields__)}.") from error
    keys = tuple(caption.key for caption in said.captions)
    table = _Table(path, said, _pattern(path, said), (*keys, UNLABELLED))
    table.check()
    return DataSet(
        name=said.name,
        classes=table.classes,
        captions=said.captions,
        redistributable=said.redistributable,
        test_subjects=said.test_subjects,
        validation_subjects=said.validation_subjects,
        evaluation_step_s=said.evaluation_step_s,
        files=table.files,
        read=table.read,
        caption_of=partial(majority, kinds=len(keys), share=said.share),
    )


def majority(
    labels: NDArray[np.int8], starts: NDArray[np.int64], length: int, *, kinds: int, share: float
) -> NDArray[np.int64]:
    """(W,) the class below `kinds` that fills at least `share` (above one half) of each window, or -1: the window has no caption."""
    captions = np.full(len(starts), -1, np.int64)
    for kind in range(kinds):
        counts = np.concatenate([[0], np.cumsum(labels == kind)])
        captions[counts[starts + length] - counts[starts] >= share * length] = kind
    return captions


def read_with_gravity(
    path: Path, form: RecordingFormat, gravity: Mapping[str, str | int], *, points_down: bool
) -> Trial:
    """A recording whose accelerometer was split in two: what the format's columns `acc_x` ... say is added to what `gravity` says under the
    same names (none where it is empty), in the same unit; `points_down` turns the sum."""
    trial = read_recording(path, form)
    acceleration = trial.samples[:, :3]
    if gravity:
        acceleration = (
            acceleration + read_recording(path, replace(form, columns={**form.columns, **gravity})).samples[:, :3]
        )
    if points_down:
        acceleration = -acceleration
    return replace(trial, samples=np.hstack([acceleration, trial.samples[:, 3:]]))


@dataclass(frozen=True, slots=True)
class _Table:
    """A description, and the recordings that it speaks of."""

    path: Path
    said: Sidecar
    pattern: re.Pattern[str] | None
    classes: tuple[str, ...]

    def check(self) -> None:
        """Raise `RecipeError` for what cannot be meant, before anything is read."""
        said = self.said
        groups = set(self.pattern.groupindex) if self.pattern else set()
        both = sorted(said.test_subjects & said.validation_subjects)
        doubled = sorted({key for key in self.classes if self.classes.count(key) > 1 or key in said.unlabelled})
        gravity = [role for role in GRAVITY if role in said.columns]
        labels = [caption.label for caption in said.captions]
        found = (
            (said.name in DATA_SETS, f"name {said.name!r} is that of a set that comes along; choose another"),
            (
                bool(unknown := sorted(set(said.columns) - set(ROLES))),
                f"columns {', '.join(unknown)}: expected {', '.join(ROLES)}",
            ),
            (
                bool(gravity) and len(gravity) < 3,
                f"columns {', '.join(gravity)} alone: expected all of {', '.join(GRAVITY)}, or none",
            ),
            (
                ("subject" in said.columns) == ("subject" in groups),
                "who moves must be said once: by columns.subject, or by a group (?P<subject>...) in file_name",
            ),
            (
                "label" in said.columns and "label" in groups,
                "labels must be said once: by columns.label, or by a group (?P<label>...) in file_name",
            ),
            (bool(both), f"{', '.join(both)}: in test_subjects and in validation_subjects; nobody may be in both"),
            (
                bool(told := sorted({label for label in labels if labels.count(label) > 1})),
                f"captions with the label {', '.join(told)} more than once: each needs its own",
            ),
            (bool(doubled), f"captions with the key {', '.join(doubled)}: keys are unique, and none means unlabelled"),
            (
                said.recordings.startswith("/") or ".." in Path(said.recordings).parts or not said.recordings,
                f"recordings {said.recordings!r}: expected a pattern for files below its own folder, as **/*.csv",
            ),
        )
        for wrong, why in found:
            if wrong:
                raise RecipeError(f"{self.path}: {why}.")

    def files(self, folder: Path) -> list[Path]:
        """The description and its recordings, below the folder of all data."""
        try:
            inside = self.path.resolve().relative_to(folder.resolve())
        except ValueError:
            raise RecipeError(
                f"{self.path}: is not below {folder}; expected it beside its recordings, in the folder given with --data."
            ) from None
        home = (folder / inside).parent
        files = sorted(
            file for file in home.glob(self.said.recordings) if file.is_file() and file.name != self.path.name
        )
        if not files:
            raise RecipeError(f"{self.path}: no recording {self.said.recordings} beside it. Check the pattern.")
        return [folder / inside, *files]

    def read(self, folder: Path) -> Iterator[LabelledRecording]:
        """All recordings; at the end, raise `RecipeError` where the split names somebody who is in none."""
        description, *files = self.files(folder)
        seen: set[str] = set()
        for file in files:
            for recording in self._recordings(file, file.relative_to(description.parent)):
                seen.add(recording.subject)
                yield recording
        if strangers := sorted((self.said.test_subjects | self.said.validation_subjects) - seen):
            raise RecipeError(
                f"{self.path}: its split names {', '.join(strangers)}, of whom there is no recording. Found: {', '.join(sorted(seen))}."
            )

    def _recordings(self, file: Path, inside: Path) -> Iterator[LabelledRecording]:
        """Those in one file: one, or one for each run of the same subject and trial."""
        said, name = self.said, inside.with_suffix("").as_posix()
        told: dict[str, str] = {}
        if self.pattern:
            match = self.pattern.fullmatch(name)
            if match is None:
                raise RecipeError(f"{file}: {name!r} does not match file_name {said.file_name!r} of {self.path}.")
            told = match.groupdict("")
        form = RecordingFormat(
            columns={role: where for role, where in said.columns.items() if role in (*CHANNELS, "t", "label")},
            headerless=said.headerless,
            units=said.units,
            rate_hz=said.rate_hz,
            arrival_times=said.arrival_times,
            delimiter=said.delimiter,
            placement=said.placement,
        )
        gravity = {f"acc_{role[-1]}": said.columns[role] for role in GRAVITY if role in said.columns}
        trial = read_with_gravity(file, form, gravity, points_down=said.gravity_points_down)
        rows = len(trial.t_ns)
        labels = np.repeat(told["label"], rows) if "label" in told else trial.labels
        if labels is None:
            raise RecipeError(f"{file}: no column of labels. Say which it is with columns.label in {self.path}.")
        labels = np.where(np.isin(labels, list(said.unlabelled)), UNLABELLED, labels)
        coded = codes(labels, self.classes, found_in=str(file))
        whole = np.logical_and.reduce(np.isfinite(trial.samples), axis=1)
        parts = [
            _column(file, form, said.columns[role], whole) for role in ("subject", "trial") if role in said.columns
        ]
        subjects = parts[0] if "subject" in said.columns else np.repeat(told["subject"], rows)
        changes = np.zeros(rows - 1, np.bool_)
        for part in parts:
            changes |= part[1:] != part[:-1]
        cuts = [0, *(np.flatnonzero(changes) + 1).tolist(), rows]
        for number, (start, stop) in enumerate(pairwise(cuts)):
            yield LabelledRecording(
                name=name if len(cuts) == 2 else f"{name}/{number}",
                subject=str(subjects[start]),
                rate_hz=trial.info.rate_hz,
                chunks=[ImuChunk(trial.t_ns[start:stop], trial.samples[start:stop], host_ns=0)],
                t_ns=trial.t_ns[start:stop],
                labels=coded[start:stop],
            )


def _column(file: Path, form: RecordingFormat, where: str | int, whole: NDArray[np.bool_]) -> NDArray[np.str_]:
    """Another column of a recording as text (the readers give one, that of the labels); a damaged row has what the row before has."""
    column = read_recording(file, replace(form, columns={**form.columns, "label": where})).labels
    if column is None or column[0] == "" or "" in column[whole]:
        raise RecipeError(
            f"{file}: column {where!r} is blank in places, or cannot be read. It must be there for every sample."
        )
    filled: NDArray[np.str_] = column[np.maximum.accumulate(np.where(column != "", np.arange(len(column)), 0))]
    return filled


def _pattern(path: Path, said: Sidecar) -> re.Pattern[str] | None:
    if not said.file_name:
        return None
    try:
        pattern = re.compile(said.file_name)
    except re.error as error:
        raise RecipeError(f"{path}: file_name {said.file_name!r} is no regular expression: {error}.") from error
    if not pattern.groupindex or set(pattern.groupindex) - {"subject", "label"}:
        raise RecipeError(
            f"{path}: file_name {said.file_name!r}: expected a group (?P<subject>...) or (?P<label>...) in it."
        )
    return pattern
