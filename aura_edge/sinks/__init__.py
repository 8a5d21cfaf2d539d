"""Where answers go: one small protocol, and a URL for each kind of reader.

`terminal` for people, `jsonl:PATH` for programs, `-` for programs that read standard output.
"""

from __future__ import annotations

import sys
from typing import Protocol

from aura_edge.errors import SinkError
from aura_edge.types import Event, Prediction, Summary

FORMS = "terminal, jsonl:PATH, or - for JSON lines on standard output"
WITHOUT_TIMING = "?timing=no"
"""Behind `jsonl:PATH`: leaves compute times out, so that runs over one recording can be compared byte for byte."""


class Sink(Protocol):
    """Takes every prediction and event in order, then one summary, then `close()`."""

    def emit(self, item: Prediction | Event | Summary) -> None: ...

    def close(self) -> None: ...


def is_sink_url(url: str) -> bool:
    """Whether `open_sink` knows this form; what the path leads to is seen on opening."""
    return url in ("terminal", "-") or (url.startswith("jsonl:") and url != "jsonl:")


def open_sink(url: str, *, title: str = "", to_stderr: bool = False) -> Sink:
    """The sink that `url` names. Raises `SinkError` for an unknown form or a place that cannot be written.

    `title` is what a terminal shows above the labels. With `to_stderr` it is shown on standard error, for when standard output is taken.
    """
    if not is_sink_url(url):
        raise SinkError(f"{url!r} is no sink; expected {FORMS}.")
    if url == "terminal":
        from aura_edge.sinks.terminal import TerminalSink, console_for

        return TerminalSink(console_for(sys.stderr if to_stderr else sys.stdout), title=title)
    from aura_edge.sinks.jsonl import JsonlSink

    target = url.removeprefix("jsonl:")
    return JsonlSink(target.removesuffix(WITHOUT_TIMING), timing=not target.endswith(WITHOUT_TIMING))
