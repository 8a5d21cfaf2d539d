"""`aura-edge index`: recordings into an index that `aura-edge search` looks through."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from aura_edge.commands.options import ENGINE_HELP, finite, known_engine

app = typer.Typer(add_completion=False)


@app.command()
def index(
    paths: Annotated[list[Path], typer.Argument(help="Recordings of any kind, or folders of them.")],
    into: Annotated[Path, typer.Option(help="The index, a folder; added to where it is there.", metavar="INDEX")],
    bundle: Annotated[
        Path | None, typer.Option(help="The model; the demo's where none is named.", metavar="FOLDER")
    ] = None,
    hop: Annotated[
        float | None,
        typer.Option(
            help="From one window to the next (default: half a window).", callback=finite, metavar="SECONDS", min=0.1
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes that embed.", min=1, max=256)] = 1,
    engine: Annotated[str, typer.Option(help=ENGINE_HELP, callback=known_engine, metavar="NAME")] = "ort",
    preset: Annotated[str | None, typer.Option(help="The format of a public data set.", metavar="NAME")] = None,
    units: Annotated[str | None, typer.Option(help="Units of files that do not say them: 'g, deg/s, ms'.")] = None,
    columns: Annotated[str | None, typer.Option(help="Where files keep what: 'acc_x=ax,...,t=time'.")] = None,
    rate_hz: Annotated[float | None, typer.Option(help="Sampling rate of files without times.")] = None,
    vrs_stream: Annotated[
        str | None, typer.Option("--stream", help="Which sensor of VRS files: imu-right.", metavar="LABEL")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Embed recordings once, for searching. What is in the index already is left out; an interrupted run goes on where it was."""
    from rich.console import Console
    from rich.progress import Progress

    from aura_edge import bundle as bundles
    from aura_edge.commands.stream import DEMO_BUNDLE, demo_file
    from aura_edge.motion_search.index import facts_of, make_index
    from aura_edge.motion_search.indexing import index_recordings
    from aura_edge.motion_search.windows import find

    found = find(paths)
    model = bundles.load(bundle or demo_file(DEMO_BUNDLE))
    bundles.verify_files(model)
    hop_s = model.manifest.signal.window_s / 2 if hop is None else hop
    opened = make_index(into, facts_of(model.manifest, model.model_digest, model.path, hop_s))
    options = {"preset": preset, "units": units, "columns": columns, "rate_hz": rate_hz, "stream": vrs_stream}
    began_s = time.perf_counter()
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("embedding", total=len(found))
        outcome = index_recordings(
            opened, found, options, model.path, engine=engine, jobs=jobs, done=lambda _: progress.advance(task)
        )
    took_s = time.perf_counter() - began_s
    if json_output:
        import msgspec

        told = {"windows_in_index": opened.count(), "seconds": round(took_s, 3), **msgspec.to_builtins(outcome)}
        typer.echo(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
    else:
        pace = f", {outcome.covered_s / took_s:,.0f} times real time" if outcome.added else ""
        typer.echo(
            f"{outcome.added} recordings added ({outcome.windows:,} windows, {outcome.still:,} at rest left out{pace}), {outcome.known} known "
            f"already, {len(outcome.failed)} failed; {opened.count():,} windows in {into}"
        )
    for path, why in outcome.failed.items():
        typer.echo(f"failed: {why if path in why else f'{path}: {why}'}", err=True)
    if outcome.failed:
        raise typer.Exit(1)
