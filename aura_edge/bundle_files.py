"""The folder of a bundle as files: reading its manifest and tensors, replacing it whole, and never reaching outside of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from aura_edge.errors import BundleError
from aura_edge.manifest import SCHEMA, Manifest

MANIFEST = "manifest.json"


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Load a safetensors file, or say what is wrong with it."""
    try:
        tensors: dict[str, NDArray[Any]] = load_file(path)
    except (SafetensorError, OSError, TypeError, AttributeError) as error:  # the last two: a type numpy does not have
        raise BundleError(
            f"{path}: not a readable safetensors file ({error}). Copy the bundle again, whole."
        ) from error
    return tensors


class _SchemaOnly(msgspec.Struct):
    schema: int


def read_manifest(folder: Path) -> Manifest:
    """The manifest in `folder`. Raises `BundleError` where there is none, or none that this version understands."""
    path = folder / MANIFEST
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(
            f"{folder}: no bundle (no {MANIFEST} in it). Expected a folder that `aura-edge export` wrote, as in name.aura/."
        ) from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}.") from error
    try:
        schema = msgspec.json.decode(raw, type=_SchemaOnly).schema
        if not 1 <= schema <= SCHEMA:
            raise BundleError(
                f"{path}: schema {schema}, this version reads 1 to {SCHEMA}. Update aura-edge (pip install -U aura-edge), or export it again."
            )
        return msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(
            f"{path}: not a valid manifest: {error}. Copy the bundle again, or export it again."
        ) from error


def inside(folder: Path, name: str) -> Path:
    """Path of `name` below `folder`; a manifest must not reach outside its own folder, or list itself."""
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts or "\0" in name or name == MANIFEST:
        raise BundleError(
            f"{folder / MANIFEST}: lists {name!r}, which is no file inside the bundle. Do not use this bundle."
        )
    return folder / name
