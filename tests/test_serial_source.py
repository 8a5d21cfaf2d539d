"""A board as a source, live and played again: the same labels to the byte, and an orderly end at any moment."""

from __future__ import annotations

import json
import math
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aura_edge.errors import DeviceError, InputError
from aura_edge.manifest import EncoderSpec, Manifest
from aura_edge.pipeline import Pipeline
from aura_edge.sinks import open_sink
from aura_edge.sources import open_source
from aura_edge.sources.duration import FirstSeconds
from aura_edge.sources.formats import RecordingFormat
from aura_edge.sources.serial import live
from aura_edge.sources.serial.live import open_live
from aura_edge.sources.serial.recording import Recorded
from aura_edge.sources.serial.source import WireSource
from aura_edge.sources.serial.transport import NotThereError, Port, SerialTransport, find_again
from aura_edge.testing import TINY_SPACE, FakeEngine, motion, tiny_prototypes
from aura_edge.types import ImuChunk, SourceInfo, Summary
from aura_edge_firmware_bridge.codec import encode
from aura_edge_firmware_bridge.messages import Hello, Samples, Status

MANIFEST = Manifest(name="tiny", encoder=EncoderSpec("tiny", {}, 1), text_space=TINY_SPACE, prototypes="tiny")
MESSAGES = 300
PER_MESSAGE = 10
HELLO = Hello("id", "fw", "chip", 5, 0, 0, 200.0, 0.0, 0.005, 0.001, 160.0, 32.0)


def board_bytes() -> list[bytes]:
    """Fifteen seconds of shaking and walking, message by message, with two lost and one doubled."""
    signal_of = np.concatenate([motion("walking", samples=1500), motion("shaking", samples=1500)], axis=1).T
    raw = np.rint(signal_of / np.repeat([0.005, 0.001], 3)).astype(np.int16)
    pieces = [b"\0" + encode(HELLO)]
    for i in range(MESSAGES):
        message = encode(Samples(i * PER_MESSAGE, i * 50_000, 5_000_000, raw[i * PER_MESSAGE : (i + 1) * PER_MESSAGE]))
        pieces += [] if i in (120, 121) else [message, message] if i == 200 else [message]
    return [*pieces, encode(Status(5, 15_000_000, 3000, 3000, 0, 0))]


class BoardTransport:
    """A board that sends its pieces, some at a time and not before those before were taken; and then nothing."""

    name = "/dev/ttyTEST"

    def __init__(self, pieces: list[bytes], *, each: int = 3) -> None:
        self._pieces, self._each = pieces, each
        self._cancelled = threading.Event()
        self.written: list[bytes] = []
        self.closed = False
        self.permits = threading.Semaphore(2)

    def read(self, timeout_s: float) -> bytes:
        if not self._pieces:
            self._cancelled.wait(timeout_s)
            return b""
        self.permits.acquire(timeout=0.05)  # a message that was lost gives nothing to take
        taken, self._pieces = self._pieces[: self._each], self._pieces[self._each :]
        return b"".join(taken)

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def cancel(self) -> None:
        self._cancelled.set()

    def close(self) -> None:
        self.closed = True


def stepping_clock(step_ns: int = 1_000_000) -> Callable[[], int]:
    """Each look is a millisecond later; safe from two threads."""
    times = iter(range(0, 1 << 60, step_ns))
    lock = threading.Lock()

    def now() -> int:
        with lock:
            return next(times)

    return now


def board(pieces: list[bytes] | None = None, **options: object) -> tuple[Paced, BoardTransport]:
    transport = BoardTransport(board_bytes() if pieces is None else pieces)
    source = open_live(
        "/dev/ttyTEST",
        {},
        open_port=lambda path: transport,
        list_ports=list,
        identify=lambda path: None,
        clock_ns=stepping_clock(),
        **options,  # type: ignore[arg-type]
    )
    return Paced(source, transport), transport


class Paced:
    """A source that lets its board send on when the next chunk is wanted."""

    def __init__(self, source: WireSource, transport: BoardTransport) -> None:
        self._source, self._transport = source, transport
        self.report, self.close = source.report, source.close

    @property
    def info(self) -> SourceInfo:
        return self._source.info

    def __iter__(self) -> Iterator[ImuChunk]:
        return self

    def __next__(self) -> ImuChunk:
        self._transport.permits.release()
        return next(self._source)


def labels(source: object, out: Path, *more: object) -> tuple[Summary, bytes]:
    sinks = [open_sink(f"jsonl:{out}?timing=no"), *more]
    summary = Pipeline(source, FakeEngine(), tiny_prototypes(), MANIFEST, sinks, hop_s=0.5).run()  # type: ignore[arg-type]
    return summary, out.read_bytes()


def test_board_becomes_labels_and_every_sample_is_accounted_for(tmp_path: Path) -> None:
    """Read + lost is what the board produced; the copy is counted apart."""
    source, transport = board()
    limited = FirstSeconds(source, 14.8)
    summary, _ = labels(limited, tmp_path / "out.jsonl")
    assert summary.windows > 5
    assert summary.lost == 20
    assert summary.device["duplicate"] == 10
    assert summary.samples["read"] == 2960
    assert summary.samples["read"] == sum(n for reason, n in summary.samples.items() if reason != "read")
    assert transport.closed


def test_recorded_run_played_again_is_the_same_to_the_byte(tmp_path: Path) -> None:
    """Same bytes in, same JSON lines out: labels, times, losses, skipped hops, notes, summary."""
    source, _ = board(record=tmp_path / "run.aurec")
    _, live = labels(FirstSeconds(source, 14.8), tmp_path / "live.jsonl")
    again = open_source(f"replay:{tmp_path / 'run.aurec'}", speed="max")
    assert again.info.live
    _, played = labels(FirstSeconds(again, 14.8), tmp_path / "again.jsonl")
    assert played == live
    assert len(live.splitlines()) > 10


def test_skipped_hops_are_skipped_again(tmp_path: Path) -> None:
    """A stream that was behind skipped windows: so does its recording, at any speed."""
    everything = [b"".join(board_bytes())]
    source, _ = board(everything, record=tmp_path / "run.aurec")
    summary, live = labels(FirstSeconds(source, 14.8), tmp_path / "live.jsonl")
    assert summary.windows_skipped > 5
    again = open_source(f"replay:{tmp_path / 'run.aurec'}", speed="max")
    replayed, played = labels(FirstSeconds(again, 14.8), tmp_path / "again.jsonl")
    assert replayed.windows_skipped == summary.windows_skipped
    assert played == live


class StopsAfter:
    """Ctrl-C after some predictions and events."""

    def __init__(self, count: int, source: Paced) -> None:
        self._left, self._source = count, source

    def emit(self, item: object) -> None:
        self._left -= not isinstance(item, Summary)
        if self._left == 0:
            self._source.close()

    def close(self) -> None:
        pass


@pytest.mark.parametrize("stop_after", [1, 3, 8])
def test_closing_at_any_chunk_ends_in_order_and_is_played_again(tmp_path: Path, stop_after: int) -> None:
    """Ctrl-C after any number of labels: the summary adds up, and the recording ends there too."""
    source, transport = board(record=tmp_path / "run.aurec")
    summary, live = labels(source, tmp_path / "live", StopsAfter(stop_after, source))
    assert summary.samples["read"] == sum(n for reason, n in summary.samples.items() if reason != "read")
    assert transport.closed
    again = open_source(f"replay:{tmp_path / 'run.aurec'}", speed="max")
    _, played = labels(again, tmp_path / "again")
    assert played == live


def test_close_while_waiting_ends_the_wait() -> None:
    """A signal handler that closes a source nobody sends to: the iteration ends."""
    source, transport = board([b"\0" + encode(HELLO)])
    before = signal.signal(signal.SIGALRM, lambda number, frame: source.close())
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        assert [chunk for chunk in source if len(chunk.t_ns)] == []
    finally:
        signal.signal(signal.SIGALRM, before)
    assert transport.closed


def test_replay_is_paced_by_the_times_of_the_run(tmp_path: Path) -> None:
    """At speed 2 a run takes half as long; the clock is injected."""
    source, _ = board(record=tmp_path / "run.aurec")
    labels(FirstSeconds(source, 14.8), tmp_path / "live.jsonl")
    now = 0.0
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        slept.append(seconds)

    again = open_source(f"replay:{tmp_path / 'run.aurec'}", speed=2.0, clock=lambda: now, sleep=sleep)
    chunks = list(again)
    span_s = (chunks[-1].host_ns - chunks[0].host_ns) / 1e9
    assert span_s > 0
    assert sum(slept) == pytest.approx(span_s / 2, rel=0.2)


def test_recorded_run_cannot_be_looped(tmp_path: Path) -> None:
    """It ends as it ended then."""
    source, _ = board(record=tmp_path / "run.aurec")
    source.close()
    with pytest.raises(InputError, match="--loop"):
        open_source(f"replay:{tmp_path / 'run.aurec'}", loop=True)


def test_device_that_is_not_there_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """With `wait`, opening is tried until it works, which is said once; without, the error is told."""
    transport = BoardTransport(board_bytes())
    tries = 0

    def open_port(path: str) -> BoardTransport:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise NotThereError("not there")
        return transport

    ports = {"open_port": open_port, "list_ports": list, "identify": lambda path: None}
    with pytest.raises(DeviceError, match="not there"):
        open_live("/dev/ttyTEST", {}, **ports)  # type: ignore[arg-type]
    source = open_live("/dev/ttyTEST", {}, wait=True, sleep=lambda seconds: None, **ports)  # type: ignore[arg-type]
    source.close()
    assert tries == 4
    assert [record.message for record in caplog.records] == ["/dev/ttyTEST: not there yet; waiting for it"]


@pytest.mark.parametrize(("absent", "refused", "opens"), [(0, 1, False), (3, 2, True), (3, 1000, False)])
def test_only_a_port_that_is_not_there_is_waited_for(absent: int, refused: int, opens: bool) -> None:
    """One that is taken, or that may not be opened, is told at once; one that has just come gets a few seconds to be made ready."""
    answers: list[InputError] = [NotThereError("not there")] * absent + [DeviceError("you may not")] * refused
    slept: list[float] = []

    def open_port(path: str) -> BoardTransport:
        if answers:
            raise answers.pop(0)
        return BoardTransport(board_bytes())

    def opened() -> WireSource:
        return open_live(
            "/dev/ttyTEST", {}, wait=True, open_port=open_port, identify=lambda path: None, sleep=slept.append
        )

    if opens:
        opened().close()
    else:
        with pytest.raises(DeviceError, match="you may not"):
            opened()
    assert sum(slept) < 5.0


def test_recording_of_not_one_byte_is_not_kept(tmp_path: Path) -> None:
    """It would stand in the way of the next attempt."""
    silence = BoardTransport([b""] * 20)
    with pytest.raises(DeviceError, match="not one byte"):
        open_live(
            "/dev/ttyTEST",
            {},
            record=tmp_path / "run.aurec",
            open_port=lambda path: silence,
            identify=lambda path: None,
            clock_ns=stepping_clock(1_000_000_000),
        )
    assert silence.closed
    assert not (tmp_path / "run.aurec").exists()


def test_recording_of_what_nobody_understood_is_kept(tmp_path: Path) -> None:
    """A byte is worth looking at."""
    with pytest.raises(InputError):
        open_live(
            "/dev/ttyTEST",
            {},
            record=tmp_path / "run.aurec",
            open_port=lambda path: BoardTransport([b"\xaa\xbb"] * 20),
            identify=lambda path: None,
            clock_ns=stepping_clock(1_000_000_000),
        )
    assert Recorded(tmp_path / "run.aurec").duration_s > 0


@pytest.mark.parametrize(
    "told", [{"units": "furlong"}, {"columns": "q"}, {"rate_hz": 3.0}, {"preset": "nope"}, {"form": RecordingFormat()}]
)
def test_recorded_run_is_not_told_how_to_be_read(tmp_path: Path, told: dict[str, Any]) -> None:
    """It says so itself: what would be passed over is refused."""
    source, _ = board(record=tmp_path / "run.aurec")
    source.close()
    with pytest.raises(InputError, match=f"{next(iter(told))} means nothing"):
        open_source(f"replay:{tmp_path / 'run.aurec'}", **told)


@pytest.mark.parametrize("seconds", [math.inf, math.nan, 1e308])
def test_duration_must_be_a_number_of_samples(seconds: float) -> None:
    """No traceback, one line."""
    source, _ = board()
    with pytest.raises(InputError, match="expected"):
        FirstSeconds(source, seconds)
    source.close()


@pytest.mark.parametrize("url", ["socket://127.0.0.1:1?logging=error", "loop://?logging=error"])
def test_options_of_a_url_of_pyserial_are_its_own(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They reach it; ours, behind a path or such a URL, stay ours."""
    opened: list[tuple[str, object]] = []
    monkeypatch.setattr(live, "open_live", lambda url, options, *, baud, **more: opened.append((url, baud)))
    open_source(f"serial:{url}")
    open_source(f"serial:{url.partition('?')[0]}?baud=9600")
    open_source("serial:/dev/ttyTEST?baud=9600")
    assert opened == [(url, None), (url.partition("?")[0], 9600), ("/dev/ttyTEST", 9600)]
    with pytest.raises(InputError, match="'bua' means nothing to serial"):
        open_source("serial:/dev/ttyTEST?bua=9600")


def test_waiting_can_be_cancelled() -> None:
    """Ctrl-C while nothing is there ends it."""

    def refuse(path: str) -> BoardTransport:
        raise NotThereError("not there")

    asked = iter([False, False, True])
    with pytest.raises(KeyboardInterrupt):
        open_live(
            "/dev/ttyTEST", {}, wait=True, cancelled=lambda: next(asked), open_port=refuse, sleep=lambda seconds: None
        )


def test_board_is_found_again_under_another_name() -> None:
    """The same USB device has another path after it was plugged in again; another device at the old path is not it."""
    known = Port("/dev/ttyUSB0", "board", 0x1A86, 0x7523, "A1")
    other = Port("/dev/ttyUSB0", "other", 0x0403, 0x6001, "B2")
    moved = Port("/dev/ttyUSB1", "board", 0x1A86, 0x7523, "A1")
    assert find_again("/dev/ttyUSB0", known, [other, moved]) == "/dev/ttyUSB1"
    assert find_again("/dev/ttyUSB0", known, [known, moved]) == "/dev/ttyUSB0"
    assert find_again("/dev/ttyUSB0", known, []) == "/dev/ttyUSB0"
    assert find_again("/dev/ttyUSB0", None, [moved]) == "/dev/ttyUSB0"


def test_loop_is_a_port_like_any_other() -> None:
    """pyserial's `loop://` gives back what is written: a board can be played into it, and what the host says itself is passed over."""
    port = SerialTransport("loop://")
    options = {"open_port": lambda path: port, "list_ports": list, "identify": lambda path: None}
    for piece in board_bytes()[:20]:
        port.write(piece)
    source = open_live("loop://", {}, **options)  # type: ignore[arg-type]
    samples = 0
    for chunk in source:
        samples += len(chunk.t_ns)
        if samples >= 190:
            source.close()
    assert samples == 190
    assert source.report()["lost"] == 0


def test_what_happens_on_the_way_is_noted(tmp_path: Path) -> None:
    """A board that restarts in the middle: the summary says so, also of a run that is limited in time."""
    pieces = board_bytes()
    again = encode(replace(HELLO, boot=6))
    source, _ = board([*pieces[:115], again, *pieces[1:115]])
    summary, _ = labels(FirstSeconds(source, 9.0), tmp_path / "out.jsonl")
    assert "the board restarted once" in summary.notes


def test_summary_line_names_the_board(tmp_path: Path) -> None:
    """The last line says what was followed and how its wire went."""
    source, _ = board()
    _, written = labels(FirstSeconds(source, 14.8), tmp_path / "out.jsonl")
    last = json.loads(written.splitlines()[-1])
    assert last["source"] == "/dev/ttyTEST (chip, id, fw)"
    assert last["device"]["frames"] > 250
    assert math.isfinite(last["device"]["bytes"])
