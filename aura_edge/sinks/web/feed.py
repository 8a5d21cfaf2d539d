"""What the page shows, in fixed memory: the pipeline's thread appends, the server's thread takes it up and cuts a frame for each browser.

A frame is one binary message: the length of its header (uint32, little-endian), the header in JSON, padded with spaces to a multiple of
four bytes, and the samples it brings, float32 (n, 6). The header has only what the browser has not seen:

    facts       what is known from the start: title, rate_hz, channels, model card
    signal      {first, runs: [[index, t_s], ...]}: number of the first sample; from which sample on the time counts from t_s
    prediction  the last window: label, score, state, top, t_s, latency_ms, clock_residual_ms, digests
    spells      [{id, label, state, t_s, host_ms, score, duration_s}]: begun or ended; duration_s is null while one goes on
    health      counts and measures of the run so far
    labels      {labels, digest}: the set as last edited
    ended       true when the stream has ended

Times are seconds since the first sample by the device's clock; where that is set back, they go on a second later.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aura_edge.prototypes import Prototypes
from aura_edge.sinks.web.health import Health
from aura_edge.types import CHANNELS, NS_PER_S, Event, GridBlock, Prediction, Summary

KEPT_S = 60.0
"""So much signal a browser gets when it comes."""
MOST_SAMPLES = 2400
"""The most in one frame after that: of a recording played faster than anybody can look, the newest."""
SPELLS = 300
BLOCKS, ITEMS = 512, 2048
"""What waits for the server at most; beyond it the oldest are dropped, and counted."""


@dataclass(slots=True)
class Cursor:
    """How far one browser has been told."""

    sample: int | None = None
    prediction: int = 0
    spell: int = 0
    health: int = 0
    labels: str = ""
    told_facts: bool = False
    told_end: bool = False


class Feed:
    """`push`, `push_block` and `push_progress` belong to the pipeline's thread and only append; all else is the server's."""

    def __init__(self, facts: Mapping[str, Any], *, rate_hz: float, labels: Callable[[], Prototypes] | None) -> None:
        """`labels` tells the set as last edited; None where nobody may edit."""
        self._facts = {**facts, "rate_hz": rate_hz, "channels": CHANNELS, "editable": labels is not None}
        self._rate_hz, self._labels = rate_hz, labels
        self._items: deque[Prediction | Event | Summary] = deque(maxlen=ITEMS)
        self._blocks: deque[GridBlock] = deque(maxlen=BLOCKS)
        self._progress: deque[Summary] = deque(maxlen=1)
        self.dropped = 0
        """Samples and items that the server did not take in time."""
        self._ring = np.zeros((round(KEPT_S * rate_hz), len(CHANNELS)), np.float32)
        self._taken = 0  # samples so far: the next one's number
        self._runs: deque[tuple[int, float]] = deque()
        self._origin_ns: int | None = None
        self._shift_ns = 0
        self._next_ns = 0  # device time, shifted, of the next sample of this segment
        self._prediction: dict[str, Any] | None = None
        self._predicted = 0
        self._spells: deque[dict[str, Any]] = deque(maxlen=SPELLS)
        self._spell_changes = 0
        self._spell_ids = count(1)
        self._health = Health(rate_hz)
        self._ended = False

    # ---- the pipeline's thread ----

    def push(self, item: Prediction | Event | Summary) -> None:
        self.dropped += len(self._items) == ITEMS
        self._items.append(item)

    def push_block(self, block: GridBlock) -> None:
        if len(self._blocks) == BLOCKS:
            self.dropped += len(block.samples)  # the oldest is as long: blocks come at one pace
        self._blocks.append(block)

    def push_progress(self, summary: Summary) -> None:
        self._progress.append(summary)

    # ---- the server's ----

    def take(self) -> None:
        """Take up what has come."""
        for _ in range(len(self._blocks)):
            self._take_block(self._blocks.popleft())
        for _ in range(len(self._items)):
            self._take_item(self._items.popleft())
        if self._progress:
            self._health.take(self._progress.popleft())

    def frame(self, cursor: Cursor) -> bytes | None:
        """What this browser has not seen, or None; the cursor moves on."""
        header: dict[str, Any] = {}
        samples = self._signal(cursor, header)
        if not cursor.told_facts:
            header["facts"], cursor.told_facts = self._facts, True
        if self._prediction is not None and cursor.prediction < self._predicted:
            header["prediction"], cursor.prediction = self._prediction, self._predicted
        if cursor.spell < self._spell_changes:
            header["spells"] = [_told(spell) for spell in self._spells if spell["change"] > cursor.spell]
            cursor.spell = self._spell_changes
        if cursor.health < self._health.changes:
            header["health"], cursor.health = self._health.told(self.dropped), self._health.changes
        if self._labels is not None and (known := self._labels()).digest != cursor.labels:
            header["labels"] = {"labels": known.labels, "digest": known.digest}
            cursor.labels = known.digest
        if self._ended and not cursor.told_end:
            header["ended"] = cursor.told_end = True
        if not header:
            return None
        text = msgspec.json.encode(header)
        text += b" " * (-len(text) % 4)
        return struct.pack("<I", len(text)) + text + samples.tobytes()

    def _signal(self, cursor: Cursor, header: dict[str, Any]) -> NDArray[np.float32]:
        size = len(self._ring)
        oldest = max(0, self._taken - size)
        if cursor.sample is None:
            cursor.sample = oldest
        elif self._taken - cursor.sample > MOST_SAMPLES:
            cursor.sample = self._taken - MOST_SAMPLES
        first, cursor.sample = max(cursor.sample, oldest), self._taken
        if first == self._taken:
            return self._ring[:0]
        runs = [(max(start, first), t_s + max(0, first - start) / self._rate_hz) for start, t_s in self._runs]
        starts = [row for row, (start, _) in enumerate(self._runs) if start <= first]
        header["signal"] = {"first": first, "runs": runs[starts[-1] if starts else 0 :]}
        return self._ring[np.arange(first, self._taken) % size]

    def _take_block(self, block: GridBlock) -> None:
        length = len(block.samples)
        if block.starts_segment or not self._runs or abs(block.t0_ns + self._shift_ns - self._next_ns) > NS_PER_S // 2:
            self._start_run(block.t0_ns)
        rows = np.arange(self._taken, self._taken + length) % len(self._ring)
        self._ring[rows] = block.samples
        self._taken += length
        self._next_ns = block.t0_ns + self._shift_ns + round(length * NS_PER_S / self._rate_hz)
        while len(self._runs) > 1 and self._runs[1][0] <= self._taken - len(self._ring):
            self._runs.popleft()
        self._health.see(block)

    def _start_run(self, t0_ns: int) -> None:
        if self._origin_ns is None:
            self._origin_ns = t0_ns
        elif t0_ns + self._shift_ns < self._next_ns:
            self._shift_ns = self._next_ns + NS_PER_S - t0_ns  # the device's clock was set back
        self._runs.append((self._taken, self._seconds(t0_ns)))

    def _seconds(self, t_ns: int) -> float:
        if self._origin_ns is None:
            self._origin_ns = t_ns
        return (t_ns + self._shift_ns - self._origin_ns) / NS_PER_S

    def _take_item(self, item: Prediction | Event | Summary) -> None:
        if isinstance(item, Prediction):
            self._predicted += 1
            self._prediction = {
                "label": item.label,
                "score": item.score,
                "state": item.state,
                "top": item.top,
                "t_s": self._seconds(item.t1_ns),
                "host_ms": item.host_ns // 1_000_000,
                "latency_ms": dict(item.latency_ms),
                "clock_residual_ms": item.clock_residual_ms,
                "model": item.model,
                "prototypes": item.prototypes,
                "windows": self._predicted,
            }
        elif isinstance(item, Event):
            self._take_event(item)
        else:
            self._ended = True
            self._health.take(item)

    def _take_event(self, event: Event) -> None:
        self._spell_changes += 1
        told = {"change": self._spell_changes, "score": event.score}
        if event.kind == "start":
            start = {"id": next(self._spell_ids), "label": event.label, "state": event.state, "duration_s": None}
            self._spells.append(
                {**start, **told, "t_s": self._seconds(event.t_ns), "host_ms": event.host_ns // 1_000_000}
            )
        elif self._spells and self._spells[-1]["duration_s"] is None:
            self._spells[-1] |= {**told, "duration_s": event.duration_s}


def _told(spell: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in spell.items() if key != "change"}


def samples_of(frame: bytes) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """A frame as a browser reads it: header, and samples (n, 6). For tests, and for readers in Python."""
    (length,) = struct.unpack_from("<I", frame)
    header: dict[str, Any] = msgspec.json.decode(frame[4 : 4 + length])
    return header, np.frombuffer(frame, np.float32, offset=4 + length).reshape(-1, len(CHANNELS))
