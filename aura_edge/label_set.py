"""The labels of a running stream, edited by whoever may: a page, a watched file, a command on a socket.

A phrase that the bundle knows, in a label set or its lexicon, is used as it is known; any other is embedded by the text tower where that
is installed with the bundle's own weights, and else stands for the nearest phrase known, which is said.
"""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from aura_edge import prototypes
from aura_edge.errors import AuraEdgeError, BundleError
from aura_edge.lexicon import Vocabulary, fold
from aura_edge.prototypes import Prototypes
from aura_edge.text import TextTower
from aura_edge.text.labels import embed_labels

MOST_LABELS = 512
LONGEST_LABEL = 200


@dataclass(frozen=True, slots=True)
class Change:
    """What became of an edit."""

    labels: tuple[str, ...]
    digest: str
    """Of the set that predictions carry from the next window on."""
    said: str
    """In words: what was added, or was taken for what was asked."""


class LabelSet:
    """Follows edits of one set, and hands each new set on, whole. May be used from any thread."""

    def __init__(
        self,
        start: Prototypes,
        vocabulary: Callable[[], Vocabulary],
        *,
        tower: Callable[[], TextTower] | None = None,
    ) -> None:
        """`vocabulary` tells what the bundle knows, `tower` opens the text tower of its space: each is called when it is first needed."""
        self._open_vocabulary = vocabulary
        self._apply: Callable[[Prototypes], None] | None = None
        self._open_tower = tower
        self._tower: TextTower | None = None
        self._start = self._known = start
        self._lock = threading.Lock()

    @property
    def prototypes(self) -> Prototypes:
        """The set as it was last edited."""
        return self._known

    def goes_to(self, apply: Callable[[Prototypes], None]) -> None:
        """Where each new set goes from now on; at once where there is one already. What `apply` refuses does not become the set."""
        with self._lock:
            self._apply = apply
            if self._known.digest != self._start.digest:
                apply(self._known)

    def add(self, phrase: str) -> Change:
        """One label more. Raises `BundleError` for one that is there already, makes no sense, or that nothing here can embed."""
        with self._lock:
            more, said = self._found(phrase)
            if fold(more.labels[0]) in map(fold, self._known.labels):
                raise BundleError(f"{said + ', which' if said else repr(more.labels[0])} is among the labels already.")
            if len(self._known.labels) >= MOST_LABELS:
                raise BundleError(f"{MOST_LABELS} labels are the most; remove one first.")
            return self._take(_joined([self._known, more]), said or f"added {more.labels[0]!r}")

    def remove(self, label: str) -> Change:
        """One label less. Raises `BundleError` for one that is not there, or the last one."""
        with self._lock:
            asked = fold(_clean(label))
            left = [name for name in self._known.labels if fold(name) != asked]
            if len(left) == len(self._known.labels):
                raise BundleError(f"{label!r} is not among the labels: {'; '.join(self._known.labels)}.")
            if not left:
                raise BundleError(f"{label!r} is the only label; add another before it is removed.")
            return self._take(self._known.select(left), f"removed {label!r}")

    def replace(self, phrases: Sequence[str]) -> Change:
        """Exactly these, in this order. Raises `BundleError` where any of them is refused: then nothing changes."""
        with self._lock:
            if not phrases or len(phrases) > MOST_LABELS:
                raise BundleError(f"{len(phrases)} labels; expected 1 to {MOST_LABELS}.")
            found = [self._found(phrase) for phrase in phrases]
            names = [more.labels[0] for more, _ in found]
            if repeated := sorted({name for name in names if names.count(name) > 1}):
                raise BundleError(f"{', '.join(map(repr, repeated))}: named more than once; name each label once.")
            told = "; ".join(said for _, said in found if said)
            return self._take(_joined([more for more, _ in found]), told or f"{len(names)} labels")

    def _take(self, wanted: Prototypes, said: str) -> Change:
        if wanted.labels != self._known.labels:  # a label that stays keeps its row
            if self._apply is not None:
                self._apply(wanted)
            self._known = wanted
        return Change(wanted.labels, wanted.digest, said)

    def _found(self, phrase: str) -> tuple[Prototypes, str]:
        """One prototype for a phrase, and what is to be said of it."""
        asked = _clean(phrase)
        if asked in self._known.labels:
            return self._known.select([asked]), ""
        vocabulary = self._vocabulary
        if vocabulary.exact(asked) is not None:
            return vocabulary.find([asked]).prototypes, ""
        if (tower := self._text_tower()) is not None:
            return embed_labels(tower, {asked: [asked]}), ""
        found = vocabulary.find([asked])
        return found.prototypes, f"{asked!r} is not known: using {found.prototypes.labels[0]!r}"

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return self._open_vocabulary()

    def _text_tower(self) -> TextTower | None:
        """None where it is not installed, or its weights are not those of the bundle."""
        if self._tower is None and self._open_tower is not None:
            try:
                self._tower = self._open_tower()
            except AuraEdgeError:
                self._open_tower = None
        return self._tower


def _clean(phrase: str) -> str:
    """The phrase without spaces around it. Raises `BundleError` for what no person would write as a label."""
    asked = " ".join(phrase.split())
    if not asked or len(asked) > LONGEST_LABEL or any(unicodedata.category(c)[0] == "C" for c in asked):
        raise BundleError(f"{phrase[:60]!r}: no label; expected 1 to {LONGEST_LABEL} characters that can be seen.")
    return asked


def _joined(sets: Sequence[Prototypes]) -> Prototypes:
    labels = [label for known in sets for label in known.labels]
    prompts = [lines for known in sets for lines in known.prompts]
    return prototypes.make(labels, prompts, np.concatenate([known.embeddings for known in sets]), sets[0].text_space)
