"""What was found, as a page with the signal of each hit: one file, without scripts and without anything from a network."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from html import escape

import msgspec
import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import AuraEdgeError
from aura_edge.html_page import document
from aura_edge.motion_search.index import RecordingEntry
from aura_edge.motion_search.ranges import Range
from aura_edge.sources import open_source
from aura_edge.types import NS_PER_S

LONGEST_DRAWN_S = 60.0
"""Of a longer range, its beginning is drawn."""
COLUMNS = 600
"""Of many samples, the smallest and largest in each column are drawn: no peak gets lost."""
_WIDTH, _HEIGHT = 900.0, 150.0
_COLOURS = ("#d55e00", "#009e73", "#0072b2")
_CSS = """
:root { color-scheme: light dark; --ink: #1c1c1c; --faint: #767676; --line: #dddddd; --paper: #ffffff }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --faint: #9a9a9a; --line: #3a3a3a; --paper: #161616 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem } h2 { font-size: 1.05rem; margin: 2rem 0 0 } p { margin: .2rem 0 } .faint { color: var(--faint) }
svg { width: 100%; height: auto; display: block } svg text { fill: var(--faint); font: 12px system-ui, sans-serif }
svg text { paint-order: stroke; stroke: var(--paper); stroke-width: 3px }
svg path { fill: none; stroke-width: 1 } svg line { stroke: var(--line) }
"""


def page(asked: str, found: Sequence[Range], recordings: Mapping[str, RecordingEntry]) -> str:
    """The ranges that were found, best first, with their signal as the recording has it now."""
    parts = [
        f"<h1>{escape(asked)}</h1><p class=faint>{len(found)} found; the score is the cosine of the best window.</p>"
    ]
    for rank, one in enumerate(found, 1):
        clock = "" if one.clock is None else f", {one.clock:%Y-%m-%d %H:%M:%S} UTC"
        parts.append(
            f"<h2>{rank}. {escape(one.recording)}</h2><p>{position(one.start_s)} to {position(one.end_s)}{clock}, score {one.score:.3f}</p>"
            f"<p class=faint>{escape(one.path)}</p>"
        )
        try:
            t_s, samples = signal_of(one, msgspec.json.decode(recordings[one.digest].options))
        except AuraEdgeError as error:
            parts.append(f"<p>Cannot be drawn: {escape(str(error))}</p>")
            continue
        parts.append(
            picture("acceleration, m/s²", t_s, samples[:, :3]) + picture("angular rate, rad/s", t_s, samples[:, 3:])
        )
    return document(asked, _CSS, "".join(parts))


def position(seconds: float) -> str:
    """A place in a recording: `0:01:02.5`."""
    tenths = round(seconds * 10)
    return f"{timedelta(seconds=tenths // 10)}.{tenths % 10}"


def signal_of(found: Range, options: Mapping[str, object]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """(N,) seconds into the range and (N, 6) samples as recorded. Raises what opening the recording raises."""
    end_ns = min(found.t1_ns, found.t0_ns + round(LONGEST_DRAWN_S * NS_PER_S))
    times, samples = [np.zeros(0, np.int64)], [np.zeros((0, 6), np.float32)]
    with closing(open_source(os.fspath(found.path), speed="max", **options)) as source:
        for chunk in source:
            inside = (chunk.t_ns >= found.t0_ns) & (chunk.t_ns < end_ns) & np.isfinite(chunk.samples).all(axis=1)
            times.append(chunk.t_ns[inside])
            samples.append(chunk.samples[inside])
    return (np.concatenate(times) - found.t0_ns) / NS_PER_S, np.concatenate(samples)


def picture(title: str, t_s: NDArray[np.float64], samples: NDArray[np.float32]) -> str:
    """(N, 3) samples as three lines in SVG."""
    axes = "".join(
        f'<tspan dx="8" style="fill:{colour}">{axis}</tspan>' for axis, colour in zip("xyz", _COLOURS, strict=True)
    )
    label = f'<text x="4" y="14">{escape(title)}{axes}</text>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {_HEIGHT + 18:g}" role="img">{label}'
    if not len(t_s):
        return f'{head}<text x="4" y="40">no samples</text></svg>'
    low, high, length_s = float(samples.min()), float(samples.max()), max(float(t_s.max()), 1e-9)
    scale = (_HEIGHT - 24) / max(high - low, 1e-9)
    marks = []
    for share in (0.0, 0.5, 1.0):
        anchor = ("start", "middle", "end")[round(share * 2)]
        marks.append(
            f'<text x="{share * _WIDTH:g}" y="{_HEIGHT + 12:g}" text-anchor="{anchor}">{share * length_s:.1f} s</text>'
        )
    for value in (low, high):
        y = _HEIGHT - 4 - (value - low) * scale
        marks.append(
            f'<line x1="0" x2="{_WIDTH:g}" y1="{y:.1f}" y2="{y:.1f}"/><text x="{_WIDTH:g}" y="{y - 2:.1f}" text-anchor="end">{value:.1f}</text>'
        )
    lines = []
    for axis, colour in enumerate(_COLOURS):
        rows = _peaks(t_s, samples[:, axis], length_s)
        points = " ".join(
            f"{t_s[i] / length_s * _WIDTH:.1f} {_HEIGHT - 4 - (samples[i, axis] - low) * scale:.1f}" for i in rows
        )
        lines.append(f'<path stroke="{colour}" d="M{points}"><title>{"xyz"[axis]}</title></path>')
    return f"{head}{''.join(lines)}{''.join(marks)}</svg>"


def _peaks(t_s: NDArray[np.float64], values: NDArray[np.float32], length_s: float) -> list[int]:
    """Rows to draw: all of few, else the smallest and largest of each column."""
    if len(values) <= 2 * COLUMNS:
        return list(range(len(values)))
    column = np.minimum((t_s / length_s * COLUMNS).astype(int), COLUMNS - 1)
    order = np.lexsort((values, column))
    edges = np.flatnonzero(np.diff(column[order], prepend=-1, append=COLUMNS))
    return sorted({int(order[i]) for i in edges[:-1]} | {int(order[i - 1]) for i in edges[1:]})
