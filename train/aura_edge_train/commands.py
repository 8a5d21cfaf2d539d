"""`aura-edge train`, `calibrate` and `import`: what they take and where their results go; torch is imported when they run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from aura_edge.user_cache import user_cache

train_app = typer.Typer(add_completion=False)
calibrate_app = typer.Typer(add_completion=False)
import_app = typer.Typer(add_completion=False)

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
            cache=cache or user_cache(),
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
    if not header.metrics:  # one of several processes, and not the one that validates and writes
        return
    typer.echo(
        f"{run}: best after epoch {header.metrics['epoch']}; export it with: aura-edge export {run} -o {chosen.name}.aura"
    )


@calibrate_app.command()
def calibrate(
    run: Annotated[Path, typer.Argument(help="The run folder of the encoder.", metavar="RUN")],
    data: Data,
    folds: Annotated[
        int, typer.Option(help="How often it is trained again, each time without other captions.", min=1, max=5)
    ] = 2,
    epochs: Annotated[int, typer.Option(help="Epochs of each.", min=1)] = 8,
    cache: Cache = None,
    threads: Threads = 0,
) -> None:
    """Measure how much nearer an encoder lies to activities it was trained on, so that it also finds others; kept in its checkpoint."""
    from rich.console import Console

    from aura_edge.errors import require

    torch = require("torch", extra="train")

    from aura_edge_train.running import calibrate as run_calibration

    torch.set_num_threads(threads or os.cpu_count() or 1)
    console = Console(stderr=True, soft_wrap=True)
    found = run_calibration(run, data=data, cache=cache or user_cache(), folds=folds, epochs=epochs, console=console)
    typer.echo(
        f"{run}: seen-bias {found.seen_bias:.3f}; harmonic mean of seen and left-out captions {found.harmonic_mean:.3f}, "
        f"{found.harmonic_mean_before:.3f} without it. Export it again to ship that."
    )


@import_app.command("import")
def import_foreign(
    file: Annotated[Path, typer.Argument(help="A checkpoint of IMU2CLIP, AURA-MFM or PRIMUS.", metavar="FILE")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The run folder to write.")],
    family: Annotated[str, typer.Option(help="imu2clip, aura-mfm or primus: tensors alone do not tell.")],
    captions: Annotated[
        list[str], typer.Option("--set", help="Data set whose captions its windows can be called by; may be repeated.")
    ],
    text_tower: Annotated[
        str, typer.Option("--text-tower", help="The tower it was aligned with.")
    ] = "open_clip:ViT-B-32-quickgelu:openai",
    gru_axis: Annotated[str | None, typer.Option(help="channel or time, for a 1D-CNN-RNN.")] = None,
    pool: Annotated[str | None, typer.Option(help="max or adaptive, for a 1D-CNN-RNN.")] = None,
    heads: Annotated[
        int | None, typer.Option(help="Attention heads, for a Transformer of none of the published sizes.", min=1)
    ] = None,
    rate_hz: Annotated[float, typer.Option(help="Sampling rate it was trained at.", min=1.0)] = 200.0,
    download: Annotated[bool, typer.Option("--download", help="Let the tower fetch its weights.")] = False,
) -> None:
    """Turn somebody's checkpoint into one of ours, to be evaluated, fine-tuned or exported."""
    from aura_edge.errors import require

    require("torch", extra="train")

    from aura_edge.manifest import SignalSpec
    from aura_edge.text import open_tower
    from aura_edge_train import datasets
    from aura_edge_train.foreign_checkpoints import import_checkpoint
    from aura_edge_train.foreign_names import FAMILIES

    for value, known, option in (
        (family, FAMILIES, "--family"),
        (gru_axis or "time", ("channel", "time"), "--gru-axis"),
        (pool or "max", ("max", "adaptive"), "--pool"),
    ):
        if value not in known:
            raise typer.BadParameter(f"{value!r}: expected one of {', '.join(known)}.", param_hint=option)
    header = import_checkpoint(
        file,
        output,
        family=family,  # type: ignore[arg-type]
        name=output.name,
        text_space=open_tower(text_tower, download=download).space,
        captions={name: datasets.get(name).captions for name in captions},
        signal=SignalSpec(rate_hz=rate_hz),
        gru_axis=gru_axis,  # type: ignore[arg-type]
        pool=pool,  # type: ignore[arg-type]
        heads=heads,
    )
    typer.echo(
        f"{output}: {header.encoder.kind}, {header.encoder.parameters:,} parameters; measure it with: aura-edge evaluate --run {output}"
    )
