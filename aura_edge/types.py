"""The frozen values that cross the seams, and what their numbers mean.

Units are SI: accelerations in m/s2 *with gravity* (a sensor at rest reads about 9.81 upwards), angular rates in rad/s. Channels come in
the order of `CHANNELS`, axes are right-handed, samples are float32.

Time is int64 nanoseconds. Everything named `t_ns`, `t0_ns` or `t1_ns` is the *device* clock: the one that stamped the samples. Everything
named `host_ns` is the clock of the computer (Unix time) at the moment the data arrived. The two are carried beside each other and are
never mixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

CHANNELS = ("acc_x", "acc_y", "acc_z", "gyro_x", "gyro_y", "gyro_z")
STANDARD_GRAVITY_M_S2 = 9.80665
NS_PER_S = 1_000_000_000

State = Literal["activity", "unknown", "still"]


@dataclass(frozen=True, slots=True)
class ClockReading:
    """How a device's clock stands to the host's: a straight line fitted to when messages arrived."""

    device_ns: int
    host_ns: int
    """The host time at `device_ns`, less what is known of the delay on the way."""
    host_ns_per_device_ns: float
    residual_ns: float
    """Root mean square distance of arrivals from the line."""

    def host_at(self, device_ns: int) -> int:
        """Host time of a moment of the device's clock."""
        return self.host_ns + round((device_ns - self.device_ns) * self.host_ns_per_device_ns)


@dataclass(frozen=True, slots=True, eq=False)
class ImuChunk:
    """Some consecutive samples as a source found them, in SI units; any number, at whatever times the device says."""

    t_ns: NDArray[np.int64]
    """(N,) device time of each sample, as found: it may repeat, go back or leave gaps."""
    samples: NDArray[np.float32]
    """(N, 6) in the order of `CHANNELS`."""
    host_ns: int
    """Host time at which the last of these samples arrived; for a recording played back, the time it was read."""
    sequence: int | None = None
    """The device's own count of samples at the first of these, where it keeps one: a jump proves a loss before the host."""
    clock: ClockReading | None = None
    """How the device's clock stands to the host's, where a live source fits it."""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known about a stream before its first sample."""

    name: str
    """What to call it in a log: a path, a port, a stream label."""
    rate_hz: float
    """Nominal sampling rate."""
    units: str
    """The units as found, before conversion: `m/s2, rad/s`, `g, deg/s`, `raw counts`."""
    live: bool = False
    """True when samples arrive at their own pace and are lost if nobody reads them."""
    placement: str | None = None
    """Where it was worn: `waist`, `wrist`, `glasses`."""
    gravity_included: bool = True
    """Whether the accelerometer reads gravity at rest; the models expect that it does."""
    acc_range_m_s2: float | None = None
    """Full scale of the accelerometer; readings at it are counted as clipped."""
    gyro_range_rad_s: float | None = None
    """Full scale of the gyroscope."""
    notes: tuple[str, ...] = ()
    """Anything a person should be told: a truncated file, a stream chosen among several."""


@dataclass(frozen=True, slots=True, eq=False)
class GridBlock:
    """Consecutive samples on the exact output grid of the resampler; blocks of one segment follow each other without a hole."""

    t0_ns: int
    """Device time of the first grid sample."""
    samples: NDArray[np.float32]
    """(n, 6)."""
    interpolated: NDArray[np.bool_]
    """(n,) True where the sample bridges a hole in the input."""
    inputs: NDArray[np.int64]
    """(n,) how many input samples each grid sample accounts for."""
    clipped: NDArray[np.int64]
    """(n,) how many of those stood at the sensor's full scale."""
    starts_segment: bool
    """True for the first block after the start, a gap or a reset of the clock."""
    ends_segment: str | None = None
    """Why the segment ends with this block (`gap`, `reset`, `end`), or None when it goes on."""
    host_ns: int = 0
    """Host time of the chunk whose arrival completed this block."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """What an encoder sees: a fixed length of signal on the exact grid."""

    samples: NDArray[np.float32]
    """(6, n) channel-major."""
    t0_ns: int
    """Device time of the first sample."""
    t1_ns: int
    """Device time at which the window ends: one sample period after its last sample, so that `t1_ns - t0_ns` is its length."""
    host_ns: int
    """Host time at which its last sample arrived."""
    interpolated: float
    """Fraction of its samples that bridge holes in the input."""
    clipped: float
    """Fraction of the input samples behind it that stood at full scale."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one window."""

    t0_ns: int
    t1_ns: int
    host_ns: int
    label: str
    """The label in force: an activity, or the words `unknown` or `still`."""
    score: float
    """Smoothed probability of that label, 0 to 1; for `unknown`, that of the best one; for `still`, 1."""
    state: State
    top: tuple[tuple[str, float], ...]
    """The best labels of this very window with their probabilities, best first; empty when still."""
    latency_ms: Mapping[str, float]
    """Compute time by stage: `resample`, `window`, `encode`, `classify`, and `total` from the arrival of the chunk to the label."""
    interpolated: float
    clipped: float
    model: str
    """Digest of the weights that made the embedding."""
    prototypes: str
    """Digest of the prototypes it was compared with."""
    host_t1_ns: int | None = None
    """Host time of `t1_ns` by the fitted clock, where a live source fits one: when the window really ended."""
    clock_residual_ms: float | None = None
    """How far arrivals lie from that fit, root mean square."""


@dataclass(frozen=True, slots=True)
class Event:
    """An activity, `unknown` or `still` that starts or ends."""

    kind: Literal["start", "end"]
    label: str
    state: State
    t_ns: int
    """Device time of the change: labels tile the time that windows cover, each window deciding what its hop adds."""
    host_ns: int
    score: float
    """Probability at a start; mean probability over its windows at an end."""
    duration_s: float | None = None
    """At an end: how long it lasted in device time."""


@dataclass(frozen=True, slots=True)
class StageLatency:
    """Distribution of one stage's compute time over a run."""

    p50_ms: float
    p99_ms: float
    count: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run amounts to; the last thing every sink gets, also after Ctrl-C."""

    source: str
    engine: str
    windows: int
    windows_skipped: int
    """Hops not encoded because the stream was behind."""
    seconds: Mapping[str, float]
    """Device time per label."""
    samples: Mapping[str, int]
    """`read`, `used`, and every reason for which a sample is in no window; `read` is the sum of all others."""
    lost: int
    """Samples that the device counted and that never reached the host; not part of `read`."""
    interpolated: int
    """Grid samples that bridge holes."""
    latency: Mapping[str, StageLatency]
    delay_s: float
    """The constant delay of the resampler, which is no compute time."""
    interrupted: bool = False
    notes: tuple[str, ...] = field(default=())
    device: Mapping[str, float] = field(default_factory=dict)
    """What a live source says of its wire, its device and its clock; see `LiveSource.report`."""
