"""Zero-shot activity labels from a wearable's accelerometer and gyroscope, on the edge.

Importing this costs next to nothing: names are looked up when they are used, heavy packages by the room that needs them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aura_edge.errors import AuraEdgeError
    from aura_edge.types import CHANNELS, Event, ImuChunk, Prediction, Summary, Window

__version__ = "0.1.0"

__all__ = ["CHANNELS", "AuraEdgeError", "Event", "ImuChunk", "Prediction", "Summary", "Window", "__version__"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = "aura_edge.errors" if name == "AuraEdgeError" else "aura_edge.types"
    return getattr(importlib.import_module(room), name)
