"""`aura-edge simulate`: a recording as a board on a pseudo terminal, with whatever goes wrong with boards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def simulate(
    replay: Annotated[str | None, typer.Option(help="The recording it plays.", metavar="FILE")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Play the recording inside this package.")] = False,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="Play made-up motion.")] = False,
    preset: Annotated[str | None, typer.Option(help="The format of a public data set.", metavar="NAME")] = None,
    units: Annotated[str | None, typer.Option(help="Units of a file that does not say them: 'g, deg/s, ms'.")] = None,
    columns: Annotated[str | None, typer.Option(help="Where a file keeps what: 'acc_x=ax,...,t=time'.")] = None,
    link: Annotated[
        Path | None, typer.Option(help="A link that always leads to the port, as /tmp/board.", metavar="PATH")
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="What goes wrong: 'corrupt:rate=0.01,at=10,for=5'; may be repeated.", metavar="NAME[:...]"),
    ] = None,
    list_faults: Annotated[
        bool, typer.Option("--list-faults", help="Explain the faults, and do nothing else.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of what is random in the faults.", min=0)] = 0,
    duration: Annotated[float | None, typer.Option(help="Stop after so long.", metavar="SECONDS", min=0.0)] = None,
    streams_at_once: Annotated[
        bool, typer.Option("--no-receive", help="A board that hears nothing: it streams from its start.")
    ] = False,
) -> None:
    """Play a recording as a board that speaks our protocol, over and over, until Ctrl-C.

    Samples are sent one after the other at the recording's nominal rate, whatever its own times say.
    """
    from aura_edge_firmware_bridge.faults import NAMES, parse_fault

    if list_faults:
        for name, what in NAMES.items():
            typer.echo(f"{name:<11} {what}")
        typer.echo(
            "\nWhen: at, for, every in seconds since the start (10, 5, once). As in: --fault stall:at=20,for=3,every=60"
        )
        return
    try:
        faults = [parse_fault(text) for text in fault or []]
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--fault") from error
    chosen = [name for name, given in {"--replay": replay, "--demo": demo, "--synthetic": synthetic}.items() if given]
    if len(chosen) != 1:
        raise typer.BadParameter(
            f"name one recording: --replay, --demo, --synthetic; found {' and '.join(chosen) or 'none'}."
        )

    import numpy as np

    from aura_edge.commands.stream import DEMO_RECORDING, Interruption, demo_file
    from aura_edge.errors import InputError
    from aura_edge.sources.presets import choose_format
    from aura_edge.sources.recordings import read_recording
    from aura_edge.sources.synthetic import SyntheticRecording
    from aura_edge_firmware_bridge.emulator import BoardSettings
    from aura_edge_firmware_bridge.faulty_wire import FaultyWire
    from aura_edge_firmware_bridge.serving import PseudoTerminal, serve

    if synthetic:
        made = SyntheticRecording(seconds=120, rate_hz=200.0)
        samples, info = np.concatenate([block.samples for block in made.blocks()]), made.info
    else:
        path = demo_file(DEMO_RECORDING) if demo else replay or ""
        trial = read_recording(path, choose_format(preset, units=units, columns=columns))
        samples, info = trial.samples[np.isfinite(trial.samples).all(axis=1)], trial.info
    settings = BoardSettings(rate_hz=info.rate_hz, streams_at_once=streams_at_once, sensor=Path(info.name).name[:31])
    wire = FaultyWire(samples, settings, faults, seed=seed)
    with Interruption() as interruption:
        try:
            port = PseudoTerminal(link)
        except ValueError as error:
            raise InputError(str(error)) from error

        def told(path: str) -> None:
            if path:
                typer.echo(
                    f"a board of {info.rate_hz:g} Hz on {path}; follow it with: aura-edge stream --device {link or path}"
                )
            else:
                typer.echo("the port is gone", err=True)

        serve(wire, port, stopped=lambda: interruption.asked, seconds=duration, told=told)
    typer.echo(f"{wire.produced:,} samples made, {wire.delivered:,} sent whole")
