"""The codec of the wire: its test vectors, any cutting, any damage, bounded memory; and the fuzzer that looks for what breaks it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tracemalloc
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_edge_firmware_bridge import cobs, codec, messages, vectors
from aura_edge_firmware_bridge.codec import LONGEST_FRAME, LONGEST_MESSAGE, REASONS, Decoder, crc16, encode, frame
from fuzz.properties import Broken, check, check_recovered, fed, plain

ROOT = Path(__file__).resolve().parents[1]
VECTORS = ROOT / "firmware_bridge" / "vectors.json"
FUZZER = ROOT / "bench" / "fuzz" / "fuzz_codec.py"
TOLD: dict[str, Any] = json.loads(VECTORS.read_text("ascii"))
FRAMES = {told["name"]: bytes.fromhex(told["frame"]) for told in TOLD["frames"]}

FRAME = st.sampled_from(list(FRAMES.values()))
MESSAGE_BYTES = st.binary(max_size=LONGEST_MESSAGE) | st.lists(
    st.sampled_from((0, 0, 1, 255)), max_size=LONGEST_MESSAGE
).map(bytes)
PIECE = FRAME | MESSAGE_BYTES.map(frame) | st.binary(max_size=300) | st.just(b"\0") | st.just(b"\x55" * 300)
STREAM = st.lists(PIECE, max_size=12).map(b"".join)


def counters(decoder: Decoder) -> dict[str, Any]:
    return {name: getattr(decoder, name) for name in ("bytes", "frames", "frame_bytes", "idle", "discarded", "pending")}


def test_the_vectors_are_those_of_the_code() -> None:
    """`vectors.json` is what `python -m aura_edge_firmware_bridge.vectors` writes."""
    assert VECTORS.read_text("ascii") == vectors.to_json()


@pytest.mark.parametrize("told", TOLD["frames"], ids=lambda told: told["name"])
def test_every_frame_of_the_vectors_is_read(told: dict[str, Any]) -> None:
    """The bytes in the file give the fields in the file, and these give the bytes."""
    (message,) = Decoder().feed(bytes.fromhex(told["frame"]))
    name, fields = plain(message)
    assert (name, fields) == (told["kind"], told["fields"])
    assert encode(message).hex() == told["frame"]
    assert frame(bytes.fromhex(told["message"])).hex() == told["frame"]
    assert messages.KINDS[int(told["message"][:2], 16) & 15].__name__ == told["kind"]


@pytest.mark.parametrize("told", TOLD["streams"], ids=lambda told: told["name"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_every_stream_of_the_vectors_is_followed(told: dict[str, Any], size: int) -> None:
    """Frames given and frames thrown away, by reason, are those in the file, however the stream is cut."""
    data = bytes.fromhex(told["bytes"])
    decoder, given_messages = fed(data[at : at + size] for at in range(0, len(data), size))
    assert [encode(message) for message in given_messages] == [FRAMES[name] for name in told["gives"]]
    assert {reason: found.frames for reason, found in decoder.discarded.items()} == told["discards"]


def test_every_reason_is_in_the_vectors() -> None:
    """No way of throwing a frame away is without a vector."""
    assert {reason for told in TOLD["streams"] for reason in told["discards"]} == set(REASONS)


def test_the_crc_is_the_one_of_the_page() -> None:
    """The check value of CRC-16/CCITT-FALSE."""
    assert crc16(b"123456789") == 0x29B1


@given(data=STREAM)
def test_any_bytes_are_taken_as_the_page_says(data: bytes) -> None:
    """No exception; fed = frames + discarded + idle + pending after every snippet; and all as a reference receiver finds it."""
    check(data)


@given(data=STREAM, cuts=st.lists(st.integers(0, 4000), max_size=20))
def test_any_cutting_gives_the_same(data: bytes, cuts: list[int]) -> None:
    """Messages and counters do not depend on the snippets in which a wire gives its bytes."""
    whole, of_whole = fed([data])
    borders = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    cut, of_cut = fed(data[begin:end] for begin, end in pairwise(borders))
    assert list(map(plain, of_cut)) == list(map(plain, of_whole))
    assert counters(cut) == counters(whole)


def test_the_longest_frame_is_told_from_a_longer_one() -> None:
    """256 bytes are looked into, 257 are not, wherever they are cut."""
    longest = frame(b"\x1f" * LONGEST_MESSAGE)
    for data, reason in ((longest, "kind"), (b"\x55" + longest, "overlong")):
        for at in range(len(data)):
            decoder, _ = fed([b"\0" + data[:at], data[at:]])
            assert {why: found.frames for why, found in decoder.discarded.items()} == {reason: 1}


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_bytes_may_come_in_a_buffer(kind: type) -> None:
    """What a port reads into is taken as it is, and may be overwritten afterwards."""
    decoder = Decoder()
    buffer = bytearray(FRAMES["samples, ten"] + FRAMES["start"][:-1])
    (samples,) = decoder.feed(kind(buffer))
    before = plain(samples)
    buffer[:] = b"\x55" * len(buffer)
    assert plain(samples) == before
    assert len(decoder.feed(b"\0")) == 1


@pytest.mark.parametrize("snippet", [b"\x55" * 1000, b"\x01", bytes(1000)], ids=["no zero", "single", "zeros only"])
def test_memory_stays_flat(snippet: bytes) -> None:
    """A megabyte of anything, or 100,000 reads of one byte, leave behind less than one frame, and need no more than their snippet on the way."""
    decoder = Decoder()
    decoder.feed(snippet)
    tracemalloc.start()
    for _ in range(1_000_000 // len(snippet) // (10 if len(snippet) == 1 else 1)):
        assert decoder.feed(snippet) == []
        assert len(decoder._rest) < LONGEST_FRAME
    _, peak = tracemalloc.get_traced_memory()
    # Of the decoder alone: threads that other tests have left behind allocate meanwhile.
    own = [tracemalloc.Filter(True, module.__file__) for module in (codec, cobs)]
    kept = sum(each.size for each in tracemalloc.take_snapshot().filter_traces(own).statistics("filename"))
    tracemalloc.stop()
    assert kept < 2 * LONGEST_FRAME
    assert peak < 30_000


@given(frames=st.lists(FRAME, min_size=1, max_size=6), damage=st.data())
def test_intact_frames_between_damaged_ones_are_recovered(frames: list[bytes], damage: st.DataObject) -> None:
    """A frame with a zero before it and all its bytes is given, whatever stands around it."""
    stream = b"".join(b"\0" + damage.draw(st.binary(max_size=300)) + b"\0" + one for one in frames)
    check_recovered(stream, frames)


@given(
    frames=st.lists(FRAME, min_size=1, max_size=6),
    place=st.integers(0, 2000),
    size=st.integers(0, 200),
    new=st.binary(),
)
def test_damage_costs_the_frames_that_it_touches(frames: list[bytes], place: int, size: int, new: bytes) -> None:
    """Bytes lost, changed or put in at one place cost at most the frames they were in, and the one behind if a border was hit."""
    stream = b"\0" + b"".join(frames)
    begin = place % (len(stream) + 1)
    end = min(begin + size, len(stream))
    untouched, at = [], 1
    for one in frames:
        border_kept = end < at or (
            end == at and new.endswith(b"\0")
        )  # bytes put in before it end in a zero of their own
        if at + len(one) <= begin or border_kept:
            untouched.append(one)
        at += len(one)
    check_recovered(stream[:begin] + new + stream[end:], untouched)


def test_a_flipped_bit_is_never_a_message() -> None:
    """Any one bit of any frame of the vectors; any two of the short ones: nothing is given."""
    for one in FRAMES.values():
        for count in (1, 2) if len(one) <= 32 else (1,):
            for bits in combinations(range(8 * len(one)), count):
                assert Decoder().feed(b"\0" + _flipped(one, bits) + b"\0") == []


@given(content=MESSAGE_BYTES.filter(len), chosen=st.data())
def test_up_to_three_flipped_bits_fail_the_crc(content: bytes, chosen: st.DataObject) -> None:
    """Where they leave the stuffing alone this is certain: CRC-16 keeps any two messages of this length four bits apart."""
    block = frame(content)[:-1]
    places = [place for place in _outside_codes(block) if place < len(block)]
    bits = chosen.draw(
        st.lists(
            st.sampled_from(places).flatmap(lambda place: st.integers(0, 7).map(lambda bit: 8 * place + bit)),
            min_size=1,
            max_size=3,
            unique=True,
        )
    )
    damaged = _flipped(block, tuple(bits))
    if 0 in damaged:  # that would be a border
        return
    decoder = Decoder()
    assert decoder.feed(b"\0" + damaged + b"\0") == []
    assert list(decoder.discarded) == ["crc"]


@given(content=MESSAGE_BYTES)
def test_stuffing_is_undone(content: bytes) -> None:
    """Any bytes that fit come back, cost one byte more, and hold no zero on the way."""
    block = cobs.encode(content)
    assert 0 not in block
    assert len(block) == len(content) + 1
    assert cobs.decode(block) == content


@given(block=st.binary(max_size=300) | MESSAGE_BYTES)
def test_stuffing_has_one_form(block: bytes) -> None:
    """What is unstuffed at all gives back its bytes when it is stuffed again; all else is a `ValueError`."""
    try:
        content = cobs.decode(block)
    except ValueError:
        return
    assert cobs.encode(bytes(content)) == block


def test_what_is_too_long_is_not_stuffed() -> None:
    """254 bytes fit, 255 do not; of a message, 252."""
    assert len(cobs.encode(b"\x01" * 254)) == 255
    with pytest.raises(ValueError, match="255 bytes"):
        cobs.encode(bytes(255))
    assert len(frame(b"\x01" * LONGEST_MESSAGE)) == LONGEST_FRAME
    with pytest.raises(ValueError, match="at most"):
        frame(bytes(LONGEST_MESSAGE + 1))


@given(content=st.binary(max_size=254) | MESSAGE_BYTES, block=st.binary(min_size=1, max_size=255))
def test_stuffing_is_that_of_everybody_else(content: bytes, block: bytes) -> None:
    """The package `cobs` stuffs alike, and takes and refuses the same."""
    oracle = pytest.importorskip("cobs.cobs", reason="the package cobs is not installed: pip install cobs")
    assert cobs.encode(content) == oracle.encode(content)
    for one in (block, cobs.encode(content)[:-1] or b"\x01"):
        try:
            expected = oracle.decode(one)
        except oracle.DecodeError:
            with pytest.raises(ValueError):
                cobs.decode(one)
        else:
            assert cobs.decode(one) == expected


def test_the_corpus_of_the_fuzzer_holds() -> None:
    """Every stream that a long run found worth keeping is still taken as the page says, and there are not too many."""
    corpus = sorted((FUZZER.parent / "corpus").glob("*.bin"))
    assert 10 <= len(corpus) <= 60
    assert sum(path.stat().st_size for path in corpus) <= 200_000
    reasons, kinds = set(), set()
    for path in corpus:
        receipt = check(path.read_bytes())
        reasons |= set(receipt.discarded)
        kinds |= {name for name, _ in receipt.messages}
    assert reasons == set(REASONS)
    assert kinds == {kind.__name__ for kind in messages.KINDS.values()}


def test_a_short_run_of_the_fuzzer_finds_nothing(tmp_path: Path) -> None:
    """A slice of the long run, on its own seed, from its own corpus."""
    done = subprocess.run(
        [sys.executable, FUZZER, "--bytes", "500000", "--seed", "3", "--crashes", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["bytes"] >= 500_000
    assert set(told["streams_by_behaviour"]) >= {*REASONS, *(kind.__name__ for kind in messages.KINDS.values())}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("crc16", lambda content: crc16(content) & 0xFF00 | content[0]),
        ("LONGEST_FRAME", LONGEST_FRAME + 1),
        ("LONGEST_FRAME", LONGEST_FRAME - 1),
        ("VERSION", 2),
        ("KINDS", {kind: known for kind, known in messages.KINDS.items() if kind != 9}),
    ],
)
def test_a_broken_codec_is_found(monkeypatch: pytest.MonkeyPatch, name: str, broken: object) -> None:
    """The properties can fail: each of these faults breaks one of them within a few streams."""
    from fuzz.streams import content

    rng = random.Random(1)
    streams = [b"\0" + b"\0".join(frame(content(rng)) for _ in range(8)) for _ in range(40)]
    streams += [b"\0" + b"\x01" * size + b"\0" for size in (254, 255, 256)] + [b"\x01" * 256]
    streams += [b"\0" + frame(b"\x12" + b"\x01" * (LONGEST_MESSAGE - 1))]
    for data in streams:
        check(data)
    monkeypatch.setattr(codec, name, broken)
    with pytest.raises(Broken):
        list(map(check, streams))


def _flipped(data: bytes, bits: tuple[int, ...]) -> bytes:
    changed = bytearray(data)
    for bit in bits:
        changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _outside_codes(block: bytes) -> list[int]:
    """Places of a stuffed block whose bytes stand for themselves."""
    codes, at = set(), 0
    while at < len(block):
        codes.add(at)
        at += block[at]
    return [place for place in range(len(block)) if place not in codes] or [0]
