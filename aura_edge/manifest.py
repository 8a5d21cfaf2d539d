"""What `manifest.json` says, as plain data: the signal an encoder was trained to see, its text space, its decisions, its provenance.

Unknown fields and impossible values are errors: a manifest that is read wrongly is worse than one that is not read.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from aura_edge.types import CHANNELS

SCHEMA = 2
"""1, which had no variants, is still read."""
FP32 = "fp32"
"""The precision of `Manifest.model`; every other one is a key of `Manifest.variants`."""

Positive = Annotated[float, msgspec.Meta(gt=0)]


class SignalSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the encoder was trained to see."""

    rate_hz: Positive = 200.0
    window_s: Positive = 5.0
    channels: tuple[str, ...] = CHANNELS
    acceleration_unit: Literal["m/s2"] = "m/s2"
    angular_rate_unit: Literal["rad/s"] = "rad/s"
    gravity_included: bool = True

    @property
    def window_samples(self) -> int:
        return round(self.rate_hz * self.window_s)


class EncoderSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which encoder, as plain data from which `encoders.build` makes it again."""

    kind: str
    options: dict[str, Any]
    parameters: int


class TextSpace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The text tower whose space the vectors live in; vectors of different spaces must never be compared."""

    tower: str
    weights_sha256: str
    dimension: int


class DecisionSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How scores become labels; set on validation subjects when the bundle is made."""

    temperature: Positive = 0.05
    """Cosines are divided by it before the softmax."""
    unknown_margin: float = 0.0
    """`unknown` where the best probability leads the second by less than this."""
    unknown_cosine: float = -1.0
    """`unknown` where even the best cosine is below this."""
    seen_bias: float = 0.0
    """What is taken from the cosines of labels that were trained on where they compete with labels that were not: an encoder lies nearer to
    sentences that it has met (calibrated stacking, Chao et al. 2016, arXiv:1605.04253)."""
    still_acc_m_s2: float = 0.15
    """`still` where the accelerometer deviates less than this (root mean square around its mean, over the axes) ..."""
    still_gyro_rad_s: float = 0.05
    """... and the gyroscope less than this ..."""
    still_turn_rad_s: float = 0.5
    """... and turns no faster than this on average: more is a steady turn, where less may be a cheap gyroscope's bias."""
    smoothing_s: float = 1.0
    """Time constant of the exponential smoothing of probabilities; 0 turns it off."""
    hysteresis: float = 0.1
    """A challenger must lead the label in force by this much probability."""
    min_duration_s: float = 1.0
    """... for this long, before it takes over."""


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The same model in another precision: as the model, `imu` and `embedding` are float32."""

    file: str
    """The ONNX graph, as in `encoder.fp16.onnx`."""
    golden_tolerance: Positive
    """Largest difference that `verify` accepts in any component of a golden embedding, which is always the FP32 model's."""
    parity: dict[str, Any]
    """How it compares with the trained encoder on real windows; see `aura_edge_export.parity`."""
    kept_in_fp32: tuple[str, ...] = ()
    """Layers that stay in FP32 because less damages them."""
    method: str = ""
    """How it was made: `strongly typed`, `dynamic`, `static, entropy`."""
    reasons: dict[str, str] = {}
    """By layer that is kept in FP32: what it did otherwise."""
    batch: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """The only number of windows that the graph takes; None where any does."""


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sha256: str
    bytes: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`manifest.json`."""

    schema: int = SCHEMA
    name: str
    description: str = ""
    license: str = "Apache-2.0"
    signal: SignalSpec = SignalSpec()
    hop_s: Positive = 0.5
    encoder: EncoderSpec
    text_space: TextSpace
    decision: DecisionSpec = DecisionSpec()
    model: str = "encoder.onnx"
    """The file that engines run in FP32."""
    variants: dict[str, Variant] = {}
    """By precision: `fp16`, `int8`; and with a fixed number of windows, `fp32-batch1`."""
    prototypes: str
    """The prototype set used when none is named."""
    trained_labels: tuple[str, ...] = ()
    """Labels whose windows were trained on, of all sets; all others, such as those of the lexicon, the encoder has never met."""
    training: dict[str, Any] = {}
    """Provenance: recipe, data, subjects, seed, library versions, commit."""
    metrics: dict[str, Any] = {}
    """Measured on held-out subjects, with the command that measured them."""
    golden_tolerance: Positive = 1e-4
    """Largest difference that `verify` accepts in any component of a golden embedding."""
    files: dict[str, FileEntry] = {}
