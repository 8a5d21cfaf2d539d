"""Pictures of an evaluation as SVG that takes its colours from the page it stands in: a confusion matrix, and embeddings as points.

Drawn here and not by a plotting library: the text stays text, every cell and every group of points says what it is when pointed at, and a
dark page gets a dark picture. The page defines `--right`, `--wrong`, `--line`, `--paper` and the text's colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from aura_edge_train.evaluation.metrics import Score
from aura_edge_train.evaluation.projections import Projection

LONGEST_NAME = 56
FEW_LABELS = 12
SIDE = 640
"""Of the picture of points."""


def confusion_picture(score: Score) -> str:
    """Rows: what it was, columns: what was answered, both numbered; in a cell the percent of its row. Labels without windows are faint."""
    counts = np.array(score.confusion)
    windows = counts.sum(1)
    shares = counts / np.maximum(windows, 1)[:, None]
    labels, few = len(score.labels), len(score.labels) <= FEW_LABELS
    cell, lowest, letters = (46, 0.005, 13) if few else (24, 0.045, 10)
    name_width = round(6.7 * min(LONGEST_NAME, max(map(len, score.labels)))) + 34
    left, top, wide = name_width + 6, 26, cell * labels
    parts = [
        f'<svg class="confusion" role="img" aria-label="confusion matrix of {labels} labels" '
        f'viewBox="0 0 {left + wide + 64} {top + wide + 8}" width="{left + wide + 64}" xmlns="http://www.w3.org/2000/svg">',
        f'<rect x="{left}" y="{top}" width="{wide}" height="{wide}" fill="none" stroke="var(--line)"/>',
        f'<text class="faint" x="{left + wide + 56}" y="{top - 9}" text-anchor="end">windows</text>',
    ]
    for place, label in enumerate(score.labels):
        at = top + place * cell + cell / 2
        faint = "" if windows[place] else ' class="faint"'
        parts += [
            f'<g{faint}><title>{escape(label)}</title><text x="{name_width - 26}" y="{at:g}" dy=".35em" text-anchor="end">'
            f'{escape(_short(label))}</text><text class="number" x="{name_width}" y="{at:g}" dy=".35em" text-anchor="end">{place + 1}</text></g>',
            f'<text class="number" x="{left + place * cell + cell / 2:g}" y="{top - 9}" text-anchor="middle">{place + 1}</text>',
            f'<text class="faint" x="{left + wide + 56}" y="{at:g}" dy=".35em" text-anchor="end">{windows[place]:,}</text>',
        ]
        if place:
            parts.append(
                f'<path d="M{left} {top + place * cell}h{wide}M{left + place * cell} {top}v{wide}" stroke="var(--line)" stroke-opacity=".45"/>'
            )
    for row, column in np.argwhere(counts > 0).tolist():
        share = float(shares[row, column])
        x, y, strength = left + column * cell, top + row * cell, 0.04 + 0.96 * share**0.8
        colour = "right" if row == column else "wrong"
        parts.append(
            f"<g><title>{escape(score.labels[row])}: {counts[row, column]:,} of {windows[row]:,} answered {escape(score.labels[column])}</title>"
            f'<rect x="{x + 1}" y="{y + 1}" width="{cell - 2}" height="{cell - 2}" rx="2" fill="var(--{colour})" fill-opacity="{strength:.2f}"/>'
        )
        if share >= lowest:
            shade = "on" if strength > 0.6 else "off"
            parts.append(
                f'<text class="{shade}" x="{x + cell / 2:g}" y="{y + cell / 2:g}" dy=".35em" text-anchor="middle" '
                f'font-size="{letters}">{100 * share:.0f}</text>'
            )
        parts.append("</g>")
    return "".join([*parts, "</svg>"])


def points_picture(projection: Projection, labels: Sequence[str]) -> str:
    """Points in the colour of their label, its number in the midst of them, and a list of what the numbers are."""
    margin, present = 16, np.unique(projection.labels)
    scaled = margin + projection.points * (SIDE - 2 * margin)
    hues = {int(label): _hue(place, len(present)) for place, label in enumerate(present)}
    middles = np.array([_middle(scaled[projection.labels == label]) for label in present])
    parts = [
        f'<svg class="points" role="img" aria-label="embeddings in two dimensions by {projection.method}" viewBox="0 0 {SIDE} {SIDE}" '
        f'width="{SIDE}" xmlns="http://www.w3.org/2000/svg"><rect width="{SIDE}" height="{SIDE}" rx="8" fill="none" stroke="var(--line)"/>'
    ]
    for label in present.tolist():
        dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>' for x, y in scaled[projection.labels == label])
        parts.append(f'<g fill="{hues[label]}" fill-opacity=".7"><title>{escape(labels[label])}</title>{dots}</g>')
    for label, (x, y) in zip(present.tolist(), _apart(middles), strict=True):
        parts.append(
            f'<g class="tag"><title>{escape(labels[label])}</title><circle cx="{x:.1f}" cy="{y:.1f}" r="10" fill="var(--paper)" '
            f'stroke="{hues[label]}" stroke-width="2"/><text x="{x:.1f}" y="{y:.1f}" dy=".35em" text-anchor="middle" font-size="11">'
            f"{label + 1}</text></g>"
        )
    legend = "".join(
        f'<li><i style="background:{hues[label]}"></i><b>{label + 1}</b> {escape(labels[label])}</li>'
        for label in present.tolist()
    )
    return "".join([*parts, f'</svg><ol class="legend">{legend}</ol>'])


def _short(label: str) -> str:
    return label if len(label) <= LONGEST_NAME else label[: LONGEST_NAME - 1].rstrip() + "…"


def _hue(place: int, count: int) -> str:
    """Colours around the circle; neighbours in the list differ in lightness as well."""
    return f"hsl({360 * place / count:.0f} 68% {(46, 58, 52)[place % 3]}%)"


def _middle(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The point with the smallest sum of distances to the others: in the midst of them even where they lie in two heaps."""
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    middle: NDArray[np.float64] = points[apart.sum(1).argmin()]
    return middle


def _apart(places: NDArray[np.float64], distance: float = 21.0, rounds: int = 200) -> NDArray[np.float64]:
    """Push tags that cover each other away from each other, step by step, and keep them inside."""
    moved = places + 1e-3 * np.arange(len(places))[:, None]
    for _ in range(rounds):
        between = moved[:, None] - moved[None]
        length = np.linalg.norm(between, axis=2)
        np.fill_diagonal(length, np.inf)
        push = np.maximum(distance - length, 0) / 2
        if not push.any():
            break
        moved = np.clip(moved + (between / length[..., None] * push[..., None]).sum(1), 12, SIDE - 12)
    return moved
