"""The test vectors that every implementation of the wire must meet, as they stand in `vectors.json`.

`python -m aura_edge_firmware_bridge.vectors vectors.json` writes them anew; a test compares the file with what this gives.

    frames   messages, by name: kind, fields (floats as the f32 that is sent), message (hex, without CRC) and frame (hex, with its zero)
    streams  bytes (hex) that arrive, the names of the frames a receiver gives, and the frames it throws away by reason
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from aura_edge_firmware_bridge.codec import LONGEST_FRAME, Decoder, encode, frame
from aura_edge_firmware_bridge.messages import (
    MOST_SAMPLES,
    VERSION,
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

_RAMP = np.arange(10 * 6).reshape(10, 6) * 1009 - 30000

FRAMES: dict[str, Message] = {
    "hello": Hello(
        device_id="e66118c4e3",
        firmware="aura-edge 0.1.0",
        sensor="MPU-6050",
        boot=0x1234ABCD,
        time_us=1_500_000,
        next_sequence=0,
        rate_hz=200.0,
        clock_hz=8e6,
        acc_m_s2_per_count=9.80665 / 2048,
        gyro_rad_s_per_count=0.0010653,
        acc_range_m_s2=156.9064,
        gyro_range_rad_s=34.906586,
    ),
    "hello, turned axes, no gravity, empty texts": Hello(
        device_id="",
        firmware="",
        sensor="",
        boot=0,
        time_us=0xFFFF_FFFF_FFFF_FFFF,
        next_sequence=0xFFFF_FFFF,
        rate_hz=208.0,
        clock_hz=0.0,
        acc_m_s2_per_count=0.0,
        gyro_rad_s_per_count=0.0,
        acc_range_m_s2=0.0,
        gyro_range_rad_s=0.0,
        axes=(2, -1, 3),
        samples_per_message=1,
        fields=0b000111,
        flags=HelloFlag.STREAMING,
    ),
    "hello, longest texts": Hello(
        "d" * 31, "ü" * 15, "s" * 31, 1, 2, 3, 1000.0, 32768.0, 0.25, 0.5, 2.0, 4.0, (-3, 2, 1), 19
    ),
    "samples, one of zeros": Samples(0, 0, 5_000_000, np.zeros((1, 6), np.int16)),
    "samples, ten": Samples(1230, 0xFFFF_F000, 4_807_692, _RAMP.astype(np.int16)),
    "samples, most, no zero byte": Samples(
        0x01010101, 0x7F7F7F7F, 0x01020304, np.full((MOST_SAMPLES, 6), 0x5A5A, np.int16), SampleFlag(3)
    ),
    "samples, extremes": Samples(
        0xFFFF_FFFF, 1, 1_000_000, np.array([[32767, -32768] * 3] * 2, np.int16), SampleFlag.SATURATED
    ),
    "status": Status(0x1234ABCD, 61_000_123, 12_200, 12_190, 0, 30),
    "event, overflow": Event(EventKind.FIFO_OVERFLOW, 5_000_000, 1000, 85),
    "event, saturation": Event(EventKind.SATURATION, 5_000_001, 1001, 0b001001),
    "event, bus": Event(EventKind.BUS_ERROR, 1 << 40, 1002, 3),
    "time response": TimeResponse(0xDEADBEEF, 10_000_000_001, 10_000_000_065),
    "acknowledgement": Acknowledgement(7, Command.RATE_HZ, Answer.DONE, 208.0),
    "acknowledgement, unknown command": Acknowledgement(255, 200, Answer.UNKNOWN_COMMAND, 0.0),
    "time request": TimeRequest(0xDEADBEEF),
    "say hello": Config(0, Command.SAY_HELLO),
    "start": Config(1, Command.START),
    "stop": Config(2, Command.STOP),
    "rate": Config(7, Command.RATE_HZ, 200.0),
    "acc range": Config(8, Command.ACC_RANGE_M_S2, 78.4532),
    "gyro range": Config(9, Command.GYRO_RANGE_RAD_S, 17.453293),
    "unknown command": Config(255, 200, 1.5),
}


def vectors() -> dict[str, Any]:
    """All of them, as JSON holds them."""
    return {
        "version": VERSION,
        "frames": [
            {
                "name": name,
                "kind": type(message).__name__,
                "fields": fields_of(message),
                "message": (bytes([VERSION << 4 | message.kind]) + message.pack()).hex(),
                "frame": encode(message).hex(),
            }
            for name, message in FRAMES.items()
        ],
        "streams": [_stream(name, data) for name, data in _streams()],
    }


def fields_of(message: Message) -> dict[str, Any]:
    """The fields of a message as plain values; numbers that are sent as f32 are what arrives."""
    arrived = type(message).unpack(message.pack())
    fields: dict[str, Any] = {}
    for name in message.__slots__:
        value = getattr(arrived, name)
        fields[name] = value.tolist() if isinstance(value, np.ndarray) else value
    return fields


def _streams() -> Iterator[tuple[str, bytes]]:
    start, rate, status = (encode(FRAMES[name]) for name in ("start", "rate", "status"))
    unsound = Hello("", "", "", 0, 0, 0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, axes=(1, 1, 3))
    yield "two frames", b"\0" + start + rate
    yield "zeros between frames mean nothing", b"\0" + start + b"\0\0\0" + rate
    yield "attached in the middle of a frame", status[9:] + start + rate
    yield "a boot loader's text before the first zero", b"ets Jul 29 2019 12:21:46\r\n\0" + start
    yield "a flipped bit", b"\0" + start + _flipped(status, 12, 0x10) + rate
    yield "a flipped CRC", b"\0" + _flipped(start, len(start) - 2, 0x01) + rate
    yield "a zero inside", b"\0" + start + status[:10] + b"\0" + status[11:] + rate
    yield "a lost zero costs the two frames it parted", b"\0" + start + status[:-1] + rate + start
    yield "lost bytes", b"\0" + start + status[:5] + status[15:] + rate
    yield "longer than any frame", b"\0" + start + b"\x55" * (3 * LONGEST_FRAME) + b"\0" + rate
    yield "a code that leads beyond the end", b"\0" + b"\x09\x01\x02\0" + rate
    yield "too short for a CRC", b"\0" + b"\x02\x11\0" + rate
    yield "another version", b"\0" + frame(bytes([2 << 4 | 10]) + bytes(6)) + rate
    yield "an unknown kind", b"\0" + frame(bytes([VERSION << 4 | 15]) + bytes(6)) + rate
    yield "a body too long", b"\0" + frame(bytes([VERSION << 4 | TimeRequest.kind]) + bytes(5)) + rate
    yield "a body too short", b"\0" + frame(bytes([VERSION << 4 | Config.kind]) + bytes(5)) + rate
    yield "a count that contradicts the length", b"\0" + frame(b"\x12" + struct.pack("<IIIBB", 0, 0, 0, 0, 2)) + rate
    yield "axes that are no axes", b"\0" + encode(unsound) + rate
    yield "an empty message", b"\0" + frame(b"") + rate
    yield "an unfinished frame", b"\0" + start + rate[:-1]


def _stream(name: str, data: bytes) -> dict[str, Any]:
    decoder = Decoder()
    names = {encode(message): name for name, message in FRAMES.items()}
    given = [names[encode(message)] for message in decoder.feed(data)]
    thrown = {reason: found.frames for reason, found in sorted(decoder.discarded.items())}
    return {"name": name, "bytes": data.hex(), "gives": given, "discards": thrown}


def _flipped(data: bytes, at: int, bits: int) -> bytes:
    return data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :]


def to_json() -> str:
    """The file's text."""
    return json.dumps(vectors(), indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(to_json(), encoding="ascii")
