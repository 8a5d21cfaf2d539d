"""Zero-shot activity labels from a wearable's accelerometer and gyroscope, on the edge.

Importing this costs numpy and little else; heavy packages are imported by the room that needs them, when it is used.
"""

from aura_edge.errors import AuraEdgeError
from aura_edge.types import CHANNELS, Event, ImuChunk, Prediction, Summary, Window

__version__ = "0.1.0"

__all__ = ["CHANNELS", "AuraEdgeError", "Event", "ImuChunk", "Prediction", "Summary", "Window", "__version__"]
