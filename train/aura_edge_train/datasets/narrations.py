"""Sentences as annotators wrote them, to sentences that a text tower can use.

Ego4D marks who acts: `#C C` is the wearer of the camera, `#O` somebody else, and `#unsure` stands where the annotator could not tell. IMU2CLIP
(Moon et al. 2022, arXiv:2210.14395) keeps what has `#C`, strips the marks and the punctuation around it, and lower-cases the rest.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable
from typing import Literal

from aura_edge.types import NS_PER_S
from aura_edge_train.datasets.modalities import Moment

SAME_S = 1.0
"""The same words this near to each other are one moment, told in two passes or by two annotators."""
_WEARER = re.compile(r"#\s*c\b(?:\s*c\b)?", re.IGNORECASE)
_OTHER = re.compile(r"#\s*o\b", re.IGNORECASE)
_UNSURE = re.compile(r"#\s*unsure\b", re.IGNORECASE)
_MARK = re.compile(r"#\s*\w+")
_LETTER = re.compile(r"^c\s+", re.IGNORECASE)
_EDGES = string.punctuation + string.whitespace


def clean(
    text: str, left_out: Counter[str], *, others: bool = False, unsure: Literal["leave out", "something"] = "leave out"
) -> str | None:
    """A narration of Ego4D without its marks, or None with the reason counted in `left_out`.

    `others` keeps what other people do. `unsure="something"` puts that word where the annotator could not tell, as IMU2CLIP does; by default
    such a sentence is left out.
    """
    if _UNSURE.search(text):
        if unsure == "leave out":
            left_out["narration: unsure"] += 1
            return None
        text = _UNSURE.sub("something", text)
    if not _WEARER.search(text) and not (others and _OTHER.search(text)):
        left_out["narration: not of the wearer"] += 1
        return None
    return _kept(tidy(_MARK.sub(" ", _OTHER.sub(" ", _WEARER.sub(" ", text)))), left_out)


def clean_description(text: str | None, left_out: Counter[str], kind: str) -> str | None:
    """A sentence of Ego-Exo4D, where `C` alone stands for the wearer: without that letter at its beginning, or None, counted."""
    return _kept(tidy(_LETTER.sub("", (text or "").strip())), left_out, kind)


def tidy(text: str) -> str:
    """Single spaces, nothing but words at both ends, lower case."""
    return " ".join(text.split()).strip(_EDGES).lower()


def without_repeats(moments: Iterable[Moment], left_out: Counter[str]) -> list[Moment]:
    """In order of time; of equal words within a second of each other the first."""
    last: dict[tuple[str, str], int] = {}
    kept = []
    for moment in sorted(moments, key=lambda each: (each.t_ns, each.kind, each.text)):
        before = last.get((moment.kind, moment.text))
        if before is not None and moment.t_ns - before <= SAME_S * NS_PER_S:
            left_out[f"{moment.kind}: repeated"] += 1
            continue
        last[moment.kind, moment.text] = moment.t_ns
        kept.append(moment)
    return kept


def _kept(text: str, left_out: Counter[str], kind: str = "narration") -> str | None:
    if text:
        return text
    left_out[f"{kind}: empty"] += 1
    return None
