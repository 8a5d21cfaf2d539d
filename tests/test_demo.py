"""What is inside the package does what the README shows: the demo recording through the demo bundle, by every path there is."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from aura_edge import bundle as bundles
from aura_edge import prototypes
from aura_edge.bundle import Bundle
from aura_edge.commands.stream import DEMO_BUNDLE, DEMO_RECORDING, demo_file
from aura_edge.engines import open_engine
from aura_edge.pipeline import Pipeline
from aura_edge.sources import open_source
from aura_edge.testing import ListSink
from aura_edge.types import ImuChunk, Prediction


@pytest.fixture(scope="module")
def demo() -> Bundle:
    return bundles.load(demo_file(DEMO_BUNDLE))


def streamed(demo: Bundle, url: str, *, label_set: str | None = None) -> ListSink:
    """Everything that a stream of `url` gives."""
    sink = ListSink()
    source, engine = open_source(url, speed="max"), open_engine("ort", demo)
    Pipeline(source, engine, prototypes.load_for(demo, label_set), demo.manifest, [sink]).run()
    return sink


def answers(predictions: Sequence[Prediction]) -> list[tuple[int, str, float, tuple[tuple[str, float], ...]]]:
    return [(p.t0_ns, p.label, p.score, p.top) for p in predictions]


def truth(recording: Path, predictions: Sequence[Prediction]) -> list[str | None]:
    """What each window of the demo recording holds, by the rule of its data set; None across the seam of two executions."""
    with np.load(recording) as file:
        t_ns, labels, classes = file["t_ns"], file["labels"], file["classes"].tolist()
    found: list[str | None] = []
    for each in predictions:
        inside = labels[(t_ns >= each.t0_ns) & (t_ns < each.t1_ns)]
        share = {name: float(np.mean(inside == classes.index(name))) for name in classes}
        if share["STANDING_UP"] and share["SITTING_DOWN"]:
            found.append(None)  # sitting down at the end of one, standing up at the start of the next
        elif share["STANDING_UP"] > 0.1:
            found.append("standing up, then walking")
        elif share["SITTING_DOWN"] > 0.1:
            found.append("walking, then sitting down")
        else:
            found.append("walking and turning")
    return found


def test_the_bundle_proves_itself(demo: Bundle) -> None:
    """Every file unchanged, golden embeddings recomputed by onnxruntime, and no more than 8 MB."""
    engine = open_engine("ort", demo)
    proved = bundles.verify(demo, engine.embed)
    assert proved.golden_windows > 0
    assert sum(file.stat().st_size for file in demo.path.rglob("*") if file.is_file()) <= 8_000_000


def test_a_person_never_trained_on_is_labelled_rightly(demo: Bundle) -> None:
    """Of the windows inside one execution of the demo recording, at least 85 % have the right best label; all samples are accounted for."""
    sink = streamed(demo, f"replay:{demo_file(DEMO_RECORDING)}", label_set="sp-sw-har")
    expected = truth(demo_file(DEMO_RECORDING), sink.predictions)
    right = [p.top[0][0] == label for p, label in zip(sink.predictions, expected, strict=True) if label and p.top]
    assert len(right) > 120
    assert np.mean(right) >= 0.85
    assert {e.label for e in sink.events} >= {label for label in expected if label}
    counts = sink.summary.samples
    assert "pending" not in counts
    assert counts["read"] == sum(n for reason, n in counts.items() if reason != "read")


def test_any_orientation_gives_nearly_the_same_answer(demo: Bundle) -> None:
    """Real windows turned by random rotations keep the direction of their embedding, and nearly all of them their label."""
    windows, _ = bundles.load_golden(demo)
    engine = open_engine("ort", demo)
    known = prototypes.load_for(demo, "sp-sw-har")
    plain = engine.embed(windows)
    cosines, kept = [], []
    rng = np.random.default_rng(0)
    for _ in range(10):
        rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        rotation = (rotation * np.sign(np.linalg.det(rotation))).astype(np.float32)
        turned = engine.embed(np.concatenate([rotation @ windows[:, :3], rotation @ windows[:, 3:]], axis=1))
        cosines.append((turned * plain).sum(axis=1))
        kept.append(known.scores(turned).argmax(axis=1) == known.scores(plain).argmax(axis=1))
    assert np.median(cosines) > 0.95
    assert np.mean(kept) >= 0.9


def test_degenerate_windows_give_finite_unit_vectors(demo: Bundle) -> None:
    """Zeros, free fall and saturation do not break the graph."""
    windows = np.zeros((3, 6, 1000), np.float32)
    windows[1, 3:] = 1.0
    windows[2] = 500.0
    vectors = open_engine("ort", demo).embed(windows)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)


def test_both_label_sets_are_there(demo: Bundle) -> None:
    """The three captions of the demo, and the thirty-four activities of SisFall."""
    assert len(prototypes.load_for(demo, "sp-sw-har").labels) == 3
    assert len(prototypes.load_for(demo, "sisfall").labels) == 34


@pytest.mark.shared_data
def test_glasses_give_what_their_samples_give(demo: Bundle, shared_data: Path, tmp_path: Path) -> None:
    """A real Aria file filled with the demo's motion, and one whose own samples repeat: the VRS path gives, bit for bit, the labels that
    its rectified samples give from an npz file, and every sample is accounted for."""
    pytest.importorskip("projectaria_tools", reason="projectaria-tools has no wheel for this Python")
    spec = importlib.util.spec_from_file_location("aria_vrs", shared_data.parent / "tools" / "aria_vrs.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    clip = (shared_data / "aria" / "gen1_everyday.vrs").read_bytes()
    with np.load(demo_file(DEMO_RECORDING)) as file:
        t_ns, imu = file["t_ns"][:4000], file["imu"][:4000]
    made = {"filled": tool.fill(clip, t_ns, imu), "repeated": tool.repeat(clip, 12.0)}
    for name, records in made.items():
        path = tmp_path / f"{name}.vrs"
        tool.write(path, clip, records)
        direct = write_npz(tmp_path / f"{name}.npz", list(open_source(f"vrs:{path}", speed="max")))
        from_glasses, from_samples = streamed(demo, f"vrs:{path}"), streamed(demo, f"replay:{direct}")
        assert len(from_glasses.predictions) > 10
        assert answers(from_glasses.predictions) == answers(from_samples.predictions)
        counts = from_glasses.summary.samples
        assert "pending" not in counts
        assert counts["read"] == sum(n for reason, n in counts.items() if reason != "read")


def write_npz(path: Path, chunks: Sequence[ImuChunk]) -> Path:
    t_ns: NDArray[np.int64] = np.concatenate([chunk.t_ns for chunk in chunks])
    np.savez(path, t_ns=t_ns, imu=np.concatenate([chunk.samples for chunk in chunks]), units="m/s2, rad/s")
    return path
