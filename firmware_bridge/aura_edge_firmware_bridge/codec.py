"""Messages to frames and back, fed with whatever snippets a wire gives.

A frame is the stuffed (`cobs`) message with its CRC, and a zero that ends it. Whatever is damaged costs the frame it is in, or the two whose
border it is on: the next zero starts anew. What is thrown away is counted with a reason, and memory stays within one frame whatever arrives.
"""

from __future__ import annotations

import binascii
import struct
from collections import Counter
from dataclasses import dataclass

from aura_edge_firmware_bridge import cobs
from aura_edge_firmware_bridge.messages import KINDS, VERSION, Message

LONGEST_MESSAGE = cobs.LONGEST - 2
LONGEST_FRAME = cobs.LONGEST + 2
"""Bytes on the wire: the message, two of CRC, one of stuffing, and the zero."""
REASONS = ("partial", "overlong", "stuffing", "crc", "version", "kind", "body")
"""Why a frame is thrown away, in the order in which it is looked at: the rest of one that began before we listened; longer than any frame; not
stuffed rightly; damaged; of another version of the protocol; of no known kind; contents that contradict themselves."""


def crc16(data: bytes | bytearray | memoryview) -> int:
    """CRC-16/CCITT-FALSE: polynomial 0x1021, starting with 0xFFFF; 0x29B1 for the ASCII digits 1 to 9."""
    return binascii.crc_hqx(data, 0xFFFF)


def encode(message: Message) -> bytes:
    """The frame that carries `message`, with the zero at its end. Raises `ValueError` for what does not fit."""
    try:
        body = message.pack()
    except (struct.error, OverflowError) as error:
        raise ValueError(f"{type(message).__name__}: {error}; give numbers that fit their fields.") from error
    return frame(bytes([VERSION << 4 | message.kind]) + body)


def frame(content: bytes) -> bytes:
    """CRC, stuffing and the closing zero around up to `LONGEST_MESSAGE` bytes."""
    return cobs.encode(content + struct.pack("<H", crc16(content))) + b"\0"


@dataclass(slots=True)
class Discarded:
    """What a decoder threw away for one reason."""

    frames: int = 0
    bytes: int = 0


class Decoder:
    """Follows one wire from the moment at which somebody began to listen."""

    def __init__(self) -> None:
        self.bytes = 0
        """Fed so far: those of `frames`, those of `discarded`, the zeros that follow a zero (`idle`) and those in `pending`."""
        self.frames: Counter[str] = Counter()
        """Messages given, by their kind's name."""
        self.frame_bytes = 0
        """Bytes of these, with their zeros."""
        self.idle = 0
        self.discarded: dict[str, Discarded] = {}
        """By reason, one of `REASONS`."""
        self._rest = b""
        self._overlong = 0  # bytes of a frame that is being skipped; its end has not come
        self._listening_since_a_zero = False

    @property
    def pending(self) -> int:
        """Bytes of a frame whose end has not come."""
        return len(self._rest) + self._overlong

    def feed(self, data: bytes) -> list[Message]:
        """Take the next bytes, any number; give the messages that they complete, in order."""
        self.bytes += len(data)
        *closed, self._rest = (self._rest + data).split(b"\0")
        messages = []
        for block in closed:
            message = self._close(block)
            if message is not None:
                messages.append(message)
        if len(self._rest) >= LONGEST_FRAME or self._overlong:
            self._overlong += len(self._rest)
            self._rest = b""
        return messages

    def _close(self, block: bytes) -> Message | None:
        """What the bytes between two zeros say."""
        first, self._listening_since_a_zero = not self._listening_since_a_zero, True
        size = len(block) + self._overlong + 1
        if size >= LONGEST_FRAME + 1:
            self._overlong = 0
            self._discard("partial" if first else "overlong", size)
            return None
        if not block:
            self.idle += 1
            return None
        found = _read(block)
        if isinstance(found, str):
            self._discard("partial" if first else found, size)
            return None
        self.frames[type(found).__name__] += 1
        self.frame_bytes += size
        return found

    def _discard(self, reason: str, size: int) -> None:
        counted = self.discarded.setdefault(reason, Discarded())
        counted.frames += 1
        counted.bytes += size


def _read(block: bytes) -> Message | str:
    """The message of a block without its zero, or the reason why there is none."""
    try:
        content = cobs.decode(block)
    except ValueError:
        return "stuffing"
    if len(content) < 3 or crc16(memoryview(content)[:-2]) != content[-2] | content[-1] << 8:
        return "crc"
    kind = content[0]
    if kind >> 4 != VERSION:
        return "version"
    known = KINDS.get(kind & 0x0F)
    if known is None:
        return "kind"
    try:
        message: Message = known.unpack(content[1:-2])
    except (ValueError, struct.error):
        return "body"
    return message
