"""The loop everything else exists for: source, resample, window, engine, classify, sinks.

Pull, not push: a slow engine slows a recording down and makes a live source queue; exceptions propagate; a stream that ends, or is stopped,
still gives its last windows and a summary that accounts for every sample.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence

from aura_edge.bundle import Manifest
from aura_edge.classify import Classifier, Decision, require_answerable
from aura_edge.diagnosis import Diagnosis
from aura_edge.engines import Engine
from aura_edge.errors import AuraEdgeError, EngineError, InputError, SinkError, TextSpaceError, TooShortError
from aura_edge.latency import Histogram
from aura_edge.prototypes import Prototypes
from aura_edge.resample import Resampler
from aura_edge.sinks import ProgressWatcher, SignalWatcher, Sink
from aura_edge.sources import LiveSource, Source
from aura_edge.types import NS_PER_S, ClockReading, Event, GridBlock, ImuChunk, Prediction, Summary, Window
from aura_edge.window import Windower

STAGES = ("resample", "window", "encode", "classify", "total", "sink")
PROGRESS_NS = NS_PER_S
"""Those who watch the progress are told this often, by this computer's clock."""

REMEDIES = {
    "gap": "So many gaps mean that the sampling rate or the unit of the timestamps is not what was declared (--rate-hz, --units).",
    "duplicate": "So many equal times mean a clock too coarse: count samples at a known rate (--columns t=none --rate-hz HZ).",
    "late": "So many times that go back mean that the wrong column is taken for the time (--columns).",
    "reset": "So many times that go back mean that the wrong column is taken for the time (--columns).",
    "out_of_range": "No sensor reads so much: say the units of the readings, scale and all (--units).",
    "non_finite": "Readings that are no numbers mean that the wrong columns are taken, or that the file is damaged (--columns).",
    "end": "Record longer.",
}
"""What to do about a recording without one window, by the reason for which most of it is in none."""

_log = logging.getLogger("aura_edge.pipeline")


class Pipeline:
    """One run over one source. Closes source, engine and sinks when it ends."""

    def __init__(
        self,
        source: Source,
        engine: Engine,
        prototypes: Prototypes,
        manifest: Manifest,
        sinks: Sequence[Sink],
        *,
        hop_s: float | None = None,
        flush: bool = False,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        """`hop_s` defaults to the manifest's; `flush` gives a last window aligned with the end. Raises `TextSpaceError` when the
        prototypes live in another text space than the encoder."""
        _require_same_space(prototypes, manifest)
        if manifest.signal.gravity_included and not source.info.gravity_included:
            raise InputError(
                f"{source.info.name}: gravity was taken out of its acceleration, and {manifest.name} was trained with it. Record plain, not "
                "linear, acceleration."
            )
        self._source, self._engine, self._prototypes, self._sinks = source, engine, prototypes, list(sinks)
        self._signal_watchers = [sink for sink in sinks if isinstance(sink, SignalWatcher)]
        self._progress_watchers = [sink for sink in sinks if isinstance(sink, ProgressWatcher)]
        self._manifest = manifest
        self._wanted: deque[Prototypes] = deque(maxlen=1)  # of several that nobody has taken, the newest counts
        info, signal = source.info, manifest.signal
        self._resampler = Resampler(
            info.rate_hz, signal.rate_hz, acc_range_m_s2=info.acc_range_m_s2, gyro_range_rad_s=info.gyro_range_rad_s
        )
        self._windower = Windower(
            rate_hz=signal.rate_hz,
            window_s=signal.window_s,
            hop_s=manifest.hop_s if hop_s is None else hop_s,
            flush=flush,
        )
        self._classifier = Classifier(manifest.decision, prototypes.labels, trained=manifest.trained_labels)
        self._diagnosis = Diagnosis(rate_hz=signal.rate_hz, nominal_hz=info.rate_hz)
        self._clock_ns = clock_ns
        self._latency = {stage: Histogram() for stage in STAGES}
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._windows = self._skipped = 0
        self._stopped = False
        self._device_clock: ClockReading | None = None
        self._told_ns = clock_ns()

    @property
    def prototypes(self) -> Prototypes:
        """The set in force."""
        return self._prototypes

    def relabel(self, prototypes: Prototypes) -> None:
        """From the next window on, answer with this set; whole, between two windows, and at once for the caller. May be called from
        any thread. What is open ends, but for `still`, which knows no labels. Raises `TextSpaceError` for a set of another text space,
        `BundleError` for a label that the classifier keeps for itself; the set in force stays then."""
        _require_same_space(prototypes, self._manifest)
        require_answerable(prototypes.labels)
        self._wanted.append(prototypes)

    def stop(self) -> None:
        """End the run early and orderly; may be called from a signal handler or another thread."""
        self._stopped = True
        self._source.close()

    def run(self) -> Summary:
        """Until the source ends or `stop` is called. Raises `TooShortError` where not even one window came about."""
        failure: SinkError | None = None
        try:
            try:
                for chunk in self._source:
                    self._process(chunk)
                self._process(None)
            except SinkError as error:
                failure = error  # the others still get an orderly end
            summary = self.summary()
            for sink in self._sinks:
                try:
                    sink.emit(summary)
                except SinkError as error:
                    failure = failure or error
        finally:
            self._close()
        if failure is not None:
            raise failure
        if not self._windows and not self._stopped:
            raise self._too_short(summary)
        return summary

    def summary(self) -> Summary:
        """The run so far."""
        counts = Counter(self._resampler.dropped) + self._windower.unused
        read, used = self._resampler.read, self._windower.used
        pending = read - used - counts.total()
        if pending:
            counts["pending"] = pending  # still in the resampler or the ring: a run that was cut off
        return Summary(
            source=self._source.info.name,
            engine=f"{self._engine.info.name} on {self._engine.info.device}, {self._engine.info.precision}",
            windows=self._windows,
            windows_skipped=self._skipped,
            seconds=dict(self._seconds),
            samples={"read": read, "used": used, **counts},
            lost=self._resampler.lost,
            interpolated=self._windower.interpolated,
            latency={stage: histogram.summary() for stage, histogram in self._latency.items()},
            delay_s=self._resampler.delay_s,
            interrupted=self._stopped,
            device=self._source.report() if isinstance(self._source, LiveSource) else {},
            notes=(*self._source.info.notes, *self._diagnosis.notes),
        )

    def _process(self, chunk: ImuChunk | None) -> None:
        """One chunk through all stages; None is the end of the stream."""
        arrived_ns = self._clock_ns()
        blocks = self._resampler.finish() if chunk is None else self._resampler.push(chunk)
        if chunk is not None:
            self._device_clock = chunk.clock
        resampled_ns = self._clock_ns()
        windows = self._cut(blocks)
        cut_ns = self._clock_ns()
        self._latency["resample"].add(resampled_ns - arrived_ns)
        self._latency["window"].add(cut_ns - resampled_ns)
        if self._source.info.live and len(windows) > 1:
            # Behind: the newest window is the one that matters. Its samples overlap those of the hops left out.
            self._skipped += len(windows) - 1
            windows = windows[-1:]
        for window in windows:
            self._take_wanted()
            for note in self._diagnose(window):
                _log.warning("%s: %s", self._source.info.name, note)
            start_ns = self._clock_ns()
            cosines = None
            if not self._classifier.is_still(window):
                embedding = self._engine.embed(window.samples[None])[0]
                if not abs(float(embedding @ embedding) - 1.0) < 0.01:
                    raise EngineError(
                        f"{self._engine.info.name} gave a vector that is not of unit length for the window at {window.t0_ns} ns. "
                        "Check the bundle on this machine: aura-edge bundle verify"
                    )
                cosines = self._prototypes.scores(embedding[None])[0]
            encoded_ns = self._clock_ns()
            decision = self._classifier.step(window, cosines)
            decided_ns = self._clock_ns()
            self._emit(window, decision, (arrived_ns, resampled_ns, cut_ns, start_ns, encoded_ns, decided_ns))
        if chunk is None:
            for event in self._classifier.finish():
                self._send(event)
        self._show(blocks)  # after the labels, which are what is waited for

    def _take_wanted(self) -> None:
        if self._wanted:
            self._prototypes = self._wanted.popleft()
            for event in self._classifier.relabel(self._prototypes.labels):
                self._send(event)

    def _show(self, blocks: list[GridBlock]) -> None:
        for watcher in self._signal_watchers:
            for block in blocks:
                watcher.watch(block)
        if self._progress_watchers and (now_ns := self._clock_ns()) - self._told_ns >= PROGRESS_NS:
            self._told_ns, summary = now_ns, self.summary()
            for follower in self._progress_watchers:
                follower.progress(summary)

    def _diagnose(self, window: Window) -> list[str]:
        notes = self._diagnosis.see(window)
        if isinstance(self._source, LiveSource):
            measured = self._source.report()
            notes += self._diagnosis.measured(measured.get("rate_hz"), measured.get("clock_drift_ppm"))
        return notes

    def _cut(self, blocks: list[GridBlock]) -> list[Window]:
        return [window for block in blocks for window in self._windower.push(block)]

    def _emit(self, window: Window, decision: Decision, times_ns: tuple[int, int, int, int, int, int]) -> None:
        arrived, resampled, cut, start, encoded, decided = times_ns
        took = {
            "resample": resampled - arrived,
            "window": cut - resampled,
            "encode": encoded - start,
            "classify": decided - encoded,
            "total": decided - arrived,
        }
        for stage in ("encode", "classify", "total"):
            self._latency[stage].add(took[stage])
        self._windows += 1
        self._seconds[decision.label] += decision.seconds
        clock = self._device_clock
        prediction = Prediction(
            t0_ns=window.t0_ns,
            t1_ns=window.t1_ns,
            host_ns=window.host_ns,
            label=decision.label,
            score=decision.score,
            state=decision.state,
            top=decision.top,
            latency_ms={stage: ns / 1e6 for stage, ns in took.items()},
            interpolated=window.interpolated,
            clipped=window.clipped,
            model=self._engine.info.weights,
            prototypes=self._prototypes.digest,
            host_t1_ns=None if clock is None else clock.host_at(window.t1_ns),
            clock_residual_ms=None if clock is None else clock.residual_ns / 1e6,
        )
        for event in decision.events:
            self._send(event)
        self._send(prediction)
        self._latency["sink"].add(self._clock_ns() - decided)

    def _send(self, item: Prediction | Event) -> None:
        for sink in list(self._sinks):
            try:
                sink.emit(item)
            except SinkError:
                self._sinks.remove(sink)
                with contextlib.suppress(SinkError):
                    sink.close()
                raise

    def _close(self) -> None:
        """Close everything, whatever fails on the way; the first failure is the one that is told."""
        failure: AuraEdgeError | None = None
        things: list[Source | Sink | Engine] = [self._source, *self._sinks, self._engine]
        for thing in things:
            try:
                thing.close()
            except AuraEdgeError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def _too_short(self, summary: Summary) -> TooShortError:
        counts = {reason: count for reason, count in summary.samples.items() if count}
        counted = ", ".join(f"{count} {reason}" for reason, count in counts.items())
        reasons = {reason: count for reason, count in counts.items() if reason in REMEDIES}
        remedy = REMEDIES[max(reasons, key=lambda reason: reasons[reason])] if reasons else REMEDIES["end"]
        return TooShortError(
            f"{summary.source}: not one whole window. A window needs {self._windower.length} samples at {self._resampler.rate_hz:g} Hz "
            f"({self._windower.length / self._resampler.rate_hz:g} s) without a gap; found: {counted or 'no samples'}. "
            f"{' '.join((remedy, *(f'Note: {note}.' for note in summary.notes)))}"
        )


def _require_same_space(prototypes: Prototypes, manifest: Manifest) -> None:
    found, expected = prototypes.text_space, manifest.text_space
    if found != expected:
        raise TextSpaceError(
            f"prototypes of {found.tower} ({found.dimension}-d) with an encoder of {expected.tower} ({expected.dimension}-d): embed the "
            "labels with the encoder's own tower (aura-edge prototypes)."
        )
