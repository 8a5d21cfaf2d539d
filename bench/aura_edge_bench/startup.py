"""What a person waits for: `aura-edge --help`, and the first label of the demo from the start of its process; and the memory of the stream.

`python -m aura_edge_bench.startup` runs both in turn, each in a fresh process, and gives medians with the machine's facts. Memory is the kernel's
own account of the largest resident size of the process, over the whole demo.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

import msgspec
import numpy as np

from aura_edge.errors import EngineError
from aura_edge_bench.machine import Machine, this_machine

SCHEMA = 1
HELP = (sys.executable, "-m", "aura_edge", "--help")
DEMO = (sys.executable, "-m", "aura_edge", "stream", "--demo", "--speed", "max", "--sink", "-")


class Startup(msgspec.Struct, frozen=True, kw_only=True):
    """The result, as JSON gives it."""

    schema: int = SCHEMA
    benchmark: str = "startup"
    machine: Machine
    help_s: float
    """Median wall clock of `aura-edge --help`."""
    first_label_s: float
    """Median from process start to the first prediction of `--demo --speed max`."""
    demo_s: float
    """Median of the whole demo at full speed."""
    resident_mib: float
    """Largest over the rounds of the peak resident memory of the demo."""
    rounds: int
    help_s_rounds: list[float]
    first_label_s_rounds: list[float]


def startup(rounds: int) -> Startup:
    """Run both commands `rounds` times in turn, after one round that warms the file cache."""
    helps, firsts, wholes, peaks = [], [], [], []
    for turn in range(rounds + 1):
        begin = time.perf_counter()
        subprocess.run(HELP, check=True, stdout=subprocess.DEVNULL)
        helped = time.perf_counter() - begin
        first, whole, peak = _demo()
        if turn:
            helps.append(helped)
            firsts.append(first)
            wholes.append(whole)
            peaks.append(peak)
    return Startup(
        machine=this_machine(),
        help_s=float(np.median(helps)),
        first_label_s=float(np.median(firsts)),
        demo_s=float(np.median(wholes)),
        resident_mib=max(peaks),
        rounds=rounds,
        help_s_rounds=helps,
        first_label_s_rounds=firsts,
    )


def _demo() -> tuple[float, float, float]:
    """Seconds to the first prediction, seconds in all, and peak resident MiB of one demo."""
    begin = time.perf_counter()
    process = subprocess.Popen(DEMO, stdout=subprocess.PIPE)
    first = None
    assert process.stdout is not None
    for line in process.stdout:
        if first is None and b'"type":"prediction"' in line:
            first = time.perf_counter() - begin
    _, status, usage = os.wait4(process.pid, 0)
    whole = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode or first is None:
        raise EngineError(
            f"the demo ended with exit code {process.returncode} and no label: run {' '.join(DEMO[1:])} to see why."
        )
    return first, whole, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    result = startup(parser.parse_args().rounds)
    print(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())


if __name__ == "__main__":
    main()
