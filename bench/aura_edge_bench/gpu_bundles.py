"""A bundle of an encoder of any size with weights drawn by chance, for what is timed and not believed: its labels mean nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save as to_safetensors

from aura_edge import bundle as bundles
from aura_edge import encoders, prototypes
from aura_edge.bundle import Bundle, Manifest, TextSpace
from aura_edge.encoders import presets
from aura_edge.engines.cuda import WEIGHTS
from aura_edge.errors import require
from aura_edge.kernels import packing
from aura_edge.manifest import EncoderSpec

LABELS = ("one", "two")


def random_encoder(preset: str, seed: int = 0) -> tuple[EncoderSpec, Any]:
    """The preset's spec, and its torch module with weights drawn from `seed`."""
    torch = require("torch", extra="train")
    torch.manual_seed(seed)
    kind, options = presets.resolve(preset)
    spec = encoders.make_spec(kind, options)
    return spec, encoders.build(spec)


def packed_weights(spec: EncoderSpec, module: Any) -> dict[str, NDArray[Any]]:
    """Of a torch module, as the kernel reads them."""
    return packing.pack(spec, {name: tensor.detach().cpu().numpy() for name, tensor in module.state_dict().items()})


def random_bundle(folder: Path, preset: str, windows: NDArray[np.float32]) -> Bundle:
    """Write the bundle `folder`, with golden vectors for `windows` (N, 6, n), ONNX in FP32 and the packed weights of the cuda engine."""
    torch = require("torch", extra="train")
    from aura_edge_export.graph import to_onnx

    spec, module = random_encoder(preset)
    with torch.inference_mode():
        golden = module(torch.from_numpy(windows)).numpy()
    dimension = golden.shape[1]
    space = TextSpace("none", hashlib.sha256(preset.encode()).hexdigest(), dimension)
    made = prototypes.make(
        LABELS, [[label] for label in LABELS], np.eye(len(LABELS), dimension, dtype=np.float32), space
    )
    manifest = Manifest(
        name=preset,
        description="Weights drawn by chance, for timing alone.",
        encoder=spec,
        text_space=space,
        prototypes="none",
        golden_tolerance=1e-3,
    )
    files = {
        manifest.model: to_onnx(module, window_samples=windows.shape[2]),
        "prototypes/none.safetensors": prototypes.to_bytes(made),
        bundles.GOLDEN: to_safetensors({"inputs": windows, "embeddings": golden}),
        WEIGHTS: to_safetensors(packed_weights(spec, module)),
    }
    return bundles.save(folder, msgspec.structs.replace(manifest), files)
