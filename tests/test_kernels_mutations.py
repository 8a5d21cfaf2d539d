"""Planted bugs: every one of them is caught by what the emulator checks, so that passing there means something."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from aura_edge.errors import EngineError
from aura_edge.kernels import attention, build, reference
from aura_edge.kernels.emulated import SCHEDULES

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None, reason="the emulator is compiled by g++, which is not here"
)

TOLERANCE = 5e-3
SHAPES = ((1, 1, 3, 1, 32), (2, 70, 3, 2, 32), (2, 131, 3, 2, 64))
"""One token; an odd rest behind a whole tile; two windows and two heads, three tiles."""
FUSED: dict[str, tuple[str, str]] = {
    "tile not waited for": ("cp_wait<1>();", ""),
    "last tile not waited for": ("cp_wait<0>();", "cp_wait<1>();"),
    "group not closed": ("cp_commit();\n            cp_wait<1>", "cp_wait<1>"),
    "no barrier behind the wait": ("barrier();  // what every thread brought is there", ""),
    "no barrier before the tile is written over": (
        "barrier();  // every warp has read this tile: the next turn may write over it",
        "",
    ),
    "next keys over those in use": ("bring_tile<HEAD>(key_tiles + (turn ^ 1) *", "bring_tile<HEAD>(key_tiles + turn *"),
    "next values not brought": (
        "bring_tile<HEAD>(value_tiles + (turn ^ 1) * TILE_HALVES<HEAD>, values, between, next, tokens);",
        "",
    ),
    "mask one too late": (">= tokens) s[n][i]", "> tokens) s[n][i]"),
    "no mask": ("if (next > tokens) mask_tile", "if (next > tokens + 64) mask_tile"),
    "mask of the first tile's columns": (
        "const int column = first + (tid() & 3) * 2;",
        "const int column = (tid() & 3) * 2 + 0 * first;",
    ),
    "no swizzle": ("row * HEAD + (chunk ^ (HEAD == 64 ? row & 7 : row >> 1 & 3)) * 8", "row * HEAD + chunk * 8"),
    "swizzle that repeats within eight rows of 32": ("row >> 1 & 3", "row & 3"),
    "highest score not scaled": ("offset = highest * scale_log2", "offset = highest"),
    "earlier outputs not scaled down": ("rows.outputs[d][2 * half] *= shrink;", ""),
    "earlier sum not scaled down": ("rows.total[half] * shrink + sum", "rows.total[half] + sum"),
    "highest score of two threads of four": ("highest = fmax2(highest, shflx(highest, 2));", ""),
    "sum of two threads of four": ("total += shflx(total, 2);", ""),
    "shuffle that not all lanes reach": (
        "total += shflx(total, 1);",
        "if ((lane >> 2) < tokens) total += shflx(total, 1);",
    ),
    "barrier that not all warps reach": (
        "barrier();  // what every",
        "if (first_query + warp * 16 < tokens) barrier();  // what every",
    ),
    "rows 8 below written 4 below": ("(lane >> 2) + half * 8", "(lane >> 2) + half * 4"),
    "rows behind the last token written": ("if (row < tokens)\n", "if (row < tokens + 1)\n"),
    "one row too many brought": (
        "const bool there = first + row < tokens;",
        "const bool there = first + row <= tokens;",
    ),
    "keys for values": ("*values = keys + heads * HEAD;", "*values = keys;"),
    "another head's keys": ("*keys = queries + heads * HEAD,", "*keys = queries + (heads - 1) * HEAD,"),
    "values not transposed": ("ldsm4t(b, values", "ldsm4(b, values"),
    "fragments of two keys mixed up": ("rows.queries[k], b[0], b[1]", "rows.queries[k], b[0], b[2]"),
    "rows of another warp": ("swizzled<HEAD>(warp * 16 + (lane & 15)", "swizzled<HEAD>(warp * 8 + (lane & 15)"),
    "second tile of queries like the first": ("first_query = bz() * TILE_ROWS", "first_query = 0 * bz()"),
    "windows told apart by heads": ("static_cast<long long>(bx()) * tokens", "static_cast<long long>(by()) * tokens"),
    "tile beyond shared memory": ("value_tiles = key_tiles + 2 *", "value_tiles = key_tiles + 3 *"),
    "matrix row off by half a chunk": ("k * 2 + (lane >> 4)));", "k * 2 + (lane >> 4)) + 4);"),
}
NAIVE: dict[str, tuple[str, str]] = {
    "queries behind the last token": ("if (query >= tokens) return;", "if (query > tokens) return;"),
    "last key left out of the sum": (
        "for (int key = 0; key < tokens; key++) {",
        "for (int key = 0; key < tokens - 1; key++) {",
    ),
    "key behind the last one": (
        "for (int key = 0; key < tokens; key++) highest",
        "for (int key = 0; key <= tokens; key++) highest",
    ),
    "not divided": ("pack(o[i] / total, o[i + 1] / total)", "pack(o[i], o[i + 1])"),
    "write before the begin": ("half_t* to = out + ", "half_t* to = out - heads * HEAD + "),
}


def complaint(rung: attention.Rung, sources: Path, cache: Path) -> str | None:
    """What the checks say of a rung: the first of its shapes and schedules that fails."""
    for shape in SHAPES:
        qkv = np.random.default_rng(1).standard_normal(shape).astype(np.float16)
        expected = reference.attention(qkv)
        for schedule in SCHEDULES:
            try:
                found, counts = attention.emulate(rung, qkv, schedule, sources=sources, cache=cache)
            except EngineError as error:
                return str(error)
            worst = float(np.abs(found - expected).max())
            if not worst <= TOLERANCE:
                return f"{worst} from the reference under {schedule}"
            if counts.bank_conflicts:
                return f"{counts.bank_conflicts} bank conflicts"
    return None


def mutated(rung: attention.Rung, change: tuple[str, str], folder: Path) -> Path:
    """The sources with one change, which must have a place where it applies, and one only."""
    sources = folder / "sources"
    shutil.copytree(build.SOURCES, sources, ignore=shutil.ignore_patterns("*.py", "__pycache__", "encoder*"))
    body = sources / f"{rung}.cuh"
    text = body.read_text()
    assert text.count(change[0]) == 1, change[0]
    body.write_text(text.replace(*change))
    return sources


@pytest.mark.parametrize("rung", ["attention_naive", "attention_fused"])
def test_nothing_is_wrong_with_the_kernel_itself(rung: attention.Rung, tmp_path: Path) -> None:
    """The checks that follow pass without a planted bug."""
    assert complaint(rung, build.SOURCES, tmp_path) is None


@pytest.mark.slow
@pytest.mark.parametrize("bug", FUSED)
def test_bugs_in_the_fused_kernel_are_caught(bug: str, tmp_path: Path) -> None:
    """Numbers, hangs, memory or bank conflicts give each of them away."""
    assert complaint("attention_fused", mutated("attention_fused", FUSED[bug], tmp_path), tmp_path) is not None


@pytest.mark.slow
@pytest.mark.parametrize("bug", NAIVE)
def test_bugs_in_the_naive_kernel_are_caught(bug: str, tmp_path: Path) -> None:
    """The same for rung 1, whose threads do not meet."""
    assert complaint("attention_naive", mutated("attention_naive", NAIVE[bug], tmp_path), tmp_path) is not None
