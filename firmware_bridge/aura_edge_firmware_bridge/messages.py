"""What a board and a host say to each other: one frozen value per kind of message, and its bytes.

`PROTOCOL.md` says what each field means and when each message is sent. All numbers are little-endian; nothing is padded.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any, ClassVar, get_args

import numpy as np
from numpy.typing import NDArray

VERSION = 1
"""Upper half of the first byte of every message."""
CHANNELS = 6
LONGEST_TEXT = 31
"""Bytes of each text in a `Hello`, in UTF-8."""
MOST_SAMPLES = 19
"""Samples in one message: more would not fit a frame."""
ALL_FIELDS = 0x3F


class SampleFlag(IntFlag):
    """What is true of at least one sample of a `Samples`."""

    SATURATED = 1
    """A reading stood at the end of the sensor's scale."""
    ESTIMATED_TIME = 2
    """The time was not taken from a sensor interrupt or a counter, but when the samples were read."""


NO_FLAG = SampleFlag(0)


class HelloFlag(IntFlag):
    GRAVITY_INCLUDED = 1
    STREAMING = 2
    """Samples are being sent already."""


class EventKind(IntEnum):
    FIFO_OVERFLOW = 1
    """`value` samples were overwritten in the sensor before they were read."""
    SATURATION = 2
    """`value` has a bit for each channel at the end of its scale; told once a second at most."""
    BUS_ERROR = 3
    """The sensor did not answer; `value` counts such errors since the start."""


class Command(IntEnum):
    SAY_HELLO = 1
    START = 2
    STOP = 3
    RATE_HZ = 4
    ACC_RANGE_M_S2 = 5
    GYRO_RANGE_RAD_S = 6


class Answer(IntEnum):
    DONE = 0
    UNKNOWN_COMMAND = 1
    IMPOSSIBLE_VALUE = 2
    SENSOR_FAILED = 3


class _Plain:
    """Numbers one after the other, in the order of the fields."""

    __slots__: ClassVar[tuple[str, ...]] = ()
    _FORM: ClassVar[struct.Struct]

    def pack(self) -> bytes:
        """The bytes behind the kind. Raises `struct.error` or `OverflowError` for a number that does not fit its field."""
        return self._FORM.pack(*(getattr(self, name) for name in self.__slots__))

    @classmethod
    def unpack(cls, body: bytes | bytearray) -> Any:
        """From exactly these bytes. Raises `ValueError` or `struct.error` for any others."""
        return cls(*cls._FORM.unpack(body))


@dataclass(frozen=True, slots=True)
class Hello:
    """Who the board is and how its samples are read. Sent until the host answers, and when asked."""

    kind: ClassVar[int] = 1
    device_id: str
    firmware: str
    sensor: str
    boot: int
    """u32 that differs from one start of the board to the next; 0 when the board cannot know."""
    time_us: int
    """u64 device clock at sending."""
    next_sequence: int
    """u32 sequence number that the next sample sent will have."""
    rate_hz: float
    """Nominal output data rate; f32."""
    clock_hz: float
    """Nominal rate of the oscillator that the sensor's samples or the device clock are derived from; f32, 0 when unknown."""
    acc_m_s2_per_count: float
    gyro_rad_s_per_count: float
    acc_range_m_s2: float
    """Full scale."""
    gyro_range_rad_s: float
    axes: tuple[int, int, int] = (1, 2, 3)
    """For each axis of the board, which axis of the sensor it is: 1, 2 or 3, negative when it points the other way."""
    samples_per_message: int = 10
    fields: int = ALL_FIELDS
    """A bit for each of acc_x ... gyro_z that the sensor has; the others are sent as 0."""
    flags: HelloFlag = HelloFlag.GRAVITY_INCLUDED

    _FORM: ClassVar[struct.Struct] = struct.Struct("<IQI6f3bBHB")

    def pack(self) -> bytes:
        texts = b""
        for text in (self.device_id, self.firmware, self.sensor):
            coded = text.encode()
            if len(coded) > LONGEST_TEXT:
                raise ValueError(f"{text!r}: {len(coded)} bytes; at most {LONGEST_TEXT} fit.")
            texts += bytes([len(coded)]) + coded
        numbers = self._FORM.pack(
            self.boot,
            self.time_us,
            self.next_sequence,
            self.rate_hz,
            self.clock_hz,
            self.acc_m_s2_per_count,
            self.gyro_rad_s_per_count,
            self.acc_range_m_s2,
            self.gyro_range_rad_s,
            *self.axes,
            self.samples_per_message,
            self.fields,
            self.flags,
        )
        return numbers + texts

    @classmethod
    def unpack(cls, body: bytes | bytearray) -> Hello:
        numbers = cls._FORM.unpack_from(body)
        axes, floats = numbers[9:12], numbers[3:9]
        at, texts = cls._FORM.size, []
        for _ in range(3):
            end = at + 1 + (body[at] if at < len(body) else 0)
            if end > len(body) or body[at] > LONGEST_TEXT:
                raise ValueError("a text that does not fit.")
            texts.append(bytes(body[at + 1 : end]).decode())
            at = end
        if at != len(body):
            raise ValueError(f"{len(body) - at} surplus bytes.")
        if sorted(map(abs, axes)) != [1, 2, 3]:
            raise ValueError(f"axes {axes}.")
        if not np.isfinite(floats).all():
            raise ValueError("a scale that is no number.")
        values: tuple[Any, ...] = (*texts, *numbers[:9], axes, *numbers[12:14], HelloFlag(numbers[14]))
        return cls(*values)


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Consecutive samples, as the sensor's registers had them."""

    kind: ClassVar[int] = 2
    sequence: int
    """u32 number of the first sample since the start of the board: what was dropped is counted too, so that a jump is a loss."""
    time_us: int
    """u32 device clock at the first sample, wrapping every 71.6 minutes."""
    interval_ns: int
    """u32 from one sample to the next."""
    raw: NDArray[np.int16]
    """(n, 6) acc_x acc_y acc_z gyro_x gyro_y gyro_z in counts, n from 1 to `MOST_SAMPLES`."""
    flags: SampleFlag = NO_FLAG

    _FORM: ClassVar[struct.Struct] = struct.Struct("<IIIBB")

    def pack(self) -> bytes:
        raw = self.raw  # wider counts than int16 would wrap unseen
        if raw.ndim != 2 or raw.shape[1] != CHANNELS or not 1 <= len(raw) <= MOST_SAMPLES or raw.dtype != np.int16:
            raise ValueError(f"{raw.dtype} of shape {raw.shape}; expected int16 (1 to {MOST_SAMPLES}, {CHANNELS}).")
        head = self._FORM.pack(self.sequence, self.time_us, self.interval_ns, self.flags, len(raw))
        return head + raw.astype("<i2").tobytes()

    @classmethod
    def unpack(cls, body: bytes | bytearray) -> Samples:
        sequence, time_us, interval_ns, flags, count = cls._FORM.unpack_from(body)
        if not 1 <= count <= MOST_SAMPLES or len(body) != cls._FORM.size + 2 * CHANNELS * count:
            raise ValueError(f"{count} samples in {len(body)} bytes.")
        raw = np.frombuffer(body, "<i2", offset=cls._FORM.size).reshape(count, CHANNELS)
        return cls(sequence, time_us, interval_ns, raw, SampleFlag(flags))


@dataclass(frozen=True, slots=True)
class Status(_Plain):
    """Once a second: what became of the samples so far."""

    kind: ClassVar[int] = 3
    boot: int
    time_us: int
    """u64 device clock at sending."""
    produced: int
    """u32 samples that the sensor has made since the start, as far as the board knows."""
    next_sequence: int
    """u32: every sample with a lower number was sent or dropped; `produced` less this many wait to be sent."""
    dropped_fifo: int
    """u32 samples overwritten in the sensor before they were read."""
    dropped_transmit: int
    """u32 samples dropped because the wire took no more."""

    _FORM: ClassVar[struct.Struct] = struct.Struct("<IQIIII")


@dataclass(frozen=True, slots=True)
class Event(_Plain):
    """Something that happened to the sensor, when it happened."""

    kind: ClassVar[int] = 4
    what: EventKind
    time_us: int
    """u64 device clock."""
    sequence: int
    """u32 number of the next sample at that time."""
    value: int
    """u32; see `EventKind`."""

    _FORM: ClassVar[struct.Struct] = struct.Struct("<BQII")

    @classmethod
    def unpack(cls, body: bytes | bytearray) -> Event:
        what, time_us, sequence, value = cls._FORM.unpack(body)
        return cls(EventKind(what), time_us, sequence, value)


@dataclass(frozen=True, slots=True)
class TimeResponse(_Plain):
    """The answer to a `TimeRequest`."""

    kind: ClassVar[int] = 5
    token: int
    """u32 of the request."""
    received_us: int
    """u64 device clock when the request was read."""
    sent_us: int
    """u64 device clock when this answer was handed to the wire."""

    _FORM: ClassVar[struct.Struct] = struct.Struct("<IQQ")


@dataclass(frozen=True, slots=True)
class Acknowledgement(_Plain):
    """The answer to a `Config`."""

    kind: ClassVar[int] = 6
    token: int
    """u8 of the command."""
    command: int
    """u8 as it came, known or not."""
    answer: Answer
    value: float
    """f32 what is in force now: the rate or range that came closest."""

    _FORM: ClassVar[struct.Struct] = struct.Struct("<BBBf")

    @classmethod
    def unpack(cls, body: bytes | bytearray) -> Acknowledgement:
        token, command, answer, value = cls._FORM.unpack(body)
        return cls(token, command, Answer(answer), value)


@dataclass(frozen=True, slots=True)
class TimeRequest(_Plain):
    """From the host: what is your time?"""

    kind: ClassVar[int] = 9
    token: int
    """u32, any."""

    _FORM: ClassVar[struct.Struct] = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Config(_Plain):
    """From the host: do this."""

    kind: ClassVar[int] = 10
    token: int
    """u8, any."""
    command: int
    """u8, a `Command`."""
    value: float = 0.0
    """f32, in the unit of the command's name."""

    _FORM: ClassVar[struct.Struct] = struct.Struct("<BBf")


Message = Hello | Samples | Status | Event | TimeResponse | Acknowledgement | TimeRequest | Config
KINDS: dict[int, type[Message]] = {known.kind: known for known in get_args(Message)}
"""By the lower half of a message's first byte."""
