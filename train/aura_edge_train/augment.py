"""Crops and augmentations: what may change about a window while its sentence stays true. Batched torch, drawn from a given generator.

How a sensor is worn: rotation, and a mirror image. How a person moves: stretch in time. How it is measured: scale, noise, and a low-pass
with the loss of detail of a slower sensor.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]


class Augmentation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[augmentation]` of a recipe; every default is off."""

    rotate: bool = False
    """Turn each window by a rotation drawn evenly from all of SO(3) ..."""
    upright: Share = 0.0
    """... but for this share of them, which stay as they were worn and are not mirrored either: an encoder that sees the channels as they
    are may then learn what a known mounting tells, and do without where gravity says that it is another."""
    mirror: bool = False
    """Mirror half of the windows: as worn on the other side of the body."""
    stretch: Share = 0.0
    """Play each window faster or slower by up to this share."""
    acceleration_scale: Share = 0.0
    """Scale accelerations by up to this share, up or down ..."""
    rate_scale: Share = 0.0
    """... and angular rates."""
    acceleration_noise_m_s2: NotNegative = 0.0
    """White noise of up to this standard deviation on accelerations ..."""
    rate_noise_rad_s: NotNegative = 0.0
    """... and, of the same share of this, on angular rates."""
    low_pass: Share = 0.0
    """Chance that a window is averaged over `low_pass_samples` and interpolated back."""
    low_pass_samples: tuple[int, int] = (4, 10)
    """Shortest and longest average."""


def crops(
    signals: Tensor, starts: Tensor, low: Tensor, high: Tensor, length: int, stretch: float, generator: Generator
) -> Tensor:
    """Windows (B, 6, length) of signals (N, 6), stretched about their middle; none reads outside [low, high), its segment."""
    if not stretch:
        rows = signals[starts[:, None] + torch.arange(length)]
        return rows.transpose(1, 2).contiguous()
    speed = 1 + _spread(len(starts), stretch, generator)
    middle = (length - 1) / 2
    # Counted from the window's own start: in a segment of hours, single precision no longer tells samples apart.
    at = middle + (torch.arange(length) - middle) * speed[:, None]
    at = torch.maximum(at, (low - starts)[:, None].float())
    at = torch.minimum(at, (high - 1 - starts)[:, None].float())
    before = at.floor()
    share = (at - before)[..., None]
    first = before.long() + starts[:, None]
    second = torch.minimum(first + 1, high[:, None] - 1)
    return torch.lerp(signals[first], signals[second], share).transpose(1, 2).contiguous()


def augment(windows: Tensor, options: Augmentation, generator: Generator) -> Tensor:
    """Augment (B, 6, n) in place and return it."""
    batch = len(windows)
    if options.low_pass:
        _low_pass(windows, options, generator)
    worn = torch.rand(batch, 1, 1, generator=generator) < options.upright
    if options.rotate:
        turns = torch.where(worn, torch.eye(3), rotations(batch, generator))
        windows = torch.cat([turns @ windows[:, :3], turns @ windows[:, 3:]], 1)
    scale = torch.ones(batch, 6, 1)
    scale[:, :3] += _spread(batch, options.acceleration_scale, generator)[:, None, None]
    scale[:, 3:] += _spread(batch, options.rate_scale, generator)[:, None, None]
    if options.mirror:
        # A point reflection turns accelerations about and leaves rates, which are axial vectors; with a rotation it is any mirror.
        mirrored = (torch.rand(batch, 1, 1, generator=generator) < 0.5) & ~worn
        scale[:, :3] *= torch.where(mirrored, -1.0, 1.0)
    windows *= scale
    if options.acceleration_noise_m_s2 or options.rate_noise_rad_s:
        deviation = torch.tensor([options.acceleration_noise_m_s2, options.rate_noise_rad_s]).repeat_interleave(3)
        share = torch.rand(batch, 1, 1, generator=generator)
        windows += torch.randn(windows.shape, generator=generator) * (share * deviation[:, None])
    return windows


def rotations(count: int, generator: Generator) -> Tensor:
    """(count, 3, 3) rotations, evenly from SO(3): quaternions of four normal components (Shoemake 1992)."""
    w, x, y, z = F.normalize(torch.randn(count, 4, generator=generator), dim=1).unbind(1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, 1).view(count, 3, 3)


def _low_pass(windows: Tensor, options: Augmentation, generator: Generator) -> None:
    shortest, longest = options.low_pass_samples
    chosen = torch.nonzero(torch.rand(len(windows), generator=generator) < options.low_pass)[:, 0]
    # Three lengths a batch: one for each window would be a loop over windows.
    for part in chosen.chunk(3):
        samples = int(torch.randint(shortest, longest + 1, (1,), generator=generator))
        averaged = F.avg_pool1d(windows[part], samples, samples)
        windows[part] = F.interpolate(averaged, size=windows.shape[2], mode="linear", align_corners=False)


def _spread(count: int, share: float, generator: Generator) -> Tensor:
    """(count,) evenly from -share to share."""
    return (torch.rand(count, generator=generator) * 2 - 1) * share
