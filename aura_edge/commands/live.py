"""What makes a stream live for people beside it: the page of `--web`, and labels that are edited while it runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from aura_edge.bundle import Bundle
    from aura_edge.label_set import LabelSet
    from aura_edge.prototypes import Prototypes
    from aura_edge.sinks.web import WebSink

WEB_HELP = "Serve a live page; at 127.0.0.1:8642 unless said. Any place that others reach asks for a token."
LABELS_FILE_HELP = "A label a line; saved while the stream runs, it becomes the set in force."
CONTROL_HELP = "Where `aura-edge labels` finds the stream (default: a place of this user's own)."


class WebMayStandAlone(TyperCommand):
    """A command whose `--web` needs no value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        followed = zip(args, [*args, "--"][1:], strict=True)
        return super().parse_args(
            ctx, ["--web=" if arg == "--web" and after.startswith("-") else arg for arg, after in followed]
        )


def editable(model: Bundle, known: Prototypes, set_name: str | None, file: Path | None) -> LabelSet:
    """The labels to start with, `file`'s where there is one. Raises `InputError` or `BundleError` for a file that cannot be used."""
    from aura_edge.label_set import LabelSet
    from aura_edge.labels_file import read_labels_file
    from aura_edge.lexicon import vocabulary_of
    from aura_edge.text import open_space

    space = model.manifest.text_space
    labels = LabelSet(known, lambda: vocabulary_of(model, set_name), tower=lambda: open_space(space))
    if file is not None:
        typer.echo(f"{file}: {labels.replace(read_labels_file(file)).said}", err=True)
    return labels


def open_web(where: str, title: str, model: Bundle, labels: LabelSet) -> WebSink:
    """The page, which is served from now on; its address is said, once. `where` is HOST:PORT, or nothing."""
    from aura_edge.sinks import TOKEN
    from aura_edge.sinks.address import parse_address
    from aura_edge.sinks.web import PORT, WebSink
    from aura_edge.sinks.web.card import facts_of

    address = parse_address(where, port=PORT, token=os.environ.get(TOKEN) or None)
    page = WebSink(address, facts_of(title, model), rate_hz=model.manifest.signal.rate_hz, labels=labels)
    typer.echo(f"live page: {page.address.url}", err=True)
    return page


def accept_edits(
    opened: ExitStack, labels: LabelSet, relabel: Callable[[Prototypes], None], file: Path | None, control: Path | None
) -> None:
    """From now on edits reach the stream: of the file, and by `aura-edge labels`, until `opened` is closed.

    Raises `SinkError` where no socket can be made at `control`; without it, that is said and the stream goes on.
    """
    from contextlib import closing

    from aura_edge.control import ControlSocket
    from aura_edge.errors import SinkError
    from aura_edge.labels_file import LabelsFile

    labels.goes_to(relabel)
    if file is not None:
        opened.enter_context(closing(LabelsFile(file, labels.replace)))
    try:
        opened.enter_context(closing(ControlSocket(labels, control)))
    except SinkError as error:
        if control is not None:
            raise
        typer.echo(f"`aura-edge labels` cannot reach this stream: {error}", err=True)
