"""The seen-bias: chosen on captions that were left out in turn, kept in the checkpoint, and shipped in the manifest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="training needs it; it comes with aura-edge[train]")
pytest.importorskip("sklearn", reason="validation scores need it; it comes with aura-edge[train]")

from rich.console import Console  # noqa: E402
from swinging import SWINGING  # noqa: E402

from aura_edge import testing  # noqa: E402
from aura_edge.encoders import checkpoint  # noqa: E402
from aura_edge.encoders.checkpoint import Caption  # noqa: E402
from aura_edge.errors import RecipeError  # noqa: E402
from aura_edge.manifest import SignalSpec, TextSpace  # noqa: E402
from aura_edge_train import datasets, loop, recipe, seen_bias  # noqa: E402
from aura_edge_train.datasets import LabelledRecording  # noqa: E402
from aura_edge_train.datasets.store import Store, open_store  # noqa: E402

RATES = 6
RECIPE = """
name = "rates"
text_tower = "tiny"
[encoder]
kind = "transformer"
options = {width = 32, depth = 1, heads = 2, stride = 50, patch = 50, invariant_filters = 0, vector_filters = 0, plain_stem = true}
[[data]]
name = "rates"
windows_per_caption = 32
[optimisation]
epochs = 2
batch = 32
learning_rate = 5e-3
averaging = 0.8
"""


class Ladder:
    """A text tower in which sentences of neighbouring rates are neighbours, so that one left out can be guessed from those beside it."""

    space = TextSpace("ladder", "ab" * 32, 8)

    def embed(self, texts: list[str]) -> NDArray[np.float32]:
        angles = np.array([int(text.split()[-1]) for text in texts]) * 0.4
        vectors = np.zeros((len(texts), 8), np.float32)
        vectors[:, 0], vectors[:, 1] = np.cos(angles), np.sin(angles)
        return vectors


def read(folder: Path) -> Iterator[LabelledRecording]:
    """The swings of `SWINGING`, each called after its rate."""
    for number, trial in enumerate(SWINGING.read(folder)):
        kind = number % RATES
        rng = np.random.default_rng(number)
        chunk = next(iter(trial.chunks))
        samples = chunk.samples.copy()
        swing = 2 * np.pi * (0.4 + 0.4 * kind + rng.uniform(0, 0.1)) * np.arange(len(samples)) / 200
        samples[:, 0], samples[:, 4] = 4 * np.sin(swing), 2 * np.cos(swing)
        yield replace(
            trial,
            chunks=[replace(chunk, samples=samples)],
            labels=np.full_like(trial.labels, kind),
            moments=(),
            pose=None,
        )


SET = replace(
    SWINGING,
    name="rates",
    classes=tuple(f"r{kind}" for kind in range(RATES)),
    captions=tuple(Caption(f"r{kind}", f"rate {kind}", "rate", (f"swinging at rate {kind}",)) for kind in range(RATES)),
    read=read,
    skeleton=None,
)


@pytest.fixture(autouse=True)
def swinging_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(datasets.DATA_SETS, "swinging", "swinging:SWINGING")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(SET, Path(), cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture
def run(store: Store, tmp_path: Path) -> Path:
    made = recipe.parse(RECIPE, found_in="test")
    loop.fit(made, [store], Ladder(), SignalSpec(), run=tmp_path / "run", console=Console(quiet=True))
    return tmp_path / "run"


def test_bias_is_chosen_on_folds_and_kept(store: Store, run: Path) -> None:
    """Every fold leaves out other captions; the chosen bias is no worse than none, and the encoder stays the same."""
    before = checkpoint.load(run)
    chosen = seen_bias.choose(run, [store], Ladder(), folds=2, epochs=3)
    assert chosen.folds == (("r0", "r5"), ("r1",))
    assert chosen.harmonic_mean >= chosen.harmonic_mean_before
    assert chosen.seen_bias > 0, "an encoder lies nearer to what it has met"
    after = checkpoint.load(run)
    assert after.header.decision == msgspec.structs.replace(before.header.decision, seen_bias=chosen.seen_bias)
    assert after.header.metrics["seen_bias"]["epochs"] == 3
    for one, other in zip(before.encoder.parameters(), after.encoder.parameters(), strict=True):
        assert torch.equal(one, other)


def test_folds_that_are_there_are_not_trained_again(store: Store, run: Path) -> None:
    """Asked again, it says the same; a fold of other epochs is another run, beside the first."""
    chosen = seen_bias.choose(run, [store], Ladder(), folds=1, epochs=1)
    (first,) = (run / seen_bias.FOLDS).iterdir()
    written = (first / checkpoint.WEIGHTS).stat().st_mtime_ns
    assert seen_bias.choose(run, [store], Ladder(), folds=1, epochs=1) == chosen
    assert seen_bias.choose(run, [store], Ladder(), folds=1, epochs=2).epochs == 2
    assert (first / checkpoint.WEIGHTS).stat().st_mtime_ns == written
    assert len(list((run / seen_bias.FOLDS).iterdir())) == 2


def test_folds_are_judged_on_people_they_were_not_trained_on(store: Store, tmp_path: Path) -> None:
    """Also those of a run that was trained on its validation subjects at last."""
    made = recipe.parse(RECIPE.replace("windows_per", "validation_too = true\nwindows_per"), found_in="test")
    loop.fit(made, [store], Ladder(), SignalSpec(), run=tmp_path / "run", console=Console(quiet=True))
    assert checkpoint.load(tmp_path / "run").header.training["data"]["rates"]["trained_on"] == ["train", "validation"]
    seen_bias.choose(tmp_path / "run", [store], Ladder(), folds=1, epochs=1)
    (fold,) = (tmp_path / "run" / seen_bias.FOLDS).iterdir()
    header = checkpoint.load(fold).header
    assert header.training["data"]["rates"]["trained_on"] == ["train"]
    assert header.metrics["validation"]["rates"]["windows"] > 0


def test_captions_that_the_run_left_out_play_no_part(store: Store, tmp_path: Path) -> None:
    """They are neither candidates nor left out anew."""
    made = recipe.parse(RECIPE.replace("windows_per", 'unseen = ["r2"]\nwindows_per'), found_in="test")
    loop.fit(made, [store], Ladder(), SignalSpec(), run=tmp_path / "run", console=Console(quiet=True))
    chosen = seen_bias.choose(tmp_path / "run", [store], Ladder(), folds=3, epochs=1)
    assert chosen.folds == (("r0",), ("r1",), ("r3",))


def test_set_of_few_captions_has_nothing_to_leave_out(tmp_path: Path) -> None:
    """Two are refused with the reason."""
    small = open_store(SWINGING, Path(), cache=tmp_path / "cache")
    made = recipe.parse(RECIPE.replace('name = "rates"', 'name = "swinging"'), found_in="test")
    loop.fit(made, [small], testing.FakeTower(), SignalSpec(), run=tmp_path / "run", console=Console(quiet=True))
    with pytest.raises(RecipeError, match="There is no seen-bias to choose"):
        seen_bias.choose(tmp_path / "run", [small], testing.FakeTower(), folds=1, epochs=1)


def test_bias_is_chosen_by_a_command(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads recipe and tower out of the checkpoint, and says what it found."""
    from typer.testing import CliRunner

    from aura_edge import text
    from aura_edge_train.commands import calibrate_app

    monkeypatch.setitem(text.TOWERS, "tiny", "test_train_seen_bias:Ladder")
    monkeypatch.setitem(datasets.DATA_SETS, "rates", "test_train_seen_bias:SET")
    arguments = [str(run), "--data", str(tmp_path), "--cache", str(tmp_path / "cache"), "--folds", "1", "--epochs", "1"]
    done = CliRunner().invoke(calibrate_app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert f"seen-bias {checkpoint.load(run).header.decision.seen_bias:.3f}" in done.output
