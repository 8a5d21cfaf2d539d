"""A board made of software, in virtual time: it says what the firmware says, and nothing in it looks at a clock.

`advance` it to a time of its own clock and it gives the frames that it hands to the wire until then; the same calls give the same bytes,
in however many steps the time goes by.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aura_edge_firmware_bridge.codec import Decoder, encode
from aura_edge_firmware_bridge.messages import (
    Acknowledgement,
    Answer,
    Command,
    Config,
    Event,
    EventKind,
    Hello,
    HelloFlag,
    Message,
    SampleFlag,
    Samples,
    Status,
    TimeRequest,
    TimeResponse,
)

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
    streams_at_once: bool = False
    """A board without a receiving line: it streams from its start, and never stops saying HELLO."""
    loops: bool = True
    """Whether the recording starts again at its end; else the sensor stops there."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A frame that was handed to the wire."""

    time_us: int
    """Device clock."""
    data: bytes
    samples: int = 0
    """How many it carries."""


class Board:
    """Plays (N, 6) samples in m/s2 and rad/s. `alter` may change each message's (n, 6) counts, given the device time in seconds since power-on."""

    def __init__(
        self,
        samples: NDArray[np.float32],
        settings: BoardSettings = BoardSettings(),
        *,
        alter: Callable[[NDArray[np.float64], float], NDArray[np.float64]] | None = None,
        said_scale: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        """`said_scale` falsifies the scales that HELLO tells."""
        if samples.ndim != 2 or samples.shape[1] != 6 or not len(samples):
            raise ValueError(f"samples of shape {samples.shape}; expected (N, 6) with N at least 1.")
        self.settings = settings
        self._recording, self._alter, self._said_scale = samples, alter, said_scale
        self.now_us = settings.start_us
        self.wire_takes = True
        """False: the wire is full; what is made waits, and is dropped when too much waits."""
        self.produced_before: list[int] = []
        """Samples made in each start before this one."""
        self._boot = 0
        self._position = 0  # in the recording, over restarts
        self._start()

    def _start(self) -> None:
        self._boot += 1
        self._decoder = Decoder()
        self._pending: deque[tuple[int, int, bytes]] = deque()  # sequence, samples, frame
        self._told: deque[bytes] = deque(maxlen=8)
        self.produced = self.dropped_transmit = 0
        self._answered = False
        self.streaming = self.settings.streams_at_once
        self._next_hello_us = self._origin_us = self.now_us
        self._next_status_us = self.now_us + SECOND_US
        self._first = True
        self._since_start = 0  # messages since streaming started at `_origin_us`
        self._saturation_us = -SECOND_US

    def restart(self) -> None:
        """Power off and on: count, clock and everything that waited are gone."""
        self.produced_before.append(self.produced)
        self.now_us = 0
        self._start()

    def jump_clock(self, by_us: int) -> None:
        """The clock alone jumps; the count goes on."""
        self.now_us += by_us
        self._next_hello_us += by_us
        self._origin_us += by_us
        self._next_status_us += by_us

    # ---- what comes in ----

    def receive(self, data: bytes) -> None:
        """Bytes from the host, at the present time; answers leave with the next `advance`."""
        for message in self._decoder.feed(data):
            self._answered = True
            if isinstance(message, TimeRequest):
                self._tell(TimeResponse(message.token, self.now_us, self.now_us))
            elif isinstance(message, Config):
                self._obey(message)

    def _obey(self, config: Config) -> None:
        answer, value, after = Answer.DONE, 0.0, False
        if config.command == Command.SAY_HELLO:
            self._tell(self.hello())
        elif config.command == Command.START:
            self._begin()
        elif config.command == Command.STOP:
            self.streaming = False
            self._tell(self.status())
        elif config.command == Command.RATE_HZ:
            answer, value = Answer.IMPOSSIBLE_VALUE, self.settings.rate_hz  # the rate is the recording's
            if abs(config.value - self.settings.rate_hz) < 1e-3:
                answer = Answer.DONE
        elif config.command in (Command.ACC_RANGE_M_S2, Command.GYRO_RANGE_RAD_S):
            ranges = ACC_RANGES_M_S2 if config.command == Command.ACC_RANGE_M_S2 else GYRO_RANGES_RAD_S
            value = next((r for r in ranges if config.value <= r * (1 + 1e-6)), ranges[-1])
            if not config.value > 0 or config.value > ranges[-1] * (1 + 1e-6):
                answer = Answer.IMPOSSIBLE_VALUE
            elif config.command == Command.ACC_RANGE_M_S2:
                self.settings, after = replace(self.settings, acc_range_m_s2=value), True
            else:
                self.settings, after = replace(self.settings, gyro_range_rad_s=value), True
        else:
            answer = Answer.UNKNOWN_COMMAND
        self._tell(Acknowledgement(config.token, config.command, answer, value))
        if after:
            self._tell(self.hello())

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
                self._tell(self.hello())
            elif samples_us == min(due):
                self._sample()
            else:
                self._next_status_us += SECOND_US
                self._tell(self.status())
            out += self._flush()
        self.now_us = max(self.now_us, to_us)
        return out

    def hello(self) -> Hello:
        """As it would say it now."""
        s = self.settings
        flags = HelloFlag.GRAVITY_INCLUDED | (HelloFlag.STREAMING if self.streaming else HelloFlag(0))
        acc, gyro = self._said_scale
        return Hello(
            s.device_id, s.firmware, s.sensor, self._boot, self.now_us, self._next_sequence % WRAP, s.rate_hz, 0.0,
            s.acc_range_m_s2 / 32768 * acc, s.gyro_range_rad_s / 32768 * gyro, s.acc_range_m_s2 * acc, s.gyro_range_rad_s * gyro,
            samples_per_message=s.samples_per_message, flags=flags,
        )  # fmt: skip

    def status(self) -> Status:
        """As it would say it now: what waits is sent before it."""
        return Status(self._boot, self.now_us, self.produced % WRAP, self.produced % WRAP, 0, self.dropped_transmit)

    @property
    def _next_sequence(self) -> int:
        """Of the samples that are sent next."""
        return self._pending[0][0] if self._pending else self.produced

    @property
    def _says_hello(self) -> bool:
        return self.settings.streams_at_once or not self._answered

    @property
    def _is_over(self) -> bool:
        return not self.settings.loops and self._position >= len(self._recording)

    def _due_us(self) -> int:
        """When the message under way is full."""
        rate_hz = self.settings.true_rate_hz or self.settings.rate_hz
        count = (self._since_start + 1) * self.settings.samples_per_message - 1
        return self._origin_us + round(count * SECOND_US / rate_hz)

    def _sample(self) -> None:
        """The sensor's FIFO holds a message's worth: read it."""
        s = self.settings
        count, rate_hz = s.samples_per_message, s.true_rate_hz or s.rate_hz
        rows = np.arange(self._position, self._position + count)
        rows = rows % len(self._recording) if s.loops else rows[rows < len(self._recording)]
        values = self._recording[rows] / np.repeat([s.acc_range_m_s2 / 32768, s.gyro_range_rad_s / 32768], 3)
        if self._alter is not None:
            values = self._alter(values, (self.now_us - s.start_us) / SECOND_US)
        raw = np.clip(np.rint(values), -32768, 32767).astype(np.int16)
        first_us = self._origin_us + round(self._since_start * count * SECOND_US / rate_hz)
        full = (raw == 32767) | (raw == -32768)
        flags = SampleFlag.SATURATED if full.any() else SampleFlag(0)
        if flags and self.now_us - self._saturation_us >= SECOND_US:
            self._saturation_us = self.now_us
            bits = int(full.any(axis=0) @ (1 << np.arange(6)))
            self._tell(Event(EventKind.SATURATION, self.now_us, self.produced % WRAP, bits))
        message = Samples(self.produced % WRAP, first_us % WRAP, round(1e9 / rate_hz), raw, flags)
        self._pending.append((self.produced, len(raw), encode(message)))
        self.produced += len(raw)
        self._position += len(raw)
        self._since_start += 1
        while len(self._pending) > s.pending_messages:
            self.dropped_transmit += self._pending.popleft()[1]

    def _tell(self, message: Message) -> None:
        """Something beside samples; while the wire is full the last few wait."""
        self._told.append(encode(message))

    def _flush(self) -> list[Sent]:
        """Hand over what waits: samples first, so that a STATUS speaks of what was sent before it."""
        if not self.wire_takes:
            return []
        out = []
        while self._pending:
            _, count, data = self._pending.popleft()
            out.append(Sent(self.now_us, data, count))
        while self._told:
            out.append(Sent(self.now_us, self._told.popleft()))
        if out and self._first:
            self._first = False
            out[0] = replace(out[0], data=b"\0" + out[0].data)
        return out
