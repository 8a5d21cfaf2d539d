"""From cosines to labels and events: temperature, still, unknown, smoothing, hysteresis, minimum duration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aura_edge.classify import Classifier, Decision, motion_energy, probabilities
from aura_edge.errors import BundleError
from aura_edge.manifest import DecisionSpec
from aura_edge.types import Window

LABELS = ("walk", "sit", "jump")
HOP_NS = 500_000_000
PLAIN = DecisionSpec(temperature=0.1, smoothing_s=0.0, hysteresis=0.0, min_duration_s=0.0)


def window(number: int, *, amplitude: float = 1.0, offset_ns: int = 0, seed: int = 0) -> Window:
    noise = np.random.default_rng(seed).normal(size=(6, 1000)).astype(np.float32) * np.float32(amplitude)
    noise[2] += 9.80665
    t0_ns = offset_ns + number * HOP_NS
    return Window(noise, t0_ns, t0_ns + 5_000_000_000, host_ns=number, interpolated=0.0, clipped=0.0)


def cosines(best: str, lead: float = 0.5) -> np.ndarray:
    return np.array([lead if label == best else 0.0 for label in LABELS], np.float32)


def follow(classifier: Classifier, labels: list[str]) -> list[Decision]:
    return [classifier.step(window(n), cosines(label)) for n, label in enumerate(labels)]


def test_probabilities_are_a_softmax_at_the_temperature() -> None:
    """A lower temperature sharpens; shares sum to one and do not overflow."""
    p = probabilities(np.array([0.5, 0.4, -1.0], np.float32), 0.1)
    assert p.sum() == pytest.approx(1)
    assert p[0] / p[1] == pytest.approx(np.e, rel=1e-5)
    assert np.isfinite(probabilities(np.array([1.0, -1.0], np.float32), 1e-4)).all()


def test_energy_ignores_gravity_and_bias() -> None:
    """Only deviation from the mean counts, in the sensor's own units."""
    acc, gyro = motion_energy(window(0, amplitude=0.02).samples + np.float32(0.5))
    assert acc == pytest.approx(0.02, rel=0.05)
    assert gyro == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("gravity", [(0, 0, 9.81), (5.6, -5.6, 5.6), (-9.81, 0, 0)])
def test_a_sensor_at_rest_is_still_in_any_position(gravity: tuple[float, float, float]) -> None:
    """Noise of a cheap sensor (0.05 m/s2, 0.01 rad/s) with a biased gyroscope is rest, and no activity is named."""
    rng = np.random.default_rng(3)
    samples = np.concatenate([rng.normal(0, 0.05, (3, 1000)), rng.normal(0.08, 0.01, (3, 1000))]).astype(np.float32)
    samples[:3] += np.array(gravity, np.float32)[:, None]
    rest = Window(samples, 0, 5_000_000_000, 0, 0.0, 0.0)
    classifier = Classifier(DecisionSpec(), LABELS)
    assert classifier.is_still(rest)
    decision = classifier.step(rest, None)
    assert (decision.label, decision.state, decision.score, decision.top) == ("still", "still", 1.0, ())


def test_slow_motion_is_not_still() -> None:
    """Either sensor alone is enough to say that something moves."""
    classifier = Classifier(DecisionSpec(), LABELS)
    for channel, amplitude in ((0, 0.5), (4, 0.2)):
        samples = np.zeros((6, 1000), np.float32)
        samples[channel] = amplitude * np.sin(np.linspace(0, 12, 1000))
        assert not classifier.is_still(Window(samples, 0, 5, 0, 0.0, 0.0))


def test_a_steady_turn_is_not_still() -> None:
    """A constant rate has no deviation from its mean, and is motion all the same."""
    samples = np.zeros((6, 1000), np.float32)
    samples[5] = 4.0
    assert not Classifier(DecisionSpec(), LABELS).is_still(Window(samples, 0, 5, 0, 0.0, 0.0))


def test_rest_takes_over_at_once_and_is_left_at_once() -> None:
    """Nothing smooths away that a sensor rests, and what was before it does not colour what comes after."""
    classifier = Classifier(DecisionSpec(smoothing_s=10, min_duration_s=3, hysteresis=0.5), LABELS)
    labels = [
        classifier.step(window(0), cosines("walk")).label,
        classifier.step(window(1, amplitude=0.0), None).label,
        classifier.step(window(2), cosines("jump")).label,
    ]
    assert labels == ["walk", "still", "jump"]


def test_a_small_lead_or_a_low_cosine_is_unknown() -> None:
    """Below the margin, or where even the best cosine is too low, the answer is `unknown`, with the candidates shown."""
    margin = Classifier(DecisionSpec(temperature=0.1, unknown_margin=0.2, smoothing_s=0), LABELS)
    close = margin.step(window(0), np.array([0.50, 0.49, 0.0], np.float32))
    assert (close.label, close.state) == ("unknown", "unknown")
    assert [name for name, _ in close.top] == ["walk", "sit", "jump"]
    far = Classifier(DecisionSpec(temperature=0.01, unknown_cosine=0.3, smoothing_s=0), LABELS)
    assert far.step(window(0), np.array([0.29, 0.0, 0.0], np.float32)).state == "unknown"
    nan = Classifier(DecisionSpec(unknown_margin=0.0), LABELS)
    assert nan.step(window(0), np.full(3, np.nan, np.float32)).state == "unknown"


def test_smoothing_needs_more_than_one_stray_window() -> None:
    """One odd window among many does not change the label; several do."""
    classifier = Classifier(DecisionSpec(temperature=0.1, smoothing_s=2.0, min_duration_s=0, hysteresis=0), LABELS)
    labels = [d.label for d in follow(classifier, ["walk"] * 4 + ["jump"] + ["walk"] * 2 + ["jump"] * 8)]
    assert labels[:8] == ["walk"] * 8
    assert labels[-1] == "jump"


def test_a_challenger_must_lead_clearly_and_long_enough() -> None:
    """Hysteresis keeps the label at a narrow lead; the minimum duration keeps it through a short one."""
    narrow = Classifier(DecisionSpec(temperature=0.1, smoothing_s=0, hysteresis=0.3, min_duration_s=0), LABELS)
    narrow.step(window(0), cosines("walk"))
    assert narrow.step(window(1), np.array([0.48, 0.5, 0.0], np.float32)).label == "walk"
    assert narrow.step(window(2), np.array([0.0, 0.5, 0.0], np.float32)).label == "sit"
    brief = Classifier(DecisionSpec(temperature=0.1, smoothing_s=0, hysteresis=0, min_duration_s=1.5), LABELS)
    labels = [d.label for d in follow(brief, ["walk", "sit", "sit", "walk", "sit", "sit", "sit", "sit"])]
    assert labels == ["walk"] * 6 + ["sit"] * 2


def test_events_start_and_end_and_tile_the_time() -> None:
    """Each end meets the next start; durations and seconds add up to the time that the windows cover."""
    classifier = Classifier(PLAIN, LABELS)
    decisions = follow(classifier, ["walk", "walk", "sit", "jump", "jump"])
    events = [e for d in decisions for e in d.events] + list(classifier.finish())
    assert [(e.kind, e.label) for e in events] == [
        ("start", "walk"),
        ("end", "walk"),
        ("start", "sit"),
        ("end", "sit"),
        ("start", "jump"),
        ("end", "jump"),
    ]
    assert events[0].t_ns == 0
    assert all(events[i].t_ns == events[i + 1].t_ns for i in (1, 3))
    assert [e.duration_s for e in events if e.kind == "end"] == [5.5, 0.5, 1.0]
    assert sum(d.seconds for d in decisions) == 7.0
    assert all(0 < e.score <= 1 for e in events)


def test_a_gap_or_a_reset_ends_what_was_in_force() -> None:
    """Nothing carries over a hole: the label ends where its last window ended and starts anew."""
    for offset_ns in (60_000_000_000, -60_000_000_000):
        classifier = Classifier(DecisionSpec(temperature=0.1, smoothing_s=9, min_duration_s=9), LABELS)
        classifier.step(window(0), cosines("walk"))
        decision = classifier.step(window(1, offset_ns=offset_ns), cosines("sit"))
        assert [(e.kind, e.label) for e in decision.events] == [("end", "walk"), ("start", "sit")]
        assert decision.events[0].t_ns == 5_000_000_000
        assert decision.seconds == 5.0


def test_labels_that_the_classifier_itself_uses_are_refused() -> None:
    """A prototype named `still` would be confused with rest."""
    with pytest.raises(BundleError, match="still"):
        Classifier(PLAIN, ("walk", "still"))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from([*LABELS, "close", "rest", "gap"]), min_size=1, max_size=40))
def test_every_start_has_its_end(story: list[str]) -> None:
    """Whatever comes, events alternate start and end of the same label, and the seconds add up."""
    classifier = Classifier(DecisionSpec(temperature=0.1, unknown_margin=0.2), LABELS)
    events, seconds, offset_ns = [], 0.0, 0
    for number, what in enumerate(story):
        if what == "gap":
            offset_ns += 20_000_000_000
        scores = None if what == "rest" else np.array([0.5, 0.5, 0.0], np.float32) if what == "close" else cosines(what)
        decision = classifier.step(window(number, offset_ns=offset_ns), scores)
        events += decision.events
        seconds += decision.seconds
    events += classifier.finish()
    assert [e.kind for e in events] == ["start", "end"] * (len(events) // 2)
    assert all(a.label == b.label for a, b in zip(events[::2], events[1::2], strict=True))
    assert sum(e.duration_s or 0.0 for e in events) == pytest.approx(seconds)


def test_labels_that_were_trained_on_are_lowered_where_others_compete() -> None:
    """By the manifest's seen-bias, in the choice and not in whether it is near enough; among themselves nothing changes."""
    spec = DecisionSpec(temperature=0.05, seen_bias=0.2, unknown_cosine=0.5, smoothing_s=0)
    near = np.array([0.6, 0.5, 0.1], np.float32)
    mixed = Classifier(spec, LABELS, trained=LABELS[:1]).step(window(0), near)
    assert (mixed.label, mixed.state) == (LABELS[1], "activity")
    assert mixed.top == tuple(
        (LABELS[i], pytest.approx(p, rel=1e-6))
        for i, p in zip([1, 0, 2], probabilities(np.array([0.5, 0.4, 0.1]), 0.05), strict=True)
    )
    for trained in ((), LABELS):
        assert Classifier(spec, LABELS, trained=trained).step(window(0), near).label == LABELS[0]
