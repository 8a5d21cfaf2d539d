"""The beginning of any source, for trying something out or for a recording of a known length."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from aura_edge.errors import InputError
from aura_edge.sources import LiveSource, Source
from aura_edge.types import ImuChunk


class FirstSeconds:
    """Ends after `duration_s` of samples at the source's nominal rate: counted, because a timestamp may be damaged."""

    def __init__(self, source: Source, duration_s: float) -> None:
        self.info = source.info
        self._source = source
        if not 0 <= (count := duration_s * source.info.rate_hz) < math.inf:
            raise InputError(f"duration {duration_s:g} s: expected a number of seconds from 0. Without one it goes on.")
        self._count = round(count)

    def __iter__(self) -> Iterator[ImuChunk]:
        left = self._count
        if left <= 0:
            return
        for chunk in self._source:
            self.info = self._source.info  # a live source notes what happens
            if left <= len(chunk.t_ns):
                yield ImuChunk(chunk.t_ns[:left], chunk.samples[:left], chunk.host_ns, chunk.sequence, chunk.clock)
                return
            left -= len(chunk.t_ns)
            yield chunk

    def report(self) -> Mapping[str, float]:
        """What the source itself reports, where it does."""
        return self._source.report() if isinstance(self._source, LiveSource) else {}

    def close(self) -> None:
        self._source.close()
