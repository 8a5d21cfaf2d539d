"""`aura-edge devices`: the serial ports of this machine, and what speaks on each."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def devices(
    port: Annotated[
        list[str] | None, typer.Argument(help="Only these ports; any URL of pyserial.", metavar="PORT")
    ] = None,
    listen: Annotated[
        bool, typer.Option("--listen/--no-listen", help="Open each for some seconds to hear what it speaks.")
    ] = True,
    baud: Annotated[int | None, typer.Option(help="Rate of the wire [default: 115200].", min=1)] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """List the serial ports and what speaks on them. Opening a port may restart the board behind it: --no-listen opens none."""
    from concurrent.futures import ThreadPoolExecutor

    import msgspec
    from rich.console import Console
    from rich.table import Table

    from aura_edge.sources.serial.survey import Surveyed, survey
    from aura_edge.sources.serial.transport import Port, ports

    found = [Port(path) for path in port] if port else ports()
    with ThreadPoolExecutor(max_workers=max(1, len(found))) as pool:
        rows: list[Surveyed] = list(pool.map(lambda p: survey(p, baud=baud, listen=listen), found))
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
        table.add_row(row.port, row.description, row.speaks or row.problem)
    Console().print(table)
