"""Where answers go: one small protocol, and a sink for each kind of reader."""

from __future__ import annotations

from typing import Protocol

from aura_edge.types import Event, Prediction, Summary


class Sink(Protocol):
    """Takes every prediction and event in order, then one summary, then `close()`."""

    def emit(self, item: Prediction | Event | Summary) -> None: ...

    def close(self) -> None: ...
