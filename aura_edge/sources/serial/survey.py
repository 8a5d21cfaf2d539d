"""What speaks on a port: opened, listened to until it is clear, and closed as after any run, which leaves a board of ours stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aura_edge.errors import AuraEdgeError
from aura_edge.sources.serial.live import open_live
from aura_edge.sources.serial.transport import Port


@dataclass(frozen=True, slots=True)
class Surveyed:
    """One port."""

    port: str
    description: str
    vendor_id: int | None
    product_id: int | None
    serial_number: str | None
    speaks: str | None = None
    """What was heard, in words, with the rate; None where nothing was understood."""
    problem: str | None = None
    """Why it was not."""


def survey(
    port: Port, *, baud: int | None = None, listen: bool = True, cancelled: Callable[[], bool] = lambda: False
) -> Surveyed:
    """Look at one port; what goes wrong is part of the answer. `cancelled` ends it with `KeyboardInterrupt`."""
    known = Surveyed(port.path, port.description, port.vendor_id, port.product_id, port.serial_number)
    if not listen:
        return known
    speaks = problem = None
    try:
        source = open_live(port.path, {}, baud=baud, cancelled=cancelled)
        try:
            speaks = (
                f"{source.found}, {source.info.rate_hz:.4g} Hz: {source.info.name.removeprefix(port.path).strip(' ()')}"
            )
        finally:
            source.close()
    except AuraEdgeError as error:
        problem = str(error).removeprefix(f"{port.path}: ")
    return Surveyed(port.path, port.description, port.vendor_id, port.product_id, port.serial_number, speaks, problem)
