"""Labels that change while the stream runs: swapped whole between two windows, and what is open ends in order."""

from __future__ import annotations

import contextlib
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command

from aura_edge.classify import Classifier, require_answerable
from aura_edge.commands.labels import app as labels_app
from aura_edge.control import ControlSocket, Request, ask, find_socket, own_folder
from aura_edge.errors import BundleError, InputError, MissingExtraError, SinkError, TextSpaceError
from aura_edge.label_set import LabelSet
from aura_edge.labels_file import LabelsFile, read_labels_file
from aura_edge.lexicon import Vocabulary
from aura_edge.manifest import DecisionSpec, EncoderSpec, Manifest, TextSpace
from aura_edge.pipeline import Pipeline
from aura_edge.prototypes import Prototypes, make
from aura_edge.testing import TINY_LABELS, TINY_SPACE, FakeEngine, FakeTower, ListSink, motion, tiny_prototypes
from aura_edge.types import NS_PER_S, Event, GridBlock, ImuChunk, Prediction, SourceInfo, Summary, Window

MANIFEST = Manifest(name="tiny", encoder=EncoderSpec("tiny", {}, 1), text_space=TINY_SPACE, prototypes="tiny")


class Chunks:
    """Plays walking, a chunk at a time; before the chunk of that number, does what it is told."""

    def __init__(self, seconds: int = 20, *, label: str = "walking", rest: bool = False) -> None:
        self.info = SourceInfo("chunks", 200.0, "m/s2, rad/s")
        signal = motion(label, samples=seconds * 200).T.copy()
        if rest:
            signal[:] = np.float32([0, 0, 9.81, 0, 0, 0])
        t_ns = np.arange(len(signal), dtype=np.int64) * 5_000_000
        self.chunks = [ImuChunk(t_ns[i : i + 100], signal[i : i + 100], host_ns=i) for i in range(0, len(signal), 100)]
        self.before: dict[int, list[Prototypes]] = {}
        self.pipeline: Pipeline | None = None

    def __iter__(self) -> Iterator[ImuChunk]:
        for number, chunk in enumerate(self.chunks):
            for wanted in self.before.get(number, []):
                assert self.pipeline is not None
                self.pipeline.relabel(wanted)
            yield chunk

    def close(self) -> None:
        pass


def run(source: Chunks, *sinks: object) -> tuple[ListSink, Summary]:
    sink = ListSink()
    pipeline = Pipeline(source, FakeEngine(), tiny_prototypes(), MANIFEST, [sink, *sinks])  # type: ignore[list-item]
    source.pipeline = pipeline
    return sink, pipeline.run()


def switches(predictions: Sequence[Prediction]) -> list[str]:
    """Digests in the order in which they came into force."""
    digests = [p.prototypes for p in predictions]
    return [digests[0], *(b for a, b in pairwise(digests) if a != b)]


def test_labels_swapped_in_are_in_force_from_the_next_window_on() -> None:
    """Each prediction carries the digest of the set that it was made with, and its labels are of that set."""
    source, other = Chunks(), tiny_prototypes(["shaking", "walking about"])
    source.before[20] = [other]
    sink, _ = run(source)
    assert switches(sink.predictions) == [tiny_prototypes().digest, other.digest]
    for prediction in sink.predictions:
        labels = {label for label, _ in prediction.top}
        assert labels == (set(other.labels) if prediction.prototypes == other.digest else set(TINY_LABELS))
    assert sink.predictions[-1].label == "walking about"


def test_what_was_open_ends_and_the_labels_still_tile_the_time() -> None:
    """The label in force ends where the last window of the old set did, and the next one starts there: no second is lost or told twice."""
    source, other = Chunks(), tiny_prototypes(["shaking", "walking about"])
    source.before[20] = [other]
    sink, summary = run(source)
    kinds = [(event.kind, event.label) for event in sink.events]
    assert kinds == [("start", "walking"), ("end", "walking"), ("start", "walking about"), ("end", "walking about")]
    assert sink.events[1].t_ns == sink.events[2].t_ns
    assert sum(summary.seconds.values()) == pytest.approx(20.0)
    assert sum(event.duration_s or 0 for event in sink.events) == pytest.approx(20.0)


def test_rest_goes_on_through_a_swap() -> None:
    """`still` was decided without labels: new ones do not interrupt it."""
    source = Chunks(rest=True)
    source.before[20] = [tiny_prototypes(["shaking"])]
    sink, _ = run(source)
    assert [(event.kind, event.label) for event in sink.events] == [("start", "still"), ("end", "still")]


def test_of_several_sets_between_two_windows_the_last_one_counts() -> None:
    """Sets that no window was answered with never come into force."""
    source = Chunks()
    first, second = tiny_prototypes(["shaking"]), tiny_prototypes(["spinning", "walking"])
    source.before[20] = [first, second]
    sink, _ = run(source)
    assert switches(sink.predictions) == [tiny_prototypes().digest, second.digest]


def test_a_set_that_cannot_be_used_is_refused_and_changes_nothing() -> None:
    """Another text space and the classifier's own words are errors for whoever asked; the stream goes on as it was."""
    pipeline = Pipeline(Chunks(), FakeEngine(), tiny_prototypes(), MANIFEST, [sink := ListSink()])
    with pytest.raises(TextSpaceError, match="other"):
        pipeline.relabel(make(["a"], [["a"]], np.ones((1, 8), np.float32), TextSpace("other", "0" * 64, 8)))
    with pytest.raises(BundleError, match="still"):
        pipeline.relabel(tiny_prototypes(["still"]))
    pipeline.run()
    assert switches(sink.predictions) == [tiny_prototypes().digest]
    assert pipeline.prototypes.digest == tiny_prototypes().digest


def test_swaps_from_another_thread_never_mix_two_sets() -> None:
    """However the swaps fall, a prediction's labels are those of the set whose digest it carries."""
    sets = [tiny_prototypes(["walking", "shaking"]), tiny_prototypes(["spinning"]), tiny_prototypes()]
    labels_of = {known.digest: set(known.labels) for known in sets}
    sink = ListSink()
    pipeline = Pipeline(Chunks(seconds=120), FakeEngine(), tiny_prototypes(), MANIFEST, [sink], hop_s=0.1)
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            for known in sets:
                pipeline.relabel(known)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        pipeline.run()
    finally:
        over.set()
        thread.join()
    assert len({p.prototypes for p in sink.predictions}) > 1
    assert all({label for label, _ in p.top} == labels_of[p.prototypes] for p in sink.predictions)
    starts = [event for event in sink.events if event.kind == "start"]
    ends = [event for event in sink.events if event.kind == "end"]
    assert [event.label for event in starts] == [event.label for event in ends]


@given(swaps=st.lists(st.integers(0, 2), max_size=30), step_s=st.sampled_from([0.5, 1.0, 2.0]))
def test_events_pair_up_and_tile_the_time_whatever_is_swapped_when(swaps: list[int], step_s: float) -> None:
    """A start follows each end at the same moment, and their durations add up to what the windows cover."""
    sets = (("a", "b"), ("b", "c"), ("c",))
    classifier = Classifier(DecisionSpec(), sets[0])
    events: list[Event] = []
    count, covered_s = 2, 0.0
    rng = np.random.default_rng(len(swaps))
    for number, chosen in enumerate(swaps):
        t0_ns = round(number * step_s * NS_PER_S)
        window = Window(np.zeros((6, 1000), np.float32), t0_ns, t0_ns + 5 * NS_PER_S, 0, 0.0, 0.0)
        decision = classifier.step(window, rng.normal(0, 0.3, count).astype(np.float32))
        events += decision.events
        covered_s += decision.seconds
        assert decision.label in {"a", "b", "c"}
        events += classifier.relabel(sets[chosen])
        count = len(sets[chosen])
    events += classifier.finish()
    assert [event.kind for event in events] == ["start", "end"] * (len(events) // 2)
    assert all(end.label == start.label for start, end in zip(events[::2], events[1::2], strict=True))
    assert all(start.t_ns == end.t_ns for end, start in zip(events[1::2], events[2::2], strict=False))
    assert sum(event.duration_s or 0 for event in events) == pytest.approx(covered_s)


def test_labels_trained_on_are_weighed_anew() -> None:
    """The seen-bias applies where labels of both kinds compete, whichever set is in force."""
    classifier = Classifier(DecisionSpec(seen_bias=0.2, temperature=0.1), ["met"], trained=["met"])
    window = Window(np.zeros((6, 1000), np.float32), 0, 5 * NS_PER_S, 0, 0.0, 0.0)
    classifier.relabel(["met", "new"])
    top = dict(classifier.step(window, np.float32([0.3, 0.2])).top)
    assert top["new"] > top["met"]


class Watching(ListSink):
    """Also watches the signal and the progress."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[GridBlock] = []
        self.progressed: list[Summary] = []
        self.order: list[str] = []

    def emit(self, item: Prediction | Event | Summary) -> None:
        super().emit(item)
        self.order.append(type(item).__name__)

    def watch(self, block: GridBlock) -> None:
        self.blocks.append(block)
        self.order.append("block")

    def progress(self, summary: Summary) -> None:
        self.progressed.append(summary)


def test_who_watches_the_signal_is_given_all_of_it() -> None:
    """Every sample of the grid, in order, once; the labels that a block completes come before it."""
    sink = Watching()
    run(Chunks(seconds=8), sink)
    assert sum(len(block.samples) for block in sink.blocks) == 1600
    assert all(b.t0_ns == a.t0_ns + len(a.samples) * 5_000_000 for a, b in pairwise(sink.blocks))
    before = sink.order[: sink.order.index("Prediction")].count("block")
    assert sum(len(block.samples) for block in sink.blocks[:before]) < 1000


def test_who_watches_the_progress_is_told_once_a_second() -> None:
    """By the clock of the computer, however fast a recording plays."""
    now_ns = iter(range(0, 1 << 62, 100_000_000))  # 100 ms pass between any two looks
    sink = Watching()
    summary = Pipeline(
        Chunks(seconds=8), FakeEngine(), tiny_prototypes(), MANIFEST, [sink], clock_ns=lambda: next(now_ns)
    ).run()
    reads = [told.samples["read"] for told in sink.progressed]
    assert reads == sorted(reads)
    assert 2 <= len(reads) <= 8
    assert reads[-1] <= summary.samples["read"] == 1600


def test_a_sink_that_watches_nothing_is_left_alone() -> None:
    """The two methods are optional."""
    sink, summary = run(Chunks(seconds=8))
    assert summary.windows == len(sink.predictions) > 0


# ---- the set that is edited ----


class Applied(list[Prototypes]):
    """Where sets go."""

    def take(self, wanted: Prototypes) -> None:
        require_answerable(wanted.labels)  # as the pipeline does
        self.append(wanted)


def label_set(*, tower: bool = False) -> tuple[LabelSet, Applied]:
    """The tiny labels, over a vocabulary that also knows `jumping jacks` and `climbing stairs`."""
    more = tiny_prototypes(["jumping jacks", "climbing stairs"])
    labels = LabelSet(
        tiny_prototypes(), lambda: Vocabulary([tiny_prototypes(), more]), tower=FakeTower if tower else None
    )
    applied = Applied()
    labels.goes_to(applied.take)
    return labels, applied


def test_known_phrase_is_added_as_it_is_known() -> None:
    """Bit for bit the vector that the vocabulary has, behind those that were there."""
    labels, applied = label_set()
    change = labels.add("  Jumping  Jacks ")
    assert change.labels == (*TINY_LABELS, "jumping jacks")
    assert change.digest == applied[-1].digest == labels.prototypes.digest
    np.testing.assert_allclose(applied[-1].embeddings[-1], tiny_prototypes(["jumping jacks"]).embeddings[0], atol=1e-6)
    np.testing.assert_allclose(applied[-1].embeddings[:3], tiny_prototypes().embeddings, atol=1e-6)


def test_without_a_tower_the_nearest_phrase_is_used_and_said() -> None:
    """Or, where none is near, the phrase is refused and those nearest are named."""
    labels, applied = label_set()
    assert labels.add("climb stairs").said == "'climb stairs' is not known: using 'climbing stairs'"
    with pytest.raises(BundleError, match="no prototype for 'playing the sitar'"):
        labels.add("playing the sitar")
    assert len(applied) == 1


def test_with_a_tower_any_phrase_is_embedded() -> None:
    """It is what the tower says of the phrase itself, and it is opened once, when it is first needed."""
    opened = []

    def tower() -> FakeTower:
        opened.append(1)
        return FakeTower()

    labels = LabelSet(tiny_prototypes(), lambda: Vocabulary([tiny_prototypes()]), tower=tower)
    labels.remove("walking")
    assert opened == []
    labels.add("playing the sitar")
    labels.add("playing the drums")
    assert opened == [1]
    expected = FakeTower().embed(["playing the sitar", "playing the drums"])
    np.testing.assert_allclose(labels.prototypes.embeddings[-2:], expected, atol=1e-6)


def test_tower_that_is_not_there_is_asked_for_once() -> None:
    """The lexicon serves then."""

    def missing() -> FakeTower:
        raise MissingExtraError("no tower here")

    labels = LabelSet(tiny_prototypes(), lambda: Vocabulary([tiny_prototypes()]), tower=missing)
    with pytest.raises(BundleError, match="no prototype"):
        labels.add("playing the sitar")
    assert labels.remove("walking").labels == ("shaking", "spinning")


def test_edits_that_make_no_sense_are_refused_and_change_nothing() -> None:
    """One there already, whatever its case, one that is not there, the last one, the classifier's own words, no words at all."""
    labels, applied = label_set(tower=True)
    start = labels.prototypes.digest
    for edit, phrase in [
        (labels.add, "Walking"),
        (labels.add, "still"),
        (labels.add, " "),
        (labels.add, "a\x00b"),
        (labels.add, "\ud800"),
        (labels.add, "x" * 201),
        (labels.remove, "flying"),
    ]:
        with pytest.raises(BundleError):
            edit(phrase)
    for phrases in ([], ["walking", "walking"], ["walking", "unknown"]):
        with pytest.raises(BundleError):
            labels.replace(phrases)
    assert (applied, labels.prototypes.digest) == ([], start)
    labels.replace(["walking"])
    with pytest.raises(BundleError, match="only label"):
        labels.remove("walking")


def test_sets_edited_before_the_stream_starts_reach_it() -> None:
    """Whoever is connected late is handed what was edited before."""
    labels = LabelSet(tiny_prototypes(), lambda: Vocabulary([tiny_prototypes()]))
    labels.remove("walking")
    applied = Applied()
    labels.goes_to(applied.take)
    assert [known.labels for known in applied] == [("shaking", "spinning")]


@given(edits=st.lists(st.tuples(st.booleans(), st.sampled_from([*TINY_LABELS, "a", "b", "c"])), max_size=20))
def test_any_edits_leave_a_set_that_answers(edits: list[tuple[bool, str]]) -> None:
    """The set is what the accepted edits make of it, in order; each of its rows stays the label's own."""
    labels, applied = label_set(tower=True)
    expected = list(TINY_LABELS)
    for adds, label in edits:
        try:
            (labels.add if adds else labels.remove)(label)
        except BundleError:
            assert (label in expected) == adds or expected == [label]
        else:
            expected.append(label) if adds else expected.remove(label)
    assert list(labels.prototypes.labels) == expected
    assert not applied or applied[-1] is labels.prototypes
    np.testing.assert_allclose(labels.prototypes.embeddings, FakeTower().embed(expected), atol=1e-5)


# ---- from a file ----


def until(happens: Callable[[], bool]) -> None:
    ends = time.monotonic() + 10
    while not happens():
        assert time.monotonic() < ends, "did not happen in time"
        time.sleep(0.01)


def test_file_that_is_saved_becomes_the_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Written in place or renamed over; one that is empty, gone or refused changes nothing, and is said."""
    monkeypatch.setattr("aura_edge.labels_file.LOOK_S", 0.01)
    labels, applied = label_set()
    path = tmp_path / "labels.txt"
    path.write_text("walking\n")
    watched = LabelsFile(path, labels.replace)
    try:
        path.write_text("# mine\nspinning\n\n  jumping jacks  # these too\n")
        until(lambda: len(applied) == 1)
        assert labels.prototypes.labels == ("spinning", "jumping jacks")
        for number, content in enumerate(["", "playing the sitar\n", "walking\nwalking\n"], 1):
            path.write_text(content)
            until(lambda n=number: len(caplog.records) == n)  # type: ignore[misc]
        path.unlink()
        until(lambda: len(caplog.records) == 4)
        assert len(applied) == 1
        (tmp_path / "new.txt").write_text("shaking\n")
        (tmp_path / "new.txt").replace(path)
        until(lambda: len(applied) == 2)
        assert labels.prototypes.labels == ("shaking",)
    finally:
        watched.close()


@given(content=st.binary(max_size=200))
def test_any_file_gives_labels_or_our_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Never a blank one."""
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(content)
    try:
        labels = read_labels_file(path)
    except InputError:
        return
    assert labels
    assert all(label.strip() == label != "" for label in labels)


# ---- over the control socket ----


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ControlSocket]:
    """A socket where `aura-edge labels` looks for it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    opened = ControlSocket(label_set()[0])
    yield opened
    opened.close()


def command(*args: str) -> int:
    with pytest.raises(SystemExit) as ended:
        get_command(labels_app)(args, prog_name="aura-edge labels")
    return int(ended.value.code or 0)


def test_only_the_user_may_open_the_socket(control: ControlSocket) -> None:
    """Mode 0600 in a folder of mode 0700."""
    assert stat.S_IMODE(control.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(control.path.parent.stat().st_mode) == 0o700


def test_labels_are_listed_added_and_removed_from_the_command_line(
    control: ControlSocket, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a command that finds the one stream that runs; what was taken for what was asked is said."""
    assert command("add", "jumping jacks", "climb stairs") == 0
    assert "'climb stairs' is not known: using 'climbing stairs' (5 labels, digest" in capsys.readouterr().out
    assert command("remove", "walking") == 0
    capsys.readouterr()
    assert command("list") == 0
    assert capsys.readouterr().out.split("\n")[:-1] == ["shaking", "spinning", "jumping jacks", "climbing stairs"]
    assert command("list", "--json", "--control", str(control.path)) == 0
    assert '"digest"' in capsys.readouterr().out


def test_what_is_refused_is_said_on_the_command_line(control: ControlSocket) -> None:
    """In the words of the stream."""
    with pytest.raises(InputError, match="among the labels already"):
        get_command(labels_app)(["add", "walking"], standalone_mode=False)


@pytest.mark.parametrize(
    "line", [b"\n", b"{}\n", b"[1]\n", b'{"do":"run"}\n', b'{"do":"list","x":1}\n', b"\xff\n", b"x" * 70_000]
)
def test_what_is_no_request_is_answered_so(control: ControlSocket, line: bytes) -> None:
    """And the next one is served."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(control.path))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(line)
        with contextlib.suppress(ConnectionResetError):
            assert connection.makefile().readline().startswith('{"ok":false')
    assert ask(control.path, Request("list")).labels == TINY_LABELS


def test_whoever_connects_and_says_nothing_keeps_nobody_out(
    control: ControlSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For longer than a moment."""
    monkeypatch.setattr("aura_edge.control.PATIENCE_S", 0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(control.path))
        assert ask(control.path, Request("list")).ok


def test_socket_of_a_killed_stream_is_taken_away_and_the_living_one_found(control: ControlSocket) -> None:
    """What no process listens to is no stream."""
    dead = control.path.with_name("1.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(dead))
    assert find_socket() == control.path
    assert not dead.exists()


def test_without_a_stream_the_command_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And so it does for a path that leads nowhere."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(InputError, match="0 streams"):
        find_socket()
    with pytest.raises(InputError, match="no stream answers"):
        ask(tmp_path / "none.sock", Request("list"))


def test_folder_of_somebody_else_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that others may enter, or a link to it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    own_folder().chmod(0o755)
    with pytest.raises(SinkError, match="this user's alone"):
        own_folder()


def test_closing_takes_the_socket_away(control: ControlSocket) -> None:
    """And another may be made in its place; one in use is left alone."""
    with pytest.raises(SinkError, match="--control"):
        ControlSocket(label_set()[0], control.path)
    control.close()
    assert not control.path.exists()
    ControlSocket(label_set()[0], control.path).close()
