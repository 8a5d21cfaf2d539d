"""The diary: what is kept, what survives a kill, and that seconds per label add up to the time covered."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aura_edge.diary.clock import DayClock
from aura_edge.diary.reading import account, reading
from aura_edge.engines.ort import open_ort
from aura_edge.errors import InputError, SinkError
from aura_edge.pipeline import Pipeline
from aura_edge.prototypes import load_for
from aura_edge.sinks.diary import COMMIT_ROWS, COMMIT_S, DiarySink
from aura_edge.sources import open_source
from aura_edge.testing import ListSink, tiny_bundle
from aura_edge.types import NS_PER_S, Event, Prediction, Summary

duckdb = pytest.importorskip("duckdb", reason="the extra diary is not installed")

NOON_NS = 1_700_049_600 * NS_PER_S
"""2023-11-15 12:00 UTC."""


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Local time here is UTC, unless a test says otherwise."""
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def prediction(
    t0_s: float, label: str = "walking", *, host_ns: int | None = None, fitted_ns: int | None = None
) -> Prediction:
    t0_ns = round(t0_s * NS_PER_S)
    return Prediction(
        t0_ns=t0_ns,
        t1_ns=t0_ns + 5 * NS_PER_S,
        host_ns=NOON_NS + t0_ns + 5 * NS_PER_S if host_ns is None else host_ns,
        label=label,
        score=0.75,
        state="still" if label == "still" else "activity",
        top=() if label == "still" else ((label, 0.75), ("another", 0.25)),
        latency_ms={"total": 3.0},
        interpolated=0.0,
        clipped=0.0,
        model="a" * 64,
        prototypes="b" * 64,
        host_t1_ns=fitted_ns,
    )


SUMMARY = Summary("walk.csv", "ort on cpu", 2, 0, {}, {}, 0, 0, {}, 0.05)


def kept(path: Path, items: Sequence[Prediction | Event | Summary], source: str = "walk.csv") -> None:
    sink = DiarySink(path, source=source, host_clock_ns=lambda: NOON_NS)
    for item in items:
        sink.emit(item)
    sink.close()


def test_a_run_is_kept_whole(tmp_path: Path) -> None:
    """What the pipeline sums up is what the diary sums up: the same seconds per label, the same events, in one session."""
    model, beside = tiny_bundle(tmp_path / "tiny.aura"), ListSink()
    diary = tmp_path / "day.duckdb"
    source = open_source("synthetic:?seconds=60&seed=3&speed=max")
    summary = Pipeline(
        source, open_ort(model), load_for(model), model.manifest, [DiarySink(diary, source="made up"), beside]
    ).run()
    told = account(diary)
    assert told.seconds == pytest.approx(summary.seconds)
    (session,) = told.sessions
    assert (session.source, session.windows, session.closed) == ("made up", summary.windows, True)
    assert (session.model, session.labels) == (model.model_digest, load_for(model).digest)
    with reading(diary) as connection:
        events = connection.execute("SELECT kind, label, t_ns FROM event").fetchall()
        tops = connection.execute("SELECT top_labels FROM prediction ORDER BY number").fetchall()
    assert events == [(event.kind, event.label, event.t_ns) for event in beside.events]
    assert tops == [([label for label, _ in one.top],) for one in beside.predictions]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from([0.1, 0.5, 1.25, 5.0, 5.5, 400.0, 9000.0, -3.0]),
            st.sampled_from(["walking", "sitting", "still"]),
            st.one_of(st.none(), st.integers(-(3 * 3600), 30 * 3600)),
        ),
        min_size=1,
        max_size=30,
    ),
    offset_s=st.integers(-50_000, 50_000),
)
def test_seconds_add_up_to_the_time_covered(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[float, str, int | None]], offset_s: int
) -> None:
    """However windows follow each other, and wherever their host time lies: the hours hold exactly the device time that is covered."""
    path, at_s, covered, per_label = tmp_path_factory.mktemp("diary") / "day.duckdb", 0.0, 0, defaultdict[str, int](int)
    items, last = [], None
    for step_s, label, fitted_s in steps:
        at_s += step_s
        one = prediction(at_s, label, host_ns=(offset_s + 60_000) * NS_PER_S, fitted_ns=None)
        if fitted_s is not None:
            one = replace(one, host_t1_ns=fitted_s * NS_PER_S)
        touches = last is not None and last.t0_ns < one.t0_ns <= last.t1_ns
        adds = one.t1_ns - (last.t1_ns if touches and last is not None else one.t0_ns)
        covered, last = covered + adds, one
        per_label[label] += adds
        items.append(one)
    kept(path, items)
    with reading(path) as connection:
        by_hour = dict(connection.execute("SELECT label, sum(ns)::BIGINT FROM hours GROUP BY label").fetchall())
        longest = connection.execute("SELECT max(ns) FROM hours WHERE ns < 0").fetchone()
        by_spell = connection.execute("SELECT sum(seconds) FROM spells").fetchone()[0]
    assert by_hour == dict(per_label)
    assert longest == (None,)
    assert by_spell == pytest.approx(covered / NS_PER_S)
    assert sum(account(path).seconds.values()) == pytest.approx(covered / NS_PER_S)


def test_a_window_over_the_full_hour_is_divided(tmp_path: Path) -> None:
    """Each hour gets what lies in it."""
    kept(tmp_path / "d", [prediction(0.0, host_ns=NOON_NS + 2 * NS_PER_S)])
    hours = {entry.hour: entry.seconds for entry in account(tmp_path / "d").hours}
    assert hours == {datetime(2023, 11, 15, 11): 3.0, datetime(2023, 11, 15, 12): 2.0}


def test_hours_are_local_and_the_time_zone_is_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Local time is that of the host that kept it, half hours of offset included, wherever the diary is read."""
    import time

    monkeypatch.setenv("TZ", "IST-5:30")
    time.tzset()
    kept(tmp_path / "d", [prediction(0.0)])
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    told = account(tmp_path / "d")
    assert [entry.hour for entry in told.hours] == [datetime(2023, 11, 15, 17)]
    assert told.spells[0].started == datetime(2023, 11, 15, 17, 30)
    assert told.time_zones == ("IST (UTC+05:30)",)


def test_the_hour_that_comes_twice_stays_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When summer time ends, two and two are told apart by their offset."""
    import time

    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    end_of_summer_ns = 1_698_541_200 * NS_PER_S  # 2023-10-29 03:00 CEST, which is 02:00 CET
    ends = [end_of_summer_ns - NS_PER_S, end_of_summer_ns + 3600 * NS_PER_S - NS_PER_S]
    kept(tmp_path / "d", [prediction(i * 100.0, fitted_ns=ns) for i, ns in enumerate(ends)])
    told = account(tmp_path / "d")
    assert [(entry.hour.hour, entry.utc_offset_s) for entry in told.hours] == [(2, 7200), (2, 3600)]


def test_a_recording_played_fast_takes_its_own_time() -> None:
    """Device time goes on from the moment at which playing began, pauses too; a damaged time is no pause of a thousand years."""
    day = DayClock()
    places = [day.place(prediction(t_s, host_ns=NOON_NS)) for t_s in (0.0, 0.5, 100.0, 1e9)]
    assert [(share.clock_ns - NOON_NS) / NS_PER_S for share in places] == [0.0, 0.5, 100.0, 105.0]


def test_a_device_that_comes_back_is_placed_by_its_arrival() -> None:
    """A board restarted after two hours goes on a second later by its own clock; the host knows better, and a fitted clock best of all."""
    day = DayClock()
    day.place(prediction(0.0))
    back = day.place(prediction(6.0, host_ns=NOON_NS + 7200 * NS_PER_S))
    assert back.clock_ns == NOON_NS + 7200 * NS_PER_S
    assert day.place(prediction(6.5, fitted_ns=NOON_NS + 42)).clock_ns == NOON_NS + 42


def test_sessions_follow_each_other_in_one_file(tmp_path: Path) -> None:
    """A second run adds to the first, and a label set changed on the way is counted."""
    path = tmp_path / "d"
    kept(path, [prediction(0.0), replace(prediction(0.5), prototypes="c" * 64), SUMMARY])
    kept(path, [prediction(0.0, "sitting")], source="second\udcff.csv")
    first, second = account(path).sessions
    assert (first.session, first.windows, first.label_sets, first.closed) == (1, 2, 2, True)
    assert (second.session, second.source, second.closed) == (2, "second?.csv", False)


def test_transitions_need_no_pause_between(tmp_path: Path) -> None:
    """Sitting after walking at once is a change; sitting after a gap is a new beginning."""
    kept(tmp_path / "d", [prediction(0.0), prediction(0.5, "sitting"), prediction(60.0), prediction(60.5, "sitting")])
    told = account(tmp_path / "d")
    assert [(one.from_label, one.to_label, one.count) for one in told.transitions] == [("walking", "sitting", 2)]
    assert [(one.label, one.seconds) for one in told.spells] == [("walking", 5.0), ("sitting", 0.5)] * 2


def test_events_are_dated_by_the_stretch_that_they_belong_to(tmp_path: Path) -> None:
    """What ended before a pause ended before it, though it is told after it; what begins begins after it."""
    around = [
        Event("start", "walking", "activity", 0, NOON_NS, 0.75),
        prediction(0.0),
        Event("end", "walking", "activity", 5 * NS_PER_S, NOON_NS, 0.75, 5.0),
        Event("start", "sitting", "activity", 60 * NS_PER_S, NOON_NS, 0.75),
        prediction(60.0, "sitting", host_ns=NOON_NS + 7200 * NS_PER_S),
        Event("end", "sitting", "activity", 65 * NS_PER_S, NOON_NS, 0.75, 5.0),
    ]
    kept(tmp_path / "d", around)
    with reading(tmp_path / "d") as connection:
        found = connection.execute("SELECT kind, happened FROM happenings").fetchall()
    seconds = [(kind, (when - datetime(2023, 11, 15, 12)).total_seconds()) for kind, when in found]
    assert seconds == [("start", 0.0), ("end", 5.0), ("start", 7195.0), ("end", 7200.0)]


def test_rows_reach_the_disk_every_few_seconds_and_every_so_many(tmp_path: Path) -> None:
    """Nothing waits longer than promised, and one commit takes many rows."""
    now_s = [0.0]
    sink = DiarySink(tmp_path / "d", clock_s=lambda: now_s[0])
    counted = []
    for index in range(30):
        now_s[0] = index * 0.5
        sink.emit(prediction(index * 0.5))
        counted.append(sink._connection.execute("SELECT count(*) FROM prediction").fetchone()[0])
    assert counted[int(COMMIT_S * 2) - 1 : int(COMMIT_S * 2) + 1] == [0, int(COMMIT_S * 2) + 1]
    assert len(set(counted)) == 3
    for index in range(30, 30 + COMMIT_ROWS):
        sink.emit(prediction(index * 0.5))
    assert sink._connection.execute("SELECT count(*) FROM prediction").fetchone()[0] >= COMMIT_ROWS
    sink.close()
    assert sum(entry.windows for entry in account(tmp_path / "d").sessions) == 30 + COMMIT_ROWS


def test_what_was_committed_survives_a_kill(tmp_path: Path) -> None:
    """A process killed in the middle of writing leaves a file that opens, holds all but what came last, and takes another session."""
    path = tmp_path / "day.duckdb"
    script = textwrap.dedent("""
        import itertools, sys
        from aura_edge.sinks import diary
        from aura_edge.types import Event, Prediction
        diary.COMMIT_ROWS = 20
        sink = diary.DiarySink(sys.argv[1], source="killed")
        for i in itertools.count():
            t = i * 500_000_000
            sink.emit(Event("start", f"label {i}", "activity", t, t, 0.5))
            sink.emit(Prediction(t, t + 5_000_000_000, t, f"label {i}", 0.5, "activity", (), {}, 0.0, 0.0, "m", "p"))
            print(i, flush=True)
    """)
    child = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    said = 0
    for line in child.stdout:
        said = int(line)
        if said >= 1234:
            break
    with pytest.raises(InputError, match=rf"another process \({child.pid}\)"):
        account(path)
    os.kill(child.pid, signal.SIGKILL)
    child.stdout.close()
    child.wait()
    with reading(path) as connection:
        (count, first, last), (events,) = (
            connection.execute("SELECT count(*), min(number), max(number) FROM prediction").fetchone(),
            connection.execute("SELECT count(*) FROM event").fetchone(),
        )
    assert count > said - 20
    assert (first, last, events, count % 20) == (0, count - 1, count, 0)  # whole commits, no holes
    (session,) = account(path).sessions
    assert (session.source, session.windows, session.closed) == ("killed", count, False)
    kept(path, [prediction(0.0), SUMMARY])
    assert [entry.closed for entry in account(path).sessions] == [False, True]


def test_a_disk_that_is_full_ends_the_diary_in_order(tmp_path: Path) -> None:
    """One clear error, nothing more is written after it, and what was committed before can be read."""
    path = tmp_path / "day.duckdb"
    script = textwrap.dedent("""
        import resource, signal, sys
        from aura_edge.errors import SinkError
        from aura_edge.sinks import diary
        from aura_edge.types import Prediction
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
        diary.COMMIT_ROWS = 20
        sink = diary.DiarySink(sys.argv[1], source="long")
        try:
            for i in range(100_000):
                t = i * 500_000_000
                sink.emit(Prediction(t, t + 5_000_000_000, t, f"label {i}", 0.5, "activity", (), {}, 0.0, 0.0, "m" * 64, "p" * 64))
        except SinkError as error:
            print(error)
            sink.close()
    """)
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert "day.duckdb: cannot be written: " in done.stdout
    assert "has space" in done.stdout
    (session,) = account(path).sessions
    assert (session.closed, session.windows % 20) == (False, 0)
    assert session.windows > 100


def test_a_run_without_windows_leaves_no_session(tmp_path: Path) -> None:
    """An empty diary is one that can be read and has nothing."""
    kept(tmp_path / "d", [SUMMARY])
    told = account(tmp_path / "d")
    assert (told.sessions, told.seconds, told.days) == ((), {}, ())


@pytest.mark.parametrize(
    "content", [b"a letter to a friend, much longer than any header of a data base\n" * 200, b"DUCK"]
)
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, content: bytes) -> None:
    """What is no diary is refused and stays as it was."""
    path = tmp_path / "letter"
    path.write_bytes(content)
    with pytest.raises(SinkError, match="letter: cannot be opened"):
        DiarySink(path)
    with pytest.raises(InputError, match="letter: cannot be read"):
        account(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("table", ["TABLE mine (about INTEGER)", "TABLE about (kind VARCHAR)"])
def test_another_database_is_left_alone(tmp_path: Path, table: str) -> None:
    """Somebody else's tables do not become a diary."""
    with duckdb.connect(str(tmp_path / "other")) as connection:
        connection.execute(f"CREATE {table}")
    with pytest.raises(SinkError, match="a database of something else"):
        DiarySink(tmp_path / "other")
    with pytest.raises(InputError, match="a database of something else"):
        account(tmp_path / "other")


def test_places_that_cannot_be_written_say_so(tmp_path: Path) -> None:
    """A missing folder, a diary that another process writes, a sink that was closed."""
    with pytest.raises(SinkError, match="Check that the folder is there"):
        DiarySink(tmp_path / "nowhere" / "d")
    sink = DiarySink(tmp_path / "d")
    sink.close()
    sink.close()
    with pytest.raises(SinkError, match="after it was closed"):
        sink.emit(prediction(0.0))
    with pytest.raises(InputError, match="stream --diary"):
        account(tmp_path / "none")


def test_one_day_of_several(tmp_path: Path) -> None:
    """A day is asked for by its date; one that is not there names those that are."""
    day_ns = 86400 * NS_PER_S
    kept(tmp_path / "d", [prediction(0.0), prediction(90_000.0, "sitting", fitted_ns=NOON_NS + day_ns)])
    told = account(tmp_path / "d", date(2023, 11, 16))
    assert (told.seconds, [one.label for one in told.spells], len(told.sessions)) == ({"sitting": 5.0}, ["sitting"], 1)
    with pytest.raises(InputError, match="2023-11-15, 2023-11-16"):
        account(tmp_path / "d", date(2020, 1, 1))
