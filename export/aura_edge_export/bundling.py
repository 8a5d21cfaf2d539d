"""From a checkpoint to a bundle that is proved: graph, prototypes, golden vectors, and the gate that they must pass together."""

from __future__ import annotations

import importlib
import itertools
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save as to_safetensors

from aura_edge import bundle, prototypes
from aura_edge.bundle import FP32, GOLDEN, Bundle, Manifest
from aura_edge.encoders import checkpoint as checkpoints
from aura_edge.encoders.checkpoint import Header
from aura_edge.engines import Engine
from aura_edge.engines.ort import open_ort
from aura_edge.engines.torch import open_torch
from aura_edge.errors import BundleError, ParityError, RecipeError, require
from aura_edge.lexicon import FILE as LEXICON
from aura_edge.prototypes import Prototypes
from aura_edge.text import TextTower, open_space
from aura_edge.text.labels import embed_labels
from aura_edge_export import forms, lexicon, parity
from aura_edge_export.card import CARD, model_card
from aura_edge_export.graph import to_onnx
from aura_edge_export.lowering import LEAST_WINDOWS, Attempt, Reference, require_windows
from aura_edge_export.mocap import MODALITIES, export_mocap
from aura_edge_export.parity import Parity, Tolerance, compare
from aura_edge_export.text_tower import export_tower
from aura_edge_export.windows import FILE, RealWindows, load_windows

BATCH = 64


@dataclass(frozen=True, slots=True)
class Exported:
    """A bundle, and the proof that it computes what was trained."""

    bundle: Bundle
    parity: Parity
    attempts: tuple[Attempt, ...] = ()
    """All forms in less precision that were tried."""
    missing: tuple[str, ...] = ()
    """Precisions that were asked for, and of which no form passed its gate."""


def export(
    folder: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    windows: Path | None = None,
    prototype_set: str | None = None,
    text_tower: str | None = None,
    phrases: Sequence[str] = (),
    description: str = "",
    license: str = "Apache-2.0",
    metrics: Mapping[str, Any] | None = None,
    precisions: Sequence[str] = (FP32,),
    targets: Sequence[str] = (),
    batch: int | None = None,
    modalities: Sequence[str] = ("imu",),
    text_folder: Path | None = None,
    golden_windows: int = 8,
    tolerance: Tolerance = parity.FP32,
    least_windows: int = LEAST_WINDOWS,
    say: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Export the checkpoint in `folder` to the bundle `target`, comparing both on real windows first.

    `windows` is a file of real windows (default: what training left beside the checkpoint), `prototype_set` the set used when none is named
    (default: the checkpoint's first), `text_tower` says where the weights of its tower are, `phrases` become its lexicon, `metrics` goes
    into the manifest beside those of the checkpoint.

    Other `precisions` are gated on at least `least_windows` and left out where they do not pass, with what was tried in the result. `batch`
    adds forms that take exactly so many windows, `targets` what those read instead of ONNX, `modalities` the run's encoder of motion
    capture. `text_folder` is where the text tower goes, as ONNX.

    Raises `ParityError` when bundle and checkpoint do not agree; then nothing is written. `MissingExtraError` says what is not installed.
    """
    wanted = forms.chosen_precisions(precisions, targets)
    if not {"imu"} <= set(modalities) <= set(MODALITIES):
        raise RecipeError(f"modalities are {', '.join(modalities) or 'none'}; expected imu, or imu,mocap.")
    for module in ("torch", "onnx", "onnxscript"):
        require(module, extra="export")
    say("reading the checkpoint")
    trained = checkpoints.load(folder)
    header = trained.header
    real = load_windows(windows or trained.path / FILE, header.signal)
    golden = real.golden(golden_windows)
    if len(wanted) > 1:
        require_windows(real, least_windows)
    say("embedding the labels")
    require_captions(header)
    tower = open_space(header.text_space, name=text_tower)
    sets = embed_captions(header, tower)
    default = prototype_set or next(iter(sets))
    if default not in sets:
        raise BundleError(f"no prototype set {default!r} in this checkpoint; it has: {', '.join(sets)}.")
    say("writing the graph")
    manifest = Manifest(
        name=Path(target).resolve().name.removesuffix(".aura"),
        description=description,
        license=license,
        signal=header.signal,
        encoder=header.encoder,
        text_space=header.text_space,
        decision=header.decision,
        prototypes=default,
        trained_labels=trained_labels(header),
        training=header.training | {"weights_sha256": header.weights_sha256, "exported_with": _versions()},
        metrics=header.metrics,
    )
    files = {manifest.model: to_onnx(trained.encoder, window_samples=header.signal.window_samples)}
    files |= {f"prototypes/{name}.safetensors": prototypes.to_bytes(known) for name, known in sets.items()}
    say(f"comparing on {len(real.samples)} real windows")
    eager = open_torch(folder)
    expected = embed_all(eager, real.samples)
    files[GOLDEN] = to_safetensors({"inputs": golden, "embeddings": eager.embed(golden)})
    eager.close()
    found = _gate(manifest, files, real, expected, sets, tolerance)
    calibration, compared = real.split()
    model = files[manifest.model]
    reference = Reference(model, compared, calibration, expected[real.compared], sets)
    made = forms.lower(reference, wanted, say)
    if batch is not None:
        forms.add_fixed_batch(made, model, batch, real.samples, expected, reference)
    forms.add_targets(made, targets, trained)
    if "mocap" in modalities:
        made.files |= export_mocap(trained.path)
    files |= made.files
    manifest = msgspec.structs.replace(manifest, variants=made.variants)
    measured = {"parity": asdict(found)} | dict(metrics or {})
    if made.attempts:
        measured["lower_precision"] = forms.facts(made.attempts)
    if text_folder is not None:
        say("writing the text tower")
        measured["text_tower"] = asdict(export_tower(tower, text_folder))
    if phrases:
        built = lexicon.build(tower, phrases, list(sets.values()), say=say)
        files[LEXICON] = built.content
        measured["lexicon"] = asdict(built.fidelity)
    manifest = msgspec.structs.replace(manifest, metrics=manifest.metrics | measured)
    files[CARD] = model_card(manifest, sets).encode()
    say("saving")
    _prove(manifest, files)
    return Exported(bundle.save(target, manifest, files), found, tuple(made.attempts), made.missing(wanted))


def require_captions(header: Header) -> None:
    """Raises `BundleError` for a checkpoint by which nothing could be recognised."""
    if not header.captions:
        raise BundleError("this checkpoint has no captions, so nothing could be recognised. Train it again.")
    for name, captions in header.captions.items():
        if not captions:
            raise BundleError(f"data set {name!r} of this checkpoint has no captions; train it again.")
        if len({caption.label for caption in captions}) != len(captions):
            raise BundleError(
                f"data set {name!r} calls two captions the same; give each a label of its own and train again."
            )


def trained_labels(header: Header) -> tuple[str, ...]:
    """Labels whose windows the encoder was trained on: all captions, but for those that its recipe leaves out."""
    entries = header.training.get("recipe", {}).get("data", [])
    unseen = {entry["name"]: entry.get("unseen", ()) for entry in entries}
    labels = [
        c.label for name, captions in header.captions.items() for c in captions if c.key not in unseen.get(name, ())
    ]
    return tuple(dict.fromkeys(labels))


def embed_captions(header: Header, tower: TextTower) -> dict[str, Prototypes]:
    """One prototype set for each data set of the checkpoint, by the tower it was trained with."""
    sets = {}
    for name, captions in header.captions.items():
        sentences = {caption.label: caption.sentences for caption in captions}
        known = embed_labels(tower, sentences)
        prototypes.require_same_space(
            known.text_space, header.text_space, found_in=Path(f"prototypes/{name}"), expected_by=Path(header.name)
        )
        sets[name] = known
    return sets


def embed_all(engine: Engine, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, D) of (N, 6, n): the first window alone, the rest in batches, so that several batch sizes are run."""
    if not len(windows):
        raise ParityError("nothing to compare: there are no windows. Give real ones with --windows.")
    cuts = [0, *range(1, len(windows), BATCH), len(windows)]
    return np.concatenate([engine.embed(windows[a:b]) for a, b in itertools.pairwise(cuts)])


def _gate(
    manifest: Manifest,
    files: Mapping[str, bytes],
    real: RealWindows,
    expected: NDArray[np.float32],
    sets: Mapping[str, Prototypes],
    tolerance: Tolerance,
) -> Parity:
    """Run the very files that would ship, through the engine that devices use, from a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as scratch:
        draft = bundle.save(Path(scratch) / "draft.aura", manifest, files)
        engine = open_ort(draft)
        try:
            found = compare(expected, embed_all(engine, real.samples), sets, tolerance, captions=real.captions)
            bundle.verify(draft, engine.embed)
        finally:
            engine.close()
    return found


def _prove(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """The golden embeddings recomputed by every form, as a device will recompute them."""
    with tempfile.TemporaryDirectory() as scratch:
        draft = bundle.save(Path(scratch) / "draft.aura", manifest, files)
        for precision in manifest.variants:
            engine = open_ort(draft, precision=precision)
            try:
                bundle.verify(draft, engine.embed, precision)
            finally:
                engine.close()


def _versions() -> dict[str, str]:
    modules = (importlib.import_module(name) for name in ("aura_edge", "onnx", "onnxruntime", "onnxscript", "torch"))
    return {module.__name__: str(module.__version__) for module in modules}
