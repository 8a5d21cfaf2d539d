"""What this machine can run, what is missing, and the command that adds it.

Everything asked of the machine goes through a `Host`, so that any machine can be described to a test. A package that cannot be imported is a
row of the report, as is one that is not there: nothing here ends in an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import aura_edge
from aura_edge.doctor import compute, surroundings
from aura_edge.doctor.host import Host, ThisHost
from aura_edge.doctor.report import Check, Report, brief

Examination = Callable[[Host, bool], Sequence[Check]]


def examine(host: Host | None = None, *, thorough: bool = False) -> Report:
    """Look at this machine, or at the one that `host` describes; with `thorough`, import every package that is installed."""
    asked: tuple[tuple[str, Examination], ...] = (
        ("machine", surroundings.machine),
        ("gpu", compute.gpus),
        ("engine", compute.engines),
        ("provider", compute.providers),
        ("compiler", compute.compilers),
        ("serial", surroundings.serial),
        ("text tower", surroundings.towers),
        ("extra", surroundings.extras),
    )
    host = host or ThisHost()
    checks: list[Check] = []
    for area, examination in asked:
        try:
            checks += examination(host, thorough)
        except Exception as error:  # a doctor that falls ill says so and goes on
            checks.append(Check(area, area, "broken", f"could not be examined: {brief(error)}"))
    return Report(aura_edge=aura_edge.__version__, thorough=thorough, checks=tuple(checks))
