"""The encoder of motion capture that a run left beside that of the IMU, in the same bundle: for finding poses by motion and the reverse.

    encoder.mocap.onnx   `mocap` float32 (B, joints * 3, frames) in metres to `embedding` float32 (B, D), unit norm
    mocap.json           joints, frame rate, and how a window is centred and turned before it enters

It is compared with the trained encoder on made-up motion: a run leaves no poses, whose licences seldom let them travel.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import ParityError, require
from aura_edge_export.graph import to_onnx
from aura_edge_export.parity import FP32, Tolerance
from aura_edge_export.sessions import embed

MODALITIES = ("imu", "mocap")
INPUT = "mocap"
MODEL, HEADER = "encoder.mocap.onnx", "mocap.json"
WINDOWS = 64


def export_mocap(run: Path, *, tolerance: Tolerance = FP32) -> dict[str, bytes]:
    """The two files for a bundle. Raises `BundleError` for a run without such an encoder, or a damaged one, and `ParityError` where the
    graph computes something else."""
    torch = require("torch", extra="export")
    from aura_edge.encoders import mocap_checkpoint

    encoder, header = mocap_checkpoint.load(run)
    options = header.encoder.options
    content = to_onnx(encoder, window_samples=options["window_samples"], channels=options["channels"], name=INPUT)
    poses = made_up_poses(WINDOWS, options["channels"], options["window_samples"], header.rate_hz)
    with torch.inference_mode():
        expected = encoder(torch.from_numpy(poses)).numpy()
    worst = float(np.max(np.abs(embed(content, poses, name=INPUT) - expected)))
    # Written so that NaN fails.
    if not worst <= tolerance.max_abs:
        raise ParityError(
            f"the exported mocap encoder is not the trained one: embeddings differ by {worst:.3g}, accepted {tolerance.max_abs:.3g}. Nothing was "
            "written. Try another version of torch or onnxscript, or report the encoder."
        )
    about = {
        "encoder": header.encoder,
        "joints": header.joints,
        "rate_hz": header.rate_hz,
        "made_ready": header.made_ready,
    }
    return {MODEL: content, HEADER: msgspec.json.format(msgspec.json.encode(about), indent=2) + b"\n"}


def made_up_poses(count: int, channels: int, frames: int, rate_hz: float) -> NDArray[np.float32]:
    """(count, channels, frames) in metres: every coordinate swings about a place of its own, at its own rate below 2 Hz."""
    rng = np.random.default_rng(0)
    t_s = np.arange(frames) / rate_hz
    place, size = rng.uniform(-1, 1, (count, channels, 1)), rng.uniform(0, 0.3, (count, channels, 1))
    rate, phase = rng.uniform(0.1, 2, (count, channels, 1)), rng.uniform(0, 2 * np.pi, (count, channels, 1))
    return (place + size * np.sin(2 * np.pi * rate * t_s + phase)).astype(np.float32)
