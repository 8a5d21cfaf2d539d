"""Encoders as torch modules, built from plain data: (B, channels, n) float32 to (B, D) float32 of unit norm.

An `EncoderSpec` names a kind and its options; `build` makes the module again from that alone, so that a checkpoint or a manifest is enough.
Scaling and the canonical frame live inside the module, and so inside everything exported from it. An IMU's six channels come in SI units;
motion capture has three for each joint, in metres.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import msgspec

from aura_edge.errors import BundleError, require
from aura_edge.manifest import EncoderSpec

if TYPE_CHECKING:
    from torch import nn

_MODULES = {
    "transformer": ("transformer", "TransformerOptions", "PatchTransformer"),
    "senvt_released": ("senvt_released", "SenvtOptions", "ReleasedSenvt"),
    "cnn_rnn": ("cnn_rnn", "CnnRnnOptions", "CnnRnn"),
}
KINDS = tuple(_MODULES)
"""What `EncoderSpec.kind` may be."""


def make_spec(kind: str, options: dict[str, Any]) -> EncoderSpec:
    """The full spec of an encoder: every option with its value, and its number of parameters.

    Raises `BundleError` for an unknown kind or option, naming what is allowed.
    """
    module = _construct(kind, options)
    # Through JSON, so that a spec equals itself when it comes back from a manifest: a tuple is a list there.
    checked: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(module.options))
    return EncoderSpec(kind=kind, options=checked, parameters=_parameters(module))


def build(spec: EncoderSpec) -> nn.Module:
    """The untrained encoder that `spec` describes, in evaluation mode."""
    module: nn.Module = _construct(spec.kind, spec.options)
    if (found := _parameters(module)) != spec.parameters:
        raise BundleError(
            f"encoder {spec.kind!r} with these options has {found} parameters, the spec says {spec.parameters}: it was made by another "
            "version of aura-edge. Train it again, or use the version that its provenance names."
        )
    return module.eval()


def _construct(kind: str, options: dict[str, Any]) -> Any:
    require("torch", extra="train")
    if kind not in _MODULES:
        raise BundleError(f"encoder kind {kind!r} is unknown; the ones there are: {', '.join(KINDS)}.")
    file, options_name, class_name = _MODULES[kind]
    module = importlib.import_module(f"aura_edge.encoders.{file}")
    described = getattr(module, options_name)
    try:
        checked = msgspec.convert(options, described)
    except msgspec.ValidationError as error:
        raise BundleError(
            f"encoder {kind!r}: {error}. Its options are: {', '.join(described.__struct_fields__)}."
        ) from error
    return getattr(module, class_name)(checked)


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
