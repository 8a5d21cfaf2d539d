"""`aura-edge search`: when a motion happened, in recordings that `aura-edge index` has embedded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from aura_edge.motion_search.ranges import Range

app = typer.Typer(add_completion=False)

CANDIDATES = 20
"""Windows looked at for each range that is wanted."""


@app.command()
def search(
    index: Annotated[Path, typer.Option(help="The index, as aura-edge index makes it.", metavar="INDEX")],
    text: Annotated[str | None, typer.Argument(help='What happens: "someone falls backwards".')] = None,
    like: Annotated[
        Path | None, typer.Option(help="Search for the motion of this recording instead.", metavar="FILE")
    ] = None,
    limit: Annotated[int, typer.Option(help="How many ranges.", min=1, max=1000)] = 10,
    bundle: Annotated[Path | None, typer.Option(help="The model, where it was moved since.", metavar="FOLDER")] = None,
    tower: Annotated[
        str | None,
        typer.Option(help="Where the text tower's weights are, as in open_clip:ViT-B-32:FILE.", metavar="NAME"),
    ] = None,
    units: Annotated[str | None, typer.Option(help="Units of --like where it does not say them.")] = None,
    columns: Annotated[str | None, typer.Option(help="Where --like keeps what.")] = None,
    rate_hz: Annotated[float | None, typer.Option(help="Sampling rate of --like without times.")] = None,
    preset: Annotated[str | None, typer.Option(help="The format of --like.", metavar="NAME")] = None,
    vrs_stream: Annotated[
        str | None, typer.Option("--stream", help="Which sensor of a VRS --like.", metavar="LABEL")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Also write a page with the signals.", metavar="FILE.html")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Find when something happened, by words or by a motion like it: ranges of time, best first."""
    from aura_edge import bundle as bundles
    from aura_edge.motion_search import asking_for
    from aura_edge.motion_search.index import open_index
    from aura_edge.motion_search.ranges import merged

    if (text is None) == (like is None):
        raise typer.BadParameter("say what to look for: words, or --like FILE; one of them.", param_hint="TEXT")
    opened = open_index(index)
    model = bundles.load(bundle or Path(opened.facts.bundle))
    asking_for.require_same_model(model, opened.facts, index)
    if like is not None:
        options = {"preset": preset, "units": units, "columns": columns, "rate_hz": rate_hz, "stream": vrs_stream}
        wanted = asking_for.motion(like, options, model)
    else:
        wanted = asking_for.words(str(text), model, tower=tower)
    if wanted.said:
        typer.echo(wanted.said, err=True)
    recordings = opened.recordings()
    hits = opened.search(wanted.vectors, limit * CANDIDATES)
    found = merged(hits, recordings, limit, background=opened.background(wanted.vectors))
    if report is not None:
        from aura_edge.motion_search.report import page
        from aura_edge.whole_files import write_result

        write_result(report, page(text if text is not None else f"like {like}", found, recordings).encode())
    if json_output:
        import msgspec

        typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        _print(found)


def _print(found: list[Range]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from aura_edge.motion_search.report import position

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in ("score", "recording", "from", "to", "when (UTC)"):
        table.add_column(name, justify="left" if name == "recording" else "right")
    for one in found:
        when = "" if one.clock is None else f"{one.clock:%Y-%m-%d %H:%M:%S}"
        table.add_row(f"{one.score:.3f}", Text(one.recording), position(one.start_s), position(one.end_s), when)
    Console().print(table if found else "nothing is in the index")
