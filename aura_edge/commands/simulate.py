"""`aura-edge simulate`: a recording as a board on a pseudo terminal, with whatever goes wrong with boards."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aura_edge.commands.options import finite

if TYPE_CHECKING:
    from aura_edge.sources.formats import RecordingFormat
    from aura_edge_firmware_bridge.faults import Fault
    from aura_edge_firmware_bridge.faulty_wire import FaultyWire

app = typer.Typer(add_completion=False)

LONGEST_NAME = 31
"""Bytes of a text in HELLO."""


@app.command()
def simulate(
    replay: Annotated[str | None, typer.Option(help="The recording it plays.", metavar="FILE")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Play the recording inside this package.")] = False,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="Play made-up motion.")] = False,
    preset: Annotated[str | None, typer.Option(help="The format of a public data set.", metavar="NAME")] = None,
    units: Annotated[str | None, typer.Option(help="Units of a file that does not say them: 'g, deg/s, ms'.")] = None,
    columns: Annotated[str | None, typer.Option(help="Where a file keeps what: 'acc_x=ax,...,t=time'.")] = None,
    rate_hz: Annotated[float | None, typer.Option(help="Sampling rate of a file without times.")] = None,
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
    duration: Annotated[
        float | None, typer.Option(help="Stop after so long.", callback=finite, metavar="SECONDS", min=0.0)
    ] = None,
    streams_at_once: Annotated[
        bool, typer.Option("--no-receive", help="A board that hears nothing: it streams from its start.")
    ] = False,
) -> None:
    """Play a recording as a board that speaks our protocol, over and over, until Ctrl-C.

    Samples are sent one after the other at the recording's nominal rate, whatever its own times say.
    """
    from aura_edge_firmware_bridge.faults import NAMES, check_together, keys_of, parse_fault

    if list_faults:
        for name, what in NAMES.items():
            typer.echo(f"{name:<11} {what} [{', '.join(keys_of(name))}]")
        typer.echo(
            "\nWhen: at, for, every in seconds since the start (10, 5, once). As in: --fault stall:at=20,for=3,every=60"
        )
        return
    try:
        faults = [parse_fault(text) for text in fault or []]
        check_together(faults)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--fault") from error
    chosen = [name for name, given in {"--replay": replay, "--demo": demo, "--synthetic": synthetic}.items() if given]
    if len(chosen) != 1:
        raise typer.BadParameter(
            f"name one recording: --replay, --demo, --synthetic; found {' and '.join(chosen) or 'none'}."
        )

    from aura_edge.commands.stream import DEMO_RECORDING, Interruption, demo_file
    from aura_edge.errors import InputError
    from aura_edge.sources.presets import choose_format
    from aura_edge_firmware_bridge.serving import PortError, PseudoTerminal, serve

    with Interruption() as interruption:
        form = choose_format(preset, units=units, columns=columns, rate_hz=rate_hz)
        path = None if synthetic else demo_file(DEMO_RECORDING) if demo else replay
        wire = _board(path, form, faults, seed=seed, streams_at_once=streams_at_once)
        nominal_hz = wire.board.settings.rate_hz

        def told(port: str) -> None:
            follow = f"follow it with: aura-edge stream --device {link or port}"
            typer.echo(
                f"a board of {nominal_hz:g} Hz on {port}; {follow}" if port else "the port is gone", err=not port
            )

        try:
            serve(wire, PseudoTerminal(link), stopped=lambda: interruption.asked, seconds=duration, told=told)
        except PortError as error:
            raise InputError(str(error)) from error
    typer.echo(f"{wire.produced:,} samples made, {wire.delivered:,} sent whole")


def _board(
    path: str | Path | None, form: RecordingFormat, faults: list[Fault], *, seed: int, streams_at_once: bool
) -> FaultyWire:
    """A board that plays the recording, or made-up motion. Raises `InputError` for one that no board could play."""
    import numpy as np

    from aura_edge.errors import InputError
    from aura_edge.sources.recordings import read_recording
    from aura_edge.sources.synthetic import SyntheticRecording
    from aura_edge_firmware_bridge.emulator import BoardSettings
    from aura_edge_firmware_bridge.faulty_wire import FaultyWire

    if path is None:
        made = SyntheticRecording(seconds=120, rate_hz=200.0)
        samples, info = np.concatenate([block.samples for block in made.blocks()]), made.info
    else:
        trial = read_recording(path, form)
        samples, info = trial.samples, trial.info
    sound = np.isfinite(samples).all(axis=1)
    if not sound.any():
        raise InputError(f"{info.name}: no sample in it is a number, expected at least one.")
    if damaged := int((~sound).sum()):
        typer.echo(f"{damaged:,} damaged rows are left out", err=True)
    name = Path(info.name).name.encode()[:LONGEST_NAME].decode(errors="ignore")
    try:
        settings = BoardSettings(
            sensor=name,
            rate_hz=info.rate_hz,
            boot=secrets.randbelow((1 << 32) - 1) + 1,
            streams_at_once=streams_at_once,
            gravity_included=info.gravity_included,
        )
        return FaultyWire(samples[sound], settings, faults, seed=seed)
    except ValueError as error:
        raise InputError(f"{info.name} cannot be played by a board: {error}") from error
