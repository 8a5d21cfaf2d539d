"""Windows out of grid blocks: positions, contents, hops, flushing, and what is in none."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aura_edge.errors import InputError
from aura_edge.types import GridBlock, Window
from aura_edge.window import Windower


def block(first: int, last: int, *, starts: bool = False, ends: str | None = None, t0_ns: int = 0) -> GridBlock:
    """Grid samples whose every channel is their own index, one input behind each."""
    count = last - first
    samples = np.repeat(np.arange(first, last, dtype=np.float32)[:, None], 6, axis=1)
    return GridBlock(
        t0_ns + first * 5_000_000,
        samples,
        np.arange(first, last) % 10 == 0,
        np.ones(count, np.int64),
        np.zeros(count, np.int64),
        starts,
        ends,
    )


def windows_of(windower: Windower, *blocks: GridBlock) -> list[Window]:
    return [window for b in blocks for window in windower.push(b)]


def test_windows_hold_their_length_and_follow_at_each_hop() -> None:
    """The first window starts with the segment, each further one a hop later, contents and times to match."""
    windower = Windower(rate_hz=200, window_s=5.0, hop_s=0.5)
    found = windows_of(windower, block(0, 1234, starts=True, ends="end", t0_ns=77))
    assert [w.t0_ns for w in found] == [77, 77 + 500_000_000, 77 + 1_000_000_000]
    for number, window in enumerate(found):
        assert window.samples.shape == (6, 1000)
        assert window.t1_ns - window.t0_ns == 5_000_000_000
        assert np.array_equal(window.samples[4], np.arange(1000) + 100 * number)
        assert window.interpolated == pytest.approx(0.1)
    assert (windower.used, dict(windower.unused)) == (1200, {"end": 34})


def test_flush_gives_one_window_aligned_with_the_end() -> None:
    """When asked, the last samples are in a window too; a segment shorter than a window still gives none."""
    windower = Windower(rate_hz=200, window_s=5.0, hop_s=0.5, flush=True)
    found = windows_of(windower, block(0, 1234, starts=True, ends="end"))
    assert found[-1].samples[0, -1] == 1233
    assert windower.used == 1234
    assert windows_of(windower, block(0, 999, starts=True, ends="gap")) == []
    assert windower.unused["gap"] == 999


def test_no_window_spans_two_segments() -> None:
    """After a gap the ring starts afresh."""
    windower = Windower(rate_hz=200, window_s=5.0, hop_s=5.0)
    late = 10**12
    found = windows_of(
        windower, block(0, 900, starts=True, ends="gap"), block(0, 1100, starts=True, ends="end", t0_ns=late)
    )
    assert [w.t0_ns for w in found] == [late]
    assert dict(windower.unused) == {"gap": 900, "end": 100}


@pytest.mark.parametrize("hop_s", [0.05, 5.1, float("nan")])
def test_hops_outside_the_contract_are_refused(hop_s: float) -> None:
    """A hop is 0.1 s to 5 s; a longer one would skip samples."""
    with pytest.raises(InputError, match=r"expected 0.1 to 5 s"):
        Windower(rate_hz=200, window_s=5.0, hop_s=hop_s)


def test_memory_is_fixed() -> None:
    """The ring does not grow with the stream, and windows given away do not change afterwards."""
    windower = Windower(rate_hz=200, window_s=5.0, hop_s=0.1)
    first = windows_of(windower, block(0, 1000, starts=True))[0]
    before = first.samples.copy()
    for start in range(1000, 9000, 500):
        windows_of(windower, block(start, start + 500))
    assert np.array_equal(first.samples, before)
    assert windower._signal.shape == (6, 2000)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3000),
    st.sampled_from([0.1, 0.25, 0.5, 1.3, 5.0]),
    st.lists(st.integers(1, 2999), max_size=10),
    st.booleans(),
)
def test_cutting_the_blocks_changes_nothing(total: int, hop_s: float, cuts: list[int], flush: bool) -> None:
    """Any cutting gives the same windows, and used plus unused is everything."""
    edges = [0, *sorted({c for c in cuts if c < total}), total]
    pieces = [block(a, b, starts=a == 0, ends="end" if b == total else None) for a, b in pairwise(edges)]
    one = Windower(rate_hz=200, window_s=5.0, hop_s=hop_s, flush=flush)
    two = Windower(rate_hz=200, window_s=5.0, hop_s=hop_s, flush=flush)
    expected = windows_of(one, block(0, total, starts=True, ends="end"))
    found = windows_of(two, *pieces)
    assert [(w.t0_ns, w.samples.tobytes()) for w in found] == [(w.t0_ns, w.samples.tobytes()) for w in expected]
    assert two.used + sum(two.unused.values()) == total
    assert len(found) == (0 if total < 1000 else 1 + (total - 1000) // round(hop_s * 200)) + (
        1 if flush and total >= 1000 and (total - 1000) % round(hop_s * 200) else 0
    )
