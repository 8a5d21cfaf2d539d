"""Other programs that `scripts/gpu` runs: compute-sanitizer over the checks, the tests that need a GPU, a training run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from aura_edge_bench.gpu_rows import Row, attempt

SANITIZER_TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")
LOG = "log.jsonl"
"""What a run leaves, line by line."""
FAULT = 66
"""What compute-sanitizer ends with when it found something."""
ROOT = Path(__file__).parents[2]


def sanitizer_rows(*, timeout_s: float) -> Iterator[Row]:
    """The checks of every rung under each of compute-sanitizer's tools."""
    for tool in SANITIZER_TOOLS:
        yield attempt("sanitizer", tool, partial(_sanitize, tool, timeout_s))


def _sanitize(tool: str, timeout_s: float) -> Mapping[str, Any]:
    home = Path(os.environ.get("CUDA_HOME") or "/usr/local/cuda")
    sanitizer = shutil.which("compute-sanitizer") or shutil.which(str(home / "bin" / "compute-sanitizer"))
    if sanitizer is None:
        raise FileNotFoundError("compute-sanitizer was not found; it comes with the CUDA toolkit")
    checks = [sys.executable, "-m", "aura_edge_bench.gpu_report", "--checks-only"]
    return _run([sanitizer, "--tool", tool, "--error-exitcode", str(FAULT), *checks], timeout_s)


def test_row(*, timeout_s: float) -> Row:
    """pytest -m gpu."""
    return attempt(
        "tests",
        "pytest -m gpu",
        partial(_run, [sys.executable, "-m", "pytest", "-q", "-m", "gpu", str(ROOT / "tests")], timeout_s),
    )


def training_row(recipe: str, data: Path, folder: Path, *, timeout_s: float) -> Row:
    """`aura-edge train` of a shipped recipe on this machine's data: how long it took, windows a second, and its curve."""
    return attempt("training", recipe, partial(_train, recipe, data, folder, timeout_s))


def _train(recipe: str, data: Path, folder: Path, timeout_s: float) -> Mapping[str, Any]:
    command = [sys.executable, "-m", "aura_edge", "train", recipe, "--data", str(data), "--out", str(folder)]
    found, said = _finished(command, timeout_s)
    rates = [float(rate) for rate in re.findall(r"(\d+) windows/s", said)]
    lines = [msgspec.json.decode(line) for line in (folder / LOG).read_bytes().splitlines()]
    epochs = [line for line in lines if "mean_losses" in line]
    curves = {
        "loss_by_epoch": [line["mean_losses"]["loss"] for line in epochs],
        "validation_score_by_epoch": [line["score"] for line in epochs],
    }
    told = {name: ", ".join(f"{value:.4f}" for value in values) for name, values in curves.items()}
    return found | {"epochs": len(epochs), "windows_per_s": median(rates)} | told


def _run(command: Sequence[str], timeout_s: float) -> Mapping[str, Any]:
    """How long it took and its last line; raises `RuntimeError` with its end where it failed."""
    return _finished(command, timeout_s)[0]


def _finished(command: Sequence[str], timeout_s: float) -> tuple[dict[str, Any], str]:
    """The same, and all that it said."""
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False, cwd=ROOT)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    if done.returncode:
        raise RuntimeError(f"ended with {done.returncode}: {' | '.join(lines[-6:])}")
    said = "\n".join(lines)
    return {"duration_s": time.perf_counter() - begin, "last_line": lines[-1] if lines else ""}, said
