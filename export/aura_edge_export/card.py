"""MODEL_CARD.md: what the manifest says, for people. Every number in it comes from the manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aura_edge.bundle import Manifest
from aura_edge.prototypes import Prototypes

CARD = "MODEL_CARD.md"
LONGEST = 300
"""Characters of a fact in the table; the whole of it is in the manifest."""


def model_card(manifest: Manifest, sets: Mapping[str, Prototypes]) -> str:
    """Markdown: what the model is, how to use it, its labels, training, measurements and limits."""
    return "\n".join(
        [
            f"# {manifest.name}",
            "",
            *([manifest.description, ""] if manifest.description else []),
            *_what(manifest),
            *_use(manifest),
            *_labels(manifest, sets),
            *_facts("Training", manifest.training, "The checkpoint says nothing about how it was trained."),
            *_facts("Measured", manifest.metrics, "Nothing was measured."),
            *_limits(manifest),
        ]
    )


def _what(manifest: Manifest) -> list[str]:
    signal, encoder, space = manifest.signal, manifest.encoder, manifest.text_space
    gravity = "with" if signal.gravity_included else "without"
    return [
        "## What it is",
        "",
        f"A `{encoder.kind}` encoder of {encoder.parameters:,} parameters. It turns {signal.window_s:g} s of accelerometer and gyroscope "
        f"into a unit vector of {space.dimension} numbers in the text space of {space.tower}; the label whose sentences lie nearest is the "
        "answer.",
        "",
        f"- Input `imu`: float32 (B, {len(signal.channels)}, {signal.window_samples}), {signal.rate_hz:g} Hz, channels "
        f"{', '.join(signal.channels)}; accelerations in {signal.acceleration_unit} {gravity} gravity, angular rates in "
        f"{signal.angular_rate_unit}",
        f"- Output `embedding`: float32 (B, {space.dimension}), unit norm",
        f"- Text tower: {space.tower}, weights sha256 `{space.weights_sha256}`",
        f"- License: {manifest.license}",
        "",
    ]


def _use(manifest: Manifest) -> list[str]:
    return [
        "## How to use it",
        "",
        "```",
        f"aura-edge bundle verify {manifest.name}.aura",
        f"aura-edge stream --bundle {manifest.name}.aura --replay recording.csv",
        "```",
        "",
        f'An answer every {manifest.hop_s:g} s. Labels of your own: `aura-edge prototypes {manifest.name}.aura --labels "..."`.',
        "",
    ]


def _labels(manifest: Manifest, sets: Mapping[str, Prototypes]) -> list[str]:
    lines = ["## Labels", ""]
    for name, known in sorted(sets.items()):
        default = ", used when none is named" if name == manifest.prototypes else ""
        lines += [f"Set `{name}` ({len(known.labels)} labels{default}): {'; '.join(known.labels)}.", ""]
    return lines


def _facts(title: str, facts: Mapping[str, Any], none: str) -> list[str]:
    if not facts:
        return [f"## {title}", "", none, ""]
    rows = [f"| {_cell(name)} | {_cell(value)} |" for name, value in _flat(facts)]
    return [f"## {title}", "", "| what | value |", "|---|---|", *rows, ""]


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested facts as dotted names, in their own order; lists of plain values in one line; no matrices, which nobody reads in a table."""
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
            for number, item in enumerate(value, 1):
                yield from _flat({str(number): item}, f"{prefix}{name}.")
        elif isinstance(value, list | tuple) and any(isinstance(item, list | tuple) for item in value):
            continue
        elif isinstance(value, list | tuple):
            yield f"{prefix}{name}", ", ".join(map(_plain, value))
        else:
            yield f"{prefix}{name}", _plain(value)


def _plain(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}... (all of it: manifest.json)"
    return text.replace("|", "\\|").replace("\n", " ")


def _limits(manifest: Manifest) -> list[str]:
    decision = manifest.decision
    return [
        "## Limits",
        "",
        "- It knows activities by sentences like those it was trained with. A label far from all of them gets answers that mean little: "
        "measure before relying on one.",
        f"- A window is {manifest.signal.window_s:g} s: what lasts much less is mixed with what surrounds it.",
        f"- `still` means: acceleration within {decision.still_acc_m_s2:g} m/s2 and rate within {decision.still_gyro_rad_s:g} rad/s of "
        f"their mean, which turns at less than {decision.still_turn_rad_s:g} rad/s; the encoder is not asked. A sensor noisier than that is "
        "never still.",
        f"- `unknown` means: the best label leads by less than {decision.unknown_margin:.3g} in probability, or its cosine is below "
        f"{decision.unknown_cosine:.3g}.",
        "- The license is that of the weights; the data sets they were trained on have terms of their own.",
        "- The numbers above hold for the subjects, placements and sensors they were measured on. It is no medical or safety device.",
        "",
    ]
