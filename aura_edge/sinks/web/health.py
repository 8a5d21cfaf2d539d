"""How the sensor and the computing do: counts of the run so far, and what the last ten seconds of signal were like."""

from __future__ import annotations

from collections import deque
from typing import Any

from aura_edge.types import NS_PER_S, GridBlock, Summary

RECENT_S = 10.0


class Health:
    """Sees every block, takes each summary so far; `told` is what the page shows."""

    def __init__(self, rate_hz: float) -> None:
        self._rate_hz = rate_hz
        self.changes = 0
        """How often there was something new to tell."""
        self._recent: deque[tuple[int, int, int, int]] = (
            deque()
        )  # grid samples, inputs, clipped, interpolated of each block
        self._sums = [0, 0, 0, 0]
        self._end_ns: int | None = None
        self._gaps = self._resets = 0
        self._gap_s = 0.0
        self._clipped = self._inputs = 0
        self._summary: Summary | None = None

    def see(self, block: GridBlock) -> None:
        """The next block of the grid."""
        if block.starts_segment and self._end_ns is not None:
            missing_ns = block.t0_ns - self._end_ns
            self._gaps += missing_ns >= 0
            self._resets += missing_ns < 0
            self._gap_s += max(0, missing_ns) / NS_PER_S
        counts = (len(block.samples), int(block.inputs.sum()), int(block.clipped.sum()), int(block.interpolated.sum()))
        self._end_ns = block.t0_ns + round(counts[0] * NS_PER_S / self._rate_hz)
        self._inputs += counts[1]
        self._clipped += counts[2]
        self._recent.append(counts)
        self._sums = [a + b for a, b in zip(self._sums, counts, strict=True)]
        while self._sums[0] - self._recent[0][0] >= RECENT_S * self._rate_hz:
            self._sums = [a - b for a, b in zip(self._sums, self._recent.popleft(), strict=True)]

    def take(self, summary: Summary) -> None:
        """The run so far, once a second."""
        self._summary = summary
        self.changes += 1

    def told(self, dropped: int) -> dict[str, Any] | None:
        """For the page; None before the first summary."""
        if (summary := self._summary) is None:
            return None
        grid, inputs, clipped, interpolated = self._sums
        device = summary.device
        samples = {name: count for name, count in summary.samples.items() if count}
        return {
            "read": samples.get("read", 0),
            "refused": {name: n for name, n in samples.items() if name not in ("read", "used", "pending")},
            "lost": summary.lost,
            "gaps": self._gaps,
            "gap_s": self._gap_s,
            "resets": self._resets,
            "rate_hz": device.get("rate_hz", inputs * self._rate_hz / grid if grid else None),
            "clock_residual_ms": device.get("clock_residual_ms"),
            "clock_drift_ppm": device.get("clock_drift_ppm"),
            "saturation": clipped / inputs if inputs else 0.0,
            "saturated": self._clipped,
            "interpolated": interpolated / grid if grid else 0.0,
            "windows": summary.windows,
            "windows_skipped": summary.windows_skipped,
            "latency": {
                stage: {"p50_ms": times.p50_ms, "p99_ms": times.p99_ms}
                for stage, times in summary.latency.items()
                if times.count
            },
            "delay_ms": summary.delay_s * 1e3,
            "seconds": dict(summary.seconds),
            "notes": summary.notes,
            "not_drawn": dropped,
        }
