"""Hits that belong together: neighbouring windows of one recording are one range of time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone

import msgspec

from aura_edge.motion_search.index import Hit, RecordingEntry
from aura_edge.types import NS_PER_S


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stretch of a recording that was found."""

    score: float
    """Cosine of its best window, -1 to 1."""
    recording: str
    """Its file's name."""
    path: str
    digest: str
    start_s: float
    """From the first window of the recording, in device time."""
    end_s: float
    t0_ns: int
    t1_ns: int
    clock: datetime | None
    """When it began, where the recording tells; UTC."""
    windows: int


def merged(
    hits: Iterable[Hit], recordings: Mapping[str, RecordingEntry], limit: int, *, background: float = -1.0
) -> list[Range]:
    """The best `limit` ranges. A range grows from its best window to both sides over hits that touch, as long as they stand above
    `background`, the score of any window, at least half as far as the best one does; what overlaps a range and is weaker is left out."""
    # Windows of a recording that another process is adding just now are not in the index yet.
    ordered = sorted((hit for hit in hits if hit.digest in recordings), key=lambda hit: (hit.digest, hit.t0_ns))
    taken = [False] * len(ordered)
    found = []
    for peak in sorted(range(len(ordered)), key=lambda i: (-ordered[i].score, i)):
        if taken[peak]:
            continue
        floor = background + (ordered[peak].score - background) / 2
        ends = []
        for step in (-1, 1):
            at = peak
            while 0 <= at + step < len(ordered) and _touch(ordered[at], ordered[at + step]) and not taken[at + step]:
                taken[at + step] = True
                if ordered[at + step].score < floor:
                    break
                at += step
            ends.append(at)
        taken[peak] = True
        found.append(_range(ordered[ends[0] : ends[1] + 1], recordings[ordered[peak].digest]))
        if len(found) == limit:
            break
    return sorted(found, key=lambda one: (-one.score, one.path, one.t0_ns))


def _touch(one: Hit, other: Hit) -> bool:
    return one.digest == other.digest and one.t0_ns <= other.t1_ns and other.t0_ns <= one.t1_ns


def _range(group: list[Hit], entry: RecordingEntry) -> Range:
    t0_ns, t1_ns = group[0].t0_ns, max(hit.t1_ns for hit in group)
    clock_ns = group[0].clock_ns
    return Range(
        score=max(hit.score for hit in group),
        recording=entry.name,
        path=entry.path,
        digest=entry.digest,
        start_s=(t0_ns - entry.began_ns) / NS_PER_S,
        end_s=(t1_ns - entry.began_ns) / NS_PER_S,
        t0_ns=t0_ns,
        t1_ns=t1_ns,
        clock=None if clock_ns < 0 else datetime.fromtimestamp(clock_ns // 1_000_000 / 1000, timezone.utc),
        windows=len(group),
    )
