"""Prototypes keep their bits, their digest and their text space, and say what is wrong with them."""

from __future__ import annotations

import hashlib
import json
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

from aura_edge import bundle, prototypes, testing
from aura_edge.bundle import TextSpace
from aura_edge.errors import BundleError, TextSpaceError
from aura_edge.prototypes import Prototypes

text = st.text(min_size=1, max_size=20).filter(lambda s: s.strip() != "")


@st.composite
def some_prototypes(draw: st.DrawFn) -> Prototypes:
    """Any labels, sentences and vectors that make sense."""
    labels = draw(st.lists(text, min_size=1, max_size=6, unique=True))
    prompts = [draw(st.lists(text, max_size=3)) for _ in labels]
    dimension = draw(st.integers(1, 16))
    finite = st.floats(-1e6, 1e6, width=32)
    vectors = draw(hnp.arrays(np.float32, (len(labels), dimension), elements=finite))
    vectors[:, 0] += np.where(np.linalg.norm(vectors, axis=1) < 1e-3, 1, 0).astype(np.float32)
    return prototypes.make(labels, prompts, vectors, TextSpace(draw(text), "0" * 64, dimension))


@given(made=some_prototypes())
def test_round_trip_keeps_every_bit(tmp_path_factory: pytest.TempPathFactory, made: Prototypes) -> None:
    """What is loaded is what was saved: vectors, words, space and digest, however often it goes round."""
    path = tmp_path_factory.mktemp("round") / "p.safetensors"
    data = prototypes.to_bytes(made)
    path.write_bytes(data)
    found = prototypes.load(path)
    assert (found.labels, found.prompts, found.text_space, found.digest) == (
        made.labels,
        made.prompts,
        made.text_space,
        made.digest,
    )
    assert np.array_equal(found.embeddings, made.embeddings)
    assert prototypes.to_bytes(found) == data


@given(made=some_prototypes())
def test_rows_have_length_one(made: Prototypes) -> None:
    """Whatever the vectors' lengths were, the rows' are one."""
    assert np.allclose(np.linalg.norm(made.embeddings.astype(np.float64), axis=1), 1.0, atol=1e-6)


def test_bytes_are_the_same_in_every_process() -> None:
    """The file does not depend on the run that wrote it: bundles of one checkpoint have one digest."""
    code = (
        "import hashlib; from aura_edge import prototypes, testing; "
        "print(hashlib.sha256(prototypes.to_bytes(testing.tiny_prototypes())).hexdigest())"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    here = hashlib.sha256(prototypes.to_bytes(testing.tiny_prototypes())).hexdigest()
    assert {run.stdout.strip() for run in runs} == {here}


def test_scores_are_cosines() -> None:
    """A label's own vector scores 1, any other less."""
    known = testing.tiny_prototypes()
    scores = known.scores(known.embeddings)
    assert np.diag(scores) == pytest.approx(1.0, abs=1e-6)
    assert scores[~np.eye(len(scores), dtype=bool)].max() < 0.999


def test_select_takes_rows_in_order() -> None:
    """A selection has the asked labels in the asked order, the same bits, and a digest of its own."""
    known = testing.tiny_prototypes()
    chosen = known.select(["spinning", "walking"])
    assert chosen.labels == ("spinning", "walking")
    assert chosen.prompts == (known.prompts[2], known.prompts[0])
    assert np.array_equal(chosen.embeddings, known.embeddings[[2, 0]])
    assert chosen.digest != known.digest
    assert known.select(known.labels).digest == known.digest


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["walking", "flying", "diving"], "no prototype for 'flying', 'diving'; this set has: walking; shaking"),
        ([], "no prototype for an empty list of labels"),
        (["walking", "walking"], r"labels repeat: \['walking'\]"),
    ],
)
def test_select_of_what_is_not_there(labels: list[str], message: str) -> None:
    """Unknown, missing and repeated labels are named."""
    with pytest.raises(BundleError, match=message):
        testing.tiny_prototypes().select(labels)


SPACE = TextSpace("tower", "ab" * 32, 2)


@pytest.mark.parametrize(
    ("labels", "prompts", "vectors", "message"),
    [
        ([], [], np.zeros((0, 2)), "expected at least one, none of them blank"),
        (["a", " "], [[], []], np.eye(2), "none of them blank"),
        (["a", "a"], [[], []], np.eye(2), r"labels repeat: \['a'\]"),
        (["a", "b"], [[]], np.eye(2), "2 labels with 1 lists of prompts"),
        (["a"], [[]], np.eye(2), r"1 labels with 1 lists of prompts and embeddings of shape \(2, 2\)"),
        (["a"], [[]], np.ones((1, 3)), "of dimension 2"),
        (["a"], [[]], np.zeros((1, 2)), "has no length or is not finite"),
        (["a"], [[]], np.array([[np.nan, 1.0]]), "has no length or is not finite"),
        (["a"], [[]], np.array([[np.inf, 1.0]]), "has no length or is not finite"),
    ],
)
def test_make_refuses_nonsense(labels: list[str], prompts: list[list[str]], vectors: np.ndarray, message: str) -> None:
    """Each way in which labels, prompts and vectors may not fit has its message."""
    with pytest.raises(BundleError, match=message):
        prototypes.make(labels, prompts, vectors.astype(np.float32), SPACE)


HEADER = {"labels": ["a"], "prompts": [["x"]], "text_space": msgspec.to_builtins(SPACE)}
UNIT = np.array([[0.6, 0.8]], np.float32)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a prototype file"),
        (b"garbage, and more than eight bytes of it", "not a prototype file"),
        (to_safetensors({"embeddings": UNIT}), "not a prototype file"),
        (to_safetensors({"embeddings": UNIT}, {"prototypes": "{"}), "not a prototype file"),
        (to_safetensors({"embeddings": UNIT}, {"prototypes": "{}"}), "not a prototype file"),
        (to_safetensors({"other": UNIT}, {"prototypes": json.dumps(HEADER)}), "not a prototype file"),
        (to_safetensors({"embeddings": UNIT * 2}, {"prototypes": json.dumps(HEADER)}), "lengths 2 to 2; expected"),
        (to_safetensors({"embeddings": UNIT * np.nan}, {"prototypes": json.dumps(HEADER)}), "lengths nan to nan"),
        (to_safetensors({"embeddings": UNIT.astype("f8")}, {"prototypes": json.dumps(HEADER)}), "rows of float64"),
        (to_safetensors({"embeddings": UNIT[:, :1]}, {"prototypes": json.dumps(HEADER)}), "expected one of each"),
    ],
)
def test_damaged_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    """Every way in which a prototype file may be wrong names the file and the remedy."""
    path = tmp_path / "p.safetensors"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=message) as caught:
        prototypes.load(path)
    assert str(caught.value).startswith(str(path))


def test_missing_file_is_said(tmp_path: Path) -> None:
    """A set that is not there says how to make it."""
    with pytest.raises(BundleError, match=r"no such prototype file. Make it with `aura-edge prototypes`"):
        prototypes.load(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    "other", [{"tower": "another"}, {"weights_sha256": "cd" * 32}, {"dimension": testing.TINY_DIMENSION + 1}]
)
def test_another_text_space_is_refused(tmp_path: Path, other: dict[str, object]) -> None:
    """Prototypes of another tower, other weights or another dimension are never compared with this encoder."""
    tiny = testing.tiny_bundle(tmp_path / "tiny.aura")
    files = {name: (tiny.path / name).read_bytes() for name in tiny.manifest.files}
    manifest = msgspec.structs.replace(tiny.manifest, text_space=msgspec.structs.replace(testing.TINY_SPACE, **other))
    foreign = bundle.save(tiny.path, manifest, files)
    with pytest.raises(
        TextSpaceError, match=r"tiny.safetensors: embedded with tiny \(8-d, weights .*aura-edge prototypes"
    ):
        prototypes.load_for(foreign)


def test_prototypes_are_frozen() -> None:
    """A set in use cannot be changed under its digest."""
    with pytest.raises(AttributeError):
        testing.tiny_prototypes().labels = ()  # type: ignore[misc]
