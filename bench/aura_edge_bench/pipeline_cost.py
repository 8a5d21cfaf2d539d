"""What the path around the encoder costs: from a file through resampling and windows, and from cosines to JSON lines, per input sample.

`python -m aura_edge_bench.pipeline_cost` plays a made-up recording at each rate from an npz file through the real pipeline at full speed, with an
engine that answers at once, into a JSON file. Rates take turns; the median over the turns is given, with the machine's facts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from aura_edge.engines import EngineInfo
from aura_edge.manifest import EncoderSpec, Manifest
from aura_edge.pipeline import Pipeline
from aura_edge.sinks import open_sink
from aura_edge.sources import open_source
from aura_edge.testing import TINY_DIMENSION, TINY_SPACE, motion, tiny_prototypes
from aura_edge_bench.machine import Machine, this_machine

SCHEMA = 1


class PipelineCost(msgspec.Struct, frozen=True, kw_only=True):
    """The result, as JSON gives it."""

    schema: int = SCHEMA
    benchmark: str = "pipeline cost"
    machine: Machine
    seconds_played: float
    rounds: int
    hop_s: float
    us_per_sample: dict[str, float]
    """By input rate in Hz: median over the rounds, microseconds of wall clock per input sample."""
    us_per_sample_rounds: dict[str, list[float]]


class InstantEngine:
    """Answers at once: what is measured is everything else."""

    def __init__(self) -> None:
        self.info = EngineInfo("instant", "cpu", "none", None, "0" * 64)
        self._vector = np.full((1, TINY_DIMENSION), TINY_DIMENSION**-0.5, np.float32)

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._vector

    def close(self) -> None:
        pass


def pipeline_cost(rates_hz: tuple[int, ...], *, seconds: float, rounds: int) -> PipelineCost:
    """Play `seconds` of motion at each of `rates_hz`, `rounds` times in turn."""
    manifest = Manifest(name="cost", encoder=EncoderSpec("none", {}, 0), text_space=TINY_SPACE, prototypes="tiny")
    taken: dict[str, list[float]] = {str(rate): [] for rate in rates_hz}
    with tempfile.TemporaryDirectory() as folder:
        for rate in rates_hz:
            _write_recording(Path(folder) / f"{rate}.npz", rate, seconds)
        for turn in range(rounds + 1):
            for rate in rates_hz:
                begin = time.perf_counter()
                summary = Pipeline(
                    open_source(f"replay:{folder}/{rate}.npz", speed="max"),
                    InstantEngine(),
                    tiny_prototypes(),
                    manifest,
                    [open_sink(f"jsonl:{folder}/out.jsonl")],
                ).run()
                if turn:  # the first one warms up
                    taken[str(rate)].append((time.perf_counter() - begin) / summary.samples["read"] * 1e6)
    return PipelineCost(
        machine=this_machine(),
        seconds_played=seconds,
        rounds=rounds,
        hop_s=manifest.hop_s,
        us_per_sample={rate: float(np.median(found)) for rate, found in taken.items()},
        us_per_sample_rounds=taken,
    )


def _write_recording(path: Path, rate_hz: int, seconds: float) -> None:
    samples = motion("walking", samples=round(seconds * rate_hz), rate_hz=rate_hz).T
    t_ns = np.rint(np.arange(len(samples)) * 1e9 / rate_hz).astype(np.int64)
    np.savez(path, t_ns=t_ns, imu=samples, units="m/s2, rad/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=int, nargs="+", default=[100, 200, 1000], metavar="HZ")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    result = pipeline_cost(tuple(chosen.rates), seconds=chosen.seconds, rounds=chosen.rounds)
    print(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())


if __name__ == "__main__":
    main()
