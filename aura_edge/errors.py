"""Every error that aura-edge raises on purpose.

AuraEdgeError
  · InputError            a recording, stream or file that cannot be read as asked
      · UnitsError        units that are unknown or cannot be guessed
      · TooShortError     a recording that ends before its first window
      · DeviceError       a device that is not there, is taken, does not answer or went away
  · BundleError           a bundle that cannot be trusted
      · TextSpaceError    prototypes and encoder that speak of different text towers
  · EngineError           an engine that cannot run here, or not as asked
  · SinkError             a place that does not take what is written to it
  · RecipeError           a training or benchmark recipe that makes no sense
  · ParityError           two forms of one model that do not agree, or a comparison of nothing
  · MissingExtraError     an optional package that is not installed

Each message says what was found, what was expected and what to do. Foreign exceptions are translated at the door where they
arise, with `raise ... from`.
"""

from __future__ import annotations

import importlib
from types import ModuleType


class AuraEdgeError(Exception):
    """Base of all errors raised on purpose: catch this one to catch them all."""


class InputError(AuraEdgeError):
    """A recording, stream or file that cannot be read as asked."""


class UnitsError(InputError):
    """Units that are unknown, or that cannot be guessed and were not said."""


class TooShortError(InputError):
    """A recording that ends before its first window is full."""


class DeviceError(InputError):
    """A device that is not there, is taken by another program, does not answer, or went away."""


class BundleError(AuraEdgeError):
    """A bundle that is truncated, changed, of another schema, or otherwise not to be trusted."""


class TextSpaceError(BundleError):
    """Prototypes and encoder that were made with different text towers: their cosine means nothing."""


class EngineError(AuraEdgeError):
    """An engine that cannot run here, or would not run where it was asked to."""


class SinkError(AuraEdgeError):
    """A place that does not take what is written to it: a full disk, a closed pipe."""


class RecipeError(AuraEdgeError):
    """A recipe with an unknown key, an impossible value, or data that is not there."""


class ParityError(AuraEdgeError):
    """Two forms of one model that do not agree within tolerance, or a comparison in which nothing was compared."""


class MissingExtraError(AuraEdgeError):
    """An optional package that is not installed; the message names the extra that brings it."""


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional `module`, or say which extra of aura-edge brings it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or module.split(".")[0] != error.name.split(".")[0]:
            raise
        raise MissingExtraError(
            f"{module} is not installed, and this needs it. Install it with: pip install 'aura-edge[{extra}]'"
        ) from error
