"""The loop: every sample accounted for, every label with its window and latency, an orderly end whatever happens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from aura_edge.engines import EngineInfo
from aura_edge.errors import EngineError, InputError, SinkError, TextSpaceError, TooShortError
from aura_edge.manifest import DecisionSpec, EncoderSpec, Manifest, TextSpace
from aura_edge.pipeline import Pipeline
from aura_edge.prototypes import make
from aura_edge.testing import TINY_LABELS, TINY_SPACE, FakeEngine, ListSink, motion, tiny_prototypes
from aura_edge.types import Event, ImuChunk, Prediction, SourceInfo, Summary


class ChunkSource:
    """Plays given chunks."""

    def __init__(self, chunks: Sequence[ImuChunk], *, rate_hz: float = 200.0, live: bool = False) -> None:
        self.info = SourceInfo("chunks", rate_hz, "m/s2, rad/s", live=live, notes=("made by a test",))
        self._chunks = chunks
        self._open = True
        self.closed = 0

    def __iter__(self) -> Iterator[ImuChunk]:
        for chunk in self._chunks:
            if not self._open:
                return
            yield chunk

    def close(self) -> None:
        self._open = False
        self.closed += 1


class FullDisk:
    """A sink that takes a few items and then no more."""

    def __init__(self, takes: int) -> None:
        self._takes = takes
        self.closed = False

    def emit(self, item: Prediction | Event | Summary) -> None:
        self._takes -= 1
        if self._takes < 0:
            raise SinkError("full")

    def close(self) -> None:
        self.closed = True


class Clock:
    """Advances by a microsecond at each look."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        self.now_ns += 1000
        return self.now_ns


def story(*labels: str, seconds: int = 10, cut: int = 37) -> list[ImuChunk]:
    """Motions one after the other at 200 Hz, in chunks of an odd size."""
    signal = np.concatenate([motion(label, samples=seconds * 200) for label in labels], axis=1).T.copy()
    t_ns = np.arange(len(signal), dtype=np.int64) * 5_000_000
    return [ImuChunk(t_ns[i : i + cut], signal[i : i + cut], host_ns=i) for i in range(0, len(signal), cut)]


def manifest(**decision: float) -> Manifest:
    return Manifest(
        name="tiny",
        encoder=EncoderSpec("tiny", {}, 1),
        text_space=TINY_SPACE,
        decision=DecisionSpec(**decision),
        prototypes="tiny",
    )


def pipeline(source: ChunkSource, *sinks: object, **options: object) -> Pipeline:
    options.setdefault("clock_ns", Clock())
    return Pipeline(source, FakeEngine(), tiny_prototypes(), manifest(), sinks, **options)  # type: ignore[arg-type]


def test_a_recording_becomes_labels_events_and_a_summary() -> None:
    """Three motions give three labels in order, and the last thing a sink gets is the summary."""
    sink = ListSink()
    summary = pipeline(ChunkSource(story(*TINY_LABELS)), sink).run()
    assert [e.label for e in sink.events if e.kind == "start" and e.state == "activity"] == list(TINY_LABELS)
    assert sink.items[-1] is summary
    assert sink.closed
    assert summary.windows == len(sink.predictions) == 51
    assert sum(summary.seconds.values()) == pytest.approx(30.0)
    assert summary.samples == {"read": 6000, "used": 6000}
    assert (summary.notes[0], summary.interrupted) == ("made by a test", False)


def test_each_prediction_says_where_it_comes_from() -> None:
    """Window in device time, host time of arrival, digests, and compute time per stage that adds up."""
    sink, engine = ListSink(), FakeEngine()
    Pipeline(
        ChunkSource(story("walking")), engine, tiny_prototypes(), manifest(), [sink], hop_s=1.0, clock_ns=Clock()
    ).run()
    first, second = sink.predictions[:2]
    assert (first.t0_ns, first.t1_ns, second.t0_ns) == (0, 5_000_000_000, 1_000_000_000)
    assert first.host_ns % 37 == 0
    assert (first.model, first.prototypes) == (engine.info.weights, tiny_prototypes().digest)
    assert set(first.latency_ms) == {"resample", "window", "encode", "classify", "total"}
    assert all(ms > 0 for ms in first.latency_ms.values())
    assert first.latency_ms["total"] >= sum(ms for stage, ms in first.latency_ms.items() if stage != "total")


def test_rest_is_never_encoded() -> None:
    """A still window asks no engine, so that a sensor on a table costs nothing and is never called an activity."""
    chunks = [
        ImuChunk(c.t_ns, np.tile(np.float32([0, 0, 9.81, 0, 0, 0]), (len(c.t_ns), 1)), 0) for c in story("walking")
    ]
    sink, engine = ListSink(), FakeEngine()
    Pipeline(ChunkSource(chunks), engine, tiny_prototypes(), manifest(), [sink]).run()
    assert engine.batches == []
    assert {p.state for p in sink.predictions} == {"still"}


def test_a_live_stream_that_is_behind_skips_hops_and_counts_them() -> None:
    """Of several windows in one chunk of a live source the newest is encoded and the others are counted; a recording encodes all."""
    late = story("walking", cut=100_000)
    live, recorded = ListSink(), ListSink()
    summary = pipeline(ChunkSource(late, live=True), live).run()
    pipeline(ChunkSource(late), recorded).run()
    assert len(live.predictions) == 2  # one from the chunk, one that only the end of the stream completes
    assert summary.windows_skipped == len(recorded.predictions) - 2
    assert [p.t1_ns for p in live.predictions] == [p.t1_ns for p in recorded.predictions[-2:]]
    assert summary.samples["used"] == summary.samples["read"]


def test_stop_ends_the_run_with_a_summary() -> None:
    """Stopping in the middle still accounts for everything and closes everything."""
    source, sink = ChunkSource(story(*TINY_LABELS)), ListSink()

    class Stopper(ListSink):
        def emit(self, item: Prediction | Event | Summary) -> None:
            super().emit(item)
            if len(self.predictions) == 3:
                run.stop()

    stopper = Stopper()
    run = pipeline(source, sink, stopper)
    summary = run.run()
    assert summary.interrupted
    assert summary.windows == 3
    assert "pending" not in summary.samples
    assert sink.items[-1] is summary
    assert sum(n for reason, n in summary.samples.items() if reason != "read") == summary.samples["read"]
    assert source.closed
    assert sink.closed


def test_a_full_disk_ends_the_run_but_not_the_other_sinks() -> None:
    """The sink that failed is told of; the others are complete, with summary, and closed."""
    full, sink = FullDisk(5), ListSink()
    with pytest.raises(SinkError, match="full"):
        pipeline(ChunkSource(story("walking")), full, sink).run()
    assert full.closed
    assert isinstance(sink.items[-1], Summary)
    assert sink.closed


def test_a_sink_that_refuses_the_summary_does_not_keep_it_from_the_others() -> None:
    """Even at the very end, every other sink is complete and closed, and the failure is told."""
    chunks = story("walking")
    counting = ListSink()
    pipeline(ChunkSource(chunks), counting).run()
    full, sink = FullDisk(len(counting.items) - 1), ListSink()
    with pytest.raises(SinkError, match="full"):
        pipeline(ChunkSource(chunks), full, sink).run()
    assert isinstance(sink.items[-1], Summary)
    assert full.closed
    assert sink.closed


def test_a_recording_without_one_window_is_an_error_that_says_why() -> None:
    """Too short, or torn by gaps: the counts are in the message."""
    with pytest.raises(TooShortError, match=r"1000 samples at 200 Hz.*600 end"):
        pipeline(ChunkSource(story("walking", seconds=3))).run()
    with pytest.raises(TooShortError, match=r"Record longer"):
        pipeline(ChunkSource(story("walking", seconds=3))).run()
    with pytest.raises(TooShortError, match=r"2000 out_of_range.*units of the readings"):
        pipeline(ChunkSource([ImuChunk(c.t_ns, c.samples * 1e6, 0) for c in story("walking")])).run()
    slow = [ImuChunk(c.t_ns * 10, c.samples, 0) for c in story("walking")]
    with pytest.raises(TooShortError, match=r"1999 gap.*--rate-hz, --units"):
        pipeline(ChunkSource(slow)).run()


def test_damage_is_counted_in_the_summary() -> None:
    """read is the sum of used and of every reason."""
    chunks = story("walking")
    chunks[3].samples[5, 0] = np.nan
    chunks[9].t_ns[1] = chunks[9].t_ns[0]
    late = [ImuChunk(c.t_ns + 60_000_000_000, c.samples, 0) for c in story("walking", seconds=3)]
    summary = pipeline(ChunkSource(chunks + late)).run()
    assert summary.samples["read"] == 2600
    assert "pending" not in summary.samples
    assert (summary.samples["non_finite"], summary.samples["duplicate"], summary.samples["end"]) == (1, 1, 600)
    assert sum(n for reason, n in summary.samples.items() if reason != "read") == 2600
    assert summary.interpolated == 2


def test_wrong_units_are_told_in_the_summary_and_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A recording in g that was declared as m/s2 plays, and says that something is wrong, once."""
    chunks = [ImuChunk(c.t_ns, c.samples / np.float32(9.80665), 0) for c in story("walking")]
    summary = pipeline(ChunkSource(chunks)).run()
    assert summary.notes[0] == "made by a test"
    assert "its unit is not the one declared" in summary.notes[1]
    assert len([record for record in caplog.records if "declared" in record.message]) == 1


def test_flush_is_only_done_when_asked() -> None:
    """The last partial hop is in a window when flush is asked for, else counted as the end."""
    chunks = story("walking", seconds=7)[:-3]
    plain = pipeline(ChunkSource(chunks)).run()
    flushed = pipeline(ChunkSource(chunks), flush=True).run()
    assert plain.samples["end"] > 0
    assert "end" not in flushed.samples
    assert flushed.windows == plain.windows + 1


def test_a_source_without_gravity_is_refused() -> None:
    """A model that was trained with gravity would see free fall."""
    source = ChunkSource([])
    source.info = SourceInfo("linear.csv", 200.0, "m/s2, rad/s", gravity_included=False)
    with pytest.raises(InputError, match=r"linear.csv: gravity was taken out"):
        pipeline(source)


def test_another_text_space_is_refused() -> None:
    """Prototypes of another tower would give numbers that mean nothing."""
    other = make(["a"], [["a"]], np.ones((1, 8), np.float32), TextSpace("other", "0" * 64, 8))
    with pytest.raises(TextSpaceError, match="other"):
        Pipeline(ChunkSource([]), FakeEngine(), other, manifest(), [])


def test_an_engine_that_computes_nonsense_is_caught() -> None:
    """A vector that is not of unit length stops the run with the way to find out more; sinks are closed all the same."""

    class Broken(FakeEngine):
        def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.full((len(windows), 8), np.nan, np.float32)

    sink, engine = ListSink(), Broken()
    assert isinstance(engine.info, EngineInfo)
    with pytest.raises(EngineError, match="aura-edge bundle verify"):
        Pipeline(ChunkSource(story("walking")), engine, tiny_prototypes(), manifest(), [sink]).run()
    assert sink.closed
    assert engine.closed


def test_cutting_the_stream_changes_no_label() -> None:
    """The same recording in any chunks gives the same predictions and events, bit for bit."""
    results = []
    for cut in (1, 37, 1000, 6000):
        sink = ListSink()
        pipeline(ChunkSource(story("walking", "shaking", seconds=8, cut=cut)), sink).run()
        results.append(
            (
                [(p.t0_ns, p.label, p.score, p.top) for p in sink.predictions],
                [(e.kind, e.label, e.t_ns, e.score) for e in sink.events],
            )
        )
    assert all(result == results[0] for result in results)
