"""The thread that reads a port, and the recording of what it read: bounded, counted, back after it went, whole after a kill."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_edge.errors import DeviceError, InputError, SinkError
from aura_edge.sources.serial import is_recording
from aura_edge.sources.serial.happenings import Arrived, Connected, Disconnected, Happening, Overflowed, Sent
from aura_edge.sources.serial.reader import Reader
from aura_edge.sources.serial.recording import INDEX_EVERY_NS, Header, Recorded, Recorder

HEADER = Header(port="/dev/ttyTEST", baud=115200, options={"format": "aura"})


class FakeTransport:
    """A port whose bytes a test puts in; an exception put in is raised."""

    def __init__(self, name: str = "/dev/ttyTEST") -> None:
        self.name = name
        self.coming: queue.Queue[bytes | DeviceError] = queue.Queue()
        self.written: list[bytes] = []
        self.closed = threading.Event()
        self.broken = False

    def read(self, timeout_s: float) -> bytes:
        item = self.coming.get()
        if isinstance(item, DeviceError):
            raise item
        return item

    def write(self, data: bytes) -> None:
        if self.broken:
            raise DeviceError("gone")
        self.written.append(data)

    def cancel(self) -> None:
        self.coming.put(b"")

    def close(self) -> None:
        self.closed.set()


def counting_clock() -> Callable[[], int]:
    ticks = iter(range(1, 1_000_000))
    return lambda: next(ticks)


def take_until(reader: Reader, enough: Callable[[list[Happening]], bool]) -> list[Happening]:
    found: list[Happening] = []
    while not enough(found):
        found += reader.take(5.0)
    return found


def refuse() -> FakeTransport:
    raise DeviceError("not there")


def arrived(happenings: list[Happening]) -> bytes:
    return b"".join(h.data for h in happenings if isinstance(h, Arrived))


def test_bytes_arrive_in_order_with_times() -> None:
    """What the port gives is what is taken."""
    port = FakeTransport()
    reader = Reader(port, refuse, clock_ns=counting_clock())
    for piece in (b"one", b"two", b""):
        port.coming.put(piece)
    found = take_until(reader, lambda seen: len(seen) == 4)
    assert isinstance(found[0], Connected)
    assert arrived(found) == b"onetwo"
    times = [h.host_ns for h in found]
    assert times == sorted(times)
    reader.close()
    assert port.closed.is_set()


def test_port_that_goes_is_opened_again() -> None:
    """A cable that is pulled and put back: told, waited for, and read on."""
    first, second = FakeTransport(), FakeTransport("/dev/ttyTEST1")
    tries = iter([DeviceError("not yet"), InputError("its driver does not know that rate yet"), second])

    def reopen() -> FakeTransport:
        found = next(tries)
        if isinstance(found, InputError):
            raise found
        return found

    reader = Reader(first, reopen, clock_ns=counting_clock())
    first.coming.put(b"before")
    first.coming.put(DeviceError("pulled"))
    second.coming.put(b"after")
    found = take_until(reader, lambda seen: b"after" in arrived(seen))
    kinds = [type(h) for h in found]
    assert kinds == [Connected, Arrived, Disconnected, Connected, Arrived]
    assert isinstance(found[3], Connected)
    assert found[3].port == "/dev/ttyTEST1"
    assert first.closed.is_set()
    reader.send(b"hello")
    assert second.written == [b"hello"]
    reader.close()


def test_what_nobody_takes_is_bounded_and_counted() -> None:
    """Beyond the limit bytes are thrown away, and told as one number however many there were."""
    port = FakeTransport()
    reader = Reader(port, refuse, limit_bytes=100, clock_ns=counting_clock())
    for _ in range(50):
        port.coming.put(b"x" * 30)
    port.coming.put(DeviceError("end"))
    while not port.closed.wait(5.0):
        pass
    found = take_until(reader, lambda seen: any(isinstance(h, Disconnected) for h in seen))
    assert len(arrived(found)) == 90
    overflowed = [h for h in found if isinstance(h, Overflowed)]
    assert [h.size for h in overflowed] == [47 * 30]
    reader.close()


def test_sending_to_a_port_that_is_gone_loses_what_is_sent() -> None:
    """Nothing is raised in the middle of a stream because a board was unplugged."""
    port = FakeTransport()
    reader = Reader(port, refuse, clock_ns=counting_clock())
    port.broken = True
    reader.send(b"hello")
    reader.close()
    assert not any(isinstance(h, Sent) for h in reader.take(0.0))


def test_defect_in_the_thread_reaches_whoever_takes() -> None:
    """An exception that nobody expected is not lost in a thread."""

    class Defective(FakeTransport):
        def read(self, timeout_s: float) -> bytes:
            raise ZeroDivisionError

    reader = Reader(Defective(), refuse, clock_ns=counting_clock())
    with pytest.raises(ZeroDivisionError):
        take_until(reader, lambda seen: False)
    reader.close()


# ---- the recording ----


def some_happenings() -> list[Happening]:
    return [
        Connected(1, "/dev/ttyTEST"),
        Arrived(2, b"\0abc"),
        Sent(3, b"hello"),
        Arrived(4, b""),
        Disconnected(5, "gone"),
        Connected(6, "/dev/ttyTEST1"),
        Overflowed(7, 3),
        Arrived(8, b"rest"),
    ]


def record(path: Path, happenings: list[Happening], taken: list[int]) -> None:
    recorder = Recorder(path, HEADER, host_ns=0)
    at = 0
    for count in taken:
        for happening in happenings[at : at + count]:
            recorder.append(happening, b"xyz" if isinstance(happening, Overflowed) else b"")
        recorder.taken(count, 9)
        at += count
    for happening in happenings[at:]:
        recorder.append(happening, b"xyz" if isinstance(happening, Overflowed) else b"")
    recorder.close()


def test_recording_gives_the_same_pieces(tmp_path: Path) -> None:
    """What was taken together is played together; header and bytes are what they were."""
    path = tmp_path / "run.aurec"
    record(path, some_happenings(), [1, 4, 3])
    assert is_recording(path)
    recorded = Recorded(path)
    assert recorded.header == HEADER
    batches = list(recorded.batches())
    assert [len(batch) for batch in batches] == [1, 4, 3]
    assert [h for batch in batches for h in batch] == some_happenings()
    assert recorded.ended
    assert b"".join(data for _, data in recorded.arrived()) == b"\0abcxyzrest"


def test_what_was_not_taken_before_the_end_is_not_played(tmp_path: Path) -> None:
    """A run ended in order never used the rest; one that was killed would have."""
    record(tmp_path / "ended.aurec", some_happenings(), [2])
    assert [len(batch) for batch in Recorded(tmp_path / "ended.aurec").batches()] == [2]
    whole = (tmp_path / "ended.aurec").read_bytes()
    (tmp_path / "killed.aurec").write_bytes(whole[: -(13 + 4) - (13 + 16 + 4)])  # without the last index and the end
    killed = Recorded(tmp_path / "killed.aurec")
    assert [len(batch) for batch in killed.batches()] == [2, 1, 1, 1, 1, 1, 1]
    assert not killed.ended


def test_recording_that_is_cut_anywhere_plays_until_there(tmp_path: Path) -> None:
    """A lost battery costs what was not whole, and that is told."""
    path, cut = tmp_path / "run.aurec", tmp_path / "cut.aurec"
    record(path, some_happenings(), [1, 4, 3])
    whole = path.read_bytes()
    played = 0
    for size in range(len(whole)):
        cut.write_bytes(whole[:size])
        try:
            recorded = Recorded(cut)
        except InputError:
            assert size < 200
            continue
        found = [h for batch in recorded.batches() for h in batch]
        assert found == some_happenings()[: len(found)]
        assert len(found) >= played
        played = len(found)
        assert not recorded.ended
    assert played == len(some_happenings())


@given(st.binary(max_size=400), st.integers(0, 2**16))
def test_damaged_recording_never_raises_anything_but_our_errors(noise: bytes, at: int) -> None:
    """Whatever stands in the file: it is played as far as it is whole, or refused."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.aurec"
        record(path, some_happenings(), [1, 4, 3])
        whole = bytearray(path.read_bytes())
        at %= len(whole)
        whole[at : at + len(noise)] = noise
        path.write_bytes(bytes(whole))
        try:
            found = [h for batch in Recorded(path).batches() for h in batch]
        except InputError:
            return
        assert found == some_happenings()[: len(found)] or len(noise) == 0


def test_recording_is_never_written_over(tmp_path: Path) -> None:
    """A file that is there stays as it is."""
    path = tmp_path / "run.aurec"
    path.write_bytes(b"precious")
    with pytest.raises(SinkError, match="never written over"):
        Recorder(path, HEADER, host_ns=0)
    assert path.read_bytes() == b"precious"
    with pytest.raises(InputError, match="no recording"):
        Recorded(path)


def test_index_is_written_now_and_then(tmp_path: Path) -> None:
    """Every ten seconds, and at the end: whoever reads it finds the one before."""
    recorder = Recorder(tmp_path / "run.aurec", HEADER, host_ns=0)
    for second in range(35):
        recorder.append(Arrived(second * INDEX_EVERY_NS // 10, b"x" * 7))
    recorder.close()
    recorded = Recorded(tmp_path / "run.aurec")
    assert recorded.duration_s == pytest.approx(34.0)


def test_full_disk_is_told_once_and_what_is_there_can_be_played(tmp_path: Path) -> None:
    """Writing to a disk that takes no more raises one clear error."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    recorder = Recorder(tmp_path / "run.aurec", HEADER, host_ns=0)
    with open("/dev/full", "wb", buffering=0) as full:
        os.dup2(full.fileno(), recorder.fileno())
    with pytest.raises(SinkError, match="can be played"):
        recorder.append(Arrived(1, b"x"))
    recorder.append(Arrived(2, b"y"))
    recorder.close()


KILLED = """
import os, sys, time
from aura_edge.sources.serial.happenings import Arrived
from aura_edge.sources.serial.recording import Header, Recorder
recorder = Recorder(sys.argv[1], Header(port="p", baud=1), host_ns=0)
for i in range(1000):
    recorder.append(Arrived(i, i.to_bytes(4, "little")))
print("written", flush=True)
time.sleep(60)
"""


def test_kill_loses_nothing_that_was_read(tmp_path: Path) -> None:
    """kill -9: every byte that was handed to the recorder is in the file."""
    path = tmp_path / "run.aurec"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]
    recorded = Recorded(path)
    assert [int.from_bytes(data, "little") for _, data in recorded.arrived()] == list(range(1000))
