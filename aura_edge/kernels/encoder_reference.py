"""What the encoder in one launch computes, in numpy from its packed weights: the first rung that the kernel is held against.

In float64, or with every value that the kernel keeps in FP16 rounded to it (`rounded`), which tells what the format costs from what a
mistake costs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aura_edge.kernels.packing import RATE_SCALE_RAD_S, from_fragments
from aura_edge.kernels.shape import EncoderShape
from aura_edge.types import STANDARD_GRAVITY_M_S2

Array = NDArray[np.float64]
_erf = np.vectorize(math.erf, otypes=[np.float64])


def encode(
    shape: EncoderShape, packed: Mapping[str, NDArray[Any]], windows: NDArray[Any], *, rounded: bool = False
) -> Array:
    """(B, 6, n) windows in SI units to (B, D) float64 unit vectors."""
    reference = Reference(shape, packed, rounded=rounded)
    return np.stack([reference.encode(np.asarray(window, np.float64)) for window in windows])


class Reference:
    """The layers one by one, for one window."""

    def __init__(self, shape: EncoderShape, packed: Mapping[str, NDArray[Any]], *, rounded: bool = False) -> None:
        self.shape, self.rounded = shape, rounded
        self.packed = {name: np.asarray(array, np.float64) for name, array in packed.items()}

    def encode(self, window: Array) -> Array:
        """(6, n) to (D,)."""
        x = self.stem(window)
        for layer in range(self.shape.depth):
            x = self.feed_forward_half(layer, self.attention_half(layer, x))
        return self.head(x)

    def stem(self, window: Array) -> Array:
        """(6, n) to the tokens that enter the first block, (tokens, width)."""
        shape = self.shape
        x = np.tile(self.packed["stem.bias"], (shape.patches, 1))
        acceleration, rate = window[:3] / STANDARD_GRAVITY_M_S2, window[3:] / RATE_SCALE_RAD_S
        gravity = acceleration.mean(1)
        up = gravity / _length(gravity, 0)
        if shape.invariant_filters:
            x += self._filtered("invariant", invariants(acceleration, rate, up), shape.invariant_filters)
        if shape.vector_filters:
            x += self._vectors(acceleration, rate, up)
        if shape.channel_filters:
            x += self._filtered("channel", window, shape.channel_filters)
        if shape.plain:
            x += self._patches(window) @ self._matrix("stem.plain.patches", 6 * shape.patch).T
        x = _normalise(x) * self.packed["stem.scale"]
        if shape.summary:
            x = np.concatenate([np.zeros((1, shape.width)), x])
        return x + self.packed["positions"]

    def attention_half(self, layer: int, x: Array) -> Array:
        """Layer norm, queries, keys and values, attention, projection, residual: (tokens, width) to the same."""
        shape, tokens, width = self.shape, len(x), self.shape.width
        qkv = self._half(_normalise(x)) @ self._matrix("blocks.qkv", width)[layer].T
        qkv[:, :width] += self.packed["blocks.qkv_bias"][layer]
        q, k, v = self._half(qkv).reshape(tokens, 3, shape.heads, shape.head_size).transpose(1, 2, 0, 3)
        scores = q @ k.transpose(0, 2, 1)
        weights = np.exp2(scores - scores.max(2, keepdims=True))
        attended = self._half(weights) @ v / weights.sum(2, keepdims=True)
        out = (
            self._half(attended.transpose(1, 0, 2).reshape(tokens, width)) @ self._matrix("blocks.out", width)[layer].T
        )
        out += self.packed["blocks.out_bias"][layer]
        return np.asarray(x + out if shape.residual else out)

    def feed_forward_half(self, layer: int, x: Array) -> Array:
        """Layer norm, up, GELU, down, residual: (tokens, width) to the same."""
        up = self._half(_normalise(x)) @ self._matrix("blocks.up", self.shape.width)[layer].T
        hidden = self._half(_gelu(up + self.packed["blocks.up_bias"][layer]))
        down = hidden @ self._matrix("blocks.down", self.shape.hidden)[layer].T + self.packed["blocks.down_bias"][layer]
        return np.asarray(x + down if self.shape.residual else down)

    def head(self, x: Array) -> Array:
        """(tokens, width) to the unit vector (D,)."""
        shape, x = self.shape, _normalise(x)
        pooled = x[0] if shape.summary else x.mean(0)
        if shape.pools:
            logits = x @ self.packed["pools"].T
            weights = np.exp(logits - logits.max(0))
            pooled = np.concatenate([pooled, (weights.T @ x / weights.sum(0)[:, None]).ravel()])
        projection = self.packed["projection"].transpose(1, 0, 2).reshape(shape.dimension, -1)
        embedding = projection @ pooled + self.packed["projection.bias"]
        return np.asarray(embedding / _length(embedding, 0, 1e-12))

    def _filtered(self, kind: str, channels: Array, filters: int) -> Array:
        patches = self._patches(channels) @ self._matrix(f"stem.{kind}.patches", len(channels) * self.shape.patch).T
        hidden = self._half(_gelu(patches + self.packed[f"stem.{kind}.patches_bias"]))
        return hidden @ self._matrix(f"stem.{kind}.mix", filters).T

    def _vectors(self, acceleration: Array, rate: Array, up: Array) -> Array:
        filters, n = self.shape.vector_filters, acceleration.shape[1]
        matrix = self._matrix("stem.vector.patches", 2 * self.shape.patch)
        both = np.stack([acceleration - up[:, None], rate], 1)  # (3, 2, n)
        vectors = np.stack([self._patches(axis) @ matrix.T for axis in both])  # (3, N, filters)
        turned = acceleration.reshape(3, 5, n // 5).mean(2) - up[:, None]
        gated = vectors @ self.packed["stem.vector.gates"].T
        gated = (gated * _length(gated, 0)).mean(1)
        gated = gated / (_length(gated, 0) + 0.05)
        references = np.concatenate([turned * 2, gated], 1)  # (3, 9)
        partner = self._half(vectors) @ self._matrix("stem.vector.partner", filters).T
        features = np.concatenate(
            [
                _length(vectors, 0),
                (vectors * up[:, None, None]).sum(0),
                (vectors * partner).sum(0),
                *(references.T @ vectors.reshape(3, -1)).reshape(9, -1, filters),
            ],
            1,
        )
        features = self._half(_normalise(np.sign(features) * np.log1p(2 * np.abs(features))))
        return features @ self._matrix("stem.vector.mix", 12 * filters).T

    def _patches(self, channels: Array) -> Array:
        """(c, n) to (N, patch * c)."""
        shape = self.shape
        padded = np.pad(self._half(channels), ((0, 0), (shape.padding, shape.padding)))
        starts = np.arange(shape.patches) * shape.stride
        index = starts[:, None] + np.arange(shape.patch)
        return padded[:, index].transpose(1, 2, 0).reshape(shape.patches, -1)

    def _matrix(self, name: str, inputs: int) -> Array:
        return from_fragments(self.packed[name], inputs)

    def _half(self, values: Array) -> Array:
        return values.astype(np.float16).astype(np.float64) if self.rounded else values


def invariants(acceleration: Array, rate: Array, up: Array) -> Array:
    """The ten channels of `encoders.frame.invariants`, of one window: (3, n), (3, n) and (3,) to (10, n)."""
    vertical, turn = up @ acceleration, up @ rate
    flat_acceleration, flat_rate = acceleration - np.outer(up, vertical), rate - np.outer(up, turn)
    size_a, size_r = _length(flat_acceleration, 0), _length(flat_rate, 0)
    size = np.sqrt(size_a**2 + size_r**2 + 1e-6) + 0.1
    cross = np.cross(flat_acceleration, flat_rate, axis=0)
    change = np.diff(acceleration, axis=1, prepend=acceleration[:, :1])
    magnitude = _length(acceleration, 0)
    return np.stack(
        [
            vertical - 1,
            size_a,
            turn,
            size_r,
            (flat_acceleration * flat_rate).sum(0) / size,
            (up @ cross) / size,
            np.log(magnitude + 0.05),
            np.log(_length(rate, 0) + 0.05),
            np.log(_length(change, 0) + 0.01) * 0.5 + 1,
            magnitude - 1,
        ]
    )


def _length(vectors: Array, axis: int, epsilon: float = 1e-6) -> Array:
    return np.asarray(np.sqrt((vectors * vectors).sum(axis) + epsilon))


def _normalise(x: Array, epsilon: float = 1e-5) -> Array:
    """Layer norm without scale and shift, which are in the matrix that follows."""
    centred = x - x.mean(-1, keepdims=True)
    return np.asarray(centred / np.sqrt((centred * centred).mean(-1, keepdims=True) + epsilon))


def _gelu(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + _erf(x / math.sqrt(2))))
