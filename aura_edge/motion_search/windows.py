"""A recording as window embeddings: the same resampler, windows and encoder as the stream."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from aura_edge.classify import Classifier
from aura_edge.engines import Engine
from aura_edge.errors import InputError
from aura_edge.manifest import Manifest
from aura_edge.resample import Resampler
from aura_edge.sources import open_source
from aura_edge.types import NS_PER_S, ClockReading, Window
from aura_edge.window import Windower

ENDINGS = (".aurec", ".csv", ".mat", ".npz", ".parquet", ".tsv", ".txt", ".vrs")
"""What is taken for a recording in a folder; a file that is named is opened whatever its ending."""
BATCH = 32
_UNIX_NS = (946_684_800 * NS_PER_S, 4_102_444_800 * NS_PER_S)
"""Device times between the years 2000 and 2100 are taken for Unix time."""


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """All windows of one recording that move."""

    digest: str
    """sha256 of the file and of how it is read."""
    path: str
    name: str
    options: str
    """How it is read, as JSON: `{"units": "g, deg/s"}`."""
    began_ns: int
    """Device time of the first window."""
    covered_s: float
    """Device time that its windows cover."""
    still: int
    """Windows at rest, which say nothing of a motion and are not kept."""
    t0_ns: NDArray[np.int64]
    """(N,) device time of each window's start."""
    t1_ns: NDArray[np.int64]
    clock_ns: NDArray[np.int64]
    """(N,) Unix time of its start; -1 where the recording does not tell."""
    vectors: NDArray[np.float32]
    """(N, D), unit norm."""


def find(paths: list[Path]) -> list[Path]:
    """Files, and the recordings in folders, each once, in order of their names. Raises `InputError` for what is not there."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(one for one in path.rglob("*") if one.suffix.lower() in ENDINGS and one.is_file())
            if not inside:
                raise InputError(f"{path}: holds no recording ({', '.join(ENDINGS)}). Name files, or another folder.")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise InputError(f"{path}: no such file or folder.")
    return list(dict.fromkeys(found))


def digest_of(path: Path, options: Mapping[str, object]) -> str:
    """sha256 over the content and how it is read: the same recording under another name is the same."""
    digest = hashlib.sha256(options_text(options).encode())
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.") from error
    return digest.hexdigest()


def options_text(options: Mapping[str, object]) -> str:
    """Options that say something, as JSON."""
    return msgspec.json.encode({key: options[key] for key in sorted(options) if options[key] is not None}).decode()


def windows_of(
    path: str | os.PathLike[str], options: Mapping[str, object], manifest: Manifest, hop_s: float
) -> Iterator[tuple[Window, ClockReading | None]]:
    """Every window of a recording, with how its device's clock stood to the host's where that was recorded. Raises `InputError`."""
    with closing(open_source(path, speed="max", **options)) as source:
        info, signal = source.info, manifest.signal
        if signal.gravity_included and not info.gravity_included:
            raise InputError(
                f"{info.name}: gravity was taken out of its acceleration, and {manifest.name} was trained with it."
            )
        resampler = Resampler(
            info.rate_hz, signal.rate_hz, acc_range_m_s2=info.acc_range_m_s2, gyro_range_rad_s=info.gyro_range_rad_s
        )
        windower = Windower(rate_hz=signal.rate_hz, window_s=signal.window_s, hop_s=hop_s)
        clock: ClockReading | None = None
        for chunk in source:
            clock = chunk.clock
            for block in resampler.push(chunk):
                for window in windower.push(block):
                    yield window, clock
        for block in resampler.finish():
            for window in windower.push(block):
                yield window, clock


def embed(path: Path, options: Mapping[str, object], manifest: Manifest, engine: Engine, hop_s: float) -> Embedded:
    """All windows of the recording at `path` that move, embedded. Raises `InputError`, also for one without a whole window."""
    resting = Classifier(manifest.decision, ["any"])
    digest = digest_of(path, options)
    times: list[tuple[int, int, int]] = []
    vectors: list[NDArray[np.float32]] = []
    pending: list[NDArray[np.float32]] = []
    still, began_ns, covered_ns, last = 0, None, 0, None
    for window, clock in windows_of(path, options, manifest, hop_s):
        began_ns = window.t0_ns if began_ns is None else began_ns
        continues = last is not None and last.t0_ns < window.t0_ns <= last.t1_ns
        covered_ns += window.t1_ns - (last.t1_ns if continues and last is not None else window.t0_ns)
        last = window
        if resting.is_still(window):
            still += 1
            continue
        times.append((window.t0_ns, window.t1_ns, _clock_ns(window.t0_ns, clock)))
        pending.append(window.samples)
        if len(pending) == BATCH:
            vectors.append(engine.embed(np.stack(pending)))
            pending.clear()
    if pending:
        vectors.append(engine.embed(np.stack(pending)))
    if began_ns is None:
        raise InputError(f"{path}: not one whole window of {manifest.signal.window_s:g} s without a gap.")
    columns = np.array(times, np.int64).reshape(-1, 3)
    dimension = manifest.text_space.dimension
    return Embedded(
        digest=digest,
        path=str(path.resolve()),
        name=path.name,
        options=options_text(options),
        began_ns=began_ns,
        covered_s=covered_ns / NS_PER_S,
        still=still,
        t0_ns=columns[:, 0],
        t1_ns=columns[:, 1],
        clock_ns=columns[:, 2],
        vectors=np.concatenate(vectors) if vectors else np.zeros((0, dimension), np.float32),
    )


def _clock_ns(t_ns: int, clock: ClockReading | None) -> int:
    if clock is not None:
        return clock.host_at(t_ns)
    return t_ns if _UNIX_NS[0] <= t_ns < _UNIX_NS[1] else -1
