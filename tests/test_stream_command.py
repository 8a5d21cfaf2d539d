"""`aura-edge stream` from end to end: a real engine on a tiny bundle, made-up motion, and everything that can go wrong on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aura_edge import engines
from aura_edge.__main__ import main
from aura_edge.commands.stream import Interruption
from aura_edge.sources import open_source
from aura_edge.sources.duration import FirstSeconds
from aura_edge.testing import TINY_LABELS, motion, tiny_bundle

needs_full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")

needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not tell peak memory")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("stream") / "tiny.aura"
    tiny_bundle(folder)
    return str(folder)


def stream(*args: str) -> int:
    """Exit code of `aura-edge stream ARGS`, run here."""
    with pytest.raises(SystemExit) as ended:
        main(["stream", *args])
    return int(ended.value.code or 0)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def is_accounted_for(samples: dict[str, int]) -> bool:
    counted = sum(count for reason, count in samples.items() if reason != "read")
    return "pending" not in samples and samples["read"] == counted


def test_recording_becomes_predictions_events_and_a_summary(bundle: str, tmp_path: Path) -> None:
    """A minute of motion gives a window every half second, and each sample of it is accounted for."""
    out = tmp_path / "out.jsonl"
    args = ["--synthetic", "--duration", "60", "--speed", "max", "--bundle", bundle, "--sink", f"jsonl:{out}"]
    assert stream(*args) == 0
    lines = lines_of(out)
    predictions = [line for line in lines if line["type"] == "prediction"]
    events = [line for line in lines if line["type"] == "event"]
    summary = lines[-1]
    assert summary["type"] == "summary"
    assert summary["samples"]["read"] == 6000
    assert is_accounted_for(summary["samples"])
    assert 109 <= len(predictions) == summary["windows"] <= 111
    assert {line["t1_ns"] - line["t0_ns"] for line in predictions} == {5_000_000_000}
    assert {line["label"] for line in predictions} == {"still", "walking"}
    assert [event["kind"] for event in events] == ["start", "end"] * (len(events) // 2)
    assert sum(summary["seconds"].values()) == pytest.approx(sum(event["duration_s"] or 0.0 for event in events))


def test_labels_of_a_recording_are_those_of_its_motion(bundle: str, tmp_path: Path) -> None:
    """A file of three motions one after the other is told apart by a real engine."""
    signal_of = np.concatenate([motion(label, samples=4000) for label in TINY_LABELS], axis=1)
    t_ns = np.arange(signal_of.shape[1]) * 5_000_000
    np.savez(tmp_path / "three.npz", t_ns=t_ns, imu=signal_of.T)
    out = tmp_path / "out.jsonl"
    recording = str(tmp_path / "three.npz")
    assert stream("--replay", recording, "--speed", "max", "--bundle", bundle, "--sink", f"jsonl:{out}") == 0
    started = [line["label"] for line in lines_of(out) if line["type"] == "event" and line["kind"] == "start"]
    assert [label for label in started if label in TINY_LABELS] == list(TINY_LABELS)


def test_labels_can_be_chosen(bundle: str, tmp_path: Path) -> None:
    """`--labels` compares with these only."""
    out = tmp_path / "out.jsonl"
    args = ["--synthetic", "--duration", "30", "--speed", "max", "--bundle", bundle, "--sink", f"jsonl:{out}"]
    assert stream(*args, "--labels", "shaking, spinning") == 0
    compared = {label for line in lines_of(out) if line["type"] == "prediction" for label, _ in line["top"]}
    assert compared == {"shaking", "spinning"}


def test_label_that_is_not_in_the_set_is_answered_with_those_that_are(
    bundle: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A label that is like none of them names the nearest; one that is nearly right is used, and that is said."""
    assert stream("--synthetic", "--bundle", bundle, "--labels", "playing the sitar") == 1
    assert "walking" in capsys.readouterr().err
    common = ("--synthetic", "--duration", "12", "--speed", "max", "--bundle", bundle)
    assert stream(*common, "--labels", "wlaking, shaking") == 0
    assert "'wlaking' is not known: using 'walking'" in capsys.readouterr().err


def test_people_get_events_and_the_summary(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without `--sink` the terminal sink writes, here into a pipe, thus plainly."""
    assert stream("--synthetic", "--duration", "30", "--speed", "max", "--bundle", bundle) == 0
    words = capsys.readouterr().out.split()
    assert {"synthetic,", "start", "walking", "end", "still", "p99", "encode", "used"} <= set(words)


def test_json_on_standard_output_is_not_mixed_with_text(bundle: str, capfd: pytest.CaptureFixture[str]) -> None:
    """With `--sink -` standard output holds JSON lines and nothing else; the terminal sink moves to standard error."""
    args = [
        "--synthetic",
        "--duration",
        "10",
        "--speed",
        "max",
        "--bundle",
        bundle,
        "--sink",
        "-",
        "--sink",
        "terminal",
    ]
    assert stream(*args) == 0
    captured = capfd.readouterr()
    assert json.loads(captured.out.splitlines()[-1])["type"] == "summary"
    assert all(json.loads(line)["schema"] == 1 for line in captured.out.splitlines())
    assert "p99" in captured.err


@pytest.mark.parametrize(
    ("args", "found"),
    [
        ([], "found none"),
        (["--synthetic", "--demo"], "found --synthetic and --demo"),
        (["--replay", "a.csv", "--vrs", "b.vrs"], "found --replay and --vrs"),
    ],
)
def test_exactly_one_source_is_wanted(args: list[str], found: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No source, or two, is wrong usage, answered with the choices."""
    assert stream(*args) == 2
    message = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert "--replay, --vrs, --synthetic, --demo" in message
    assert found in message


def test_engine_is_chosen_and_said(
    bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` says in one line what it picked and why; precision, provider and threads reach the engine that is named."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    common = ("--synthetic", "--duration", "8", "--speed", "max", "--bundle", bundle, "--sink", "-")
    assert stream(*common) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("auto: ")]
    assert len(told) == 1
    asked: list[dict[str, Any]] = []
    real = engines.open_engine
    monkeypatch.setattr(engines, "open_engine", lambda *a, **given: asked.append(given) or real(*a, **given))
    assert stream(*common, "--engine", "ort", "--provider", "cpu", "--precision", "fp32", "--threads", "2") == 0
    assert asked == [{"threads": 2, "provider": "cpu", "precision": "fp32", "checkpoint": None}]
    captured = capsys.readouterr()
    assert "auto" not in captured.err
    assert json.loads(captured.out.splitlines()[-1])["engine"] == "ort on cpu (CPUExecutionProvider), fp32"
    assert stream(*common, "--engine", "ort", "--precision", "int4") == 1
    assert "has no int4 model, only fp32" in capsys.readouterr().err


@pytest.mark.parametrize(
    "args",
    [
        ["--threads", "0"],
        ["--sink", "csv:out.csv"],
        ["--sink", "terminal", "--sink", "terminal"],
        ["--engine", "magic"],
        ["--hop", "9"],
        ["--duration", "-1"],
    ],
)
def test_impossible_option_is_wrong_usage(args: list[str], bundle: str) -> None:
    """What can be seen to be wrong before anything is opened exits with 2."""
    assert stream("--synthetic", "--bundle", bundle, *args) == 2


def test_missing_bundle_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path that is no bundle names itself and what was expected."""
    assert stream("--synthetic", "--bundle", str(tmp_path / "none.aura")) == 1
    assert "none.aura: no bundle" in capsys.readouterr().err


def test_changed_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One flipped byte in the weights, and nothing is streamed."""
    model = tiny_bundle(tmp_path / "tiny.aura").model_path
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    assert stream("--synthetic", "--bundle", str(tmp_path / "tiny.aura")) == 1
    assert "changed since" in capsys.readouterr().err


def test_missing_recording_is_said_and_no_output_is_begun(
    bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An earlier result is not overwritten by a run that never starts."""
    out = tmp_path / "out.jsonl"
    out.write_text("kept")
    assert stream("--replay", str(tmp_path / "none.csv"), "--bundle", bundle, "--sink", f"jsonl:{out}") == 1
    assert "none.csv: no such file" in capsys.readouterr().err
    assert out.read_text() == "kept"


def test_recording_shorter_than_a_window_is_said(
    bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three seconds are no window: the error says what was found; the summary accounts for the samples all the same."""
    out = tmp_path / "out.jsonl"
    args = ["--synthetic", "--duration", "3", "--speed", "max", "--bundle", bundle, "--sink", f"jsonl:{out}"]
    assert stream(*args) == 1
    assert "not one whole window" in capsys.readouterr().err
    (summary,) = lines_of(out)
    assert summary["samples"]["read"] == 300
    assert is_accounted_for(summary["samples"])


@needs_full_device
def test_full_disk_is_said_and_the_other_sink_is_completed(
    bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sink that takes no more ends the stream with a clear error; the other one still gets its summary."""
    out = tmp_path / "out.jsonl"
    args = ["--synthetic", "--duration", "30", "--speed", "max", "--bundle", bundle]
    assert stream(*args, "--sink", "jsonl:/dev/full", "--sink", f"jsonl:{out}") == 1
    assert "/dev/full: cannot be written: No space left" in capsys.readouterr().err
    assert lines_of(out)[-1]["type"] == "summary"


def test_sink_in_a_missing_folder_is_said(bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder is not made behind the user's back."""
    assert stream("--synthetic", "--bundle", bundle, "--sink", f"jsonl:{tmp_path}/none/out.jsonl") == 1
    assert "Make the folder first" in capsys.readouterr().err


def test_torch_without_a_checkpoint_is_said(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The bundle holds no torch weights."""
    assert stream("--synthetic", "--bundle", bundle, "--engine", "torch") == 1
    assert "--checkpoint" in capsys.readouterr().err


@pytest.fixture
def endless(bundle: str, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A stream at ten times real speed that ends only when it is told to, with its first line already out."""
    command = [sys.executable, "-m", "aura_edge", "stream", "--synthetic", "--speed", "10", "--bundle", bundle]
    sinks = ["--sink", "-", "--sink", "terminal", "--sink", f"jsonl:{tmp_path / 'out.jsonl'}"]
    with subprocess.Popen(
        [*command, *sinks], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith('{"schema":1')
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_stream_ends_in_order(
    endless: subprocess.Popen[str], number: signal.Signals, tmp_path: Path
) -> None:
    """Ctrl-C, or what a service manager sends: the summary is printed, the file is complete, and the exit code is 0."""
    endless.send_signal(number)
    out, err = endless.communicate(timeout=60)
    assert endless.returncode == 0
    assert "Interrupted." in err
    lines = lines_of(tmp_path / "out.jsonl")
    assert lines[-1]["type"] == "summary"
    assert lines[-1]["interrupted"] is True
    assert is_accounted_for(lines[-1]["samples"])
    assert [line["type"] for line in lines].count("summary") == 1
    assert json.loads(out.splitlines()[-1]) == lines[-1]


def test_reader_that_goes_away_ends_the_stream_silently(endless: subprocess.Popen[str]) -> None:
    """`aura-edge stream --sink - | head -1` stops, and complains of nothing but what the other sink shows."""
    assert endless.stdout is not None
    assert endless.stderr is not None
    endless.stdout.close()
    err = endless.stderr.read()
    assert endless.wait(timeout=60) == 1
    assert "Traceback" not in err
    assert "aura-edge:" not in err
    assert "Exception ignored" not in err


MEASURED = """
import sys
from aura_edge.__main__ import main
try:
    main(sys.argv[1:])
finally:
    peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print("peak", peak, file=sys.stderr)
"""


@needs_proc
def test_demo_stays_under_160_megabytes() -> None:
    """Peak resident memory of the whole demo, played as fast as it can."""
    command = [sys.executable, "-c", MEASURED, "stream", "--demo", "--speed", "max"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    word, kilobytes = done.stderr.splitlines()[-1].split()
    assert word == "peak"
    assert "start" in done.stdout
    assert int(kilobytes) / 1000 < 160


def test_second_signal_is_the_callers_own_again(request: pytest.FixtureRequest) -> None:
    """The first Ctrl-C asks politely; the second does what it always did."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    stopped: list[bool] = []
    with Interruption() as interruption:
        interruption.stops(lambda: stopped.append(True))
        os.kill(os.getpid(), signal.SIGINT)
        assert stopped == [True]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_before_the_stream_starts_is_not_lost(request: pytest.FixtureRequest) -> None:
    """Ctrl-C while the engine loads stops the stream as soon as there is one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    stopped: list[bool] = []
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGINT)
        interruption.stops(lambda: stopped.append(True))
    assert stopped == [True]


def test_duration_counts_samples_exactly() -> None:
    """However the chunks fall, the stream ends with the sample at which the time is up."""
    for seconds in (0.0, 0.01, 3.33, 20.0):
        source = FirstSeconds(open_source("synthetic:", speed="max", rate_hz=100.0), seconds)
        assert sum(len(chunk.t_ns) for chunk in source) == round(seconds * 100)


def test_duration_beyond_the_end_changes_nothing() -> None:
    """A recording shorter than the duration plays to its end."""
    source = FirstSeconds(open_source("synthetic:", speed="max", rate_hz=100.0, seconds=2.0), 60.0)
    assert sum(len(chunk.t_ns) for chunk in source) == 200
