"""JSON lines: one object a line, for programs, logs and `jq`.

Every object starts with `schema` (1) and `type`, and is written whole and flushed before the stream goes on. Times are integers in
nanoseconds (`*_ns`: device clock, `host_ns`: Unix time), probabilities 0 to 1, and a number that is not finite is null.

    prediction  one per window
        t0_ns, t1_ns        device time of the window's start and end
        label, score        the label in force and its smoothed probability
        state               activity | unknown | still
        top                 [[label, probability], ...] of this very window, best first; [] when still
        latency_ms          {stage: ms}: resample, window, encode, classify, and total from arrival to label
        interpolated        fraction of the window that bridges holes
        model, prototypes   digests of what gave the answer
        host_ns, clipped    when its last sample arrived; fraction of its samples at full scale
        host_t1_ns, clock_residual_ms   host time of t1_ns by the fitted clock of a live device, and how well it fits; null elsewhere
    event       a label that starts or ends
        kind (start | end), label, state, t_ns, host_ns, score, duration_s (null at a start)
    summary     the last line
        source, engine, windows, windows_skipped, seconds {label: s}, samples {read, used, and each reason: n; read is the sum of all
        others}, lost, interpolated, latency {stage: {p50_ms, p99_ms, count}}, delay_s, interrupted,
        notes, device {name: number}: what a live source says of its wire and clock

With `?timing=no` behind the path, what a clock of this computer measured of the computing (`latency_ms`, `latency`) is left out: two runs over the
same recording are then the same bytes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import fields
from typing import Any, BinaryIO

import msgspec
import numpy as np

from aura_edge.errors import SinkError
from aura_edge.types import Event, Prediction, Summary

SCHEMA = 1
_KEYS = {
    Prediction: ("prediction", [field.name for field in fields(Prediction)]),
    Event: ("event", [field.name for field in fields(Event)]),
    Summary: ("summary", [field.name for field in fields(Summary)]),
}


def encoded(item: Prediction | Event | Summary, left_out: Collection[str] = ()) -> bytes:
    """One item as a JSON object, without a line end; keys of `left_out` are not in it."""
    kind, keys = _KEYS[type(item)]
    told = {"schema": SCHEMA, "type": kind} | {key: getattr(item, key) for key in keys if key not in left_out}
    return _ENCODER.encode(told)


class JsonlSink:
    """Writes to the file `target`, replacing what was there, or to standard output for `-`."""

    def __init__(self, target: str | os.PathLike[str], *, timing: bool = True) -> None:
        """Without `timing`, no compute time is written."""
        self._left_out = () if timing else ("latency_ms", "latency")
        self._name = "standard output" if target == "-" else os.fspath(target)
        self._owned = target != "-"
        self._stream: BinaryIO | None
        if not self._owned and sys.stdout is None:
            raise SinkError("standard output is closed. Open it, or write to a file with --sink jsonl:PATH.")
        try:
            # The file stays open from call to call; close() ends it.
            self._stream = open(target, "wb") if self._owned else sys.stdout.buffer  # noqa: SIM115
        except OSError as error:
            raise SinkError(
                f"{self._name}: cannot be opened for writing: {error.strerror}. {_remedy(error)}"
            ) from error

    def emit(self, item: Prediction | Event | Summary) -> None:
        """Write one line, whole, and flush it. Raises `SinkError` where that fails; nothing more is written after that."""
        if self._stream is None:
            raise SinkError(f"{self._name}: written to after it was closed. Open the sink again.")
        line = encoded(item, self._left_out) + b"\n"
        try:
            self._stream.write(line)
            self._stream.flush()
        except OSError as error:
            with suppress(OSError):  # the buffer tries the line that did not fit once more
                self._release()
            raise SinkError(f"{self._name}: cannot be written: {error.strerror}. {_remedy(error)}") from error

    def close(self) -> None:
        """Close the file; standard output stays open."""
        try:
            self._release()
        except OSError as error:
            raise SinkError(f"{self._name}: cannot be completed: {error.strerror}. {_remedy(error)}") from error

    def _release(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None and self._owned:
            stream.close()


def _plain(value: Any) -> Any:
    """What an engine or classifier of one's own may well hand over beside plain Python values."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)


def _remedy(error: OSError) -> str:
    if isinstance(error, BrokenPipeError):
        return "Whoever read it has gone."
    if isinstance(error, FileNotFoundError):
        return "Make the folder first, or choose another path."
    if isinstance(error, IsADirectoryError):
        return "Name a file, not a folder."
    if isinstance(error, PermissionError):
        return "Choose a place you may write to."
    return "Free some space or choose another place."
