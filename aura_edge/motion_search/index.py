"""The index on disk: a folder with what it was made with, a lock, and two LanceDB tables that are only ever appended to.

    index.json   `Facts`: model, text space, window and hop
    lock         held by the one process that adds to it
    recordings   one row per recording that is in it whole
    windows      one row per window: recording (its digest), times, vector

Windows are appended before the row of their recording: what a kill leaves behind belongs to no recording, and is removed by the next run.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import InputError, SinkError, require
from aura_edge.manifest import Manifest, TextSpace
from aura_edge.motion_search.windows import Embedded
from aura_edge.whole_files import replace_file

SCHEMA = 1
FACTS = "index.json"
LOCK = "lock"
APPROXIMATE_FROM = 100_000
"""From so many windows on, hits are found by an inverted file with product quantisation (Jegou et al. 2011), and then ranked exactly."""
PROBES, EXACT, REFINE = 32, 1000, 5
"""Parts of the inverted file that are looked at, and how many candidates are ranked exactly: so many, or so many times what is asked for.
Vectors of words lie far from all windows and nearly as near to one as to the next, and need many."""
SAMPLE = 256
"""Windows that tell what any window scores."""

ITERATIONS = 15
"""Of k-means, when the inverted file is made: LanceDB's own 50 take three times as long."""


class Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`index.json`: vectors made otherwise than this do not belong into it."""

    schema: int = SCHEMA
    model: str
    """sha256 of the weights."""
    model_name: str
    text_space: TextSpace
    rate_hz: float
    window_s: float
    hop_s: float
    bundle: str
    """Where the bundle was."""


class RecordingEntry(msgspec.Struct, frozen=True):
    """A recording that is in the index."""

    digest: str
    path: str
    name: str
    options: str
    began_ns: int
    covered_s: float
    windows: int
    still: int


@dataclass(frozen=True, slots=True)
class Hit:
    """A window that was found."""

    digest: str
    t0_ns: int
    t1_ns: int
    clock_ns: int
    score: float
    """Cosine with what was asked for."""


def facts_of(manifest: Manifest, model: str, bundle: Path, hop_s: float) -> Facts:
    """What an index of this bundle's vectors says of itself."""
    return Facts(
        model=model,
        model_name=manifest.name,
        text_space=manifest.text_space,
        rate_hz=manifest.signal.rate_hz,
        window_s=manifest.signal.window_s,
        hop_s=hop_s,
        bundle=str(bundle.resolve()),
    )


class MotionIndex:
    """An opened index; made by `open_index` or `make_index`."""

    def __init__(self, folder: Path, facts: Facts) -> None:
        self.folder, self.facts = folder, facts
        self._lancedb = require("lancedb", extra="search")
        self._arrow = require("pyarrow", extra="search")
        self._sample: NDArray[np.float32] | None = None
        self._database = self._lancedb.connect(str(folder))
        arrow, dimension = self._arrow, facts.text_space.dimension
        times = [("t0_ns", arrow.int64()), ("t1_ns", arrow.int64()), ("clock_ns", arrow.int64())]
        kinds = {str: arrow.string(), int: arrow.int64(), float: arrow.float64()}
        fields = [(field.name, kinds[field.type]) for field in msgspec.structs.fields(RecordingEntry)]
        self._recordings = self._table("recordings", arrow.schema(fields))
        self._windows = self._table(
            "windows",
            arrow.schema([("digest", arrow.string()), *times, ("vector", arrow.list_(arrow.float32(), dimension))]),
        )

    def recordings(self) -> dict[str, RecordingEntry]:
        """What is in it, by digest."""
        rows = self._recordings.search().limit(self._recordings.count_rows() + 1).to_arrow().to_pylist()
        return {row["digest"]: RecordingEntry(**row) for row in rows}

    def count(self) -> int:
        """Windows in it."""
        return int(self._windows.count_rows())

    def version(self) -> int:
        """Each addition makes a version of the table of windows."""
        return int(self._windows.version)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While entered, no other process adds to it. Raises `InputError` where one does; a process that is killed lets go."""
        import fcntl  # not on every system, and for nothing else

        with (self.folder / LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise InputError(f"{self.folder}: another run is adding to it. Wait until it has ended.") from error
            yield

    def tidy(self) -> int:
        """Remove windows of recordings that are not in it whole, which a kill left behind; how many that were."""
        before = self.count()
        if before != sum(entry.windows for entry in self.recordings().values()):
            known = ", ".join(f"'{digest}'" for digest in self.recordings()) or "''"
            self._windows.delete(f"digest NOT IN ({known})")
        return before - self.count()

    def add(self, embedded: Sequence[Embedded]) -> None:
        """Append recordings that are not in it yet, all in one version. Raises `SinkError` where they cannot be written."""
        arrow = self._arrow
        entries = [
            RecordingEntry(
                one.digest, one.path, one.name, one.options, one.began_ns, one.covered_s, len(one.t0_ns), one.still
            )
            for one in embedded
        ]
        try:
            if any(len(one.t0_ns) for one in embedded):
                digests = [one.digest for one in embedded for _ in one.t0_ns]
                columns = [
                    np.concatenate([getattr(one, name) for one in embedded]) for name in ("t0_ns", "t1_ns", "clock_ns")
                ]
                vectors = np.concatenate([one.vectors for one in embedded]).astype(np.float32)
                flat = arrow.FixedSizeListArray.from_arrays(arrow.array(vectors.ravel()), vectors.shape[1])
                rows = [arrow.array(digests), *map(arrow.array, columns), flat]
                self._windows.add(arrow.Table.from_arrays(rows, schema=self._windows.schema))
            rows = [msgspec.to_builtins(entry) for entry in entries]
            self._recordings.add(arrow.Table.from_pylist(rows, schema=self._recordings.schema))
        except (OSError, RuntimeError) as error:
            raise SinkError(
                f"{self.folder}: cannot be written: {error}. Free some space, or choose another place."
            ) from error

    def settle(self) -> None:
        """Bring many small additions together, and the approximate index up to date where there are windows enough for one."""
        self._recordings.optimize()
        if self.count() < APPROXIMATE_FROM:
            self._windows.optimize()
        elif not self._windows.list_indices():
            ivf_pq = importlib.import_module("lancedb.index").IvfPq
            parts = self.facts.text_space.dimension // 8
            self._windows.create_index(
                "vector", config=ivf_pq(distance_type="cosine", num_sub_vectors=parts, max_iterations=ITERATIONS)
            )
        else:
            self._windows.optimize()

    def search(self, vectors: NDArray[np.float32], limit: int) -> list[Hit]:
        """The `limit` windows nearest to any of the (Q, D) unit `vectors`, best first, each once."""
        found: dict[tuple[str, int], Hit] = {}
        indexed = bool(self._windows.list_indices())
        for vector in vectors:
            query = self._windows.search(vector).distance_type("cosine").limit(limit)
            if indexed:
                query = query.nprobes(PROBES).refine_factor(max(REFINE, -(-EXACT // limit)))
            for row in query.select(["digest", "t0_ns", "t1_ns", "clock_ns", "_distance"]).to_arrow().to_pylist():
                hit = Hit(row["digest"], row["t0_ns"], row["t1_ns"], row["clock_ns"], 1.0 - row["_distance"])
                key = hit.digest, hit.t0_ns
                if key not in found or hit.score > found[key].score:
                    found[key] = hit
        return sorted(found.values(), key=lambda hit: (-hit.score, hit.digest, hit.t0_ns))[:limit]

    def background(self, vectors: NDArray[np.float32]) -> float:
        """What any window scores for (Q, D) unit `vectors`: the mean over some, evenly spaced."""
        if self._sample is None:
            rows = np.unique(np.linspace(0, self.count() - 1, min(SAMPLE, self.count())).round().astype(int)).tolist()
            table = self._windows.take_offsets(rows).select(["vector"]).to_arrow()
            self._sample = np.array(table["vector"].to_pylist(), np.float32).reshape(
                len(rows), self.facts.text_space.dimension
            )
        if not len(self._sample):
            return 0.0
        return float((self._sample @ vectors.T).max(axis=1).mean())

    def _table(self, name: str, schema: Any) -> Any:
        return self._database.create_table(name, schema=schema, exist_ok=True)


def open_index(folder: str | os.PathLike[str]) -> MotionIndex:
    """The index at `folder`. Raises `InputError` where there is none or it is another version's, and `MissingExtraError`."""
    path = Path(folder)
    return MotionIndex(path, _read_facts(path))


def make_index(folder: str | os.PathLike[str], facts: Facts) -> MotionIndex:
    """The index at `folder`, made where there is none. Raises `InputError` where vectors of `facts` do not belong into it."""
    path = Path(folder)
    if (path / FACTS).exists():
        found = _read_facts(path)
        for field in ("model", "text_space", "rate_hz", "window_s", "hop_s"):
            if getattr(found, field) != getattr(facts, field):
                raise InputError(
                    f"{path}: was made with {field} {getattr(found, field)}, now it is {getattr(facts, field)}: such vectors cannot be compared. "
                    "Use the same bundle and hop, or another index."
                )
        return MotionIndex(path, found)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path}: exists and is no index (no {FACTS}). Choose another name.")
    require("lancedb", extra="search")
    try:
        path.mkdir(parents=True, exist_ok=True)
        replace_file(path / FACTS, msgspec.json.format(msgspec.json.encode(facts), indent=2) + b"\n")
    except OSError as error:
        raise SinkError(f"{path}: cannot be made: {error.strerror}. Choose another place.") from error
    return MotionIndex(path, facts)


def _read_facts(folder: Path) -> Facts:
    path = folder / FACTS
    try:
        facts = msgspec.json.decode(path.read_bytes(), type=Facts)
    except OSError as error:
        raise InputError(
            f"{folder}: no index ({FACTS}: {error.strerror}). Make one with: aura-edge index PATHS --into {folder}"
        ) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: says what no index of this version says ({error}). Make it again.") from error
    if facts.schema != SCHEMA:
        raise InputError(f"{path}: an index of schema {facts.schema}; expected {SCHEMA}. Make it again.")
    return facts
