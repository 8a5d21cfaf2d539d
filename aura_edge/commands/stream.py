"""`aura-edge stream`: assembles a source, an engine and sinks into the pipeline, and runs it until the stream ends or Ctrl-C.

Heavy things are imported when the command runs, and only those that it uses.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aura_edge.commands.live import CONTROL_HELP, LABELS_FILE_HELP, WEB_HELP, WebMayStandAlone
from aura_edge.commands.options import (
    BAUD_HELP,
    CHECKPOINT_HELP,
    ENGINE_HELP,
    FORMAT_HELP,
    PRECISION_HELP,
    PROVIDER_HELP,
    THREADS_HELP,
    finite,
    known_engine,
    known_format,
)

if TYPE_CHECKING:
    from aura_edge.bundle import Bundle
    from aura_edge.prototypes import Prototypes

app = typer.Typer(add_completion=False)

DEMO_BUNDLE, DEMO_RECORDING = "demo.aura", "demo_recording.npz"


def _option(panel: str | None, text: str, *names: str, **settings: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, **settings)


@app.command(cls=WebMayStandAlone)
def stream(
    device: Annotated[
        str | None, _option("Source", "Follow a board: /dev/ttyUSB0, or any URL of pyserial.", metavar="PORT")
    ] = None,
    replay: Annotated[
        str | None, _option("Source", "Play a recording: CSV, npz, Parquet, or a recorded run.", metavar="FILE")
    ] = None,
    vrs: Annotated[str | None, _option("Source", "Play a Project Aria recording.", metavar="FILE")] = None,
    synthetic: Annotated[bool, _option("Source", "Play made-up motion.", "--synthetic")] = False,
    demo: Annotated[bool, _option("Source", "Play the recording inside this package.", "--demo")] = False,
    speed: Annotated[
        str, _option("Playing", "How many times faster than it was recorded.", metavar="FACTOR|max")
    ] = "1",
    loop: Annotated[bool, _option("Playing", "Start again at the end.", "--loop")] = False,
    duration: Annotated[
        float | None,
        _option("Playing", "Stop after so many seconds of samples.", callback=finite, metavar="SECONDS", min=0.0),
    ] = None,
    baud: Annotated[int | None, _option("Device", BAUD_HELP, min=1)] = None,
    form: Annotated[str, _option("Device", FORMAT_HELP, "--format", callback=known_format, metavar="NAME")] = "auto",
    wait: Annotated[bool, _option("Device", "Wait for a device that is not there yet.", "--wait")] = False,
    record: Annotated[
        Path | None, _option("Device", "Keep every byte, so that the run can be played again.", metavar="FILE.aurec")
    ] = None,
    preset: Annotated[str | None, _option("Format", "The format of a public data set.", metavar="NAME")] = None,
    units: Annotated[
        str | None, _option("Format", "Units of a file or a board that does not say them: 'g, deg/s, ms'.")
    ] = None,
    columns: Annotated[str | None, _option("Format", "Where a file keeps what: 'acc_x=ax,...,t=time'.")] = None,
    rate_hz: Annotated[float | None, _option("Format", "Sampling rate of a file or a board without times.")] = None,
    vrs_stream: Annotated[
        str | None, _option("Format", "Which sensor of a VRS file: imu-right.", "--stream", metavar="LABEL")
    ] = None,
    bundle: Annotated[
        Path | None, _option("Model", "The model; the demo's where none is named.", metavar="FOLDER")
    ] = None,
    prototypes: Annotated[str | None, _option("Model", "Which of the bundle's label sets.", metavar="SET")] = None,
    labels: Annotated[
        list[str] | None,
        _option(
            "Model",
            "Only these: 'ironing, climbing stairs', of the bundle's labels or its lexicon; semicolons between labels that hold commas.",
        ),
    ] = None,
    engine: Annotated[str, _option("Engine", ENGINE_HELP, callback=known_engine, metavar="NAME")] = "auto",
    precision: Annotated[str | None, _option("Engine", PRECISION_HELP, metavar="NAME")] = None,
    provider: Annotated[str | None, _option("Engine", PROVIDER_HELP, metavar="NAME")] = None,
    threads: Annotated[int, _option("Engine", THREADS_HELP, min=1)] = 1,
    checkpoint: Annotated[Path | None, _option("Engine", CHECKPOINT_HELP, metavar="FOLDER")] = None,
    hop: Annotated[
        float | None, _option("Model", "From one window to the next.", metavar="SECONDS", min=0.1, max=5.0)
    ] = None,
    flush: Annotated[bool, _option("Model", "Also a last window that ends with the recording.", "--flush")] = False,
    web: Annotated[str | None, _option("Live", WEB_HELP, metavar="[HOST:PORT]")] = None,
    labels_file: Annotated[Path | None, _option("Live", LABELS_FILE_HELP, metavar="FILE")] = None,
    control: Annotated[Path | None, _option("Live", CONTROL_HELP, metavar="PATH")] = None,
    diary: Annotated[
        Path | None, _option(None, "Keep what happens in a diary, which is added to at each run.", metavar="FILE")
    ] = None,
    sink: Annotated[
        list[str] | None,
        _option(
            None,
            "terminal, jsonl:PATH, - for JSON lines on standard output, mqtt://HOST, prometheus:PORT; may be repeated.",
        ),
    ] = None,
) -> None:
    """Turn a sensor, a recording or the demo into labels as it plays; Ctrl-C ends it with a summary."""
    from aura_edge import bundle as bundles
    from aura_edge.commands.live import accept_edits, editable, open_web
    from aura_edge.engines import open_engine
    from aura_edge.pipeline import Pipeline
    from aura_edge.prototypes import load_for
    from aura_edge.sinks import FORMS, Sink, is_sink_url, open_sink
    from aura_edge.sources import Source, SpokenTo, open_source
    from aura_edge.sources.duration import FirstSeconds

    url = _source_url({"--device": device, "--replay": replay, "--vrs": vrs, "--synthetic": synthetic, "--demo": demo})
    sinks = [*(sink or ["terminal"]), *([f"diary:{diary}"] if diary else [])]
    if unknown := [name for name in sinks if not is_sink_url(name)]:
        raise typer.BadParameter(f"{unknown[0]!r}: expected {FORMS}.", param_hint="--sink")
    if len(sinks) != len(set(sinks)):
        raise typer.BadParameter("the same one was given twice.", param_hint="--sink")

    with ExitStack() as opened:
        interruption = opened.enter_context(Interruption())
        model = bundles.load(bundle or demo_file(DEMO_BUNDLE))
        bundles.verify_files(model)
        known = _selected(model, prototypes, labels) if labels else load_for(model, prototypes)
        edited = editable(model, known, prototypes, labels_file)
        running = opened.enter_context(
            closing(
                open_engine(
                    engine, model, threads=threads, provider=provider, checkpoint=checkpoint, precision=precision
                )
            )
        )
        if running.info.note:
            typer.echo(running.info.note, err=True)
        source: Source = opened.enter_context(
            closing(
                open_source(
                    url,
                    speed=None if device and speed == "1" else speed,  # live is live
                    loop=loop or None,  # what endless sources do not know
                    preset=preset,
                    units=units,
                    columns=columns,
                    rate_hz=rate_hz,
                    stream=vrs_stream,
                    baud=baud,
                    format=None if form == "auto" else form,
                    wait=wait,
                    record=record,
                    cancelled=(lambda: interruption.asked) if device else None,
                )
            )
        )
        if isinstance(source, SpokenTo):
            typer.echo(f"{source.info.name}: {source.found}", err=True)
        if demo:
            source.info = replace(source.info, name=DEMO_RECORDING)  # where the package lies says nothing
        if duration is not None:
            source = FirstSeconds(source, duration)
        title = f"{source.info.name} through {model.manifest.name}, {running.info.name} on {running.info.device}"
        # The page first: its address is said before a terminal sink draws.
        outputs: list[Sink] = (
            [] if web is None else [opened.enter_context(closing(open_web(web, title, model, edited)))]
        )
        outputs += [
            opened.enter_context(closing(open_sink(name, title=title, to_stderr="-" in sinks))) for name in sinks
        ]
        pipeline = Pipeline(source, running, known, model.manifest, outputs, hop_s=hop, flush=flush)
        accept_edits(opened, edited, pipeline.relabel, labels_file, control)
        interruption.stops(pipeline.stop)
        pipeline.run()


def demo_file(name: str) -> Path:
    """A file of the demo inside the package. Raises `InputError` in an installation that came without it."""
    from importlib import resources

    from aura_edge.errors import InputError

    path = Path(str(resources.files("aura_edge"))) / "data" / name
    if not path.exists():
        raise InputError(
            f"{path}: this installation came without the demo. Name your own with --bundle and --replay, or make it as the README says."
        )
    return path


class Interruption:
    """While entered, Ctrl-C and SIGTERM end the stream in order, or its preparation before it starts; a second one ends the process."""

    def __init__(self) -> None:
        self._stop: Callable[[], None] | None = None
        self.asked = False
        """Whether the signal has come."""
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruption:
        # From the start: an exception out of a signal handler is lost or garbled while a C library is being imported.
        self._before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def stops(self, stop: Callable[[], None]) -> None:
        """What to call from now on; at once where the signal has come already."""
        self._stop = stop
        if self.asked:
            stop()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._restore()
        self.asked = True
        if self._stop is not None:
            self._stop()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _source_url(given: dict[str, str | bool | None]) -> str:
    chosen = [option for option, value in given.items() if value]
    if len(chosen) != 1:
        raise typer.BadParameter(
            f"name one source: {', '.join(given)}; found {' and '.join(chosen) or 'none'}.", param_hint="source"
        )
    (option,) = chosen
    if option == "--demo":
        return f"replay:{demo_file(DEMO_RECORDING)}"
    if option == "--device":
        return f"serial:{given[option]}"
    return f"{option.removeprefix('--')}:{'' if option == '--synthetic' else given[option]}"


def _selected(model: Bundle, set_name: str | None, texts: list[str]) -> Prototypes:
    """Those that `--labels` names, several between semicolons or commas: of the bundle's sets, or of its lexicon; what was used in place of
    a phrase that neither knows is said."""
    from aura_edge.lexicon import vocabulary_of

    vocabulary = vocabulary_of(model, set_name)
    found = vocabulary.find([label for text in texts for label in vocabulary.split(text)])
    for fallback in found.fallbacks:
        typer.echo(f"{fallback.asked!r} is not known: using {fallback.used!r}", err=True)
    return found.prototypes
