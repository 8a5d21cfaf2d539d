"""An emulated board as a wire in virtual time, for tests of everything behind it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aura_edge.sources.serial.bridge import STOP
from aura_edge.sources.serial.happenings import Arrived, Connected, Disconnected, Happening
from aura_edge.testing import motion
from aura_edge_firmware_bridge.faulty_wire import FaultyWire

STEP_US = 250_000
EPOCH_NS = 1_795_000_000_000_000_000


def walking_and_shaking(seconds: int = 40) -> NDArray[np.float32]:
    """(N, 6) at 200 Hz: one motion, then the other, over and over."""
    parts = [motion("walking", samples=2000), motion("shaking", samples=2000)]
    return np.concatenate([parts[i % 2] for i in range(seconds // 10)], axis=1).T


def turned_about() -> NDArray[np.float32]:
    """(4000, 6) at 200 Hz of a board that is turned about all of its axes, with linear acceleration, bias and noise."""
    rng, t_s = np.random.default_rng(0), np.arange(4000) / 200
    rates = np.stack([1.3 * np.sin(2 * np.pi * f * t_s + p) for f, p in ((0.31, 0.0), (0.23, 1.0), (0.41, 2.0))])
    frame, felt = np.eye(3), np.empty((3, t_s.size))
    for i, (x, y, z) in enumerate(rates.T / 200):
        felt[:, i] = frame.T @ np.array([0.0, 0.0, 9.81])
        u, _, v = np.linalg.svd(frame @ (np.eye(3) + np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])))
        frame = u @ v  # a rotation again
    felt += 2 * np.sin(2 * np.pi * 1.9 * t_s) + rng.normal(0, 0.1, felt.shape)
    return np.concatenate([felt, rates + 0.01 + rng.normal(0, 0.01, rates.shape)]).astype(np.float32).T


class EmulatedWire:
    """Gives what a `FaultyWire` gives, step by step, until `seconds` are over; then the board is stopped in order."""

    def __init__(self, wire: FaultyWire, seconds: float, *, start_us: int = 0) -> None:
        self._wire, self._end_us = wire, round(seconds * 1e6)
        self._now_us = start_us
        self._connected = False
        self._stopped = False

    def take(self, timeout_s: float) -> list[Happening] | None:
        if self._now_us >= self._end_us + 2_000_000:
            return None
        happenings: list[Happening] = []
        if self._wire.is_connected and not self._connected:
            self._connected = True
            happenings.append(Connected(EPOCH_NS + self._now_us * 1000, "emulated"))
        if self._now_us >= self._end_us and not self._stopped:
            self._stopped = True
            self._wire.write(STOP)
        self._now_us += STEP_US
        frames = self._wire.read(self._now_us)
        happenings += [Arrived(EPOCH_NS + host_us * 1000, data) for host_us, data in frames]
        if not frames and self._connected:
            happenings.append(Arrived(EPOCH_NS + self._now_us * 1000, b""))
        if self._connected and not self._wire.is_connected:
            self._connected = False
            happenings.append(Disconnected(EPOCH_NS + self._now_us * 1000, "pulled"))
        return happenings

    def send(self, data: bytes) -> None:
        if data != STOP:
            self._wire.write(data)

    def close(self) -> None:
        pass
