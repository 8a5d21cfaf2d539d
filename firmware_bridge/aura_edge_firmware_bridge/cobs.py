"""Consistent overhead byte stuffing: bytes without a zero, so that a zero can end a frame (Cheshire and Baker, SIGCOMM 1997).

Frames of this protocol are short enough (`LONGEST` bytes at most) that the stuffing always costs exactly one byte.
"""

from __future__ import annotations

LONGEST = 254
"""Bytes that one code byte can span: what is longer would need a second one, and no frame is."""


def encode(data: bytes) -> bytes:
    """Stuff up to `LONGEST` bytes; the result is one byte longer and holds no zero. Raises `ValueError` for more."""
    if len(data) > LONGEST:
        raise ValueError(f"{len(data)} bytes; a frame holds at most {LONGEST}.")
    return b"".join(bytes([len(run) + 1]) + run for run in data.split(b"\0"))


def decode(block: bytes | bytearray) -> bytearray:
    """What `encode` was given. Raises `ValueError` for an empty block, a zero inside, a code that leads beyond the end, or a longer one."""
    size = len(block)
    if not 1 <= size <= LONGEST + 1:
        raise ValueError(f"{size} bytes; a stuffed frame has 1 to {LONGEST + 1}.")
    data = bytearray(block)
    at = data[0]
    while 0 < at < size:
        code = data[at]
        if not code:
            raise ValueError(f"a zero at byte {at} of a stuffed frame.")
        data[at] = 0
        at += code
    if at != size:
        raise ValueError("a code that leads beyond the end of a stuffed frame.")
    del data[0]
    return data
