"""Scores to a label that people can live with: temperature, `still`, `unknown`, smoothing, hysteresis, start and end events.

`still` is decided on the raw signal, before anything normalises it: a model that brings its input to unit variance sees a person walking in
the noise of a sensor on a table. Labels tile device time: each window decides for the time it adds to what is covered already.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aura_edge.bundle import DecisionSpec
from aura_edge.errors import BundleError
from aura_edge.types import NS_PER_S, Event, State, Window

TOP = 5
UNKNOWN, STILL = "unknown", "still"


@dataclass(frozen=True, slots=True)
class Decision:
    """What one window leads to."""

    label: str
    score: float
    state: State
    top: tuple[tuple[str, float], ...]
    events: tuple[Event, ...]
    seconds: float
    """Device time that this window adds to the label."""


def motion_energy(samples: NDArray[np.float32]) -> tuple[float, float]:
    """How much a (6, n) window moves: deviation from its mean of the accelerometer (m/s2) and the gyroscope (rad/s), root mean
    square over time and axes. The mean holds gravity and the gyroscope's bias, which are no motion."""
    signal = samples.astype(np.float64)
    variance = np.mean((signal - signal.mean(axis=1, keepdims=True)) ** 2, axis=1)
    return math.sqrt(variance[:3].mean()), math.sqrt(variance[3:].mean())


def probabilities(cosines: NDArray[np.floating[Any]], temperature: float) -> NDArray[np.float64]:
    """Softmax of (..., L) cosines at a temperature."""
    logits = cosines.astype(np.float64) / temperature
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: NDArray[np.float64] = weights / weights.sum(axis=-1, keepdims=True)
    return shares


def require_answerable(labels: Sequence[str]) -> None:
    """Raise `BundleError` for labels that the classifier itself answers."""
    if reserved := {UNKNOWN, STILL} & set(labels):
        raise BundleError(
            f"label {sorted(reserved)[0]!r} is what the classifier itself answers; name the activity otherwise."
        )


class Classifier:
    """Follows one stream of windows, in order."""

    def __init__(self, spec: DecisionSpec, labels: Sequence[str], *, trained: Sequence[str] = ()) -> None:
        """`trained` are the labels that the encoder has met: they are lowered by `seen_bias` where others compete."""
        self._spec = spec
        self._trained = frozenset(trained)
        self._take(labels)
        self._last: Window | None = None
        self._in_force: tuple[str, State] | None = None
        self._since_ns = 0
        self._challenger: str | None = None
        self._challenged_s = 0.0
        self._smooth: NDArray[np.float64] | None = None
        self._score_sum = 0.0
        self._score_count = 0

    def relabel(self, labels: Sequence[str]) -> tuple[Event, ...]:
        """Answer with these labels from the next window on. Probabilities among other labels say nothing of these: the smoothing starts
        anew, and what is in force ends where the last window did. `still` goes on: it was decided without labels.
        """
        self._take(labels)
        self._smooth = self._challenger = None
        if self._in_force is None or self._last is None or self._in_force[1] == "still":
            return ()
        end = self._end(self._last.t1_ns, self._last.host_ns)
        self._in_force = None
        return (end,)

    def _take(self, labels: Sequence[str]) -> None:
        require_answerable(labels)
        self._labels = tuple(labels)
        met = np.array([label in self._trained for label in labels])
        self._lowered = np.where(met & ~met.all(), self._spec.seen_bias, 0.0)

    def is_still(self, window: Window) -> bool:
        """Whether the sensor rests: no encoder needs to be asked then."""
        acc_m_s2, gyro_rad_s = motion_energy(window.samples)
        turn_rad_s = float(np.linalg.norm(window.samples[3:].mean(axis=1)))
        return (
            acc_m_s2 < self._spec.still_acc_m_s2
            and gyro_rad_s < self._spec.still_gyro_rad_s
            and turn_rad_s < self._spec.still_turn_rad_s
        )

    def step(self, window: Window, cosines: NDArray[np.float32] | None) -> Decision:
        """Take the next window and its (L,) cosines, or None where it is still."""
        events: list[Event] = []
        last = self._last
        if last is not None and not last.t0_ns < window.t0_ns <= last.t1_ns:
            events += self.finish()  # a gap, or a clock that was reset: nothing carries over
            last = None
        start_ns = window.t0_ns if last is None else last.t1_ns
        elapsed_s = (window.t1_ns - start_ns) / NS_PER_S
        self._last = window

        top: tuple[tuple[str, float], ...] = ()
        if cosines is None:
            self._smooth = None
            proposed: tuple[str, State] = (STILL, "still")
        else:
            current = probabilities(cosines - self._lowered, self._spec.temperature)
            order = np.argsort(-current, kind="stable")[:TOP]
            top = tuple((self._labels[i], float(current[i])) for i in order)
            self._smooth = self._smoothed(current, elapsed_s)
            proposed = self._propose(self._smooth, float(cosines.max()))

        if self._takes_over(proposed, elapsed_s):
            if self._in_force is not None:
                events.append(self._end(start_ns, window.host_ns))
            self._in_force, self._since_ns = proposed, start_ns
            self._challenger, self._score_sum, self._score_count = None, 0.0, 0
            score = self._score(proposed)
            events.append(Event("start", *proposed, start_ns, window.host_ns, score))
        label, state = self._in_force or proposed
        score = self._score((label, state))
        self._score_sum += score
        self._score_count += 1
        return Decision(label, score, state, top, tuple(events), elapsed_s)

    def finish(self) -> tuple[Event, ...]:
        """The stream, or its segment, has ended: close what is open and forget."""
        events: tuple[Event, ...] = ()
        if self._in_force is not None and self._last is not None:
            events = (self._end(self._last.t1_ns, self._last.host_ns),)
        self._in_force = self._last = self._smooth = self._challenger = None
        return events

    def _smoothed(self, current: NDArray[np.float64], elapsed_s: float) -> NDArray[np.float64]:
        if self._smooth is None or self._spec.smoothing_s <= 0:
            return current
        keep = math.exp(-elapsed_s / self._spec.smoothing_s)
        return keep * self._smooth + (1 - keep) * current

    def _propose(self, smooth: NDArray[np.float64], best_cosine: float) -> tuple[str, State]:
        ranked = np.sort(smooth)[::-1]
        lead = float(ranked[0] - (ranked[1] if len(ranked) > 1 else 0.0))
        if not (lead >= self._spec.unknown_margin and best_cosine >= self._spec.unknown_cosine):
            return UNKNOWN, "unknown"
        return self._labels[int(smooth.argmax())], "activity"

    def _takes_over(self, proposed: tuple[str, State], elapsed_s: float) -> bool:
        if proposed == self._in_force:
            self._challenger = None
            return False
        label, state = proposed
        if self._in_force is None or "still" in (state, self._in_force[1]):
            return True  # rest is certain, and nothing to hold on to
        if state == "activity" and self._in_force[1] == "activity":
            lead = self._score(proposed) - self._score(self._in_force)
            if lead < self._spec.hysteresis:
                self._challenger = None
                return False
        self._challenged_s = self._challenged_s + elapsed_s if self._challenger == label else elapsed_s
        self._challenger = label
        return self._challenged_s >= self._spec.min_duration_s

    def _score(self, what: tuple[str, State]) -> float:
        label, state = what
        if state == "still" or self._smooth is None:
            return 1.0 if state == "still" else 0.0
        if state == "unknown":
            return float(self._smooth.max())
        return float(self._smooth[self._labels.index(label)])

    def _end(self, t_ns: int, host_ns: int) -> Event:
        label, state = self._in_force or (UNKNOWN, "unknown")
        mean = self._score_sum / max(1, self._score_count)
        return Event("end", label, state, t_ns, host_ns, mean, (t_ns - self._since_ns) / NS_PER_S)
