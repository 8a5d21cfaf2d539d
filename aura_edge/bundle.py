"""The deployable folder `name.aura/`: everything a device must know about one model, and the proof that it is unchanged.

    manifest.json                what this is: signal contract, encoder, text space, decisions, provenance, sha256 of every other file
    encoder.onnx                 `imu` float32 (B, 6, n) in SI units to `embedding` float32 (B, D), unit norm; all normalisation inside
    encoder.<precision>.onnx     the same in fp16 or int8, where it was exported so (`Manifest.variants`)
    prototypes/<set>.safetensors text embeddings with their labels and prompts (see `prototypes.py`)
    golden.safetensors           `inputs` and the `embeddings` they must give, in FP32, to be recomputed on the target
    MODEL_CARD.md                the same for people

Nothing in it is ever unpickled or run.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from aura_edge.bundle_files import MANIFEST, inside, read_manifest, read_tensors
from aura_edge.errors import BundleError, ParityError
from aura_edge.manifest import (
    FP32,
    SCHEMA,
    DecisionSpec,
    EncoderSpec,
    FileEntry,
    Manifest,
    SignalSpec,
    TextSpace,
    Variant,
)
from aura_edge.types import CHANNELS
from aura_edge.whole_files import replace_folder

__all__ = [
    "FP32",
    "GOLDEN",
    "MANIFEST",
    "SCHEMA",
    "Bundle",
    "DecisionSpec",
    "EncoderSpec",
    "FileEntry",
    "Manifest",
    "SignalSpec",
    "TextSpace",
    "Variant",
    "Verification",
    "load",
    "load_golden",
    "read_tensors",
    "save",
    "verify",
    "verify_files",
]

GOLDEN = "golden.safetensors"


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

    @property
    def precisions(self) -> tuple[str, ...]:
        """What `model` takes: `fp32`, and the variants there are."""
        return (FP32, *sorted(self.manifest.variants))

    def model(self, precision: str = FP32) -> tuple[str, float]:
        """Name of the ONNX file of this precision, and the largest difference that its golden embeddings may have.

        Raises `BundleError` for a precision that the bundle has not.
        """
        if precision == FP32:
            return self.manifest.model, self.manifest.golden_tolerance
        if precision not in self.manifest.variants:
            raise BundleError(
                f"{self.path}: has no {precision} model, only {', '.join(self.precisions)}. Export it again from its checkpoint "
                "with --precision fp32,fp16,int8 or --batch."
            )
        variant = self.manifest.variants[precision]
        return variant.file, variant.golden_tolerance

    def batch(self, precision: str = FP32) -> int | None:
        """The only number of windows that the model of this precision takes; None where any does."""
        self.model(precision)
        return None if precision == FP32 else self.manifest.variants[precision].batch

    @property
    def prototype_sets(self) -> tuple[str, ...]:
        """Names of the prototype sets in it, sorted."""
        folder, end = "prototypes/", ".safetensors"
        names = (name for name in self.manifest.files if name.startswith(folder) and name.endswith(end))
        return tuple(sorted(name[len(folder) : -len(end)] for name in names))

    def file(self, name: str) -> Path:
        """Path of a file that the manifest lists."""
        if name not in self.manifest.files:
            raise BundleError(
                f"{self.path}: the manifest lists no {name!r}, only {', '.join(sorted(self.manifest.files))}. "
                "Export the bundle again with it."
            )
        return self.path / name

    def read(self, name: str) -> bytes:
        """Content of a file that the manifest lists. Raises `BundleError` where its sha256 is not the manifest's."""
        file, entry = self.file(name), self.manifest.files[name]
        try:
            content = file.read_bytes()
        except OSError as error:
            raise BundleError(f"{file}: cannot be read: {error.strerror}. Check who may read it.") from error
        if (found := hashlib.sha256(content).hexdigest()) != entry.sha256:
            raise BundleError(
                f"{file}: sha256 {found[:12]}..., the manifest says {entry.sha256[:12]}...: changed since it was exported. Copy the "
                "bundle again, or export it again from its checkpoint."
            )
        return content

    def prototypes_file(self, set_name: str | None = None) -> Path:
        """Path of a prototype set: the one named, or the manifest's own choice."""
        name = set_name or self.manifest.prototypes
        if name not in self.prototype_sets:
            raise BundleError(
                f"{self.path}: has no label set {name!r}, only {', '.join(self.prototype_sets) or 'none'}. Add it with: aura-edge "
                f"prototypes {self.path} --set {name} --labels ..."
            )
        return self.file(f"prototypes/{name}.safetensors")


def load(path: str | os.PathLike[str]) -> Bundle:
    """Open the bundle at `path` and check its manifest and that its files are there at their sizes; hash nothing yet."""
    folder = Path(path)
    manifest = read_manifest(folder)
    bundle = Bundle(folder, manifest)
    if manifest.signal.channels != CHANNELS:
        raise BundleError(
            f"{folder / MANIFEST}: the encoder wants channels {', '.join(manifest.signal.channels)}; this version "
            f"feeds {', '.join(CHANNELS)}. Export it again from its checkpoint."
        )
    for name, entry in manifest.files.items():
        file = inside(folder, name)
        try:
            if not file.is_file():
                raise BundleError(f"{file}: missing, though the manifest lists it. Copy the bundle again, whole.")
            size = file.stat().st_size
        except OSError as error:
            raise BundleError(f"{file}: cannot be read: {error.strerror}. Check who may read it.") from error
        if size != entry.bytes:
            raise BundleError(
                f"{file}: {size} bytes, the manifest says {entry.bytes}: truncated or changed. Copy the bundle again, whole."
            )
    _require_models(bundle)
    bundle.prototypes_file()
    return bundle


def save(folder: str | os.PathLike[str], manifest: Manifest, files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle: all of it beside `folder` first, then renamed into place, so that a half-written one never exists.

    `manifest.files` is filled in here. An existing bundle at `folder` is replaced; anything else there is an error.
    """
    # Resolved, so that `.` has a name to write beside and a link keeps pointing at what it pointed at.
    target = Path(folder).resolve()
    if target.exists() and not (target / MANIFEST).is_file():
        raise BundleError(f"{target}: exists and is no bundle (no {MANIFEST}); choose another name or remove it.")
    entries = {name: FileEntry(hashlib.sha256(data).hexdigest(), len(data)) for name, data in sorted(files.items())}
    manifest = msgspec.structs.replace(manifest, schema=SCHEMA, files=entries)
    complete = Bundle(target, manifest)
    for name in entries:
        inside(target, name)
    _require_models(complete)
    complete.file(GOLDEN)
    complete.prototypes_file()
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    try:
        msgspec.json.decode(text, type=Manifest)
    except msgspec.ValidationError as error:
        raise BundleError(
            f"{target}: would get a manifest that nothing can load: {error}. Nothing was written."
        ) from error
    try:
        replace_folder(target, {**files, MANIFEST: text})
    except OSError as error:
        raise BundleError(
            f"{target}: cannot write the bundle: {error.strerror}. Free some space or choose another place."
        ) from error
    return load(target)


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` proved."""

    files: int
    golden_windows: int
    golden_max_abs: float


def verify_files(bundle: Bundle) -> int:
    """Recompute the sha256 of every file; return how many. Raises `BundleError` naming the first that differs."""
    for name in bundle.manifest.files:
        bundle.read(name)
    return len(bundle.manifest.files)


def verify(
    bundle: Bundle, embed: Callable[[NDArray[np.float32]], NDArray[np.float32]], precision: str = FP32
) -> Verification:
    """Prove a bundle on this machine: every file's sha256, then the golden embeddings recomputed through `embed`, which runs its model of
    this `precision`.

    Raises `BundleError` for a changed file and `ParityError` for embeddings that differ, are not finite or are not there.
    """
    files = verify_files(bundle)
    inputs, expected = load_golden(bundle)
    if len(inputs) == 0 or expected.size == 0:
        raise ParityError(f"{bundle.path / GOLDEN}: holds no golden windows, so nothing was compared. Export it again.")
    found = _in_batches(embed, inputs, bundle.batch(precision))
    if found.shape != expected.shape:
        raise ParityError(
            f"{bundle.path / GOLDEN}: the engine gave embeddings of shape {found.shape}, expected {expected.shape}. "
            "Bundle and engine do not belong together: export the bundle again."
        )
    worst = float(np.max(np.abs(found - expected)))
    _, tolerance = bundle.model(precision)
    # Written so that NaN fails.
    if not worst <= tolerance:
        raise ParityError(
            f"{bundle.path / GOLDEN}: recomputed embeddings differ by {worst:.3g}, accepted is {tolerance:.3g}. This engine does "
            "not compute this model correctly here: try another one."
        )
    return Verification(files, len(inputs), worst)


def load_golden(bundle: Bundle) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Golden windows (N, 6, n) and the embeddings (N, D) they must give."""
    path = bundle.file(GOLDEN)
    tensors = read_tensors(path)
    try:
        inputs, embeddings = tensors["inputs"], tensors["embeddings"]
    except KeyError as error:
        raise BundleError(f"{path}: has no tensor {error}. Export the bundle again.") from None
    fits = inputs.ndim == 3 and embeddings.ndim == 2 and len(inputs) == len(embeddings)
    if not fits or {inputs.dtype, embeddings.dtype} != {np.dtype(np.float32)}:
        raise BundleError(
            f"{path}: inputs are {inputs.dtype} of shape {inputs.shape}, embeddings {embeddings.dtype} of shape {embeddings.shape}; "
            "expected float32 (N, 6, n) and (N, D). Export the bundle again."
        )
    return inputs, embeddings


def _require_models(bundle: Bundle) -> None:
    """Every precision has a file, and none is called what the model of the manifest is called."""
    if FP32 in bundle.manifest.variants:
        raise BundleError(
            f"{bundle.path / MANIFEST}: lists {FP32} among the variants; that is its model. Export it again."
        )
    for precision in bundle.precisions:
        bundle.file(bundle.model(precision)[0])


def _in_batches(
    embed: Callable[[NDArray[np.float32]], NDArray[np.float32]], inputs: NDArray[np.float32], batch: int | None
) -> NDArray[np.float32]:
    """All at once, or so many at a time where the model takes no other number, the last batch filled up with its last window."""
    if batch is None:
        return embed(inputs)
    whole = np.concatenate([inputs, np.repeat(inputs[-1:], -len(inputs) % batch, axis=0)])
    return np.concatenate([embed(whole[i : i + batch]) for i in range(0, len(whole), batch)])[: len(inputs)]
