"""`aura-edge ask`: a question about a diary, in words, to a language model that the user names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from aura_edge.asking.conversation import Answer
    from aura_edge.asking.queries import Answered

app = typer.Typer(add_completion=False)

KEY_VARIABLE = "AURA_EDGE_ASK_KEY"


@app.command()
def ask(
    path: Annotated[Path, typer.Argument(help="The diary, as stream --diary keeps it.", metavar="FILE")],
    question: Annotated[str, typer.Argument(help='As in "how long did I sit, and when did I first walk?"')],
    endpoint: Annotated[
        str | None,
        typer.Option(help="Base of an OpenAI-compatible interface: http://localhost:11434/v1.", metavar="URL"),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Which of its models.", metavar="NAME")] = None,
    key_variable: Annotated[
        str, typer.Option(help="Environment variable that holds its key, where it wants one.", metavar="NAME")
    ] = KEY_VARIABLE,
    timeout: Annotated[
        float, typer.Option(help="For the whole conversation.", metavar="SECONDS", min=1.0, max=3600.0)
    ] = 120.0,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Ask about a diary. A language model that you name queries it, read-only; figures that no row holds are pointed out."""
    if endpoint is None or model is None:
        missing = " and ".join(name for name, value in (("--endpoint", endpoint), ("--model", model)) if value is None)
        raise typer.BadParameter(
            f"needed to ask a language model, and nothing is sent without them. For figures without one: aura-edge diary {path}",
            param_hint=missing,
        )
    from contextlib import closing

    from aura_edge.asking.conversation import ask as ask_endpoint
    from aura_edge.asking.endpoint import Endpoint, readable

    key = os.environ.get(key_variable) or None
    with closing(Endpoint(endpoint, model, key=key, timeout_s=timeout)) as opened:
        typer.echo(
            f"sending the question, the names of the diary's columns, and the rows that the model asks for to {opened.url} "
            f"(model {readable(model)}, {'the key in ' + key_variable if key else 'no key'})",
            err=True,
        )
        answer = ask_endpoint(path, question, opened, asked=_said)
    if json_output:
        import msgspec

        typer.echo(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())
    else:
        _print(answer)
    for doubt in answer.doubts:
        typer.echo(f"not certain: {readable(doubt)}", err=True)


def _said(result: Answered) -> None:
    from aura_edge.asking.endpoint import readable

    outcome = f"{len(result.rows)} rows" if result.error is None else result.error
    typer.echo(f"{result.name}: {readable(' '.join(result.sql.split()))} -> {readable(outcome)}", err=True)


def _print(answer: Answer) -> None:
    """The answer, and the rows that it names."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from aura_edge.asking.endpoint import readable

    console = Console()
    console.print(Text(answer.text))
    for result in answer.queries:
        whole = result.name in answer.cited
        chosen = [i for i in range(1, len(result.rows) + 1) if whole or f"{result.name}.{i}" in answer.cited]
        if not chosen:
            continue
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
        for column in ("row", *result.columns):
            table.add_column(Text(readable(column)))
        for i in chosen:
            table.add_row(f"{result.name}.{i}", *(Text(readable(str(cell))) for cell in result.rows[i - 1]))
        console.print()
        console.print(table)
