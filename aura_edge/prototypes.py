"""Cached text embeddings of the labels: scores are one matrix product, and know which text space they live in.

File format (`safetensors`): tensor `embeddings` float32 (L, D), unit norm, one row per label; metadata `prototypes`, one JSON object with
`labels`, `prompts` (for each label the sentences whose mean it is) and `text_space` (as in the manifest). One key, because safetensors
writes several in an order that changes from run to run, and the same prototypes must give the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from aura_edge.bundle import Bundle, TextSpace
from aura_edge.errors import BundleError, TextSpaceError

UNIT_TOLERANCE = 1e-5
"""How far the length of a stored prototype may be from 1: float32 rounding, and nothing else."""


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
        prompts, embeddings = [self.prompts[row] for row in rows], self.embeddings[rows]
        _check(labels, prompts, embeddings, self.text_space)
        return _of_unit(labels, prompts, embeddings, self.text_space)


def make(
    labels: Sequence[str],
    prompts: Sequence[Sequence[str]],
    embeddings: NDArray[np.float32],
    text_space: TextSpace,
) -> Prototypes:
    """Prototypes from one vector per label; vectors are brought to unit norm."""
    _check(labels, prompts, embeddings, text_space)
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.linalg.norm(embeddings.astype(np.float64), axis=1, keepdims=True)
    if not np.all((norms > 0) & np.isfinite(norms)):
        raise BundleError("a prototype has no length or is not finite: embed the labels again.")
    return _of_unit(labels, prompts, np.ascontiguousarray(embeddings / norms, dtype=np.float32), text_space)


def to_bytes(prototypes: Prototypes) -> bytes:
    """The file's content: the same for the same prototypes."""
    header = _Header(prototypes.labels, prototypes.prompts, prototypes.text_space)
    data: bytes = save({"embeddings": prototypes.embeddings}, {"prototypes": msgspec.json.encode(header).decode()})
    return data


def load(path: Path) -> Prototypes:
    """Read a prototype file, bit for bit: what is loaded has the digest of what was saved."""
    try:
        with safe_open(path, framework="numpy") as file:
            header = msgspec.json.decode((file.metadata() or {})["prototypes"], type=_Header)
            embeddings = file.get_tensor("embeddings")
    except FileNotFoundError:
        raise BundleError(f"{path}: no such prototype file. Make it with `aura-edge prototypes`.") from None
    except (SafetensorError, OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise BundleError(
            f"{path}: not a prototype file ({error}). Make it again with `aura-edge prototypes`."
        ) from error
    try:
        _check(header.labels, header.prompts, embeddings, header.text_space)
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error
    norms = np.linalg.norm(embeddings.astype(np.float64), axis=1)
    # Written so that NaN fails.
    if embeddings.dtype != np.float32 or not np.all(np.abs(norms - 1.0) <= UNIT_TOLERANCE):
        raise BundleError(
            f"{path}: rows of {embeddings.dtype} with lengths {norms.min():.6g} to {norms.max():.6g}; expected float32 vectors of "
            "length 1. Make it again with `aura-edge prototypes`."
        )
    return _of_unit(header.labels, header.prompts, embeddings, header.text_space)


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


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    labels: tuple[str, ...]
    prompts: tuple[tuple[str, ...], ...]
    text_space: TextSpace


def _check(
    labels: Sequence[str], prompts: Sequence[Sequence[str]], embeddings: NDArray[Any], text_space: TextSpace
) -> None:
    if not labels or not all(label.strip() for label in labels):
        raise BundleError(f"labels are {list(labels)}; expected at least one, none of them blank.")
    if len(labels) != len(set(labels)):
        raise BundleError(
            f"labels repeat: {sorted(x for x in set(labels) if list(labels).count(x) > 1)}. Name each once."
        )
    if embeddings.shape != (len(labels), text_space.dimension) or len(prompts) != len(labels):
        raise BundleError(
            f"{len(labels)} labels with {len(prompts)} lists of prompts and embeddings of shape {embeddings.shape}; expected one of each "
            f"per label, of dimension {text_space.dimension}."
        )


def _of_unit(
    labels: Sequence[str], prompts: Sequence[Sequence[str]], unit: NDArray[np.float32], text_space: TextSpace
) -> Prototypes:
    names, sentences = tuple(labels), tuple(tuple(p) for p in prompts)
    digest = hashlib.sha256(msgspec.json.encode([names, sentences]) + unit.tobytes()).hexdigest()
    return Prototypes(names, sentences, unit, text_space, digest)
