"""Where an encoder comes from: what a checkpoint, and later a manifest, says about the run that made it."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import torch

import aura_edge
from aura_edge.checkout import commit
from aura_edge_train.datasets.store import Store
from aura_edge_train.recipe import Data, Recipe


def describe(recipe: Recipe, stores: Sequence[Store], window_samples: int) -> dict[str, Any]:
    """Recipe, data with digests, who is in which split and which of these were trained on, library versions and commit."""
    return {
        "recipe": msgspec.to_builtins(recipe),
        "recipe_sha256": recipe.digest,
        "data": {
            store.data_set.name: _data(store, entry, window_samples)
            for store, entry in zip(stores, recipe.data, strict=True)
        },
        "versions": {
            "aura_edge": aura_edge.__version__,
            "torch": str(torch.__version__),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "threads": torch.get_num_threads(),
        "commit": commit(),
    }


def _data(store: Store, entry: Data, window_samples: int) -> dict[str, Any]:
    segments = store.index.segments
    return {
        "digest": store.index.digest,
        "samples": store.index.samples,
        "subjects": {
            split: sorted({segment.subject for segment in segments if store.split_of(segment) == split})
            for split in ("train", "validation", "test")
        },
        "trained_on": list(entry.splits),
        "hours": round(len(store.signals) / store.index.rate_hz / 3600, 2),
        "validation_windows": len(store.window_starts("validation", window_samples)),
    }
