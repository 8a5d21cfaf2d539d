"""What must hold for the codec on any bytes, however they are cut: checked by the fuzzer and by the tests."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from aura_edge_firmware_bridge.codec import LONGEST_FRAME, Decoder, encode
from aura_edge_firmware_bridge.messages import Message
from fuzz.reference import Receipt, receive


class Broken(Exception):
    """The codec did what it must not."""


def plain(message: Message) -> tuple[str, dict[str, object]]:
    """A message as its name and fields that compare by value."""
    fields = {}
    for name in message.__slots__:
        value = getattr(message, name)
        if isinstance(value, np.ndarray):
            value = value.tolist()
        elif isinstance(value, tuple):
            value = list(value)
        fields[name] = int(value) if isinstance(value, int) else value
    return type(message).__name__, fields


def snippets(data: bytes, rng: random.Random) -> Iterator[bytes]:
    """The same bytes as a wire might give them: empty reads, single bytes, and long runs."""
    at = 0
    most = rng.choice((1, 3, 17, 64, 1024))
    while at < len(data):
        size = rng.randint(0, most)
        yield data[at : at + size]
        at += size


def fed(pieces: Iterable[bytes]) -> tuple[Decoder, list[Message]]:
    """A decoder after these pieces, with its accounting and its bound looked at after each of them."""
    decoder = Decoder()
    messages: list[Message] = []
    total = 0
    for piece in pieces:
        messages += decoder.feed(piece)
        total += len(piece)
        known = decoder.frame_bytes + sum(found.bytes for found in decoder.discarded.values()) + decoder.idle
        if not total == decoder.bytes == known + decoder.pending:
            raise Broken(f"{total} bytes fed, {decoder.bytes} counted, {known} explained, {decoder.pending} pending")
        if len(decoder._rest) >= LONGEST_FRAME:
            raise Broken(f"{len(decoder._rest)} bytes kept; at most {LONGEST_FRAME - 1} can begin a frame")
    if sum(decoder.frames.values()) != len(messages):
        raise Broken(f"{decoder.frames} counted, {len(messages)} given")
    return decoder, messages


def check(data: bytes) -> Receipt:
    """Feed `data` whole and cut, and compare with the reference; what the reference says of it. Raises `Broken` where they differ."""
    expected = receive(data)
    whole, messages = fed([data])
    cut, of_cut = fed(snippets(data, random.Random(len(data) * 256 + sum(data[:64]))))
    told = [plain(message) for message in messages]
    for decoder, given in ((whole, told), (cut, [plain(message) for message in of_cut])):
        # repr, because a float that is no number differs from itself.
        if list(map(_sorted, given)) != list(map(_sorted, expected.messages)):
            raise Broken(f"given {given}, expected {expected.messages}")
        discarded = {reason: (found.frames, found.bytes) for reason, found in decoder.discarded.items()}
        counted = (decoder.frames, decoder.frame_bytes, decoder.idle, discarded, decoder.pending)
        names = Counter(name for name, _ in expected.messages)
        if counted != (names, expected.frame_bytes, expected.idle, expected.discarded, expected.pending):
            raise Broken(f"counted {counted}, expected {expected}")
    for message in messages:
        if encode(message) not in data and "nan" not in repr(message):
            raise Broken(f"{message} does not give back the bytes that it came from")
    return expected


def check_recovered(data: bytes, intact: list[bytes]) -> None:
    """Every frame of `intact`, each behind a zero in `data`, is given, in order. Raises `Broken` when one is not."""
    given = iter([encode(message) for message in Decoder().feed(data)])
    for number, frame in enumerate(intact):
        if frame not in given:  # takes what was given up to the frame
            raise Broken(f"intact frame {number} of {len(intact)} was not recovered: {frame.hex()}")


def _sorted(message: tuple[str, dict[str, object]]) -> str:
    name, fields = message
    return name + repr(sorted(fields.items()))
