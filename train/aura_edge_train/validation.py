"""How good an encoder is on the validation subjects, after each epoch: what chooses the one that is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from aura_edge.text import TextTower
from aura_edge_train import sentences
from aura_edge_train.batches import mocap_input
from aura_edge_train.corpus import seen_captions
from aura_edge_train.datasets.store import Store
from aura_edge_train.evaluation import metrics, retrieval, zero_shot
from aura_edge_train.evaluation.metrics import Score
from aura_edge_train.recipe import Phase, Recipe

BATCH = 256
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Validation:
    """Scores of one epoch."""

    score: float
    """What is maximised: the mean of macro-F1 over captions, and of the mean reciprocal rank over pairs."""
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


class Validator:
    """Knows the validation windows and what they should find."""

    def __init__(
        self,
        recipe: Recipe,
        stores: Sequence[Store],
        tower: TextTower | None,
        window_samples: int,
        device: torch.device,
    ) -> None:
        self._recipe, self._stores, self._samples, self._device = recipe, stores, window_samples, device
        self._tower = tower
        self._prototypes: dict[str, NDArray[np.float32]] = {}
        if tower is not None:
            self._prototypes = {
                store.data_set.name: sentences.embed_prototypes(tower, store.data_set.captions)
                for store in stores
                if store.data_set.captions
            }

    def measure(self, encoders: nn.ModuleDict, phase: Phase) -> Validation:
        """Scores of what counts in a phase."""
        answers = {}
        finds_captions = phase.captions or any("text" in name for name in phase.pairs)
        for store, entry in zip(self._stores, self._recipe.data, strict=True):
            known = self._prototypes.get(store.data_set.name)
            if finds_captions and known is not None and len(store.window_starts("validation", self._samples)):
                imu = embedder(encoders["imu"], self._device)
                found_answers = zero_shot.answer(imu, known, store, "validation", self._samples)
                answers[store.data_set.name] = found_answers.among(seen_captions(store.data_set, entry))
        captions = {name: metrics.score(each.truth, each.best) for name, each in answers.items()}
        found = {}
        for store, entry in zip(self._stores, self._recipe.data, strict=True):
            if "mocap" in encoders and store.pose is not None and any("mocap" in name for name in phase.pairs):
                found[f"{store.data_set.name} imu-mocap"] = self._mocap_mrr(encoders, store)
            if entry.moments and self._tower is not None and finds_captions:
                found[f"{store.data_set.name} imu-text"] = self._text_mrr(encoders, store, entry.moments)
        scores = [float(np.mean([each.macro_f1 for each in captions.values()]))] if captions else []
        scores += [float(np.mean(list(found.values())))] if found else []
        right = [bool((each.best == each.truth).any()) for each in answers.values()]
        calibration = zero_shot.calibrate(answers) if right and all(right) else None  # nothing to set it on, early on
        return Validation(float(np.mean(scores)) if scores else 0.0, captions, found, calibration)

    def _mocap_mrr(self, encoders: nn.ModuleDict, store: Store) -> float:
        starts = store.window_starts("validation", self._samples)
        imu, mocap, present = embed_mocap(encoders, store, starts, self._recipe, self._samples, self._device)
        return both_ways(imu[present], mocap[present], np.arange(int(present.sum())))

    def _text_mrr(self, encoders: nn.ModuleDict, store: Store, kinds: Sequence[str]) -> float:
        starts, texts, of = store.moment_windows("validation", self._samples)
        chosen = np.isin(of, kinds)
        if self._tower is None or not chosen.any():
            return 0.0
        embed = embedder(encoders["imu"], self._device)
        imu = _in_batches(embed, store, starts[chosen], self._samples)
        return both_ways(imu, self._tower.embed(texts[chosen].tolist()), retrieval.caption_ids(texts[chosen].tolist()))


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
