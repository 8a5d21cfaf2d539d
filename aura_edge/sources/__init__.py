"""Where samples come from: one small protocol, and a URL for each kind.

`replay:walk.csv`, `vrs:glasses.vrs`, `synthetic:`; hardware-free URLs are equal citizens. A source that reads other units converts them at
its door; one that cannot know them asks, and refuses to guess.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from aura_edge.types import ImuChunk, SourceInfo


class Source(Protocol):
    """Iterating pulls chunks, and ends when the recording ends or after `close()`."""

    info: SourceInfo

    def __iter__(self) -> Iterator[ImuChunk]: ...

    def close(self) -> None: ...
