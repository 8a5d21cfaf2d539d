"""Numbered runs in order, and a device's clock that goes on: what is lost, doubled, late, wrapped or restarted."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_edge.sources.serial.device_clock import RESTART_PAUSE_NS, DeviceClock
from aura_edge.sources.serial.ordering import AHEAD, Numbered, Ordering

RUN = 10
S = 1_000_000_000


def run(index: int) -> Numbered[int]:
    return Numbered(index * RUN, RUN, index)


def values(runs: list[Numbered[int]]) -> list[int]:
    return [item.value for item in runs]


def test_runs_in_order_pass_at_once() -> None:
    """Nothing is held back where nothing is missing."""
    ordering: Ordering[int] = Ordering()
    assert [values(ordering.push(run(i))) for i in range(3)] == [[0], [1], [2]]
    assert (ordering.next, ordering.lost, ordering.duplicate, ordering.late) == (30, 0, 0, 0)


def test_swapped_runs_are_put_in_order() -> None:
    """A run that overtook another waits for it."""
    ordering: Ordering[int] = Ordering()
    assert values(ordering.push(run(0))) == [0]
    assert values(ordering.push(run(2))) == []
    assert values(ordering.push(run(1))) == [1, 2]
    assert ordering.lost == 0


def test_missing_run_is_given_up_after_a_few_more() -> None:
    """Waiting is bounded, and what is passed over is counted."""
    ordering: Ordering[int] = Ordering()
    ordering.push(run(0))
    given = [values(ordering.push(run(i))) for i in range(2, 3 + AHEAD)]
    assert given == [[]] * AHEAD + [list(range(2, 3 + AHEAD))]
    assert ordering.lost == RUN


def test_run_that_fills_a_hole_is_late_once_and_then_a_copy() -> None:
    """A late run stays lost for the windows; the same again is a duplicate."""
    ordering: Ordering[int] = Ordering()
    ordering.push(run(0))
    for i in range(2, 4 + AHEAD):
        ordering.push(run(i))
    assert ordering.push(run(1)) == []
    assert (ordering.lost, ordering.late, ordering.duplicate) == (RUN, RUN, 0)
    ordering.push(run(1))
    assert (ordering.late, ordering.duplicate) == (RUN, RUN)


def test_copy_of_a_run_that_is_held_back_is_counted() -> None:
    """A duplicate is known before its turn comes."""
    ordering: Ordering[int] = Ordering()
    ordering.push(run(0))
    ordering.push(run(2))
    ordering.push(run(2))
    assert ordering.duplicate == RUN
    assert values(ordering.flush()) == [2]
    assert ordering.lost == RUN


def test_what_the_other_end_says_it_sent_is_missing() -> None:
    """Losses at the very end are known when the board tells its count."""
    ordering: Ordering[int] = Ordering()
    assert ordering.skip_to(50) == 0
    ordering.push(run(0))
    assert (ordering.skip_to(40), ordering.skip_to(40), ordering.lost) == (30, 0, 30)


@given(st.integers(0, 2**32), st.floats(0, 0.5), st.floats(0, 0.5), st.integers(0, 2))
def test_every_number_is_given_lost_or_a_copy(seed: int, loss: float, copies: float, distance: int) -> None:
    """Whatever is lost, doubled or overtaken by up to two: given + lost is everything, in order, each once."""
    rng = random.Random(seed)
    sent = [i for i in range(60) if rng.random() >= loss or i == 0]
    sent += [i for i in sent if rng.random() < copies]
    sent.sort(key=lambda i: (i + rng.randint(0, distance) if i else 0, rng.random()))
    ordering: Ordering[int] = Ordering()
    given = [value for i in sent for value in values(ordering.push(run(i)))]
    given += values(ordering.flush())
    ordering.skip_to(60 * RUN)
    assert given == sorted(set(given))
    assert len(given) * RUN + ordering.lost == 60 * RUN
    assert len(sent) * RUN == len(given) * RUN + ordering.duplicate + ordering.late


# ---- the clock ----

WRAP_NS = (1 << 32) * 1000


def test_wrap_is_undone_and_counted() -> None:
    """32 bits of microseconds start again every 71.6 minutes; the clock does not."""
    clock = DeviceClock(WRAP_NS)
    before = clock.place(0, WRAP_NS - 50_000_000)
    after = clock.place(100_000_000, 50_000_000)
    assert after - before == 100_000_000
    assert (clock.wraps, clock.restarts) == (1, 0)


def test_restart_goes_on_later() -> None:
    """A clock that starts again from zero is no wrap: it goes on after as long as it was away, at least a second."""
    clock = DeviceClock(WRAP_NS)
    before = clock.place(0, 100 * S)
    after = clock.place(20 * S, 3 * S)
    assert after - before == 20 * S
    assert (clock.wraps, clock.restarts) == (0, 1)
    soon = clock.place(20 * S + 1, S)
    assert soon - after == RESTART_PAUSE_NS


@pytest.mark.parametrize("uptime_s", [60, 2100, 2200, 4200, 4400, 7000])
def test_restart_after_any_uptime_is_no_wrap(uptime_s: int) -> None:
    """Two seconds went by on the host, and a clock that starts again would have skipped minutes to be a wrap."""
    clock = DeviceClock(WRAP_NS)
    for second in range(uptime_s + 1):
        before = clock.place(second * S, second * S % WRAP_NS)
    assert clock.restarts == 0
    after = clock.place((uptime_s + 2) * S, S // 2)
    assert (clock.restarts, after - before) == (1, 2 * S)
    assert clock.place((uptime_s + 3) * S, S + S // 2) - after == S


def test_message_that_was_overtaken_is_no_restart() -> None:
    """Half a second back is a message that came late."""
    clock = DeviceClock(WRAP_NS)
    clock.place(0, 10 * S)
    assert clock.place(1, 10 * S - S // 2) == 10 * S - S // 2
    assert clock.restarts == 0


@pytest.mark.parametrize("hours", [0.5, 1.0, 1.3, 2.0, 5.0, 24.0])
def test_long_silence_is_measured_by_the_host(hours: float) -> None:
    """However often the counter wrapped while nobody listened, the time after it is right."""
    clock = DeviceClock(WRAP_NS)
    first = clock.place(0, WRAP_NS - 7 * S)
    away = round(hours * 3600 * S)
    drifted = round(away * (1 + 200e-6))
    assert clock.place(away, (WRAP_NS - 7 * S + drifted) % WRAP_NS) - first == drifted
    assert clock.restarts == 0


def test_whole_time_that_is_back_is_told() -> None:
    """A board without a boot number shows a restart by its whole clock."""
    clock = DeviceClock(WRAP_NS)
    assert not clock.tell(0, 100 * S)
    assert not clock.tell(1, 100 * S - S // 2)
    assert clock.tell(2, 2 * S)


@given(
    st.lists(st.tuples(st.integers(1, 40 * 60 * S), st.booleans()), max_size=40),
    st.integers(0, WRAP_NS - 1),
)
def test_clock_never_goes_back_and_keeps_every_step(steps: list[tuple[int, bool]], start_ns: int) -> None:
    """Any steps below half an hour, wrapped or not: each is kept to the nanosecond; restarts only add."""
    clock = DeviceClock(WRAP_NS)
    device_ns, host_ns = start_ns, 0
    last = clock.place(host_ns, device_ns % WRAP_NS)
    for step_ns, restarts in steps:
        step_ns = min(step_ns, 30 * 60 * S)
        host_ns += step_ns
        if restarts:
            device_ns = step_ns // 7
            clock.restart(host_ns, device_ns)
        else:
            device_ns += step_ns
        now = clock.place(host_ns, device_ns % WRAP_NS)
        assert now - last >= (RESTART_PAUSE_NS if restarts else step_ns)
        assert restarts or now - last == step_ns
        last = now
