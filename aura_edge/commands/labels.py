"""`aura-edge labels add|remove|list`: the labels of a stream that runs on this machine, by its control socket."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from aura_edge.control import Reply

app = typer.Typer(no_args_is_help=True, add_completion=False)

Socket = Annotated[
    Path | None,
    typer.Option("--control", help="Socket of the stream; found where only one runs.", metavar="PATH"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@app.callback()
def _root() -> None:
    """Show or change the labels of a stream while it runs; the new ones answer from its next window on."""


@app.command("list")
def list_labels(control: Socket = None, json_output: AsJson = False) -> None:
    """The labels, one a line."""
    reply = _asked("list", "", control)
    if json_output:
        _print_json(reply)
        return
    for label in reply.labels:
        typer.echo(label)


@app.command()
def add(
    phrases: Annotated[list[str], typer.Argument(help="Activities: 'climbing stairs' ironing", metavar="LABEL...")],
    control: Socket = None,
    json_output: AsJson = False,
) -> None:
    """Add labels. What the stream does not know, and cannot embed, stands for the nearest that it knows, which is said."""
    _edit("add", phrases, control, json_output)


@app.command()
def remove(
    phrases: Annotated[list[str], typer.Argument(help="As `labels list` has them.", metavar="LABEL...")],
    control: Socket = None,
    json_output: AsJson = False,
) -> None:
    """Remove labels; one must stay."""
    _edit("remove", phrases, control, json_output)


def _edit(do: str, phrases: list[str], control: Path | None, json_output: bool) -> None:
    from aura_edge.control import find_socket

    at = control or find_socket()
    for phrase in phrases:
        reply = _asked(do, phrase, at)
        if not json_output:
            typer.echo(f"{reply.said} ({len(reply.labels)} labels, digest {reply.digest[:12]})")
    if json_output:
        _print_json(reply)


def _asked(do: str, phrase: str, control: Path | None) -> Reply:
    """The reply to one request. Raises `InputError` for one that is refused."""
    import msgspec

    from aura_edge.control import Request, ask, find_socket
    from aura_edge.errors import InputError

    reply = ask(control or find_socket(), msgspec.convert({"do": do, "phrase": phrase}, Request))
    if not reply.ok:
        raise InputError(reply.said)
    return reply


def _print_json(reply: Reply) -> None:
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(reply), indent=2).decode())
