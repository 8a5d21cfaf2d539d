"""For people: a live view of the stream on a terminal, or a line per event where there is none; a summary at the end of both.

The view is drawn when something arrives and not by a thread of its own, and seldom enough to cost the stream nothing that matters.
"""

from __future__ import annotations

import io
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console, RenderableType
from rich.live import Live

from aura_edge.errors import SinkError
from aura_edge.sinks import screen
from aura_edge.types import Event, Prediction, Summary

REDRAW_S = 0.1
"""Redraws are at least this far apart."""
RECENT = 6
"""How many of the last events are shown."""


class TerminalSink:
    """Shows what happens on `console`; `clock` gives seconds and limits how often the view is redrawn."""

    def __init__(
        self, console: Console | None = None, *, title: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console or Console()
        self._title = title
        self._clock = clock
        self._drawn_at = -float("inf")
        self._prediction: Prediction | None = None
        self._windows = 0
        self._origin_ns: int | None = None
        self._recent: deque[screen.Spell] = deque(maxlen=RECENT)
        self._live: Live | None = None
        with self._writing():
            if self._console.is_terminal and not self._console.is_dumb_terminal:
                self._live = Live(self.view(), console=self._console, auto_refresh=False)
                self._live.start(refresh=True)
            elif title:
                self._console.print(title, markup=False, highlight=False)

    def emit(self, item: Prediction | Event | Summary) -> None:
        """Take one item; redraw when the last redraw is long enough ago. Raises `SinkError` where it cannot be written."""
        if self._origin_ns is None and not isinstance(item, Summary):
            self._origin_ns = item.t0_ns if isinstance(item, Prediction) else item.t_ns
        if isinstance(item, Summary):
            self._stop()
            with self._writing():
                self._console.print(screen.summary_view(item))
        elif isinstance(item, Prediction):
            self._prediction = item
            self._windows += 1
            self._redraw()
        else:
            screen.record(self._recent, item)  # seen with the prediction that follows at once
            if self._live is None:
                with self._writing():
                    self._console.print(screen.event_line(item, self._origin_ns or 0), soft_wrap=True)

    def view(self) -> RenderableType:
        """The stream as it stands, for rich to draw."""
        return screen.stream_view(self._title, self._prediction, self._recent, self._windows, self._origin_ns or 0)

    def close(self) -> None:
        """Leave the last view standing and give the terminal back."""
        self._stop()

    def _redraw(self) -> None:
        if self._live is None:
            return
        now_s = self._clock()
        if now_s - self._drawn_at >= REDRAW_S:
            self._drawn_at = now_s
            with self._writing():
                self._live.update(self.view(), refresh=True)

    def _stop(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            with self._writing():
                live.update(self.view())
                live.stop()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._live = None
            raise SinkError(
                f"the terminal cannot be written: {error.strerror}. Give it a place that takes text, or use --sink jsonl:PATH."
            ) from error


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Called while the error is handled: let it go on, where rich would end the process here and now."""
        raise


def console_for(stream: TextIO) -> Console:
    """A console on a text stream, which writes a question mark for what the stream's encoding does not have."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    return _Console(file=stream)
