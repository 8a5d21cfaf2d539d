"""The deployable folder `name.aura/`: everything a device must know about one model, and the proof that it is unchanged.

    manifest.json                what this is: signal contract, encoder, text space, decisions, provenance, sha256 of every other file
    encoder.onnx                 `imu` float32 (B, 6, n) in SI units to `embedding` float32 (B, D), unit norm; all normalisation inside
    prototypes/<set>.safetensors text embeddings with their labels and prompts (see `prototypes.py`)
    golden.safetensors           `inputs` and the `embeddings` they must give, to be recomputed on the target
    MODEL_CARD.md                the same for people

Nothing in it is ever unpickled or run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from aura_edge.errors import BundleError, ParityError
from aura_edge.types import CHANNELS

SCHEMA = 1
MANIFEST = "manifest.json"
GOLDEN = "golden.safetensors"


class SignalSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the encoder was trained to see."""

    rate_hz: float = 200.0
    window_s: float = 5.0
    channels: tuple[str, ...] = CHANNELS
    acceleration_unit: str = "m/s2"
    angular_rate_unit: str = "rad/s"
    gravity_included: bool = True

    @property
    def window_samples(self) -> int:
        return round(self.rate_hz * self.window_s)


class EncoderSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which encoder, as plain data from which `encoders.build` makes it again."""

    kind: str
    options: dict[str, Any]
    parameters: int


class TextSpace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The text tower whose space the vectors live in; vectors of different spaces must never be compared."""

    tower: str
    weights_sha256: str
    dimension: int


class DecisionSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How scores become labels; set on validation subjects when the bundle is made."""

    temperature: float = 0.05
    """Cosines are divided by it before the softmax."""
    unknown_margin: float = 0.0
    """`unknown` where the best probability leads the second by less than this."""
    unknown_cosine: float = -1.0
    """`unknown` where even the best cosine is below this."""
    still_acc_m_s2: float = 0.15
    """`still` where the accelerometer deviates less than this (root mean square around its mean, over the axes) ..."""
    still_gyro_rad_s: float = 0.05
    """... and the gyroscope less than this."""
    smoothing_s: float = 1.0
    """Time constant of the exponential smoothing of probabilities; 0 turns it off."""
    hysteresis: float = 0.1
    """A challenger must lead the label in force by this much probability."""
    min_duration_s: float = 1.0
    """... for this long, before it takes over."""


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sha256: str
    bytes: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`manifest.json`."""

    schema: int = SCHEMA
    name: str
    description: str = ""
    license: str = "Apache-2.0"
    signal: SignalSpec = SignalSpec()
    hop_s: float = 0.5
    encoder: EncoderSpec
    text_space: TextSpace
    decision: DecisionSpec = DecisionSpec()
    model: str = "encoder.onnx"
    """The file that engines run."""
    prototypes: str
    """The prototype set used when none is named."""
    training: dict[str, Any] = {}
    """Provenance: recipe, data, subjects, seed, library versions, commit."""
    metrics: dict[str, Any] = {}
    """Measured on held-out subjects, with the command that measured them."""
    golden_tolerance: float = 1e-4
    """Largest difference that `verify` accepts in any component of a golden embedding."""
    files: dict[str, FileEntry] = {}


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened bundle. `load` has checked the manifest; `verify` checks the rest."""

    path: Path
    manifest: Manifest

    @property
    def model_path(self) -> Path:
        return self.file(self.manifest.model)

    @property
    def model_digest(self) -> str:
        return self.manifest.files[self.manifest.model].sha256

    def file(self, name: str) -> Path:
        """Path of a file that the manifest lists."""
        if name not in self.manifest.files:
            raise BundleError(
                f"{self.path}: the manifest lists no {name!r}, only {', '.join(sorted(self.manifest.files))}. "
                "Export the bundle again with it."
            )
        return self.path / name

    def prototypes_file(self, set_name: str | None = None) -> Path:
        """Path of a prototype set: the one named, or the manifest's own choice."""
        return self.file(f"prototypes/{set_name or self.manifest.prototypes}.safetensors")


def load(path: str | os.PathLike[str]) -> Bundle:
    """Open the bundle at `path` and check its manifest and that its files are there at their sizes; hash nothing yet."""
    folder = Path(path)
    manifest = _read_manifest(folder)
    bundle = Bundle(folder, manifest)
    if manifest.signal.channels != CHANNELS:
        raise BundleError(
            f"{folder / MANIFEST}: the encoder wants channels {', '.join(manifest.signal.channels)}; this version "
            f"feeds {', '.join(CHANNELS)}. Export it again from its checkpoint."
        )
    for name, entry in manifest.files.items():
        file = _inside(folder, name)
        try:
            size = file.stat().st_size
        except FileNotFoundError:
            raise BundleError(f"{file}: missing, though the manifest lists it. Copy the bundle again, whole.") from None
        if size != entry.bytes:
            raise BundleError(
                f"{file}: {size} bytes, the manifest says {entry.bytes}: truncated or changed. Copy the bundle again, whole."
            )
    bundle.file(manifest.model)
    bundle.prototypes_file()
    return bundle


def save(folder: str | os.PathLike[str], manifest: Manifest, files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle: all of it beside `folder` first, then renamed into place, so that a half-written one never exists.

    `manifest.files` is filled in here. An existing bundle at `folder` is replaced; anything else there is an error.
    """
    target = Path(folder)
    if target.exists() and not (target / MANIFEST).is_file():
        raise BundleError(f"{target}: exists and is no bundle (no {MANIFEST}); choose another name or remove it.")
    entries = {name: FileEntry(hashlib.sha256(data).hexdigest(), len(data)) for name, data in sorted(files.items())}
    manifest = msgspec.structs.replace(manifest, files=entries)
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        for name, data in files.items():
            file = _inside(draft, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
        (draft / MANIFEST).write_bytes(text + b"\n")
        if target.exists():
            old = target.with_name(f".{target.name}.{os.getpid()}.old")
            target.rename(old)
            draft.rename(target)
            shutil.rmtree(old)
        else:
            draft.rename(target)
    except OSError as error:
        raise BundleError(
            f"{target}: cannot write the bundle: {error.strerror}. Free some space or choose another place."
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return load(target)


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` proved."""

    files: int
    golden_windows: int
    golden_max_abs: float


def verify_files(bundle: Bundle) -> int:
    """Recompute the sha256 of every file; return how many. Raises `BundleError` naming the first that differs."""
    for name, entry in bundle.manifest.files.items():
        file = _inside(bundle.path, name)
        with file.open("rb") as stream:
            digest = hashlib.sha256()
            while block := stream.read(1 << 20):
                digest.update(block)
        if digest.hexdigest() != entry.sha256:
            raise BundleError(
                f"{file}: sha256 {digest.hexdigest()[:12]}..., the manifest says {entry.sha256[:12]}...: changed since it was "
                "exported. Copy the bundle again, or export it again from its checkpoint."
            )
    return len(bundle.manifest.files)


def verify(bundle: Bundle, embed: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Verification:
    """Prove a bundle on this machine: every file's sha256, then the golden embeddings recomputed through `embed`.

    Raises `BundleError` for a changed file and `ParityError` for embeddings that differ, are not finite or are not there.
    """
    files = verify_files(bundle)
    inputs, expected = load_golden(bundle)
    found = embed(inputs)
    if found.shape != expected.shape or found.size == 0:
        raise ParityError(
            f"{bundle.path / GOLDEN}: the engine gave embeddings of shape {found.shape}, expected {expected.shape} and not empty."
        )
    worst = float(np.max(np.abs(found - expected)))
    # Written so that NaN fails.
    if not worst <= bundle.manifest.golden_tolerance:
        raise ParityError(
            f"{bundle.path / GOLDEN}: recomputed embeddings differ by {worst:.3g}, accepted is "
            f"{bundle.manifest.golden_tolerance:.3g}. This engine does not compute this model correctly here: try another one."
        )
    return Verification(files, len(inputs), worst)


def load_golden(bundle: Bundle) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Golden windows (N, 6, n) and the embeddings (N, D) they must give."""
    path = bundle.file(GOLDEN)
    tensors = read_tensors(path)
    try:
        return tensors["inputs"], tensors["embeddings"]
    except KeyError as error:
        raise BundleError(f"{path}: has no tensor {error}. Export the bundle again.") from None


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Load a safetensors file, or say what is wrong with it."""
    try:
        tensors: dict[str, NDArray[Any]] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise BundleError(
            f"{path}: not a readable safetensors file ({error}). Copy the bundle again, whole."
        ) from error
    return tensors


class _SchemaOnly(msgspec.Struct):
    schema: int


def _read_manifest(folder: Path) -> Manifest:
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
        if schema > SCHEMA:
            raise BundleError(
                f"{path}: schema {schema}, this version reads up to {SCHEMA}. Update aura-edge: pip install -U aura-edge"
            )
        return msgspec.json.decode(raw, type=Manifest)
    except msgspec.DecodeError as error:
        raise BundleError(
            f"{path}: not a valid manifest: {error}. Copy the bundle again, or export it again."
        ) from error


def _inside(folder: Path, name: str) -> Path:
    """Path of `name` below `folder`; a manifest must not reach outside its own folder."""
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts:
        raise BundleError(f"{folder / MANIFEST}: lists {name!r}, which is outside the bundle. Do not use this bundle.")
    return folder / name
