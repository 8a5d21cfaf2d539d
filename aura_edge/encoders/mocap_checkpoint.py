"""The encoder of motion capture that a run leaves beside that of the IMU: for retrieval, and for bundles that are to find poses.

<run>/mocap.safetensors   its weights
<run>/mocap.json          spec, joints, how windows are made ready, and the digest of the weights
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import nn

from aura_edge import encoders
from aura_edge.errors import BundleError
from aura_edge.manifest import EncoderSpec
from aura_edge.whole_files import replace_file

WEIGHTS, HEADER = "mocap.safetensors", "mocap.json"


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`mocap.json`."""

    encoder: EncoderSpec
    joints: tuple[str, ...]
    rate_hz: float
    made_ready: dict[str, Any]
    """How its windows are centred and turned: `[mocap]` of the recipe, as plain data."""
    weights_sha256: str = ""


def save(run: Path, encoder: nn.Module, header: Header) -> None:
    """Write both files, weights first. Raises `BundleError` where that fails."""
    weights = to_bytes({name: tensor.detach().cpu().contiguous() for name, tensor in encoder.state_dict().items()})
    header = msgspec.structs.replace(header, weights_sha256=hashlib.sha256(weights).hexdigest())
    try:
        replace_file(run / WEIGHTS, weights)
        replace_file(run / HEADER, msgspec.json.format(msgspec.json.encode(header), indent=2) + b"\n")
    except OSError as error:
        raise BundleError(
            f"{run}: cannot write the mocap encoder: {error.strerror}. Free some space and resume."
        ) from error


def load(run: Path) -> tuple[nn.Module, Header]:
    """In evaluation mode. Raises `BundleError` for one that is not there, damaged, or torn apart from its header."""
    try:
        header = msgspec.json.decode((run / HEADER).read_bytes(), type=Header)
        weights = (run / WEIGHTS).read_bytes()
        if hashlib.sha256(weights).hexdigest() != header.weights_sha256:
            raise BundleError(
                f"{run}: {WEIGHTS} and {HEADER} were not written together. Resume the run that made them."
            )
        encoder = encoders.build(header.encoder)
        encoder.load_state_dict(from_bytes(weights))
    except (OSError, msgspec.DecodeError, SafetensorError, RuntimeError) as error:
        raise BundleError(
            f"{run}: no mocap encoder that can be read ({error}). Expected the folder of a run whose recipe has [mocap]."
        ) from error
    return encoder, header
