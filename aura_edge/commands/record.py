"""`aura-edge record`: keeps every byte that a board sends, with host times, so that any model can be run over it later; and turns it into MCAP."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated

import typer

from aura_edge.commands.options import BAUD_HELP, FORMAT_HELP, finite, known_format
from aura_edge.sources import LiveSource, Source, open_source

app = typer.Typer(add_completion=False)


@app.command()
def record(
    output: Annotated[
        Path, typer.Argument(help="The recording to make, as walk.aurec, or to turn into MCAP.", metavar="FILE.aurec")
    ],
    device: Annotated[
        str | None, typer.Option(help="The board: /dev/ttyUSB0, or any URL of pyserial.", metavar="PORT")
    ] = None,
    baud: Annotated[int | None, typer.Option(help=BAUD_HELP, min=1)] = None,
    form: Annotated[str, typer.Option("--format", help=FORMAT_HELP, callback=known_format, metavar="NAME")] = "auto",
    units: Annotated[str | None, typer.Option(help="Units of a board that does not say them: 'g, deg/s, ms'.")] = None,
    columns: Annotated[str | None, typer.Option(help="Where it sends what: 'acc_x=0,...,t=6'.")] = None,
    rate_hz: Annotated[float | None, typer.Option(help="Sampling rate of a board without times.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for a device that is not there yet.")] = False,
    duration: Annotated[
        float | None,
        typer.Option(help="Stop after so many seconds of samples.", callback=finite, metavar="SECONDS", min=0.0),
    ] = None,
    mcap: Annotated[
        Path | None,
        typer.Option(help="Write the samples of FILE.aurec as MCAP, for Foxglove and others.", metavar="FILE.mcap"),
    ] = None,
) -> None:
    """Record a board until Ctrl-C; or, with --mcap and without --device, turn a recording into MCAP.

    Play a recording with: aura-edge stream --replay FILE.aurec
    """
    if (device is None) == (mcap is None):
        raise typer.BadParameter("name either a board (--device) or what to turn the recording into (--mcap).")
    if mcap is not None:
        told = {"--baud": baud, "--units": units, "--columns": columns, "--rate-hz": rate_hz, "--duration": duration}
        given = [name for name, value in told.items() if value is not None]
        given += ["--format"] * (form != "auto") + ["--wait"] * wait
        if given:
            raise typer.BadParameter(
                f"{', '.join(given)} is about a board; with --mcap a recording is read as it was then. Leave it out."
            )
        from aura_edge.sources.serial.mcap import export_mcap

        count, notes = export_mcap(output, mcap)
        typer.echo(f"{mcap}: {count:,} samples of {output}")
        for note in notes:
            typer.echo(f"note: {note}")
        return

    from aura_edge.commands.stream import Interruption
    from aura_edge.sources.duration import FirstSeconds

    with ExitStack() as opened:
        interruption = opened.enter_context(Interruption())
        source: Source = opened.enter_context(
            closing(
                open_source(
                    f"serial:{device}",
                    baud=baud,
                    format=form,
                    units=units,
                    columns=columns,
                    rate_hz=rate_hz,
                    wait=wait,
                    record=output,
                    cancelled=lambda: interruption.asked,
                )
            )
        )
        if duration is not None:
            source = FirstSeconds(source, duration)
        interruption.stops(source.close)
        _follow(source, output)


def _follow(source: Source, output: Path) -> None:
    """Take what comes until it ends, and say how it goes where somebody watches."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    samples = 0
    with console.status(Text(f"{source.info.name}: recording to {output}; Ctrl-C ends it")) as status:
        for chunk in source:
            samples += len(chunk.t_ns)
            status.update(Text(f"{source.info.name}: {samples:,} samples in {output}; Ctrl-C ends it"))
    report = source.report() if isinstance(source, LiveSource) else {}
    told = [f"{samples:,} samples of {source.info.name}", *_losses(report)]
    typer.echo(f"{output}: {', '.join(told)}")
    for note in source.info.notes:
        typer.echo(f"note: {note}")
    typer.echo(f"Play it with: aura-edge stream --replay {output}")


def _losses(report: Mapping[str, float]) -> list[str]:
    """What is known of them: not every board can tell."""
    told = [f"{report['lost']:,.0f} lost before they arrived"] if "lost" in report else []
    discarded = {name: count for name, count in report.items() if name.startswith("discarded_")}
    n_bytes = sum(count for name, count in discarded.items() if name.endswith("_bytes"))
    frames = sum(count for name, count in discarded.items() if not name.endswith("_bytes"))
    told += [f"{frames:,.0f} damaged frames"] if frames else []
    return told + ([f"{n_bytes:,.0f} bytes not understood"] if n_bytes else [])
