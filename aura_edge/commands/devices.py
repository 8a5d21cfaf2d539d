"""`aura-edge devices`: the serial ports of this machine, and what speaks on each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from aura_edge.commands.options import BAUD_HELP

if TYPE_CHECKING:
    from aura_edge.sources.serial.survey import Surveyed

app = typer.Typer(add_completion=False)


@app.command()
def devices(
    port: Annotated[
        list[str] | None, typer.Argument(help="Only these ports; any URL of pyserial.", metavar="PORT")
    ] = None,
    listen: Annotated[
        bool, typer.Option("--listen/--no-listen", help="Open each for some seconds to hear what it speaks.")
    ] = True,
    baud: Annotated[int | None, typer.Option(help=BAUD_HELP, min=1)] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """List the serial ports and what speaks on them. Opening a port may restart the board behind it: --no-listen opens none.

    Exit code 1 when a port that was named cannot be opened or understood.
    """
    from concurrent.futures import ThreadPoolExecutor

    from aura_edge.commands.stream import Interruption
    from aura_edge.sources.serial.survey import survey
    from aura_edge.sources.serial.transport import Port, ports

    found = [Port(path) for path in port] if port else ports()
    with Interruption() as interruption, ThreadPoolExecutor(max_workers=max(1, len(found))) as pool:

        def look(at: Port) -> Surveyed:
            return survey(at, baud=baud, listen=listen, cancelled=lambda: interruption.asked)

        rows = list(pool.map(look, found))
    _show(rows, json_output)
    if port and any(row.problem for row in rows):
        raise typer.Exit(1)


def _show(rows: Sequence[Surveyed], json_output: bool) -> None:
    import msgspec
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if json_output:
        typer.echo(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
        return
    if not rows:
        typer.echo("No serial ports. Plug a board in; without one, try: aura-edge simulate --demo")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("port", "device", "speaks"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(text or "") for text in (row.port, row.description, row.speaks or row.problem)))
    Console().print(table)
