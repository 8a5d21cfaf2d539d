"""`aura-edge train` and `aura-edge evaluate`: what they take and where their results go; torch is imported when they run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

train_app = typer.Typer(add_completion=False)
evaluate_app = typer.Typer(add_completion=False)

Data = Annotated[
    Path, typer.Option("--data", help="Folder of the recordings, with sisfall/ and sp-sw-har/ in it.", metavar="FOLDER")
]
Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        help="Where resampled recordings are kept (default: aura-edge in the user's cache).",
        metavar="FOLDER",
    ),
]
Threads = Annotated[int, typer.Option("--threads", help="Threads; 0 for one per core.", min=0)]


@train_app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="A TOML file, or a shipped recipe: demo, tiny.", metavar="RECIPE")],
    data: Data,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Run folder (default: runs/<name>).")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in that folder.")] = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    jobs: Annotated[int, typer.Option("--jobs", help="Processes that read recordings the cache has not.", min=1)] = 1,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write curves for TensorBoard as well.")] = False,
    download: Annotated[bool, typer.Option("--download", help="Let a text or image tower fetch its weights.")] = False,
    cache: Cache = None,
    threads: Threads = 0,
) -> None:
    """Train an encoder as a recipe says; killed and resumed, it gives the same encoder."""
    from rich.console import Console

    from aura_edge.errors import require

    torch = require("torch", extra="train")

    from aura_edge_train import recipe as recipes
    from aura_edge_train.running import train as run_training

    chosen = recipes.load(recipe)
    run = out or Path("runs") / chosen.name
    torch.set_num_threads(threads or os.cpu_count() or 1)
    console = Console(stderr=True, soft_wrap=True)
    try:
        header = run_training(
            chosen,
            data=data,
            run=run,
            cache=cache or default_cache(),
            resume=resume,
            device=device,
            jobs=jobs,
            download=download,
            tensorboard=tensorboard,
            console=console,
        )
    except KeyboardInterrupt:
        typer.echo(f"interrupted; go on with: aura-edge train {recipe} --data {data} --out {run} --resume", err=True)
        raise typer.Exit(130) from None
    typer.echo(
        f"{run}: best after epoch {header.metrics['epoch']}; export it with: aura-edge export {run} -o {chosen.name}.aura"
    )


@evaluate_app.command()
def evaluate(
    data: Data,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="The bundle to measure (default: the demo's).", metavar="FOLDER")
    ] = None,
    data_set: Annotated[
        list[str] | None,
        typer.Option("--set", help="Data set; may be repeated (default: all that the bundle has prototypes for)."),
    ] = None,
    split: Annotated[str, typer.Option("--split", help="Whose windows: test, validation or train.")] = "test",
    rotate: Annotated[
        int | None,
        typer.Option("--rotate", help="Turn each window by a random rotation drawn from SEED.", metavar="SEED"),
    ] = None,
    engine: Annotated[str, typer.Option("--engine", help="auto, ort or torch.")] = "auto",
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="Run folder, for --engine torch.", metavar="FOLDER")
    ] = None,
    cache: Cache = None,
    threads: Threads = 0,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Write the result as JSON to this file; - prints it instead of the tables."),
    ] = None,
) -> None:
    """Measure a bundle on people it was not trained on: zero-shot accuracy, macro-F1, confusion."""
    from contextlib import closing

    import msgspec
    from rich.console import Console

    from aura_edge.bundle import load, verify_files
    from aura_edge.commands.stream import DEMO_BUNDLE, demo_file
    from aura_edge.encoders.checkpoint import replace_file
    from aura_edge.engines import open_engine
    from aura_edge.errors import SinkError, require

    require("torch", extra="train")
    from aura_edge_train.datasets import SPLITS
    from aura_edge_train.evaluation.evaluate import evaluate as measure
    from aura_edge_train.evaluation.report import show

    if split not in SPLITS:
        raise typer.BadParameter(f"{split!r}: expected one of {', '.join(SPLITS)}.", param_hint="--split")
    opened = load(bundle or demo_file(DEMO_BUNDLE))
    verify_files(opened)
    running = open_engine(engine, opened, threads=threads or os.cpu_count() or 1, checkpoint=checkpoint)
    with closing(running):
        found = measure(
            opened,
            running,
            data=data,
            cache=cache or default_cache(),
            sets=data_set or (),
            split=SPLITS[split],
            rotation_seed=rotate,
            console=Console(stderr=True),
        )
    content = msgspec.json.format(msgspec.json.encode(found), indent=2)
    if json_file == Path("-"):
        typer.echo(content)
        return
    show(found, Console(markup=False, emoji=False))
    if json_file is not None:
        try:
            replace_file(json_file, content + b"\n")
        except OSError as error:
            raise SinkError(f"{json_file}: cannot write the result: {error.strerror}. Choose another place.") from error


def default_cache() -> Path:
    """Where resampled recordings are kept: below `$XDG_CACHE_HOME`, or `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aura-edge"
