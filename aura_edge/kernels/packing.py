"""Weights of an encoder as its kernel reads them: FP16 matrices in the order of tensor-core fragments, FP32 vectors, everything foldable folded.

A matrix (n, k) becomes (n / 8, ceil(k / 32), 32, 8): for each eight outputs and 32 inputs, the eight halves that each lane of a warp feeds to
two `mma.sync.m16n8k16`, so that a warp fetches them with one 16-byte load a lane, coalesced, straight from the L2 cache.

Folded: the scale and shift of every layer norm into what follows it; the scale of attention, times log2(e), into the queries; the shift of
the values through the output matrix (attention weights sum to one); the shift of the keys and of the pooling logits away (a softmax does not
see them); units into the filters; all shifts of the stems into one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from aura_edge.errors import BundleError
from aura_edge.kernels.shape import EncoderShape, shape_of
from aura_edge.manifest import EncoderSpec
from aura_edge.types import STANDARD_GRAVITY_M_S2

RATE_SCALE_RAD_S = 2.0
"""What `encoders.stems` divides angular rates by."""
REFERENCES = 9
"""Directions that `VectorStem` takes products with: five parts of the window, four learned."""
ALIGNMENT_BYTES = 256

Arrays = Mapping[str, NDArray[Any]]


def pack(spec: EncoderSpec, tensors: Arrays, *, matrix_type: DTypeLike = np.float16) -> dict[str, NDArray[Any]]:
    """What the kernel reads, from an encoder's state (`tensors`, by parameter name).

    Matrices are rounded to `matrix_type` once, after folding in float64. Raises `EngineError` for an encoder that the kernel cannot run, and
    `BundleError` for tensors that are missing, of other shapes, or too large for the type.
    """
    shape = shape_of(spec)
    wide = {name: np.asarray(tensor, np.float64) for name, tensor in tensors.items()}
    try:
        matrices, vectors = _Folding(shape, wide).everything()
    except KeyError as error:
        raise BundleError(
            f"these weights have no {error}: they are not of the encoder that the spec describes."
        ) from None
    except ValueError as error:
        raise BundleError(f"these weights are not of the encoder that the spec describes: {error}.") from None
    packed: dict[str, NDArray[Any]] = {}
    for name, matrix in matrices.items():
        with np.errstate(over="ignore"):  # said below, with its name
            packed[name] = np.ascontiguousarray(matrix.astype(matrix_type))
    for name, vector in vectors.items():
        packed[name] = np.ascontiguousarray(vector, np.float32 if matrix_type == np.float16 else np.float64)
    for name, array in packed.items():
        if not np.isfinite(array).all():
            raise BundleError(
                f"{name} is not finite in {array.dtype}: this encoder cannot run in FP16. Use another engine."
            )
    return packed


def fragments(matrix: NDArray[Any]) -> NDArray[Any]:
    """(..., n, k) to (..., n / 8, ceil(k / 32), 32, 8): lane l holds output l / 4 and inputs 2 (l % 4) + {0, 1, 8, 9, 16, 17, 24, 25}."""
    *lead, n, k = matrix.shape
    columns = -(-k // 32) * 32
    padded = np.zeros((*lead, n, columns), matrix.dtype)
    padded[..., :k] = matrix
    # k = 32 block + 16 step + 8 register + 2 quad + half
    tiles = padded.reshape(*lead, n // 8, 8, columns // 32, 2, 2, 4, 2)
    axes = [
        len(lead) + axis for axis in (0, 2, 1, 5, 3, 4, 6)
    ]  # outputs, blocks, (output, quad), (step, register, half)
    return tiles.transpose(*range(len(lead)), *axes).reshape(*lead, n // 8, columns // 32, 32, 8)


def from_fragments(packed: NDArray[Any], inputs: int) -> NDArray[Any]:
    """What `fragments` was given: (..., n, inputs)."""
    *lead, groups, blocks, _, _ = packed.shape
    tiles = packed.reshape(*lead, groups, blocks, 8, 4, 2, 2, 2)
    axes = [len(lead) + axis for axis in (0, 2, 1, 4, 5, 3, 6)]
    return tiles.transpose(*range(len(lead)), *axes).reshape(*lead, groups * 8, blocks * 32)[..., :inputs]


def offsets(packed: Arrays) -> tuple[dict[str, int], int]:
    """Where each array begins in one buffer that holds all, in bytes, and how long that is."""
    found, end = {}, 0
    for name in sorted(packed):
        found[name] = end
        end += -(-packed[name].nbytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
    return found, end


def blob(packed: Arrays) -> NDArray[np.uint8]:
    """The buffer that `offsets` describes."""
    places, size = offsets(packed)
    buffer = np.zeros(size, np.uint8)
    for name, place in places.items():
        data = np.ascontiguousarray(packed[name]).view(np.uint8).reshape(-1)
        buffer[place : place + data.size] = data
    return buffer


class _Folding:
    """Folds the weights of one encoder, in float64."""

    def __init__(self, shape: EncoderShape, tensors: Arrays) -> None:
        self.shape, self.tensors = shape, tensors
        self.matrices: dict[str, NDArray[np.float64]] = {}
        self.vectors: dict[str, NDArray[np.float64]] = {}

    def everything(self) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
        self._stems()
        self._positions()
        blocks = [self._block(f"blocks.{index}") for index in range(self.shape.depth)]
        for name in ("qkv", "out", "up", "down"):
            self.matrices[f"blocks.{name}"] = fragments(np.stack([block[name] for block in blocks]))
            self.vectors[f"blocks.{name}_bias"] = np.stack([block[f"{name}_bias"] for block in blocks])
        self._head()
        return self.matrices, self.vectors

    def _get(self, name: str, *sizes: int) -> NDArray[np.float64]:
        tensor = self.tensors[name]
        if tensor.shape != sizes:
            raise ValueError(f"{name} is {tensor.shape}, expected {sizes}")
        return tensor

    def _optional(self, name: str, *sizes: int) -> NDArray[np.float64]:
        return self._get(name, *sizes) if name in self.tensors else np.zeros(sizes)

    def _filters(self, name: str, count: int, channels: int, scales: NDArray[np.float64]) -> NDArray[np.float64]:
        """A convolution's weights (count, channels, patch) as (count, patch * channels): samples lie channel by channel in the kernel."""
        weights = self._get(name, count, channels, self.shape.patch) * scales[:, None]
        return np.asarray(weights.transpose(0, 2, 1).reshape(count, -1))

    def _stems(self) -> None:
        shape, width = self.shape, self.shape.width
        units = np.repeat([1 / STANDARD_GRAVITY_M_S2, 1 / RATE_SCALE_RAD_S] if shape.scaled else [1.0, 1.0], 3)
        bias = np.zeros(width)
        present = [
            (kind, filters)
            for kind, filters in (
                ("invariant", shape.invariant_filters),
                ("vector", shape.vector_filters),
                ("channel", shape.channel_filters),
            )
            if filters
        ]
        for index, (kind, filters) in enumerate(present):
            at = f"stems.{index}"
            if kind == "vector":
                bias += self._vector_stem(at, filters)
                continue
            channels, scales = (10, np.ones(10)) if kind == "invariant" else (6, units)
            weights = self._filters(f"{at}.patches.weight", filters, channels, scales)
            self.matrices[f"stem.{kind}.patches"] = fragments(weights)
            self.vectors[f"stem.{kind}.patches_bias"] = self._get(f"{at}.patches.bias", filters)
            self.matrices[f"stem.{kind}.mix"] = fragments(self._get(f"{at}.mix.weight", width, filters))
            bias += self._get(f"{at}.mix.bias", width)
        if shape.plain:
            name = "plain_stem.patches" if shape.scaled else "patches"
            self.matrices["stem.plain.patches"] = fragments(self._filters(f"{name}.weight", width, 6, units))
            bias += self._get(f"{name}.bias", width)
        self.vectors["stem.bias"] = bias

    def _vector_stem(self, at: str, filters: int) -> NDArray[np.float64]:
        width, features = self.shape.width, filters * (3 + REFERENCES)
        self.matrices["stem.vector.patches"] = fragments(self._filters(f"{at}.patches.weight", filters, 2, np.ones(2)))
        self.matrices["stem.vector.partner"] = fragments(self._get(f"{at}.partner.weight", filters, filters))
        self.vectors["stem.vector.gates"] = self._get(f"{at}.gates.weight", 4, filters)
        mix, shift = self._after_norm(f"{at}.norm", features, self._get(f"{at}.mix.weight", width, features))
        # The kernel keeps all filters' products with one direction together.
        products = mix[:, 3 * filters :].reshape(width, filters, REFERENCES).transpose(0, 2, 1).reshape(width, -1)
        self.matrices["stem.vector.mix"] = fragments(np.concatenate([mix[:, : 3 * filters], products], 1))
        return np.asarray(shift + self._get(f"{at}.mix.bias", width))

    def _after_norm(self, norm: str, inputs: int, weight: NDArray[np.float64]) -> tuple[Any, Any]:
        """A linear map that follows a layer norm, with the norm's scale in it, and what the norm's shift adds behind it."""
        return weight * self._get(f"{norm}.weight", inputs), weight @ self._get(f"{norm}.bias", inputs)

    def _positions(self) -> None:
        shape, summaries = self.shape, int(self.shape.summary)
        positions = self.tensors.get("positions", _sinusoids(shape.tokens, shape.width)).copy()
        if positions.shape != (shape.tokens, shape.width):
            raise ValueError(f"positions are {positions.shape}, expected {(shape.tokens, shape.width)}")
        positions[summaries:] += self._get("stem_norm.bias", shape.width)
        if summaries:
            positions[0] += self._get("summary_token", shape.width)
        self.vectors["positions"] = positions
        self.vectors["stem.scale"] = self._get("stem_norm.weight", shape.width)

    def _block(self, at: str) -> dict[str, NDArray[np.float64]]:
        width, hidden = self.shape.width, self.shape.hidden
        qkv, shift = self._after_norm(f"{at}.norm_1", width, self._get(f"{at}.qkv.weight", 3 * width, width))
        shift = shift + self._optional(f"{at}.qkv.bias", 3 * width)
        scale = math.log2(math.e) / math.sqrt(self.shape.head_size)
        qkv[:width] *= scale
        out = self._get(f"{at}.out.weight", width, width)
        up, up_shift = self._after_norm(f"{at}.norm_2", width, self._get(f"{at}.up.weight", hidden, width))
        return {
            "qkv": qkv,
            "qkv_bias": shift[:width] * scale,
            "out": out,
            "out_bias": self._get(f"{at}.out.bias", width) + out @ shift[2 * width :],
            "up": up,
            "up_bias": up_shift + self._get(f"{at}.up.bias", hidden),
            "down": self._get(f"{at}.down.weight", width, hidden),
            "down_bias": self._get(f"{at}.down.bias", width),
        }

    def _head(self) -> None:
        shape, width = self.shape, self.shape.width
        scale, shift = self._get("norm.weight", width), self._get("norm.bias", width)
        projection = self._get("projection.weight", shape.dimension, shape.features)
        each = projection.reshape(shape.dimension, 1 + shape.pools, width)
        self.vectors["projection.bias"] = self._get("projection.bias", shape.dimension) + (each @ shift).sum(1)
        folded = (each * scale).reshape(shape.dimension, shape.features // 8, 8)
        # Eight inputs of one output side by side: a thread an output, 16 bytes a load.
        self.matrices["projection"] = folded.transpose(1, 0, 2)
        if shape.pools:
            self.vectors["pools"] = self._get("pools.weight", shape.pools, width) * scale


def _sinusoids(tokens: int, width: int) -> NDArray[np.float64]:
    """(tokens, width): the positions of an encoder that did not learn any."""
    rates = np.exp(np.arange(0, width, 2) * (-math.log(1000.0) / width))
    angles = np.arange(tokens)[:, None] * rates
    positions: NDArray[np.float64] = 0.3 * np.stack([np.sin(angles), np.cos(angles)], 2).reshape(tokens, width)
    return positions
