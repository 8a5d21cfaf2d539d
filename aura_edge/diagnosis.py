"""What the signal itself says about how it was declared: a sensor on a person feels gravity, and one that does not was misread."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from aura_edge.types import Window

LOWEST_M_S2, HIGHEST_M_S2 = 5.0, 14.0
"""Length of a window's mean acceleration between which it can be gravity: rotation takes some away, a careless calibration adds some."""
JUDGED_BY = 7
"""Windows whose median is judged: a few seconds of free fall or of spinning are no misreading."""


class GravityCheck:
    """Follows the mean acceleration of the windows of one stream."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=JUDGED_BY)
        self.note: str | None = None
        """What is wrong, once it is known."""

    def see(self, window: Window) -> bool:
        """Take the next window; True when it is the one that shows that something is wrong."""
        self._recent.append(float(np.linalg.norm(window.samples[:3].mean(axis=1))))
        if self.note or len(self._recent) < JUDGED_BY:
            return False
        usual = float(np.median(self._recent))
        if not math.isfinite(usual) or usual > HIGHEST_M_S2:
            self.note = (
                f"the acceleration averages {usual:.2f} m/s2, where a sensor on a person feels about 9.8: its unit is not the one "
                "declared (--units)"
            )
        elif usual < LOWEST_M_S2:
            self.note = (
                f"the acceleration averages {usual:.2f} m/s2, where a sensor on a person feels about 9.8: its unit is not the one declared "
                "(--units), or gravity was taken out of it (record plain, not linear, acceleration)"
            )
        return self.note is not None
