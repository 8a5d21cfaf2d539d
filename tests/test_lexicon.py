"""Labels are found without a text tower: exactly where they are known, else the nearest by their words, and it is said which was used."""

from __future__ import annotations

import json
import string
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save as to_safetensors

from aura_edge import bundle, lexicon, prototypes, testing
from aura_edge.bundle import Bundle, TextSpace
from aura_edge.errors import BundleError, TextSpaceError
from aura_edge.lexicon import Fallback, Vocabulary, fold, stem, words
from aura_edge.prototypes import Prototypes

TEMPLATES = ("a person is {}", "{}")
PHRASES = (
    "walking", "talking", "walking up the stairs", "walking down the stairs", "climbing stairs", "ironing", "ironing clothes",
    "riding a bike", "riding a horse", "playing guitar", "playing tennis", "doing push-ups", "doing yoga", "washing dishes",
    "washing hair", "taking notes", "falling", "stumbling without falling", "mowing the lawn", "putting on shoes", "drawing a circle",
)  # fmt: skip
SPACE = testing.TINY_SPACE


def known(labels: tuple[str, ...], seed: int = 0) -> Prototypes:
    """A prototype set of these labels with directions of their own."""
    vectors = np.random.default_rng(seed).normal(size=(len(labels), SPACE.dimension)).astype(np.float32)
    return prototypes.make(labels, [(f"someone is {label}",) for label in labels], vectors, SPACE)


def content(phrases: tuple[str, ...] = PHRASES, space: TextSpace = SPACE) -> bytes:
    vectors = np.random.default_rng(1).normal(size=(len(phrases), space.dimension)).astype(np.float32)
    return lexicon.to_bytes(phrases, TEMPLATES, vectors, space)


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary([known(PHRASES)])


@pytest.fixture
def with_lexicon(tmp_path: Path) -> Bundle:
    """The tiny bundle with a second set and a lexicon."""
    return add(testing.tiny_bundle(tmp_path / "tiny.aura"), content())


def add(opened: Bundle, data: bytes) -> Bundle:
    files = {name: opened.read(name) for name in opened.manifest.files}
    files["prototypes/more.safetensors"] = prototypes.to_bytes(known(("walking", "climbing a tree, slowly")))
    return bundle.save(opened.path, opened.manifest, files | {lexicon.FILE: data})


# The file


@given(
    vectors=hnp.arrays(np.float32, (4, 16), elements=st.floats(-1e6, 1e6, width=32)).filter(
        lambda rows: bool(np.all(np.abs(rows).max(axis=1) > 1e-3))
    )
)
def test_eight_bits_keep_directions(tmp_path_factory: pytest.TempPathFactory, vectors: np.ndarray) -> None:
    """What is read back points where it did, has length 1, and its file is the same each time."""
    space = TextSpace("tower", "ab" * 32, 16)
    data = lexicon.to_bytes(PHRASES[:4], TEMPLATES, vectors, space)
    path = tmp_path_factory.mktemp("lexicon") / lexicon.FILE
    path.write_bytes(data)
    found = lexicon.load(path)
    assert found.labels == PHRASES[:4]
    assert found.prompts[0] == ("a person is walking", "walking")
    assert found.text_space == space
    wide = vectors.astype(np.float64)
    assert np.all(np.sum(found.embeddings * wide, axis=1) / np.linalg.norm(wide, axis=1) > 0.9995)
    np.testing.assert_allclose(np.linalg.norm(found.embeddings, axis=1), 1, atol=1e-6)
    assert lexicon.to_bytes(PHRASES[:4], TEMPLATES, vectors, space) == data


def test_eight_bits_are_all_used(tmp_path: Path) -> None:
    """Rounding costs what eight bits must cost, and no more."""
    vectors = np.random.default_rng(3).normal(size=(20, 384)).astype(np.float32)
    path = tmp_path / lexicon.FILE
    path.write_bytes(lexicon.to_bytes(PHRASES[:20], TEMPLATES, vectors, TextSpace("tower", "ab" * 32, 384)))
    cosines = np.sum(lexicon.load(path).embeddings * vectors, axis=1) / np.linalg.norm(vectors, axis=1)
    assert cosines.min() > 0.9999


def test_a_row_costs_a_byte_for_each_dimension() -> None:
    """Beside the codes there are words only."""
    space = TextSpace("tower", "ab" * 32, 384)
    assert len(content(space=space)) < len(PHRASES) * 384 + 2000


HEADER = {"phrases": ["a", "b"], "templates": ["{}"], "text_space": msgspec.to_builtins(TextSpace("t", "ab" * 32, 2))}
CODES = np.array([[127, 0], [3, 127]], np.int8)


def file_of(codes: np.ndarray = CODES, name: str = "codes", **header: object) -> bytes:
    return to_safetensors({name: codes}, {"lexicon": json.dumps(HEADER | header)})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no readable lexicon"),
        (b"garbage, and more than eight bytes of it", "no readable lexicon"),
        (to_safetensors({"codes": CODES}), "no readable lexicon"),
        (to_safetensors({"codes": CODES}, {"lexicon": "{"}), "no readable lexicon"),
        (file_of(name="other"), "no readable lexicon"),
        (file_of(more=1), "unknown field"),
        (file_of(CODES.astype(np.float32)), "codes are float32; expected int8"),
        (file_of(CODES[:1]), "expected one of each"),
        (file_of(CODES * 0), "has no length"),
        (file_of(templates=[]), r"templates are \[\]"),
        (file_of(templates=["a person"]), r"templates are \['a person'\]"),
        (file_of(phrases=["sit ups", "Sit-ups"]), "phrases repeat, but for spaces and punctuation: situps"),
        (file_of(phrases=["a", " "]), "none of them blank"),
    ],
)
def test_damaged_lexicon_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    """Every way in which the file may be wrong names it and the remedy."""
    path = tmp_path / lexicon.FILE
    path.write_bytes(data)
    with pytest.raises(BundleError, match=message) as caught:
        lexicon.load(path)
    assert str(caught.value).startswith(str(path))
    assert "again" in str(caught.value)


def test_lexicon_that_is_not_there_is_said(tmp_path: Path) -> None:
    """A missing file is an error of ours."""
    with pytest.raises(BundleError, match="no readable lexicon"):
        lexicon.load(tmp_path / lexicon.FILE)


@pytest.mark.parametrize("vectors", [np.zeros((2, 2)), np.array([[1, np.nan], [1, 0]]), np.ones(2), np.ones((2, 3))])
def test_vectors_that_make_no_lexicon_are_refused(vectors: np.ndarray) -> None:
    """Nothing is written that could not be read."""
    with pytest.raises(BundleError, match="expected"):
        lexicon.to_bytes(["a", "b"], ["{}"], vectors.astype(np.float32), TextSpace("t", "ab" * 32, 2))


# Words


@given(text=st.text(max_size=30))
def test_folding_twice_is_folding_once(text: str) -> None:
    """What is folded stays as it is."""
    assert fold(fold(text)) == fold(text)


@given(parts=st.lists(st.text("abcxyz019é", min_size=1, max_size=6), min_size=1, max_size=4), data=st.data())
def test_case_spaces_and_punctuation_do_not_matter(parts: list[str], data: st.DataObject) -> None:
    """However a label is spelled in these respects, it is the same label."""
    between = st.text(" -_.,;:!?'\u2019/()\t", max_size=3)
    spelled = "".join(
        data.draw(between) + (part.upper() if data.draw(st.booleans()) else part) + data.draw(between) for part in parts
    )
    assert fold(spelled) == "".join(parts).replace("é", "e")


def test_words_of_any_script_are_kept() -> None:
    """Accents fall away where they only colour a letter; signs that are letters of their script stay."""
    assert words("Café-crème, s'il vous plaît") == ["cafe", "creme", "sil", "vous", "plait"]
    assert words("歩く") == ["歩く"]
    assert fold("की") != fold("कि")
    assert fold("→") == "→"


@pytest.mark.parametrize(
    "family",
    [
        "climb climbs climbing climbed", "run runs running", "ride rides riding", "iron irons ironing ironed", "carry carries carrying",
        "lie lies lying", "tie ties tying", "wash washes washing washed", "box boxes boxing boxed", "dish dishes", "press presses pressing",
        "roll rolls rolling", "ski skiing", "add adds adding", "push-up push-ups", "swing swings swinging", "fly flies flying",
    ],
)  # fmt: skip
def test_forms_of_a_word_have_one_stem(family: str) -> None:
    """Verbs and plurals are known in each of their regular forms."""
    assert len({stem(word) for word in family.split()}) == 1


@pytest.mark.parametrize("word", ["swing", "string", "bus", "bed", "feed", "tennis", "king", "is", "a", ""])
def test_words_that_only_look_inflected_are_left_alone(word: str) -> None:
    """An ending is taken off only where a word is left."""
    assert stem(word) == word


# Lookup


@given(data=st.data())
def test_known_labels_are_found_exactly(vocabulary: Vocabulary, data: st.DataObject) -> None:
    """Any of them in any order and spelling: their own rows, their own names, nothing to report."""
    chosen = data.draw(st.lists(st.sampled_from(PHRASES), min_size=1, unique=True))
    spell = st.sampled_from([str, str.upper, str.title, lambda s: f" {s}.", lambda s: s.replace(" ", "-")])
    found = vocabulary.find([data.draw(spell)(label) for label in chosen])
    own = known(PHRASES).select(chosen)
    assert found.fallbacks == ()
    assert found.prototypes.labels == tuple(chosen)
    assert found.prototypes.digest == own.digest


def test_labels_of_one_set_are_taken_bit_for_bit() -> None:
    """Rounding vectors to length 1 a second time would give the same labels another digest."""
    many = known(tuple(f"label {number}" for number in range(500)))
    assert Vocabulary([many]).find(many.labels).prototypes.digest == many.digest


@given(
    asked=st.one_of(st.text(max_size=20), st.sampled_from(PHRASES), st.text(string.ascii_lowercase + " ", max_size=20))
)
def test_likeness_is_a_number_from_0_to_1(vocabulary: Vocabulary, asked: str) -> None:
    """Three different labels, best first, the same each time; a label is most like itself."""
    nearest = vocabulary.nearest(asked)
    likenesses = [likeness for likeness, _ in nearest]
    assert likenesses == sorted(likenesses, reverse=True)
    assert all(0 <= likeness <= 1 + 1e-9 for likeness in likenesses)
    assert len({label for _, label in nearest}) == 3
    assert Vocabulary([known(PHRASES)]).nearest(asked) == nearest
    if asked in PHRASES:
        assert nearest[0] == (pytest.approx(1), asked)


@given(asked=st.text(max_size=20))
def test_whatever_is_asked_is_answered_or_refused_by_name(vocabulary: Vocabulary, asked: str) -> None:
    """No text breaks the lookup: a known label, reported where it is another, or an error that names three."""
    likeness, label = vocabulary.nearest(asked)[0]
    if vocabulary.exact(asked) is None and likeness < lexicon.CLOSE:
        with pytest.raises(BundleError) as caught:
            vocabulary.find([asked])
        assert f"{asked!r} (closest: {label!r}, " in str(caught.value)
        return
    found = vocabulary.find([asked])
    (used,) = found.prototypes.labels
    assert found.fallbacks == (() if fold(asked) == fold(used) else (Fallback(asked, used),))


@pytest.mark.parametrize(
    ("asked", "used"),
    [
        ("climb stairs", "climbing stairs"),
        ("stair climbing", "climbing stairs"),
        ("clmbing stairs", "climbing stairs"),
        ("climbing the stairs carefully", "climbing stairs"),
        ("iron", "ironing"),
        ("iron my clothes", "ironing clothes"),
        ("bike riding", "riding a bike"),
        ("ride horses", "riding a horse"),
        ("tennis", "playing tennis"),
        ("play the guitar", "playing guitar"),
        ("push-ups", "doing push-ups"),
        ("pushups", "doing push-ups"),
        ("a pushup", "doing push-ups"),
        ("dishwashing", "washing dishes"),
        ("yoga", "doing yoga"),
        ("lawn mowing", "mowing the lawn"),
        ("putting shoes on", "putting on shoes"),
        ("wlaking", "walking"),
        ("tallking", "talking"),
    ],
)
def test_unknown_words_fall_back_and_say_so(vocabulary: Vocabulary, asked: str, used: str) -> None:
    """Other forms, orders, fillers, misspellings and single words find the phrase that was meant."""
    found = vocabulary.find([asked])
    assert found.fallbacks == (Fallback(asked, used),)
    assert found.prototypes.labels == (used,)


def test_likeness_is_weighted_by_rarity(vocabulary: Vocabulary) -> None:
    """Soft TF-IDF by hand: of 21 labels two play and one is of tennis; a misspelled word counts by its likeness, and once."""
    play, tennis = np.log1p(21 / 2), np.log1p(21)
    assert vocabulary.nearest("tennis")[0][0] == pytest.approx(2 * tennis / (tennis + play + tennis))
    misspelled = 12 / 13  # difflib's ratio of "playng" and "playing"
    expected = 2 * (misspelled * play + tennis) / (2 * (play + tennis))
    assert vocabulary.nearest("playng tennis")[0] == (pytest.approx(expected), "playing tennis")
    iron, unknown = np.log1p(21 / 2), np.log1p(21)
    twice = 2 * (14 / 15) * iron / (iron + iron + unknown)
    assert vocabulary.nearest("irroning ironnig")[0] == (pytest.approx(twice), "ironing")


@pytest.mark.parametrize(
    "asked",
    [
        "playing the sitar",  # another instrument
        "balking",  # another first letter is another word
        "not walking",
        "walking up and away without stairs",
        "knitting",
        "qwertz",
        "!?",
        "",
    ],
)
def test_what_is_like_nothing_is_refused_with_three_suggestions(vocabulary: Vocabulary, asked: str) -> None:
    """An answer that means something else would be worse than none."""
    with pytest.raises(BundleError, match=r"\(closest: ('[^']+'(, )?){3}\).*aura-edge prototypes"):
        vocabulary.find(["walking", asked])


def test_opposites_never_stand_for_each_other() -> None:
    """Up is not down and on is not off, however much the rest agrees."""
    few = Vocabulary([known(("walking up a ramp", "putting on shoes", "opening a door", "stumbling without falling"))])
    for asked in ("walking down a ramp", "putting off shoes", "closing a door", "stumbling and falling"):
        with pytest.raises(BundleError, match="no prototype for"):
            few.find([asked])
    assert few.find(["ramp walking up"]).prototypes.labels == ("walking up a ramp",)


def test_all_unknown_labels_are_named_at_once(vocabulary: Vocabulary) -> None:
    """One error for all of them."""
    with pytest.raises(BundleError, match=r"'knitting' \(closest.*\); 'sailing' \(closest"):
        vocabulary.find(["knitting", "walking", "sailing"])


@pytest.mark.parametrize("labels", [["ironing", "Ironing!"], ["iron", "ironing"], ["ironing", "iron", "walking"]])
def test_two_names_of_one_label_are_refused(vocabulary: Vocabulary, labels: list[str]) -> None:
    """The same prototype twice could never win."""
    with pytest.raises(BundleError, match=r"are one label here, 'ironing': name it once"):
        vocabulary.find(labels)


def test_no_labels_are_refused(vocabulary: Vocabulary) -> None:
    """Nothing asked is a mistake."""
    with pytest.raises(BundleError, match="an empty list of labels"):
        vocabulary.find([])


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("ironing, climbing stairs, riding a bike", ["ironing", "climbing stairs", "riding a bike"]),
        ("sitting down and up, slowly; ironing", ["sitting down and up, slowly", "ironing"]),
        ("Sitting down and up, slowly", ["Sitting down and up, slowly"]),
        (" ironing ,, ", ["ironing"]),
        ("climbing, stairs", ["climbing", "stairs"]),
        ("", []),
    ],
)
def test_labels_are_split_where_they_end(text: str, labels: list[str]) -> None:
    """At commas, or semicolons where labels hold commas; a known label is never split."""
    assert Vocabulary([known((*PHRASES, "sitting down and up, slowly"))]).split(text) == labels


# Bundles


def test_own_labels_come_first(with_lexicon: Bundle) -> None:
    """A label of the set in use is that set's, of another set that one's, and only then the lexicon's; mixed, each keeps its vector."""
    vocabulary = lexicon.vocabulary_of(with_lexicon)
    tiny, more = prototypes.load_for(with_lexicon, "tiny"), prototypes.load_for(with_lexicon, "more")
    assert vocabulary.find(["walking"]).prototypes.digest == tiny.select(["walking"]).digest
    found = vocabulary.find(["iron", "Walking", "climbing a tree slowly", "shaking"])
    assert found.fallbacks == (Fallback("iron", "ironing"),)
    assert found.prototypes.labels == ("ironing", "walking", "climbing a tree, slowly", "shaking")
    assert found.prototypes.prompts[0] == ("a person is ironing", "ironing")
    assert found.prototypes.prompts[1] == tiny.prompts[0]
    expected = np.stack([
        lexicon.load(with_lexicon.file(lexicon.FILE)).embeddings[PHRASES.index("ironing")],
        tiny.embeddings[0],
        more.embeddings[1],
        tiny.embeddings[1],
    ])  # fmt: skip
    np.testing.assert_allclose(found.prototypes.embeddings, expected, atol=1e-6)
    assert found.prototypes.text_space == SPACE
    named = lexicon.vocabulary_of(with_lexicon, "more").find(["walking"])
    assert named.prototypes.digest == more.select(["walking"]).digest


def test_bundle_without_a_lexicon_still_knows_its_own_labels(tmp_path: Path) -> None:
    """Bundles of before are looked up in the same way."""
    vocabulary = lexicon.vocabulary_of(testing.tiny_bundle(tmp_path / "tiny.aura"))
    assert vocabulary.find(["walk"]).fallbacks == (Fallback("walk", "walking"),)
    with pytest.raises(BundleError, match="'ironing'"):
        vocabulary.find(["ironing"])


def test_lexicon_of_another_tower_is_refused(tmp_path: Path) -> None:
    """Its cosines with this encoder would mean nothing."""
    foreign = content(space=msgspec.structs.replace(SPACE, weights_sha256="cd" * 32))
    opened = add(testing.tiny_bundle(tmp_path / "tiny.aura"), foreign)
    with pytest.raises(TextSpaceError, match=r"lexicon\.safetensors: embedded with tiny"):
        lexicon.vocabulary_of(opened)


def test_lookup_needs_no_tower() -> None:
    """A device has neither torch nor onnxruntime loaded for it."""
    code = (
        "import sys, aura_edge.lexicon; sys.exit(bool({'torch', 'onnxruntime', 'aura_edge.text'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
