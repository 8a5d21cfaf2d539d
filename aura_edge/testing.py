"""What lets anyone test a pipeline without a device, weights or torch: a fake engine, text tower and sink, and a tiny real bundle.

The tiny bundle is real in every respect but skill: its ONNX graph runs in onnxruntime, its digests and golden vectors hold, and it tells
three made-up motions apart. The fake engine computes the same function in numpy,
the fake tower embeds labels in the same space.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save as to_safetensors

from aura_edge import bundle, prototypes
from aura_edge.bundle import Bundle, DecisionSpec, EncoderSpec, Manifest, TextSpace
from aura_edge.engines import EngineInfo
from aura_edge.errors import EngineError
from aura_edge.prototypes import Prototypes
from aura_edge.types import CHANNELS, STANDARD_GRAVITY_M_S2, Event, Prediction, Summary

TINY_LABELS = ("walking", "shaking", "spinning")
TINY_DIMENSION = 8
TINY_SPACE = TextSpace("tiny", hashlib.sha256(b"aura-edge tiny text tower").hexdigest(), TINY_DIMENSION)

FEATURE_SCALE = np.repeat(np.array([1 / STANDARD_GRAVITY_M_S2, 1.0, 1 / 3.0, 1.0], np.float32), 3)
"""(12,) brings mean acceleration, mean rate, and their standard deviations to the order of one."""
PROJECTION = np.cos(np.arange(12)[:, None] * (2 * np.arange(TINY_DIMENSION) + 1) * np.pi / 24).astype(np.float32)
"""(12, 8) rows of a cosine transform: fixed, and any two features stay apart."""
BIAS = np.full(TINY_DIMENSION, 0.25, np.float32)
"""(8,) keeps the vector of an empty window away from zero."""


class FakeEngine:
    """Embeds windows by their channel means and standard deviations: deterministic, instant, unit norm."""

    def __init__(self) -> None:
        digest = hashlib.sha256(FEATURE_SCALE.tobytes() + PROJECTION.tobytes() + BIAS.tobytes()).hexdigest()
        self.info = EngineInfo("fake", "cpu (numpy)", "fp64", None, digest)
        self.batches: list[int] = []
        """Size of each batch embedded so far."""
        self.closed = False

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 6, n) to (B, 8)."""
        if windows.ndim != 3 or windows.shape[1] != len(CHANNELS) or windows.size == 0:
            raise EngineError(
                f"windows of shape {windows.shape}; expected (B, {len(CHANNELS)}, n) with at least one of each."
            )
        self.batches.append(len(windows))
        wide = windows.astype(np.float64)
        features = np.concatenate([wide.mean(axis=2), wide.std(axis=2)], axis=1) * FEATURE_SCALE  # (B, 12)
        vectors = features @ PROJECTION + BIAS  # (B, 8)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    def close(self) -> None:
        self.closed = True


class FakeTower:
    """A text tower without weights: a sentence that names one of `TINY_LABELS` means that motion, any other has a vector of its own."""

    space = TINY_SPACE

    def embed(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """(N, 8) of unit norm."""
        return np.stack([self._embed_one(sentence) for sentence in sentences])

    def _embed_one(self, sentence: str) -> NDArray[np.float32]:
        for label in TINY_LABELS:
            if label in sentence:
                row: NDArray[np.float32] = FakeEngine().embed(motion(label)[None])[0]
                return row
        seed = int.from_bytes(hashlib.sha256(sentence.encode()).digest()[:8], "big")
        vector = np.random.default_rng(seed).normal(size=TINY_DIMENSION)
        return np.asarray(vector / np.linalg.norm(vector), np.float32)


class ListSink:
    """Keeps everything it is given."""

    def __init__(self) -> None:
        self.items: list[Prediction | Event | Summary] = []
        self.closed = False

    def emit(self, item: Prediction | Event | Summary) -> None:
        if self.closed:
            raise ValueError("emit after close")
        self.items.append(item)

    def close(self) -> None:
        self.closed = True

    @property
    def predictions(self) -> list[Prediction]:
        return [item for item in self.items if isinstance(item, Prediction)]

    @property
    def events(self) -> list[Event]:
        return [item for item in self.items if isinstance(item, Event)]

    @property
    def summary(self) -> Summary:
        """The one summary; raises `ValueError` where there is none, or more than one."""
        (summary,) = (item for item in self.items if isinstance(item, Summary))
        return summary


def motion(label: str, *, samples: int = 1000, rate_hz: float = 200.0, seed: int = 0) -> NDArray[np.float32]:
    """(6, samples) of a made-up motion that the tiny bundle calls `label`, one of `TINY_LABELS`; the seed varies noise and phase."""
    rng = np.random.default_rng(seed)
    t_s = np.arange(samples) / rate_hz + rng.uniform(0, 1)
    signal = rng.normal(0, 0.02, (len(CHANNELS), samples))
    signal[2] += STANDARD_GRAVITY_M_S2
    if label == "walking":
        signal[2] += 3.0 * np.sin(2 * np.pi * 2.0 * t_s)
        signal[4] += 0.8 * np.sin(2 * np.pi * 1.0 * t_s)
    elif label == "shaking":
        signal[0] += 15.0 * np.sin(2 * np.pi * 6.0 * t_s)
    elif label == "spinning":
        signal[5] += 4.0
    else:
        raise ValueError(f"motion {label!r}; expected one of {', '.join(TINY_LABELS)}")
    return signal.astype(np.float32)


def tiny_prototypes(labels: Sequence[str] = TINY_LABELS) -> Prototypes:
    """Prototypes in the tiny text space: each label's own motion, embedded."""
    prompts = [[f"a person is {label}"] for label in labels]
    vectors = FakeTower().embed([sentence for (sentence,) in prompts])
    return prototypes.make(labels, prompts, vectors, TINY_SPACE)


def tiny_model() -> bytes:
    """The ONNX graph of the tiny bundle; it computes what `FakeEngine` does."""
    return (resources.files("aura_edge") / "data" / "tiny.onnx").read_bytes()


def tiny_bundle(folder: str | os.PathLike[str], *, decision: DecisionSpec | None = None) -> Bundle:
    """Write a tiny real bundle to `folder` (as in `tmp_path / "tiny.aura"`) and open it."""
    inputs = np.stack([motion(label, seed=seed) for label in TINY_LABELS for seed in (1, 2)])
    manifest = Manifest(
        name="tiny",
        description="Channel means and standard deviations through a fixed projection: for tests, not for people.",
        encoder=EncoderSpec("tiny", {}, PROJECTION.size + BIAS.size),
        text_space=TINY_SPACE,
        decision=decision or DecisionSpec(),
        prototypes="tiny",
    )
    files = {
        manifest.model: tiny_model(),
        "prototypes/tiny.safetensors": prototypes.to_bytes(tiny_prototypes()),
        bundle.GOLDEN: to_safetensors({"inputs": inputs, "embeddings": FakeEngine().embed(inputs)}),
    }
    return bundle.save(folder, manifest, files)
