"""Which layers a lower precision damages: found by halves, with as few comparisons as that takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def keep_what_fails(layers: Sequence[str], failure: Callable[[frozenset[str]], str | None]) -> dict[str, str]:
    """The layers of `layers` that must be kept, in their order, and why each of them.

    `failure` says what is wrong where the layers it is given are kept and all others are lowered, or None where nothing is. All are
    kept at first; then they are let go in halves, and a half of one layer that cannot be let go stays. With one damaged layer of n that
    takes about 2 log2(n) comparisons, with none a single one. What stays depends on the order where several layers share a tolerance:
    earlier ones are let go first.
    """
    kept = list(layers)
    reasons: dict[str, str] = {}

    def release(part: Sequence[str]) -> None:
        rest = [layer for layer in kept if layer not in part]
        wrong = failure(frozenset(rest))
        if wrong is None:
            kept[:] = rest
        elif len(part) == 1:
            reasons[part[0]] = wrong
        else:
            middle = len(part) // 2
            release(part[:middle])
            release(part[middle:])

    if kept:
        release(tuple(layers))
    return {layer: reasons[layer] for layer in kept}
