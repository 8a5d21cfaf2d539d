"""`aura-edge bundle show|verify`: what a bundle says about itself, and whether it is true on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(no_args_is_help=True, add_completion=False)

BundlePath = Annotated[
    Path | None, typer.Argument(help="The bundle, a folder such as demo.aura (default: the demo's).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@app.callback()
def _root() -> None:
    """Show or verify a bundle: a model with all that a device must know."""


@app.command()
def show(bundle: BundlePath = None, json_output: AsJson = False) -> None:
    """Say what a bundle is: signal, encoder, labels, decisions, provenance, measurements."""
    import msgspec

    from aura_edge.bundle import load
    from aura_edge.commands.stream import DEMO_BUNDLE, demo_file
    from aura_edge.prototypes import load_for

    opened = load(bundle or demo_file(DEMO_BUNDLE))
    manifest = opened.manifest
    if json_output:
        typer.echo(msgspec.json.format(msgspec.json.encode(manifest), indent=2).decode())
        return
    signal, decision = manifest.signal, manifest.decision
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("name", manifest.name)
    if manifest.description:
        table.add_row("", manifest.description)
    table.add_row("license", manifest.license)
    table.add_row(
        "input",
        f"{signal.window_s:g} s at {signal.rate_hz:g} Hz, a window every {manifest.hop_s:g} s; {', '.join(signal.channels)} in "
        f"{signal.acceleration_unit} ({'with' if signal.gravity_included else 'without'} gravity) and {signal.angular_rate_unit}",
    )
    table.add_row("encoder", f"{manifest.encoder.kind}, {manifest.encoder.parameters:,} parameters, {manifest.model}")
    for name, variant in manifest.variants.items():
        kept = f", {', '.join(variant.kept_in_fp32)} in more precision" if variant.kept_in_fp32 else ""
        table.add_row(f"model {name}", f"{variant.file}, {variant.method}{kept}")
    space = manifest.text_space
    table.add_row("text space", f"{space.tower}, {space.dimension}-d, weights {space.weights_sha256[:12]}")
    table.add_row(
        "decisions",
        f"temperature {decision.temperature:.3g}, unknown below a lead of {decision.unknown_margin:.3g} or a cosine of "
        f"{decision.unknown_cosine:.3g}, still below {decision.still_acc_m_s2:g} m/s2, {decision.still_gyro_rad_s:g} rad/s and a steady turn of "
        f"{decision.still_turn_rad_s:g} rad/s, smoothing "
        f"{decision.smoothing_s:g} s, hysteresis {decision.hysteresis:g}, at least {decision.min_duration_s:g} s",
    )
    for name in opened.prototype_sets:
        known = load_for(opened, name)
        chosen = " (default)" if name == manifest.prototypes else ""
        table.add_row(f"labels {name}{chosen}", "; ".join(known.labels))
    for title, facts in (("training", manifest.training), ("metrics", manifest.metrics)):
        for name, value in facts.items():
            table.add_row(f"{title} {name}", _brief(value))
    for name, entry in manifest.files.items():
        table.add_row(f"file {name}", f"{entry.bytes:,} bytes, sha256 {entry.sha256[:12]}")
    Console(markup=False, emoji=False).print(table)


@app.command()
def verify(
    bundle: BundlePath = None,
    engine: Annotated[
        str, typer.Option(help="Engine that recomputes the golden vectors: ort, openvino, trt, cuda, torch, ...")
    ] = "ort",
    precision: Annotated[
        str | None, typer.Option(help="fp32, fp16, int8: which of the bundle's models (default: the engine's choice).")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Run folder that it was exported from, for an engine that runs no bundle.")
    ] = None,
    provider: Annotated[
        str | None, typer.Option(help="Execution provider of onnxruntime: cpu, cuda, openvino, ...")
    ] = None,
    json_output: AsJson = False,
) -> None:
    """Prove a bundle on this machine: every file unchanged, every label set of its text space, golden vectors recomputed."""
    import json

    from aura_edge.bundle import load
    from aura_edge.commands.stream import DEMO_BUNDLE, demo_file
    from aura_edge.engines import open_engine
    from aura_edge.engines.proof import COSINE, prove
    from aura_edge.prototypes import load_for

    opened = load(bundle or demo_file(DEMO_BUNDLE))
    sets = {name: load_for(opened, name) for name in opened.prototype_sets}
    running = open_engine(engine, opened, provider=provider, checkpoint=checkpoint, precision=precision)
    try:
        proof = prove(opened, running)
    finally:
        running.close()
    space = opened.manifest.text_space
    # What is no precision of the bundle is its FP32 model, computed otherwise: only directions must hold.
    stated = running.info.precision in opened.precisions
    tolerance = opened.model(running.info.precision)[1] if stated else None
    accepted = f"{tolerance:.2g}" if tolerance is not None else f"any with a cosine of {COSINE}"
    if json_output:
        report = {
            "bundle": str(opened.path),
            "files": proof.files,
            "prototype_sets": {
                name: {"labels": len(known.labels), "digest": known.digest} for name, known in sets.items()
            },
            "text_space": {"tower": space.tower, "dimension": space.dimension, "weights_sha256": space.weights_sha256},
            "golden": {"windows": proof.golden_windows, "max_abs": proof.golden_max_abs, "tolerance": tolerance},
            "engine": {
                "name": running.info.name,
                "device": running.info.device,
                "precision": running.info.precision,
                "weights": running.info.weights,
            },
        }
        typer.echo(json.dumps(report, indent=2))
        return
    console = Console(markup=False, emoji=False)
    console.print(f"{opened.path}: verified", style="bold green", highlight=False)
    console.out(f"  {proof.files} files have the sha256 of the manifest")
    console.out(f"  {len(sets)} label sets live in the text space of the encoder: {space.tower}, {space.dimension}-d")
    console.out(
        f"  {proof.golden_windows} golden windows recomputed by {running.info.name} on {running.info.device} in {running.info.precision}: "
        f"largest difference {proof.golden_max_abs:.2g}, accepted {accepted}"
    )


def _brief(value: object) -> str:
    """A fact in one cell; the whole of it is in `--json`."""
    import json

    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:300]}... (all of it: --json)"
