"""Who is in which split where no list of subjects says it: lists of recordings that the user has, or a hash of the recording's name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from aura_edge.errors import RecipeError
from aura_edge_train.datasets import Split

STEMS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "validation": "validation",
    "test": "test",
}
TEST_SHARE, VALIDATION_SHARE = 0.30, 0.07
"""As IMU2CLIP draws its videos: 70 % to train with, a tenth of those to choose with."""


def list_files(folder: Path) -> list[Path]:
    """Lists in `folder`: `train.json`, `validation_0.json` and the like."""
    return sorted(file for file in folder.glob("*.json") if file.stem.split("_")[0] in STEMS)


def read_lists(folder: Path) -> Mapping[str, Split]:
    """Split of each recording that the lists in `folder` name: each a JSON list of names; nothing where there are none.

    Raises `RecipeError` for a recording in two splits.
    """
    found: dict[str, Split] = {}
    for file in list_files(folder):
        split = STEMS[file.stem.split("_")[0]]
        try:
            names = msgspec.json.decode(file.read_bytes(), type=list[str])
        except (OSError, msgspec.DecodeError) as error:
            raise RecipeError(f"{file}: not a list of recordings ({error}). Expected a JSON list of names.") from error
        for name in names:
            if found.setdefault(name, split) != split:
                raise RecipeError(
                    f"{file}: {name} is in the {found[name]} split too. Expected each recording in one: keep one set of lists there."
                )
    return found


def by_hash(name: str) -> Split:
    """The same split for the same name on every machine: 63 % train, 7 % validation, 30 % test."""
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    if share < TEST_SHARE:
        return "test"
    return "validation" if share < TEST_SHARE + VALIDATION_SHARE else "train"
