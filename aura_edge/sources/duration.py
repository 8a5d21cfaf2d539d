"""The beginning of any source, for trying something out or for a recording of a known length."""

from __future__ import annotations

from collections.abc import Iterator

from aura_edge.sources import Source
from aura_edge.types import ImuChunk


class FirstSeconds:
    """Ends after `duration_s` of samples at the source's nominal rate: counted, because a timestamp may be damaged."""

    def __init__(self, source: Source, duration_s: float) -> None:
        self.info = source.info
        self._source = source
        self._count = round(duration_s * source.info.rate_hz)

    def __iter__(self) -> Iterator[ImuChunk]:
        left = self._count
        if left <= 0:
            return
        for chunk in self._source:
            if left <= len(chunk.t_ns):
                yield ImuChunk(chunk.t_ns[:left], chunk.samples[:left], chunk.host_ns, chunk.sequence)
                return
            left -= len(chunk.t_ns)
            yield chunk

    def close(self) -> None:
        self._source.close()
