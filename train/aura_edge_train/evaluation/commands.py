"""`aura-edge evaluate`: what it takes and where its results go; torch is imported when it runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aura_edge.commands.options import ENGINE_HELP, PRECISION_HELP, known_engine

if TYPE_CHECKING:
    from aura_edge_train.evaluation.candidates import Candidate

evaluate_app = typer.Typer(add_completion=False)


def _option(panel: str | None, text: str, *names: str, **settings: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, **settings)


WHAT, MORE, WORN, OUT = "Encoders", "Beside zero-shot answers", "Windows worn otherwise", "Results"


@evaluate_app.command()
def evaluate(
    data: Annotated[Path, _option(None, "Folder of the recordings.", "--data", metavar="FOLDER")],
    data_set: Annotated[
        list[str] | None,
        _option(
            None,
            "Data set, or a file (.toml, .json) that describes one; may be repeated (default: all that the encoder has captions of).",
            "--set",
        ),
    ] = None,
    split: Annotated[str, _option(None, "Whose windows: test, validation or train.", "--split")] = "test",
    seed: Annotated[int, _option(None, "Of everything that is drawn.", "--seed", min=0)] = 0,
    cache: Annotated[
        Path | None,
        _option(
            None,
            "Where resampled recordings and embedded sentences are kept (default: aura-edge in the user's cache).",
            "--cache",
            metavar="FOLDER",
        ),
    ] = None,
    threads: Annotated[int, _option(None, "Threads; 0 for one per core.", "--threads", min=0)] = 0,
    bundle: Annotated[
        Path | None, _option(WHAT, "The bundle to measure (default: the demo's).", "--bundle", metavar="FOLDER")
    ] = None,
    run: Annotated[
        Path | None, _option(WHAT, "A training run in place of a bundle, by torch.", "--run", metavar="FOLDER")
    ] = None,
    compare: Annotated[
        list[Path] | None,
        _option(WHAT, "Another run or bundle, in the same tables; may be repeated.", "--compare", metavar="FOLDER"),
    ] = None,
    engine: Annotated[
        str | None, _option(WHAT, f"{ENGINE_HELP} (default: ort)", "--engine", callback=known_engine)
    ] = None,
    precision: Annotated[str | None, _option(WHAT, f"Of the bundle: {PRECISION_HELP}", "--precision")] = None,
    checkpoint: Annotated[
        Path | None,
        _option(
            WHAT,
            "The run that the bundle was exported from, for --engine torch and --fine-tune.",
            "--checkpoint",
            metavar="FOLDER",
        ),
    ] = None,
    text_tower: Annotated[
        str,
        _option(WHAT, "Tower for sentences that have no prototype yet (default: the encoder's own).", "--text-tower"),
    ] = "",
    download: Annotated[bool, _option(WHAT, "Let a tower fetch its weights.", "--download")] = False,
    against: Annotated[
        str,
        _option(
            MORE,
            "A group of activities (fall) against all others, also where a set has none.",
            "--against",
            metavar="GROUP",
        ),
    ] = "",
    probe: Annotated[bool, _option(MORE, "Linear probe and nearest neighbours.", "--probe")] = False,
    few_shot: Annotated[
        str, _option(MORE, "Linear probe on so many windows of each label: 1,5,20.", "--few-shot", metavar="N,...")
    ] = "",
    fine_tune: Annotated[
        int, _option(MORE, "Fine-tune for up to so many epochs.", "--fine-tune", metavar="EPOCHS", min=0)
    ] = 0,
    scratch: Annotated[
        int, _option(MORE, "Train the same encoder from random weights.", "--scratch", metavar="EPOCHS", min=0)
    ] = 0,
    retrieval: Annotated[
        bool,
        _option(MORE, "Look for captions, descriptions, video and motion capture by IMU, and back.", "--retrieval"),
    ] = False,
    prompt: Annotated[
        list[str] | None, _option(MORE, "Windows that come nearest to a sentence; may be repeated.", "--prompt")
    ] = None,
    rotate: Annotated[
        int | None,
        _option(WORN, "Turn each window by a random rotation drawn from SEED.", "--rotate", metavar="SEED"),
    ] = None,
    rate_hz: Annotated[
        float | None, _option(WORN, "As from a sensor of this rate, band-limited.", "--rate-hz", min=20, max=200)
    ] = None,
    noise: Annotated[
        float,
        _option(WORN, "White noise on accelerations in m/s2; on rates a fifth of it, in rad/s.", "--noise", min=0),
    ] = 0.0,
    html: Annotated[Path | None, _option(OUT, "Write tables and pictures to this file.", "--html")] = None,
    json_file: Annotated[
        Path | None, _option(OUT, "Write the result as JSON to this file; - prints it instead of the tables.", "--json")
    ] = None,
) -> None:
    """Measure encoders on people they were not trained on: zero-shot answers, probes, fine-tuning, retrieval."""
    from contextlib import ExitStack
    from dataclasses import replace

    import msgspec
    from rich.console import Console

    from aura_edge.errors import require
    from aura_edge.whole_files import write_result

    torch = require("torch", extra="train")
    require("sklearn", extra="train")

    from aura_edge.user_cache import user_cache
    from aura_edge_train.datasets import SPLITS
    from aura_edge_train.evaluation.candidates import open_candidate, sets_of
    from aura_edge_train.evaluation.conditions import Conditions
    from aura_edge_train.evaluation.evaluate import check
    from aura_edge_train.evaluation.evaluate import evaluate as measure
    from aura_edge_train.evaluation.html_report import write
    from aura_edge_train.evaluation.report import show
    from aura_edge_train.evaluation.results import Plan
    from aura_edge_train.evaluation.spaces import Spaces
    from aura_edge_train.evaluation.summary import page_of

    if split not in SPLITS:
        raise typer.BadParameter(f"{split!r}: expected one of {', '.join(SPLITS)}.", param_hint="--split")
    shots = _shots(few_shot)
    if split != "test" and (probe or shots or fine_tune or scratch):
        raise typer.BadParameter(
            f"{split!r}: probes and fine-tuning learn from training people and choose by validation people; only test is left.",
            param_hint="--split",
        )
    if run is not None and (bundle or checkpoint or precision or engine not in (None, "torch")):
        raise typer.BadParameter(
            "a run is measured by torch as it is: leave out --bundle, --checkpoint, --engine and --precision."
        )
    plan = Plan(
        split=SPLITS[split],
        conditions=Conditions(rotation_seed=rotate, rate_hz=rate_hz, noise_m_s2=noise),
        against=against,
        probe=probe,
        few_shot=shots,
        fine_tune=fine_tune,
        scratch=scratch,
        retrieval=retrieval,
        prompts=tuple(prompt or ()),
        seed=seed,
    )
    used, console = threads or os.cpu_count() or 1, Console(stderr=True, soft_wrap=True)
    torch.set_num_threads(used)
    home = cache or user_cache()
    spaces = Spaces(home, name=text_tower or None, download=download, console=console)
    with ExitStack() as opened:
        candidates = [_first(run, bundle, engine or "ort", precision, checkpoint, used)]
        opened.callback(candidates[0].close)
        for path in compare or ():
            other = open_candidate(path, threads=used)
            opened.callback(other.close)
            candidates.append(other)
        names = [each.name for each in candidates]
        folders = [run or bundle, *(compare or ())]
        candidates = [
            replace(each, name=f"{each.name} ({folder.name})") if folder and names.count(each.name) > 1 else each
            for each, folder in zip(candidates, folders, strict=True)
        ]
        for each in candidates:
            check(each, plan)
        sets = data_set or sets_of(candidates[0])
        measured = [
            measure(each, plan, data=data, cache=home, sets=sets, spaces=spaces, console=console) for each in candidates
        ]
    first, *others = (each.evaluation for each in measured)
    found = msgspec.structs.replace(first, compared=tuple(others))
    if html is not None:
        write(page_of(measured, found), html)
    content = msgspec.json.format(msgspec.json.encode(found), indent=2)
    if json_file == Path("-"):
        typer.echo(content)
        return
    if json_file is not None:  # before anything is shown, which may end early, as in `| head`
        write_result(json_file, content + b"\n")
    show(found, Console(markup=False, emoji=False))


def _first(
    run: Path | None, bundle: Path | None, engine: str, precision: str | None, checkpoint: Path | None, threads: int
) -> Candidate:
    """What is measured, as opposed to what it is compared with."""
    from aura_edge.bundle import load, verify_files
    from aura_edge.commands.stream import DEMO_BUNDLE, demo_file
    from aura_edge.engines import open_engine
    from aura_edge_train.evaluation.candidates import of_bundle, of_run

    if run is not None:
        return of_run(run, threads=threads)
    opened = load(bundle or demo_file(DEMO_BUNDLE))
    verify_files(opened)
    running = open_engine(engine, opened, threads=threads, checkpoint=checkpoint, precision=precision)
    return of_bundle(opened, running, run=checkpoint)


def _shots(text: str) -> tuple[int, ...]:
    """`1,5,20`."""
    try:
        found = tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        found = (0,)
    if any(count < 1 for count in found):
        raise typer.BadParameter(f"{text!r}: expected numbers of windows, as in 1,5,20.", param_hint="--few-shot")
    return found
