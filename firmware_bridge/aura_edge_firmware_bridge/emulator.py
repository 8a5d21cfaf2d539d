"""A board made of software, in virtual time: it says what the firmware says, and nothing in it looks at a clock.

`advance` it to a time of its own clock and it gives the frames that it hands to the wire until then; the same calls give the same bytes,
in however many steps the time goes by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aura_edge_firmware_bridge.codec import Decoder, encode
from aura_edge_firmware_bridge.messages import (
    MOST_SAMPLES,
    Acknowledgement,
    Answer,
    Command,
    Config,
    Hello,
    HelloFlag,
    SampleFlag,
    Samples,
    Status,
    TimeRequest,
)
from aura_edge_firmware_bridge.outgoing import Batch, Outgoing, Scale, Sent

ACC_RANGES_M_S2 = tuple(g * 9.80665 for g in (2, 4, 8, 16))
GYRO_RANGES_RAD_S = tuple(float(np.deg2rad(d)) for d in (250, 500, 1000, 2000))
SECOND_US = 1_000_000
WRAP = 1 << 32


@dataclass(frozen=True, slots=True)
class BoardSettings:
    """What kind of board it is."""

    device_id: str = "emulated"
    firmware: str = "aura-edge emulator"
    sensor: str = "recording"
    rate_hz: float = 200.0
    """What HELLO says."""
    true_rate_hz: float | None = None
    """What its oscillator really makes of it; None: the same."""
    acc_range_m_s2: float = ACC_RANGES_M_S2[3]
    gyro_range_rad_s: float = GYRO_RANGES_RAD_S[3]
    samples_per_message: int = 10
    pending_messages: int = 32
    """So many wait while the wire takes nothing; the oldest are dropped for more."""
    start_us: int = 0
    """Where its clock starts."""
    boot: int = 1
    """What it calls its first start; the next ones count on. 0: it cannot know, and says 0 always."""
    gravity_included: bool = True
    """What HELLO says of the acceleration."""
    streams_at_once: bool = False
    """A board without a receiving line: it streams from its start, never stops saying HELLO, and hears nothing."""
    loops: bool = True
    """Whether the recording starts again at its end; else the sensor stops there."""

    def __post_init__(self) -> None:
        rates_hz = (self.rate_hz, self.rate_hz if self.true_rate_hz is None else self.true_rate_hz)
        if not all(0.25 < rate_hz < 1e6 for rate_hz in rates_hz):
            raise ValueError(f"rates of {rates_hz[0]:g} and {rates_hz[1]:g} Hz; expected 0.25 Hz to 1 MHz.")
        if not 1 <= self.samples_per_message <= MOST_SAMPLES or self.pending_messages < 1:
            raise ValueError(
                f"{self.samples_per_message} samples a message, {self.pending_messages} waiting; expected 1 to {MOST_SAMPLES}, and at least 1."
            )
        if not 0 <= self.start_us < 1 << 63 or not 0 <= self.boot < WRAP:
            raise ValueError(f"start at {self.start_us} us, boot {self.boot}; expected a u63 and a u32.")


class Board:
    """Plays (N, 6) samples in m/s2 and rad/s. `alter` may change each message's (n, 6) counts before they are rounded and clipped."""

    def __init__(
        self,
        samples: NDArray[np.float32],
        settings: BoardSettings = BoardSettings(),
        *,
        alter: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None,
        said_scale: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        """`said_scale` falsifies the scales that HELLO tells."""
        if samples.ndim != 2 or samples.shape[1] != 6 or not len(samples):
            raise ValueError(f"samples of shape {samples.shape}; expected (N, 6) with N at least 1.")
        if not np.isfinite(samples).all():
            raise ValueError("samples that are no numbers; leave those rows out, a sensor has no such counts.")
        self.settings = settings
        self._recording, self._alter, self._said_scale = samples, alter, said_scale
        self.now_us = settings.start_us
        self.wire_takes = True
        """False: the wire is full; what is made waits, and is dropped when too much waits."""
        self.produced_before: list[int] = []
        """Samples made in each start before this one."""
        self._position = 0  # in the recording, over restarts
        self._start()

    def _start(self) -> None:
        first, restarts = self.settings.boot, len(self.produced_before)
        self._boot = ((first + restarts) % WRAP or 1) if first else 0
        self._decoder = Decoder()
        self._scale = Scale(self.settings.acc_range_m_s2, self.settings.gyro_range_rad_s)
        self._outgoing = Outgoing(self.settings.pending_messages, hello=self.hello, status=self.status)
        self.produced = 0
        self._answered = False
        self.streaming = self.settings.streams_at_once
        self._next_hello_us = self._origin_us = self.now_us
        self._next_status_us = self.now_us + SECOND_US
        self._since_start = 0  # messages since streaming started at `_origin_us`
        self._saturated = 0
        self._next_saturation_us = self.now_us

    def restart(self) -> None:
        """Power off and on: count, clock and everything that waited are gone."""
        self.produced_before.append(self.produced)
        self.now_us = 0
        self._start()

    def jump_clock(self, by_us: int) -> int:
        """The clock alone jumps; the count goes on. Gives by how much: a clock has no time before its start."""
        by_us = max(by_us, -min(self.now_us, self._first_us()) if self.streaming else -self.now_us)
        self.now_us += by_us
        self._next_hello_us += by_us
        self._origin_us += by_us
        self._next_status_us += by_us
        self._next_saturation_us += by_us
        return by_us

    # ---- what comes in ----

    def receive(self, data: bytes) -> None:
        """Bytes from the host, at the present time; answers leave with the next `advance`."""
        if self.settings.streams_at_once:
            return
        for message in self._decoder.feed(data):
            self._answered = True
            if isinstance(message, TimeRequest):
                self._outgoing.respond(message.token, self.now_us)
            elif isinstance(message, Config) and self._outgoing.can_answer:
                answer, value = self._obey(message)
                self._outgoing.acknowledge(Acknowledgement(message.token, message.command, answer, value))

    def _obey(self, config: Config) -> tuple[Answer, float]:
        """What becomes of it, and the value in force from now on."""
        scale = self._scale
        if config.command == Command.SAY_HELLO:
            return Answer.DONE, 0.0  # what leaves with this answer
        if config.command == Command.START:
            self._begin()
            return Answer.DONE, 0.0
        if config.command == Command.STOP:
            self.streaming, self._outgoing.stopped_due = False, True
            return Answer.DONE, 0.0
        if config.command == Command.RATE_HZ:  # the rate is the recording's: the only one there is
            if _smallest((self.settings.rate_hz,), config.value) is None:
                return Answer.IMPOSSIBLE_VALUE, self.settings.rate_hz
            self._scale = replace(scale, number=scale.number + 1)
            return Answer.DONE, self.settings.rate_hz
        if config.command == Command.ACC_RANGE_M_S2:
            if (range_m_s2 := _smallest(ACC_RANGES_M_S2, config.value)) is None:
                return Answer.IMPOSSIBLE_VALUE, scale.acc_range_m_s2
            self._scale = replace(scale, acc_range_m_s2=range_m_s2, number=scale.number + 1)
            return Answer.DONE, range_m_s2
        if config.command == Command.GYRO_RANGE_RAD_S:
            if (range_rad_s := _smallest(GYRO_RANGES_RAD_S, config.value)) is None:
                return Answer.IMPOSSIBLE_VALUE, scale.gyro_range_rad_s
            self._scale = replace(scale, gyro_range_rad_s=range_rad_s, number=scale.number + 1)
            return Answer.DONE, range_rad_s
        return Answer.UNKNOWN_COMMAND, 0.0

    def _begin(self) -> None:
        if not self.streaming:
            self.streaming = True
            self._origin_us, self._since_start = self.now_us, 0
            self._next_status_us = self.now_us + SECOND_US

    # ---- what goes out ----

    def advance(self, to_us: int) -> list[Sent]:
        """Let time go by until `to_us` of the device clock; give what was handed to the wire, in order."""
        out = self._flush()
        while True:
            hello_us = self._next_hello_us if self._says_hello else None
            status_us = self._next_status_us if self.streaming else None
            samples_us = self._due_us() if self.streaming and not self._is_over else None
            due = [t for t in (hello_us, samples_us, status_us) if t is not None]
            if not due or min(due) > to_us:
                break
            self.now_us = max(self.now_us, min(due))
            if hello_us == min(due):
                self._next_hello_us += SECOND_US
                self._outgoing.hello_due = True
            elif samples_us == min(due):
                self._sample()
            else:
                self._next_status_us += SECOND_US
                self._outgoing.status_due = True
            out += self._flush()
        self.now_us = max(self.now_us, to_us)
        return out

    def hello(self) -> Hello:
        """As it would say it now: how the samples that are sent next are read, which may have waited since before a change."""
        s, waiting = self.settings, self._outgoing.batches
        scale = waiting[0].scale if waiting else self._scale
        flags = HelloFlag.STREAMING if self.streaming else HelloFlag(0)
        if s.gravity_included:
            flags |= HelloFlag.GRAVITY_INCLUDED
        acc, gyro = scale.acc_range_m_s2 * self._said_scale[0], scale.gyro_range_rad_s * self._said_scale[1]
        return Hello(
            s.device_id, s.firmware, s.sensor, self._boot, self.now_us, self._next_sequence % WRAP, s.rate_hz, 0.0,
            acc / 32768, gyro / 32768, acc, gyro, samples_per_message=s.samples_per_message, flags=flags,
        )  # fmt: skip

    def status(self) -> Status:
        """As it would say it now."""
        produced, following = self.produced % WRAP, self._next_sequence % WRAP
        return Status(self._boot, self.now_us, produced, following, 0, self.dropped_transmit % WRAP)

    @property
    def dropped_transmit(self) -> int:
        """Samples of this start that were dropped because the wire took no more."""
        return self._outgoing.dropped

    @property
    def _next_sequence(self) -> int:
        """Of the samples that are sent next."""
        return self._outgoing.batches[0].sequence if self._outgoing.batches else self.produced

    @property
    def _says_hello(self) -> bool:
        return self.settings.streams_at_once or not self._answered

    @property
    def _is_over(self) -> bool:
        return not self.settings.loops and self._position >= len(self._recording)

    @property
    def _rate_hz(self) -> float:
        return self.settings.true_rate_hz or self.settings.rate_hz

    def _first_us(self) -> int:
        """When the first sample of the message under way was taken."""
        return self._origin_us + round(
            self._since_start * self.settings.samples_per_message * SECOND_US / self._rate_hz
        )

    def _due_us(self) -> int:
        """When the message under way is full."""
        count = (self._since_start + 1) * self.settings.samples_per_message - 1
        return self._origin_us + round(count * SECOND_US / self._rate_hz)

    def _sample(self) -> None:
        """The sensor's FIFO holds a message's worth: read it."""
        s, count, scale = self.settings, self.settings.samples_per_message, self._scale
        rows = np.arange(self._position, self._position + count)
        rows = rows % len(self._recording) if s.loops else rows[rows < len(self._recording)]
        values = self._recording[rows] / np.repeat([scale.acc_range_m_s2 / 32768, scale.gyro_range_rad_s / 32768], 3)
        if self._alter is not None:
            values = self._alter(values)
        raw = np.clip(np.rint(values), -32768, 32767).astype(np.int16)
        full = (raw == 32767) | (raw <= -32767)
        flags = SampleFlag.SATURATED if full.any() else SampleFlag(0)
        if flags:
            self._saturated |= int(full.any(axis=0) @ (1 << np.arange(6)))
            if self.now_us >= self._next_saturation_us:
                self._next_saturation_us = self.now_us + SECOND_US
                self._outgoing.saturated(self.now_us, self.produced % WRAP, self._saturated)
                self._saturated = 0
        message = Samples(self.produced % WRAP, self._first_us() % WRAP, round(1e9 / self._rate_hz), raw, flags)
        self._outgoing.add(Batch(self.produced, len(raw), encode(message), scale))
        self.produced += len(raw)
        self._position += len(raw)
        self._since_start += 1

    def _flush(self) -> list[Sent]:
        return self._outgoing.leave(self.now_us, self._scale) if self.wire_takes else []


def _smallest(offered: tuple[float, ...], wanted: float) -> float | None:
    """The smallest that is at least as large, as f32 has it; None for what is too large or no size."""
    if not wanted > 0:
        return None
    return next((value for value in offered if wanted <= value * (1 + 1e-6)), None)
