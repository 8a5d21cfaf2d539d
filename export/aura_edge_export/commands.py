"""`aura-edge export` and `aura-edge prototypes`: what they take and what they print; torch is imported when they run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from aura_edge.errors import InputError, ParityError

export_app = typer.Typer(add_completion=False)
prototypes_app = typer.Typer(add_completion=False)

TextTowerName = Annotated[
    str | None,
    typer.Option(
        "--text-tower",
        help="Where the tower's weights are, as open_clip:MODEL:FILE (default: its package, or the hub's cache).",
    ),
]


@export_app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a training run, with its checkpoint.json.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The bundle to write, as in demo.aura; one there is replaced.")
    ],
    windows: Annotated[
        Path | None,
        typer.Option(
            help="Real windows to compare on, .safetensors or .npz (default: windows.safetensors of the run)."
        ),
    ] = None,
    prototypes: Annotated[
        str | None, typer.Option(help="Prototype set used when none is named (default: the run's first data set).")
    ] = None,
    metrics: Annotated[
        list[Path] | None,
        typer.Option(help="JSON of measurements to put into the manifest under the file's name; may be repeated."),
    ] = None,
    description: Annotated[str, typer.Option(help="One sentence about the model.")] = "",
    license: Annotated[str, typer.Option(help="License of the weights.")] = "Apache-2.0",
    lexicon: Annotated[
        bool, typer.Option(help="Embed two thousand everyday activities beside the labels, for --labels on a device.")
    ] = True,
    precision: Annotated[
        str, typer.Option(help="Forms of the model, each proved on at least 1,000 real windows: fp32,fp16,int8.")
    ] = "fp32",
    target: Annotated[
        str, typer.Option(help="What it will run on, for what that needs beside ONNX: ort,openvino,trt,cuda.")
    ] = "ort",
    batch: Annotated[
        int | None,
        typer.Option(help="Add forms that take exactly so many windows, for engines that know no other.", min=1),
    ] = None,
    modality: Annotated[
        str, typer.Option(help="imu, or imu,mocap to add the run's encoder of motion capture to the bundle.")
    ] = "imu",
    text: Annotated[
        Path | None,
        typer.Option(help="Write the text tower as ONNX as well, for new labels on a device.", metavar="FOLDER"),
    ] = None,
    triton: Annotated[
        Path | None, typer.Option(help="Write a model repository for Triton Inference Server as well.", metavar="DIR")
    ] = None,
    plan: Annotated[
        Path | None, typer.Option(help="A TensorRT engine of this model for that repository.", metavar="FILE")
    ] = None,
    text_tower: TextTowerName = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Make a bundle from a checkpoint, and prove on real windows that they agree; without that proof nothing is written.

    A precision that misses its gate is left out, with what is to blame; then the exit code is 1.
    """
    if plan is not None and triton is None:
        raise typer.BadParameter(
            "a TensorRT engine goes into a model repository: say where with --triton.", param_hint="--plan"
        )
    measured = {path.stem: _read_json(path) for path in metrics or []}
    from aura_edge_export.bundling import export as make
    from aura_edge_export.lexicon import read_phrases

    progress = Console(stderr=True)
    with progress.status("exporting") as status:
        made = make(
            checkpoint,
            output,
            windows=windows,
            prototype_set=prototypes,
            text_tower=text_tower,
            phrases=read_phrases() if lexicon else (),
            description=description,
            license=license,
            metrics=measured,
            precisions=_listed(precision),
            targets=_listed(target),
            batch=batch,
            modalities=_listed(modality),
            text_folder=text,
            say=status.update,
        )
    if triton is not None:
        from aura_edge_export.triton import write_repository

        write_repository(made.bundle, triton, plan=plan)
    if json_output:
        from aura_edge_export.report import as_json

        typer.echo(as_json(made))
    else:
        from aura_edge_export.report import tell

        tell(made, Console(markup=False, emoji=False))
    if made.missing:
        raise ParityError(
            f"{made.bundle.path}: was written without {', '.join(made.missing)}: no form of it passed its gate; see what was tried above, or "
            "with --json."
        )


@prototypes_app.command()
def prototypes(
    bundle: Annotated[Path, typer.Argument(help="The bundle to add them to.")],
    labels: Annotated[
        list[str] | None, typer.Option("--labels", help="A label, commas and all; may be repeated.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help='JSON of labels: ["walking", ...] or {"walking": ["a person is walking", ...], ...}.'),
    ] = None,
    template: Annotated[
        str, typer.Option(help="Sentence for each label of --labels, with {} in its place: 'a person is {}'.")
    ] = "{}",
    set_name: Annotated[str, typer.Option("--set", help="Name of the set; one of that name is replaced.")] = "custom",
    default: Annotated[
        bool, typer.Option("--default", help="Make it the set that is used when none is named.")
    ] = False,
    text_tower: TextTowerName = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write another bundle and leave this one as it is.")
    ] = None,
) -> None:
    """Embed labels of your own with the bundle's text tower, and add them to it."""
    if bool(labels) == (file is not None):
        raise typer.BadParameter("give labels with --labels (repeated), or a JSON file with --file, and not both.")
    from aura_edge.bundle import load
    from aura_edge_export.labelling import add_labels, bare_labels, read_labels

    sentences = read_labels(file) if file else bare_labels(labels or [], template)
    written, known = add_labels(
        load(bundle), sentences, set_name=set_name, default=default, text_tower=text_tower, target=output
    )
    console = Console(markup=False, emoji=False)
    console.out(f"{written.path}: label set {set_name}, digest {known.digest[:12]}")
    table = Table("label", "sentences")
    for label, lines in zip(known.labels, known.prompts, strict=True):
        table.add_row(label, "\n".join(lines))
    console.print(table)


def _read_json(path: Path) -> object:
    try:
        found: object = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read: {error.strerror}. Expected JSON, as `aura-edge evaluate --json` prints it."
        ) from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}. Expected what `aura-edge evaluate --json` prints.") from error
    return found


def _listed(names: str) -> tuple[str, ...]:
    """The parts of `fp32,int8`."""
    return tuple(name.strip() for name in names.split(",") if name.strip())
