"""Project Aria recordings of one's own: `.vrs` files below `aria/`, each with what was said about it, where somebody wrote that down.

Beside `walk.vrs` may lie `walk.csv`, with columns `t_s` and `text` and perhaps `kind`, or `walk.json`, a list of objects with the same names.
`t_s` counts seconds from the first sample of the IMU; `t_ns` in its place is the glasses' own clock. A hash of the file's name decides its split.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from aura_edge.errors import RecipeError
from aura_edge.types import NS_PER_S, ImuChunk
from aura_edge_train.datasets import DataSet, LabelledRecording, Part, in_parts, without_captions
from aura_edge_train.datasets.modalities import Moment
from aura_edge_train.datasets.narrations import tidy, without_repeats
from aura_edge_train.datasets.splits import by_hash, list_files, read_lists

if TYPE_CHECKING:
    from aura_edge.sources.vrs import VrsRecording

NAME = "aria"
STREAM = "imu-right"


class _Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str
    t_s: float | None = None
    t_ns: int | None = None
    kind: str = "narration"


def read_texts(path: Path, zero_ns: int, left_out: Counter[str]) -> list[Moment]:
    """What a CSV or JSON file says, in device time. Raises `RecipeError` for an entry without a text or without one time."""
    try:
        if path.suffix == ".csv":
            with path.open(newline="", encoding="utf-8") as file:
                rows: object = [{key: value for key, value in row.items() if value} for row in csv.DictReader(file)]
        else:
            rows = msgspec.json.decode(path.read_bytes())
        texts = msgspec.convert(rows, tuple[_Text, ...], strict=False)
    except (OSError, UnicodeDecodeError, csv.Error, msgspec.DecodeError) as error:
        raise RecipeError(f"{path}: not a list of texts ({error}). Expected t_s (or t_ns), text and kind.") from error
    found = []
    for number, each in enumerate(texts, 1):
        if (each.t_s is None) == (each.t_ns is None) or (each.t_s is not None and not math.isfinite(each.t_s)):
            raise RecipeError(f"{path}: entry {number} has t_s {each.t_s} and t_ns {each.t_ns}; expected one of them.")
        if text := tidy(each.text):
            at = each.t_ns if each.t_ns is not None else zero_ns + round((each.t_s or 0.0) * NS_PER_S)
            found.append(Moment(at, text, each.kind))
        else:
            left_out[f"{each.kind}: empty"] += 1
    return without_repeats(found, left_out)


def _texts_of(vrs: Path) -> list[Path]:
    found = [path for path in (vrs.with_suffix(".csv"), vrs.with_suffix(".json")) if path.is_file()]
    if len(found) > 1:
        raise RecipeError(f"{found[0]} and {found[1].name} are both there, expected one. Put them together.")
    return found


def _recordings(folder: Path) -> list[Path]:
    found = sorted((folder / NAME).glob("*.vrs"))
    if not found:
        raise RecipeError(f"{folder / NAME}: no .vrs there; expected recordings of Aria glasses.")
    return found


def _files(folder: Path) -> list[Path]:
    files = [file for vrs in _recordings(folder) for file in (vrs, *_texts_of(vrs))]
    return [*files, *list_files(folder / NAME / "splits")]


def _parts(folder: Path) -> list[Part]:
    """One for each file."""
    return [Part(vrs.stem, (vrs.relative_to(folder).as_posix(),)) for vrs in _recordings(folder)]


def _read_part(folder: Path, part: Part) -> Iterator[LabelledRecording]:
    from aura_edge.sources.vrs import VrsRecording

    path = folder / part.files[0]
    vrs = VrsRecording(path, stream=STREAM)
    zero_ns = int(next(vrs.blocks()).t_ns[0])
    left_out = cut_short(vrs)
    yield LabelledRecording(
        name=part.name,
        subject=part.name,
        rate_hz=vrs.info.rate_hz,
        chunks=(ImuChunk(block.t_ns, block.samples, host_ns=0) for block in vrs.blocks()),
        t_ns=np.zeros(1, np.int64),
        labels=np.zeros(1, np.int8),
        moments=[moment for texts in _texts_of(path) for moment in read_texts(texts, zero_ns, left_out)],
        split=read_lists(folder / NAME / "splits").get(part.name) or by_hash(part.name),
        left_out=left_out,
        zero_ns=zero_ns,
    )


def cut_short(vrs: VrsRecording) -> Counter[str]:
    """Counts a file that its reader found damaged: what is there is used, and what is not there is told."""
    return Counter({"recording damaged, as one that was cut off": 1} if vrs.damage else {})


ARIA = DataSet(
    name=NAME,
    classes=("unlabelled",),
    captions=(),
    redistributable=False,
    test_subjects=frozenset(),
    validation_subjects=frozenset(),
    evaluation_step_s=5.0,
    files=_files,
    read=in_parts(_parts, _read_part),
    caption_of=without_captions,
    parts=_parts,
    read_part=_read_part,
    large=True,
)
