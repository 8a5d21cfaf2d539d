"""The canonical frame: what of a window does not depend on how the sensor was turned when it was put on.

Gravity is the mean acceleration of the window. It fixes the vertical, but nothing in six channels fixes the heading: so the window is
described in the frame of gravity by what is the same for every heading. A window of zeros, or in free fall, has no vertical: its `up` is
the zero vector, and everything here stays finite.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

INVARIANTS = 10
"""Number of channels that `invariants` gives."""


def length(vectors: Tensor, dim: int, epsilon: float = 1e-6) -> Tensor:
    """Euclidean norm along `dim`, whose gradient is finite at zero."""
    return torch.sqrt((vectors * vectors).sum(dim) + epsilon)


def up_direction(acceleration: Tensor) -> Tensor:
    """Direction of the mean acceleration of (B, 3, n): (B, 3, 1), of unit norm, or shorter where there is next to none."""
    gravity = acceleration.mean(2, keepdim=True)
    return gravity / length(gravity, 1)[:, None]


def invariants(acceleration: Tensor, rate: Tensor, up: Tensor) -> Tensor:
    """Ten channels (B, 10, n) that no rotation of the sensor changes, of accelerations in g and scaled rates (B, 3, n).

    Vertical and horizontal part of both, dot and cross product of their horizontal parts, and magnitudes: linear, logarithmic and of the
    sample-to-sample change of the acceleration. Each is brought to about unit size.
    """
    vertical, turn = (acceleration * up).sum(1), (rate * up).sum(1)  # (B, n)
    flat_acceleration = acceleration - vertical[:, None] * up
    flat_rate = rate - turn[:, None] * up
    flat_acceleration_size, flat_rate_size = length(flat_acceleration, 1), length(flat_rate, 1)
    # Dot and cross product grow with the square of a motion: divided by its size, they grow with the motion as the others do.
    size = length(torch.stack([flat_acceleration_size, flat_rate_size], 1), 1) + 0.1
    dot = (flat_acceleration * flat_rate).sum(1) / size
    cross = (torch.linalg.cross(flat_acceleration, flat_rate, dim=1) * up).sum(1) / size
    magnitude = length(acceleration, 1)
    change = F.pad(acceleration[:, :, 1:] - acceleration[:, :, :-1], (1, 0))
    return torch.stack(
        [
            vertical - 1,
            flat_acceleration_size,
            turn,
            flat_rate_size,
            dot,
            cross,
            torch.log(magnitude + 0.05),
            torch.log(length(rate, 1) + 0.05),
            torch.log(length(change, 1) + 0.01) * 0.5 + 1,
            magnitude - 1,
        ],
        1,
    )
