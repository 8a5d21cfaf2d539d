"""Crops and augmentations: each does what it says, and nothing depends on anything but the generator it is given."""

from __future__ import annotations

import math

import msgspec
import pytest

torch = pytest.importorskip("torch", reason="training needs it; it comes with aura-edge[train]")

from aura_edge_train.augment import Augmentation, augment, crops, rotations  # noqa: E402

ALL = Augmentation(
    rotate=True,
    mirror=True,
    stretch=0.1,
    acceleration_scale=0.1,
    rate_scale=0.2,
    acceleration_noise_m_s2=0.2,
    rate_noise_rad_s=0.05,
    low_pass=0.5,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(batch: int = 8, samples: int = 200) -> torch.Tensor:
    return torch.randn(batch, 6, samples, generator=generator(99))


def test_nothing_asked_nothing_done() -> None:
    """The defaults leave windows as they are, bit for bit."""
    assert torch.equal(augment(noise(), Augmentation(), generator()), noise())


def test_the_generator_decides_everything() -> None:
    """The same generator gives the same windows, whatever the global one did; another gives others."""
    torch.manual_seed(1)
    first = augment(noise(), ALL, generator(5))
    torch.manual_seed(2)
    assert torch.equal(first, augment(noise(), ALL, generator(5)))
    assert not torch.equal(first, augment(noise(), ALL, generator(6)))


def test_rotations_are_rotations_and_even() -> None:
    """Orthogonal with determinant one; over many, the mean of any turned vector is zero and every axis is reached alike."""
    turns = rotations(20000, generator())
    identity = torch.eye(3).expand(len(turns), 3, 3)
    torch.testing.assert_close(turns @ turns.transpose(1, 2), identity, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(turns), torch.ones(len(turns)))
    assert turns.mean(0).abs().max() < 0.02
    # The angle of a rotation drawn evenly has mean pi / 2 + 2 / pi (Haar measure).
    angle = torch.arccos(((turns.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1))
    assert angle.mean() == pytest.approx(math.pi / 2 + 2 / math.pi, abs=0.02)


def test_rotation_turns_both_sensors_alike() -> None:
    """Lengths stay, and so does the angle between acceleration and rate."""
    given = noise()
    found = augment(given.clone(), Augmentation(rotate=True), generator())
    for part in (slice(0, 3), slice(3, 6)):
        torch.testing.assert_close(found[:, part].norm(dim=1), given[:, part].norm(dim=1), atol=1e-4, rtol=1e-4)
    dots = [(x[:, :3] * x[:, 3:]).sum(1) for x in (given, found)]
    torch.testing.assert_close(dots[0], dots[1], atol=1e-3, rtol=1e-3)
    assert not torch.allclose(found, given, atol=0.1)


def test_mirror_is_a_point_reflection_of_half() -> None:
    """About half of the windows have their accelerations turned about; rates, as axial vectors, stay."""
    given = noise(batch=400, samples=4)
    found = augment(given.clone(), Augmentation(mirror=True), generator())
    assert torch.equal(found[:, 3:], given[:, 3:])
    turned = (found[:, :3] == -given[:, :3]).all(2).all(1)
    assert torch.equal(found[~turned], given[~turned])
    assert 150 < int(turned.sum()) < 250


def test_scales_stay_within_bounds() -> None:
    """Each sensor of a window has one scale, within the share asked for; the two sensors have their own."""
    given = noise(batch=500)
    ratio = augment(given.clone(), Augmentation(acceleration_scale=0.1, rate_scale=0.2), generator()) / given
    per_sensor = torch.stack([ratio[:, :3].flatten(1), ratio[:, 3:].flatten(1)])
    assert (per_sensor.std(2) < 1e-4).all()
    largest = (per_sensor.mean(2) - 1).abs().amax(1)
    assert 0.09 < largest[0] < 0.1001
    assert 0.18 < largest[1] < 0.2001


def test_noise_is_as_strong_as_asked() -> None:
    """The deviation of the noise is spread evenly up to what was asked for, each sensor in its own unit."""
    options = Augmentation(acceleration_noise_m_s2=0.2, rate_noise_rad_s=0.05)
    found = augment(torch.zeros(400, 6, 500), options, generator())
    deviations = torch.stack([found[:, :3].flatten(1).std(1), found[:, 3:].flatten(1).std(1)])
    assert deviations.amax(1).tolist() == pytest.approx([0.2, 0.05], rel=0.05)
    assert deviations.mean(1).tolist() == pytest.approx([0.1, 0.025], rel=0.15)


def test_low_pass_takes_detail_from_some() -> None:
    """About the share asked for loses its fast changes and keeps its slow ones; the others stay as they were."""
    slow = torch.sin(torch.arange(1000) / 1000 * 2 * math.pi).expand(200, 6, 1000)
    fast = slow + (-1.0) ** torch.arange(1000)
    found = augment(fast.clone(), Augmentation(low_pass=0.3), generator())
    changed = (found != fast).any(2).any(1)
    assert 40 < int(changed.sum()) < 80
    assert (found[changed] - slow[changed]).abs().mean() < 0.1
    assert torch.equal(found[~changed], fast[~changed])


def test_crops_are_cut_where_asked() -> None:
    """Without stretching, a crop is the very samples from its start on, channel-major."""
    signals = torch.arange(600.0).view(100, 6)
    starts = torch.tensor([0, 37, 80])
    low, high = torch.tensor([0, 30, 60]), torch.tensor([30, 60, 100])
    found = crops(signals, starts, low, high, 20, 0.0, generator())
    assert found.shape == (3, 6, 20)
    for row, start in enumerate(starts.tolist()):
        assert torch.equal(found[row], signals[start : start + 20].T)


def test_stretched_crops_play_slower_or_faster_inside_their_segment() -> None:
    """A ramp stays a ramp of another slope within bounds, and no crop reads a sample of another segment."""
    ramp = torch.arange(300.0)
    signals = torch.where((ramp >= 100) & (ramp < 200), ramp, 1e6)[:, None].repeat(1, 6)
    starts = torch.randint(100, 151, (500,), generator=generator())
    edge = torch.full((500,), 100)
    found = crops(signals, starts, edge, edge + 100, 50, 0.2, generator())[:, 0]
    assert found.min() >= 100
    assert found.max() <= 199
    inside = (found[:, 0] > 100) & (found[:, -1] < 199)
    slopes = (found[:, -1] - found[:, 0])[inside] / 49
    assert 0.8 - 1e-4 <= slopes.min() < 0.85
    assert 1.15 < slopes.max() <= 1.2 + 1e-4
    middles = (found[:, 24] + found[:, 25])[inside] / 2
    torch.testing.assert_close(middles, starts[inside] + 24.5, atol=1e-3, rtol=0)


def test_shares_are_checked() -> None:
    """A share above one, or a negative deviation, is no recipe."""
    for wrong in ({"stretch": 1.5}, {"low_pass": -0.1}, {"rate_noise_rad_s": -1.0}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, Augmentation)
