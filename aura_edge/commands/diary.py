"""`aura-edge diary`: what a diary that `stream` kept amounts to."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


def _day(text: str | None) -> str | None:
    try:
        return None if text is None else date.fromisoformat(text).isoformat()
    except ValueError:
        raise typer.BadParameter(f"{text!r}: expected a day, as in 2026-11-24.") from None


@app.command()
def diary(
    path: Annotated[Path, typer.Argument(help="The diary, as stream --diary keeps it.", metavar="FILE")],
    day: Annotated[
        str | None, typer.Option(help="Only this day, in the diary's local time.", callback=_day, metavar="YYYY-MM-DD")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    html: Annotated[Path | None, typer.Option(help="Also write it as a page.", metavar="FILE")] = None,
    svg: Annotated[
        Path | None, typer.Option(help="Also write the picture of the day, or of the last one.", metavar="FILE")
    ] = None,
) -> None:
    """Say what a diary amounts to: time per label and hour, sessions, what followed what, a picture of each day."""
    from aura_edge.diary.reading import account
    from aura_edge.errors import InputError
    from aura_edge.whole_files import write_result

    told = account(path, None if day is None else date.fromisoformat(day))
    if html or svg:
        from aura_edge.diary.page import page, picture

        if html:
            write_result(html, page(told).encode())
        if svg:
            shown = told.day or next(reversed(told.days), None)
            if shown is None:
                raise InputError(f"{path}: is empty, there is no day to draw. Keep a longer run.")
            write_result(svg, picture(told, shown).encode())
    if json_output:
        import msgspec

        typer.echo(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
        return
    from rich.console import Console

    from aura_edge.diary.screen import account_view

    Console().print(account_view(told))
