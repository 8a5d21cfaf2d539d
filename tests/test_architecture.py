"""The house rules that a machine can keep: direction of imports, size and names of files, nothing unpickled, no machine's paths."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import aura_edge

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = [
    ROOT / "aura_edge",
    ROOT / "train/aura_edge_train",
    ROOT / "export/aura_edge_export",
    ROOT / "bench/aura_edge_bench",
    ROOT / "firmware_bridge/aura_edge_firmware_bridge",
]
SOURCES = sorted(path for package in PACKAGES for path in package.rglob("*.py"))
TEXTS = sorted(
    path
    for top in ("aura_edge", "train", "export", "bench", "firmware_bridge", "tests", "scripts", "docs", ".ci")
    for path in (ROOT / top).rglob("*")
    if path.is_file() and path.suffix in {"", ".py", ".sh", ".toml", ".json", ".md", ".txt", ".c", ".h", ".cu", ".svg"}
)
TEXTS += sorted(path for path in ROOT.iterdir() if path.suffix in {".md", ".toml"})


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_imports_point_downward() -> None:
    """The import-linter contracts of pyproject.toml hold."""
    lint_imports = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_every_package_is_typed(package: Path) -> None:
    """Each of the five says that it carries types."""
    assert (package / "__init__.py").is_file()
    assert (package / "py.typed").is_file()


def test_public_face_is_pinned() -> None:
    """What `aura_edge` itself offers changes on purpose only."""
    assert aura_edge.__all__ == [
        "CHANNELS",
        "AuraEdgeError",
        "Event",
        "ImuChunk",
        "Prediction",
        "Summary",
        "Window",
        "__version__",
    ]
    assert all(hasattr(aura_edge, name) for name in aura_edge.__all__)


def test_no_room_outgrows_the_wall() -> None:
    """300 lines are the wall: beyond it a file is two rooms."""
    assert {name_of(path): lines for path in SOURCES if (lines := path.read_text().count("\n")) > 300} == {}


def test_rooms_are_named_after_what_happens_in_them() -> None:
    """Nothing is called by a name that could hold anything."""
    anything = {"utils", "util", "helpers", "helper", "common", "base", "misc", "tools"}
    assert [name_of(path) for path in SOURCES if path.stem in anything or path.parent.name in anything] == []


def test_every_room_says_what_it_is_for() -> None:
    """The first line of a file is a sentence about it."""
    assert [name_of(path) for path in SOURCES if not path.read_text().startswith('"""')] == []


def test_nothing_is_unpickled_and_nothing_run_by_a_shell() -> None:
    """What we read is never executed: no pickle, no unsafe torch.load, no eval, no shell strings."""
    runs_what_it_reads = re.compile(
        r"\b(import|from) (pickle|dill|shelve|joblib)\b|allow_pickle=True|shell=True|os\.(system|popen)\(|(?<![\w.])(eval|exec)\("
        r"|yaml\.load\(|torch\.load\((?!.*weights_only=True)"
    )
    found = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in SOURCES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if runs_what_it_reads.search(line)
    ]
    assert found == []


def test_no_test_skips_where_a_room_of_ours_cannot_be_imported() -> None:
    """What is not installed is a reason to skip; what is broken here is not."""
    hides = re.compile(r"""importorskip\(\s*["']aura_edge""")
    assert [path.name for path in (ROOT / "tests").rglob("*.py") if hides.search(path.read_text())] == []


def test_no_paths_of_one_machine() -> None:
    """Nothing that is committed knows where it was written."""
    places = [f"{place}/" for place in (ROOT, Path.home()) if len(place.parts) > 1]
    here = re.compile("|".join(map(re.escape, places)))
    found = [name_of(path) for path in TEXTS if "__pycache__" not in path.parts and here.search(path.read_text())]
    assert found == []
