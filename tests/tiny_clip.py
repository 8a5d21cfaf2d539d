"""A CLIP model small enough for tests: the real tokenizer, two random layers in each tower, saved as real weights are."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

MODEL = "tiny-clip"
DIMENSION, SIZE_PX = 16, 32
CONFIG = {
    "embed_dim": DIMENSION,
    "vision_cfg": {"image_size": SIZE_PX, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


def need_open_clip() -> Any:
    """open_clip as the package imports it, or a skip that says what is missing."""
    for package in ("torch", "torchvision", "open_clip"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"CLIP towers need {package}; it comes with aura-edge[train]")
    from aura_edge.text import clip

    return clip.import_open_clip()


def register(folder: Path, name: str = MODEL, **changes: Any) -> None:
    """Make `name` a model that open_clip knows."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps(CONFIG | changes))
    need_open_clip().add_model_config(path)


def state_dict(seed: int = 0) -> dict[str, Any]:
    """Random weights, under the names that published CLIP weights have."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = need_open_clip().model.CLIP(**{key: dict(v) if isinstance(v, dict) else v for key, v in CONFIG.items()})
    # Fresh positions and tokens are so small that sentences would hardly differ.
    return {name: tensor * 5 if "embedding" in name else tensor for name, tensor in model.state_dict().items()}


def save(path: Path, seed: int = 0) -> Path:
    """Write weights as `.safetensors` or, for any other ending, as torch does."""
    import torch
    from safetensors.torch import save_file

    weights = state_dict(seed)
    if path.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)
    else:
        torch.save(weights, path)
    return path
