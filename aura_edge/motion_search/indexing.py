"""Many recordings into an index: what is in it already is left out, the rest is embedded by any number of processes and appended in order."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

from aura_edge import bundle as bundles
from aura_edge.engines import Engine, open_engine
from aura_edge.errors import AuraEdgeError, EngineError
from aura_edge.manifest import Manifest
from aura_edge.motion_search.index import MotionIndex
from aura_edge.motion_search.windows import Embedded, digest_of, embed

COMMIT_WINDOWS = 4096
"""Recordings are appended together once they hold so many windows."""


@dataclass(slots=True)
class Outcome:
    """What a run did."""

    added: int = 0
    known: int = 0
    """Recordings whose content was in the index already."""
    windows: int = 0
    still: int = 0
    covered_s: float = 0.0
    failed: dict[str, str] = field(default_factory=dict)
    """Why a file is not in it, by path."""


def index_recordings(
    index: MotionIndex,
    paths: Sequence[Path],
    options: Mapping[str, object],
    bundle: Path,
    *,
    engine: str = "ort",
    jobs: int = 1,
    done: Callable[[Path], None] = lambda _: None,
) -> Outcome:
    """Embed those of `paths` that are not in the index, and append them; `done` is told of each path.

    A file that cannot be read is told in the outcome and keeps nothing else out. What was embedded before an interruption is kept.
    """
    with index.alone():
        index.tidy()
        outcome, wanted = Outcome(), []
        known = set(index.recordings())
        for path in paths:
            try:
                digest = digest_of(path, options)
            except AuraEdgeError as error:
                outcome.failed[str(path)] = str(error)
            else:
                if digest not in known:
                    known.add(digest)
                    wanted.append(path)
                    continue
                outcome.known += 1
            done(path)
        _add(index, outcome, _embedded(wanted, options, bundle, engine, index.facts.hop_s, jobs), done)
        if outcome.added:
            index.settle()
    return outcome


def _add(
    index: MotionIndex,
    outcome: Outcome,
    embedded: Iterator[tuple[Path, Embedded | str]],
    done: Callable[[Path], None],
) -> None:
    waiting: list[Embedded] = []
    try:
        for path, result in embedded:
            if isinstance(result, str):
                outcome.failed[str(path)] = result
            else:
                waiting.append(result)
                if sum(len(one.t0_ns) for one in waiting) >= COMMIT_WINDOWS:
                    _commit(index, waiting, outcome)
            done(path)
    finally:
        _commit(index, waiting, outcome)


def _commit(index: MotionIndex, waiting: list[Embedded], outcome: Outcome) -> None:
    if not waiting:
        return
    index.add(waiting)
    outcome.added += len(waiting)
    outcome.windows += sum(len(one.t0_ns) for one in waiting)
    outcome.still += sum(one.still for one in waiting)
    outcome.covered_s += sum(one.covered_s for one in waiting)
    waiting.clear()


def _embedded(
    paths: Sequence[Path], options: Mapping[str, object], bundle: Path, engine: str, hop_s: float, jobs: int
) -> Iterator[tuple[Path, Embedded | str]]:
    """Each path with its windows, or why there are none, in order."""
    if not paths:
        return
    if jobs == 1:
        worker = _Worker(bundle, engine, options, hop_s)
        try:
            for path in paths:
                yield path, worker(path)
        finally:
            worker.engine.close()
        return
    # Spawned, not forked: neither LanceDB nor onnxruntime survives a fork with its threads.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        min(jobs, len(paths)), mp_context=context, initializer=_start, initargs=(bundle, engine, options, hop_s)
    )
    try:
        yield from zip(paths, pool.map(_work, paths), strict=True)
    except BrokenProcessPool as error:
        raise EngineError(
            "a process that embeds has died: out of memory, or killed. What was committed is kept; run it again, with fewer --jobs."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


class _Worker:
    """One engine, and how recordings are read."""

    def __init__(self, bundle: Path, engine: str, options: Mapping[str, object], hop_s: float) -> None:
        model = bundles.load(bundle)
        self.manifest: Manifest = model.manifest
        self.engine: Engine = open_engine(engine, model)
        self.options, self.hop_s = options, hop_s

    def __call__(self, path: Path) -> Embedded | str:
        try:
            return embed(path, self.options, self.manifest, self.engine, self.hop_s)
        except AuraEdgeError as error:
            return str(error)


_worker: _Worker | None = None


def _start(bundle: Path, engine: str, options: Mapping[str, object], hop_s: float) -> None:
    global _worker
    _worker = _Worker(bundle, engine, options, hop_s)


def _work(path: Path) -> Embedded | str:
    assert _worker is not None
    return _worker(path)
