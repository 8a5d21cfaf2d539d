"""`stream --device`, `record`, `devices` and `simulate` as people type them, against a board on a pseudo terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from aura_edge.testing import tiny_bundle
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
    assert "0 lost" in done.stdout
    assert f"stream --replay {recording}" in done.stdout
    turned = run("record", str(recording), "--mcap", str(target))
    assert turned.returncode == 0, turned.stderr
    with target.open("rb") as file:
        messages = [json.loads(message.data) for _, _, message in reader.make_reader(file).iter_messages()]
    assert len(messages) >= 400
    steps = {b["device_ns"] - a["device_ns"] for a, b in pairwise(messages)}
    assert steps == {5_000_000}
    assert abs(messages[0]["linear_acceleration"]["z"] - 9.81) < 1.5


def test_devices_says_what_speaks(board: str) -> None:
    """A port with a board, and one that is not there."""
    done = run("devices", board, "/dev/does-not-exist", "--json")
    assert done.returncode == 0, done.stderr
    here, gone = json.loads(done.stdout)
    assert "aura-edge frames, 200 Hz" in here["speaks"]
    assert gone["speaks"] is None
    assert "no such device" in gone["problem"]


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
