"""The training loop: it learns, it is the same every time, and a kill changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import load_file

torch = pytest.importorskip("torch", reason="training needs it; it comes with aura-edge[train]")
pytest.importorskip("sklearn", reason="validation scores need it; it comes with aura-edge[train]")

from aura_edge import encoders, testing  # noqa: E402
from aura_edge.encoders import checkpoint  # noqa: E402
from aura_edge.errors import RecipeError  # noqa: E402
from aura_edge.manifest import DecisionSpec, SignalSpec  # noqa: E402
from aura_edge_train import corpus, learner, loop, pretraining, provenance, recipe, running, state  # noqa: E402
from aura_edge_train.datasets.made_up import MADE_UP  # noqa: E402
from aura_edge_train.datasets.store import Store, open_store  # noqa: E402
from aura_edge_train.evaluation import zero_shot  # noqa: E402
from aura_edge_train.recipe import Data, Optimisation, Recipe  # noqa: E402

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def store(cache: Path) -> Store:
    return open_store(MADE_UP, Path(), cache=cache)


@pytest.fixture(autouse=True)
def one_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever commits while these tests run must not tell two runs apart."""
    monkeypatch.setattr(provenance, "commit", lambda: "c0ffee")


def tiny(**optimisation: Any) -> Recipe:
    """The shipped tiny recipe with dropout, so that it draws from the global generator too."""
    base = recipe.load(Path("tiny"))
    options = base.encoder.options | {"dropout": 0.1, "drop_path": 0.1, "token_mask": 0.3, "depth": 2}
    return msgspec.structs.replace(
        base,
        encoder=msgspec.structs.replace(base.encoder, options=options),
        optimisation=msgspec.structs.replace(base.optimisation, **optimisation),
    )


def fit(chosen: Recipe, store: Store, run: Path, after_epoch: Callable[[int], None] = lambda epoch: None) -> Any:
    return loop.fit(chosen, [store], testing.FakeTower(), SignalSpec(), run=run, console=QUIET, after_epoch=after_epoch)


def contents(run: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in run.iterdir()}


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / loop.LOG).read_text().splitlines()]


def test_it_learns(store: Store, tmp_path: Path) -> None:
    """Three made-up motions are told apart by people never trained on, and the loss falls."""
    header = fit(tiny(epochs=4), store, tmp_path / "run")
    assert header.metrics["validation"]["made-up"]["accuracy"] > 0.95
    losses = [line["mean_losses"]["loss"] for line in log_of(tmp_path / "run") if "mean_losses" in line]
    assert len(losses) == 4
    assert losses[-1] < 0.8 * losses[0]


def test_a_run_leaves_what_it_says(store: Store, tmp_path: Path) -> None:
    """Checkpoint, state, windows and log are there and nothing else; the header says where the encoder comes from."""
    chosen = tiny(epochs=1)
    header = fit(chosen, store, tmp_path / "run")
    assert sorted(contents(tmp_path / "run")) == sorted(
        [checkpoint.WEIGHTS, checkpoint.HEADER, state.STATE, loop.WINDOWS, loop.LOG]
    )
    opened = checkpoint.load(tmp_path / "run")
    assert opened.header == header
    assert header.text_space == testing.TINY_SPACE
    assert header.captions == {"made-up": MADE_UP.captions}
    assert header.training["recipe_sha256"] == chosen.digest
    assert header.training["data"]["made-up"]["digest"] == store.index.digest
    assert header.training["data"]["made-up"]["subjects"]["test"] == ["p11", "p12"]
    assert 0 < header.decision.temperature < 1
    left = load_file(tmp_path / "run" / loop.WINDOWS)
    starts = store.window_starts("validation", 1000)
    count = min(loop.LEFT_WINDOWS, len(starts))
    assert left["windows"].shape == (count, 6, 1000)
    assert left["redistributable"].tolist() == [1] * count
    spread = starts[np.linspace(0, len(starts) - 1, count).round().astype(int)]
    assert left["captions.made-up"].tolist() == store.captions(spread, 1000).tolist()
    validation = {store.windows(np.array([s]), 1000).tobytes() for s in store.window_starts("validation", 1000)}
    assert {window.tobytes() for window in left["windows"]} <= validation


def test_the_seed_decides_everything(store: Store, tmp_path: Path) -> None:
    """The same recipe gives the same files, whatever the global generator did before; another seed gives others."""
    torch.manual_seed(1)
    fit(tiny(epochs=1), store, tmp_path / "a")
    torch.manual_seed(2)
    fit(tiny(epochs=1), store, tmp_path / "b")
    fit(msgspec.structs.replace(tiny(epochs=1), seed=1), store, tmp_path / "c")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert log_of(tmp_path / "a")[0]["loss"] != log_of(tmp_path / "c")[0]["loss"]


def test_log_counts_steps(store: Store, tmp_path: Path) -> None:
    """One line per step with its loss and learning rate, one per epoch with validation scores."""
    fit(tiny(epochs=2), store, tmp_path / "run")
    lines = log_of(tmp_path / "run")
    steps = [line for line in lines if "step" in line]
    assert [line["step"] for line in steps] == list(range(12))  # 3 captions, 64 windows each, batches of 32
    assert [line["epoch"] for line in steps] == [0] * 6 + [1] * 6
    assert {line["validation"]["made-up"]["windows"] for line in lines if "validation" in line} == {84}


KILLED = """
import os, signal, sys
from pathlib import Path
import msgspec
import torch
torch.set_num_threads(1)
from aura_edge import text
from aura_edge.encoders import checkpoint
from aura_edge_train import loop, provenance, recipe, running
from aura_edge_train.learner import Learner
provenance.commit = lambda: "c0ffee"
text.TOWERS["tiny"] = "aura_edge.testing:FakeTower"

def die_on(count, function):
    def counted(*arguments, **named):
        global calls
        calls += 1
        if calls == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **named)
    global calls
    calls = 0
    return counted

what, count, path, run, cache = sys.argv[1:]
if what == "step":
    Learner.step = die_on(int(count), Learner.step)
elif what == "file":
    checkpoint.replace_file = loop.replace_file = die_on(int(count), loop.replace_file)
chosen = msgspec.json.decode(Path(path).read_bytes(), type=recipe.Recipe)
running.train(chosen, data=Path(), run=Path(run), cache=Path(cache), resume=True)
"""


def in_a_process(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False, capture_output=True).returncode


@pytest.fixture(scope="module")
def left_alone(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a recipe, and of a run of it that nothing disturbed."""
    folder = tmp_path_factory.mktemp("left_alone")
    chosen = msgspec.structs.replace(tiny(epochs=3, precision="bf16"), text_tower="tiny")
    (folder / "recipe.json").write_bytes(msgspec.json.encode(chosen))
    assert in_a_process("nothing", "0", str(folder / "recipe.json"), str(folder / "run"), str(cache)) == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "count"),
    [("step", "3"), ("step", "9"), ("file", "2"), ("file", "3")],
    ids=["first epoch", "middle of the second epoch", "between windows and weights", "between weights and header"],
)
def test_killed_and_resumed_is_as_left_alone(
    left_alone: Path, cache: Path, tmp_path: Path, what: str, count: str
) -> None:
    """SIGKILL anywhere, then --resume: the same losses, the same weights, the same files to the last bit."""
    where = [str(left_alone / "recipe.json"), str(tmp_path / "run"), str(cache)]
    assert in_a_process(what, count, *where) == -9
    assert contents(tmp_path / "run") != contents(left_alone / "run")
    assert in_a_process("nothing", "0", *where) == 0
    assert contents(tmp_path / "run") == contents(left_alone / "run")


def test_stopped_after_an_epoch_and_resumed(store: Store, tmp_path: Path) -> None:
    """Ctrl-C between epochs, then the same again: nothing shows it."""

    def stop(epoch: int) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    fit(tiny(epochs=3), store, tmp_path / "straight")
    with pytest.raises(KeyboardInterrupt):
        fit(tiny(epochs=3), store, tmp_path / "stopped", stop)
    fit(tiny(epochs=3), store, tmp_path / "stopped")
    assert contents(tmp_path / "stopped") == contents(tmp_path / "straight")
    fit(tiny(epochs=3), store, tmp_path / "stopped")
    assert contents(tmp_path / "stopped") == contents(tmp_path / "straight"), "a finished run has nothing to go on with"


def test_a_run_is_not_overwritten_or_mixed(store: Store, cache: Path, tmp_path: Path) -> None:
    """A folder with a run needs --resume, and then the same recipe."""
    fit(tiny(epochs=1), store, tmp_path / "run")
    with pytest.raises(RecipeError, match=r"holds a run already.*--resume"):
        running.train(tiny(epochs=1), data=Path(), run=tmp_path / "run", cache=cache)
    with pytest.raises(RecipeError, match="started with another recipe"):
        fit(tiny(epochs=2), store, tmp_path / "run")


def test_damaged_state_is_said(store: Store, tmp_path: Path) -> None:
    """A state that was cut, or is of another encoder, is an error of ours."""
    fit(tiny(epochs=1), store, tmp_path / "run")
    path = tmp_path / "run" / state.STATE
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(RecipeError, match="no state that this recipe can resume from"):
        fit(tiny(epochs=1), store, tmp_path / "run")


def test_the_best_epoch_is_kept(store: Store, tmp_path: Path) -> None:
    """The checkpoint is that of the epoch whose validation macro-F1 was highest, the first of equals."""
    header = fit(tiny(epochs=4), store, tmp_path / "run")
    scores = [line["validation"]["made-up"]["macro_f1"] for line in log_of(tmp_path / "run") if "validation" in line]
    assert header.metrics["epoch"] == int(np.argmax(scores)) + 1


def test_averaging_lags_behind(store: Store, tmp_path: Path) -> None:
    """Without averaging the kept weights are the trained ones; with it they differ."""
    for name, averaging in (("off", 0.0), ("on", 0.9)):
        fit(tiny(epochs=1, averaging=averaging), store, tmp_path / name)
        tensors = load_file(tmp_path / name / state.STATE)
        trained, kept = tensors["encoder.imu.projection.weight"], tensors["average.imu.projection.weight"]
        assert np.array_equal(trained, kept) == (averaging == 0.0)


def test_schedule_warms_up_and_falls() -> None:
    """The learning rate rises linearly to its value and ends at next to nothing."""
    plan = Optimisation(epochs=1, learning_rate=1e-3, warm_up=0.1)
    rates = [learner.learning_rate(step, 1000, plan) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-5 + learner.LOWEST_RATE)
    assert max(rates) == pytest.approx(1e-3, rel=2e-3)
    assert int(np.argmax(rates)) == pytest.approx(100, abs=1)
    assert rates[-1] < 2 * learner.LOWEST_RATE
    assert np.all(np.diff(rates[101:]) < 0)


def test_a_diverging_run_stops(store: Store, tmp_path: Path) -> None:
    """A loss that is no number ends the run with what to do, not with a checkpoint."""
    with pytest.raises(RecipeError, match="no longer finite"):
        fit(tiny(epochs=1, learning_rate=1e30, clip=1e30), store, tmp_path / "run")
    assert not (tmp_path / "run" / checkpoint.HEADER).exists()


def test_impossible_runs_are_refused(store: Store, tmp_path: Path) -> None:
    """Fewer windows than a batch, or data without a window, is said before anything is trained."""
    with pytest.raises(RecipeError, match="less than one batch of 4096"):
        fit(tiny(epochs=1, batch=4096), store, tmp_path / "run")
    with pytest.raises(RecipeError, match="no training recording is as long as a window"):
        corpus.build([store], [Data("made-up")], 100_000)


def test_an_epoch_draws_inside_segments(store: Store) -> None:
    """Every drawn window lies in one segment of a training subject and is called what that segment is; draws differ by generator."""
    whole = corpus.build([store, store], [Data("made-up"), Data("made-up", windows_per_caption=5)], 1000)
    draw = whole.epoch(torch.Generator().manual_seed(0))
    # 8 people, 3 motions, windows 2.5 s apart in 12 s: 3 each; and 5 for each caption of the second set.
    assert len(draw) == 8 * 3 * 3 + 15
    assert torch.equal(torch.bincount(draw.captions), torch.tensor([24, 24, 24, 5, 5, 5]))
    assert whole.set_of.tolist() == [0, 0, 0, 1, 1, 1]
    twice = np.concatenate([store.labels, store.labels + 3])
    assert np.array_equal(twice[draw.starts.numpy()], draw.captions.numpy())
    assert ((draw.starts >= draw.low) & (draw.starts + 1000 <= draw.high)).all()
    training = {s.start for s in store.index.segments if store.data_set.split_of(s.subject) == "train"}
    assert set((draw.low % len(store.signals)).tolist()) <= training
    assert not torch.equal(draw.starts, whole.epoch(torch.Generator().manual_seed(1)).starts)


def test_quiet_windows_are_left_out_unless_kept(store: Store) -> None:
    """Motions without rotation vanish from an epoch, except those of groups that are kept."""
    generator = torch.Generator().manual_seed(0)
    some = corpus.build([store], [Data("made-up", quiet_rad_s=0.3)], 1000).epoch(generator)
    # Walking turns by 0.8 rad/s to and fro; shaking not at all; spinning evenly, so that it does not deviate.
    assert set(some.captions.tolist()) == {0}
    kept = Data("made-up", quiet_rad_s=0.3, quiet_groups_kept=("turning",))
    assert set(corpus.build([store], [kept], 1000).epoch(generator).captions.tolist()) == {0, 2}
    with pytest.raises(RecipeError, match="names flying; its groups are: moving, turning"):
        corpus.build([store], [Data("made-up", quiet_rad_s=0.3, quiet_groups_kept=("flying",))], 1000)


def test_a_folder_that_cannot_be_written_is_said(store: Store, tmp_path: Path) -> None:
    """A run folder in the place of a file is an error of ours, before anything is trained."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RecipeError, match="cannot be written to"):
        fit(tiny(epochs=1), store, tmp_path / "file" / "run")


# ---- activities that are left out ----


def test_unseen_captions_are_neither_trained_on_nor_wrong_answers(store: Store, tmp_path: Path) -> None:
    """No window of theirs is drawn, validation leaves them out, and the header still knows what they are called."""
    data = Data("made-up", windows_per_caption=64, unseen=("spinning",))
    whole = corpus.build([store], [data], 1000)
    assert whole.seen.tolist() == [True, True, False]
    drawn = whole.epoch(torch.Generator().manual_seed(0))
    assert set(drawn.captions.tolist()) == {0, 1}
    header = fit(msgspec.structs.replace(tiny(epochs=1), data=(data,)), store, tmp_path / "run")
    truth = store.captions(store.window_starts("validation", 1000), 1000)
    assert header.metrics["validation"]["made-up"]["windows"] == int((truth < 2).sum())
    assert [caption.key for caption in header.captions["made-up"]] == ["walking", "shaking", "spinning"]


@pytest.mark.parametrize(
    ("unseen", "message"), [(("dancing",), "unseen names dancing"), (("walking", "shaking", "spinning"), "all of its")]
)
def test_unseen_captions_that_make_no_sense(store: Store, unseen: tuple[str, ...], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        corpus.build([store], [Data("made-up", unseen=unseen)], 1000)


def test_run_that_knows_nothing_yet_goes_on(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch after which no validation window is answered rightly has nothing to calibrate on, and is no reason to stop."""
    real = zero_shot.answer

    def wrong(*arguments: Any) -> zero_shot.Answers:
        found = real(*arguments)
        return zero_shot.Answers(found.cosines, (found.best + 1) % found.cosines.shape[1], found.subjects)

    monkeypatch.setattr(zero_shot, "answer", wrong)
    header = fit(tiny(epochs=1), store, tmp_path / "run")
    assert header.metrics["validation"]["made-up"]["accuracy"] == 0
    assert "calibration" not in header.metrics


def test_validation_subjects_may_be_trained_on_once_all_is_chosen(store: Store, tmp_path: Path) -> None:
    """They join the windows of an epoch; the last epoch is kept, whatever it scores, and no score claims to be of new people."""
    base = tiny(epochs=2)
    too = msgspec.structs.replace(base, data=(Data("made-up", validation_too=True),))
    only = msgspec.structs.replace(base, data=(Data("made-up"),))
    parts = {}
    for name, chosen in (("too", too), ("only", only)):
        starts = corpus.build([store], chosen.data, 1000).parts[0].starts.numpy()
        parts[name] = set(store.subjects_at(starts).tolist())
    validation = set(store.subjects_at(store.window_starts("validation", 1000)).tolist())
    assert validation
    assert parts["too"] == parts["only"] | validation
    assert not parts["only"] & validation
    # The rate of the second epoch is next to nothing in both; but worse or better, it is the second that is kept.
    header = fit(too, store, tmp_path / "run")
    assert header.metrics == {"validation_too": True, "epoch": 2}
    assert header.decision == DecisionSpec(), "people who were trained on set no temperature and no margin"
    told = header.training["data"]["made-up"]
    assert told["trained_on"] == ["train", "validation"]
    assert told["subjects"]["validation"] == sorted(validation)
    assert fit(only, store, tmp_path / "only").training["data"]["made-up"]["trained_on"] == ["train"]


def test_provenance_says_who_was_in_which_split(store: Store, tmp_path: Path) -> None:
    """As the recordings say where they do; somebody recorded for two splits is in both."""
    first, *others = store.index.segments
    told = [msgspec.structs.replace(first, split="test"), *others]
    moved = replace(store, index=msgspec.structs.replace(store.index, segments=tuple(told)))
    subjects = provenance.describe(tiny(epochs=1), [moved], 1000)["data"]["made-up"]["subjects"]
    before = provenance.describe(tiny(epochs=1), [store], 1000)["data"]["made-up"]["subjects"]
    assert subjects["test"] == sorted([first.subject, *before["test"]])
    assert subjects["train"] == before["train"]
    assert first.subject in before["train"]


# ---- with nothing to choose by ----


def without_validation(store: Store) -> Store:
    return replace(store, data_set=replace(store.data_set, validation_subjects=frozenset()))


def test_without_validation_subjects_the_last_epoch_is_kept(store: Store, tmp_path: Path) -> None:
    """Nothing was measured, so no epoch is better than another; nobody set a temperature."""
    header = fit(tiny(epochs=2), without_validation(store), tmp_path / "run")
    assert header.metrics == {"validation": {}, "epoch": 2}
    assert header.decision == DecisionSpec()
    assert [line["score"] for line in log_of(tmp_path / "run") if "mean_losses" in line] == [None, None]


def test_patience_needs_something_to_measure(store: Store, tmp_path: Path) -> None:
    """Said before anything is trained."""
    with pytest.raises(RecipeError, match=r"of phase 1 nothing can be measured.*patience = 0"):
        fit(tiny(epochs=2, patience=1), without_validation(store), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_caption_is_nothing_to_choose_from(store: Store, tmp_path: Path) -> None:
    """Refused before anything is trained: alone, or alone in its data set where others are no candidates."""
    alone = Data("made-up", unseen=("shaking", "spinning"))
    one = msgspec.structs.replace(tiny(epochs=1), data=(alone,))
    with pytest.raises(RecipeError, match="there are 1 to choose from; expected two"):
        fit(one, store, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    whole = corpus.build([store, store], [Data("made-up"), alone], 1000)
    for across_sets in (True, False):
        objective = msgspec.structs.replace(one.objective, across_sets=across_sets)
        chosen = msgspec.structs.replace(one, objective=objective)
        spec = encoders.make_spec("transformer", chosen.encoder.options | {"dimension": 8})
        if across_sets:
            learner.Learner(chosen, {"imu": spec}, whole, torch.device("cpu"))
        else:
            with pytest.raises(RecipeError, match="in each data set where across_sets is off"):
                learner.Learner(chosen, {"imu": spec}, whole, torch.device("cpu"))


# ---- whose folder it is ----


class OtherTower(testing.FakeTower):
    """The same name, other weights."""

    def __init__(self) -> None:
        super().__init__()
        self.space = msgspec.structs.replace(self.space, weights_sha256="f" * 64)


def test_a_run_goes_on_with_its_own_tower_and_processes(store: Store, tmp_path: Path) -> None:
    """Other weights of the text tower would move what all windows were trained on; other processes draw other dropout."""
    fit(tiny(epochs=1), store, tmp_path / "run")
    common: Any = {"run": tmp_path / "run", "console": QUIET}
    with pytest.raises(RecipeError, match=r"text tower 'tiny' \(.*is gone on with by 'tiny' \(ffff"):
        loop.fit(tiny(epochs=1), [store], OtherTower(), SignalSpec(), **common)
    with pytest.raises(RecipeError, match="with 1 processes, and is gone on with by 2"):
        loop.fit(tiny(epochs=1), [store], testing.FakeTower(), SignalSpec(), process=loop.Process(0, 2), **common)


def test_an_encoder_of_other_making_is_not_replaced(store: Store, cache: Path, tmp_path: Path) -> None:
    """One that was imported has no state; not even --resume may take its place."""
    fit(tiny(epochs=1), store, tmp_path / "run")
    (tmp_path / "run" / state.STATE).unlink()
    found = checkpoint.load(tmp_path / "run")
    checkpoint.save(tmp_path / "theirs", found.encoder, msgspec.structs.replace(found.header, training={}))
    for resume in (False, True):
        with pytest.raises(RecipeError, match=r"that this recipe did not make.*--out"):
            running.train(tiny(epochs=1), data=Path(), run=tmp_path / "theirs", cache=cache, resume=resume)
    assert sorted(contents(tmp_path / "theirs")) == sorted([checkpoint.WEIGHTS, checkpoint.HEADER])
    with pytest.raises(RecipeError, match=r"holds a run already.*--resume"):  # killed before its first state
        running.train(tiny(epochs=1), data=Path(), run=tmp_path / "run", cache=cache)


def test_pretraining_is_not_overwritten_either(cache: Path, tmp_path: Path) -> None:
    (tmp_path / pretraining.STATE).write_text("hours")
    with pytest.raises(RecipeError, match=r"holds a run already.*--resume"):
        running.train(tiny(epochs=1), data=Path(), run=tmp_path, cache=cache)


def test_patience_has_nothing_to_wait_for_when_validation_subjects_are_trained_on() -> None:
    """The recipe says so before an hour is spent."""
    text = 'name = "x"\n[encoder]\nkind = "transformer"\n[[data]]\nname = "made-up"\nvalidation_too = true\n'
    text += "[optimisation]\nepochs = 2\npatience = 1\n"
    with pytest.raises(RecipeError, match="validation_too leaves none"):
        recipe.parse(text, found_in="x.toml")
