"""What the page says of the model: a few rows out of the manifest, and the model card as it lies in the bundle."""

from __future__ import annotations

from typing import Any

from aura_edge.bundle import Bundle

CARD = "MODEL_CARD.md"
LARGEST_CARD = 1 << 18


def facts_of(title: str, bundle: Bundle) -> dict[str, Any]:
    """What a browser is told once: a title, the model in a few rows, and its card in full, where the bundle has one."""
    manifest = bundle.manifest
    signal, space, decision = manifest.signal, manifest.text_space, manifest.decision
    rows = [
        ("name", manifest.name),
        (
            "input",
            f"{signal.window_s:g} s at {signal.rate_hz:g} Hz, {'with' if signal.gravity_included else 'without'} gravity",
        ),
        ("answers", f"every {manifest.hop_s:g} s, smoothed over {decision.smoothing_s:g} s"),
        ("encoder", f"{manifest.encoder.kind}, {manifest.encoder.parameters:,} parameters"),
        ("text space", f"{space.tower}, {space.dimension}-d"),
        ("weights", bundle.model_digest[:12]),
        ("license", manifest.license),
    ]
    card = bundle.read(CARD)[:LARGEST_CARD].decode(errors="replace") if CARD in manifest.files else ""
    if manifest.description and not card:
        rows.append(("about", manifest.description))  # a card begins with it
    return {"title": title, "model": rows, "card": card}
