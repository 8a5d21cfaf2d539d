"""How good an encoder is on the validation subjects, after each epoch: what chooses the one that is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from aura_edge.errors import RecipeError
from aura_edge.text import TextTower
from aura_edge_train import sentences
from aura_edge_train.batches import mocap_input
from aura_edge_train.corpus import seen_captions
from aura_edge_train.datasets.store import Store
from aura_edge_train.evaluation import metrics, retrieval, zero_shot
from aura_edge_train.evaluation.metrics import Score
from aura_edge_train.recipe import Data, Phase, Recipe
from aura_edge_train.towers.video import RATE_HZ
from aura_edge_train.videos import VideoRows

BATCH = 256
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Validation:
    """Scores of one epoch."""

    score: float | None
    """What is maximised: the mean of macro-F1 over captions, and of the mean reciprocal rank over pairs; None where nothing was measured."""
    captions: dict[str, Score]
    """By data set."""
    mrr: dict[str, float]
    """Mean reciprocal rank of both directions, by data set and pair: `utd-mhad imu-mocap`."""
    calibration: zero_shot.Calibration | None

    @property
    def record(self) -> dict[str, object]:
        """What a checkpoint and a log keep."""
        found: dict[str, object] = {"validation": self.captions}
        if self.calibration is not None:
            kept = {"right_kept": self.calibration.right_kept, "wrong_caught": self.calibration.wrong_caught}
            found["calibration"] = kept
        return found | ({"validation_mrr": self.mrr} if self.mrr else {})

    @property
    def sentence(self) -> str:
        """For people."""
        told = [f"{n}: accuracy {s.accuracy:.3f}, macro-F1 {s.macro_f1:.3f}" for n, s in self.captions.items()]
        return "  ".join([*told, *(f"{name}: MRR {value:.3f}" for name, value in self.mrr.items())])


@dataclass(frozen=True, slots=True, eq=False)
class Partners:
    """Validation windows of one store, and what each of them should find among that of the others."""

    starts: NDArray[np.int64]
    """(W,)."""
    vectors: NDArray[np.float32] | None
    """(W, D); None for motion capture, whose encoder learns."""
    ids: NDArray[np.int64]
    """(W,): windows of one id belong together."""


class Validator:
    """Knows the validation windows and what they should find."""

    def __init__(
        self,
        recipe: Recipe,
        stores: Sequence[Store],
        tower: TextTower | None,
        window_samples: int,
        device: torch.device = CPU,
        videos: Sequence[VideoRows | None] = (),
    ) -> None:
        """`videos` are the embedded ones of each store. What has fewer than two things to choose from is not measured.

        Raises `RecipeError` for a recipe with patience and a phase of which nothing can be measured.
        """
        self._recipe, self._stores, self._samples, self._device = recipe, stores, window_samples, device
        self._prototypes: dict[str, NDArray[np.float32]] = {}
        self._partners: dict[str, dict[str, Partners]] = {}
        for store, entry, video in zip(stores, recipe.data, videos or (None,) * len(stores), strict=True):
            name, seen = store.data_set.name, seen_captions(store.data_set, entry)
            starts = store.window_starts("validation", window_samples)
            if tower is not None and seen.sum() > 1 and seen[store.captions(starts, window_samples)].any():
                self._prototypes[name] = sentences.embed_prototypes(tower, store.data_set.captions)
            found = {
                "mocap": self._captured(store, starts),
                "text": _told(store, entry, tower, window_samples),
                "video": _shown(store, video, starts, window_samples),
            }
            self._partners[name] = {
                modality: each for modality, each in found.items() if each and len(np.unique(each.ids)) > 1
            }
        if recipe.optimisation.patience:
            for number, phase in enumerate(recipe.schedule, 1):
                if not self.chooses(phase):
                    raise RecipeError(
                        f"patience waits for a better validation score, and of phase {number} nothing can be measured: no validation "
                        "subject has what it is about. Set patience = 0, which keeps the last epoch, or give the data validation subjects."
                    )

    def chooses(self, phase: Phase) -> bool:
        """Whether there is anything by which an epoch of a phase can be chosen; where not, the last one is kept."""
        asked = _asked(phase)
        measured = "text" in asked and bool(self._prototypes)
        measured = measured or any(modality in asked for partners in self._partners.values() for modality in partners)
        return measured and not self._recipe.chooses_nothing

    def measure(self, encoders: nn.ModuleDict, phase: Phase) -> Validation:
        """Scores of what counts in a phase."""
        asked, answers, found = _asked(phase), {}, {}
        for store, entry in zip(self._stores, self._recipe.data, strict=True):
            name = store.data_set.name
            if "text" in asked and name in self._prototypes:
                imu = embedder(encoders["imu"], self._device)
                found_answers = zero_shot.answer(imu, self._prototypes[name], store, "validation", self._samples)
                answers[name] = found_answers.among(seen_captions(store.data_set, entry))
            for modality, partners in self._partners[name].items():
                if modality in asked:
                    found[f"{name} imu-{modality}"] = self._mrr(encoders, store, partners)
        captions = {name: metrics.score(each.truth, each.best) for name, each in answers.items()}
        scores = [float(np.mean([each.macro_f1 for each in captions.values()]))] if captions else []
        scores += [float(np.mean(list(found.values())))] if found else []
        right = [bool((each.best == each.truth).any()) for each in answers.values()]
        calibration = None
        if right and all(right) and not self._recipe.chooses_nothing:  # nothing to set it on, early on
            calibration = zero_shot.calibrate(answers)
        return Validation(float(np.mean(scores)) if scores else None, captions, found, calibration)

    def _mrr(self, encoders: nn.ModuleDict, store: Store, partners: Partners) -> float:
        if partners.vectors is None:
            imu, vectors, _ = embed_mocap(encoders, store, partners.starts, self._recipe, self._samples, self._device)
        else:
            imu = _in_batches(embedder(encoders["imu"], self._device), store, partners.starts, self._samples)
            vectors = partners.vectors
        return both_ways(imu, vectors, partners.ids)

    def _captured(self, store: Store, starts: NDArray[np.int64]) -> Partners | None:
        if self._recipe.mocap is None or store.pose is None or store.data_set.skeleton is None or not len(starts):
            return None
        _, present = mocap_input(store.pose_windows(starts, self._samples), self._recipe.mocap, store.data_set.skeleton)
        return Partners(starts[present], None, np.arange(int(present.sum())))


def _asked(phase: Phase) -> set[str]:
    """Modalities that windows are to find in a phase; captions are text."""
    return {modality for name in phase.pairs for modality in name.split("-")} | ({"text"} if phase.captions else set())


def _told(store: Store, entry: Data, tower: TextTower | None, window_samples: int) -> Partners | None:
    if not entry.moments or tower is None:
        return None
    starts, texts, kinds = store.moment_windows("validation", window_samples)
    chosen = np.isin(kinds, entry.moments)
    if not chosen.any():
        return None
    told = texts[chosen].tolist()
    return Partners(starts[chosen], tower.embed(told), retrieval.caption_ids(told))


def _shown(store: Store, video: VideoRows | None, starts: NDArray[np.int64], window_samples: int) -> Partners | None:
    if video is None or not len(starts):
        return None
    segments, rate_hz = store.segments_at(starts), store.index.rate_hz
    begins = np.array([segment.start for segment in store.index.segments])[segments]
    offsets = np.rint((starts - begins) * (RATE_HZ / rate_hz)).astype(np.int64)
    vectors = video.of_windows(segments, offsets, round(window_samples / rate_hz * RATE_HZ))
    shown = vectors.any(axis=1)
    return Partners(starts[shown], vectors[shown], np.arange(int(shown.sum())))


def embedder(encoder: nn.Module, device: torch.device = CPU) -> zero_shot.Embed:
    """`encoder` as a function of arrays."""

    def embed(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            vectors: NDArray[np.float32] = encoder(torch.from_numpy(inputs).to(device)).cpu().numpy()
        return vectors

    return embed


def embed_mocap(
    encoders: nn.ModuleDict,
    store: Store,
    starts: NDArray[np.int64],
    recipe: Recipe,
    window_samples: int,
    device: torch.device = CPU,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """(W, D) of the IMU windows at `starts`, (W, D) of their motion capture, and (W,) whether that was captured."""
    if recipe.mocap is None or store.data_set.skeleton is None:
        raise TypeError("a run without motion capture has nothing to embed it with")
    captured = store.pose_windows(starts, window_samples)
    inputs, present = mocap_input(captured, recipe.mocap, store.data_set.skeleton)
    embed = embedder(encoders["mocap"], device)
    mocap = np.concatenate([embed(inputs[at : at + BATCH]) for at in range(0, len(inputs), BATCH)])
    return _in_batches(embedder(encoders["imu"], device), store, starts, window_samples), mocap, present


def _in_batches(
    embed: zero_shot.Embed, store: Store, starts: NDArray[np.int64], window_samples: int
) -> NDArray[np.float32]:
    parts = [starts[at : at + BATCH] for at in range(0, len(starts), BATCH)]
    return np.concatenate([embed(store.windows(part, window_samples)) for part in parts])


def both_ways(first: NDArray[np.float32], second: NDArray[np.float32], ids: NDArray[np.int64]) -> float:
    """Mean reciprocal rank of two modalities (W, D), mean of both directions; windows of one id belong together."""
    there, back = (
        retrieval.expected_hits(retrieval.rank(a, b, ids, ids), ())[:, -1]
        for a, b in ((first, second), (second, first))
    )
    return float((there.mean() + back.mean()) / 2)
