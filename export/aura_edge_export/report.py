"""What came of an export, for people and for programs: the bundle, how its model compares with the checkpoint, and every form that was tried."""

from __future__ import annotations

import json

from msgspec import to_builtins
from rich.console import Console
from rich.table import Table

from aura_edge_export.bundling import Exported
from aura_edge_export.lowering import Attempt


def as_json(made: Exported) -> str:
    """One object in one line."""
    return json.dumps(
        {
            "bundle": str(made.bundle.path),
            "bytes": _size(made),
            "parity": to_builtins(made.parity),
            "precisions": list(made.bundle.precisions),
            "tried": [to_builtins(attempt.facts()) for attempt in made.attempts],
            "missing": list(made.missing),
        }
    )


def tell(made: Exported, console: Console) -> None:
    """Tables: the FP32 model beside the checkpoint, then a column for each form."""
    opened = made.bundle
    console.out(
        f"{opened.path}: written, {_size(made) / 1e6:.2f} MB, {', '.join(opened.precisions)}, label sets "
        f"{', '.join(opened.prototype_sets)}"
    )
    table = Table("comparison with the checkpoint", "")
    table.add_row("real windows", str(made.parity.windows))
    table.add_row("cosine, least and mean", f"{made.parity.cosine_min:.8f}  {made.parity.cosine_mean:.8f}")
    table.add_row("largest difference", f"{made.parity.max_abs:.3g}")
    for name, agreement in made.parity.top1_agreement.items():
        table.add_row(f"same label, set {name}", f"{agreement:.2%}")
    console.print(table)
    if made.attempts:
        _tell_attempts(made, console)


def _tell_attempts(made: Exported, console: Console) -> None:
    whole = made.bundle.manifest.files[made.bundle.manifest.model].bytes
    table = Table("tried", "bytes", "least cosine", "set", "same label", "ranks", "accuracy", "taken")
    for attempt in made.attempts:
        found = attempt.parity
        sets = list(found.top1_agreement)
        right = [
            f"{found.accuracy[name]:.2%} of {found.accuracy_of_reference[name]:.2%}" if name in found.accuracy else ""
            for name in sets
        ]
        table.add_row(
            f"{attempt.precision}, {attempt.method}",
            f"{attempt.bytes / whole:.1%}",
            f"{found.cosine_min:.6f}",
            "\n".join(sets),
            "\n".join(f"{found.top1_agreement[name]:.2%}" for name in sets),
            "\n".join(f"{found.rank_correlation[name]:.4f}" for name in sets),
            "\n".join(right),
            "yes" if attempt.taken else "no",
        )
    console.print(table)
    console.out(f"compared on {made.attempts[0].parity.windows} real windows")
    for attempt in made.attempts:
        _tell_layers(attempt, console)


def _tell_layers(attempt: Attempt, console: Console) -> None:
    name = f"{attempt.precision}, {attempt.method}"
    for layer, reason in attempt.kept.items():
        console.out(f"  {name}: {layer} stays in FP32; {reason}")
    if attempt.faults:
        console.out(f"  {name}: {'; '.join(attempt.faults)}; to blame is {attempt.blame or 'no single layer'}")


def _size(made: Exported) -> int:
    return sum(entry.bytes for entry in made.bundle.manifest.files.values())
