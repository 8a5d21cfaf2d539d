"""Sensors that are worn, sampled and built otherwise than those of training: what an encoder must stand is put on the windows that it is asked.

Each window is cut with some of what lies around it in its segment, turned, brought down to the sensor's rate with the anti-aliasing average of
the live resampler, given the sensor's noise, and brought up again with the live resampler's cubic.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from aura_edge.errors import RecipeError
from aura_edge.interpolation import HALF_WIDTH_PERIODS, WindowedSinc, monotone_cubic
from aura_edge.types import NS_PER_S
from aura_edge_train import augment
from aura_edge_train.datasets.store import Store

AROUND_PERIODS = HALF_WIDTH_PERIODS + 3
"""Of the sensor, on both sides of a window: what the average and the cubic at its ends look at."""
AT_ONCE = 16
"""Windows resampled together: more would fill the memory with the taps of a slow sensor."""
GYRO_NOISE_SHARE = 0.2
"""Noise on rates in rad/s for each m/s2 of noise on accelerations: about what the recipes train with."""


class Conditions(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """All off: as the data set was recorded."""

    rotation_seed: int | None = None
    """Each window is turned by a rotation of its own, drawn evenly from SO(3) with this seed."""
    rate_hz: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """Of the sensor."""
    noise_m_s2: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Standard deviation of white noise on accelerations; on rates `GYRO_NOISE_SHARE` of the number, in rad/s."""

    @property
    def sentence(self) -> str:
        """For people; empty where nothing is changed."""
        said = [] if self.rotation_seed is None else [f"each window turned (seed {self.rotation_seed})"]
        said += [] if self.rate_hz is None else [f"as from a sensor of {self.rate_hz:g} Hz"]
        said += [f"noise of {self.noise_m_s2:g} m/s2 added"] if self.noise_m_s2 else []
        return ", ".join(said)


class Wearing:
    """Cuts windows as `conditions` say. Drawn in the order of the calls: cut the same windows in the same parts for the same numbers."""

    def __init__(self, conditions: Conditions, *, seed: int = 0) -> None:
        self._said = conditions
        self._turns = torch.Generator().manual_seed(conditions.rotation_seed or 0)
        self._noise = np.random.default_rng([seed, 0x6E])

    def windows(self, store: Store, starts: NDArray[np.int64], length: int) -> NDArray[np.float32]:
        """(W, 6, length). Raises `RecipeError` for a sensor faster than the store."""
        rate_hz = self._said.rate_hz
        around = 0 if rate_hz is None else math.ceil(AROUND_PERIODS / rate_hz * store.index.rate_hz)
        windows = store.windows(starts, length) if not around else _with_surroundings(store, starts, length, around)
        if self._said.rotation_seed is not None:
            windows = turned(windows, self._turns)
        if rate_hz is not None:
            if not rate_hz <= store.index.rate_hz:
                raise RecipeError(
                    f"a sensor of {rate_hz:g} Hz: the windows have {store.index.rate_hz:g} Hz; ask for a slower one."
                )
            parts = [windows[at : at + AT_ONCE] for at in range(0, len(windows), AT_ONCE)]
            return np.concatenate([self._sampled(part, around, length, rate_hz, store.index.rate_hz) for part in parts])
        if not self._said.noise_m_s2:
            return windows
        return windows + self._noise_like(windows, axis=1).astype(np.float32)

    def _sampled(
        self, wide: NDArray[np.float32], around: int, length: int, rate_hz: float, grid_hz: float
    ) -> NDArray[np.float32]:
        """(B, 6, around + length + around) at `grid_hz`, down to `rate_hz` and up again: (B, 6, length)."""
        columns = wide.reshape(-1, wide.shape[2]).T.astype(np.float64)  # (n, B * 6)
        t_ns = np.rint(np.arange(len(columns)) * (NS_PER_S / grid_hz)).astype(np.int64)
        samples = math.floor(t_ns[-1] * rate_hz / NS_PER_S) + 1
        sensor_ns = np.rint(np.arange(samples) * (NS_PER_S / rate_hz)).astype(np.int64)
        clean = WindowedSinc(rate_hz).average(t_ns, columns, sensor_ns)
        measured = clean + self._noise_like(clean.reshape(samples, -1, 6), axis=2).reshape(clean.shape)
        back = monotone_cubic(sensor_ns, measured, t_ns[around : around + length], reach_ns=int(t_ns[-1]))
        return np.ascontiguousarray(back.T.reshape(len(wide), 6, length), dtype=np.float32)

    def _noise_like(self, signals: NDArray[Any], axis: int) -> NDArray[np.float64]:
        """White noise of that shape, the channels along `axis`; zeros where none was asked for."""
        if not self._said.noise_m_s2:
            return np.zeros(signals.shape)
        deviation = self._said.noise_m_s2 * np.repeat([1.0, GYRO_NOISE_SHARE], 3)
        drawn = self._noise.normal(size=signals.shape)
        return np.moveaxis(np.moveaxis(drawn, axis, -1) * deviation, -1, axis)


def turned(windows: NDArray[np.float32], generator: torch.Generator) -> NDArray[np.float32]:
    """Each window of (B, 6, n) by a rotation of its own, drawn evenly from SO(3)."""
    rotations = augment.rotations(len(windows), generator).numpy()
    return np.concatenate([rotations @ windows[:, :3], rotations @ windows[:, 3:]], axis=1)


def _with_surroundings(store: Store, starts: NDArray[np.int64], length: int, around: int) -> NDArray[np.float32]:
    """(W, 6, around + length + around); where a segment ends, its last sample stays."""
    segments = [store.index.segments[number] for number in store.segments_at(starts).tolist()]
    first = np.array([segment.start for segment in segments])[:, None]
    last = np.array([segment.start + segment.length - 1 for segment in segments])[:, None]
    rows = np.clip(starts[:, None] + np.arange(-around, length + around), first, last)
    return np.ascontiguousarray(store.signals[rows].transpose(0, 2, 1))
