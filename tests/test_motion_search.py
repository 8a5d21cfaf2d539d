"""Search in recordings: what is indexed once stays so, whatever happens, and what happened is found when it happened."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_edge.bundle import Bundle
from aura_edge.engines.ort import open_ort
from aura_edge.errors import BundleError, InputError
from aura_edge.motion_search import asking_for
from aura_edge.motion_search.index import Facts, Hit, MotionIndex, RecordingEntry, facts_of, make_index, open_index
from aura_edge.motion_search.indexing import index_recordings
from aura_edge.motion_search.ranges import Range, merged
from aura_edge.motion_search.report import COLUMNS, page, picture, position, signal_of
from aura_edge.motion_search.windows import embed, find
from aura_edge.testing import TINY_SPACE, motion, tiny_bundle
from aura_edge.types import CHANNELS, NS_PER_S

pytest.importorskip("lancedb", reason="the extra search is not installed")

UNIX_S = 1_700_000_000


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny.aura")


@pytest.fixture
def made(tmp_path: Path, tiny: Bundle) -> Callable[[str], MotionIndex]:
    return lambda name: make_index(tmp_path / name, facts_of(tiny.manifest, tiny.model_digest, tiny.path, 2.5))


def recording(path: Path, *labels: str, start_s: float = 0.0, seed: int = 0) -> Path:
    """Twenty seconds of each motion, one after the other; `rest` is a sensor on a table."""
    parts = []
    for label in labels:
        if label == "rest":
            parts.append(np.tile([[0.0], [0.0], [9.81], [0.0], [0.0], [0.0]], 4000).astype(np.float32))
        else:
            parts.append(motion(label, samples=4000, seed=seed))
    samples = np.concatenate(parts, axis=1)
    t_s = start_s + np.arange(samples.shape[1]) / 200
    lines = [",".join(("t_s", *CHANNELS))]
    lines += [",".join([f"{t:.3f}", *(f"{value:.4f}" for value in row)]) for t, row in zip(t_s, samples.T, strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


OPTIONS = {"units": "m/s2, rad/s, s", "columns": "t=t_s"}


def content(index: MotionIndex) -> list[tuple[object, ...]]:
    """Everything in it, in order."""
    rows = index._windows.to_arrow().to_pylist()
    return [(row["digest"], row["t0_ns"], row["t1_ns"], row["clock_ns"], tuple(row["vector"])) for row in rows]


def test_the_same_windows_as_the_stream(tmp_path: Path, tiny: Bundle) -> None:
    """What a recording gives is what the pipeline would embed: times, and vectors, without those at rest."""
    from aura_edge.pipeline import Pipeline
    from aura_edge.prototypes import load_for
    from aura_edge.sources import open_source
    from aura_edge.testing import ListSink

    path, sink, engine = recording(tmp_path / "a.csv", "walking", "rest", "spinning"), ListSink(), open_ort(tiny)
    found = embed(path, OPTIONS, tiny.manifest, engine, 0.5)
    source = open_source(path, speed="max", **OPTIONS)
    summary = Pipeline(source, engine, load_for(tiny), tiny.manifest, [sink], hop_s=0.5).run()
    moving = [(one.t0_ns, one.t1_ns) for one in sink.predictions if one.state != "still"]
    assert list(zip(found.t0_ns.tolist(), found.t1_ns.tolist(), strict=True)) == moving
    assert found.still == summary.windows - len(moving) > 0
    assert found.covered_s == pytest.approx(sum(summary.seconds.values()))


def test_what_happened_is_found_when_it_happened(
    tmp_path: Path, tiny: Bundle, made: Callable[[str], MotionIndex]
) -> None:
    """Words lead to the stretch of that motion, in recording time and clock time; merged, and best first."""
    index = made("ix")
    paths = [
        recording(tmp_path / "a.csv", "walking", "shaking", "walking", start_s=UNIX_S),
        recording(tmp_path / "b.csv", "spinning", seed=5),
    ]
    outcome = index_recordings(index, paths, OPTIONS, tiny.path)
    assert (outcome.added, outcome.failed) == (2, {})
    vectors = asking_for.words("shaking", tiny).vectors
    best, *others = merged(index.search(vectors, 200), index.recordings(), 10, background=index.background(vectors))
    assert best.recording == "a.csv"
    assert best.start_s == pytest.approx(17.5, abs=2.6)
    assert best.end_s == pytest.approx(42.5, abs=2.6)
    assert best.clock == datetime.fromtimestamp(UNIX_S, timezone.utc).replace(microsecond=0) + (
        datetime.fromtimestamp(best.start_s, timezone.utc) - datetime.fromtimestamp(0, timezone.utc)
    )
    assert all(one.score < best.score for one in others)
    (spun, *_) = merged(index.search(asking_for.words("spinning", tiny).vectors, 5), index.recordings(), 1)
    assert (spun.recording, spun.clock) == ("b.csv", None)


def test_a_window_is_as_good_as_its_best_match(
    tmp_path: Path, tiny: Bundle, made: Callable[[str], MotionIndex]
) -> None:
    """Of several vectors that are searched for, each window scores the cosine with the nearest, and comes once."""
    index = made("ix")
    index_recordings(index, [recording(tmp_path / "a.csv", "walking", "shaking", "spinning")], OPTIONS, tiny.path)
    wanted = np.concatenate([asking_for.words(label, tiny).vectors for label in ("spinning", "walking")])
    hits = index.search(wanted, index.count())
    table = index._windows.to_arrow().to_pylist()
    cosines = {row["t0_ns"]: float((wanted @ np.array(row["vector"], np.float32)).max()) for row in table}
    assert {hit.t0_ns: hit.score for hit in hits} == pytest.approx(cosines, abs=1e-5)
    assert len(hits) == index.count()


def test_a_recorded_run_tells_when_it_was(tmp_path: Path, tiny: Bundle) -> None:
    """Clock times of a run of a live board are the host's, as its clock was fitted then."""
    from aura_edge.sources.serial.happenings import Arrived, Connected
    from aura_edge.sources.serial.recording import Header, Recorder
    from aura_edge_firmware_bridge.codec import encode
    from aura_edge_firmware_bridge.messages import Hello, Samples

    host_ns = UNIX_S * NS_PER_S
    hello = Hello("id", "fw", "chip", 5, 0, 0, 200.0, 0.0, 0.01, 0.001, 160.0, 32.0)
    recorder = Recorder(tmp_path / "run.aurec", Header(port="/dev/ttyTEST", baud=115200), host_ns=host_ns)
    happenings = [Connected(host_ns, "/dev/ttyTEST"), Arrived(host_ns, b"\0" + encode(hello))]
    rng = np.random.default_rng(0)
    for i in range(200):
        raw = rng.integers(-900, 900, (10, 6)).astype(np.int16)
        happenings.append(
            Arrived(host_ns + (i + 1) * NS_PER_S // 20, encode(Samples(i * 10, i * 50_000, 5_000_000, raw)))
        )
    for happening in happenings:
        recorder.append(happening)
        recorder.taken(1, happening.host_ns)
    recorder.close()
    found = embed(tmp_path / "run.aurec", {}, tiny.manifest, open_ort(tiny), 2.5)
    assert len(found.clock_ns) > 0
    assert (found.clock_ns - host_ns) / NS_PER_S == pytest.approx(found.t0_ns / NS_PER_S, abs=0.2)


def test_search_by_motion(tmp_path: Path, tiny: Bundle, made: Callable[[str], MotionIndex]) -> None:
    """A clip of the motion finds it elsewhere; one at rest has none."""
    index = made("ix")
    index_recordings(index, [recording(tmp_path / "a.csv", "walking", "shaking")], OPTIONS, tiny.path)
    wanted = asking_for.motion(recording(tmp_path / "clip.csv", "shaking", seed=9), OPTIONS, tiny)
    (hit, *_) = index.search(wanted.vectors, 3)
    assert hit.t0_ns >= 17 * NS_PER_S
    assert hit.score > 0.95
    with pytest.raises(InputError, match="at rest all the time"):
        asking_for.motion(recording(tmp_path / "rest.csv", "rest"), OPTIONS, tiny)


def test_a_phrase_that_is_not_known_stands_for_the_nearest(tiny: Bundle) -> None:
    """Without a tower the nearest phrase is taken and told; nothing near is an error."""
    wanted = asking_for.words("someone walking", tiny)
    assert wanted.said == "'someone walking' is not known: using 'walking'"
    assert asking_for.words("Walking!", tiny).said == ""
    with pytest.raises(BundleError, match="no prototype for 'playing the sitar'"):
        asking_for.words("playing the sitar", tiny)


def test_indexing_again_adds_nothing(tmp_path: Path, tiny: Bundle, made: Callable[[str], MotionIndex]) -> None:
    """The same content under another name is known; read otherwise, it is another recording."""
    index = made("ix")
    first = recording(tmp_path / "a.csv", "walking")
    copy = tmp_path / "copy.csv"
    copy.write_bytes(first.read_bytes())
    outcome = index_recordings(index, [first, copy], OPTIONS, tiny.path)
    assert (outcome.added, outcome.known) == (1, 1)
    before, version = content(index), index.version()
    outcome = index_recordings(index, [first, copy], OPTIONS, tiny.path)
    assert (outcome.added, outcome.known, content(index), index.version()) == (0, 2, before, version)
    outcome = index_recordings(index, [first], OPTIONS | {"rate_hz": None, "units": "g, deg/s, s"}, tiny.path)
    assert outcome.added == 1


def test_any_number_of_processes_makes_the_same_index(
    tmp_path: Path, tiny: Bundle, made: Callable[[str], MotionIndex]
) -> None:
    """Two processes append the same rows in the same order as one does, and report the same failures."""
    paths = [recording(tmp_path / f"{i}.csv", "walking", "spinning", seed=i) for i in range(4)]
    paths.insert(2, tmp_path / "broken.csv")
    paths[2].write_text("nothing,of,this\nis,a,recording\n")
    told: list[Path] = []
    one, two = made("one"), made("two")
    first = index_recordings(one, paths, OPTIONS, tiny.path, done=told.append)
    second = index_recordings(two, paths, OPTIONS, tiny.path, jobs=2)
    assert content(one) == content(two) != []
    assert first == second
    assert list(first.failed) == [str(paths[2])]
    assert told == paths


def test_a_kill_leaves_an_index_that_goes_on(tmp_path: Path, tiny: Bundle, made: Callable[[str], MotionIndex]) -> None:
    """Killed between the windows of a recording and its row, the next run removes what was half-written and comes to the same index."""
    paths = [recording(tmp_path / f"{i}.csv", "walking", seed=i) for i in range(4)]
    index = made("killed")
    script = textwrap.dedent("""
        import os, signal, sys
        from pathlib import Path
        from aura_edge.motion_search import indexing
        from aura_edge.motion_search.index import open_index
        indexing.COMMIT_WINDOWS = 1
        index, (bundle, *paths) = open_index(sys.argv[1]), map(Path, sys.argv[2:])
        table, rows = index._recordings, []
        class Dying:
            def __getattr__(self, name): return getattr(table, name)
            def add(self, row):
                rows.append(row)
                if len(rows) == 3: os.kill(os.getpid(), signal.SIGKILL)
                table.add(row)
        index._recordings = Dying()
        indexing.index_recordings(index, paths, {"units": "m/s2, rad/s, s", "columns": "t=t_s"}, bundle)
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, str(index.folder), str(tiny.path), *map(str, paths)], check=False
    )
    assert done.returncode == -signal.SIGKILL
    index = open_index(index.folder)
    assert len(index.recordings()) == 2
    assert index.count() > sum(entry.windows for entry in index.recordings().values())
    outcome = index_recordings(index, paths, OPTIONS, tiny.path)
    assert (outcome.added, outcome.known) == (2, 2)
    whole = made("whole")
    index_recordings(whole, paths, OPTIONS, tiny.path)
    assert sorted(content(index)) == sorted(content(whole))


def test_one_process_adds_at_a_time(tmp_path: Path, tiny: Bundle, made: Callable[[str], MotionIndex]) -> None:
    """A second run is told so; one that searches meanwhile sees whole recordings only."""
    index = made("ix")
    with index.alone(), pytest.raises(InputError, match="another run is adding to it"):
        index_recordings(open_index(index.folder), [recording(tmp_path / "a.csv", "walking")], OPTIONS, tiny.path)
    assert merged([Hit("unknown", 0, 5, -1, 0.5)], {}, 3) == []


def test_an_interruption_keeps_what_was_embedded(
    tmp_path: Path, tiny: Bundle, made: Callable[[str], MotionIndex]
) -> None:
    """Ctrl-C in the middle: the recordings before it are in the index."""
    paths = [recording(tmp_path / f"{i}.csv", "walking", seed=i) for i in range(3)]

    def interrupt(path: Path) -> None:
        if path == paths[1]:
            raise KeyboardInterrupt

    index = made("ix")
    with pytest.raises(KeyboardInterrupt):
        index_recordings(index, paths, OPTIONS, tiny.path, done=interrupt)
    assert [entry.name for entry in index.recordings().values()] == ["0.csv", "1.csv"]
    assert index.tidy() == 0


def test_vectors_of_another_making_do_not_mix(tmp_path: Path, tiny: Bundle, made: Callable[[str], MotionIndex]) -> None:
    """Another hop or model is refused, and so is a folder of something else."""
    index = made("ix")
    for changed in (replace_facts(index.facts, hop_s=1.0), replace_facts(index.facts, model="f" * 64)):
        with pytest.raises(InputError, match="such vectors cannot be compared"):
            make_index(index.folder, changed)
    with pytest.raises(BundleError, match="is another model"):
        asking_for.require_same_model(tiny, replace_facts(index.facts, model="f" * 64), index.folder)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    with pytest.raises(InputError, match="is no index"):
        make_index(tmp_path / "letters", index.facts)
    with pytest.raises(InputError, match="aura-edge index PATHS --into"):
        open_index(tmp_path / "none")
    (index.folder / "index.json").write_text('{"schema": 1}')
    with pytest.raises(InputError, match="no index of this version"):
        open_index(index.folder)


def replace_facts(facts: Facts, **changes: object) -> Facts:
    import msgspec

    return msgspec.structs.replace(facts, **changes)


def test_many_windows_get_an_approximate_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From some number on, hits come out of an inverted file, and the best of them are those of brute force."""
    from aura_edge.motion_search import index as module
    from aura_edge.motion_search.windows import Embedded

    monkeypatch.setattr(module, "APPROXIMATE_FROM", 2000)
    facts = Facts(model="m", model_name="m", text_space=TINY_SPACE, rate_hz=200.0, window_s=5.0, hop_s=2.5, bundle="b")
    index = make_index(tmp_path / "ix", facts)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3000, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    times = np.arange(3000, dtype=np.int64) * NS_PER_S
    index.add([Embedded("d", "p", "n", "{}", 0, 1.0, 0, times, times + 5, times * 0 - 1, vectors)])
    exact = index.search(vectors[:5], 10)
    index.settle()
    index.settle()
    assert index._windows.list_indices()
    found = index.search(vectors[:5], 10)
    assert len({hit.t0_ns for hit in found} & {hit.t0_ns for hit in exact}) >= 9
    assert found[0].score == pytest.approx(1.0, abs=1e-5)


def test_folders_are_looked_through(tmp_path: Path) -> None:
    """Recordings in them, sorted, each once; what is not there is told."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("b.csv", "a.npz", "deep/c.VRS", "notes.md"):
        (tmp_path / "in" / name).touch()
    named = tmp_path / "in" / "notes.md"
    found = find([tmp_path / "in", named, named])
    assert [path.name for path in found] == ["a.npz", "b.csv", "c.VRS", "notes.md"]
    with pytest.raises(InputError, match="no such file"):
        find([tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no recording"):
        find([tmp_path / "empty"])


def entry(digest: str) -> RecordingEntry:
    return RecordingEntry(digest, f"/{digest}", digest, "{}", 0, 1.0, 1, 0)


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 40), st.floats(-1, 1, allow_nan=False)),
        unique_by=lambda row: row[:2],
        max_size=40,
    ),
    st.integers(1, 50),
)
def test_ranges_hold_each_hit_at_most_once(rows: list[tuple[str, int, float]], limit: int) -> None:
    """Best first, none overlapping with the same windows, the best hit always in the first, and each as good as its best window."""
    hits = [
        Hit(digest, i * 5 * NS_PER_S // 2, i * 5 * NS_PER_S // 2 + 5 * NS_PER_S, -1, score) for digest, i, score in rows
    ]
    found = merged(hits, {name: entry(name) for name in "ab"}, limit, background=0.0)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert len(found) <= limit
    assert sum(one.windows for one in found) <= len(hits)
    if hits:
        assert found[0].score == max(hit.score for hit in hits)
    for one in found:
        inside = [
            hit.score for hit in hits if hit.digest == one.digest and one.t0_ns <= hit.t0_ns and hit.t1_ns <= one.t1_ns
        ]
        assert one.score == max(inside)
        assert len(inside) == one.windows


def test_a_range_ends_where_the_score_falls() -> None:
    """Windows of the motion are one range; what is no better than any window is not in it."""
    scores = [0.1, 0.8, 0.9, 0.7, 0.1, 0.0, 0.6]
    hits = [Hit("a", i * NS_PER_S, (i + 2) * NS_PER_S, -1, score) for i, score in enumerate(scores)]
    found = merged(hits, {"a": entry("a")}, 2, background=0.0)
    assert [(one.start_s, one.end_s, one.windows) for one in found] == [(1.0, 5.0, 3), (6.0, 8.0, 1)]


def test_the_report_draws_what_was_found(tmp_path: Path) -> None:
    """The signal of the range and nothing else, markup as text; a recording that has gone is told, and nothing fails."""
    path = recording(tmp_path / "<b>.csv", "walking", "shaking")
    import msgspec

    known = {"d": RecordingEntry("d", str(path), path.name, msgspec.json.encode(OPTIONS).decode(), 0, 40.0, 1, 0)}
    there = Range(0.9, path.name, str(path), "d", 20.0, 25.0, 20 * NS_PER_S, 25 * NS_PER_S, None, 1)
    gone = msgspec.structs.replace(there, path=str(tmp_path / "gone.csv"))
    html = page("<script>shake", [there, gone], known)
    assert "<script" not in html
    assert "default-src 'none'" in html
    assert re.findall(r">([xyz])</tspan>", html) == list("xyzxyz")  # which line is which axis
    assert "&lt;b&gt;.csv" in html
    assert html.count("<svg") == 2
    assert "Cannot be drawn" in html
    assert not re.search(r"(?:src|href)=|url\(|@import", html)
    t_s, samples = signal_of(there, OPTIONS)
    assert (t_s[0], len(t_s)) == (0.0, 1000)
    assert np.abs(samples[:, 0]).max() > 10  # shaking


@given(st.integers(0, 5000), st.integers(0, 2**32 - 1))
def test_no_peak_gets_lost(samples: int, seed: int) -> None:
    """However many samples: a bounded number of points, the highest and the lowest among them."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(samples, 3)).astype(np.float32)
    svg = picture("a", np.arange(samples) / 200, values)
    drawn = [[float(y) for y in re.findall(r"[\d.]+ ([\d.]+)", line)] for line in re.findall(r' d="M([^"]*)"', svg)]
    assert all(len(line) <= 2 * max(COLUMNS, 1) for line in drawn)
    if samples > 1:
        heights = [y for line in drawn for y in line]
        assert (min(heights), max(heights)) == (20.0, 146.0)


@pytest.mark.parametrize(("seconds", "text"), [(0.0, "0:00:00.0"), (62.55, "0:01:02.5"), (3599.96, "1:00:00.0")])
def test_places_in_a_recording(seconds: float, text: str) -> None:
    """Rounded to tenths, and never sixty seconds."""
    assert position(seconds) in (text, text.replace("2.5", "2.6"))


def test_worker_that_dies_is_told(tmp_path: Path, tiny: Bundle, made: Callable[[str], MotionIndex]) -> None:
    """A process that is gone is one clear error, and not a hang."""
    from aura_edge.errors import EngineError

    paths = [recording(tmp_path / f"{i}.csv", "walking", seed=i) for i in range(2)]
    with pytest.raises(EngineError, match="a process that embeds has died"):
        index_recordings(made("ix"), paths, OPTIONS, tmp_path / "no.aura", jobs=2)
