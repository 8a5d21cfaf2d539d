"""Checkpoints of IMU2CLIP, AURA-MFM and PRIMUS that a user holds already, as encoders of ours.

Nothing in them is executed: they are read with `weights_only`, and a file that carries objects besides tensors is refused with the way out.
Nothing is guessed: the three families have tensors of equal shapes that mean different encoders, so the caller says which.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from aura_edge import encoders
from aura_edge.encoders import checkpoint
from aura_edge.encoders.checkpoint import Caption, Header
from aura_edge.errors import BundleError, TextSpaceError
from aura_edge.manifest import DecisionSpec, EncoderSpec, SignalSpec, TextSpace
from aura_edge_train import foreign_names, pretraining, state
from aura_edge_train.foreign_files import read_tensors, sha256, some
from aura_edge_train.foreign_names import FAMILIES, HEADS, TOWERS, UNUSED, Family, Tower

GruAxis = Literal["channel", "time"]
Pool = Literal["max", "adaptive"]
_OTHER = "It is another encoder, or changed since it was published: train one of ours instead."


@dataclass(frozen=True, slots=True)
class Foreign:
    """An encoder of somebody else, as one of ours."""

    spec: EncoderSpec
    state: dict[str, Tensor]
    """float32, by our names: what `encoders.build(spec).load_state_dict` takes."""
    left: tuple[str, ...]
    """Names of the file's tensors that this encoder does not use: other towers, heads and losses."""
    sha256: str
    """Of the file."""


def read_foreign(
    path: str | os.PathLike[str],
    *,
    family: Family,
    tower: Tower = "imu",
    gru_axis: GruAxis | None = None,
    pool: Pool | None = None,
    window_samples: int | None = None,
    heads: int | None = None,
) -> Foreign:
    """The encoder of `tower` in a file written by `torch.save`: a Lightning checkpoint, one of AURA-MFM's loop, or a bare state dict.

    A CNN-RNN needs `gru_axis` and `pool`, and with adaptive pooling `window_samples`: no tensor shows them (`aura_edge.encoders.cnn_rnn`
    tells who used which). A Transformer of other than the published sizes needs `heads`. Raises `BundleError` where one of these is
    missing or does not apply, and for a file that cannot be read safely or holds another encoder than the one named.
    """
    home = Path(path)
    if family not in FAMILIES or tower not in TOWERS:
        raise BundleError(
            f"{home}: family {family!r} and tower {tower!r}; expected one of {', '.join(FAMILIES)}, and one of {', '.join(TOWERS)}."
        )
    tensors = read_tensors(home)
    prefix = f"{tower}_encoder."
    prefixed = any(name.split(".")[0].endswith("_encoder") for name in tensors)
    own = {
        name.removeprefix(prefix): tensor for name, tensor in tensors.items() if not prefixed or name.startswith(prefix)
    }
    root = foreign_names.root(family, own)
    if root is None:
        raise BundleError(
            f"{home}: holds no encoder of {tower!r} from {family}; its tensors are {some(tensors)}. Say the right family and tower."
        )
    if root == "patch_embed":
        if gru_axis is not None or pool is not None:
            raise BundleError(f"{home}: holds a Transformer: leave gru_axis and pool out.")
        spec, names = _senvt(home, own, window_samples, heads)
    else:
        if heads is not None:
            raise BundleError(f"{home}: holds a 1D-CNN-RNN: leave heads out.")
        spec, names = _cnn_rnn(home, own, root, tower, gru_axis, pool, window_samples)
    state = _rename(home, own, names, spec, family)
    used = {(prefix if prefixed else "") + name for name in names.values()}
    return Foreign(spec, state, tuple(name for name in tensors if name not in used), sha256(home))


def import_checkpoint(
    path: str | os.PathLike[str],
    folder: Path,
    *,
    family: Family,
    name: str,
    text_space: TextSpace,
    captions: Mapping[str, tuple[Caption, ...]],
    signal: SignalSpec | None = None,
    gru_axis: GruAxis | None = None,
    pool: Pool | None = None,
    heads: int | None = None,
    decision: DecisionSpec | None = None,
) -> Header:
    """Read the IMU encoder in `path` and write it to `folder` as a checkpoint of ours, to be evaluated, fine-tuned or exported.

    `signal` is what it was trained to see: 5 s at 200 Hz, or the 50 Hz of PRIMUS's own configuration. `text_space` is the tower that it was aligned
    with, for all three OpenAI's CLIP ViT-B/32, and `captions` what its windows can be called, by data set. Family, variant and the file's
    digest go into the header's `training`. Raises what `read_foreign` raises, `TextSpaceError` where the dimensions differ, and `BundleError`
    for a folder that holds an encoder already.
    """
    if there := next(
        (name for name in (state.STATE, pretraining.STATE, checkpoint.HEADER) if (folder / name).exists()), None
    ):
        raise BundleError(f"{folder}: holds an encoder or a run already ({there}). Choose another folder.")
    signal = signal or SignalSpec()
    found = read_foreign(
        path, family=family, gru_axis=gru_axis, pool=pool, window_samples=signal.window_samples, heads=heads
    )
    if (dimension := found.spec.options["dimension"]) != text_space.dimension:
        raise TextSpaceError(
            f"{path}: its embeddings have {dimension} dimensions, those of {text_space.tower!r} have {text_space.dimension}: it was "
            "aligned with another text tower. Name that one."
        )
    encoder = encoders.build(found.spec)
    encoder.load_state_dict(found.state)
    header = Header(
        name=name,
        encoder=found.spec,
        signal=signal,
        text_space=text_space,
        captions=dict(captions),
        decision=decision or DecisionSpec(),
        training={
            "imported": {
                "family": family,
                "variant": {
                    key: found.spec.options[key] for key in ("gru_axis", "pool", "heads") if key in found.spec.options
                },
                "file": Path(path).name,
                "sha256": found.sha256,
                "tensors_left": dict(sorted(Counter(name.split(".")[0] for name in found.left).items())),
            }
        },
    )
    return checkpoint.save(folder, encoder, header)


def _cnn_rnn(
    home: Path,
    own: Mapping[str, Tensor],
    root: str,
    tower: Tower,
    gru_axis: GruAxis | None,
    pool: Pool | None,
    window_samples: int | None,
) -> tuple[EncoderSpec, dict[str, str]]:
    if gru_axis is None or pool is None:
        raise BundleError(
            f"{home}: its tensors do not show what the GRU steps along, nor how the last block pools, and either way gives another "
            "encoder. Say gru_axis: 'channel' (IMU2CLIP, PRIMUS, AURA-MFM's aura-mfm-u) or 'time' (AURA-MFM's aura-mfm); and pool: "
            "'max' (IMU2CLIP, AURA-MFM) or 'adaptive' (PRIMUS)."
        )
    options = foreign_names.stack_options(tower) | {
        "gru_axis": gru_axis,
        "pool": pool,
        "projection": root == "backbone",
    }
    if window_samples is not None:
        options["window_samples"] = window_samples
    elif pool == "adaptive":
        raise BundleError(
            f"{home}: with pool 'adaptive' a window of any length runs. Say window_samples: 5 s at the rate it was trained with "
            "(PRIMUS's own configuration: 250, at 50 Hz)."
        )
    names = foreign_names.cnn_rnn_names(root, options)
    state = own.get(names["gru.weight_hh_l0"])
    if state is not None and state.ndim == 2:
        options["dimension"] = state.shape[1]
    return encoders.make_spec("cnn_rnn", options), names


def _senvt(
    home: Path, own: Mapping[str, Tensor], window_samples: int | None, heads: int | None
) -> tuple[EncoderSpec, dict[str, str]]:
    depth = foreign_names.depth_of(own)
    names = foreign_names.senvt_names(depth)
    missing = [name for name in names.values() if name not in own]
    if missing or depth == 0:
        raise BundleError(
            f"{home}: a Transformer of {depth} layers without {some(missing)}: one that was not aligned with text, or not by AURA-MFM."
        )
    for name, dimensions in (("patch_embed.proj.weight", 3), ("pos_embed", 3), ("head.weight", 2)):
        if own[name].ndim != dimensions or not own[name].numel():
            raise BundleError(
                f"{home}: {name} has shape {list(own[name].shape)}; expected {dimensions} dimensions. {_OTHER}"
            )
    width, channels, patch = own["patch_embed.proj.weight"].shape
    tokens = own["pos_embed"].shape[1] - 1
    heads = heads or HEADS.get((width, depth))
    if heads is None:
        raise BundleError(
            f"{home}: a Transformer {width} wide with {depth} layers is none of the published sizes, and no tensor shows its attention heads. "
            "Say heads (--heads)."
        )
    if window_samples is not None and window_samples // patch != tokens:
        raise BundleError(
            f"{home}: made for windows of {tokens} patches of {patch} samples, {tokens * patch} in all, not for {window_samples}. "
            "Say the signal that it was trained with."
        )
    options = {
        "dimension": len(own["head.weight"]),
        "window_samples": window_samples or tokens * patch,
        "channels": channels,
        "width": width,
        "depth": depth,
        "heads": heads,
        "patch": patch,
    }
    return encoders.make_spec("senvt_released", options), names


def _rename(
    home: Path, own: Mapping[str, Tensor], names: Mapping[str, str], spec: EncoderSpec, family: Family
) -> dict[str, Tensor]:
    """`own` by our names, every shape checked; a tensor too many or too few means that it is another encoder."""
    expected = encoders.build(spec).state_dict()
    missing = [theirs for theirs in names.values() if theirs not in own]
    surplus = [name for name in own if name not in set(names.values()) and not name.startswith(UNUSED)]
    if missing or surplus:
        lacks = f"lacks {some(missing)}" if missing else f"has {some(surplus)} besides"
        raise BundleError(f"{home}: is not the published encoder of {family}: it {lacks}. {_OTHER}")
    state = {}
    for ours, theirs in names.items():
        tensor, shape = own[theirs], expected[ours].shape
        bare = tensor
        while bare.ndim > len(shape) and bare.shape[0] == 1:  # a lone vector or table is stored as a batch of one
            bare = bare[0]
        if bare.shape != shape:
            raise BundleError(
                f"{home}: {theirs} has shape {list(tensor.shape)}; expected {list(shape)} from {spec.kind!r} with what was said of it. {_OTHER}"
            )
        state[ours] = bare.detach().to(torch.float32, copy=True).contiguous()
        if not state[ours].isfinite().all():
            raise BundleError(
                f"{home}: {theirs} has values that are not finite: its training failed. Take another checkpoint."
            )
    return state
