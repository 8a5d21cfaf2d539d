"""Motion capture made ready: on a fixed grid in time, about the pelvis, facing one way, with what was not seen marked.

Every set keeps the joints it has (`Skeleton`): the mocap encoder takes any number of channels, and joints that a sensor does not give are not
made up. AURA-MFM's 51 channels are the 17 joints of EgoBodyPose.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aura_edge.types import NS_PER_S
from aura_edge_train.datasets.modalities import Pose, Skeleton

EGO_BODY_POSE = Skeleton(
    joints=(
        "nose",
        "left-eye",
        "right-eye",
        "left-ear",
        "right-ear",
        "left-shoulder",
        "right-shoulder",
        "left-elbow",
        "right-elbow",
        "left-wrist",
        "right-wrist",
        "left-hip",
        "right-hip",
        "left-knee",
        "right-knee",
        "left-ankle",
        "right-ankle",
    ),
    hips=("left-hip", "right-hip"),
    up=2,
)
"""The 17 joints of Ego-Exo4D's EgoBodyPose, in its order; its world has z up."""
KINECT = Skeleton(
    joints=(
        "head",
        "neck",
        "spine",
        "pelvis",
        "left-shoulder",
        "left-elbow",
        "left-wrist",
        "left-hand",
        "right-shoulder",
        "right-elbow",
        "right-wrist",
        "right-hand",
        "left-hip",
        "left-knee",
        "left-ankle",
        "left-foot",
        "right-hip",
        "right-knee",
        "right-ankle",
        "right-foot",
    ),
    hips=("left-hip", "right-hip"),
    up=1,
)
"""The 20 joints of the first Kinect, in its order; its camera has y up."""
BRIDGED_S = 0.25
"""A joint unseen for longer than this is missing in between."""
_FINE = 10
"""Points per frame of the output at which the line between the frames is averaged."""


def resample(pose: Pose, t0_ns: int, frames: int, rate_hz: float) -> NDArray[np.float32]:
    """(frames, J, 3) at `t0_ns` and every period after: the mean of the line between the frames over one period around each.

    That mean takes out what lies above the output's rate. NaN where a joint was not seen for `BRIDGED_S`, and before its first and after
    its last sight.
    """
    fine = np.arange(frames * _FINE) + 0.5 - _FINE / 2
    at_s = fine / (rate_hz * _FINE)
    seen_s = (pose.t_ns - t0_ns) / NS_PER_S
    joints = pose.joints.shape[1]
    values = np.full((frames * _FINE, joints, 3), np.nan)
    for joint in range(joints):
        good = np.isfinite(pose.joints[:, joint]).all(axis=1)
        if not good.any():
            continue
        times, points = seen_s[good], pose.joints[good, joint].astype(np.float64)
        after = np.searchsorted(times, at_s)
        left, right = np.maximum(after - 1, 0), np.minimum(after, len(times) - 1)
        half = 0.5 / rate_hz  # the outer half of the first and of the last period has no line to average
        inside = (at_s >= times[0] - half) & (at_s <= times[-1] + half) & (times[right] - times[left] <= BRIDGED_S)
        for axis in range(3):
            values[inside, joint, axis] = np.interp(at_s[inside], times, points[:, axis])
    blocks = values.reshape(frames, _FINE, joints, 3)
    whole = np.isfinite(blocks[..., 0]).sum(1) * 2 >= _FINE
    with np.errstate(invalid="ignore"):
        mean = np.nansum(blocks, axis=1) / np.maximum(np.isfinite(blocks).sum(1), 1)
    mean[~whole] = np.nan
    averaged: NDArray[np.float32] = mean.astype(np.float32)
    return averaged


def centre(
    windows: NDArray[np.float32], skeleton: Skeleton, *, about: Literal["frame", "window"] = "frame"
) -> NDArray[np.float32]:
    """(W, F, J*3) with the pelvis at the origin: in each frame, or in the first frame of the window that shows it, so that its path stays.

    Without a pelvis (a hip unseen) a frame is missing altogether: its place cannot be told from its shape.
    """
    points = _points(windows, skeleton)
    pelvis = _pelvis(points, skeleton)
    if about == "window":
        seen = np.isfinite(pelvis).all(axis=2)
        first = np.argmax(seen, axis=1)
        pelvis = pelvis[np.arange(len(points)), first][:, None, :]
    centred: NDArray[np.float32] = (points - pelvis[:, :, None, :]).reshape(windows.shape)
    return centred


def face_forward(windows: NDArray[np.float32], skeleton: Skeleton) -> NDArray[np.float32]:
    """(W, F, J*3), each window turned about the vertical so that in its middle the left hip lies at +x of the right one.

    Where a person faces is nothing an IMU could know. The direction is the mean over the window; a window that shows no hips stays.
    """
    points = _points(windows, skeleton)
    left, right = (skeleton.joints.index(hip) for hip in skeleton.hips)
    across = points[:, :, left] - points[:, :, right]
    seen = np.isfinite(across).all(axis=2, keepdims=True)
    mean = np.where(seen, across, 0.0).sum(1) / np.maximum(seen.sum(1), 1)
    first, second = [axis for axis in range(3) if axis != skeleton.up]
    angle = np.arctan2(mean[:, second], mean[:, first])
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    turned = points.astype(np.float64)
    turned[..., first] = cos * points[..., first] + sin * points[..., second]
    turned[..., second] = -sin * points[..., first] + cos * points[..., second]
    faced: NDArray[np.float32] = turned.reshape(windows.shape).astype(np.float32)
    return faced


def fill(windows: NDArray[np.float32], value: float = 0.0) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(W, F, J*3) without NaN, and (W, F, J*3) True where a number was measured: what the mocap encoder takes."""
    seen = np.isfinite(windows)
    return np.where(seen, windows, np.float32(value)).astype(np.float32), seen


def _points(windows: NDArray[np.float32], skeleton: Skeleton) -> NDArray[np.float32]:
    return windows.reshape(*windows.shape[:2], len(skeleton.joints), 3)


def _pelvis(points: NDArray[np.float32], skeleton: Skeleton) -> NDArray[np.float32]:
    left, right = (skeleton.joints.index(hip) for hip in skeleton.hips)
    middle = (points[:, :, left] + points[:, :, right]) / 2
    return middle.astype(np.float32)
