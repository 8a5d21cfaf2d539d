"""A live page of the stream: `aura-edge stream --web [HOST:PORT]` (extra `[web]`).

The sink only appends: a thread of its own, with its own event loop, takes up what has come, serves the page and feeds each browser. A
browser that is slow or dead gets less, the newest first, and the stream never waits for one.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Protocol

from aura_edge.errors import SinkError, require
from aura_edge.prototypes import Prototypes
from aura_edge.sinks.address import Address
from aura_edge.sinks.web.feed import Feed
from aura_edge.types import Event, GridBlock, Prediction, Summary

PORT = 8642
EXTRA = "web"
STARTS_WITHIN_S = 20.0
ENDS_WITHIN_S = 10.0


class Edited(Protocol):
    """What became of an edit."""

    @property
    def said(self) -> str: ...


class LabelDesk(Protocol):
    """Where the page's edits of the labels go; both raise `AuraEdgeError` for what is refused."""

    @property
    def prototypes(self) -> Prototypes: ...

    def add(self, phrase: str) -> Edited: ...

    def remove(self, label: str) -> Edited: ...


class WebSink:
    """Serves the page from the start until it is closed."""

    def __init__(
        self, address: Address, facts: Mapping[str, Any], *, rate_hz: float, labels: LabelDesk | None = None
    ) -> None:
        """`facts` is what the page says of the model, see `card.facts_of`; without `labels` nobody may edit them there.

        Raises `MissingExtraError` without the extra, `SinkError` where that address cannot be had.
        """
        for package in ("starlette", "uvicorn", "websockets"):
            require(package, extra=EXTRA)
        from aura_edge.sinks.web.server import PageServer

        listener, self.address = address.listen()
        self._feed = Feed(facts, rate_hz=rate_hz, labels=None if labels is None else lambda: labels.prototypes)
        self._server = PageServer(self._feed, self.address, listener, labels)
        self._thread = threading.Thread(target=self._server.run, name="aura-edge web", daemon=True)
        self._thread.start()
        if not self._server.started.wait(STARTS_WITHIN_S):
            raise SinkError(
                f"{self.address.host}:{self.address.port}: the page's server did not start. Try another port."
            )

    def emit(self, item: Prediction | Event | Summary) -> None:
        """Append; nothing else happens in the caller's thread."""
        self._feed.push(item)

    def watch(self, block: GridBlock) -> None:
        """Append a block of signal."""
        self._feed.push_block(block)

    def progress(self, summary: Summary) -> None:
        """Append the summary so far."""
        self._feed.push_progress(summary)

    def close(self) -> None:
        """Tell every browser what is left, then end the server."""
        self._server.stop()
        self._thread.join(ENDS_WITHIN_S)
