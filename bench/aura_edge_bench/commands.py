"""`aura-edge bench`: what it takes and where its result goes; engines are imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aura_edge.commands.options import CHECKPOINT_HELP, ENGINES, PRECISION_HELP, PROVIDER_HELP, known_engine

bench_app = typer.Typer(add_completion=False)


@bench_app.command()
def bench(
    bundle: Annotated[Path | None, typer.Option(help="The bundle to measure (default: the demo's).")] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(
            "--engine",
            help=f"Engines to time, several between commas or repeated: {', '.join(ENGINES)}; ort:int8 for one in a precision of its own "
            "(default: ort and torch).",
            callback=lambda names: _listed(names or []),
        ),
    ] = None,
    precision: Annotated[str | None, typer.Option(help=PRECISION_HELP)] = None,
    checkpoint: Annotated[Path | None, typer.Option(help=CHECKPOINT_HELP)] = None,
    provider: Annotated[str | None, typer.Option(help=PROVIDER_HELP)] = None,
    windows: Annotated[
        Path | None, typer.Option(help="Real windows, .safetensors or .npz (default: the bundle's golden ones).")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Calls of each engine.")] = 500,
    batch: Annotated[int, typer.Option(min=1, help="Windows in one call.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each engine.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the order within a round.")] = 0,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Write the result as JSON to this file; - prints it instead of the table."),
    ] = None,
) -> None:
    """Measure how long engines take to encode a window: interleaved, on real windows, with the machine's facts."""
    import msgspec
    from rich.console import Console
    from rich.progress import Progress

    from aura_edge.bundle import load
    from aura_edge.commands.stream import DEMO_BUNDLE, demo_file
    from aura_edge_bench.encode_latency import encode_latency
    from aura_edge_bench.report import render, write_json
    from aura_edge_export.windows import load_windows

    opened = load(bundle or demo_file(DEMO_BUNDLE))
    given = load_windows(windows, opened.manifest.signal).samples if windows else None
    stderr = Console(stderr=True)
    with Progress(console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task("rounds", total=rounds)
        result = encode_latency(
            opened,
            tuple(engine or ("ort", "torch")),
            checkpoint=checkpoint,
            provider=provider,
            precision=precision,
            windows=given,
            rounds=rounds,
            batch=batch,
            threads=threads,
            seed=seed,
            progress=lambda: bar.advance(task),
        )
    if json_file is not None and str(json_file) == "-":
        typer.echo(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())
        return
    if json_file is not None:
        write_json(json_file, result)
    Console(markup=False, emoji=False).print(render(result))


def _listed(asked: list[str]) -> list[str]:
    """`ort,ort:int8` as two; each known, each once."""
    names = [name.strip() for text in asked for name in text.split(",") if name.strip()]
    for name in names:
        known_engine(name.partition(":")[0])
    return list(dict.fromkeys(names))
