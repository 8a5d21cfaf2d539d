"""Encoders as torch modules, built from plain data: (B, 6, n) float32 in SI units to (B, D) float32 of unit norm.

An `EncoderSpec` names a kind and its options; `build` makes the module again from that alone, so that a checkpoint or a manifest is enough.
Scaling and the canonical frame live inside the module, and so inside everything exported from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from aura_edge.errors import BundleError, require
from aura_edge.manifest import EncoderSpec

if TYPE_CHECKING:
    from torch import nn

KINDS = ("transformer",)
"""What `EncoderSpec.kind` may be."""


def make_spec(kind: str, options: dict[str, Any]) -> EncoderSpec:
    """The full spec of an encoder: every option with its value, and its number of parameters.

    Raises `BundleError` for an unknown kind or option, naming what is allowed.
    """
    module = _construct(kind, options)
    checked: dict[str, Any] = msgspec.to_builtins(module.options)
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
    if kind not in KINDS:
        raise BundleError(f"encoder kind {kind!r} is unknown; the ones there are: {', '.join(KINDS)}.")
    from aura_edge.encoders.transformer import PatchTransformer, TransformerOptions

    try:
        checked = msgspec.convert(options, TransformerOptions)
    except msgspec.ValidationError as error:
        raise BundleError(
            f"encoder {kind!r}: {error}. Its options are: {', '.join(TransformerOptions.__struct_fields__)}."
        ) from error
    return PatchTransformer(checked)


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
