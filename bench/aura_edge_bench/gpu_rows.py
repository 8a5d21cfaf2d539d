"""One line of what `scripts/gpu` found, and how a line comes to be: what cannot be had is a line that says why, never the end of the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from aura_edge.errors import AuraEdgeError

Value = float | int | str | bool


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that was built, checked or timed; or why it was not."""

    section: str
    name: str
    values: dict[str, Value] = {}
    """Names end in their units: `p50_us`, `windows_per_s`."""
    samples_us: tuple[float, ...] = ()
    """Every repeat in order, where there were some."""
    unavailable: str | None = None


def attempt(section: str, name: str, work: Callable[[], Mapping[str, Any]]) -> Row:
    """The row that `work` gives values for (`samples_us` among them, if it has some), or the one that says why it could not."""
    try:
        found = dict(work())
    except AuraEdgeError as error:
        return Row(section, name, unavailable=str(error))
    except Exception as error:  # foreign libraries raise what they like, and the rows behind this one are still wanted
        return Row(section, name, unavailable=f"{type(error).__name__}: {' '.join(str(error).split())[:500]}")
    samples = tuple(float(each) for each in found.pop("samples_us", ()))
    return Row(section, name, found, samples)


def summary(samples_us: Sequence[float], **others: Value) -> dict[str, Any]:
    """Percentiles of repeats in microseconds, and the repeats. Raises `ValueError` where there are none."""
    if not len(samples_us):
        raise ValueError("nothing was timed")
    p10, p50, p90 = (float(each) for each in np.percentile(samples_us, [10, 50, 90]))
    return {"p10_us": p10, "p50_us": p50, "p90_us": p90, **others, "samples_us": samples_us}


def checked(error: float, tolerance: float) -> dict[str, Value]:
    """The worst difference from a reference; raises `ValueError` where it is too large, or no number."""
    if not error <= tolerance:
        raise ValueError(f"differs from float64 by {error:.3g}, accepted is {tolerance:.3g}")
    return {"max_abs_error": error, "tolerance": tolerance}
