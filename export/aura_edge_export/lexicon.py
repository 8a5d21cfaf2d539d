"""The lexicon of a bundle: everyday phrases embedded with its text tower, as int8, and how much of the tower's answers survives that."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from aura_edge import bundle, lexicon, prototypes
from aura_edge.bundle import Bundle
from aura_edge.errors import InputError, ParityError
from aura_edge.prototypes import Prototypes
from aura_edge.text import TextTower, open_space
from aura_edge.text.labels import embed_labels

TEMPLATES = ("a person is {}", "someone is {}", "{}")
"""A phrase's vector is the mean over these, as captions are made of several sentences (see `aura_edge.text.labels`)."""
LEAST_COSINE = 0.999
"""Of a stored phrase with the tower's own vector; below it the file would not be the tower's."""
NEIGHBOURS = 10


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How the stored lexicon compares with the vectors it was made from."""

    phrases: int
    bytes: int
    cosine_min: float
    cosine_mean: float
    top1_agreement: float
    """Of the labels compared: the share whose nearest phrase is the same one."""
    top10_agreement: float
    """The share of each label's ten nearest phrases that stay among its ten."""


@dataclass(frozen=True, slots=True)
class Built:
    """A lexicon as it goes into a bundle, under the name `aura_edge.lexicon.FILE`, and what was measured on it."""

    content: bytes
    fidelity: Fidelity


def read_phrases(path: Path | None = None) -> tuple[str, ...]:
    """Phrases, one a line, `#` starting a heading; those that ship where no file is named. Raises `InputError` for repeats and odd lines."""
    source = path or resources.files("aura_edge_export") / "lexicon_phrases.txt"
    try:
        lines = source.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{source}: cannot be read ({error}). Expected a text file with one phrase a line.") from error
    first: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        phrase = " ".join(line.split())
        if not phrase or phrase.startswith("#"):
            continue
        letters = lexicon.fold(phrase)
        if not lexicon.words(phrase) or phrase != phrase.lower():
            raise InputError(f"{source}:{number}: {phrase!r}; expected an activity in lower case: 'climbing stairs'.")
        if letters in first:
            raise InputError(
                f"{source}:{number}: {phrase!r} is {first[letters]!r} again; its letters are the same. Remove one."
            )
        first[letters] = phrase
    if not first:
        raise InputError(f"{source}: holds no phrases; expected one a line.")
    return tuple(first.values())


def build(
    tower: TextTower,
    phrases: Sequence[str],
    compared_with: Sequence[Prototypes],
    *,
    templates: Sequence[str] = TEMPLATES,
    say: Callable[[str], None] = lambda _: None,
) -> Built:
    """Embed `phrases`, store them, read them back and compare, on the labels of `compared_with` (of the tower's space).

    Raises `ParityError` where a stored phrase is not what the tower said, `InputError` for a template without `{}`.
    """
    if not templates or not all("{}" in template for template in templates):
        raise InputError(f'templates are {list(templates)}; expected some like "a person is {{}}".')
    say(f"embedding {len(phrases)} phrases of the lexicon")
    sentences = {phrase: [template.replace("{}", phrase) for template in templates] for phrase in phrases}
    exact = embed_labels(tower, sentences)
    content = lexicon.to_bytes(phrases, templates, exact.embeddings, tower.space)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / lexicon.FILE
        path.write_bytes(content)
        stored = lexicon.load(path)
    cosines = np.sum(exact.embeddings * stored.embeddings, axis=1, dtype=np.float64)
    # Written so that NaN fails.
    if not cosines.min() >= LEAST_COSINE:
        raise ParityError(
            f"lexicon: {exact.labels[int(cosines.argmin())]!r} is stored at cosine {cosines.min():.6f} of its vector, expected at least "
            f"{LEAST_COSINE}. This text tower needs more than 8 bits: do not ship a lexicon with it."
        )
    labels = np.concatenate([known.embeddings for known in compared_with])
    before, after = _nearest(labels, exact), _nearest(labels, stored)
    kept = [len(set(a) & set(b)) / len(a) for a, b in zip(before.tolist(), after.tolist(), strict=True)]
    return Built(
        content,
        Fidelity(
            phrases=len(phrases),
            bytes=len(content),
            cosine_min=float(cosines.min()),
            cosine_mean=float(cosines.mean()),
            top1_agreement=float(np.mean(before[:, 0] == after[:, 0])),
            top10_agreement=float(np.mean(kept)),
        ),
    )


def add_lexicon(
    opened: Bundle,
    phrases: Sequence[str] | None = None,
    *,
    text_tower: str | None = None,
    target: str | os.PathLike[str] | None = None,
) -> tuple[Bundle, Fidelity]:
    """Write a bundle again with a lexicon (of the phrases that ship, where none are given), in place or to `target`.

    One that is there is replaced. Every file is checked first: writing a changed one again would make it look right.
    """
    manifest = opened.manifest
    files = {name: opened.read(name) for name in manifest.files}
    tower = open_space(manifest.text_space, name=text_tower)
    sets = [prototypes.load_for(opened, name) for name in opened.prototype_sets]
    built = build(tower, phrases or read_phrases(), sets)
    files[lexicon.FILE] = built.content
    manifest = msgspec.structs.replace(manifest, metrics=manifest.metrics | {"lexicon": asdict(built.fidelity)})
    return bundle.save(target or opened.path, manifest, files), built.fidelity


def _nearest(labels: NDArray[np.float32], phrases: Prototypes) -> NDArray[np.int64]:
    """(N, k) rows of the phrases nearest to each label, nearest first."""
    order: NDArray[np.int64] = np.argsort(-phrases.scores(labels), axis=1, kind="stable")[:, :NEIGHBOURS]
    return order
