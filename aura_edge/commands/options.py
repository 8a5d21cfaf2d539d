"""Options that several commands have: what they say of themselves, and what is wrong usage before anything is opened."""

from __future__ import annotations

import math

import typer

FORMATS = ("auto", "aura", "csv", "motioncal", "teapot", "sensiml", "ximu3-ascii", "ximu3")
"""As `aura_edge.sources.serial.recognition` has them, which is too heavy for a help text."""
BAUD_HELP = "Rate of the wire (default: 115200)."
FORMAT_HELP = f"What the board speaks; auto finds it out: {', '.join(FORMATS)}."

ENGINES = ("auto", "ort", "openvino", "torch", "torch-compiled", "trt", "cuda")
"""As `aura_edge.engines` has them, which imports numpy."""
ENGINE_HELP = f"{', '.join(ENGINES)}; auto measures once which of those that are installed is the fastest."
PRECISION_HELP = "fp32, or another that the bundle has: fp16, int8; bf16 with openvino."
PROVIDER_HELP = "Execution provider of onnxruntime: cpu, cuda, tensorrt, openvino, ..."
THREADS_HELP = "Threads that the engine computes with."
CHECKPOINT_HELP = "Run folder that the bundle was exported from, for the engines of torch."


def known_engine(name: str | None) -> str | None:
    """Callback of `--engine`."""
    if name is not None and name not in ENGINES:
        raise typer.BadParameter(f"{name!r}: expected one of {', '.join(ENGINES)}.")
    return name


def known_format(name: str) -> str:
    """Callback of `--format`."""
    if name not in FORMATS:
        raise typer.BadParameter(f"{name!r}: expected one of {', '.join(FORMATS)}.")
    return name


def finite(number: float | None) -> float | None:
    """Callback of an option that is a number: infinity and nan are none."""
    if number is not None and not math.isfinite(number):
        raise typer.BadParameter(f"{number:g}: expected a number; leave the option out to go on until the end.")
    return number
