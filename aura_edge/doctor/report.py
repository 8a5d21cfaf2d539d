"""What the doctor says, as plain data."""

from __future__ import annotations

from typing import Literal

import msgspec

from aura_edge.doctor.host import Host

SCHEMA = 1

State = Literal["ok", "missing", "broken", "fact"]


class Check(msgspec.Struct, frozen=True):
    """One row."""

    area: str
    """`machine`, `gpu`, `engine`, `provider`, `compiler`, `serial`, `text tower`, `extra`."""
    name: str
    state: State
    """`broken`: it is installed and does not work. `fact`: neither good nor bad."""
    detail: str = ""
    """What was found."""
    remedy: str = ""
    """The command that adds or mends it; empty where there is nothing to do, or no command does it."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `aura-edge doctor --json` prints."""

    schema: int = SCHEMA
    aura_edge: str
    thorough: bool
    """Whether everything that is installed was imported, or only what is cheap."""
    checks: tuple[Check, ...]


def loads(host: Host, module: str) -> str | None:
    """Why `module` cannot be imported, or None where it can. What a broken package raises may be anything."""
    try:
        host.load(module)
    except Exception as error:
        return brief(error)
    return None


def brief(error: Exception) -> str:
    """The first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
