"""Results that are committed, as plain data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from aura_edge.errors import InputError


def read(path: Path) -> Any:
    """The JSON at `path`. Raises `InputError` where there is none."""
    try:
        return msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"{path}: not a readable result ({error}). Measure it again, as the README says.") from error
