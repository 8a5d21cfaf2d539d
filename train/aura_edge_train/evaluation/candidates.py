"""What can be evaluated: a bundle through any engine, or a training run by torch, with all that is known about either."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from torch import nn

from aura_edge import prototypes
from aura_edge.bundle import Bundle, load, verify_files
from aura_edge.encoders import checkpoint, mocap_checkpoint
from aura_edge.engines import Engine
from aura_edge.engines.torch import open_torch
from aura_edge.errors import RecipeError
from aura_edge.manifest import DecisionSpec, EncoderSpec, SignalSpec, TextSpace
from aura_edge.prototypes import Prototypes
from aura_edge.text.labels import embed_labels
from aura_edge_train import datasets
from aura_edge_train.datasets import DataSet
from aura_edge_train.evaluation.spaces import Spaces
from aura_edge_train.evaluation.zero_shot import Embed
from aura_edge_train.loop import NO_TOWER
from aura_edge_train.recipe import Recipe

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """An encoder under evaluation."""

    name: str
    path: Path
    embed: Embed
    engine: dict[str, Any]
    """What really runs, with the digest of its weights."""
    signal: SignalSpec
    space: TextSpace
    spec: EncoderSpec
    decision: DecisionSpec
    training: dict[str, Any]
    """Provenance; empty where none is known."""
    sets: tuple[str, ...]
    """Data sets that it has captions or prototypes of, or was trained on."""
    close: Callable[[], None]
    bundle: Bundle | None = None
    encoder: nn.Module | None = None
    """As training left it; None for a bundle alone."""
    mocap: tuple[nn.Module, mocap_checkpoint.Header] | None = None

    @property
    def knows_text(self) -> bool:
        """Whether it was aligned with a text tower at all."""
        return self.space.tower != NO_TOWER

    @property
    def recipe(self) -> Recipe | None:
        """The one it was trained by, where this version can read it."""
        try:
            return msgspec.convert(self.training["recipe"], Recipe)
        except (KeyError, msgspec.ValidationError):
            return None

    def is_foreign(self, name: str) -> bool | None:
        """Whether it was never trained on that set; None where its provenance says nothing."""
        known = self.training.get("data")
        return None if not known else name not in known

    def unseen(self, data_set: DataSet) -> NDArray[np.bool_]:
        """(L,) captions of a set that its recipe left out of training; none of a set that it was never trained on."""
        entries = self.recipe.data if self.recipe is not None else ()
        left_out = {key for entry in entries if entry.name == data_set.name for key in entry.unseen}
        return np.array([caption.key in left_out for caption in data_set.captions], np.bool_)

    def prototypes(self, data_set: DataSet, spaces: Spaces) -> Prototypes:
        """Of the captions of a set: those of the bundle, else embedded now in the same text space."""
        labels = [caption.label for caption in data_set.captions]
        if self.bundle is not None and f"prototypes/{data_set.name}.safetensors" in self.bundle.manifest.files:
            return prototypes.load_for(self.bundle, data_set.name).select(labels)
        tower = spaces.text(self.space, self.path, self.recipe)
        return embed_labels(tower, {caption.label: caption.sentences for caption in data_set.captions})


def of_bundle(bundle: Bundle, engine: Engine, *, run: Path | None = None) -> Candidate:
    """A bundle as `engine` runs it; `run` is the folder of the run that it was exported from, for what needs torch's weights."""
    manifest = bundle.manifest
    encoder = None
    if run is not None:
        open_torch(run, threads=int(engine.info.threads), bundle=bundle).close()  # refuses another model's
        encoder = checkpoint.load(run).encoder
    return Candidate(
        name=manifest.name,
        path=bundle.path,
        embed=engine.embed,
        engine=asdict(engine.info),
        signal=manifest.signal,
        space=manifest.text_space,
        spec=manifest.encoder,
        decision=manifest.decision,
        training=manifest.training,
        sets=tuple(n for n in sorted(datasets.DATA_SETS) if f"prototypes/{n}.safetensors" in manifest.files),
        close=engine.close,
        bundle=bundle,
        encoder=encoder,
        mocap=None if run is None else _mocap(run),
    )


def of_run(run: Path, *, threads: int = 1) -> Candidate:
    """A training run, by torch on the CPU. Raises `BundleError` for a folder that holds none."""
    opened = checkpoint.load(run)
    engine = open_torch(run, threads=threads)
    header = opened.header
    return Candidate(
        name=header.name,
        path=run,
        embed=engine.embed,
        engine=asdict(engine.info),
        signal=header.signal,
        space=header.text_space,
        spec=header.encoder,
        decision=header.decision,
        training=header.training,
        sets=tuple(dict.fromkeys([*header.captions, *header.training.get("data", {})])),
        close=engine.close,
        encoder=opened.encoder,
        mocap=_mocap(run),
    )


def open_candidate(path: Path, *, threads: int = 1) -> Candidate:
    """A run's folder by torch, or a bundle by onnxruntime: whichever `path` is."""
    if not (path / MANIFEST).exists():
        return of_run(path, threads=threads)
    from aura_edge.engines import open_engine

    opened = load(path)
    verify_files(opened)
    return of_bundle(opened, open_engine("ort", opened, threads=threads))


def sets_of(candidate: Candidate) -> list[str]:
    """Data sets that it can be asked about without naming any. Raises `RecipeError` where there is none."""
    found = [name for name in candidate.sets if name in datasets.DATA_SETS]
    if not found:
        raise RecipeError(
            f"{candidate.path}: has prototypes for none of {', '.join(sorted(datasets.DATA_SETS))}; name data sets with --set, or export "
            "it from a checkpoint that was trained on one of them."
        )
    return found


def _mocap(run: Path) -> tuple[nn.Module, mocap_checkpoint.Header] | None:
    return mocap_checkpoint.load(run) if (run / mocap_checkpoint.HEADER).exists() else None
