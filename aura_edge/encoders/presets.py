"""Encoders by name: the two papers', and our own for the edge, as a kind and options.

    aura, aura-s, aura-b    the Transformer of AURA-MFM for an IMU, with the residual connections that the paper describes
    aura-mocap              the same for motion capture: 17 joints, three coordinates each, 50 frames
    imu2clip                the stacked 1D-CNN-RNN of IMU2CLIP
    cnn-rnn-mocap           AURA-MFM's version of that for motion capture
    edge-xs, edge, edge-l   patches that no rotation of the sensor changes, and the channels beside them; `edge` is the shipped demo's

`dimension` is the papers' 512 where they say it, and otherwise comes from the text tower.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from aura_edge.errors import BundleError


class Preset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A kind, options for it, and options that only the user can decide."""

    kind: str
    options: dict[str, Any]
    needed: dict[str, str] = {}
    """By option: what it can be, and what that means."""


_AURA = {
    "dimension": 512,
    "mlp_ratio": 2,
    "stride": 8,
    "patch": 8,
    "invariant_filters": 0,
    "vector_filters": 0,
    "plain_stem": True,
    "pooling": "summary",
    "dropout_of": "elements",
    "drop_path": 0.0,
    "qkv_bias": False,
}
_EDGE = {"mlp_ratio": 3, "stride": 20, "patch": 40, "attention_pools": 4, "token_mask": 0.5}
_NEEDED = {
    "gru_axis": "'channel' as in IMU2CLIP's code, or 'time' as in AURA-MFM's fork of it",
    "pool": "'max' as in both, or 'adaptive' as in PRIMUS",
}

PRESETS: dict[str, Preset] = {
    "aura": Preset("transformer", _AURA | {"width": 192, "depth": 6, "heads": 6}),
    "aura-s": Preset("transformer", _AURA | {"width": 384, "depth": 12, "heads": 6}),
    "aura-b": Preset("transformer", _AURA | {"width": 768, "depth": 12, "heads": 12}),
    "aura-mocap": Preset(
        "transformer",
        _AURA | {"width": 192, "depth": 6, "heads": 6, "channels": 51, "window_samples": 50, "stride": 1, "patch": 1},
    ),
    "imu2clip": Preset("cnn_rnn", {"dimension": 512}, _NEEDED),
    "cnn-rnn-mocap": Preset(
        "cnn_rnn",
        {
            "dimension": 512,
            "window_samples": 50,
            "channels": 51,
            "groups": 17,
            "filters": 128,
            "kernels": [2, 2, 2, 2, 2],
            "pools": [2, 1, 1, 1, 1],
            "bins": 16,
        },
        {"gru_axis": "'channel' as in AURA-MFM's code, or 'time'", "pool": "'max' as there, or 'adaptive'"},
    ),
    "edge-xs": Preset(
        "transformer",
        _EDGE
        | {"width": 64, "depth": 3, "heads": 2, "invariant_filters": 32, "vector_filters": 16, "channel_filters": 48},
    ),
    "edge": Preset(
        "transformer",
        _EDGE
        | {"width": 128, "depth": 4, "heads": 4, "invariant_filters": 64, "vector_filters": 32, "channel_filters": 96},
    ),
    "edge-l": Preset(
        "transformer",
        _EDGE
        | {"width": 192, "depth": 6, "heads": 6, "invariant_filters": 96, "vector_filters": 48, "channel_filters": 144},
    ),
}


def resolve(name: str, options: Mapping[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
    """Kind and options of the preset `name`, with `options` in place of its own: what `make_spec` takes.

    Raises `BundleError` for a name that there is not, or where an option that the preset leaves open is missing.
    """
    if name not in PRESETS:
        raise BundleError(f"encoder preset {name!r} is unknown; the ones there are: {', '.join(PRESETS)}.")
    preset = PRESETS[name]
    merged = preset.options | dict(options or {})
    missing = [f"{option} ({choices})" for option, choices in preset.needed.items() if option not in merged]
    if missing:
        raise BundleError(
            f"encoder preset {name!r} does not say {' and '.join(missing)}: the same weights mean another encoder then. Say it."
        )
    return preset.kind, merged
