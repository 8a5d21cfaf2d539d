"""Variants of a recipe side by side: what a suite says is what is trained and asked, once."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

torch = pytest.importorskip("torch", reason="training needs it; it comes with aura-edge[train]")
pytest.importorskip("sklearn", reason="scores need it; it comes with aura-edge[train]")

from aura_edge.errors import RecipeError  # noqa: E402
from aura_edge_bench import training_tables, variants  # noqa: E402
from aura_edge_bench.variants import Condition, Suite, Variant  # noqa: E402
from aura_edge_train.datasets.made_up import MADE_UP  # noqa: E402

SUITE = Suite(
    name="small",
    recipe="tiny",
    epochs=1,
    sets=("made-up",),
    conditions=(Condition(name="as worn"), Condition(name="turned", rotation_seed=1)),
    variants=(
        Variant("as it is"),
        Variant("raw", recipe={"encoder": {"options": {"plain_stem": True, "invariant_filters": 0}}}),
        Variant(
            "another kind",
            recipe={"encoder": {"kind": "cnn_rnn", "options": {"gru_axis": "channel", "pool": "adaptive"}}},
        ),
    ),
    against=MADE_UP.captions[0].group,
)


@pytest.mark.parametrize("name", ["ablation", "cross-data", "encoders"])
def test_the_shipped_suites_make_recipes(name: str) -> None:
    """Every variant is a recipe of its own, as long as the others, and trains on no validation subject."""
    suite = variants.load(name)
    made = [variants.recipe_of(suite, variant) for variant in suite.variants]
    assert len({recipe.digest for recipe in made}) == len(made)
    assert {recipe.optimisation.epochs for recipe in made} == {suite.epochs}
    assert not any(recipe.chooses_nothing for recipe in made)


def test_what_a_variant_says_is_laid_over_the_recipe() -> None:
    """Single options change single options; another kind of encoder takes none of the old one's."""
    plain, raw, other = (variants.recipe_of(SUITE, variant) for variant in SUITE.variants)
    assert raw.encoder.options == plain.encoder.options | {"plain_stem": True, "invariant_filters": 0}
    assert (other.encoder.kind, set(other.encoder.options)) == ("cnn_rnn", {"gru_axis", "pool"})
    assert plain.optimisation == other.optimisation
    assert variants.recipe_of(SUITE, SUITE.variants[0], seed=5).seed == 5


def test_every_variant_is_trained_once_and_asked_under_every_condition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table grows by variant; a second run trains nothing and finds the same."""
    tables: list[variants.Outcome] = []
    places = {"data": tmp_path, "runs": tmp_path / "runs", "cache": tmp_path / "cache"}
    found = variants.run(SUITE, **places, after=tables.append)
    assert [len(table.variants) for table in tables] == [1, 2, 3]
    assert [v.kind for v in found.variants] == ["transformer", "transformer", "cnn_rnn"]
    same, turned = (found.variants[0].answers[name]["made-up"] for name in ("as worn", "turned"))
    assert same.accuracy == pytest.approx(turned.accuracy, abs=0.02)  # nothing in it can tell
    raw = found.variants[1].answers
    assert raw["as worn"]["made-up"].accuracy_interval is not None
    assert raw["as worn"]["made-up"] != raw["turned"]["made-up"]
    assert not raw["as worn"]["made-up"].foreign

    def trains(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("aura_edge_train.learner.Learner.step", trains)
    again = variants.run(SUITE, **places)
    assert again.variants == found.variants

    # The tables are made of what is committed.
    for name in ("encoders", "ablation", "cross-data"):
        (tmp_path / f"variants-{name}.json").write_bytes(msgspec.json.encode(found))
    worn = found.variants[2].answers["as worn"]["made-up"]
    low, high = worn.accuracy_interval or (0.0, 0.0)
    row = next(line for line in training_tables.encoders(tmp_path).splitlines() if line.startswith("| another kind |"))
    assert f"| {worn.accuracy:.3f} [{low:.3f}, {high:.3f}] |" in row
    assert f"| as it is | {same.accuracy:.3f} | {turned.accuracy:.3f} |" in training_tables.ablation(tmp_path)
    alarms = worn.against["specificity"]
    assert (
        f"| another kind | made-up | 3 | 0.333 | {worn.accuracy:.3f} | {worn.macro_f1:.3f} |"
        in training_tables.cross_data(tmp_path)
    )
    assert f"| {alarms:.3f} |" in training_tables.cross_data(tmp_path)


def test_nonsense_is_one_clear_error(tmp_path: Path) -> None:
    """A key that there is not, a data set the recipe has not, two of one name, a file that is not there."""
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('name = "x"\nrecipe = "tiny"\nepochs = 1\nsets = ["made-up"]\nspeed = 1\n')
    with pytest.raises(RecipeError, match="speed"):
        variants.load(str(wrong))
    with pytest.raises(RecipeError, match=r"no suite.*ablation, cross-data, encoders"):
        variants.load(str(tmp_path / "none.toml"))
    with pytest.raises(RecipeError, match="no data set sisfall"):
        variants.recipe_of(SUITE, Variant("x", data=("sisfall",)))
    with pytest.raises(RecipeError, match="colour"):
        variants.recipe_of(SUITE, Variant("x", recipe={"encoder": {"colour": 1}}))
    with pytest.raises(ValueError, match="one name"):
        msgspec.structs.replace(SUITE, variants=(Variant("a"), Variant("a"))).__post_init__()
