"""A trained encoder on disk: its weights, and beside them all that is needed to build, export and judge it.

    checkpoint.safetensors   the encoder's weights, by parameter name
    checkpoint.json          `Header`: spec, signal, text space, captions, decisions, provenance, and the digest of the weights

Training writes it, export and the `torch` engine read it. Both files are written beside, then renamed, weights first; the digest tells a
pair that a kill has torn apart.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from aura_edge import encoders
from aura_edge.errors import BundleError, require
from aura_edge.manifest import DecisionSpec, EncoderSpec, SignalSpec, TextSpace
from aura_edge.whole_files import replace_file

if TYPE_CHECKING:
    from torch import nn

SCHEMA = 1
WEIGHTS = "checkpoint.safetensors"
HEADER = "checkpoint.json"


class Caption(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a window can be called, and the sentences whose mean is its prototype."""

    key: str
    """The data set's own code: `D01`."""
    label: str
    """What people are shown: `walking slowly`."""
    group: str
    """The coarser activity it belongs to: `walk`."""
    sentences: tuple[str, ...]


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`checkpoint.json`."""

    schema: int = SCHEMA
    name: str
    encoder: EncoderSpec
    signal: SignalSpec = SignalSpec()
    text_space: TextSpace
    captions: dict[str, tuple[Caption, ...]]
    """By data set: each becomes a prototype set of that name."""
    decision: DecisionSpec = DecisionSpec()
    """Set on validation subjects; the defaults where they were trained on (`validation_too`), or there was nothing to set it on."""
    training: dict[str, Any] = {}
    """Provenance: recipe, data, subjects, epoch, seed, library versions."""
    metrics: dict[str, Any] = {}
    """Measured on validation subjects."""
    weights_sha256: str = ""
    """Filled in by `save`."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A trained encoder in evaluation mode, and what is known about it."""

    path: Path
    header: Header
    encoder: nn.Module


def save(folder: Path, encoder: nn.Module, header: Header) -> Header:
    """Write a checkpoint into `folder`, replacing the one there; give the header with the digest of the weights."""
    from safetensors.torch import save as to_bytes

    weights = to_bytes({name: tensor.detach().contiguous() for name, tensor in encoder.state_dict().items()})
    header = msgspec.structs.replace(header, weights_sha256=hashlib.sha256(weights).hexdigest())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / WEIGHTS, weights)
        replace_file(folder / HEADER, msgspec.json.format(msgspec.json.encode(header), indent=2) + b"\n")
    except OSError as error:
        raise BundleError(
            f"{folder}: cannot write the checkpoint: {error.strerror}. Free some space or choose another place."
        ) from error
    return header


def load(folder: str | os.PathLike[str]) -> Checkpoint:
    """Read the checkpoint in `folder`. Raises `BundleError` for one that is not there, torn, changed or of a newer schema."""
    require("torch", extra="train")
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    home = Path(folder)
    header = _read_header(home)
    try:
        weights = (home / WEIGHTS).read_bytes()
    except OSError as error:
        raise BundleError(f"{home / WEIGHTS}: cannot be read: {error.strerror}. Train it again.") from error
    if (found := hashlib.sha256(weights).hexdigest()) != header.weights_sha256:
        raise BundleError(
            f"{home / WEIGHTS}: sha256 {found[:12]}..., {HEADER} says {header.weights_sha256[:12]}...: the two were not written "
            "together. Resume the training that made them, or copy both again."
        )
    encoder = encoders.build(header.encoder)
    try:
        encoder.load_state_dict(from_bytes(weights))
    except (SafetensorError, RuntimeError) as error:
        raise BundleError(
            f"{home / WEIGHTS}: these weights are not of this encoder: {error}. Train it again."
        ) from error
    return Checkpoint(home, header, encoder)


class _SchemaOnly(msgspec.Struct):
    schema: int


def _read_header(home: Path) -> Header:
    path = home / HEADER
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(
            f"{home}: no checkpoint (no {HEADER} in it). Expected the folder of a run of `aura-edge train`."
        ) from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}.") from error
    try:
        schema = msgspec.json.decode(raw, type=_SchemaOnly).schema
        if schema > SCHEMA:
            raise BundleError(
                f"{path}: schema {schema}, this version reads up to {SCHEMA}. Update aura-edge: pip install -U aura-edge"
            )
        return msgspec.json.decode(raw, type=Header)
    except msgspec.DecodeError as error:
        raise BundleError(f"{path}: not a valid checkpoint: {error}. Train it again.") from error
