"""`stream --device`, `record`, `devices` and `simulate` as people type them, against a board on a pseudo terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aura_edge.__main__ import main
from aura_edge.commands import options
from aura_edge.commands.record import _follow
from aura_edge.sources.serial import survey
from aura_edge.sources.serial.recognition import FORMATS
from aura_edge.sources.serial.survey import Surveyed
from aura_edge.sources.serial.transport import Port
from aura_edge.testing import tiny_bundle
from aura_edge.types import ImuChunk, SourceInfo
from aura_edge_firmware_bridge.faults import NAMES

AURA_EDGE = [sys.executable, "-m", "aura_edge"]


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*AURA_EDGE, *args], capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[str]:
    """The path of a simulated board."""
    link = tmp_path / "board"
    process = subprocess.Popen(
        [*AURA_EDGE, "simulate", "--synthetic", "--link", str(link)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert "follow it with" in process.stdout.readline()
        yield str(link)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert "sent whole" in process.stdout.read()
        assert not link.is_symlink()
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def code_of(*args: str) -> int:
    """Exit code of `aura-edge ARGS`, run here."""
    with pytest.raises(SystemExit) as ended:
        main(list(args))
    return int(ended.value.code or 0)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_board_is_streamed_recorded_and_played_again(board: str, tmp_path: Path) -> None:
    """The three commands of the README: follow, record, and the same labels again to the byte."""
    bundle = str(tmp_path / "tiny.aura")
    tiny_bundle(bundle)
    run_file, live, again = tmp_path / "walk.aurec", tmp_path / "live.jsonl", tmp_path / "again.jsonl"
    common = ["--bundle", bundle, "--duration", "7", "--hop", "0.2"]
    followed = run("stream", "--device", board, "--record", str(run_file), "--sink", f"jsonl:{live}?timing=no", *common)
    assert followed.returncode == 0, followed.stderr
    summary = lines_of(live)[-1]
    assert summary["samples"]["read"] == 1400
    assert summary["lost"] == 0
    played = run("stream", "--replay", str(run_file), "--speed", "max", "--sink", f"jsonl:{again}?timing=no", *common)
    assert played.returncode == 0, played.stderr
    assert again.read_bytes() == live.read_bytes()
    assert len(lines_of(live)) > 10


def test_ctrl_c_ends_a_live_stream_with_its_summary(board: str, tmp_path: Path) -> None:
    """Exit code 0, a whole last line, every sample accounted for."""
    bundle = str(tmp_path / "tiny.aura")
    tiny_bundle(bundle)
    process = subprocess.Popen(
        [*AURA_EDGE, "stream", "--device", board, "--bundle", bundle, "--sink", "-"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["type"] in ("event", "prediction")
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read().splitlines()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]
    summary = json.loads(rest[-1])
    assert summary["interrupted"]
    assert summary["samples"]["read"] == sum(n for reason, n in summary["samples"].items() if reason != "read")


def test_board_is_recorded_without_a_model_and_becomes_mcap(board: str, tmp_path: Path) -> None:
    """`record` keeps everything; `--mcap` turns it into what Foxglove reads."""
    reader = pytest.importorskip("mcap.reader", reason="the extra mcap is not installed")
    recording, target = tmp_path / "walk.aurec", tmp_path / "walk.mcap"
    done = run("record", str(recording), "--device", board, "--duration", "2")
    assert done.returncode == 0, done.stderr
    lost = int(re.search(r" ([\d,]+) lost", done.stdout)[1].replace(",", ""))  # type: ignore[index]
    assert f"stream --replay {recording}" in done.stdout
    turned = run("record", str(recording), "--mcap", str(target))
    assert turned.returncode == 0, turned.stderr
    with target.open("rb") as file:
        messages = [json.loads(message.data) for _, _, message in reader.make_reader(file).iter_messages()]
    assert len(messages) >= 400
    steps = [(b["device_ns"] - a["device_ns"]) / 5_000_000 for a, b in pairwise(messages)]
    # On a machine that is busy with other things the board may drop some; then it says so.
    assert sum(steps) - len(steps) == lost
    assert all(step >= 1 for step in steps)
    assert abs(messages[0]["linear_acceleration"]["z"] - 9.81) < 1.5


def test_devices_says_what_speaks(board: str) -> None:
    """A port with a board, and one that is not there: what was asked for failed in part."""
    done = run("devices", board, "/dev/does-not-exist", "--json")
    assert done.returncode == 1, done.stderr
    here, gone = json.loads(done.stdout)
    assert "aura-edge frames, 200 Hz" in here["speaks"]
    assert gone["speaks"] is None
    assert "no such device" in gone["problem"]


def surveyed(monkeypatch: pytest.MonkeyPatch, look: Callable[..., Surveyed]) -> int:
    """Exit code of `devices /dev/ttyTEST` where that is what looking at the port does."""
    monkeypatch.setattr(survey, "survey", look)
    return code_of("devices", "/dev/ttyTEST")


def test_what_a_board_says_is_shown_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Text with brackets is no markup."""
    said = "[/imu] [red]1"
    assert surveyed(monkeypatch, lambda port, **_: Surveyed(port.path, "[/b]", None, None, None, said)) == 0
    assert said in capsys.readouterr().out
    _follow(FakeSource("MPU[/b]", {"lost": 2.0}), Path("[/i].aurec"))
    assert "samples of MPU[/b], 2 lost" in capsys.readouterr().out


def test_ctrl_c_ends_the_looking_at_once(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Whoever listens to a port is told, rather than waited for."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    heard: list[bool] = []

    def look(port: Port, *, cancelled: Callable[[], bool], **_: object) -> Surveyed:
        os.kill(os.getpid(), signal.SIGINT)
        until_s = time.monotonic() + 20
        while not cancelled() and time.monotonic() < until_s:
            os.sched_yield()
        heard.append(cancelled())
        raise KeyboardInterrupt

    assert surveyed(monkeypatch, look) == 130
    assert heard == [True]


@dataclass
class FakeSource:
    """A board that has been recorded."""

    name: str
    counts: Mapping[str, float]
    info: SourceInfo = field(init=False)

    def __post_init__(self) -> None:
        self.info = SourceInfo(name=self.name, rate_hz=100.0, units="SI")

    def __iter__(self) -> Iterator[ImuChunk]:
        return iter([ImuChunk(np.arange(3, dtype=np.int64), np.zeros((3, 6), np.float32), 0)])

    def report(self) -> Mapping[str, float]:
        return self.counts

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"lost": 0.0, "frames": 7.0}, "3 samples of x, 0 lost before they arrived"),
        ({"samples": 3.0}, "3 samples of x"),
        (
            {"lost": 1234.0, "discarded_crc": 2.0, "discarded_cobs": 1.0},
            "3 samples of x, 1,234 lost before they arrived, 3 damaged frames",
        ),
        ({"discarded_text_bytes": 12.0, "discarded_line_bytes": 0.0}, "3 samples of x, 12 bytes not understood"),
    ],
)
def test_record_says_what_is_known_of_losses(
    counts: Mapping[str, float], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A board that cannot tell what it lost is not said to have lost nothing."""
    _follow(FakeSource("x", counts), Path("walk.aurec"))
    assert capsys.readouterr().out.splitlines()[0] == f"walk.aurec: {said}"


@pytest.mark.parametrize(
    "told",
    [
        ["--baud", "9600"],
        ["--units", "g"],
        ["--columns", "t=0"],
        ["--rate-hz", "9"],
        ["--format", "csv"],
        ["--wait"],
        ["--duration", "3"],
    ],
)
def test_conversion_is_told_nothing_of_a_board(told: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What would be passed over is wrong usage."""
    assert code_of("record", "walk.aurec", "--mcap", "walk.mcap", *told) == 2
    assert told[0] in capsys.readouterr().err


def test_formats_of_the_help_are_those_that_there_are() -> None:
    """The list is written twice, because one of them is heavy."""
    assert options.FORMATS == FORMATS


@pytest.mark.parametrize("command", [["record", "x.aurec"], ["stream"]])
def test_unknown_format_is_wrong_usage(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Answered with those that there are, before anything is opened."""
    assert code_of(*command, "--device", "/dev/does-not-exist", "--format", "nope") == 2
    shown = capsys.readouterr().err
    assert all(name in shown for name in FORMATS)


@pytest.mark.parametrize("seconds", ["inf", "nan", "-1"])
@pytest.mark.parametrize(
    "command",
    [
        ["record", "x.aurec", "--device", "/dev/does-not-exist"],
        ["stream", "--device", "/dev/does-not-exist"],
        ["simulate", "--synthetic"],
    ],
)
def test_endless_duration_is_wrong_usage(command: list[str], seconds: str) -> None:
    """Nor is it a traceback."""
    assert code_of(*command, f"--duration={seconds}") == 2


@pytest.mark.parametrize("command", ["stream", "record", "devices"])
def test_help_says_defaults_and_formats(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In brackets that are not taken for markup; the names are those that there are."""
    monkeypatch.setenv("COLUMNS", "300")
    assert code_of(command, "--help") == 0
    shown = capsys.readouterr().out
    assert "(default: 115200)" in shown
    assert command == "devices" or all(name in shown for name in FORMATS)


def test_port_that_is_taken_is_refused(board: str, tmp_path: Path) -> None:
    """Two readers would each get half: the second is told."""
    first = subprocess.Popen(
        [*AURA_EDGE, "record", str(tmp_path / "a.aurec"), "--device", board, "--duration", "600"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not (tmp_path / "a.aurec").exists():
            assert first.poll() is None
            os.sched_yield()
        second = run("record", str(tmp_path / "b.aurec"), "--device", board)
        assert second.returncode == 1
        assert "another program has it open" in second.stderr
    finally:
        first.send_signal(signal.SIGINT)
        assert first.wait(20) in (0, 130)  # recording already, or still listening


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["stream", "--device", "/dev/does-not-exist"], "no such device"),
        (["stream", "--device", "/dev/null"], "cannot be opened"),
        (["record", "x.aurec"], "name either a board"),
        (["simulate"], "name one recording"),
        (["simulate", "--demo", "--fault", "gremlins"], "expected one of"),
        (["stream", "--demo", "--record", "x.aurec"], "means nothing"),
    ],
)
def test_mistakes_are_answered_with_one_clear_line(args: list[str], message: str) -> None:
    """What was found, what was expected, what to do."""
    done = run(*args)
    assert done.returncode in (1, 2)
    assert message in " ".join((done.stdout + done.stderr).replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_faults_are_listed() -> None:
    """Each with what it does."""
    done = run("simulate", "--list-faults")
    assert done.returncode == 0
    assert all(name in done.stdout for name in NAMES)
