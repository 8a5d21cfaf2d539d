"""Looks for bytes that the codec does not take as PROTOCOL.md says: no exception, exact accounting, bounded memory, nothing intact lost.

`python bench/fuzz/fuzz_codec.py --bytes 100000000 --seed 1` mutates the corpus and keeps, while it runs, what behaves in a new way.
With `--atheris` (pip install atheris) libFuzzer chooses by the coverage of the codec instead. Either writes a stream that breaks the codec to
`--crashes` and ends with status 1. `--keep N` replaces the corpus by at most N streams that show what was seen together.
Prints one line of JSON at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sys
import time
from collections import Counter
from itertools import combinations_with_replacement
from pathlib import Path

HERE = Path(__file__).resolve().parent
for source_root in (
    HERE.parent,
    HERE.parents[1] / "firmware_bridge",
):  # run as a script from a checkout that is not installed
    sys.path.insert(0, str(source_root))

PACKAGE = "aura_edge_firmware_bridge"
LONGEST_KEPT = 3000
LARGEST_POOL = 4000


def seeds(folder: Path) -> list[bytes]:
    """The corpus, and the streams of the test vectors."""
    from aura_edge_firmware_bridge.vectors import vectors

    kept = [path.read_bytes() for path in sorted(folder.glob("*.bin"))]
    return kept + [bytes.fromhex(stream["bytes"]) for stream in vectors()["streams"]]


def behaviour(data: bytes) -> frozenset[tuple[str, int]]:
    """In which ways the codec took `data`, each with the magnitude of its count. Raises `Broken` when it should have taken it otherwise."""
    from fuzz.properties import check

    receipt = check(data)
    counts = Counter(name for name, _ in receipt.messages)
    counts += Counter({reason: frames for reason, (frames, _) in receipt.discarded.items()})
    counts += Counter({"idle": receipt.idle, "pending": receipt.pending})
    return frozenset((what, count.bit_length()) for what, count in counts.items())


class Run:
    """What was tried so far, and what to do with a stream that breaks the codec."""

    def __init__(self, most_bytes: int, crashes: Path) -> None:
        self.most_bytes, self.crashes = most_bytes, crashes
        self.bytes = self.streams = 0
        self.frames: Counter[str] = Counter()
        """Ways of behaving seen, by how many streams."""
        self._begin = time.monotonic()

    def try_one(self, data: bytes) -> frozenset[tuple[str, int]]:
        """Check `data`; what breaks the codec is written to a file before the exception goes on."""
        self.bytes += len(data)
        self.streams += 1
        try:
            ways = behaviour(data)
        except Exception:
            self.keep_crash(data)
            raise
        self.frames.update(what for what, _ in ways)
        return ways

    def keep_crash(self, data: bytes) -> None:
        self.crashes.mkdir(parents=True, exist_ok=True)
        path = self.crashes / f"{hashlib.sha256(data).hexdigest()[:16]}.bin"
        path.write_bytes(data)
        print(f"broken by {path}", file=sys.stderr)

    def report(self, **more: object) -> None:
        seconds = time.monotonic() - self._begin
        told = {"bytes": self.bytes, "streams": self.streams, "seconds": round(seconds, 1), **more}
        print(json.dumps({**told, "streams_by_behaviour": dict(sorted(self.frames.items()))}), flush=True)


def mutate_corpus(run: Run, pool: list[bytes], rng: random.Random) -> dict[frozenset[tuple[str, int]], bytes]:
    """Mutate until the bytes are spent; the shortest stream for each two ways seen together, which is what guides the search."""
    from aura_edge_firmware_bridge.codec import frame
    from fuzz.properties import check_recovered
    from fuzz.streams import content, damaged, mutated

    found: dict[frozenset[tuple[str, int]], bytes] = {}
    pool = list(pool)
    for data in pool:
        _is_new(found, run.try_one(data), data)
    while run.bytes < run.most_bytes:
        if rng.random() < 0.2:
            sound = [one for one in (frame(content(rng)) for _ in range(12)) if gives_itself(one)]
            data, intact = damaged(sound, rng) if sound else (b"", [])
            try:
                check_recovered(data, intact)
            except Exception:
                run.keep_crash(data)
                raise
        else:
            data = mutated(rng.choice(pool), rng.choice(pool), rng)
        if _is_new(found, run.try_one(data), data) and len(data) <= LONGEST_KEPT:
            pool.append(data)
            if len(pool) > LARGEST_POOL:
                del pool[rng.randrange(len(pool))]
    return found


def gives_itself(frame: bytes) -> bool:
    """Whether a frame is one that a receiver takes, and that is written in one way only (a float that is no number is not)."""
    from aura_edge_firmware_bridge.codec import Decoder, encode

    return [encode(message) for message in Decoder().feed(frame)] == [frame]


def _is_new(found: dict[frozenset[tuple[str, int]], bytes], ways: frozenset[tuple[str, int]], data: bytes) -> bool:
    """Note a stream that shows two ways together for the first time, or in fewer bytes than any before it."""
    new = False
    for pair in combinations_with_replacement(ways, 2):
        before = found.get(frozenset(pair))
        if before is None or len(data) < len(before):
            found[frozenset(pair)] = data
            new = True
    return new


def chosen(found: dict[frozenset[tuple[str, int]], bytes], most: int) -> list[bytes]:
    """At most `most` streams: always the one that adds most of what was seen together, the shortest of equals."""
    left: dict[bytes, set[frozenset[tuple[str, int]]]] = {}
    for data in set(found.values()):
        ways = behaviour(data)
        left[data] = {frozenset(pair) for pair in combinations_with_replacement(ways, 2)}
    picked: list[bytes] = []
    while left and len(picked) < most:
        data = max(left, key=lambda one: (len(left[one]), -len(one), one))
        added = left.pop(data)
        if not added:
            break
        picked.append(data)
        left = {one: pairs - added for one, pairs in left.items()}
    return picked


def with_atheris(run: Run, corpus: Path, seed: int, folder: Path) -> None:
    """Hand over to libFuzzer, which ends the process; `folder` takes the corpus that it grows."""
    import atheris

    with atheris.instrument_imports(include=[PACKAGE]):
        import fuzz.streams
    rng = random.Random(seed)
    pool = seeds(corpus)

    def one(data: bytes) -> None:
        run.try_one(data)
        if run.bytes >= run.most_bytes:
            run.report(atheris=True, corpus_files=len(list(folder.iterdir())))
            os._exit(0)  # libFuzzer knows no limit in bytes

    def mutator(data: bytes, most: int, seed: int) -> bytes:
        if rng.random() < 0.3:
            return bytes(atheris.Mutate(data, most))
        return fuzz.streams.mutated(data, rng.choice(pool), rng)[:most]

    for number, data in enumerate(pool):
        (folder / f"seed-{number}").write_bytes(data)
    options = [f"-seed={seed}", f"-max_len={fuzz.streams.MOST}", "-len_control=0", f"-artifact_prefix={run.crashes}/"]
    atheris.Setup([sys.argv[0], *options, str(folder)], one, custom_mutator=mutator)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=int, default=1_000_000, help="stop after so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--corpus", type=Path, default=HERE / "corpus")
    parser.add_argument("--crashes", type=Path, default=Path("fuzz-crashes"))
    parser.add_argument(
        "--keep", type=int, metavar="N", help="replace the corpus by N streams that behave in all ways seen"
    )
    parser.add_argument("--atheris", type=Path, metavar="FOLDER", help="guide by coverage; the corpus grows in FOLDER")
    options = parser.parse_args()
    run = Run(options.bytes, options.crashes)
    if options.atheris is not None:
        options.atheris.mkdir(parents=True, exist_ok=True)
        run.crashes.mkdir(parents=True, exist_ok=True)
        with_atheris(run, options.corpus, options.seed, options.atheris)
    found = mutate_corpus(run, seeds(options.corpus), random.Random(options.seed))
    if options.keep is not None:
        for path in options.corpus.glob("*.bin"):
            path.unlink()
        options.corpus.mkdir(parents=True, exist_ok=True)
        for data in chosen(found, options.keep):
            (options.corpus / f"{hashlib.sha256(data).hexdigest()[:16]}.bin").write_bytes(data)
    run.report(seed=options.seed, ways=len(frozenset().union(*found)), ways_together=len(found))


if __name__ == "__main__":
    main()
