"""Embeddings in two dimensions, to look at: UMAP where it is installed, else t-SNE. Distances in such a picture are no measurement."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from aura_edge.errors import MissingExtraError, ParityError

MOST = 2000
"""Points of a picture: more take long and only cover each other."""
FEWEST = 5
PERPLEXITY = 30.0

Method = Literal["t-SNE", "UMAP"]


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """Some of the embeddings as points."""

    points: NDArray[np.float64]
    """(P, 2), each axis from 0 to 1."""
    labels: NDArray[np.int64]
    """(P,) row of each point's label."""
    rows: NDArray[np.int64]
    """(P,) which embeddings they are, in order."""
    method: Method
    windows: int
    """How many embeddings there were."""


def project(
    embeddings: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    method: Method | None = None,
    most: int = MOST,
    seed: int = 0,
) -> Projection:
    """Project (W, D) unit vectors, by cosine; of more than `most`, that many, of every label its share.

    t-SNE after van der Maaten and Hinton 2008, UMAP after McInnes et al. 2018 (arXiv:1802.03426).
    """
    if embeddings.ndim != 2 or len(embeddings) != len(labels) or len(embeddings) < FEWEST:
        raise ParityError(
            f"embeddings of shape {embeddings.shape} with {len(labels)} labels: expected one each, and {FEWEST} at least."
        )
    method = method or ("UMAP" if find_spec("umap") else "t-SNE")
    rows = _share(labels, most, seed)
    chosen = embeddings[rows]
    if method == "UMAP":
        if find_spec("umap") is None:
            raise MissingExtraError(
                "UMAP was asked for and is not installed: pip install umap-learn, or ask for t-SNE."
            )
        umap = importlib.import_module("umap")
        flat = umap.UMAP(metric="cosine", random_state=seed, n_jobs=1).fit_transform(chosen)
    else:
        perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
        flat = TSNE(perplexity=perplexity, metric="cosine", init="random", random_state=seed).fit_transform(chosen)
    low, high = flat.min(0), flat.max(0)
    points = (flat - low).astype(np.float64) / np.maximum(high - low, 1e-12)
    return Projection(points, labels[rows], rows, method, len(embeddings))


def _share(labels: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """Rows in order: all, or about `most` of them, of each label the same part and at least one."""
    if len(labels) <= most:
        return np.arange(len(labels))
    generator = np.random.default_rng(seed)
    pools = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    taken = [generator.choice(p, max(1, len(p) * most // len(labels)), replace=False) for p in pools]
    return np.sort(np.concatenate(taken))
