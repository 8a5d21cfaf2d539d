"""What the codec of the wire costs per sample: bytes to messages and back, at several message sizes, on a sound wire and on a damaged one.

`python -m aura_edge_bench.wire_cost` decodes streams of SAMPLES in snippets as a port at 115,200 baud gives them, and encodes the same messages.
Cases take turns; the median over the rounds is given, with the machine's facts.
"""

from __future__ import annotations

import argparse
import time

import msgspec
import numpy as np

from aura_edge.testing import motion
from aura_edge_bench.machine import Machine, this_machine
from aura_edge_firmware_bridge.codec import Decoder, encode
from aura_edge_firmware_bridge.messages import Samples

SCHEMA = 1
RATE_HZ = 200
SNIPPET_BYTES = 115
"""What 115,200 baud carry in 10 ms, the time a reader waits for more."""
DAMAGED = 0.01
"""Share of frames with one byte changed, on the damaged wire."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """One case: messages of one size on one kind of wire."""

    samples_per_message: int
    damaged_frames: int
    """Frames with one changed byte, of `frames`."""
    frames: int
    stream_bytes: int
    samples: int
    """Sent in each round."""
    samples_given: int
    """Samples that came out: all but those of the damaged frames, and of the frame behind when the zero between them was hit."""
    decode_us_per_sample: float
    """Median over the rounds, microseconds of wall clock per sample sent."""
    encode_us_per_sample: float | None
    """Likewise; None on a damaged wire, where encoding is no other."""
    decode_us_per_sample_rounds: tuple[float, ...]
    encode_us_per_sample_rounds: tuple[float, ...]


class WireCost(msgspec.Struct, frozen=True, kw_only=True):
    """The result, as JSON gives it."""

    schema: int = SCHEMA
    benchmark: str = "wire cost"
    machine: Machine
    samples: int
    """Asked for; each case sends as many whole messages of these as they fill, in every round."""
    rounds: int
    seed: int
    snippet_bytes: int
    damaged: float
    costs: tuple[Cost, ...]


class Case:
    """Messages, their bytes cut into snippets, and what both directions took so far."""

    def __init__(self, messages: list[Samples], *, damaged: float, rng: np.random.Generator) -> None:
        self.messages = messages
        self.samples = sum(len(message.raw) for message in messages)
        self.sound = not damaged
        frames = [bytearray(encode(message)) for message in messages]
        hit = rng.choice(len(frames), round(damaged * len(frames)), replace=False)
        for number in hit:
            frames[number][rng.integers(len(frames[number]))] ^= int(rng.integers(1, 256))
        self.damaged_frames = len(hit)
        stream = b"\0" + b"".join(frames)
        self.stream_bytes = len(stream)
        self.snippets = [stream[at : at + SNIPPET_BYTES] for at in range(0, len(stream), SNIPPET_BYTES)]
        self.samples_given = 0
        self.decode_us: list[float] = []
        self.encode_us: list[float] = []

    def decode(self) -> None:
        """One round over the whole stream with a new decoder."""
        decoder, given = Decoder(), 0
        begin = time.perf_counter()
        for snippet in self.snippets:
            for message in decoder.feed(snippet):
                if isinstance(message, Samples):
                    given += len(message.raw)
        self.decode_us.append((time.perf_counter() - begin) / self.samples * 1e6)
        self.samples_given = given

    def encode(self) -> None:
        """One round over all messages."""
        begin = time.perf_counter()
        for message in self.messages:
            encode(message)
        self.encode_us.append((time.perf_counter() - begin) / self.samples * 1e6)

    def forget(self) -> None:
        """Throw away what was timed: it warmed up."""
        self.decode_us.clear()
        self.encode_us.clear()

    def cost(self) -> Cost:
        return Cost(
            samples_per_message=len(self.messages[0].raw),
            damaged_frames=self.damaged_frames,
            frames=len(self.messages),
            stream_bytes=self.stream_bytes,
            samples=self.samples,
            samples_given=self.samples_given,
            decode_us_per_sample=float(np.median(self.decode_us)),
            encode_us_per_sample=float(np.median(self.encode_us)) if self.encode_us else None,
            decode_us_per_sample_rounds=tuple(self.decode_us),
            encode_us_per_sample_rounds=tuple(self.encode_us),
        )


def wire_cost(sizes: tuple[int, ...], *, samples: int, rounds: int, seed: int) -> WireCost:
    """Time about `samples` samples of motion at each of `sizes` samples a message, sound and damaged, `rounds` times in turn."""
    machine = this_machine()
    rng = np.random.default_rng(seed)
    cases = [
        Case(_messages(size, samples=samples), damaged=damaged, rng=rng) for size in sizes for damaged in (0.0, DAMAGED)
    ]
    for turn in range(rounds + 1):
        for case in cases:
            case.decode()
            if case.sound:
                case.encode()
            if not turn:
                case.forget()
    return WireCost(
        machine=machine,
        samples=samples,
        rounds=rounds,
        seed=seed,
        snippet_bytes=SNIPPET_BYTES,
        damaged=DAMAGED,
        costs=tuple(case.cost() for case in cases),
    )


def _messages(size: int, *, samples: int) -> list[Samples]:
    """Walking as a sensor at ±8 g and ±1000 deg/s would count it."""
    moved = motion("walking", samples=samples // size * size, rate_hz=RATE_HZ).T
    per_count = np.repeat([9.80665 / 4096, np.pi / 180 / 32.8], 3)
    raw = np.clip(np.rint(moved / per_count), -32768, 32767).astype(np.int16)
    return [
        Samples(first, first * 1_000_000 // RATE_HZ & 0xFFFF_FFFF, 1_000_000_000 // RATE_HZ, raw[first : first + size])
        for first in range(0, len(raw), size)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 10, 19], metavar="SAMPLES")
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    result = wire_cost(tuple(chosen.sizes), samples=chosen.samples, rounds=chosen.rounds, seed=chosen.seed)
    print(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())


if __name__ == "__main__":
    main()
