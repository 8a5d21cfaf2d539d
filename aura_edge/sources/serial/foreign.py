"""A board of another maker: its rows placed in time, by its own clock where it has one, else by a regular clock fitted to their arrival."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import InputError
from aura_edge.resample import MAX_RATE_HZ, MIN_RATE_HZ
from aura_edge.sources.serial.clock_fit import ClockFit
from aura_edge.sources.serial.parsers import Parser, Rows
from aura_edge.sources.serial.timeline import RateMeter, SampleClock, Unwrapper
from aura_edge.sources.serial.told_times import ToldTimes
from aura_edge.sources.timeline import estimate_rate_hz
from aura_edge.types import NS_PER_S, ImuChunk, SourceInfo

MEASURED_AFTER_NS = 2 * NS_PER_S
"""So much is listened to before the rate is believed."""


class Foreign:
    """Follows one board through its parser."""

    def __init__(
        self, port: str, parser: Parser, *, rate_hz: float | None = None, placement: str | None = None
    ) -> None:
        """`rate_hz` is what the user says, where nothing else tells it."""
        self.info: SourceInfo | None = None
        self._port, self._parser, self._told_hz, self._placement = port, parser, rate_hz, placement
        self._held: list[tuple[int, Rows]] = []
        self._chunks: list[ImuChunk] = []
        self._out: list[bytes] = []
        self._times = ToldTimes(parser.clock_wrap_ns)
        self._sample_clock: SampleClock | None = None
        self._count = Unwrapper(parser.sequence_modulus)
        self._samples = self._connections = 0
        self._fit, self._meter = ClockFit(), RateMeter()

    def connected(self, host_ns: int) -> None:
        self._connections += 1
        self._say()

    def disconnected(self) -> None:
        """What came half does not go on after a return."""
        self._parser.cut()

    def cut(self) -> None:
        self._parser.cut()

    def feed(self, host_ns: int, data: bytes) -> None:
        rows = self._parser.feed(data)
        self._say()
        for piece in rows:
            if self.info is None:
                self._held.append((host_ns, piece))
            else:
                self._place(host_ns, piece)
        if self.info is None and self._held and host_ns - self._held[0][0] >= MEASURED_AFTER_NS:
            self._settle()

    def sent(self, host_ns: int, data: bytes) -> None:
        """Nothing depends on when it was sent."""

    def drain(self) -> list[ImuChunk]:
        chunks, self._chunks = self._chunks, []
        return chunks

    def finish(self) -> list[ImuChunk]:
        self._times.finish()
        return self.drain()

    def replies(self) -> list[bytes]:
        out, self._out = self._out, []
        return out

    def farewell(self) -> bytes:
        return self._parser.farewell()

    def report(self) -> dict[str, float]:
        """Counts in samples and bytes; measured rate and clock."""
        told: dict[str, float] = {"samples": self._samples}
        told |= {f"discarded_{reason}_bytes": count for reason, count in self._parser.discarded.items()}
        if self._sample_clock is not None:
            told |= {"rate_hz": self._sample_clock.rate_hz, "pauses": self._sample_clock.pauses}
            return told
        told |= {"restarts": self._times.clock.restarts, "clock_wraps": self._times.clock.wraps}
        if self._times.far_off:
            told["far_off"] = self._times.far_off
        if (rate_hz := self._meter.rate_hz) is not None:
            told["rate_hz"] = rate_hz
        if (reading := self._fit.reading()) is not None:
            told |= {"clock_drift_ppm": self._fit.drift_ppm, "clock_residual_ms": reading.residual_ns / 1e6}
        return told

    def notes(self) -> list[str]:
        told = list(self._parser.notes)
        if self._connections > 1:
            told.append(f"the port went and came back {self._connections - 1} times")
        if count := self._times.far_off:
            told.append(
                f"{count} samples were left out because their times were far from those around them: the wire damages what it carries"
            )
        return told

    def _say(self) -> None:
        if said := self._parser.reply():
            self._out.append(said)

    def _settle(self) -> None:
        """The first seconds tell the rate."""
        rate_hz = self._told_hz or self._parser.rate_hz or self._measured_hz()
        if rate_hz is None or not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
            count = sum(len(rows.samples) for _, rows in self._held)
            raise InputError(
                f"{self._port}: {count} samples in the first {MEASURED_AFTER_NS / NS_PER_S:.0f} s, a rate of {rate_hz or 0:.4g} Hz; expected "
                f"{MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} Hz. Set the board to send faster, or say its rate with --rate-hz."
            )
        self.info = SourceInfo(
            name=f"{self._port} ({self._parser.name})",
            rate_hz=rate_hz,
            units=self._parser.units,
            live=True,
            placement=self._placement,
        )
        held, self._held = self._held, []
        for host_ns, rows in held:
            self._place(host_ns, rows)

    def _measured_hz(self) -> float | None:
        counts = np.array([len(rows.samples) for _, rows in self._held])
        timed = [(host_ns, rows.t_ns, rows.samples) for host_ns, rows in self._held if rows.t_ns is not None]
        if timed:
            times = ToldTimes(self._parser.clock_wrap_ns)
            placed = [t_ns for piece in timed for _, t_ns, _ in times.place(*piece)]
            return estimate_rate_hz(np.concatenate(placed)) if placed else None
        # The first piece may have waited in a buffer: what came after it is measured.
        span_ns = self._held[-1][0] - self._held[0][0]
        return float(counts[1:].sum()) * NS_PER_S / span_ns if span_ns else None

    def _place(self, host_ns: int, rows: Rows) -> None:
        if not len(rows.samples):
            return
        if rows.t_ns is None:
            sequence = None if rows.sequence is None else self._count(rows.sequence)
            self._samples += len(rows.samples)
            self._chunks.append(ImuChunk(self._sampled_ns(host_ns, len(rows.samples)), rows.samples, host_ns, sequence))
            return
        # A device that tells times tells no numbers, in any format here.
        restarts = self._times.clock.restarts
        placed = self._times.place(host_ns, rows.t_ns, rows.samples)
        if self._times.clock.restarts > restarts:
            self._fit, self._meter = ClockFit(), RateMeter()
        for arrived_ns, t_ns, samples in placed:
            self._fit.observe(int(t_ns[-1]), arrived_ns)
            self._meter.observe(self._samples, int(t_ns[0]))
            self._samples += len(samples)
            self._chunks.append(ImuChunk(t_ns, samples, arrived_ns, None, self._fit.reading()))

    def _sampled_ns(self, host_ns: int, count: int) -> NDArray[np.int64]:
        if self._sample_clock is None:
            rate_hz = self.info.rate_hz if self.info is not None else 0.0
            self._sample_clock = SampleClock(rate_hz)
        return self._sample_clock.place(host_ns, count)
