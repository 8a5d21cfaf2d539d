"""How IMU2CLIP, AURA-MFM and PRIMUS call the tensors of their encoders, and what we call them.

    imu2clip   net.0 group norm, net.1 to net.3 convolutions, net.4 group norm, net.5 GRU
    aura-mfm   the same, with five convolutions for motion capture; or a Transformer: patch_embed, cls_token, pos_embed, layers, norm, head
    primus     the same under `backbone`, with two linear heads: `mmcl_head` leads to the space of CLIP, `ssl_head` to none; or under `net`

Facts read in facebookresearch/imu2clip, Okita-Laboratory/AURA-MFM and Nokia-Bell-Labs/pretrained-imu-encoders, November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from aura_edge.encoders.presets import PRESETS

Family = Literal["imu2clip", "aura-mfm", "primus"]
Tower = Literal["imu", "mocap"]
FAMILIES: tuple[Family, ...] = ("imu2clip", "aura-mfm", "primus")
TOWERS: tuple[Tower, ...] = ("imu", "mocap")
STACK = {"imu": "imu2clip", "mocap": "cnn-rnn-mocap"}
"""By tower: the preset whose sizes its CNN-RNN has."""
HEADS = {(192, 6): 6, (384, 12): 6, (768, 12): 12, (1024, 24): 16}
"""By width and depth: attention heads of AURA-MFM's sizes SS, S, B and L. No tensor shows them."""
UNUSED = ("ssl_head.",)
"""Parts of an encoder that its embedding does not pass through."""
_GRU = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
_BLOCK = {
    "norm_1": "norm1",
    "qkv": "attention.qkv",
    "out": "attention.proj",
    "norm_2": "norm2",
    "up": "mlp.fc1",
    "down": "mlp.fc2",
}


def root(family: Family, names: Iterable[str]) -> str | None:
    """What the names of this family's encoder start with: `net`, `backbone`, or `patch_embed` for a Transformer; None where none does."""
    allowed = {"imu2clip": ("net",), "aura-mfm": ("patch_embed", "net"), "primus": ("backbone", "net")}[family]
    found = {name.split(".")[0] for name in names}
    return next((prefix for prefix in allowed if prefix in found), None)


def cnn_rnn_names(prefix: str, options: Mapping[str, Any]) -> dict[str, str]:
    """Our names of a `cnn_rnn` to theirs."""
    blocks = len(options["kernels"])
    names = {f"convolutions.{block}.weight": f"{prefix}.{block + 1}.net.0.weight" for block in range(blocks)}
    for part in ("weight", "bias"):
        names[f"input_norm.{part}"] = f"{prefix}.0.{part}"
        names[f"norm.{part}"] = f"{prefix}.{blocks + 1}.{part}"
        if options["projection"]:
            names[f"projection.{part}"] = f"mmcl_head.{part}"
    return names | {f"gru.{part}": f"{prefix}.{blocks + 2}.{part}" for part in _GRU}


def stack_options(tower: Tower) -> dict[str, Any]:
    """Sizes of the published CNN-RNN of this tower."""
    defaults = {"channels": 6, "groups": 2, "filters": 32, "kernels": [10, 5, 5], "pools": [3, 3, 3], "bins": 32}
    return defaults | PRESETS[STACK[tower]].options


def senvt_names(depth: int) -> dict[str, str]:
    """Our names of a `senvt_released` to theirs."""
    names = {
        "summary_token": "cls_token",
        "positions": "pos_embed",
        "mask_patches.weight": "patch_embed.mask_proj.weight",
    }
    for part in ("weight", "bias"):
        names[f"patches.{part}"] = f"patch_embed.proj.{part}"
        names[f"stem_norm.{part}"] = f"patch_embed.norm.{part}"
        names[f"norm.{part}"] = f"norm.{part}"
        names[f"projection.{part}"] = f"head.{part}"
        for block in range(depth):
            for ours, theirs in _BLOCK.items():
                if (ours, part) != ("qkv", "bias"):
                    names[f"blocks.{block}.{ours}.{part}"] = f"layers.{block}.{theirs}.{part}"
    return names


def depth_of(names: Iterable[str]) -> int:
    """Blocks of a Transformer with tensors of these names."""
    found = [int(match[1]) for name in names if (match := re.match(r"layers\.(\d{1,4})\.", name))]
    return max(found, default=-1) + 1
