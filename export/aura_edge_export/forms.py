"""The forms of a model that a bundle holds beside its FP32 graph: other precisions, fixed batches, and what a target reads instead of ONNX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save as to_safetensors

from aura_edge.bundle import FP32, Variant
from aura_edge.encoders.checkpoint import Checkpoint
from aura_edge.errors import ParityError, RecipeError
from aura_edge_export import parity
from aura_edge_export.folding import fix_batch
from aura_edge_export.lowering import Attempt, Lowered, Reference, golden_tolerance, to_fp16, to_integers
from aura_edge_export.sessions import embed

MAKERS: dict[str, Callable[[Reference], Lowered]] = {"fp16": to_fp16, "int8": to_integers}
PRECISIONS = (FP32, *MAKERS)
"""What `--precision` takes; fp32 is always there, since all others are measured against it."""
TARGETS: dict[str, tuple[str, ...]] = {"ort": (), "openvino": (), "trt": ("fp16",), "cuda": ()}
"""What `--target` takes, and the precisions that it runs best."""
CUDA_WEIGHTS = "encoder.cuda.safetensors"
"""Weights in the order in which the kernels of `aura_edge.kernels` read them."""
TOLERANCES = {FP32: parity.FP32, "fp16": parity.FP16, "int8": parity.INT8}


@dataclass(slots=True)
class Forms:
    """What goes into the bundle, and all that was tried."""

    files: dict[str, bytes] = field(default_factory=dict)
    variants: dict[str, Variant] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)

    def missing(self, precisions: Sequence[str]) -> tuple[str, ...]:
        """Those that were asked for and of which no form passed its gate."""
        return tuple(name for name in precisions if name != FP32 and name not in self.variants)


def chosen_precisions(precisions: Sequence[str], targets: Sequence[str]) -> tuple[str, ...]:
    """FP32, what was asked for, and what the targets run best. Raises `RecipeError` for a name that there is not."""
    for found, known, what in ((precisions, PRECISIONS, "precision"), (targets, tuple(TARGETS), "target")):
        if unknown := [name for name in found if name not in known]:
            raise RecipeError(f"no {what} {', '.join(unknown)}; expected some of {', '.join(known)}.")
    wanted = {FP32, *precisions, *(name for target in targets for name in TARGETS[target])}
    return tuple(name for name in PRECISIONS if name in wanted)


def lower(reference: Reference, precisions: Sequence[str], say: Callable[[str], None]) -> Forms:
    """Each precision but FP32, where one of its forms passes the gate."""
    forms = Forms()
    for name in precisions:
        if name == FP32:
            continue
        say(f"trying {name} on {len(reference.compared.samples)} real windows")
        lowered = MAKERS[name](reference)
        forms.attempts.extend(lowered.attempts)
        if lowered.variant is not None:
            forms.variants[name] = lowered.variant
            forms.files[lowered.variant.file] = lowered.content
    return forms


def add_fixed_batch(
    forms: Forms,
    model: bytes,
    batch: int,
    windows: NDArray[np.float32],
    expected: NDArray[np.float32],
    reference: Reference,
) -> None:
    """A form of each precision that takes exactly `batch` windows. Raises `ParityError` where one computes something else."""
    contents = {FP32: model} | {name: forms.files[variant.file] for name, variant in forms.variants.items()}
    for name, content in contents.items():
        fixed = fix_batch(content, batch)
        found = in_fixed_batches(fixed, windows, batch)
        measured = parity.measure(expected, found, reference.sets, {})
        if wrong := parity.faults(measured, TOLERANCES[name]):
            raise ParityError(
                f"{name} with a batch of {batch} is not the trained model: {'; '.join(wrong)}. Nothing was written."
            )
        of = forms.variants.get(name, Variant("", golden_tolerance(measured), {}))
        variant = msgspec.structs.replace(
            of,
            file=f"encoder.{name}.batch{batch}.onnx",
            golden_tolerance=golden_tolerance(measured),
            parity=asdict(measured),
            batch=batch,
        )
        forms.variants[f"{name}-batch{batch}"] = variant
        forms.files[variant.file] = fixed


def in_fixed_batches(content: bytes, windows: NDArray[np.float32], batch: int) -> NDArray[np.float32]:
    """Embeddings by a graph that takes exactly `batch` windows; the last batch is filled up with its last window."""
    whole = np.concatenate([windows, np.repeat(windows[-1:], -len(windows) % batch, axis=0)])
    return embed(content, whole, batch=batch)[: len(windows)]


def add_targets(forms: Forms, targets: Sequence[str], trained: Checkpoint) -> None:
    """What targets read that run no ONNX."""
    if "cuda" in targets:
        from aura_edge.kernels.packing import pack

        tensors = {name: tensor.detach().float().numpy() for name, tensor in trained.encoder.state_dict().items()}
        forms.files[CUDA_WEIGHTS] = to_safetensors(pack(trained.header.encoder, tensors))


def facts(attempts: Sequence[Attempt]) -> list[Mapping[str, object]]:
    """All that was tried, for the manifest."""
    return [attempt.facts() for attempt in attempts]
