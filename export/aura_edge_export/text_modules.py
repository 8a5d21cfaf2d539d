"""The forward passes of the text towers as torch modules that can be traced: tokens (1, n) to a unit vector (1, D)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aura_edge.encoders.frame import length
from aura_edge.text.minilm import HEADS, LAYER_NORM_EPSILON, LAYERS, WIDTH


class Bert(nn.Module):
    """all-MiniLM-L6-v2 for one sentence of any number of tokens; it computes what `aura_edge.text.minilm` does."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self._names = {name: name.replace(".", "_") for name in weights if name != "embeddings.position_ids"}
        for name, own in self._names.items():
            self.register_buffer(own, weights[name].float())
        for layer in range(LAYERS):
            # One product for queries, keys and values, as in our own encoders.
            parts = [f"encoder.layer.{layer}.attention.self.{part}" for part in ("query", "key", "value")]
            for kind in ("weight", "bias"):
                self.register_buffer(
                    f"qkv_{layer}_{kind}", torch.cat([weights[f"{part}.{kind}"] for part in parts]).float()
                )

    def forward(self, tokens: Tensor) -> Tensor:
        n = tokens.shape[1]
        x = (
            self._of("embeddings.word_embeddings.weight")[tokens]
            + self._of("embeddings.position_embeddings.weight")[:n]
        )
        x = self._norm(
            x + self._of("embeddings.token_type_embeddings.weight")[0], "embeddings.LayerNorm"
        )  # (1, n, 384)
        for layer in range(LAYERS):
            block = f"encoder.layer.{layer}"
            qkv = F.linear(x, getattr(self, f"qkv_{layer}_weight"), getattr(self, f"qkv_{layer}_bias"))
            q, k, v = qkv.reshape(1, n, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4).unbind(0)
            weights = (q @ k.transpose(2, 3) * (WIDTH // HEADS) ** -0.5).softmax(3)
            attended = (weights @ v).transpose(1, 2).reshape(1, n, WIDTH)
            x = self._norm(
                x + self._linear(attended, f"{block}.attention.output.dense"), f"{block}.attention.output.LayerNorm"
            )
            hidden = F.gelu(self._linear(x, f"{block}.intermediate.dense"))
            x = self._norm(x + self._linear(hidden, f"{block}.output.dense"), f"{block}.output.LayerNorm")
        return _unit(x.mean(1))

    def _of(self, name: str) -> Tensor:
        found: Tensor = getattr(self, self._names[name])
        return found

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self._of(f"{name}.weight"), self._of(f"{name}.bias"))

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (WIDTH,), self._of(f"{name}.weight"), self._of(f"{name}.bias"), LAYER_NORM_EPSILON)


class ClipTower(nn.Module):
    """The text tower of any open_clip model, for one sentence of the tokens that it was trained with: 77, the rest filled up."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.text = model.text

    def forward(self, tokens: Tensor) -> Tensor:
        return _unit(self.text(tokens).float())


def _unit(x: Tensor) -> Tensor:
    unit: Tensor = x / length(x, 1, 1e-24)[:, None]
    return unit
