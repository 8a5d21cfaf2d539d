"""`aura-edge doctor`: what this machine can run, what is missing, and the command that adds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from aura_edge.doctor.report import Report

app = typer.Typer(add_completion=False)


@app.command()
def doctor(
    thorough: Annotated[
        bool,
        typer.Option("--thorough", help="Import every package that is installed, to see that it works; takes seconds."),
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Say what this machine can run: engines, GPU, compilers, serial ports, text towers, extras; and how to add what is missing."""
    from aura_edge.doctor import examine

    report = examine(thorough=thorough)
    if json_output:
        import msgspec

        typer.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
        return
    _show(report)


def _show(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    styles = {"ok": "green", "missing": "yellow", "broken": "bold red", "fact": ""}
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    shown = ""
    for check in report.checks:
        state = "" if check.state == "fact" else check.state
        table.add_row(
            "" if check.area == shown else check.area, check.name, Text(state, style=styles[check.state]), check.detail
        )
        shown = check.area
    console = Console(markup=False, emoji=False, highlight=False)
    console.print(f"aura-edge {report.aura_edge}")
    console.print(table)
    remedies = [check for check in report.checks if check.remedy]
    if remedies:
        console.print("\nWhat is missing, and what adds it:")
    for check in remedies:
        console.out(f"  {check.area} {check.name}: {check.remedy}", highlight=False)
    if not report.thorough:
        console.print("\nPackages were found, not imported; --thorough imports them all.", style="dim")
