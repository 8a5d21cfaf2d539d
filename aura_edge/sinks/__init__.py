"""Where answers go: one small protocol, and a URL for each kind of reader.

`terminal` for people, `jsonl:PATH` for programs, `-` for programs that read standard output; `mqtt://HOST` for home automation,
`prometheus:PORT` for monitoring, `diary:FILE` for looking back. The live page, which needs more than a URL to tell, is `aura_edge.sinks.web`.
"""

from __future__ import annotations

import os
import sys
from typing import Protocol, runtime_checkable

from aura_edge.errors import SinkError
from aura_edge.types import Event, GridBlock, Prediction, Summary

FORMS = "terminal, jsonl:PATH, or - for JSON lines on standard output; also mqtt://HOST[/NAME], prometheus:[HOST:]PORT and diary:FILE"
TOKEN = "AURA_EDGE_TOKEN"
"""In the environment: what the live page and the metrics ask for, in place of a token that is made."""
WITHOUT_TIMING = "?timing=no"
"""Behind `jsonl:PATH`: leaves compute times out, so that runs over one recording can be compared byte for byte."""


class Sink(Protocol):
    """Takes every prediction and event in order, then one summary, then `close()`."""

    def emit(self, item: Prediction | Event | Summary) -> None: ...

    def close(self) -> None: ...


@runtime_checkable
class SignalWatcher(Protocol):
    """A sink that shows the signal as well: it is given each block of the grid, after the labels that it completed. Never waited for: it
    returns at once and raises nothing."""

    def watch(self, block: GridBlock) -> None: ...


@runtime_checkable
class ProgressWatcher(Protocol):
    """A sink that shows how the run goes: once a second it is given the summary so far. It returns at once and raises nothing."""

    def progress(self, summary: Summary) -> None: ...


def is_sink_url(url: str) -> bool:
    """Whether `open_sink` knows this form; what the path leads to is seen on opening."""
    named = ("jsonl:", "diary:", "mqtt://", "mqtts://")
    return url in ("terminal", "-") or url.startswith("prometheus:") or (url.startswith(named) and url not in named)


def open_sink(url: str, *, title: str = "", to_stderr: bool = False) -> Sink:
    """The sink that `url` names. Raises `SinkError` for an unknown form or a place that cannot be written.

    `title` is what a terminal shows above the labels. With `to_stderr` it is shown on standard error, for when standard output is taken.
    """
    if not is_sink_url(url):
        raise SinkError(f"{url!r} is no sink; expected {FORMS}.")
    if url == "terminal":
        from aura_edge.sinks.terminal import TerminalSink, console_for

        return TerminalSink(console_for(sys.stderr if to_stderr else sys.stdout), title=title)
    if url.startswith("mqtt"):
        from aura_edge.sinks.mqtt import MqttSink, parse_broker

        return MqttSink(parse_broker(url), title=title)
    if url.startswith("prometheus:"):
        from aura_edge.sinks.address import parse_address
        from aura_edge.sinks.prometheus import PORT, PrometheusSink

        return PrometheusSink(
            parse_address(url.removeprefix("prometheus:"), port=PORT, token=os.environ.get(TOKEN) or None)
        )
    if url.startswith("diary:"):
        from aura_edge.sinks.diary import DiarySink

        return DiarySink(url.removeprefix("diary:"), source=title)
    from aura_edge.sinks.jsonl import JsonlSink

    target = url.removeprefix("jsonl:")
    return JsonlSink(target.removesuffix(WITHOUT_TIMING), timing=not target.endswith(WITHOUT_TIMING))
