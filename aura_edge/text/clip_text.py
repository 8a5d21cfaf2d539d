"""The text tower of a CLIP model: sentences of at most 77 tokens (the rest is cut off) to unit vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import InputError
from aura_edge.manifest import TextSpace
from aura_edge.text import clip


def open_clip_text(name: str, *, download: bool = False, device: str = "cpu") -> ClipText:
    """The text tower of `open_clip:MODEL:SOURCE`. Raises what `clip.load` raises."""
    return ClipText(clip.load(name, download=download), device=device)


class ClipText:
    """Embeds sentences one by one, so that a sentence's vector is the same bits whatever it is embedded with."""

    def __init__(self, loaded: clip.Clip, *, device: str = "cpu") -> None:
        import torch

        self._model: Any = loaded.model.to(device)
        self._tokenizer = loaded.tokenizer
        self._device = device
        # Images are embedded by a tower of their own.
        self._model.visual = None
        tower = self._model.text
        self._mask = self._causal_mask(tower)
        with torch.inference_mode():
            dimension = int(self._model.encode_text(self._tokens("a")).shape[1])
        self.space = TextSpace(loaded.name.space, clip.weights_digest(tower), dimension)

    def embed(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """(N, D) float32 of unit norm. Raises `InputError` for an empty sentence."""
        for sentence in sentences:
            if not sentence.strip():
                raise InputError("an empty sentence cannot be embedded; give each label at least one word.")
        rows = [self._embed_one(sentence) for sentence in sentences]
        return np.stack(rows) if rows else np.zeros((0, self.space.dimension), np.float32)

    def _embed_one(self, sentence: str) -> NDArray[np.float32]:
        import torch
        from torch.nn import functional as F

        with torch.inference_mode():
            tokens = self._tokens(sentence)
            if self._mask is not None:
                # Attention is causal and the vector is read at the end token: the padding behind it changes nothing and is left out.
                length = int(tokens[0].argmax()) + 1
                tokens = tokens[:, :length]
                self._model.text.attn_mask = self._mask[:length, :length]
            row: NDArray[np.float32] = F.normalize(self._model.encode_text(tokens)[0].float(), dim=0).cpu().numpy()
        return row

    def _tokens(self, sentence: str) -> Any:
        """(1, 77): start, the sentence, end, padding; what is too long loses its last tokens, not its end."""
        return self._tokenizer([sentence]).to(self._device)

    @staticmethod
    def _causal_mask(tower: Any) -> Any:
        """The tower's mask, where its vector is read at the end token (the highest there is) of causal attention; else None."""
        plain = getattr(tower, "pool_type", None) == "argmax" and getattr(tower, "cls_emb", None) is None
        return getattr(tower, "attn_mask", None) if plain else None
