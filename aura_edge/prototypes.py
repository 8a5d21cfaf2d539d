"""Cached text embeddings of the labels: scores are one matrix product, and know which text space they live in.

File format (`safetensors`): tensor `embeddings` float32 (L, D), unit norm, one row per label; metadata `labels` and `prompts` (JSON: a list
of labels, and for each the sentences whose mean it is) and `text_space` (JSON, as in the manifest).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from aura_edge.bundle import Bundle, TextSpace
from aura_edge.errors import BundleError, TextSpaceError


@dataclass(frozen=True, slots=True, eq=False)
class Prototypes:
    """One unit vector per label."""

    labels: tuple[str, ...]
    prompts: tuple[tuple[str, ...], ...]
    embeddings: NDArray[np.float32]
    """(L, D), unit norm."""
    text_space: TextSpace
    digest: str
    """sha256 over labels, prompts and embeddings: which set an answer was given with."""

    def scores(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosine of (B, D) unit embeddings with every label: (B, L)."""
        return embeddings @ self.embeddings.T

    def select(self, labels: Sequence[str]) -> Prototypes:
        """Only these labels, in this order. Raises `BundleError` for one that is not in the set."""
        where = {label: row for row, label in enumerate(self.labels)}
        missing = [label for label in labels if label not in where]
        if missing or not labels:
            raise BundleError(
                f"no prototype for {', '.join(map(repr, missing)) or 'an empty list of labels'}; this set has: "
                f"{'; '.join(self.labels)}. Add others with `aura-edge prototypes`."
            )
        rows = [where[label] for label in labels]
        return make(labels, [self.prompts[row] for row in rows], self.embeddings[rows], self.text_space)


def make(
    labels: Sequence[str],
    prompts: Sequence[Sequence[str]],
    embeddings: NDArray[np.float32],
    text_space: TextSpace,
) -> Prototypes:
    """Prototypes from one vector per label; vectors are brought to unit norm."""
    if len(labels) != len(set(labels)):
        raise BundleError(
            f"labels repeat: {sorted(x for x in set(labels) if list(labels).count(x) > 1)}. Name each once."
        )
    if embeddings.shape != (len(labels), text_space.dimension) or len(prompts) != len(labels):
        raise BundleError(
            f"{len(labels)} labels with {len(prompts)} lists of prompts and embeddings of shape {embeddings.shape}; expected one of each "
            f"per label, of dimension {text_space.dimension}."
        )
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if not np.all(norms > 0):
        raise BundleError("a prototype has no length or is not finite: embed the labels again.")
    unit = np.ascontiguousarray(embeddings / norms, dtype=np.float32)
    names, sentences = tuple(labels), tuple(tuple(p) for p in prompts)
    digest = hashlib.sha256(msgspec.json.encode([names, sentences]) + unit.tobytes()).hexdigest()
    return Prototypes(names, sentences, unit, text_space, digest)


def to_bytes(prototypes: Prototypes) -> bytes:
    """The file's content."""
    metadata = {
        "labels": msgspec.json.encode(prototypes.labels).decode(),
        "prompts": msgspec.json.encode(prototypes.prompts).decode(),
        "text_space": msgspec.json.encode(prototypes.text_space).decode(),
    }
    data: bytes = save({"embeddings": prototypes.embeddings}, metadata)
    return data


def load(path: Path) -> Prototypes:
    """Read a prototype file."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            embeddings = file.get_tensor("embeddings")
        labels = msgspec.json.decode(metadata["labels"], type=tuple[str, ...])
        prompts = msgspec.json.decode(metadata["prompts"], type=tuple[tuple[str, ...], ...])
        text_space = msgspec.json.decode(metadata["text_space"], type=TextSpace)
    except FileNotFoundError:
        raise BundleError(f"{path}: no such prototype file. Make it with `aura-edge prototypes`.") from None
    except (SafetensorError, OSError, KeyError, msgspec.DecodeError) as error:
        raise BundleError(
            f"{path}: not a prototype file ({error}). Make it again with `aura-edge prototypes`."
        ) from error
    return make(labels, prompts, embeddings, text_space)


def load_for(bundle: Bundle, set_name: str | None = None) -> Prototypes:
    """A bundle's prototypes, refused when they were made with another text tower than the encoder was aligned with."""
    path = bundle.prototypes_file(set_name)
    prototypes = load(path)
    require_same_space(prototypes.text_space, bundle.manifest.text_space, found_in=path, expected_by=bundle.path)
    return prototypes


def require_same_space(found: TextSpace, expected: TextSpace, *, found_in: Path, expected_by: Path) -> None:
    """Raise `TextSpaceError` unless both are the same tower, weights and dimension."""
    if found != expected:
        raise TextSpaceError(
            f"{found_in}: embedded with {found.tower} ({found.dimension}-d, weights {found.weights_sha256[:12]}...), but the encoder of "
            f"{expected_by} was aligned with {expected.tower} ({expected.dimension}-d, weights {expected.weights_sha256[:12]}...). Embed "
            "the labels again with that tower: aura-edge prototypes"
        )
