"""Made-up motion from a seed: a sensor that needs no hardware and whose every sample is known.

A person stands still for 10 s, walks for 30 s, turns by half a circle on the way, and starts again. With w(t) the walk's envelope (0 or 1, with
raised-cosine flanks of a second) and f its step frequency, in the frame of the walker (x forward, z up):

    acceleration  a = w (A_x cos 2πft,  A_y sin πft,  A_z sin 2πft + A_zz sin 4πft)
    roll  φ = w R sin πft      pitch  θ = θ0 + w P sin 2πft      yaw  ψ = πk + turn(t) + w Y sin πft

What the sensor reads follows from these without contradiction: the accelerometer (Rz Ry Rx)' of a and gravity; the gyroscope the body rates
p = φ' - ψ' sin θ, q = θ' cos φ + ψ' sin φ cos θ, r = ψ' cos φ cos θ - θ' sin φ (Diebel, Representing Attitude, Stanford 2006), with
derivatives as central differences over a millisecond. White noise is added. The seed chooses amplitudes, frequency and noise.

Each sample depends on the seed and its own number only, so the stream is the same however it is cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import InputError
from aura_edge.sources.formats import Block
from aura_edge.types import NS_PER_S, STANDARD_GRAVITY_M_S2, SourceInfo

BLOCK_ROWS = 1024
CYCLE_S, STILL_S, TURN_AT_S, TURN_S, FLANK_S = 40.0, 10.0, 24.0, 3.0, 1.0
ACC_NOISE_M_S2, GYRO_NOISE_RAD_S = 0.02, 0.002
_DERIVATIVE_S = 0.5e-3


@dataclass(frozen=True, slots=True)
class Gait:
    """Amplitudes of one made-up walk, in m/s2 and rad."""

    step_hz: float
    acc_x: float
    acc_y: float
    acc_z: float
    acc_zz: float
    roll: float
    pitch: float
    pitch_0: float
    yaw: float

    @classmethod
    def of_seed(cls, seed: int) -> Gait:
        """Drawn evenly from ranges that walking adults fill."""
        low = np.array([1.6, 1.0, 0.5, 2.0, 0.5, 0.03, 0.03, -0.2, 0.05])
        high = np.array([2.1, 2.0, 1.5, 4.0, 1.5, 0.10, 0.10, 0.2, 0.15])
        return cls(*np.random.default_rng([seed, 0]).uniform(low, high).tolist())


class SyntheticRecording:
    """`seconds` of made-up motion, or without an end; see the formulae above."""

    def __init__(
        self,
        *,
        seconds: float | None = None,
        seed: int = 0,
        rate_hz: float = 100.0,
        jitter_ms: float = 0.0,
        loss: float = 0.0,
        counter: bool = False,
    ) -> None:
        """`jitter_ms` moves each timestamp by up to that much either way, `loss` is the fraction of samples that never come, and `counter`
        puts the number of each sample in the place of acc_x (exact to 2**24), so that a lost or doubled one can be told from the samples.
        """
        _within("rate_hz", rate_hz, 1, 10_000)
        _within("jitter_ms", jitter_ms, 0, 499 / rate_hz)
        _within("loss", loss, 0, 0.99)
        _within("seed", seed, 0, 2**63)
        if seconds is not None:
            _within("seconds", seconds, 1 / rate_hz, 1e9)
        self._count = None if seconds is None else round(seconds * rate_hz)
        self._seed, self._rate_hz, self._jitter_ms, self._loss, self._counter = seed, rate_hz, jitter_ms, loss, counter
        self._gait = Gait.of_seed(seed)
        self.info = SourceInfo(
            name=f"synthetic, seed {seed}", rate_hz=rate_hz, units="m/s2, rad/s", placement="made up"
        )

    def blocks(self, *, labels: bool = False) -> Iterator[Block]:
        """The samples in order, with their numbers; a label says what the motion is."""
        number = 0
        while self._count is None or number < self._count:
            size = BLOCK_ROWS if self._count is None else min(BLOCK_ROWS, self._count - number)
            block = self._block(number, size, labels)
            if len(block.t_ns):
                yield block
            number += size

    def _block(self, first: int, size: int, labels: bool) -> Block:
        # A generator of its own for every block, and full-size draws: a sample does not know how many come after it.
        random = np.random.default_rng([self._seed, 1 + first // BLOCK_ROWS])
        noise = random.standard_normal((BLOCK_ROWS, 6))[:size]
        shift_ns = np.rint(random.uniform(-1, 1, BLOCK_ROWS) * self._jitter_ms * 1e6)[:size]
        kept = (random.random(BLOCK_ROWS) >= self._loss)[:size]
        numbers = np.arange(first, first + size, dtype=np.int64)
        t_s = numbers / self._rate_hz
        samples = motion(t_s, self._gait) + noise * np.repeat([ACC_NOISE_M_S2, GYRO_NOISE_RAD_S], 3)
        if self._counter:
            samples[:, 0] = numbers
        t_ns = (np.rint(numbers * (NS_PER_S / self._rate_hz)) + shift_ns).astype(np.int64)
        named = activity(t_s)[kept] if labels else None
        return Block(t_ns[kept], samples[kept].astype(np.float32), named, sequence=numbers[kept])


def motion(t_s: NDArray[np.float64], gait: Gait) -> NDArray[np.float64]:
    """What an ideal sensor reads at (n,) times: (n, 6) in m/s2 and rad/s."""
    w, phase = _walking(t_s), math.pi * gait.step_hz * t_s
    acc = np.stack(
        [
            w * gait.acc_x * np.cos(2 * phase),
            w * gait.acc_y * np.sin(phase),
            w * (gait.acc_z * np.sin(2 * phase) + gait.acc_zz * np.sin(4 * phase)) + STANDARD_GRAVITY_M_S2,
        ]
    )
    roll, pitch, _ = angles(t_s, gait)
    ahead, behind = angles(t_s + _DERIVATIVE_S, gait), angles(t_s - _DERIVATIVE_S, gait)
    d_roll, d_pitch, d_yaw = (ahead - behind) / (2 * _DERIVATIVE_S)
    sin_roll, cos_roll, sin_pitch, cos_pitch = np.sin(roll), np.cos(roll), np.sin(pitch), np.cos(pitch)
    down_pitch = sin_pitch * acc[0] + cos_pitch * acc[2]
    return np.stack(
        [
            cos_pitch * acc[0] - sin_pitch * acc[2],
            cos_roll * acc[1] + sin_roll * down_pitch,
            cos_roll * down_pitch - sin_roll * acc[1],
            d_roll - d_yaw * sin_pitch,
            d_pitch * cos_roll + d_yaw * sin_roll * cos_pitch,
            d_yaw * cos_roll * cos_pitch - d_pitch * sin_roll,
        ],
        axis=1,
    )


def angles(t_s: NDArray[np.float64], gait: Gait) -> NDArray[np.float64]:
    """Roll, pitch and yaw in rad at (n,) times: (3, n)."""
    w, phase = _walking(t_s), math.pi * gait.step_hz * t_s
    turned = np.floor(t_s / CYCLE_S) + _rise(t_s % CYCLE_S, TURN_AT_S, TURN_S)
    return np.stack(
        [
            w * gait.roll * np.sin(phase),
            gait.pitch_0 + w * gait.pitch * np.sin(2 * phase),
            math.pi * turned + w * gait.yaw * np.sin(phase),
        ]
    )


def activity(t_s: NDArray[np.float64]) -> NDArray[np.str_]:
    """What the person is doing at (n,) times: `still`, `walking` or `turning`."""
    t_s = t_s % CYCLE_S
    turning = (t_s >= TURN_AT_S) & (t_s < TURN_AT_S + TURN_S)
    return np.where(t_s < STILL_S, "still", np.where(turning, "turning", "walking"))


def _walking(t_s: NDArray[np.float64]) -> NDArray[np.float64]:
    t_s = t_s % CYCLE_S
    return _rise(t_s, STILL_S, FLANK_S) - _rise(t_s, CYCLE_S - FLANK_S, FLANK_S)


def _rise(t_s: NDArray[np.float64], start_s: float, length_s: float) -> NDArray[np.float64]:
    """From 0 to 1 as half a period of a cosine."""
    risen: NDArray[np.float64] = 0.5 - 0.5 * np.cos(math.pi * np.clip((t_s - start_s) / length_s, 0, 1))
    return risen


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(f"synthetic: {name} is {value!r}, expected {low:g} to {high:g}.")
