"""Sinks: what they write, and what happens where it cannot be written."""

from __future__ import annotations

import io
import itertools
import json
import math
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from aura_edge.errors import SinkError
from aura_edge.sinks import is_sink_url, open_sink
from aura_edge.sinks.jsonl import JsonlSink
from aura_edge.sinks.terminal import REDRAW_S, TerminalSink, console_for
from aura_edge.types import NS_PER_S, Event, Prediction, StageLatency, State, Summary

needs_full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")


def prediction(index: int = 0, label: str = "walking", state: State = "activity", score: float = 0.75) -> Prediction:
    t0_ns = index * NS_PER_S // 2
    return Prediction(
        t0_ns=t0_ns,
        t1_ns=t0_ns + 5 * NS_PER_S,
        host_ns=1_700_000_000_000_000_000 + t0_ns,
        label=label,
        score=score,
        state=state,
        top=() if state == "still" else ((label, score), ("sitting down, then up", 0.25)),
        latency_ms={"encode": 2.5, "total": 3.0},
        interpolated=0.0,
        clipped=0.0,
        model="a" * 64,
        prototypes="b" * 64,
    )


START = Event("start", "walking", "activity", 0, 1_700_000_000_000_000_000, 0.75)
END = Event("end", "walking", "activity", 8 * NS_PER_S, 1_700_000_008_000_000_000, 0.7, 8.0)
SUMMARY = Summary(
    source="walk.csv",
    engine="ort on cpu (CPUExecutionProvider), fp32",
    windows=7,
    windows_skipped=0,
    seconds={"walking": 8.0},
    samples={"read": 1700, "used": 1600, "late": 60, "duplicate": 40},
    lost=3,
    interpolated=12,
    latency={"encode": StageLatency(2.5, 4.0, 7)},
    delay_s=0.0425,
    interrupted=True,
    notes=("the file is truncated",),
)


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_json_line_starts_with_schema_and_type(tmp_path: Path) -> None:
    """Every line tells first how it is to be read."""
    sink = JsonlSink(tmp_path / "out.jsonl")
    for item in (START, prediction(), END, SUMMARY):
        sink.emit(item)
    sink.close()
    text = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [line.split(",")[:2] for line in text] == [
        ['{"schema":1', f'"type":"{kind}"'] for kind in ("event", "prediction", "event", "summary")
    ]


def test_prediction_line_carries_what_is_promised(tmp_path: Path) -> None:
    """The keys of a prediction are an interface; so are their values."""
    sink = JsonlSink(tmp_path / "out.jsonl")
    sink.emit(prediction(index=2))
    sink.close()
    (line,) = lines_of(tmp_path / "out.jsonl")
    assert " ".join(line) == (
        "schema type t0_ns t1_ns host_ns label score state top latency_ms interpolated clipped model prototypes "
        "host_t1_ns clock_residual_ms"
    )
    assert (line["t0_ns"], line["t1_ns"]) == (NS_PER_S, 6 * NS_PER_S)
    assert line["top"] == [["walking", 0.75], ["sitting down, then up", 0.25]]
    assert line["latency_ms"] == {"encode": 2.5, "total": 3.0}


def test_compute_times_can_be_left_out(tmp_path: Path) -> None:
    """Two runs over one recording are the same bytes then."""
    sink = open_sink(f"jsonl:{tmp_path / 'out.jsonl'}?timing=no")
    sink.emit(prediction())
    sink.close()
    (line,) = lines_of(tmp_path / "out.jsonl")
    assert "latency_ms" not in line
    assert line["label"] == "walking"


def test_event_and_summary_lines_carry_all_their_fields(tmp_path: Path) -> None:
    """Nothing of an event or the summary is left out; whoever changes these keys changes the schema."""
    sink = JsonlSink(tmp_path / "out.jsonl")
    sink.emit(START)
    sink.emit(SUMMARY)
    sink.close()
    event, summary = lines_of(tmp_path / "out.jsonl")
    assert event["duration_s"] is None
    assert " ".join(event) == "schema type kind label state t_ns host_ns score duration_s"
    assert " ".join(summary) == (
        "schema type source engine windows windows_skipped seconds samples lost interpolated latency delay_s interrupted notes "
        "device"
    )
    assert summary["latency"] == {"encode": {"p50_ms": 2.5, "p99_ms": 4.0, "count": 7}}
    assert summary["notes"] == ["the file is truncated"]


def test_each_line_is_on_disk_before_the_next(tmp_path: Path) -> None:
    """A reader that follows the file sees every line at once and whole."""
    sink = JsonlSink(tmp_path / "out.jsonl")
    for count in (1, 2, 3):
        sink.emit(prediction(count))
        assert len(lines_of(tmp_path / "out.jsonl")) == count
    sink.close()


@given(score=st.floats(allow_nan=True, allow_infinity=True), label=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_number_and_label_gives_one_line_of_strict_json(
    tmp_path_factory: pytest.TempPathFactory, score: float, label: str
) -> None:
    """NaN and infinity, which JSON does not have, become null; no label breaks a line."""
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    sink = JsonlSink(path)
    sink.emit(prediction(score=score, label=label))
    sink.close()

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    (raw,) = path.read_bytes().splitlines()
    line = json.loads(raw, parse_constant=refuse)
    assert line["label"] == label
    assert line["score"] == (score if math.isfinite(score) else None)


def test_numpy_numbers_and_read_only_mappings_are_written(tmp_path: Path) -> None:
    """An engine of one's own that hands over numpy scalars does not break the sink."""
    event = Event("end", "walking", "activity", int(np.int64(5)), 0, np.float64(0.5), np.float32(0.5))  # type: ignore[arg-type]
    sink = JsonlSink(tmp_path / "out.jsonl")
    sink.emit(event)
    sink.emit(
        Summary(
            **{
                **{f: getattr(SUMMARY, f) for f in Summary.__dataclass_fields__},
                "seconds": MappingProxyType({"x": 1.0}),
            }
        )
    )
    sink.close()
    first, second = lines_of(tmp_path / "out.jsonl")
    assert (first["score"], first["duration_s"]) == (0.5, 0.5)
    assert second["seconds"] == {"x": 1.0}


@needs_full_device
def test_full_disk_is_said_once_with_a_remedy() -> None:
    """A full disk is our error with advice; closing afterwards raises nothing more."""
    sink = JsonlSink("/dev/full")
    with pytest.raises(SinkError, match=r"/dev/full: cannot be written: No space left.*Free some space"):
        sink.emit(prediction())
    sink.close()


@pytest.mark.parametrize(
    ("place", "remedy"), [("missing/out.jsonl", "Make the folder first"), (".", "Name a file, not a folder")]
)
def test_place_that_cannot_be_opened_is_said_with_a_remedy(tmp_path: Path, place: str, remedy: str) -> None:
    """A missing folder, or a folder instead of a file, is found on opening."""
    with pytest.raises(SinkError, match=remedy):
        JsonlSink(tmp_path / place)


def test_emitting_after_close_is_an_error(tmp_path: Path) -> None:
    """A closed sink loses nothing silently; closing twice is fine."""
    sink = JsonlSink(tmp_path / "out.jsonl")
    sink.close()
    sink.close()
    with pytest.raises(SinkError, match="after it was closed"):
        sink.emit(START)


def test_dash_writes_to_standard_output_and_leaves_it_open(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """`-` is standard output."""
    sink = open_sink("-")
    sink.emit(START)
    sink.close()
    print("still open", flush=True)
    first, second = capfdbinary.readouterr().out.splitlines()
    assert json.loads(first)["type"] == "event"
    assert second == b"still open"


@pytest.mark.parametrize("url", ["", "jsonl", "jsonl:", "csv:out.csv", "Terminal", "out.jsonl"])
def test_unknown_sink_is_refused_with_the_known_ones(url: str) -> None:
    """A mistyped sink is answered with what there is."""
    assert not is_sink_url(url)
    with pytest.raises(SinkError, match="expected terminal, jsonl:PATH, or -"):
        open_sink(url)


def plain_console() -> Console:
    return Console(file=io.StringIO(), width=120, color_system=None)


def live_console() -> Console:
    return Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def rendered(sink: TerminalSink) -> str:
    console = plain_console()
    console.print(sink.view())
    return text_of(console)


def test_without_a_terminal_there_is_a_line_per_event_and_the_summary() -> None:
    """A pipe or a file gets no escape codes and nothing per window."""
    console = plain_console()
    sink = TerminalSink(console, title="walk.csv through tiny.aura")
    sink.emit(START)
    for index in range(7):
        sink.emit(prediction(index))
    sink.emit(END)
    before_summary = text_of(console)
    sink.emit(SUMMARY)
    sink.close()
    assert [line.split() for line in before_summary.splitlines()] == [
        ["walk.csv", "through", "tiny.aura"],
        ["0:00.0", "start", "walking", "0.75"],
        ["0:08.0", "end", "walking", "0.70", "8.0", "s"],
    ]
    assert "\x1b" not in text_of(console)


def test_summary_accounts_for_seconds_samples_and_latency() -> None:
    """Everything a run amounts to stands in the table at the end."""
    console = plain_console()
    sink = TerminalSink(console)
    sink.emit(SUMMARY)
    sink.close()
    words = text_of(console).split()
    text = " ".join(words)
    assert "Interrupted." in words
    assert "a constant delay of 42.5 ms" in text
    assert "the file is truncated" in text
    for row in ("walking 8.0 100%", "read 1,700", "used 1,600", "late 60", "duplicate 40", "encode 2.500 4.000"):
        label, *numbers = row.split()
        assert all(number in words[words.index(label) :] for number in numbers), row
    assert "3" in words[words.index("lost") :]


def test_live_view_shows_label_score_bars_and_recent_events() -> None:
    """What a person looks at while it runs."""
    sink = TerminalSink(live_console(), title="walk.csv")
    assert "waiting for the first window" in rendered(sink)
    sink.emit(START)
    sink.emit(prediction(2))
    shown = rendered(sink)
    sink.close()
    now, *rest = [line for line in shown.splitlines() if "walking" in line]
    assert "0.75" in now
    assert "0:06.0" in now
    bar, event = rest
    assert bar.count("━") > 20
    assert "goes on" in event


def test_still_has_no_bars() -> None:
    """Rest is compared with nothing."""
    sink = TerminalSink(live_console())
    sink.emit(prediction(0, "still", "still"))
    shown = rendered(sink)
    sink.close()
    assert "━" not in shown
    assert "no movement" in shown


def test_recent_events_are_few_and_the_last_ones() -> None:
    """The list does not grow with the stream, and an end belongs to its own start."""
    sink = TerminalSink(live_console())
    for index in range(20):
        sink.emit(Event("start", f"label{index}", "activity", index * NS_PER_S, 0, 0.5))
        sink.emit(Event("end", f"label{index}", "activity", (index + 1) * NS_PER_S, 0, 0.5, 1.0))
    sink.emit(prediction())
    shown = rendered(sink)
    sink.close()
    assert [index for index in range(20) if f"label{index} " in shown] == list(range(14, 20))
    assert "goes on" not in shown


def test_redraws_are_limited_by_the_clock() -> None:
    """However fast predictions come, the view is drawn at most ten times a second, and the last state is drawn at the end."""
    ticks = itertools.count()
    console = live_console()
    sink = TerminalSink(console, clock=lambda: next(ticks) * REDRAW_S / 100)
    for index in range(1000):
        sink.emit(prediction(index))
    drawn = text_of(console).count("● walking")
    sink.close()
    assert 9 <= drawn <= 11
    assert "1000 windows" in text_of(console)


def test_labels_are_text_and_not_markup() -> None:
    """A label with brackets is shown as it is."""
    sink = TerminalSink(live_console())
    sink.emit(prediction(label="[red]walking[/red]"))
    shown = rendered(sink)
    sink.close()
    assert "[red]walking[/red]" in shown


def test_terminal_is_given_back_when_a_stream_fails() -> None:
    """Closing without a summary stops the live view and shows the cursor again."""
    console = live_console()
    sink = TerminalSink(console)
    sink.emit(prediction())
    sink.close()
    sink.close()
    assert text_of(console).count("\x1b[?25l") == text_of(console).count("\x1b[?25h") == 1


@needs_full_device
@pytest.mark.parametrize("live", [True, False])
def test_terminal_output_that_takes_no_more_is_our_error(live: bool) -> None:
    """Output into a full disk is said, and not thrown at the user as a traceback."""
    full = io.TextIOWrapper(io.FileIO("/dev/full", "w"), write_through=True)
    console = Console(file=full, force_terminal=live)
    with pytest.raises(SinkError, match="No space left"):
        TerminalSink(console, title="walk.csv")
    with suppress(OSError):
        full.close()


def test_encoding_without_bars_gets_question_marks() -> None:
    """An old terminal's encoding is no reason to stop."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    sink = TerminalSink(console_for(stream))
    sink.emit(Event("start", "käsekuchen", "activity", 0, 0, 0.5))
    sink.emit(SUMMARY)
    sink.close()
    stream.flush()
    assert b"k?sekuchen" in raw.getvalue()


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a view cannot be redrawn, events are lines as they come: a serial console shows what happens."""
    monkeypatch.setenv("TERM", "dumb")
    text = io.StringIO()
    sink = TerminalSink(Console(file=text, width=100, force_terminal=True))
    sink.emit(Event("start", "walking", "activity", 0, 0, 0.9))
    assert "start  walking" in text.getvalue()
    sink.close()


def test_closed_standard_output_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Started with standard output closed, the sink says so."""
    monkeypatch.setattr("sys.stdout", None)
    with pytest.raises(SinkError, match="standard output is closed"):
        JsonlSink("-")
