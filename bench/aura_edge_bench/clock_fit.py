"""How far the fitted clock is off after half a minute, over many seeds: 5 ms of arrival jitter, 200 ppm of drift either way.

`python -m aura_edge_bench.clock_fit` follows messages of 20 a second, as a board at 200 Hz sends them, with three kinds of jitter: up to 5 ms early
or late (even), late by up to 5 ms (one-sided, with the exchanges of timestamps that the runtime makes), and normal with a deviation of 5 ms.
"""

from __future__ import annotations

import argparse
import time

import msgspec
import numpy as np

from aura_edge.sources.serial.bridge import EXCHANGE_NS, FIRST_EXCHANGE_NS, FIRST_EXCHANGES
from aura_edge.sources.serial.clock_fit import ClockFit
from aura_edge_bench.machine import Machine, this_machine

SCHEMA = 1
STEP_NS = 50_000_000
KINDS = ("even", "one-sided", "normal")


class Error(msgspec.Struct, frozen=True, kw_only=True):
    """Distance of the fitted host time from the true one, in ms, over the seeds."""

    p50_ms: float
    p99_ms: float
    max_ms: float


class ClockFitError(msgspec.Struct, frozen=True, kw_only=True):
    """The result, as JSON gives it."""

    schema: int = SCHEMA
    benchmark: str = "clock fit"
    machine: Machine
    seeds: int
    seconds: float
    jitter_ms: float
    drift_ppm: float
    errors: dict[str, Error]
    """By kind of jitter."""
    us_per_observation: float


def error_ms(seed: int, kind: str, *, seconds: float, jitter_ms: float, drift_ppm: float) -> tuple[float, float]:
    """Signed error at the end of one run in ms, and seconds of CPU per observation."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    pace = 1 + drift_ppm * 1e-6 * (1 if seed % 2 else -1)
    device_0, host_0 = int(rng.integers(1 << 40)), 1_795_000_000_000_000_000
    count = round(seconds * 1e9 / STEP_NS)
    delay = {
        "even": rng.uniform(-jitter_ms, jitter_ms, count),
        "one-sided": rng.uniform(0, jitter_ms, count),
        "normal": rng.normal(0, jitter_ms, count),
    }[kind] * 1e6
    fit, exchanges, next_ns, took_s = ClockFit(), 0, 0, 0.0
    for k in range(1, count + 1):
        since_ns = k * STEP_NS
        arrived = host_0 + round(since_ns * pace + delay[k - 1])
        begin = time.perf_counter()
        fit.observe(device_0 + since_ns, arrived)
        took_s += time.perf_counter() - begin
        if kind == "one-sided" and since_ns >= next_ns:
            exchanges += 1
            next_ns = since_ns + (FIRST_EXCHANGE_NS if exchanges <= FIRST_EXCHANGES else EXCHANGE_NS)
            there, back = rng.uniform(0, 1e6), rng.uniform(0, jitter_ms * 1e6)
            host_at = host_0 + since_ns * pace
            fit.exchange(round(host_at - there), device_0 + since_ns, device_0 + since_ns, round(host_at + back))
    reading = fit.reading()
    if reading is None:
        return float("nan"), 0.0
    end_ns = count * STEP_NS
    return (reading.host_at(device_0 + end_ns) - host_0 - end_ns * pace) / 1e6, took_s / count


def clock_fit(seeds: int, *, seconds: float = 30.0, jitter_ms: float = 5.0, drift_ppm: float = 200.0) -> ClockFitError:
    """All kinds, all seeds."""
    machine, errors, costs = this_machine(), {}, []
    for kind in KINDS:
        runs = [
            error_ms(seed, kind, seconds=seconds, jitter_ms=jitter_ms, drift_ppm=drift_ppm) for seed in range(seeds)
        ]
        off = np.abs([run[0] for run in runs])
        costs += [run[1] for run in runs]
        p50, p99, worst = np.percentile(off, [50, 99, 100]).tolist()
        errors[kind] = Error(p50_ms=p50, p99_ms=p99, max_ms=worst)
    return ClockFitError(
        machine=machine,
        seeds=seeds,
        seconds=seconds,
        jitter_ms=jitter_ms,
        drift_ppm=drift_ppm,
        errors=errors,
        us_per_observation=float(np.median(costs) * 1e6),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1000)
    result = clock_fit(parser.parse_args().seeds)
    print(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())


if __name__ == "__main__":
    main()
