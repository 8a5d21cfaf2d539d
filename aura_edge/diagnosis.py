"""What the signal itself says about how it was declared: units, gravity, axes, rate, saturation and dead axes, each with what to do about it.

Everything is judged by several windows, within ten seconds of data where there is enough motion to tell, and said once. Silence is better than a
false alarm: what the motion does not show is not judged.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import numpy as np

from aura_edge.kinematics import Fit, Kinematics
from aura_edge.types import CHANNELS, NS_PER_S, STANDARD_GRAVITY_M_S2, Window

LOWEST_M_S2, HIGHEST_M_S2 = 4.0, 14.0
"""Length of a window's mean acceleration between which it can be gravity: rotation takes some away, a careless calibration adds some."""
JUDGED_BY = 7
"""Windows whose median is judged: a few seconds of free fall or of spinning are no misreading."""
LIKELY = {
    1 / STANDARD_GRAVITY_M_S2: "m/s2 that were divided by 9.8",
    1.0: "g",
    1000.0: "mg",
    STANDARD_GRAVITY_M_S2**2: "m/s2 that were taken for g",
    1000 * STANDARD_GRAVITY_M_S2: "mm/s2 or mg taken for g",
    2048.0: "counts of 1/2048 g",
    4096.0: "counts of 1/4096 g",
    8192.0: "counts of 1/8192 g",
}
"""What a length of about this in the place of 9.8 is likely to be."""
CLIPPED = 0.05
"""Share of samples at full scale, over the windows judged: impacts reach it for moments."""
FLAT = (1e-3, 1e-4)
"""An axis that varies by less, in m/s2 and rad/s, does not move."""
MOVING = (0.5, 0.1)
"""While the others of its sensor do: root mean square around their means."""
DEAD_BY = 4
EXPLAINED, EXPLAINED_BY_OTHERS, MARGIN = 0.3, 0.45, 0.25
"""Share of gravity's turning that rates must explain before their scale is judged, and another exchange of axes before that one is named; and
by how much that must do better than the axes as declared.
On SisFall's training subjects the right axes were never behind by 0.2 once two windows were added up."""
LEAST_WINDOWS = 2
FASTEST_RAD_S, SLOWEST_RAD_S = 20.0, 0.05
"""Root mean square rate of a window that no person reaches, and that nobody stays below who moves by more than `STRONG_M_S2`."""
STRONG_M_S2 = 1.5
LEAST_CHANGE_M_S2 = 0.3
PLAUSIBLE_SCALE = (0.6, 1.7)
"""What rates have to be multiplied with in a right exchange of axes; linear acceleration alone moves it this far, 98 times in a hundred."""
WRONG_SCALE = 4.0
"""Rates off by more are of another unit; linear acceleration alone moves the scale by up to 1.9."""
WRONG_RATE = 0.03
"""Oscillators of sensors are off by a few percent; a rate or a clock off by more is another rate."""
_LETTERS = "xyz"


class GravityCheck:
    """Follows the mean acceleration of the windows of one stream."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=JUDGED_BY)
        self._rates: deque[float] = deque(maxlen=JUDGED_BY)
        self.note: str | None = None
        """What is wrong, once it is known."""

    def see(self, window: Window) -> bool:
        """Take the next window; True when it is the one that shows that something is wrong."""
        means = window.samples.mean(axis=1, dtype=np.float64)
        self._recent.append(float(np.linalg.norm(means[:3])))
        self._rates.append(float(np.linalg.norm(means[3:])))
        if self.note or len(self._recent) < JUDGED_BY:
            return False
        usual, turning = float(np.median(self._recent)), float(np.median(self._rates))
        if LOWEST_M_S2 <= usual <= HIGHEST_M_S2:
            return False
        found = f"the acceleration averages {usual:.2f} m/s2, where a sensor on a person feels about 9.8: "
        likely = next((name for length, name in LIKELY.items() if abs(usual - length) < 0.1 * length), None)
        looks = f"; it looks like {likely}" if likely else ""
        if usual < LOWEST_M_S2 and LOWEST_M_S2 <= turning <= HIGHEST_M_S2:
            self.note = found + (
                f"and the angular rate {turning:.2f} rad/s: accelerometer and gyroscope are exchanged (--columns, or the order in the "
                "board's firmware)"
            )
        elif usual < LOWEST_M_S2:
            self.note = found + (
                f"its unit is not the one declared (--units{looks}), or gravity was taken out of it (record plain, not linear, acceleration)"
            )
        else:
            self.note = found + f"its unit is not the one declared (--units{looks})"
        return True


class Diagnosis:
    """Follows the windows of one stream. `notes` are what was found so far."""

    def __init__(self, *, rate_hz: float, nominal_hz: float | None = None) -> None:
        """`rate_hz` is that of the windows, `nominal_hz` what the source says of its own."""
        self.notes: list[str] = []
        self._gravity = GravityCheck()
        self._kinematics = Kinematics(rate_hz)
        self._nominal_hz = nominal_hz
        self._covered_ns: int | None = None
        self._clipped: deque[float] = deque(maxlen=JUDGED_BY)
        self._turned: deque[tuple[float, float]] = deque(maxlen=JUDGED_BY)
        self._flat = np.zeros(6, np.int64)
        self._said: set[str] = set()

    def see(self, window: Window) -> list[str]:
        """Take the next window; give what it settles that was not known before."""
        new = [self._gravity.note] if self._gravity.see(window) and self._gravity.note else []
        checks: dict[str, Callable[[Window], str | None]] = {
            "saturation": self._saturation,
            "dead axis": self._dead_axis,
            "rate of turning": self._turning,
            "rotation": self._rotation,
        }
        for name, check in checks.items():
            if name in ("rate of turning", "rotation") and (
                self._gravity.note or self._said & {"rate of turning", "dead axis"}
            ):
                continue  # what is judged by gravity needs gravity, and three axes
            if name not in self._said and (found := check(window)) is not None:
                self._said.add(name)
                new.append(found)
        self.notes += new
        return new

    def measured(self, rate_hz: float | None, clock_drift_ppm: float | None) -> list[str]:
        """What a live source measured: the rate by the device's own clock, and that clock against this computer's."""
        new = []
        if (
            rate_hz
            and self._nominal_hz
            and "rate" not in self._said
            and abs(rate_hz / self._nominal_hz - 1) > WRONG_RATE
        ):
            self._said.add("rate")
            new.append(
                f"{rate_hz:.4g} samples a second come, where {self._nominal_hz:.4g} were declared: times are right all the same, but correct "
                "the rate (--rate-hz, or the output data rate in the board's firmware)"
            )
        if clock_drift_ppm and "clock" not in self._said and abs(clock_drift_ppm) > 1e6 * WRONG_RATE:
            self._said.add("clock")
            new.append(
                f"the board's clock is {abs(clock_drift_ppm) / 1e4:.1f} % too {'fast' if clock_drift_ppm > 0 else 'slow'}: its seconds are not "
                "seconds. Check the unit of its times (--units), or the clock rate in its firmware"
            )
        self.notes += new
        return new

    def _saturation(self, window: Window) -> str | None:
        self._clipped.append(window.clipped)
        share = float(np.mean(self._clipped))
        if len(self._clipped) < JUDGED_BY or not share > CLIPPED:
            return None
        return (
            f"{share:.0%} of the samples stand at the end of the sensor's scale: what is beyond is lost. Choose a larger range (in the board's "
            "firmware, or by its ACC RANGE and GYRO RANGE commands)"
        )

    def _dead_axis(self, window: Window) -> str | None:
        spread = window.samples.max(axis=1) - window.samples.min(axis=1)
        moving = window.samples.std(axis=1, dtype=np.float64)
        for first, flat, least in ((0, FLAT[0], MOVING[0]), (3, FLAT[1], MOVING[1])):
            axes = np.arange(first, first + 3)
            still = spread[axes] < flat
            judged = still & (still.sum() < 3) & (moving[axes].max() > least)
            self._flat[axes] = np.where(judged, self._flat[axes] + 1, np.where(still, self._flat[axes], 0))
        dead = [CHANNELS[axis] for axis in np.flatnonzero(self._flat >= DEAD_BY)]
        if not dead:
            return None
        return (
            f"{' and '.join(dead)} never {'moves' if len(dead) == 1 else 'move'} while other axes of that sensor do: the axis is dead, or its "
            "column is not what it is taken for (check the sensor, its wiring, --columns)"
        )

    def _turning(self, window: Window) -> str | None:
        acc, gyro = window.samples[:3].astype(np.float64), window.samples[3:].astype(np.float64)
        moved = float(np.sqrt(acc.var(axis=1).mean()))
        self._turned.append((moved, float(np.sqrt((gyro**2).mean()))))
        if len(self._turned) < JUDGED_BY:
            return None
        moved, turned = (float(value) for value in np.median(np.array(self._turned), axis=0))
        if turned > FASTEST_RAD_S:
            return (
                f"the angular rate averages {turned:.0f} rad/s, faster than anybody turns: its unit is not the one declared (--units; it looks "
                "like deg/s)"
            )
        if turned < SLOWEST_RAD_S and moved > STRONG_M_S2:
            return (
                f"the angular rate averages {turned:.3f} rad/s while the acceleration moves by {moved:.1f} m/s2: its unit is not the one "
                "declared (--units; rad/s were taken for deg/s), or the gyroscope is off"
            )
        return None

    def _rotation(self, window: Window) -> str | None:
        if self._covered_ns is not None and self._covered_ns - NS_PER_S * 10 < window.t0_ns < self._covered_ns:
            return None  # overlaps one that was taken
        self._covered_ns = window.t1_ns
        self._kinematics.add(window.samples)
        if self._kinematics.windows < LEAST_WINDOWS or not self._kinematics.change_m_s2 > LEAST_CHANGE_M_S2:
            return None
        fits = self._kinematics.fits()
        best = max(fits, key=lambda fit: fit.explained)
        low, high = PLAUSIBLE_SCALE
        better = best.explained - fits[0].explained > MARGIN and low < best.scale < high
        if better and best.explained > EXPLAINED_BY_OTHERS:
            return (
                f"the gyroscope's axes are not those of the accelerometer: gravity turns as if its {_named(best)} were x, y, z ("
                f"{best.explained:.0%} explained, {fits[0].explained:.0%} as declared). Correct the columns (--columns), or the driver in the "
                "board's firmware"
            )
        scale = fits[0].scale
        if fits[0].explained > EXPLAINED and not 1 / WRONG_SCALE < scale < WRONG_SCALE:
            degrees = math.isclose(scale, math.pi / 180, rel_tol=0.7) or math.isclose(scale, 180 / math.pi, rel_tol=0.7)
            way = "small" if scale > 1 else "large"
            unit = (
                "; it looks like deg/s" if degrees and scale < 1 else "; rad/s were taken for deg/s" if degrees else ""
            )
            return (
                f"the angular rate is about {max(scale, 1 / scale):.0f} times too {way} for how gravity turns: its unit is not the one declared "
                f"(--units{unit})"
            )
        return None


def _named(fit: Fit) -> str:
    """`y, -x, z`: what stands in the place of x, y, z."""
    parts = []
    for row in fit.turn:
        axis = int(np.abs(row).argmax())
        parts.append(f"{'-' if row[axis] < 0 else ''}{_LETTERS[axis]}")
    return ", ".join(parts)
