"""Streams that are worth trying on a receiver: frames of any contents, damage, and changes that leave the CRC right.

Blind damage hardly ever passes a CRC: `mutated` therefore also opens a frame, changes what is inside, and closes it with a new one.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from aura_edge_firmware_bridge import cobs
from aura_edge_firmware_bridge.codec import LONGEST_FRAME, LONGEST_MESSAGE, frame

SIZES = {1: 50, 2: 14, 3: 28, 4: 17, 5: 20, 6: 7, 9: 4, 10: 6}
"""Bytes of the smallest body of each kind."""
MOST = 4096
"""Bytes of a stream."""


def content(rng: random.Random) -> bytes:
    """A message of mostly sound form: a known kind, a body of about its size."""
    kind = rng.choice(list(SIZES)) if rng.random() < 0.95 else rng.randrange(16)
    size = SIZES.get(kind, rng.randrange(60))
    first = bytes([(1 if rng.random() < 0.97 else rng.randrange(16)) << 4 | kind])
    body = _bytes(rng, size)
    if kind == 1:
        texts = b"".join(bytes([len(text)]) + text for text in (_text(rng) for _ in range(3)))
        axes = rng.sample((1, 2, 3), 3) if rng.random() < 0.9 else [rng.randrange(5) for _ in range(3)]
        signed = bytes(axis if rng.random() < 0.5 else -axis & 0xFF for axis in axes)
        body = body[:16] + _floats(rng, 6) + signed + body[43:47] + texts
    elif kind == 2:
        count = rng.randint(0, 20)
        body = body[:13] + bytes([count if rng.random() < 0.95 else rng.randrange(256)]) + _bytes(rng, 12 * count)
    elif kind == 4:
        body = bytes([rng.randrange(5)]) + body[1:]
    elif kind == 6:
        body = body[:2] + bytes([rng.randrange(5)]) + body[3:]
    if rng.random() < 0.05:
        body = body[: rng.randrange(len(body) + 1)] + _bytes(rng, rng.randrange(3))
    return (first + body)[:LONGEST_MESSAGE]


def mutated(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """A few changes to `data`, some of them with bytes of `other`."""
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        data = rng.choice(_WAYS)(data, other, rng)[:MOST]
    return data


def damaged(frames: list[bytes], rng: random.Random) -> tuple[bytes, list[bytes]]:
    """A stream of `frames` with damage between intact ones, and the intact ones: those with a zero before them and all their bytes."""
    stream, intact = b"\0", []
    for one in frames:
        if rng.random() < 0.5:
            stream += one
            intact.append(one)
        else:
            stream += mutated(one, rng.choice(frames), rng)
            if not stream.endswith(b"\0"):
                stream += b"\0"
    return stream, intact


def _bytes(rng: random.Random, size: int) -> bytes:
    """Random ones, zeros, or readings near zero, as they stand on a wire."""
    way = rng.randrange(4)
    if way == 0:
        return bytes(size)
    if way == 1:
        return bytes(rng.choice((0, 0, 1, 255, 127, 128)) for _ in range(size))
    return rng.randbytes(size)


def _floats(rng: random.Random, count: int) -> bytes:
    # The upper byte of a float in little-endian order is its fourth: below 0x7F it is finite.
    floats = [rng.randbytes(3) + bytes([rng.randrange(0x7F)]) for _ in range(count)]
    if rng.random() < 0.05:
        floats[rng.randrange(count)] = rng.choice((b"\0\0\x80\x7f", b"\0\0\xc0\xff"))
    return b"".join(floats)


def _text(rng: random.Random) -> bytes:
    if rng.random() < 0.1:
        return rng.choice((rng.randbytes(rng.randrange(36)), b"x" * rng.randint(30, 33)))
    return "".join(rng.choice("aZ0 -ü€\0") for _ in range(rng.randrange(11))).encode()


def _flip(data: bytes, other: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(rng.randint(1, 3)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _put(data: bytes, other: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice((b"\0", b"\0\0", b"\xff", b"\x01", rng.randbytes(3))) + data[at + rng.randrange(2) :]


def _cut(data: bytes, other: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.choice((1, 2, 5, 40)) :]


def _again(data: bytes, other: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[max(at - rng.choice((1, 4, 30, 200)), 0) :]


def _splice(data: bytes, other: bytes, rng: random.Random) -> bytes:
    at, of = rng.randrange(len(data) + 1), rng.randrange(len(other) + 1)
    return data[:at] + other[of:]


def _noise(data: bytes, other: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    size = rng.choice((5, 60, LONGEST_FRAME - 3 + rng.randrange(6), 3 * LONGEST_FRAME))
    return data[:at] + bytes(rng.randint(1, 255) for _ in range(size)) + data[at:]


def _insert_frame(data: bytes, other: bytes, rng: random.Random) -> bytes:
    blocks = data.split(b"\0")
    blocks.insert(rng.randrange(len(blocks) + 1), frame(content(rng))[:-1])
    return b"\0".join(blocks)


def _reseal(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Change what a frame says, and give it the CRC and the stuffing that go with it."""
    blocks = data.split(b"\0")
    at = rng.randrange(len(blocks))
    try:
        inside = bytes(cobs.decode(blocks[at]))[:-2]
    except ValueError:
        inside = content(rng)
    changed = rng.choice((_flip, _put, _cut, _again))(inside, other, rng)[:LONGEST_MESSAGE]
    blocks[at] = frame(changed)[:-1]
    return b"\0".join(blocks)


_WAYS: list[Callable[[bytes, bytes, random.Random], bytes]] = [
    _flip,
    _put,
    _cut,
    _again,
    _splice,
    _noise,
    _insert_frame,
    _insert_frame,
    _reseal,
    _reseal,
    _reseal,
]
