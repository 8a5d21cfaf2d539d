"""The image tower of a CLIP model: RGB frames to unit vectors in the space of the text tower of the same name."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from aura_edge.errors import InputError, RecipeError, require
from aura_edge.text import clip

BATCH = 32


def open_image_tower(name: str, *, download: bool = False, device: str = "cpu") -> ImageTower:
    """The image tower of `open_clip:MODEL:SOURCE`. Raises what `clip.load` raises."""
    return ImageTower(clip.load(name, download=download), device=device)


class ImageTower:
    """Embeds frames as CLIP does: shorter side to the model's size (224 for ViT-B-32), centre crop, the model's own mean and deviation."""

    def __init__(self, loaded: clip.Clip, *, device: str = "cpu") -> None:
        if loaded.preprocessing is None:
            raise RecipeError(
                f"{loaded.name.source}: {loaded.name.model} exists with several normalisations of images, and a file does not say which it "
                "was trained with. Name a pretrained tag in place of the file."
            )
        transform = require("open_clip.transform", extra="train")
        self._model: Any = loaded.model.to(device)
        self._model.text = None
        self._device = device
        settings = transform.PreprocessCfg(**self._model.visual.preprocess_cfg)
        self._prepare = transform.image_transform_v2(settings, is_train=False)
        self._image: Any = require("PIL.Image", extra="train")
        self.name = loaded.name.space
        self.size_px = int(settings.size if isinstance(settings.size, int) else settings.size[0])
        weights = clip.weights_digest(self._model.visual)
        described = msgspec.json.encode([self.name, weights, self._model.visual.preprocess_cfg], order="sorted")
        self.digest = hashlib.sha256(described).hexdigest()
        """sha256 over model, weights and preprocessing: frames embedded under one digest are comparable."""
        blank = np.zeros((self.size_px, self.size_px, 3), np.uint8)
        self.dimension = 0
        self.dimension = self.embed(blank[None]).shape[1]

    def embed(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, H, W, 3) uint8 RGB to (N, D) float32 of unit norm."""
        rows = list(self.stream(frames))
        return np.stack(rows) if rows else np.zeros((0, self.dimension), np.float32)

    def stream(self, frames: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32]]:
        """One row (D,) for each frame (H, W, 3), which may differ in size; no more than `BATCH` of them are held at once, each already at
        the model's size. Rows agree to rounding whatever frames they are embedded with."""
        prepared = map(self._prepared, frames)
        while batch := list(itertools.islice(prepared, BATCH)):
            with torch.inference_mode():
                pixels = torch.stack(batch).to(self._device)
                rows: NDArray[np.float32] = F.normalize(self._model.encode_image(pixels).float(), dim=1).cpu().numpy()
            yield from rows

    def _prepared(self, frame: NDArray[np.uint8]) -> torch.Tensor:
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or frame.size == 0:
            raise InputError(f"a frame of shape {frame.shape}, {frame.dtype}; expected (H, W, 3) uint8, red first.")
        tensor: torch.Tensor = self._prepare(self._image.fromarray(frame))
        return tensor
