"""The command line: names every command, and imports the one that is asked for.

Listing the commands imports none of them, so that `--help` stays fast; a test runs every `--help` and looks at what was imported.
Exit codes: 0 done (a stream that Ctrl-C ended as well), 1 the thing asked for failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

import aura_edge
from aura_edge.errors import AuraEdgeError

COMMANDS = {
    "stream": ("aura_edge.commands.stream:app", "Turn a sensor, a recording or the demo into labels as it plays."),
    "record": ("aura_edge.commands.record:app", "Keep everything that a board sends, to be played again."),
    "devices": ("aura_edge.commands.devices:app", "List the serial ports, and what speaks on them."),
    "doctor": ("aura_edge.commands.doctor:app", "Say what this machine can run, and how to add what is missing."),
    "labels": ("aura_edge.commands.labels:app", "Show or change the labels of a stream that runs."),
    "simulate": ("aura_edge.commands.simulate:app", "Play a recording as a board on a pseudo terminal, with faults."),
    "bundle": ("aura_edge.commands.bundle:app", "Show or verify a bundle: a model with all that a device must know."),
    "diary": ("aura_edge.commands.diary:app", "Say what a kept diary amounts to."),
    "ask": (
        "aura_edge.commands.ask:app",
        "Ask a model of your choice about a diary; the figures come from the database.",
    ),
    "index": ("aura_edge.commands.index:app", "Embed recordings, to be searched."),
    "search": ("aura_edge.commands.search:app", "Find moments in indexed recordings, by words or by motion."),
    "train": ("aura_edge_train.commands:train_app", "Train an encoder as a recipe says."),
    "calibrate": ("aura_edge_train.commands:calibrate_app", "Weigh activities that were trained on against others."),
    "import": ("aura_edge_train.commands:import_app", "Take over a checkpoint of IMU2CLIP, AURA-MFM or PRIMUS."),
    "evaluate": (
        "aura_edge_train.evaluation.commands:evaluate_app",
        "Measure encoders on people they were not trained on.",
    ),
    "export": ("aura_edge_export.commands:export_app", "Make a bundle from a checkpoint, and prove that they agree."),
    "prototypes": ("aura_edge_export.commands:prototypes_app", "Embed labels of your own for a bundle."),
    "bench": ("aura_edge_bench.commands:bench_app", "Measure how fast a bundle's encoder runs here."),
}
"""Name, where its typer app is, and its line in the list. Dotted strings, for commands of other packages stand above this one."""


class LazyGroup(TyperGroup):
    """A group whose commands are only names until one of them is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, (_, summary) in COMMANDS.items():
            self.add_command(TyperCommand(name, help=summary))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, listed, rest = super().resolve_command(ctx, args)
        return name, None if listed is None else _load(str(name)), rest


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"aura-edge {aura_edge.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which one.")
    ] = False,
) -> None:
    """Zero-shot activity labels from an accelerometer and a gyroscope, on the edge."""


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit with its code; errors of ours are one line on standard error, never a traceback."""
    try:
        get_command(app)(args, prog_name="aura-edge")
    except AuraEdgeError as error:
        if not isinstance(error.__cause__, BrokenPipeError):  # a reader that has gone, as in `| head`, knows
            print(f"aura-edge: {error}", file=sys.stderr)
        _settle_stdout()
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        if error.filename is not None:
            raise
        # What has no file name is a stream: standard output that takes no more.
        print(f"aura-edge: standard output cannot be written: {error.strerror}.", file=sys.stderr)
        _settle_stdout()
        sys.exit(1)


def _load(name: str) -> Any:
    module, attribute = COMMANDS[name][0].split(":")
    return get_command(getattr(importlib.import_module(module), attribute))


def _settle_stdout() -> None:
    """Where standard output takes no more, let what is left go nowhere: the interpreter would try again at its end, and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
