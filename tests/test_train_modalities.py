"""Training with motion capture, free text and several phases: what is learned, what stays, and that no way of splitting the work changes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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

import swinging  # noqa: E402

from aura_edge import testing  # noqa: E402
from aura_edge.encoders import checkpoint, mocap_checkpoint  # noqa: E402
from aura_edge.errors import BundleError, RecipeError  # noqa: E402
from aura_edge.manifest import SignalSpec  # noqa: E402
from aura_edge_train import (  # noqa: E402
    datasets,
    gathering,
    loop,
    provenance,
    recipe,
    running,
    state,
    validation,
)
from aura_edge_train.curves import Curves  # noqa: E402
from aura_edge_train.datasets.drafts import frames_of  # noqa: E402
from aura_edge_train.datasets.store import Store, open_store  # noqa: E402
from aura_edge_train.recipe import Mocap, Recipe  # noqa: E402
from aura_edge_train.videos import VideoRows  # noqa: E402

QUIET = Console(quiet=True)

ALIGNED = """
name = "aligned"
text_tower = ""
dimension = 8
[encoder]
kind = "transformer"
options = {stride = 50, patch = 50, SMALL}
[mocap]
kind = "transformer"
options = {stride = 5, patch = 5, SMALL}
[[data]]
name = "swinging"
windows_per_caption = 128
[objective]
captions = false
[[objective.pairs]]
between = ["imu", "mocap"]
[optimisation]
epochs = 6
batch = 32
learning_rate = 5e-3
averaging = 0.8
"""
ALIGNED = ALIGNED.replace(
    "SMALL",
    "width = 32, depth = 1, heads = 2, mlp_ratio = 2, invariant_filters = 0, vector_filters = 0, plain_stem = true, "
    "dropout = 0.0, drop_path = 0.0",
)
SPOKEN = ALIGNED.replace('text_tower = ""\ndimension = 8', 'text_tower = "tiny"')
EVERYTHING = SPOKEN.replace("captions = false", "").replace(
    "[optimisation]", '[[objective.pairs]]\nbetween = ["imu", "text"]\nloss = "siglip"\n[optimisation]'
)


@pytest.fixture(autouse=True)
def swinging_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(datasets.DATA_SETS, "swinging", "swinging:SWINGING")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(swinging.SWINGING, Path(), cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def one_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "commit", lambda: "c0ffee")


def parsed(text: str, **optimisation: Any) -> Recipe:
    made = recipe.parse(text, found_in="test")
    plan = msgspec.structs.replace(made.optimisation, **optimisation)
    return msgspec.structs.replace(made, optimisation=plan)


def fit(chosen: Recipe, store: Store, run: Path, **options: Any) -> checkpoint.Header:
    tower = testing.FakeTower() if chosen.text_tower else None
    return loop.fit(chosen, [store], tower, SignalSpec(), run=run, console=QUIET, **options)


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / loop.LOG).read_text().splitlines()]


def losses_of(run: Path, name: str = "loss") -> list[float]:
    return [line[name] for line in log_of(run) if "step" in line]


def test_windows_find_their_motion_capture(store: Store, tmp_path: Path) -> None:
    """Without any text: people never trained on, and each window among those of all their swings."""
    header = fit(parsed(ALIGNED, epochs=16), store, tmp_path / "run")
    # 12 captured trials of two people, three windows each: about 0.12 by chance
    assert header.metrics["validation_mrr"]["swinging imu-mocap"] > 0.3
    assert header.text_space.tower == loop.NO_TOWER
    assert header.captions == {}


def test_mocap_encoder_is_kept_with_how_to_use_it(store: Store, tmp_path: Path) -> None:
    """Loaded again, both encoders give what validation saw."""
    chosen = parsed(ALIGNED, epochs=1)
    header = fit(chosen, store, tmp_path / "run")
    encoder, told = mocap_checkpoint.load(tmp_path / "run")
    assert told.joints == swinging.SKELETON.joints
    assert msgspec.convert(told.made_ready, Mocap) == chosen.mocap
    both = torch.nn.ModuleDict({"imu": checkpoint.load(tmp_path / "run").encoder, "mocap": encoder})
    starts = store.window_starts("validation", 1000)
    imu, captured, present = validation.embed_mocap(both, store, starts, chosen, 1000)
    assert present.mean() == pytest.approx(0.75)
    found = validation.both_ways(imu[present], captured[present], np.arange(int(present.sum())))
    assert found == pytest.approx(header.metrics["validation_mrr"]["swinging imu-mocap"], abs=1e-6)
    with pytest.raises(BundleError, match="no mocap encoder"):
        mocap_checkpoint.load(tmp_path)


def test_everything_at_once(store: Store, tmp_path: Path) -> None:
    """Captions, sentences and motion capture in one objective, a quarter of the windows without the last: each loss falls."""
    header = fit(parsed(EVERYTHING), store, tmp_path / "run")
    means = [line["mean_losses"] for line in log_of(tmp_path / "run") if "mean_losses" in line]
    assert set(means[0]) == {"loss", "captions", "imu-mocap", "imu-text"}
    for name in means[0]:
        assert means[-1][name] < means[0][name]
    assert header.metrics["validation"]["swinging"]["accuracy"] == 1.0
    assert header.text_space == testing.TINY_SPACE


def test_temperatures_are_held_after_each_step(store: Store, tmp_path: Path) -> None:
    """The parameters themselves, so that they can rise again: what is found ever better asks for lower ones than are allowed."""
    base = parsed(EVERYTHING, epochs=4)
    pairs = tuple(
        msgspec.structs.replace(pair, loss="infonce", temperature=1.0, lowest_temperature=0.99)
        for pair in base.objective.pairs
    )
    objective = msgspec.structs.replace(base.objective, temperature=1.0, lowest_temperature=0.99, pairs=pairs)
    fit(msgspec.structs.replace(base, objective=objective), store, tmp_path / "run")
    tensors = load_file(tmp_path / "run" / state.STATE)
    scales = [
        float(tensor) for name, tensor in tensors.items() if name.endswith("log_scale") and "optimiser" not in name
    ]
    assert scales == pytest.approx([-np.log(0.99)] * 3)


def test_moments_are_trained_on(store: Store, tmp_path: Path) -> None:
    """Windows around what was said, each once an epoch; their sentences are found again."""
    text = SPOKEN.replace('["imu", "mocap"]', '["imu", "text"]').replace(
        "windows_per_caption = 128", 'moments = ["narration"]'
    )
    text = text[: text.index("[mocap]")] + text[text.index("[[data]]") :]
    header = fit(parsed(text, epochs=4), store, tmp_path / "run")
    steps = [line for line in log_of(tmp_path / "run") if "step" in line]
    assert len(steps) == 4 * (6 * 8 * 3 // 32)  # six people, eight trials, three moments
    assert header.metrics["validation_mrr"]["swinging imu-text"] > 0.3
    with pytest.raises(RecipeError, match=r"no moment of kind commentary.*there are: narration"):
        fit(parsed(text.replace("narration", "commentary")), store, tmp_path / "other")


# ---- videos ----

SEEN = SPOKEN.replace('["imu", "mocap"]', '["imu", "video"]')
SEEN = SEEN[: SEEN.index("[mocap]")] + SEEN[SEEN.index("[[data]]") :]


def filmed(store: Store) -> VideoRows:
    """Videos whose every row tells how fast its segment swings; the last two segments were not filmed."""
    counts = np.array([segment.length // 20 + 1 for segment in store.index.segments])
    rows = []
    for segment, count in zip(store.index.segments, counts, strict=True):
        signal = store.signals[segment.start : segment.start + segment.length, 4]
        angle = np.abs(np.fft.rfft(signal)).argmax() / segment.length * 200.0  # turns a second
        row = np.zeros(8, np.float32)
        row[0], row[1] = np.cos(angle), np.sin(angle)
        rows.append(np.tile(row, (count, 1)))
    stop = np.cumsum(counts)
    first = np.where(np.arange(len(counts)) < len(counts) - 2, stop - counts, -1)
    return VideoRows(np.concatenate(rows), first, stop, np.ones(len(counts)))


def test_windows_find_their_videos(store: Store, tmp_path: Path) -> None:
    """In people never trained on; the epoch is chosen by that, for there is nothing else to choose it by."""
    header = fit(parsed(SEEN, epochs=8), store, tmp_path / "run", videos=(filmed(store),))
    epochs = [line for line in log_of(tmp_path / "run") if "mean_losses" in line]
    assert {tuple(line["mean_losses"]) for line in epochs} == {("loss", "imu-video")}
    scores = [line["validation_mrr"]["swinging imu-video"] for line in epochs]
    assert scores == [line["score"] for line in epochs]
    assert header.metrics["epoch"] == int(np.argmax(scores)) + 1 > 1
    # 16 trials of two people, three windows each, of which those of a trial look alike: about 0.09 by chance, 0.61 at best
    assert max(scores) > 0.3
    fit(parsed(SEEN, epochs=2, patience=1), store, tmp_path / "patient", videos=(filmed(store),))


def test_what_was_not_filmed_is_not_looked_for(store: Store, tmp_path: Path) -> None:
    """Without videos of validation subjects nothing is measured, and the last epoch kept; patience is refused before the first."""
    of_training = np.array([store.split_of(segment) == "train" for segment in store.index.segments])
    whole = filmed(store)
    videos = (VideoRows(whole.rows, np.where(of_training, whole.first, -1), whole.stop, whole.speed),)
    header = fit(parsed(SEEN, epochs=2), store, tmp_path / "run", videos=videos)
    assert header.metrics == {"validation": {}, "epoch": 2}
    with pytest.raises(RecipeError, match="of phase 1 nothing can be measured"):
        fit(parsed(SEEN, patience=1), store, tmp_path / "patient", videos=videos)
    assert not (tmp_path / "patient").exists()


# ---- what validation subjects do not have ----


def test_motion_capture_that_validation_subjects_lack_is_not_measured(store: Store, tmp_path: Path) -> None:
    """None of theirs was captured, or there are none of them: the run goes on and keeps its last epoch."""
    counts = [frames_of(segment.length, 200.0) for segment in store.index.segments]
    lacking = [store.split_of(segment) == "validation" for segment in store.index.segments]
    pose = np.where(np.repeat(lacking, counts)[:, None], np.nan, store.pose)
    nobody = replace(store, data_set=replace(store.data_set, validation_subjects=frozenset()))
    for name, chosen in (("blind", replace(store, pose=pose)), ("nobody", nobody)):
        header = fit(parsed(ALIGNED, epochs=2), chosen, tmp_path / name)
        assert header.metrics == {"validation": {}, "epoch": 2}
        with pytest.raises(RecipeError, match="of phase 1 nothing can be measured"):
            fit(parsed(ALIGNED, patience=1), chosen, tmp_path / "patient")


def test_what_was_not_said_to_validation_subjects_counts_for_nothing(store: Store, tmp_path: Path) -> None:
    """The score is that of captions alone, not half of it."""
    text = SPOKEN.replace('["imu", "mocap"]', '["imu", "text"]').replace(
        "windows_per_caption = 128", 'moments = ["narration"]'
    )
    text = text[: text.index("[mocap]")] + text[text.index("[[data]]") :]
    told = store.moments
    kept = [row for row, of in enumerate(told.segments) if store.split_of(store.index.segments[of]) != "validation"]
    silent = msgspec.structs.replace(
        told,
        **{name: tuple(getattr(told, name)[row] for row in kept) for name in ("segments", "samples", "texts", "kinds")},
    )
    fit(parsed(text, epochs=1), replace(store, moments=silent), tmp_path / "run")
    (epoch,) = [line for line in log_of(tmp_path / "run") if "mean_losses" in line]
    assert "validation_mrr" not in epoch
    assert epoch["score"] == epoch["validation"]["swinging"]["macro_f1"] > 0


# ---- phases ----

PROGRESSIVE = (
    SPOKEN.replace("captions = false", "").replace("epochs = 6\n", "")
    + """
[[phases]]
epochs = 2
[[phases]]
epochs = 2
captions = false
pairs = ["imu-mocap"]
frozen = ["imu"]
"""
)


def test_phases_follow_each_other(store: Store, tmp_path: Path) -> None:
    """First captions, then motion capture with an IMU encoder that stays as it is; what is kept is the best of the last."""
    header = fit(parsed(PROGRESSIVE), store, tmp_path / "run")
    lines = log_of(tmp_path / "run")
    assert [set(line["mean_losses"]) for line in lines if "mean_losses" in line] == [{"loss", "captions"}] * 2 + [
        {"loss", "imu-mocap"}
    ] * 2
    rates = [line["learning_rate"] for line in lines if "step" in line]
    half = len(rates) // 2
    assert rates[:half] == rates[half:], "each phase warms up and comes down"
    assert header.metrics["epoch"] in (3, 4)
    assert "swinging imu-mocap" in header.metrics["validation_mrr"]


def test_what_is_frozen_stays(store: Store, tmp_path: Path) -> None:
    """To the last bit: the running mean, which is what is kept, and the encoder that the others learn to agree with, which is that mean."""
    chosen, seen = parsed(PROGRESSIVE), []

    def look(epoch: int) -> None:
        tensors = load_file(tmp_path / "run" / state.STATE)
        seen.append({name: value for name, value in tensors.items() if name.startswith(("encoder.", "average."))})

    fit(chosen, store, tmp_path / "run", after_epoch=look)
    means = [name for name in seen[1] if name.startswith("average.imu.")]
    assert all(np.array_equal(seen[1][name], seen[3][name]) for name in means)
    learned = {name: name.replace("average.", "encoder.", 1) for name in means}
    assert not all(np.array_equal(seen[1][name], seen[1][raw]) for name, raw in learned.items())
    for epoch in (2, 3):
        assert all(np.array_equal(seen[1][name], seen[epoch][raw]) for name, raw in learned.items())
    assert not all(np.array_equal(seen[1][name], seen[3][name]) for name in seen[1] if ".mocap." in name)


def test_stopped_between_and_inside_phases_and_resumed(store: Store, tmp_path: Path) -> None:
    """Nothing shows it."""

    def stop_at(last: int) -> Any:
        def after(epoch: int) -> None:
            if epoch == last:
                raise KeyboardInterrupt

        return after

    fit(parsed(PROGRESSIVE), store, tmp_path / "straight")
    for last in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            fit(parsed(PROGRESSIVE), store, tmp_path / "stopped", after_epoch=stop_at(last))
    fit(parsed(PROGRESSIVE), store, tmp_path / "stopped")
    files = {file.name for file in (tmp_path / "straight").iterdir()}
    assert {mocap_checkpoint.WEIGHTS, mocap_checkpoint.HEADER} < files
    for name in files:
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes(), name


def test_a_phase_that_gets_no_better_ends(store: Store, tmp_path: Path) -> None:
    """At a learning rate of next to nothing the first epoch stays the best one: two more, and it is over."""
    fit(parsed(ALIGNED, epochs=20, patience=2, learning_rate=1e-12, averaging=0.0), store, tmp_path / "run")
    epochs = [line for line in log_of(tmp_path / "run") if "mean_losses" in line]
    assert len(epochs) < 8


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("captions = false\n", "", "need a text_tower"),
        ("dimension = 8\n", "", "give one of them"),
        ('between = ["imu", "mocap"]', 'between = ["imu", "text"]', "text_tower|mocap"),
        ('between = ["imu", "mocap"]', 'between = ["imu", "imu"]', "with itself"),
        ("epochs = 6", "epochs = 6\n[[phases]]\nepochs = 2\npairs = ['imu-mocap']", "give one of them"),
        ("epochs = 6", "[[phases]]\nepochs = 2\npairs = ['imu-video']", "objective.pairs has imu-mocap"),
        ("epochs = 6", "[[phases]]\nepochs = 2", "nothing counts"),
        (
            "epochs = 6",
            "[[phases]]\nepochs = 2\npairs=['imu-mocap']\nfrozen=['imu', 'mocap']",
            "every encoder is frozen",
        ),
        ('kind = "transformer"', 'kind = "transformer"\npreset = "edge"', "either a kind or a preset"),
    ],
)
def test_recipe_that_makes_no_sense_is_refused(old: str, new: str, message: str) -> None:
    """With the reason."""
    text = ALIGNED.replace(old, new, 1)
    if "[[phases]]" in new:
        text = (
            ALIGNED.replace("epochs = 6\n", "") + new.removeprefix("epochs = 6\n")
            if not new.startswith("epochs")
            else ALIGNED + new[10:]
        )
    with pytest.raises(RecipeError, match=message):
        recipe.parse(text, found_in="test")


# ---- the same work in other parts ----


@pytest.mark.parametrize("pieces", [2, 5])
def test_pieces_of_a_batch_learn_as_the_whole(store: Store, tmp_path: Path, pieces: int) -> None:
    """The same losses, to rounding."""
    fit(parsed(EVERYTHING, epochs=1), store, tmp_path / "whole")
    fit(parsed(EVERYTHING, epochs=1, pieces=pieces), store, tmp_path / "pieces")
    assert losses_of(tmp_path / "pieces") == pytest.approx(losses_of(tmp_path / "whole"), rel=1e-3)


TOGETHER = """
import sys
from pathlib import Path
import swinging
import torch
from aura_edge import text
from aura_edge_train import datasets, recipe, running
datasets.DATA_SETS["swinging"] = "swinging:SWINGING"
torch.set_num_threads(1)
text.TOWERS["tiny"] = "aura_edge.testing:FakeTower"
running.train(recipe.load(Path(sys.argv[1])), data=Path(), run=Path(sys.argv[2]), cache=Path(sys.argv[3]))
"""


def test_two_processes_learn_as_one(tmp_path: Path) -> None:
    """`torchrun` with two: half a batch each, the losses of one process with all of it; one log, one checkpoint."""
    script, written = tmp_path / "together.py", tmp_path / "recipe.toml"
    script.write_text(TOGETHER)
    written.write_text(EVERYTHING.replace("epochs = 6", "epochs = 2"))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    alone = [sys.executable, str(script)]
    both = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    for name, command in (("alone", alone), ("both", both)):
        arguments = [*command, str(written), str(tmp_path / name), str(tmp_path / "cache")]
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    assert losses_of(tmp_path / "both") == pytest.approx(losses_of(tmp_path / "alone"), rel=1e-3)
    assert checkpoint.load(tmp_path / "both").header.metrics["epoch"] in (1, 2)


def test_each_process_has_a_gpu_and_agrees_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU is chosen before the group is made, and the group also takes what lies on the CPU; two GPUs that are not there stand in."""
    happened: list[tuple[object, ...]] = []
    for name, value in {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda number: happened.append(("device", number)))
    group = gathering.distributed
    monkeypatch.setattr(group, "init_process_group", lambda backend: happened.append(("group", backend)))
    for name, told in (("get_rank", 3), ("get_world_size", 4), ("barrier", None), ("destroy_process_group", None)):
        monkeypatch.setattr(group, name, lambda told=told: told)
    with gathering.joined(torch.device("cuda")) as process:
        assert process == loop.Process(3, 4)
    assert happened == [("device", 1), ("group", "cpu:gloo,cuda:nccl")]
    monkeypatch.setenv("LOCAL_RANK", "2")
    with (
        pytest.raises(RecipeError, match="process 3 of this machine, and 2 GPUs"),
        gathering.joined(torch.device("cuda")),
    ):
        pass


def test_batch_that_cannot_be_split_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="split evenly over 5"):
        fit(parsed(ALIGNED), store, tmp_path / "run", process=loop.Process(0, 5))


def test_device_that_is_not_there_is_said(tmp_path: Path) -> None:
    """And one that nobody knows."""
    chosen = parsed(ALIGNED)
    with pytest.raises(RecipeError, match="expected auto, cpu or cuda"):
        running.train(chosen, data=tmp_path, run=tmp_path / "run", cache=tmp_path, device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(RecipeError, match="finds no GPU"):
            running.train(chosen, data=tmp_path, run=tmp_path / "run", cache=tmp_path, device="cuda")


def test_curves_are_written_for_tensorboard(store: Store, tmp_path: Path) -> None:
    """Losses, temperatures and scores, a point an epoch."""
    pytest.importorskip("tensorboard", reason="it comes with aura-edge[train]")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curves = Curves(tmp_path / "run")
    fit(parsed(ALIGNED, epochs=2), store, tmp_path / "run", curves=curves)
    curves.close()
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert len(events.Scalars("loss/imu-mocap")) == 2
    assert events.Scalars("validation/swinging imu-mocap MRR")[1].value > 0
    assert set(events.Tags()["scalars"]) >= {"temperature/imu-mocap"}
