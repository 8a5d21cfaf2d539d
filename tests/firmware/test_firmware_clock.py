"""The core's clock and its queue between an interrupt and the main loop, in C, against models of them."""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

u32 = st.integers(0, 2**32 - 1)
many = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@many
@given(
    ticks_hz=st.integers(1, 2**32 - 1), start=u32, steps=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=30)
)
def test_clock_is_exact(core: Any, ticks_hz: int, start: int, steps: list[int]) -> None:
    """64 bits of microseconds from 32 bits of ticks: any rate, over any number of wraps, never off by more than a microsecond."""
    core.ask("clock", ticks_hz, start)
    passed = 0
    for step in steps:
        passed += step
        told = int(core.ask("ticks", (start + passed) % 2**32))
        assert told == int(Fraction(passed * 1_000_000, ticks_hz))


@many
@given(st.lists(st.integers(-70, 70), max_size=12))
def test_queue_keeps_order_and_counts_what_does_not_fit(core: Any, bursts: list[int]) -> None:
    """Bytes come out as they went in, 63 at most wait, and one that finds no room is counted."""
    core.ask("queue")
    model: deque[int] = deque()
    refused = 0
    moves = [n % 256 if burst > 0 else None for burst in bursts for n in range(abs(burst))]
    for byte in moves:
        if byte is None:
            expected = [model.popleft()] if model else []
            answer = list(map(int, core.ask("take").split()))
        else:
            expected, fits = [], len(model) < 63
            model.extend([byte] if fits else [])
            refused += not fits
            answer = list(map(int, core.ask("put", byte).split()))
        assert answer == [*expected, 63 - len(model), refused % 256]
