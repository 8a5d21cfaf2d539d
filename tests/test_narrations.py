"""Annotators' sentences: marks of who acts stripped, the unusable counted; classes by text matching."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_edge.types import NS_PER_S
from aura_edge_train.datasets import soft_labels
from aura_edge_train.datasets.modalities import Moment
from aura_edge_train.datasets.narrations import clean, clean_description, tidy, without_repeats


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#C C picks up a Cup.", "picks up a cup"),
        ("#c c Looks around", "looks around"),
        ("# C C opens the door  ", "opens the door"),
        ("#C walks", "walks"),
        ("  #C C  talks to a woman #summary", "talks to a woman summary"),
        ("#C C cuts a carrot", "cuts a carrot"),
    ],
)
def test_wearers_narrations_lose_their_marks(text: str, expected: str) -> None:
    """Tags, punctuation at the ends and capitals go; words that begin with a c stay."""
    left_out = Counter[str]()
    cleaned = clean(text.replace(" #summary", " summary"), left_out)
    assert cleaned == expected
    assert not left_out


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("#O A man X walks", "narration: not of the wearer"),
        ("picks up a cup", "narration: not of the wearer"),
        ("#C C picks up #unsure", "narration: unsure"),
        ("#Unsure", "narration: unsure"),
        ("#C C .", "narration: empty"),
        ("", "narration: not of the wearer"),
        ("#cup", "narration: not of the wearer"),
    ],
)
def test_unusable_narrations_are_counted(text: str, reason: str) -> None:
    """What is not of the wearer, not sure or empty is left out with its reason."""
    left_out = Counter[str]()
    assert clean(text, left_out) is None
    assert left_out == {reason: 1}


def test_others_and_unsure_ones_can_be_kept() -> None:
    """Other people's actions, and a word in place of what is not known, as IMU2CLIP writes it."""
    left_out = Counter[str]()
    assert clean("#O A man X walks.", left_out, others=True) == "a man x walks"
    assert clean("#C C holds #unsure in a hand", left_out, unsure="something") == "holds something in a hand"
    assert not left_out


def test_descriptions_lose_the_wearers_letter() -> None:
    """Ego-Exo4D writes C alone; a word that begins with one stays."""
    left_out = Counter[str]()
    assert clean_description("C turns the wheel.", left_out, "atomic") == "turns the wheel"
    assert clean_description("Cuts it", left_out, "atomic") == "cuts it"
    assert clean_description(None, left_out, "atomic") is None
    assert left_out == {"atomic: empty": 1}


@given(st.text())
def test_cleaning_is_done_once(text: str) -> None:
    """Whatever is written: what comes out has no mark of the wearer, and tidying it again changes nothing."""
    found = clean("#C C " + text, Counter(), unsure="something")
    if found is not None:
        assert found
        assert tidy(found) == found
        assert "#c " not in found


def test_repeats_between_passes_are_one_moment() -> None:
    """Equal words within a second are kept once; others, and later ones, stay."""
    left_out = Counter[str]()
    times = [(0.0, "walks"), (0.8, "walks"), (0.9, "runs"), (3.0, "walks")]
    told = [Moment(round(NS_PER_S * t), text, "narration") for t, text in reversed(times)]
    kept = without_repeats(told, left_out)
    assert [(each.t_ns / NS_PER_S, each.text) for each in kept] == [(0.0, "walks"), (0.9, "runs"), (3.0, "walks")]
    assert left_out == {"narration: repeated": 1}


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("moves his head", "head movement"),
        ("turns the head", "head movement"),
        ("looks around the room", "head movement"),
        ("looks up", "head movement"),
        ("stands up from the chair", "stands up"),
        ("gets up", "stands up"),
        ("sits down", "sits down"),
        ("sits on the sofa", "sits down"),
        ("walks in the room", "walking"),
        ("walking to the door", "walking"),
        ("holds the head", None),
        ("moves the shower head", None),
        ("picks up the cup", None),
        ("walks and looks around", None),
        ("looks up and down", "head movement"),
        ("sidewalk", None),
        ("", None),
    ],
)
def test_four_classes_by_words(text: str, label: str | None) -> None:
    """A verb with what belongs to it; none of them, or several, is no class."""
    (found,) = soft_labels.EGO4D.match([text]).tolist()
    assert (None if found < 0 else soft_labels.EGO4D.classes[found]) == label


@pytest.mark.parametrize(
    "task", ["Basketball", "Bike Repair", "Cooking", "Dance", "Health", "Music", "Rock Climbing", "Soccer"]
)
def test_eight_kinds_of_task(task: str) -> None:
    """The names that takes carry, each its own class."""
    (found,) = soft_labels.EGO_EXO4D.match([task]).tolist()
    assert soft_labels.EGO_EXO4D.classes[found] == task.lower()
    assert len(soft_labels.EGO_EXO4D.classes) == 8


def test_matching_nothing_gives_nothing() -> None:
    """No texts, no classes."""
    assert soft_labels.EGO4D.match(np.array([], np.str_)).shape == (0,)
