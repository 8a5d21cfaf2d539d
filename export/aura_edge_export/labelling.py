"""Labels of one's own for a bundle that exists: embedded with its own text tower, and added as a prototype set."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from aura_edge import bundle, prototypes
from aura_edge.bundle import Bundle
from aura_edge.errors import BundleError, InputError
from aura_edge.prototypes import Prototypes
from aura_edge.text import open_space
from aura_edge.text.labels import embed_labels
from aura_edge_export.card import CARD, model_card

SET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def read_labels(path: Path) -> dict[str, Sequence[str]]:
    """Labels with their sentences from JSON: `["walking", ...]`, where each label is its own sentence, or `{"walking": ["...", ...], ...}`."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=list[str] | dict[str, list[str]])
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}. Expected a JSON file of labels.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f'{path}: no labels: {error}. Expected ["walking", ...] or {{"walking": ["a person is walking", ...], ...}}.'
        ) from error
    return dict(found) if isinstance(found, dict) else bare_labels(found)


def bare_labels(labels: Sequence[str], template: str = "{}") -> dict[str, Sequence[str]]:
    """Each label with one sentence: the template with the label in place of `{}`. Raises `InputError` for repeats or a template without."""
    if "{}" not in template:
        raise InputError(
            f'template {template!r} has no place for the label; expected something like "a person is {{}}".'
        )
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise InputError(f"labels repeat: {', '.join(repeated)}. Name each once.")
    return {label: [template.replace("{}", label)] for label in labels}


def add_labels(
    opened: Bundle,
    sentences: Mapping[str, Sequence[str]],
    *,
    set_name: str,
    default: bool = False,
    text_tower: str | None = None,
    target: str | os.PathLike[str] | None = None,
) -> tuple[Bundle, Prototypes]:
    """Embed `sentences` with the bundle's tower, whose weights are where `text_tower` says, and write the bundle again with
    them as set `set_name`, in place or to `target`.

    A set of that name is replaced. Every file is checked first: writing a changed one again would make it look right.
    """
    if not SET_NAME.fullmatch(set_name):
        raise BundleError(f"prototype set name {set_name!r}: expected letters, digits, dots, dashes and underscores.")
    space = opened.manifest.text_space
    known = embed_labels(open_space(space, name=text_tower), sentences)
    file = f"prototypes/{set_name}.safetensors"
    prototypes.require_same_space(known.text_space, space, found_in=Path(file), expected_by=opened.path)
    manifest = opened.manifest
    if default:
        manifest = msgspec.structs.replace(manifest, prototypes=set_name)
    files = {name: opened.read(name) for name in manifest.files}
    files[file] = prototypes.to_bytes(known)
    sets = {name: prototypes.load_for(opened, name) for name in opened.prototype_sets} | {set_name: known}
    files[CARD] = model_card(manifest, sets).encode()
    return bundle.save(target or opened.path, manifest, files), known
