"""Recipes: every shipped one parses, and everything that makes no sense is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs it; it comes with aura-edge[train]")

from aura_edge import encoders
from aura_edge.errors import RecipeError
from aura_edge.text import FAMILIES, TOWERS
from aura_edge_train import datasets, recipe

WHOLE = """
name = "x"
[encoder]
kind = "transformer"
[[data]]
name = "made-up"
[optimisation]
epochs = 3
"""


@pytest.mark.parametrize("name", recipe.shipped_names())
def test_shipped_recipes_make_sense(name: str) -> None:
    """A shipped recipe parses, is called what its file is, and its tower, data sets and encoder exist."""
    found = recipe.load(Path(name))
    assert found.name == name
    assert found.text_tower in TOWERS or found.text_tower.partition(":")[0] in FAMILIES
    for entry in found.data:
        groups = {caption.group for caption in datasets.get(entry.name).captions}
        assert set(entry.quiet_groups_kept) <= groups
    for encoder in (found.encoder, *([found.mocap] if found.mocap else [])):
        kind, options = encoder.resolved()
        assert encoders.make_spec(kind, options | {"dimension": 384}).parameters > 0


def test_defaults_are_filled_in(tmp_path: Path) -> None:
    """A recipe of the bare necessities has defaults for the rest; a file is read as a name is."""
    (tmp_path / "x.toml").write_text(WHOLE)
    found = recipe.load(tmp_path / "x.toml")
    assert found == recipe.parse(WHOLE, found_in="here")
    assert (found.optimisation.epochs, found.augmentation.rotate, found.seed) == (3, False, 0)


def test_digest_tells_recipes_apart() -> None:
    """Any other value is another digest; the same values in other words are the same."""
    found = recipe.parse(WHOLE, found_in="a")
    assert found.digest == recipe.parse(WHOLE.replace("epochs = 3", "epochs=3 # three"), found_in="b").digest
    assert found.digest != recipe.parse(WHOLE.replace("epochs = 3", "epochs = 4"), found_in="b").digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("epochs = 3", "epochs = 3\nmomentum = 0.9"), "momentum"),
        (("epochs = 3", ""), "epochs"),
        (("epochs = 3", "epochs = 0"), r"epochs"),
        (("epochs = 3", "epochs = 'many'"), r"epochs"),
        (("epochs = 3", "epochs = 3\nprecision = 'fp8'"), r"precision"),
        (("epochs = 3", "epochs = 3\nwarm_up = 1.0"), r"warm_up"),
        (('name = "made-up"', 'name = "made-up"\nfolder = "x"'), r"folder"),
        (('[[data]]\nname = "made-up"\n', ""), r"data"),
        (("epochs = 3", "epochs = 3\n[augmentation]\nflip = true"), r"flip"),
        (("epochs = 3", "epochs = 3\n[objective]\ntemperature = 0"), r"temperature"),
        (("epochs = 3", "epochs = = 3"), r"not TOML"),
    ],
)
def test_nonsense_is_named(change: tuple[str, str], message: str) -> None:
    """An unknown key, a missing one or an impossible value is an error that names the file and the key."""
    assert change[0] in WHOLE
    with pytest.raises(RecipeError, match=rf"my\.toml: .*{message}"):
        recipe.parse(WHOLE.replace(*change), found_in="my.toml")


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    """A missing file, a folder and a binary file say what was expected and which recipes are shipped."""
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "none.toml", tmp_path, tmp_path / "binary.toml", Path("dmeo")):
        with pytest.raises(RecipeError, match=re.escape(str(path)) + r": no recipe: .*demo, .*tiny"):
            recipe.load(path)


def test_objective_without_captions_has_none_in_any_phase() -> None:
    """Phases say `captions = true` where they say nothing: what the objective has not, they cannot have."""
    pairs = "[[objective.pairs]]\nbetween = ['imu', 'text']\n[[phases]]\nepochs = 2\npairs = ['imu-text']\n"
    text = WHOLE.replace("epochs = 3", "") + "[objective]\ncaptions = CAPTIONS\n" + pairs
    for word, captions in (("true", True), ("false", False)):
        found = recipe.parse(text.replace("CAPTIONS", word), found_in="test")
        assert [phase.captions for phase in found.schedule] == [captions]
        assert found.phases[0].captions, "what was written stays written"
