"""What the signal itself says about how it was declared: units, gravity, axes, rate, saturation and dead axes, each with what to do about it.

Everything is judged by several windows, within ten seconds of data where there is enough motion to tell, and said once. Silence is better than a
false alarm: what the motion does not show is not judged.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import fmean, median
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aura_edge.kinematics import Kinematics, Reading
from aura_edge.types import CHANNELS, STANDARD_GRAVITY_M_S2, Window

Kind = Literal[
    "acceleration units",
    "gravity missing",
    "angular rate units",
    "swapped axes",
    "wrong rate",
    "saturation",
    "dead axis",
]

JUDGED_BY = 7
"""Windows whose median is judged: a few seconds of free fall or of spinning are no misreading."""
PARTS = 5
"""Parts of a window whose means are looked at one by one: whoever turns over and over feels gravity in each, though not in the whole."""
LOWEST_M_S2, HIGHEST_M_S2 = 4.0, 14.0
"""Length of a mean acceleration between which it can be gravity: rotation takes some away, a careless calibration adds some."""
LIKELY = {
    0.00981: "g taken for mg, or m/s2 taken for mm/s2",
    1 / STANDARD_GRAVITY_M_S2: "m/s2 that were divided by 9.8 once too often",
    1.0: "g",
    STANDARD_GRAVITY_M_S2**2: "m/s2 that were taken for g",
    256.0: "counts of 1/256 g",
    1000.0: "mg, or counts of 1/1024 g",
    2048.0: "counts of 1/2048 g",
    4096.0: "counts of 1/4096 g",
    8192.0: "counts of 1/8192 g",
    1000 * STANDARD_GRAVITY_M_S2: "mm/s2, or mg taken for g",
}
"""What a length of about this in the place of 9.8 is likely to be. Larger ones are refused before they come here (`out_of_range`)."""
STEADY, UNSTEADY = 0.4, 0.3
"""Length of the parts' means, as a share of the root mean square of the samples, above which they are gravity in a wrong unit, and not what is left
without gravity; spread of the lengths, as a share of them, above which they are no gravity at all."""
TAKEN_FOR_RATES = (STANDARD_GRAVITY_M_S2, math.radians(STANDARD_GRAVITY_M_S2), 1.0, math.radians(1.0))
"""What gravity reads in the gyroscope's place: m/s2 or g, taken for rad/s or deg/s."""
CLIPPED = 0.05
"""Share of samples at full scale, over the windows judged: impacts reach it for moments."""
FLAT = 1e-5
"""An axis that varies by less, as a share of what it reads, does not move: what rounding leaves of a constant."""
MOVING = (0.05, 0.1)
"""While others do: root mean square around the mean, as a share of gravity, and in rad/s."""
DEAD_BY = 4
FASTEST_RAD_S, SLOWEST_RAD_S = 20.0, 0.05
"""Root mean square rate of a window that no person reaches, and that nobody stays below who moves by more than `STRONG` of gravity."""
STRONG = 0.15
AXES_LOST, UNIT_LOST = 0.03, 0.02
"""What of gravity must be lost as declared, and found in another reading of the rates (`kinematics.Reading`). On nine of SisFall's training subjects
and all other recordings as they were worn it was never more than 0.012 and 0.008."""
LEAST_GRAVITY = 0.5
"""Share of the acceleration that must be gravity. Where it is less, as in jogging, steps and turns go together and do not come to nothing: at 0.25,
one of 1,001 trials of SisFall's test subjects was a false alarm, so that they are no longer unseen."""
WRONG_RATE = 0.03
"""Oscillators of sensors are off by a few percent; a rate or a clock off by more is another rate."""
AXIS_MAP = "Correct the columns (--columns), or the axis map of the device (in the board's firmware)"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as declared."""

    kind: Kind
    text: str
    """What was found, what was expected, and what to do."""


class GravityCheck:
    """Follows the mean acceleration of the windows of one stream."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, ...]] = deque(maxlen=JUDGED_BY)
        self.finding: Finding | None = None
        """What is wrong, once it is known."""
        self.unit_known = False
        """Whether it is a length that a known unit has."""

    @property
    def note(self) -> str | None:
        """The finding in words."""
        return self.finding.text if self.finding else None

    @property
    def usual_m_s2(self) -> float:
        """Length of the acceleration's mean in the last windows, whatever its unit."""
        return median(row[1] for row in self._recent) if self._recent else 0.0

    def see(self, window: Window) -> bool:
        """Take the next window; True when it is the one that shows that something is wrong."""
        length = window.samples.shape[1] // PARTS
        parts = window.samples[:, : PARTS * length].reshape(6, PARTS, length).mean(axis=2, dtype=np.float64)
        lengths = np.sqrt((parts**2).reshape(2, 3, PARTS).sum(axis=1))  # (2, parts)
        spreads = lengths.std(axis=1) / np.maximum(lengths.mean(axis=1), 1e-12)
        whole = math.hypot(*parts[:3].mean(axis=1))
        usual, turning = median(lengths[0]), median(lengths[1])
        steady = usual / math.sqrt(max(3 * float(np.square(window.samples[:3], dtype=np.float64).mean()), 1e-24))
        self._recent.append((whole, usual, steady, float(spreads[0]), turning, float(spreads[1])))
        if self.finding or len(self._recent) < JUDGED_BY:
            return False
        self.finding = self._judged()
        return self.finding is not None

    def _judged(self) -> Finding | None:
        whole, usual, steady, spread, turning, evenness = (median(column) for column in zip(*self._recent, strict=True))
        exchanged = usual < LOWEST_M_S2 and LOWEST_M_S2 <= turning <= HIGHEST_M_S2 and evenness < spread
        if spread > UNSTEADY and evenness < 0.1:
            exchanged |= any(abs(turning / value - 1) < 0.1 for value in TAKEN_FOR_RATES)
        if not exchanged and usual >= LOWEST_M_S2 and whole <= HIGHEST_M_S2:
            return None
        found = f"the acceleration averages {whole:.2f} m/s2, where a sensor on a person feels about 9.8: "
        nearest = min(LIKELY, key=lambda length: abs(math.log(max(usual, 1e-9) / length)))
        self.unit_known = abs(usual / nearest - 1) < 0.2
        looks = f"; it looks like {LIKELY[nearest]}" if self.unit_known else ""
        if exchanged:
            return Finding(
                "swapped axes",
                f"{found}and the angular rate {turning:.2f} rad/s: accelerometer and gyroscope are exchanged. {AXIS_MAP}",
            )
        unit = f"its unit is not the one declared (--units{looks})"
        if usual >= LOWEST_M_S2:
            return Finding("acceleration units", f"{found}{unit}")
        return Finding(
            "acceleration units" if looks and steady > STEADY else "gravity missing",
            f"{found}{unit}, or gravity was taken out of it (record plain, not linear, acceleration)",
        )


class Diagnosis:
    """Follows the windows of one stream. `findings` are what was found so far."""

    def __init__(self, *, rate_hz: float, nominal_hz: float | None = None) -> None:
        """`rate_hz` is that of the windows, `nominal_hz` what the source says of its own."""
        self.findings: list[Finding] = []
        self._gravity = GravityCheck()
        self._kinematics = Kinematics(rate_hz)
        self._nominal_hz = nominal_hz
        self._recent: deque[tuple[float, float, float]] = deque(maxlen=JUDGED_BY)  # clipped, strength, rate
        self._flat = np.zeros(6, np.int64)
        self._clock_told = False

    @property
    def notes(self) -> list[str]:
        """The findings in words, as they came."""
        return [finding.text for finding in self.findings]

    def see(self, window: Window) -> list[str]:
        """Take the next window; say what it settles that was not known before."""
        told = len(self.findings)
        settled = self._gravity.see(window)
        samples = window.samples.astype(np.float64)
        low, high, mean, square = (
            samples.min(axis=1),
            samples.max(axis=1),
            samples.mean(axis=1),
            (samples**2).mean(axis=1),
        )
        moved = np.sqrt(np.maximum(square - mean**2, 0))
        gravity = max(self._gravity.usual_m_s2, 1e-9)
        strength, rate = math.sqrt(float((moved[:3] ** 2).mean())) / gravity, math.sqrt(float(square[3:].mean()))
        moved[:3] /= min(gravity, STANDARD_GRAVITY_M_S2)  # an axis stuck at the end of its scale is no gravity
        self._recent.append((window.clipped, strength, rate))
        clipped, strengths, rates = zip(*self._recent, strict=True)
        saturated = fmean(clipped) > CLIPPED
        if (
            settled
            and self._gravity.finding
            and not self._flat[:3].any()
            and (self._gravity.unit_known or not saturated)
        ):
            self._find(self._gravity.finding)
        self._dead_axis(high - low <= FLAT * np.maximum(np.abs(low), np.abs(high)), moved)
        added = self._kinematics.see(window)
        if len(self._recent) == JUDGED_BY:
            if saturated:
                self._saturation(fmean(clipped))
            # Without gravity, or three axes of each, nothing follows from how it turns.
            if not self._has("gravity missing", "swapped axes", "dead axis") and not self._flat.any():
                self._turning(median(strengths), median(rates))
                if added and not saturated and (reading := self._kinematics.reading()) is not None:
                    self._rotation(reading)
        return self.notes[told:]

    def measured(self, rate_hz: float | None, clock_drift_ppm: float | None) -> list[str]:
        """What a live source measured: the rate by the device's own clock, and that clock against this computer's."""
        told = len(self.findings)
        if rate_hz and self._nominal_hz and abs(rate_hz / self._nominal_hz - 1) > WRONG_RATE:
            self._find(
                Finding(
                    "wrong rate",
                    f"{rate_hz:.4g} samples a second come, where {self._nominal_hz:.4g} were declared: times are right all the same, but "
                    "correct the rate (--rate-hz, or the output data rate in the board's firmware)",
                )
            )
        if clock_drift_ppm and not self._clock_told and abs(clock_drift_ppm) > 1e6 * WRONG_RATE:
            self._clock_told = True
            self.findings.append(
                Finding(
                    "wrong rate",
                    f"the board's clock is {abs(clock_drift_ppm) / 1e4:.1f} % too {'fast' if clock_drift_ppm > 0 else 'slow'}: its seconds are "
                    "not seconds. Check the unit of its times (--units), or the clock rate in its firmware",
                )
            )
        return self.notes[told:]

    def _has(self, *kinds: Kind) -> bool:
        return any(finding.kind in kinds for finding in self.findings)

    def _find(self, finding: Finding) -> None:
        if not self._has(finding.kind):
            self.findings.append(finding)

    def _saturation(self, share: float) -> None:
        if not self._flat.any():  # an axis stuck at the end of its scale is dead
            self._find(
                Finding(
                    "saturation",
                    f"{share:.0%} of the samples stand at the end of the sensor's scale: what is beyond is lost. Choose a larger range (in the "
                    "board's firmware, or by its ACC RANGE and GYRO RANGE commands)",
                )
            )

    def _dead_axis(self, still: NDArray[np.bool_], moved: NDArray[np.float64]) -> None:
        lively = moved > np.repeat(MOVING, 3)
        for own, other in ((slice(0, 3), slice(3, 6)), (slice(3, 6), slice(0, 3))):
            moving = lively[own].any() or (still[own].all() and lively[other].any())
            self._flat[own] = np.where(still[own], self._flat[own] + moving, 0)
        dead = [CHANNELS[axis] for axis in np.flatnonzero(self._flat >= DEAD_BY)]
        if dead:
            others = "the other sensor does" if len(dead) == 3 else "other axes of that sensor do"
            self._find(
                Finding(
                    "dead axis",
                    f"{' and '.join(dead)} never {'moves' if len(dead) == 1 else 'move'} while {others}: the axis is dead, or its column is not "
                    "what it is taken for (check the sensor, its wiring, --columns)",
                )
            )

    def _turning(self, strength: float, rate: float) -> None:
        if rate > FASTEST_RAD_S:
            self._find(
                Finding(
                    "angular rate units",
                    f"the angular rate averages {rate:.0f} rad/s, faster than anybody turns: its unit is not the one declared (--units; it looks "
                    f"like {'deg/s' if rate < 20 * FASTEST_RAD_S else 'mdeg/s or raw counts'})",
                )
            )
        elif rate < SLOWEST_RAD_S and strength > STRONG:
            self._find(
                Finding(
                    "angular rate units",
                    f"the angular rate averages {rate:.3f} rad/s while the acceleration varies by {strength:.0%} of gravity: its unit is not the "
                    "one declared (--units; rad/s were taken for deg/s), or the gyroscope is off",
                )
            )

    def _rotation(self, reading: Reading) -> None:
        if reading.gravity < LEAST_GRAVITY:
            return
        if reading.scale != 1 and min(reading.unit_lost, reading.told) > UNIT_LOST:
            large = reading.scale < 1
            self._find(
                Finding(
                    "angular rate units",
                    f"the angular rate is about 57 times too {'large' if large else 'small'} for how gravity turns: its unit is not the one "
                    f"declared (--units; {'it looks like deg/s' if large else 'rad/s were taken for deg/s'})",
                )
            )
        if min(reading.axes_lost, reading.told) > AXES_LOST:
            sure = reading.clear > AXES_LOST / 3
            named = f"as if its {_named(reading.turn)} were x, y, z" if sure else "otherwise than it says"
            self._find(
                Finding(
                    "swapped axes",
                    f"the gyroscope's axes are not those of the accelerometer: gravity turns {named} ({reading.axes_lost:.0%} of it is lost as "
                    f"declared). {AXIS_MAP}",
                )
            )


def _named(turn: NDArray[np.float64]) -> str:
    """`y, -x, z`: what stands in the place of x, y, z."""
    axes = [int(np.abs(row).argmax()) for row in turn]
    return ", ".join(f"{'-' if row[axis] < 0 else ''}{'xyz'[axis]}" for row, axis in zip(turn, axes, strict=True))
