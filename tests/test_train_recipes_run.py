"""The shipped recipes for data under licence run: on made-up people, and on small files in the exact schema, with a small random CLIP model."""

from __future__ import annotations

import json
import random
from fractions import Fraction
from importlib import resources
from pathlib import Path

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs it; it comes with aura-edge[train]")
pytest.importorskip("sklearn", reason="validation scores need it; it comes with aura-edge[train]")

import tiny_clip  # noqa: E402

from aura_edge.encoders import checkpoint, mocap_checkpoint  # noqa: E402
from aura_edge_train import datasets, recipe, running  # noqa: E402
from aura_edge_train.recipe import Recipe  # noqa: E402

COLUMNS = "canonical_timestamp_ms,gyro_x,gyro_y,gyro_z,accl_x,accl_y,accl_z"


@pytest.fixture(autouse=True)
def swinging_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(datasets.DATA_SETS, "swinging", "swinging:SWINGING")


@pytest.fixture
def tower(tmp_path: Path) -> str:
    """The name of a small CLIP model, saved and loaded through the same door as real weights."""
    tiny_clip.register(tmp_path)
    return f"open_clip:{tiny_clip.MODEL}:{tiny_clip.save(tmp_path / 'tiny.safetensors')}"


def shipped(name: str, tower: str, **changes: object) -> Recipe:
    """A shipped recipe with a small tower, small batches and a few epochs."""
    text = resources.files("aura_edge_train").joinpath("recipes", f"{name}.toml").read_text()
    found = recipe.parse(text, found_in=name)
    plan = msgspec.structs.replace(
        found.optimisation, batch=16, pieces=min(2, found.optimisation.pieces), epochs=min(2, found.optimisation.epochs)
    )
    phases = tuple(msgspec.structs.replace(phase, epochs=1) for phase in found.phases)
    return msgspec.structs.replace(found, text_tower=tower, optimisation=plan, phases=phases, **changes)


def on_swinging(found: Recipe) -> Recipe:
    data = tuple(
        msgspec.structs.replace(entry, name="swinging", moments=("narration",), quiet_groups_kept=())
        for entry in found.data[:1]
    )
    return msgspec.structs.replace(found, data=data)


def test_aura_on_moments_and_motion_capture(tower: str, tmp_path: Path) -> None:
    """Two phases of the paper's own encoders, batches in pieces."""
    chosen = on_swinging(shipped("aura-ego-exo4d", tower))
    header = running.train(chosen, data=tmp_path, run=tmp_path / "run", cache=tmp_path / "cache")
    assert header.encoder.options["width"] == 192
    assert header.text_space.tower == f"open_clip:{tiny_clip.MODEL}"
    assert set(header.metrics["validation_mrr"]) == {"swinging imu-mocap"}
    assert mocap_checkpoint.load(tmp_path / "run")[1].encoder.options["channels"] == 9


def test_clip_space_of_the_demo(tower: str, tmp_path: Path) -> None:
    """Captions in CLIP's space; what it said is kept, so that a second run embeds nothing."""
    found = shipped("clip-vit-b-32", tower)
    data = (msgspec.structs.replace(found.data[0], name="made-up", quiet_groups_kept=("moving", "turning")),)
    small = msgspec.structs.replace(found.encoder, preset="edge-xs")
    chosen = msgspec.structs.replace(found, data=data, encoder=small)
    header = running.train(chosen, data=tmp_path, run=tmp_path / "run", cache=tmp_path / "cache")
    assert header.text_space.dimension == tiny_clip.DIMENSION
    assert header.metrics["validation"]["made-up"]["accuracy"] > 0.5
    kept = sorted((tmp_path / "cache" / "towers" / "sentences").rglob("*.safetensors"))
    assert kept
    running.train(chosen, data=tmp_path, run=tmp_path / "again", cache=tmp_path / "cache")
    assert sorted((tmp_path / "cache" / "towers" / "sentences").rglob("*.safetensors")) == kept


def write_ego4d(folder: Path) -> None:
    """Three videos of 40 s with IMU, narrations and pictures, two to train on."""
    av = pytest.importorskip("av", reason="videos need PyAV; it comes with aura-edge[video]")
    home = folder / "ego4d" / "v2"
    for name in ("imu", "annotations", "full_scale"):
        (home / name).mkdir(parents=True)
    (folder / "ego4d" / "splits").mkdir()
    told = {}
    for number, uid in enumerate(("one", "two", "three")):
        rng = random.Random(number)
        rows = [
            f"{n * 5.0},0,{np.sin(n / 20 * (number + 1)):.3f},0,0,{rng.gauss(0, 0.1):.3f},9.81" for n in range(40 * 200)
        ]
        (home / "imu" / f"{uid}.csv").write_text("\n".join([COLUMNS, *rows]) + "\n")
        said = [
            {"timestamp_sec": s, "timestamp_frame": 0, "narration_text": f"#C C {what}", "annotation_uid": "x"}
            for s, what in zip(range(3, 38), ["walks", "opens a door", "cuts bread", "sits down"] * 9, strict=False)
        ]
        told[uid] = {"narration_pass_1": {"narrations": said, "summaries": []}}
        with av.open(str(home / "full_scale" / f"{uid}.mp4"), "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
            for frame in range(400):
                shade = np.full((32, 48, 3), (frame * (number + 1)) % 255, np.uint8)
                picture = av.VideoFrame.from_ndarray(shade, format="rgb24")
                picture.pts, picture.time_base = frame, Fraction(1, 10)
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
    (home / "annotations" / "narration.json").write_text(json.dumps(told))
    for split, uids in (("training", ["one", "two"]), ("validation", ["three"])):
        (folder / "ego4d" / "splits" / f"{split}.json").write_text(json.dumps(uids))


def test_imu2clip_on_ego4d(tower: str, tmp_path: Path) -> None:
    """IMU, narrations and video at once, from the files of the data set to a checkpoint."""
    write_ego4d(tmp_path / "data")
    chosen = shipped("imu2clip-ego4d", tower)
    header = running.train(chosen, data=tmp_path / "data", run=tmp_path / "run", cache=tmp_path / "cache")
    opened = checkpoint.load(tmp_path / "run").header
    assert opened == header
    assert header.encoder.kind == "cnn_rnn"
    assert set(header.metrics["validation_mrr"]) == {"ego4d imu-text", "ego4d imu-video"}
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert set(lines[-1]["mean_losses"]) == {"loss", "imu-text", "imu-video"}
