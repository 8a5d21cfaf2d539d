"""Labels without a text tower: phrases embedded beforehand, and the nearest known one for words that are not among them.

File format (`lexicon.safetensors`): tensor `codes` int8 (L, D), one row per phrase; metadata `lexicon`, one JSON object with `phrases`,
`templates` (a row is the mean over them, `{}` standing for the phrase) and `text_space` (as in the manifest). Rows are directions: a row's
scale is what brings it to length 1, so it needs no place in the file.

Words are compared without any model, by soft TF-IDF (Cohen, Ravikumar, Fienberg 2003, "A comparison of string distance metrics for
name-matching tasks"): words of one stem count by their rarity, misspelled ones by their likeness too.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from aura_edge import prototypes
from aura_edge.bundle import Bundle, TextSpace
from aura_edge.errors import BundleError
from aura_edge.prototypes import Prototypes

FILE = "lexicon.safetensors"
LARGEST_CODE = 127
CLOSE = 0.65
"""Likeness from which a phrase may stand for another: an unknown object ("playing the sitar") is refused, an unknown adverb is not."""
ALIKE = 0.8
"""`difflib` ratio from which a word is taken for a misspelling of one with the same first letter."""
CANDIDATES = 32
"""How many phrases are compared word by word: those that share most with what was asked, by pairs of letters."""
NAMED = 3
"""How many phrases an error suggests."""
FILLERS = frozenset(["a", "an", "the", "some", "my", "your", "his", "her", "their", "its", "do", "does", "doing"])
"""Words that name no activity: "doing yoga" and "yoga" are one."""
NEGATIONS = frozenset(["not", "no", "never", "without"])
"""Words that make another activity of one, as an opposite (stems, below) does: labels that differ by one are not alike."""
ONE_WAY = ["up", "upstair", "uphil", "on", "in", "left", "forward", "open", "push", "slowli"]
THE_OTHER = ["down", "downstair", "downhil", "of", "out", "right", "backward", "clos", "pul", "quickli"]
OPPOSITES = dict(zip(ONE_WAY + THE_OTHER, THE_OTHER + ONE_WAY, strict=True))


def to_bytes(
    phrases: Sequence[str], templates: Sequence[str], embeddings: NDArray[np.float32], text_space: TextSpace
) -> bytes:
    """The file for one vector (L, D) per phrase, of any length; the same for the same input. Raises `BundleError` as `load` does."""
    largest = np.abs(embeddings).max(axis=-1, keepdims=True, initial=0)
    # Written so that NaN fails.
    if embeddings.ndim != 2 or not np.all((largest > 0) & np.isfinite(largest)):
        raise BundleError(f"vectors of shape {embeddings.shape}; expected (L, D), each finite and of some length.")
    codes = np.rint(embeddings / largest * LARGEST_CODE).astype(np.int8)
    header = _Header(tuple(phrases), tuple(templates), text_space)
    _decoded(header, codes)
    data: bytes = save({"codes": codes}, {"lexicon": msgspec.json.encode(header).decode()})
    return data


def load(path: Path) -> Prototypes:
    """Read a lexicon as the prototypes that its phrases are. Raises `BundleError` for a file that is missing, damaged or makes no sense."""
    try:
        with safe_open(path, framework="numpy") as file:
            header = msgspec.json.decode((file.metadata() or {})["lexicon"], type=_Header)
            codes = file.get_tensor("codes")
        return _decoded(header, codes)
    except (SafetensorError, OSError, KeyError, TypeError, AttributeError, ValueError, BundleError) as error:
        raise BundleError(
            f"{path}: no readable lexicon ({error}). Copy the bundle again, or export it again."
        ) from error


@dataclass(frozen=True, slots=True)
class Fallback:
    """A label that is not known, and the known one that was taken for it."""

    asked: str
    used: str


@dataclass(frozen=True, slots=True)
class Found:
    """Prototypes in the order asked, under the names they are known by, and which of them are not what was asked."""

    prototypes: Prototypes
    fallbacks: tuple[Fallback, ...]


class Vocabulary:
    """All labels of several prototype sets of one text space; of a label that several know, the first one's is used."""

    def __init__(self, sets: Sequence[Prototypes]) -> None:
        self._sets = tuple(sets)
        self._places: dict[str, tuple[int, int]] = {}
        self._folded: dict[str, str] = {}
        for number, known in enumerate(sets):
            for row, label in enumerate(known.labels):
                self._places.setdefault(label, (number, row))
        for label in self._places:
            self._folded.setdefault(fold(label), label)

    def split(self, text: str) -> list[str]:
        """The labels in `text`: it is one, commas and all, or several between semicolons, or else between commas."""
        if (label := self.exact(text)) and label.count(",") == text.count(","):
            return [text.strip()]
        return [part.strip() for part in text.split(";" if ";" in text else ",") if part.strip()]

    def exact(self, asked: str) -> str | None:
        """The known label that `asked` is, whatever its case, spaces and punctuation."""
        return asked if asked in self._places else self._folded.get(fold(asked))

    def nearest(self, asked: str) -> list[tuple[float, str]]:
        """The known labels most like `asked`, best first, each with its likeness from 0 to 1."""
        return self._wording.nearest(asked)

    def find(self, labels: Sequence[str]) -> Found:
        """Prototypes of `labels`, exactly where they are known, else of the nearest. Raises `BundleError` where nothing is near, or for repeats."""
        asked_as: dict[str, str] = {}
        fallbacks, unknown = [], []
        for asked in labels:
            label = self.exact(asked)
            if label is None:
                nearest = self.nearest(asked)
                if nearest[0][0] < CLOSE:
                    unknown.append(f"{asked!r} (closest: {', '.join(repr(name) for _, name in nearest)})")
                    continue
                label = nearest[0][1]
                fallbacks.append(Fallback(asked, label))
            if label in asked_as:
                raise BundleError(f"{asked_as[label]!r} and {asked!r} are one label here, {label!r}: name it once.")
            asked_as[label] = asked
        if unknown or not labels:
            raise BundleError(
                f"no prototype for {'; '.join(unknown) or 'an empty list of labels'}. Name known ones, or add your own where the text "
                "tower is installed: aura-edge prototypes"
            )
        return Found(self._joined(list(asked_as)), tuple(fallbacks))

    def _joined(self, labels: Sequence[str]) -> Prototypes:
        places = [self._places[label] for label in labels]
        first = self._sets[places[0][0]]
        if len({number for number, _ in places}) == 1:
            return first.select(labels)  # bit for bit, and so with that set's own digest
        prompts = [self._sets[number].prompts[row] for number, row in places]
        vectors = np.stack([self._sets[number].embeddings[row] for number, row in places])
        return prototypes.make(labels, prompts, vectors, first.text_space)

    @cached_property
    def _wording(self) -> _Wording:
        return _Wording(list(self._places))


def vocabulary_of(bundle: Bundle, set_name: str | None = None) -> Vocabulary:
    """Every label of a bundle: of the set named (or the manifest's own choice), of its other sets, then of its lexicon where it has one."""
    first = set_name or bundle.manifest.prototypes
    names = [first, *(name for name in bundle.prototype_sets if name != first)]
    sets = [prototypes.load_for(bundle, name) for name in names]
    if FILE in bundle.manifest.files:
        path = bundle.file(FILE)
        known = load(path)
        prototypes.require_same_space(
            known.text_space, bundle.manifest.text_space, found_in=path, expected_by=bundle.path
        )
        sets.append(known)
    return Vocabulary(sets)


def words(text: str) -> list[str]:
    """The words of `text`: lower case, without accents, apostrophes and punctuation, whatever the script."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    bare = (c for c in plain if c not in "'\u2019" and not "\u0300" <= c <= "\u036f")
    return "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in bare).split()


def fold(text: str) -> str:
    """The letters and digits of `text`, or itself where it has none: labels that fold to the same are the same ("Push-ups", "push ups")."""
    return "".join(words(text)) or text


@lru_cache(maxsize=4096)
def stem(word: str) -> str:
    """A word without the endings of verbs and plurals, lightly: "climbing", "climbs" and "climb" have one, and so have "tie" and "tying"."""
    if len(word) > 4 and word.endswith("ies"):
        word = word[:-3] + "y"
    elif len(word) > 4 and word.endswith(("shes", "ches", "sses", "xes", "zes")):
        word = word[:-2]
    elif len(word) > 2 and word.endswith("s") and word[-2] not in "sui":
        word = word[:-1]
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) > 1 and not word.endswith("eed") and any(c in "aeiouy" for c in rest):
            word = rest[0] + "ie" if ending == "ing" and len(rest) == 2 and rest[1] == "y" else rest
            break
    if len(word) > 2 and word[-1] == word[-2]:
        word = word[:-1]
    if len(word) > 2 and word.endswith("e"):
        word = word[:-1]
    return word[:-1] + "i" if len(word) > 2 and word.endswith("y") else word


def _stems(text: str) -> dict[str, str]:
    """Stem to word, in order, without fillers."""
    return {stem(word): word for word in words(text) if word not in FILLERS}


def _pairs(stems: dict[str, str]) -> dict[str, None]:
    return dict.fromkeys(a + b for one in stems for a, b in zip(f" {one}", f"{one} ", strict=True))


class _Wording:
    """How alike labels are by their words."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels
        self._stems = [_stems(label) for label in labels]
        counts = Counter(one for stems in self._stems for one in stems)
        self._weights = {one: math.log1p(len(labels) / count) for one, count in counts.items()}
        self._rarest = math.log1p(len(labels))
        holders: dict[str, list[int]] = {}
        for row, stems in enumerate(self._stems):
            for pair in _pairs(stems):
                holders.setdefault(pair, []).append(row)
        self._holders = {pair: np.array(rows) for pair, rows in holders.items()}
        self._rarity = {pair: math.log1p(len(labels) / len(rows)) for pair, rows in holders.items()}
        self._sizes = np.zeros(len(labels))
        for pair, rows in self._holders.items():
            self._sizes[rows] += self._rarity[pair]

    def nearest(self, asked: str) -> list[tuple[float, str]]:
        """The `NAMED` most alike, best first; of those equally alike first the one of most equal letters, then the one first known."""
        stems, letters = _stems(asked), fold(asked)
        shared, size = np.zeros(len(self._labels)), 1e-9
        for pair in _pairs(stems):
            size += self._rarity.get(pair, self._rarest)
            if pair in self._holders:
                shared[self._holders[pair]] += self._rarity[pair]
        rows = np.argsort(-shared / (size + self._sizes), kind="stable")[:CANDIDATES]
        alike = {int(row): self._likeness(stems, self._stems[row]) for row in rows}
        least = sorted(alike.values())[-NAMED:][0]
        best = [row for row in alike if alike[row] >= least]
        best.sort(key=lambda row: (-alike[row], -_ratio(letters, fold(self._labels[row])), row))
        return [(alike[row], self._labels[row]) for row in best[:NAMED]]

    def _likeness(self, asked: dict[str, str], known: dict[str, str]) -> float:
        """Dice's coefficient over stems weighted by rarity: 0 to 1."""
        if asked and "".join(asked) in ("".join(known), "".join(reversed(known))):
            return 1.0  # one word here, two there: "pushups", "dogwalking"
        theirs = known.keys() - asked.keys()
        negated = NEGATIONS.intersection({*asked.values()} ^ {*known.values()})
        if negated or any(OPPOSITES.get(one) in theirs for one in asked.keys() - known.keys()):
            return 0.0
        total = sum(self._weights[one] for one in known)
        shared, left = 0.0, [one for one in known if one in theirs]
        for one, word in asked.items():
            weight = self._weights.get(one, self._rarest)
            if one in known:
                shared += weight
            else:
                alike, other = max(((_alike(word, known[other]), other) for other in left), default=(0.0, ""))
                if alike >= ALIKE:
                    left.remove(other)
                    weight = self._weights[other]
                    shared += alike * weight
            total += weight
        return 2 * shared / total if total else 0.0


def _alike(a: str, b: str) -> float:
    return _ratio(a, b) if a[0] == b[0] else 0.0


def _ratio(a: str, b: str) -> float:
    return SequenceMatcher(None, a, b, autojunk=False).ratio()


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    phrases: tuple[str, ...]
    templates: tuple[str, ...]
    text_space: TextSpace


def _decoded(header: _Header, codes: NDArray[Any]) -> Prototypes:
    """The prototypes that codes stand for, each of length 1."""
    if codes.dtype != np.int8:
        raise BundleError(f"codes are {codes.dtype}; expected int8.")
    if not header.templates or not all("{}" in template for template in header.templates):
        raise BundleError(f'templates are {list(header.templates)}; expected some like "a person is {{}}".')
    if repeated := [letters for letters, times in Counter(map(fold, header.phrases)).items() if times > 1]:
        raise BundleError(f"phrases repeat, but for spaces and punctuation: {', '.join(repeated)}. Name each once.")
    prompts = [[template.replace("{}", phrase) for template in header.templates] for phrase in header.phrases]
    return prototypes.make(header.phrases, prompts, codes.astype(np.float32), header.text_space)
