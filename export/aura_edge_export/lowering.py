"""The same model in less precision: each form is tried, measured on real windows, and taken only where it passes its gate."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aura_edge.bundle import Variant
from aura_edge.errors import ParityError, require
from aura_edge.prototypes import Prototypes
from aura_edge_export import layers, parity
from aura_edge_export.bisection import keep_what_fails
from aura_edge_export.blame import first_divergence
from aura_edge_export.half import to_half
from aura_edge_export.integers import METHODS, Method, products, to_int8
from aura_edge_export.parity import Parity, Tolerance
from aura_edge_export.rounding import rounded
from aura_edge_export.sessions import embed
from aura_edge_export.windows import RealWindows

LEAST_WINDOWS = 1000
"""On fewer, a share of 0.5 % is a handful of windows."""
QUICK = 256
"""Windows on which layers are searched; what is found is measured on all."""
MARGIN = 0.6
"""Share of the tolerance that a search aims at: other windows than these will be rounded less kindly."""
LARGEST_INT8 = 0.30
"""Of the bytes of the FP32 file."""


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What every form is compared with."""

    content: bytes
    """The FP32 graph."""
    compared: RealWindows
    calibration: RealWindows
    embeddings: NDArray[np.float32]
    """(N, D) of the trained encoder, for the windows that are compared on."""
    sets: Mapping[str, Prototypes]

    def measure(self, found: NDArray[np.float32]) -> Parity:
        return parity.measure(self.embeddings, found, self.sets, self.compared.captions)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One form, whether it was taken or not."""

    precision: str
    method: str
    bytes: int
    parity: Parity
    faults: tuple[str, ...]
    """What is beyond tolerance."""
    blame: str
    """The first layer that leaves the trained encoder's, where there are faults."""
    kept: Mapping[str, str]
    """Layers that were left in more precision, and why."""
    taken: bool = False

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "precision": self.precision,
            "method": self.method,
            "bytes": self.bytes,
            "cosine_min": self.parity.cosine_min,
            "cosine_mean": self.parity.cosine_mean,
            "top1_agreement": self.parity.top1_agreement,
            "rank_correlation": self.parity.rank_correlation,
            "accuracy": self.parity.accuracy,
            "faults": list(self.faults),
            "blame": self.blame,
            "kept": dict(self.kept),
            "taken": self.taken,
        }


@dataclass(frozen=True, slots=True)
class Lowered:
    """What came of one precision: its best form, or none, and all that were tried."""

    variant: Variant | None
    content: bytes
    attempts: tuple[Attempt, ...]


def require_windows(real: RealWindows, least: int = LEAST_WINDOWS) -> None:
    """Raises `ParityError` where there are too few windows to compare on."""
    _, compared = real.split()
    if len(compared.samples) < least:
        raise ParityError(
            f"{len(compared.samples)} windows to compare on, beside those for calibration; FP16 and INT8 are compared on at least {least}. "
            "Give more real windows with --windows, or run aura-edge train with --resume once: it leaves enough."
        )


def to_fp16(reference: Reference, tolerance: Tolerance = parity.FP16) -> Lowered:
    """Strongly typed FP16; what it damages on a device that has nothing else is found layer by layer and kept in FP32."""
    onnx = require("onnx", extra="export")
    graph = onnx.load_from_string(reference.content).graph
    head = layers.head(graph)
    body = [layer for layer in layers.layers(graph) if layer not in head]
    windows = reference.compared.samples
    some = np.linspace(0, len(windows) - 1, min(QUICK, len(windows))).round().astype(int)
    aimed = replace(tolerance, cosine_loss=tolerance.cosine_loss * MARGIN, max_abs=tolerance.max_abs * MARGIN)
    attempts: list[Attempt] = []
    content = b""
    for _ in range(3):
        strict = replace(aimed, disagreement=1.0, accuracy_loss=1.0)

        def failure(kept: frozenset[str], strict: Tolerance = strict) -> str | None:
            found = embed(rounded(to_half(reference.content, kept | head)), windows[some], as_written=True)
            measured = parity.measure(reference.embeddings[some], found, reference.sets, {})
            wrong = parity.faults(measured, strict)
            return f"in FP16: {wrong[0]}" if wrong else None

        kept = keep_what_fails(body, failure)
        content = to_half(reference.content, {*kept, *head})
        attempts.append(_try_fp16(reference, content, kept, tolerance))
        if not attempts[-1].faults:
            break
        measured = attempts[-1].parity
        aimed = replace(
            aimed,
            cosine_loss=min(aimed.cosine_loss, 1 - measured.cosine_min) / 4,
            max_abs=min(aimed.max_abs, measured.max_abs) / 2,
        )
    return _best(attempts, {attempts[-1].method: content})


def to_integers(reference: Reference, tolerance: Tolerance = parity.INT8) -> Lowered:
    """INT8 by each of `METHODS`, those products kept in FP32 that lose most, as few as will do; the closest in integers is taken, and
    weights alone only where none of those passes."""
    order = _by_loss(reference)
    aimed = replace(tolerance, disagreement=tolerance.disagreement * MARGIN)
    attempts: list[Attempt] = []
    contents: dict[str, bytes] = {}
    for method in METHODS if order else METHODS[-1:]:
        attempt, contents[method] = _fewest_raised(reference, method, order, aimed, tolerance)
        attempts.append(attempt)
    return _best(attempts, contents)


def _try_fp16(reference: Reference, content: bytes, kept: Mapping[str, str], tolerance: Tolerance) -> Attempt:
    """Both as FP16 alone would compute it and as onnxruntime does here; the numbers are those of the first."""
    exact, windows = rounded(content), reference.compared.samples
    measured = reference.measure(embed(exact, windows, as_written=True))
    faults = parity.faults(measured, tolerance)
    if not faults:
        here = parity.faults(reference.measure(embed(content, windows)), tolerance)
        faults = [f"in onnxruntime: {fault}" for fault in here]
    blame = _blame(reference, exact, as_written=True) if faults else ""
    return Attempt("fp16", "strongly typed", len(content), measured, tuple(faults), blame, kept)


def _fewest_raised(
    reference: Reference, method: Method, order: Mapping[str, str], aimed: Tolerance, tolerance: Tolerance
) -> tuple[Attempt, bytes]:
    """The attempt with the fewest products kept in FP32 that reaches what is aimed at; else the fewest that pass; else the most."""
    names = list(order)
    tried: dict[int, tuple[Attempt, bytes, bool]] = {}

    def reaches(count: int) -> bool:
        raised = {name: order[name] for name in names[:count]}
        content = to_int8(reference.content, method, raised, reference.calibration.samples)
        measured = reference.measure(embed(content, reference.compared.samples))
        faults = _with_size(parity.faults(measured, tolerance), content, reference)
        blame = _blame(reference, content) if faults else ""
        kept = {name.partition("/")[0]: reason for name, reason in raised.items()}
        attempt = Attempt("int8", method, len(content), measured, tuple(faults), blame, kept)
        tried[count] = attempt, content, not _with_size(parity.faults(measured, aimed), content, reference)
        return tried[count][2]

    # From none upwards: agreement does not grow evenly, and a search by halves would jump over the first that will do. Where all were
    # raised, it would be another method: weights only.
    for count in range(1 if method == "weights only" else max(1, len(names) // 2)):
        if reaches(count):
            break
    enough = [count for count, (_, _, aim) in tried.items() if aim]
    passing = [count for count, (attempt, _, _) in tried.items() if not attempt.faults]
    best = min(enough or passing or [max(tried)])
    return tried[best][0], tried[best][1]


def _by_loss(reference: Reference) -> dict[str, str]:
    """Products, those first that lose most when they alone are done in integers; and what each of them loses."""
    names = products(reference.content)
    windows = reference.compared.samples
    some = np.linspace(0, len(windows) - 1, min(QUICK, len(windows))).round().astype(int)

    def loss(integers: Collection[str]) -> float:
        raised = [name for name in names if name not in integers]
        found = embed(to_int8(reference.content, "dynamic", raised, reference.calibration.samples), windows[some])
        return 1 - parity.measure(reference.embeddings[some], found, reference.sets, {}).cosine_mean

    losses = {name: loss([name]) for name in names}
    return {
        name: f"alone in integers: mean cosine {1 - losses[name]:.6f}"
        for name in sorted(names, key=lambda name: -losses[name])
    }


def _best(attempts: list[Attempt], contents: Mapping[str, bytes]) -> Lowered:
    """Of those without faults the closest, weights alone after all others."""
    passed = [at for at, attempt in enumerate(attempts) if not attempt.faults]
    if not passed:
        return Lowered(None, b"", tuple(attempts))
    chosen = max(passed, key=lambda at: (attempts[at].method != "weights only", attempts[at].parity.cosine_mean))
    taken = replace(attempts[chosen], taken=True)
    attempts[chosen] = taken
    variant = Variant(
        file=f"encoder.{taken.precision}.onnx",
        golden_tolerance=golden_tolerance(taken.parity),
        parity=asdict(taken.parity),
        kept_in_fp32=tuple(taken.kept),
        method=taken.method,
        reasons=dict(taken.kept),
    )
    return Lowered(variant, contents[taken.method], tuple(attempts))


def golden_tolerance(measured: Parity) -> float:
    """Twice the largest difference on any real window: another processor rounds otherwise, not worse."""
    return float(f"{max(1e-3, 2 * measured.max_abs):.2g}")


def _with_size(faults: list[str], content: bytes, reference: Reference) -> list[str]:
    share = len(content) / len(reference.content)
    if share <= LARGEST_INT8:
        return faults
    return [*faults, f"the file has {share:.1%} of the bytes of FP32, accepted {LARGEST_INT8:.0%}"]


def _blame(reference: Reference, content: bytes, *, as_written: bool = False) -> str:
    windows = reference.compared.samples
    some = windows[:: max(1, len(windows) // 64)]
    found = first_divergence(reference.content, content, some, as_written=as_written)
    return str(found) if found is not None else ""
