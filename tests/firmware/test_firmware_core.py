"""The firmware's core in C: compiles everywhere, speaks the wire byte for byte as the codec does, and survives whatever arrives."""

from __future__ import annotations

import json
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aura_edge_firmware_bridge import cobs, codec
from aura_edge_firmware_bridge.codec import REASONS, Decoder, encode
from aura_edge_firmware_bridge.messages import (
    Acknowledgement,
    Answer,
    Config,
    Event,
    Hello,
    Message,
    Samples,
    Status,
    TimeRequest,
    TimeResponse,
)
from aura_edge_firmware_bridge.vectors import FRAMES

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "firmware_bridge/firmware/core"
VECTORS = json.loads((ROOT / "firmware_bridge/vectors.json").read_text())
HOST_KINDS: dict[int, type[Message]] = {TimeRequest.kind: TimeRequest, Config.kind: Config}
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wshadow", "-Wmissing-prototypes"]
TARGETS = {
    "gcc": ["gcc"],
    "clang": ["clang"],
    **{cpu: ["arm-none-eabi-gcc", f"-mcpu={cpu}", "-mthumb"] for cpu in ("cortex-m0", "cortex-m3", "cortex-m4")},
}
u8, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (8, 32, 64))
many = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def as_a_board(monkeypatch: pytest.MonkeyPatch) -> None:
    """The codec knows only what a host sends, as the core does: whatever a board sends is an unknown kind to a board."""
    monkeypatch.setattr(codec, "KINDS", HOST_KINDS)


@pytest.mark.parametrize("source", sorted(CORE.glob("*.c")), ids=lambda path: path.stem)
@pytest.mark.parametrize("target", TARGETS)
def test_compiles_without_a_warning(target: str, source: Path, tmp_path: Path) -> None:
    """Every room of the core, for the host and for three Cortex-M, without what a hosted C library offers beyond memcpy and memset."""
    compiler, *options = TARGETS[target]
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    done = subprocess.run(
        [compiler, *options, *STRICT, "-ffreestanding", "-Os", "-c", source, "-o", tmp_path / "out.o"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("header", sorted(CORE.glob("*.h")), ids=lambda path: path.stem)
def test_headers_are_cpp_as_well(header: Path) -> None:
    """The headers are what an Arduino sketch includes."""
    if shutil.which("g++") is None:
        pytest.skip("no g++")
    command = ["g++", "-x", "c++", "-std=c++20", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", header]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("size", [0, 1, 100, 512])
def test_queue_of_an_impossible_size_does_not_compile(size: int) -> None:
    """Its indexes are masked bytes: any other size would lose bytes without a word."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    command = ["gcc", "-std=c99", "-fsyntax-only", f"-DAURA_EDGE_QUEUE_BYTES={size}", CORE / "AuraEdgeByteQueue.c"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "must be a power of two" in done.stderr


def test_core_allocates_nothing_and_touches_no_hardware() -> None:
    """The only headers are those of freestanding C, string.h, and its own."""
    allowed = {"float.h", "stdbool.h", "stddef.h", "stdint.h", "string.h"} | {path.name for path in CORE.glob("*.h")}
    text = "\n".join(path.read_text() for path in CORE.glob("*.[ch]"))
    included = {line.split()[1].strip('<">') for line in text.splitlines() if line.startswith("#include")}
    assert included <= allowed
    assert "malloc" not in text


@pytest.mark.parametrize("vector", VECTORS["frames"], ids=lambda vector: vector["name"])
def test_frames_are_the_vectors(core: Any, vector: dict[str, Any]) -> None:
    """What a board sends is encoded to the vector's bytes; what a host sends is decoded from them."""
    message, frame = FRAMES[vector["name"]], bytes.fromhex(vector["frame"])
    if isinstance(message, TimeRequest | Config):
        core.ask("listen")
        assert core.ask("hear", (b"\0" + frame).hex()).split() == [heard(message)]
    else:
        assert core.ask("encode", *words(message)) == vector["frame"] == encode(message).hex()


@pytest.mark.usefixtures("as_a_board")
@pytest.mark.parametrize("vector", VECTORS["streams"], ids=lambda vector: vector["name"])
def test_streams_are_the_vectors(core: Any, vector: dict[str, Any]) -> None:
    """A host's frames are found in damaged streams, and what is thrown away is counted with the same reasons.

    Two streams hold a frame that a board would send, with a body that contradicts itself: a board does not know its kind.
    """
    discards = dict(vector["discards"])
    if vector["name"] in ("a count that contradicts the length", "axes that are no axes"):
        discards["kind"] = discards.pop("body")
    core.ask("listen")
    given_ = core.ask("hear", vector["bytes"]).split()
    assert given_ == [heard(FRAMES[name]) for name in vector["gives"]]
    frames, *counts = map(int, core.ask("heard").split())
    assert frames == len(vector["gives"])
    assert {reason: count for reason, count in zip(REASONS, counts, strict=True) if count} == discards


@many
@given(data=st.data())
def test_encoder_is_the_codec(core: Any, data: st.DataObject) -> None:
    """Any message that a board sends has the same bytes in C and in Python."""
    numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
    text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=31).filter(
        lambda text: len(text.encode()) <= 31
    )
    count = data.draw(st.integers(1, 19))
    rows = data.draw(st.lists(st.integers(-32768, 32767), min_size=6 * count, max_size=6 * count))
    raw = struct.pack(f"<{6 * count}h", *rows)
    message: Message = data.draw(
        st.one_of(
            st.builds(Status, *[u32, u64, *[u32] * 4]),
            st.builds(Event, st.integers(1, 3), u64, u32, u32),
            st.builds(TimeResponse, u32, u64, u64),
            st.builds(Acknowledgement, u8, u8, st.sampled_from(Answer), numbers),
            st.builds(
                Hello,
                *[text] * 3,
                *[u32, u64, u32, *[numbers] * 6],
                st.permutations([1, -2, 3]).map(tuple),
                *[u8, st.integers(0, 0xFFFF), st.integers(0, 3)],
            ),
            st.builds(
                lambda *head: Samples.unpack(struct.pack("<IIIBB", *head, count) + raw),
                u32,
                u32,
                u32,
                st.integers(0, 3),
            ),
        )
    )
    assert core.ask("encode", *words(message)) == encode(message).hex()


@many
@given(st.binary(min_size=1, max_size=300))
def test_frame_holds_what_fits(core: Any, body: bytes) -> None:
    """252 bytes at most: a longer message makes no frame, and writes nowhere else."""
    message = bytes([0x10 | body[0] & 15]) + body[1:]
    fits = len(message) <= codec.LONGEST_MESSAGE
    assert core.ask("write", message.hex()) == (codec.frame(message).hex() if fits else "-")


@pytest.mark.parametrize("size", [251, 252, 253, 254, 255, 256])
def test_longest_frames(core: Any, size: int) -> None:
    """The border between what fits and what does not."""
    message = b"\x1f" * size
    assert core.ask("write", message.hex()) == (codec.frame(message).hex() if size <= 252 else "-")


@many
@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.data())
def test_unstuffing_is_the_codec(core: Any, runs: list[int], data: st.DataObject) -> None:
    """A block, sound or not, becomes what the codec makes of it; the lengths of its runs may lie."""
    block = b"".join(
        bytes([data.draw(st.sampled_from([run, run, run, run + 1]))]) + b"\x05" * (run - 1) for run in runs
    )
    try:
        expected = cobs.decode(block).hex() or "-"
    except ValueError:
        expected = "wrong"
    assert core.ask("unstuff", block.hex()) == expected


def test_block_longer_than_any_frame_is_wrong(core: Any) -> None:
    """256 bytes that are stuffed rightly but for their number."""
    run = b"\x80" + b"\x05" * 127
    assert core.ask("unstuff", (run + run[:-1].replace(b"\x80", b"\x7f")).hex()) != "wrong"
    assert core.ask("unstuff", (run + run).hex()) == "wrong"


def test_long_text_is_cut_between_characters(core: Any) -> None:
    """A text of more than 31 bytes loses whole characters: what is left can be read."""
    hello = FRAMES["hello, longest texts"]
    assert isinstance(hello, Hello)
    said = words(hello)
    said[1] = ("ü" * 20).encode().hex()
    cut = replace(hello, device_id="ü" * 15)
    assert core.ask("encode", *said) == encode(cut).hex()


@pytest.mark.parametrize("count", [0, 20, 255])
def test_impossible_count_is_not_encoded(core: Any, count: int) -> None:
    """SAMPLES with no sample, or with more than fit, make no frame."""
    assert core.ask("encode", "Samples", 0, 0, 0, 0, count, *[0] * 6 * count) == "-"


@pytest.mark.usefixtures("as_a_board")
@many
@given(st.lists(st.one_of(st.binary(max_size=300), st.sampled_from(list(FRAMES.values())).map(encode)), max_size=12))
def test_receiver_is_the_codec(core: Any, snippets: list[bytes]) -> None:
    """Whatever arrives, in whatever snippets, C and Python find the same messages and throw the same away."""
    compare(core, iter(snippets))


@pytest.mark.usefixtures("as_a_board")
def test_megabytes_of_noise(core: Any) -> None:
    """Four megabytes of damaged frames, noise and sound frames: no sanitizer objects, and C and Python agree on every message."""
    frames, discarded = compare(core, noise(random.Random(3), 4_000_000))
    assert frames > 1000
    assert all(discarded[reason] > 10 for reason in REASONS if reason != "partial")


def noise(chance: random.Random, total: int) -> Iterator[bytes]:
    """Snippets: frames that are sound, cut, flipped, joined, or nothing but noise."""
    frames = [encode(message) for message in FRAMES.values()]
    sent = 0
    while sent < total:
        parts = []
        for _ in range(chance.randrange(1, 40)):
            part = bytearray(chance.choice(frames))
            match chance.randrange(6):
                case 0:
                    part[chance.randrange(len(part))] ^= 1 << chance.randrange(8)
                case 1:
                    del part[chance.randrange(len(part)) :]
                case 2:
                    part = bytearray(chance.randbytes(chance.randrange(600)))
                case 3:
                    part = bytearray(codec.frame(chance.randbytes(chance.randrange(40))))
            parts.append(bytes(part))
        snippet = b"".join(parts)
        sent += len(snippet)
        yield snippet


def compare(core: Any, snippets: Iterator[bytes]) -> tuple[int, dict[str, int]]:
    core.ask("listen")
    decoder = Decoder()
    for snippet in snippets:
        if snippet:
            assert core.ask("hear", snippet.hex()).split() == [heard(message) for message in decoder.feed(snippet)]
    frames, *counts = map(int, core.ask("heard").split())
    assert frames == decoder.frames.total()
    discarded = {reason: found.frames for reason, found in decoder.discarded.items()}
    assert {reason: count for reason, count in zip(REASONS, counts, strict=True) if count} == discarded
    return frames, discarded


def heard(message: Message) -> str:
    """As `core_host` prints a message of the host."""
    if isinstance(message, TimeRequest):
        return f"T:{message.token}"
    assert isinstance(message, Config)
    value = struct.unpack("<f", struct.pack("<f", message.value))[0]
    nan = "-nan" if struct.pack("<f", value)[3] & 0x80 else "nan"
    return f"C:{message.token}:{message.command}:{nan if value != value else format(value, '.9g')}"


def words(message: Message) -> list[Any]:
    """A message of the board as `core_host` reads it."""
    match message:
        case Hello():
            texts = [text.encode().hex() or "-" for text in (message.device_id, message.firmware, message.sensor)]
            scale = [message.rate_hz, message.acc_m_s2_per_count, message.gyro_rad_s_per_count]
            ranges = [message.acc_range_m_s2, message.gyro_range_rad_s]
            head = [message.boot, message.time_us, message.next_sequence, message.clock_hz, *scale, *ranges]
            tail = [*message.axes, message.samples_per_message, message.fields, int(message.flags)]
            return ["Hello", *texts, *head, *tail]
        case Samples():
            head = [message.sequence, message.time_us, message.interval_ns, int(message.flags), len(message.raw)]
            return ["Samples", *head, *message.raw.ravel()]
        case _:
            values = (getattr(message, name) for name in message.__slots__)
            return [type(message).__name__, *(value if isinstance(value, float) else int(value) for value in values)]
