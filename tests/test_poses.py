"""Motion capture made ready: by time, about the pelvis, facing one way, gaps marked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_edge.types import NS_PER_S
from aura_edge_train.datasets import poses
from aura_edge_train.datasets.modalities import Pose, Skeleton

THREE = Skeleton(("left", "right", "head"), ("left", "right"), 2)


def line(rate_hz: float, seconds: float = 4.0, *, seed: int | None = None) -> Pose:
    """One joint whose x is the time; jittered with a seed."""
    seconds_at = np.arange(round(seconds * rate_hz)) / rate_hz
    if seed is not None:
        seconds_at[1:-1] += np.random.default_rng(seed).uniform(-0.4, 0.4, len(seconds_at) - 2) / rate_hz
    joints = np.zeros((len(seconds_at), 1, 3), np.float32)
    joints[:, 0, 0] = seconds_at
    return Pose(np.rint(seconds_at * NS_PER_S).astype(np.int64), joints)


@given(st.floats(8, 120), st.integers(0, 100))
def test_resampling_goes_by_time(rate_hz: float, seed: int) -> None:
    """Of any rate, jittered or not, a motion at constant speed stays one."""
    found = poses.resample(line(rate_hz, seed=seed), 0, 38, 10.0)
    np.testing.assert_allclose(found[1:-1, 0, 0], np.arange(1, 37) / 10, atol=2e-3)


def test_resampling_takes_out_what_the_grid_cannot_hold() -> None:
    """A tremor of 10 Hz, which would be a constant on the grid, is averaged away; a slow swing stays."""
    seconds = np.arange(400) / 100
    joints = np.zeros((400, 1, 3), np.float32)
    joints[:, 0, 0], joints[:, 0, 1] = np.cos(20 * np.pi * seconds), np.sin(np.pi * seconds)
    found = poses.resample(Pose(np.rint(seconds * NS_PER_S).astype(np.int64), joints), 0, 39, 10.0)
    assert np.abs(found[1:-1, 0, 0]).max() < 0.05
    np.testing.assert_allclose(found[1:-1, 0, 1], np.sin(np.pi * np.arange(1, 38) / 10), atol=0.02)


def test_unseen_joints_stay_unseen() -> None:
    """Short holes are bridged, long ones and what lies outside the capture are not, each joint for itself."""
    pose = line(30.0)
    both = Pose(pose.t_ns, np.repeat(pose.joints, 2, axis=1))
    both.joints[30:34, 0] = np.nan
    both.joints[60:90, 0, 1] = np.nan
    found = poses.resample(both, -NS_PER_S, 60, 10.0)
    missing = np.flatnonzero(np.isnan(found[:, 0, 0]))
    assert missing.tolist() == [*range(10), *range(30, 40), *range(51, 60)]
    assert np.flatnonzero(np.isnan(found[:, 1, 0])).tolist() == [*range(10), *range(51, 60)]
    assert np.isnan(poses.resample(Pose(pose.t_ns, np.full_like(pose.joints, np.nan)), 0, 5, 10.0)).all()


def body(frames: int = 50) -> np.ndarray:
    """(1, frames, 9): somebody who walks along y, two units wide, head above."""
    points = np.zeros((1, frames, 3, 3), np.float32)
    points[..., 0, 0], points[..., 1, 0], points[..., 2, 2] = 1, -1, 3
    points[..., 1] += np.arange(frames, dtype=np.float32)[None, :, None]
    return points.reshape(1, frames, 9)


def test_pelvis_becomes_the_origin() -> None:
    """In every frame, or in the first one seen, so that the path stays; a frame without hips is missing."""
    windows = body()
    windows[0, 0, :3] = windows[0, 7, :3] = np.nan
    still = poses.centre(windows, THREE).reshape(50, 3, 3)
    assert np.isnan(still[[0, 7]]).all()
    np.testing.assert_allclose(still[1:7, 2], np.tile([0, 0, 3], (6, 1)))
    moving = poses.centre(windows, THREE, about="window").reshape(50, 3, 3)
    np.testing.assert_allclose(moving[1:, 2, 1], np.arange(49))
    assert np.isfinite(moving[7, 2]).all()


@given(st.floats(-np.pi, np.pi), st.sampled_from([0, 1, 2]))
def test_facing_does_not_matter(angle: float, up: int) -> None:
    """Turned about the vertical by any angle, a window comes out the same, with the left hip at +x, and as large as it was."""
    first, second = (axis for axis in range(3) if axis != up)
    skeleton = Skeleton(THREE.joints, THREE.hips, up)
    points = np.zeros((1, 50, 3, 3))
    points[..., 0, first], points[..., 1, first], points[..., 2, up] = 1, -1, 3
    points[..., second] += np.arange(50)[None, :, None] / 50
    turned = points.copy()
    turned[..., first] = np.cos(angle) * points[..., first] - np.sin(angle) * points[..., second]
    turned[..., second] = np.sin(angle) * points[..., first] + np.cos(angle) * points[..., second]
    found = poses.face_forward(turned.reshape(1, 50, 9).astype(np.float32), skeleton)
    np.testing.assert_allclose(found, points.reshape(1, 50, 9), atol=1e-4)


def test_window_without_hips_stays() -> None:
    """Where nothing says which way a body faces, nothing is turned."""
    windows = body()
    windows[..., :6] = np.nan
    np.testing.assert_array_equal(poses.face_forward(windows, THREE), windows)


def test_gaps_are_filled_and_marked() -> None:
    """The encoder gets numbers, and which of them were measured."""
    windows = body()
    windows[0, 3, 4] = np.nan
    filled, seen = poses.fill(windows)
    assert (filled.dtype, filled[0, 3, 4], seen[0, 3, 4]) == (np.float32, 0.0, False)
    assert seen.sum() == windows.size - 1
    np.testing.assert_array_equal(filled[seen], windows[seen])


@pytest.mark.parametrize(("skeleton", "count"), [(poses.EGO_BODY_POSE, 17), (poses.KINECT, 20)])
def test_skeletons_have_the_joints_of_their_sensors(skeleton: Skeleton, count: int) -> None:
    """17 of EgoBodyPose, 51 channels as AURA-MFM has; 20 of the Kinect."""
    assert len(set(skeleton.joints)) == count == skeleton.channels / 3
    assert set(skeleton.hips) <= set(skeleton.joints)
