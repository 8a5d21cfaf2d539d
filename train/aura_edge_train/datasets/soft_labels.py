"""Classes by text matching: what a free sentence says, as one of a few activities.

IMU2CLIP (Moon et al. 2022, arXiv:2210.14395) labels Ego4D's narrations as head movement, standing up, sitting down or walking by the likeness of
their words; its released list is a likeness of word counts, in which "holds the head" is a head movement. Here a class is a verb with what
belongs to it, so that such sentences have no class; numbers on both are not the same test. AURA-MFM (Matsuishi, Ukita, Okita 2025) takes the eight
kinds of task of Ego-Exo4D.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aura_edge.encoders.checkpoint import Caption

NO_CLASS = -1


@dataclass(frozen=True, slots=True)
class SoftLabels:
    """Some classes, and the words that make a sentence one of them."""

    captions: tuple[Caption, ...]
    patterns: tuple[re.Pattern[str], ...]
    """One for each caption."""

    @property
    def classes(self) -> tuple[str, ...]:
        """What the classes are called."""
        return tuple(caption.label for caption in self.captions)

    def match(self, texts: Sequence[str] | NDArray[np.str_]) -> NDArray[np.int64]:
        """(W,) number of the class of each text; `NO_CLASS` for one that is of none, or of several."""
        found = np.array([[bool(p.search(str(text))) for p in self.patterns] for text in texts], np.bool_)
        found = found.reshape(len(texts), len(self.patterns))
        one = found.sum(1) == 1
        return np.where(one, found.argmax(1), NO_CLASS).astype(np.int64)


def around(
    t_ns: NDArray[np.int64], numbers: NDArray[np.int64], span_ns: int, unlabelled: int
) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Classes (M,) told at instants (M,) as labels that hold for `span_ns` about each: (C,) instants at which they change, and (C,) labels.

    Where two different classes would hold there is none; instants of `NO_CLASS` say nothing.
    """
    told = numbers != NO_CLASS
    begins, of = t_ns[told] - span_ns // 2, numbers[told]
    changes = np.unique(np.concatenate([begins - 1, begins, begins + span_ns])).astype(np.int64)
    active = np.zeros((len(np.unique(of)), len(changes)), np.bool_)
    for row, kind in enumerate(np.unique(of)):
        own = np.sort(begins[of == kind])
        active[row] = np.searchsorted(own, changes, "right") > np.searchsorted(own + span_ns, changes, "right")
    if not len(changes):
        return np.zeros(1, np.int64), np.full(1, unlabelled, np.int8)
    labels = np.where(active.sum(0) == 1, np.unique(of)[active.argmax(0)], unlabelled)
    return changes, labels.astype(np.int8)


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE)


_WHOSE = r"(?:(?:the|his|her|their|a|own)\s+)*"
_HEAD_VERBS = r"(?:moves?|moving|turns?|turning|shakes?|shaking|nods?|nodding|tilts?|tilting|raises?|raising|lifts?|lifting|lowers?|lowering|bows?)"
_UP_VERBS = r"(?:stands?|standing|stood|gets?|getting|rises?|rising)"

EGO4D = SoftLabels(
    captions=(
        Caption("head", "head movement", "head movement", ("a person moves the head", "someone looks around")),
        Caption("up", "stands up", "stands up", ("a person stands up", "someone rises from a seat")),
        Caption("down", "sits down", "sits down", ("a person sits down", "someone takes a seat")),
        Caption("walk", "walking", "walking", ("a person is walking", "someone walks around")),
    ),
    patterns=(
        _words(rf"{_HEAD_VERBS}\s+{_WHOSE}head|nods|looks?\s+(?:up|down|around|aside|behind|back|left|right|sideways)"),
        _words(rf"{_UP_VERBS}\s+up(?!\s+(?:the|a|an)\b)|rises?\s+from"),
        _words(r"(?:sits?|sitting|sat)(?:\s+back)?\s+(?:down|on|in)|takes?\s+a\s+seat"),
        _words(r"walks?|walking|walked|strolls?|strolling"),
    ),
)
"""IMU2CLIP's four."""

EGO_EXO4D = SoftLabels(
    captions=(
        Caption("basketball", "basketball", "sport", ("a person plays basketball", "someone practises basketball")),
        Caption("bike", "bike repair", "work", ("a person repairs a bike", "someone works on a bicycle")),
        Caption("cooking", "cooking", "work", ("a person is cooking", "someone prepares a meal")),
        Caption("dance", "dance", "art", ("a person is dancing", "someone performs a dance")),
        Caption(
            "health", "health", "work", ("a person does a health procedure", "someone takes a test or gives first aid")
        ),
        Caption("music", "music", "art", ("a person plays an instrument", "someone makes music")),
        Caption("climbing", "rock climbing", "sport", ("a person is climbing a wall", "someone is bouldering")),
        Caption("soccer", "soccer", "sport", ("a person plays soccer", "someone practises with a football")),
    ),
    patterns=(
        _words("basketball"),
        _words(r"bikes?|bicycles?"),
        _words(r"cook|cooks|cooking|cooked"),
        _words(r"dance|dances|dancing|performing arts"),
        _words(r"health|cpr|covid(?:-?19)?|first aid"),
        _words(r"music|piano|violin|guitar"),
        _words(r"rock climbing|climbing|climbs?|bouldering"),
        _words(r"soccer"),
    ),
)
"""The eight kinds of task of Ego-Exo4D, by the name of a take's task."""
