"""Recordings in our own plain form: `t_ns` int64 (N,) and `imu` (N, 6) in one `.npz`, with `units`, `rate_hz` and `labels` where wanted.

The unit of the readings is m/s2 and rad/s unless `units` says otherwise, as in `numpy.savez(path, t_ns=t_ns, imu=imu, units="g, deg/s")`.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import InputError
from aura_edge.sources.columns import settle_units
from aura_edge.sources.files import open_binary, reading
from aura_edge.sources.formats import Block, RecordingFormat
from aura_edge.sources.timeline import HEAD_ROWS, rate_of_head, settle_rate
from aura_edge.sources.units import SI, parse_units, to_si
from aura_edge.types import SourceInfo


class NpzRecording:
    """An `.npz`; its arrays stay in memory as they are in the file, and are converted a block at a time."""

    def __init__(self, path: Path, form: RecordingFormat) -> None:
        arrays = _load(path)
        self._t_ns, self._imu, self._labels = _checked(path, arrays)
        stated = parse_units(str(arrays["units"])) if "units" in arrays else SI
        self._units, notes = settle_units(path, form, stated, timed=False)
        if "units" not in arrays and form.units is None:
            notes = ("names no units: read as m/s2 and rad/s", *notes)
        head = next(self.blocks())
        readable = np.ones(len(head.t_ns), np.bool_)
        shown_hz = rate_of_head(path, head.t_ns[:HEAD_ROWS], readable[:HEAD_ROWS], head.samples[:HEAD_ROWS])
        stated_hz = float(arrays["rate_hz"]) if "rate_hz" in arrays else None
        rate_hz, rate_notes = settle_rate(path, shown_hz, form.rate_hz or stated_hz)
        self.info = SourceInfo(name=str(path), rate_hz=rate_hz, units=str(self._units), notes=(*notes, *rate_notes))

    def blocks(self, *, labels: bool = False) -> Iterator[Block]:
        """All rows, some thousands at a time."""
        for start in range(0, len(self._t_ns), HEAD_ROWS):
            rows = slice(start, start + HEAD_ROWS)
            named = self._labels[rows] if labels and self._labels is not None else None
            yield Block(self._t_ns[rows], to_si(self._imu[rows], self._units), named)


def _load(path: Path) -> dict[str, NDArray[Any]]:
    with open_binary(path) as file, reading(path):
        try:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("a single array, no archive")
            with archive:
                return {
                    name: archive[name] for name in ("t_ns", "imu", "units", "rate_hz", "labels") if name in archive
                }
        except (ValueError, EOFError, KeyError, OSError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
            raise InputError(
                f"{path}: not a readable .npz archive ({error}). Expected one that numpy.savez wrote, with t_ns and imu."
            ) from error


def _checked(
    path: Path, arrays: dict[str, NDArray[Any]]
) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[np.str_] | None]:
    missing = [name for name in ("t_ns", "imu") if name not in arrays]
    if missing:
        raise InputError(
            f"{path}: no array {' and '.join(missing)} in it. Expected t_ns int64 (N,) and imu float32 (N, 6)."
        )
    t_ns, imu, labels = arrays["t_ns"], arrays["imu"], arrays.get("labels")
    if t_ns.ndim != 1 or imu.shape != (len(t_ns), 6) or not len(t_ns):
        raise InputError(
            f"{path}: t_ns has shape {t_ns.shape} and imu {imu.shape}; expected (N,) and (N, 6), not empty."
        )
    if not np.issubdtype(t_ns.dtype, np.integer) or (t_ns.dtype == np.uint64 and t_ns.max() > np.iinfo(np.int64).max):
        raise InputError(f"{path}: t_ns is {t_ns.dtype} and must fit int64: nanoseconds. Save it as numpy.int64.")
    if not (np.issubdtype(imu.dtype, np.floating) or np.issubdtype(imu.dtype, np.integer)):
        raise InputError(f"{path}: imu is {imu.dtype}, expected numbers. Save it as numpy.float32.")
    if labels is not None and labels.shape != t_ns.shape:
        raise InputError(f"{path}: labels has shape {labels.shape}, expected one for each of {len(t_ns)} samples.")
    return t_ns.astype(np.int64, copy=False), imu, None if labels is None else labels.astype(np.str_)
