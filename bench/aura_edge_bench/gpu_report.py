"""Everything that can be learned about this project on a machine with an NVIDIA GPU, in one run: `scripts/gpu` makes the environment and calls it.

    python -m aura_edge_bench.gpu_report [FILE]

Builds every rung of the kernels, holds each against float64, runs compute-sanitizer and the tests that need a GPU, times the ladder against
torch, times whole engines on the demo and on the AURA encoder, and says which share of this GPU's measured peak that is. The result is JSON with the
machine's facts. What cannot be had here is a row that says why. Times come from this machine alone: there is no number in it that was not measured.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from aura_edge import bundle as bundles
from aura_edge.commands.stream import DEMO_BUNDLE, demo_file
from aura_edge.cuda import Driver, open_driver
from aura_edge.errors import AuraEdgeError, EngineError, SinkError
from aura_edge.kernels.shape import shape_of
from aura_edge.whole_files import write_result
from aura_edge_bench import gpu_bundles, gpu_kernels, gpu_programs, gpu_torch
from aura_edge_bench.gpu_engines import engine_rows
from aura_edge_bench.gpu_rows import Row, attempt
from aura_edge_bench.machine import Machine, this_machine

SCHEMA = 1
"""1: the first."""
PRESET = "aura"
BATCHES = (1, 8, 64, 1024)
ENGINE_BATCHES = (1, 64)
RESULTS = Path(__file__).parents[1] / "results"
RECIPE = "aura-sisfall"
"""The shipped recipe of an AURA-size encoder."""


class Report(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The result, as it is written to JSON."""

    schema: int = SCHEMA
    benchmark: str = "gpu"
    machine: Machine
    gpu: dict[str, Any]
    """What the driver says of the device; empty where there is none."""
    rows: tuple[Row, ...]


def rows(driver: Driver, settings: argparse.Namespace) -> Iterator[Row]:
    """Every row, as it is found; `driver` is the GPU's."""
    windows, _ = bundles.load_golden(bundles.load(demo_file(DEMO_BUNDLE)))
    weights: dict[str, Any] = {}

    def draw() -> dict[str, Any]:
        spec, module = gpu_bundles.random_encoder(PRESET)
        weights.update(module=module, packed=gpu_bundles.packed_weights(spec, module), shape=shape_of(spec))
        return {"parameters": spec.parameters}

    yield attempt("encoder", f"{PRESET} with weights drawn by chance", draw)
    if weights:
        yield from gpu_kernels.check_rows(driver, PRESET, weights["shape"], weights["packed"], windows)
    if settings.checks_only:
        return
    if not settings.quick:
        yield from gpu_programs.sanitizer_rows(timeout_s=settings.timeout_s)
        yield gpu_programs.test_row(timeout_s=settings.timeout_s)
    yield from gpu_torch.peak_rows()
    if weights:
        shape = weights["shape"]
        yield from gpu_kernels.time_rows(driver, PRESET, shape, weights["packed"], windows[:1], BATCHES)
        yield from gpu_torch.attention_rows(BATCHES, shape.tokens, shape.heads, shape.head_size)
        yield from gpu_torch.encoder_rows(PRESET, weights["module"], windows[:1], BATCHES)
    yield from engine_rows(
        bundles.load(settings.bundle or demo_file(DEMO_BUNDLE)),
        checkpoint=settings.checkpoint,
        batches=ENGINE_BATCHES,
        rounds=settings.rounds,
    )
    with tempfile.TemporaryDirectory() as folder:
        made: list[bundles.Bundle] = []

        def make() -> dict[str, Any]:
            made.append(gpu_bundles.random_bundle(Path(folder) / f"{PRESET}.aura", PRESET, windows))
            return {"windows": len(windows)}

        yield attempt("engine", f"a bundle of {PRESET}", make)
        for opened in made:
            yield from engine_rows(opened, checkpoint=None, batches=ENGINE_BATCHES, rounds=settings.rounds)
        if settings.train is not None:
            run = Path(folder) / "run"
            yield gpu_programs.training_row(RECIPE, settings.train, run, timeout_s=settings.timeout_s)


def share_rows(found: Sequence[Row]) -> Iterator[Row]:
    """Which share of the measured peak the encoder kernel reaches; nothing where either was not measured."""
    peaks = [float(row.values["tflop_per_s"]) for row in found if row.section == "peak" and "tflop_per_s" in row.values]
    for row in found:
        if peaks and row.section == "encoder" and row.name.startswith("encoder ") and "tflop_per_s" in row.values:
            yield Row("share", row.name, {"of_matmul_peak": float(row.values["tflop_per_s"]) / peaks[0]})


def report(
    settings: argparse.Namespace, driver: Driver | None = None, *, after: Callable[[Report], None] = lambda _: None
) -> Report:
    """Measure everything; `after` is told of what there is when the GPU is open, and after each row. Without a GPU there is one row, which says
    why there are no more."""
    machine, found = this_machine(), []
    try:
        gpu = driver or open_driver(settings.driver)
    except EngineError as error:
        nothing = Report(machine=machine, gpu={}, rows=(Row("device", "open", unavailable=str(error)),))
        after(nothing)
        return nothing
    try:
        so_far = Report(machine=machine, gpu=asdict(gpu.device), rows=())
        after(so_far)
        for row in rows(gpu, settings):
            print(line(row), file=sys.stderr, flush=True)
            found.append(row)
            so_far = msgspec.structs.replace(so_far, rows=(*found, *share_rows(found)))
            after(so_far)
        return so_far
    finally:
        gpu.close()


def line(row: Row) -> str:
    """For people who wait."""
    if row.unavailable is not None:
        return f"{row.section}: {row.name}: not here: {row.unavailable}"
    shown = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.values.items()
    )
    return f"{row.section}: {row.name}: {shown}"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/gpu", description="Build, check and time everything on this machine's NVIDIA GPU."
    )
    parser.add_argument(
        "file", nargs="?", type=Path, help="where the JSON goes (default: bench/results/<gpu>/gpu.json)"
    )
    parser.add_argument("--quick", action="store_true", help="without compute-sanitizer and the tests")
    parser.add_argument(
        "--checks-only", action="store_true", help="build every rung, hold it against float64, and nothing else"
    )
    parser.add_argument(
        "--driver", choices=("cuda-python", "pycuda"), help="package that reaches the driver (default: cuda-python)"
    )
    parser.add_argument("--bundle", type=Path, help="bundle whose engines are timed (default: the demo's)")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        help="run folder of that bundle, for the cuda engine where the bundle lacks its weights",
    )
    parser.add_argument(
        "--train",
        type=Path,
        metavar="DATA",
        help="train an AURA-size encoder on SisFall as well; DATA is the folder with sisfall/ in it",
    )
    parser.add_argument("--rounds", type=int, default=300, help="calls of each engine")
    parser.add_argument("--timeout-s", type=float, default=1800.0, help="of each program that is started")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None, driver: Driver | None = None) -> int:
    """Exit code: 0, 1 where a rung was wrong, the file cannot be written, or there is no GPU."""
    settings = parse(arguments)

    def keep(found: Report) -> None:
        # After each row: what was measured outlives a run that is cut off, and a place that cannot be written to is known at once.
        if settings.checks_only:
            return
        file = file_of(found, settings)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SinkError(f"{file.parent}: cannot be made: {error.strerror}. Name a file elsewhere.") from error
        write_result(file, msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")

    try:
        result = report(settings, driver, after=keep)
    except AuraEdgeError as error:
        print(f"scripts/gpu: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "scripts/gpu: stopped",
            "" if settings.checks_only else "; what was measured until then is kept",
            sep="",
            file=sys.stderr,
        )
        return 130
    failed = [row for row in result.rows if row.section in ("device", "check") and row.unavailable is not None]
    for row in failed:
        print(f"scripts/gpu: {row.section} failed: {row.name}: {row.unavailable}", file=sys.stderr)
    if not settings.checks_only:
        print(f"scripts/gpu: {len(result.rows)} rows in {file_of(result, settings)}", file=sys.stderr)
    return 1 if failed else 0


def file_of(result: Report, settings: argparse.Namespace) -> Path:
    """Where the result goes: to a folder that is named after the GPU, unless a file was asked for."""
    name = str(result.gpu.get("name", "no-gpu")).lower().replace(" ", "-").replace("/", "-")
    return Path(settings.file or RESULTS / name / "gpu.json")


if __name__ == "__main__":
    sys.exit(main())
