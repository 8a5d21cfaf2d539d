"""A receiver written straight from PROTOCOL.md, slow and plain: the codec must agree with it on any bytes.

It shares no code with the codec: its own CRC bit by bit into a table, its own unstuffing, its own reading of bodies from the page's words.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field

BODIES = {
    1: (
        "Hello",
        "u32 boot, u64 time_us, u32 next_sequence, f32 rate_hz, f32 clock_hz, f32 acc_m_s2_per_count, f32 gyro_rad_s_per_count, "
        "f32 acc_range_m_s2, f32 gyro_range_rad_s, i8 axis_0, i8 axis_1, i8 axis_2, u8 samples_per_message, u16 fields, u8 flags",
    ),
    2: ("Samples", "u32 sequence, u32 time_us, u32 interval_ns, u8 flags, u8 count"),
    3: ("Status", "u32 boot, u64 time_us, u32 produced, u32 next_sequence, u32 dropped_fifo, u32 dropped_transmit"),
    4: ("Event", "u8 what, u64 time_us, u32 sequence, u32 value"),
    5: ("TimeResponse", "u32 token, u64 received_us, u64 sent_us"),
    6: ("Acknowledgement", "u8 token, u8 command, u8 answer, f32 value"),
    9: ("TimeRequest", "u32 token"),
    10: ("Config", "u8 token, u8 command, f32 value"),
}
"""By kind: the message's name, and the numbers at the start of its body in the words of the page."""
MOST_BYTES_BEFORE_ZERO = 255


@dataclass
class Receipt:
    """What a receiver made of a stream."""

    messages: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    """Name and plain fields."""
    frame_bytes: int = 0
    idle: int = 0
    discarded: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By reason: frames and bytes."""
    pending: int = 0


class Wrong(Exception):
    """A frame that is thrown away; its argument is the reason."""


def receive(data: bytes) -> Receipt:
    """Follow a wire from its first byte, one byte after the other."""
    receipt = Receipt()
    block: list[int] = []
    seen_zero = False
    for byte in data:
        block.append(byte)
        if byte:
            continue
        if len(block) == 1:
            receipt.idle += 1
        else:
            try:
                receipt.messages.append(_message(block[:-1]))
                receipt.frame_bytes += len(block)
            except Wrong as wrong:
                reason = wrong.args[0] if seen_zero else "partial"
                frames, size = receipt.discarded.get(reason, (0, 0))
                receipt.discarded[reason] = frames + 1, size + len(block)
        seen_zero = True
        block = []
    receipt.pending = len(block)
    return receipt


def _message(block: list[int]) -> tuple[str, dict[str, object]]:
    if len(block) > MOST_BYTES_BEFORE_ZERO:
        raise Wrong("overlong")
    content = _unstuffed(block)
    if len(content) < 3 or _crc(content[:-2]) != content[-2] + 256 * content[-1]:
        raise Wrong("crc")
    version, kind = divmod(content[0], 16)
    if version != 1:
        raise Wrong("version")
    if kind not in BODIES:
        raise Wrong("kind")
    return _body(kind, content[1:-2])


def _unstuffed(block: list[int]) -> list[int]:
    """Each code byte counts itself and what follows it; between two groups stands a zero that was taken out."""
    content: list[int] = []
    left = list(reversed(block))
    while left:
        group = left.pop() - 1
        if group > len(left):
            raise Wrong("stuffing")
        content += [left.pop() for _ in range(group)]
        if left:
            content.append(0)
    return content


def _crc_of_byte(byte: int) -> int:
    crc = byte << 8
    for _ in range(8):
        crc = (crc << 1) ^ (0x1021 if crc & 0x8000 else 0)
    return crc & 0xFFFF


_CRCS = [_crc_of_byte(byte) for byte in range(256)]


def _crc(content: list[int]) -> int:
    crc = 0xFFFF
    for byte in content:
        crc = (crc << 8 & 0xFFFF) ^ _CRCS[crc >> 8 ^ byte]
    return crc


def _body(kind: int, body: list[int]) -> tuple[str, dict[str, object]]:
    name, words = BODIES[kind]
    fields: dict[str, object] = {}
    at = 0
    for word in words.split(", "):
        form, label = word.split()
        size = int(form[1:]) // 8
        fields[label], at = _number(form, body[at : at + size]), at + size
    if name == "Hello":
        at = _hello(fields, body, at)
    elif name == "Samples":
        at = _samples(fields, body, at)
    elif (name == "Event" and fields["what"] not in (1, 2, 3)) or (
        name == "Acknowledgement" and fields["answer"] not in (0, 1, 2, 3)
    ):
        raise Wrong("body")
    if at != len(body):
        raise Wrong("body")
    return name, fields


def _number(form: str, found: list[int]) -> float | int:
    if 8 * len(found) != int(form[1:]):
        raise Wrong("body")
    if form[0] == "f":
        (value,) = struct.unpack("<f", bytes(found))
        return float(value)
    return int.from_bytes(bytes(found), "little", signed=form[0] == "i")


def _hello(fields: dict[str, object], body: list[int], at: int) -> int:
    axes = [fields.pop(f"axis_{axis}") for axis in range(3)]
    if {abs(axis) for axis in axes if isinstance(axis, int)} != {1, 2, 3}:
        raise Wrong("body")
    if not all(math.isfinite(value) for value in fields.values() if isinstance(value, float)):
        raise Wrong("body")
    fields["axes"] = axes
    for text in ("device_id", "firmware", "sensor"):
        size = body[at] if at < len(body) else 255
        if size > 31 or at + 1 + size > len(body):
            raise Wrong("body")
        try:
            fields[text] = bytes(body[at + 1 : at + 1 + size]).decode("utf-8")
        except UnicodeDecodeError:
            raise Wrong("body") from None
        at += 1 + size
    return at


def _samples(fields: dict[str, object], body: list[int], at: int) -> int:
    count = fields.pop("count")
    if not isinstance(count, int) or not 1 <= count <= 19 or len(body) != at + 12 * count:
        raise Wrong("body")
    numbers = [_number("i16", body[at + 2 * index : at + 2 * index + 2]) for index in range(6 * count)]
    fields["raw"] = [numbers[6 * row : 6 * row + 6] for row in range(count)]
    return len(body)
