"""What ships: the wheel's contents, its dependencies, and what importing and asking for help costs."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from aura_edge.__main__ import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"aura_edge", "aura_edge_train", "aura_edge_export", "aura_edge_bench", "aura_edge_firmware_bridge"}
DATA = {
    "aura_edge/data/demo.aura/MODEL_CARD.md",
    "aura_edge/data/demo.aura/encoder.int8.onnx",
    "aura_edge/data/demo.aura/encoder.onnx",
    "aura_edge/data/demo.aura/golden.safetensors",
    "aura_edge/data/demo.aura/lexicon.safetensors",
    "aura_edge/data/demo.aura/manifest.json",
    "aura_edge/data/demo.aura/prototypes/sisfall.safetensors",
    "aura_edge/data/demo.aura/prototypes/sp-sw-har.safetensors",
    "aura_edge/data/demo_recording.md",
    "aura_edge/data/demo_recording.npz",
    "aura_edge/data/tiny.onnx",
    *(
        f"aura_edge/kernels/{name}"
        for name in (
            "attention_block.cu",
            "attention_block.cuh",
            "attention_fused.cu",
            "attention_fused.cuh",
            "attention_naive.cu",
            "attention_naive.cuh",
            "attention_plugin.cu",
            "encoder.cu",
            "encoder.cuh",
            "encoder_head.inl",
            "encoder_layer.inl",
            "encoder_shape.cuh",
            "encoder_stem.inl",
            "encoder_tiles.inl",
            "encoder_vectors.inl",
            "primitives.cuh",
            "emulator/attention.hpp",
            "emulator/attention_block.cpp",
            "emulator/attention_fused.cpp",
            "emulator/attention_naive.cpp",
            "emulator/context.hpp",
            "emulator/encoder.cpp",
            "emulator/fibres.hpp",
            "emulator/primitives.hpp",
            "plugin/CMakeLists.txt",
            "plugin/fused_mha_launch.cu",
            "plugin/fused_mha_launch.h",
            "plugin/fused_mha_plugin.cpp",
        )
    ),
    *(
        f"aura_edge/sinks/web/page/{name}"
        for name in (
            "icon.svg",
            "index.html",
            "page.css",
            "page.js",
            "panels.js",
            "signal.js",
            "timeline.js",
            "vendor/uPlot-LICENSE.txt",
            "vendor/uPlot.iife.min.js",
            "vendor/uPlot.min.css",
        )
    ),
    "aura_edge_bench/suites/ablation.toml",
    "aura_edge_bench/suites/cross-data.toml",
    "aura_edge_bench/suites/encoders.toml",
    "aura_edge_export/lexicon_phrases.txt",
    "aura_edge_train/datasets/captions.json",
    "aura_edge_train/datasets/captions_utd_mhad.json",
    "aura_edge_train/recipes/aura-ego-exo4d.toml",
    "aura_edge_train/recipes/aura-simultaneous.toml",
    "aura_edge_train/recipes/aura-sisfall.toml",
    "aura_edge_train/recipes/clip-vit-b-32.toml",
    "aura_edge_train/recipes/demo.toml",
    "aura_edge_train/recipes/imu2clip-ego4d.toml",
    "aura_edge_train/recipes/sisfall.toml",
    "aura_edge_train/recipes/tiny.toml",
    "aura_edge_train/recipes/utd-mhad.toml",
}
"""All that ships beside the sources: nobody's recordings get in unseen."""
HEAVY = {
    "torch",
    "openvino",
    "duckdb",
    "lancedb",
    "httpx",
    "starlette",
    "uvicorn",
    "onnxruntime",
    "onnx",
    "scipy",
    "sklearn",
    "pyarrow",
    "tokenizers",
    "projectaria_tools",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel, built from these sources without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (file,) = folder.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        yield archive


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return Parser().parsestr(wheel.read(name).decode())


def test_wheel_holds_the_five_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """No tests, scripts or generic names land in anybody's site-packages."""
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES


def test_wheel_holds_every_source_file_and_its_data(wheel: zipfile.ZipFile) -> None:
    """What is tested here is what ships: every file of the packages, and no other."""
    expected = set()
    for package in (ROOT / "aura_edge", *(path for path in ROOT.glob("*/aura_edge_*") if path.name in PACKAGES)):
        for path in package.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                expected.add(path.relative_to(package.parent).as_posix())
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert shipped == expected
    data = {name for name in shipped if not name.endswith((".py", "/py.typed"))}
    assert data == DATA


def test_every_package_is_typed_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    """Type checkers of those who use us see our types."""
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(wheel.namelist())


def test_demo_ships_with_its_licence(wheel: zipfile.ZipFile) -> None:
    """The demo works from the wheel alone, and names whose recording it is; the bundle stays within 8 MB."""
    shipped = {entry.filename: entry.file_size for entry in wheel.infolist()}
    assert "aura_edge/data/demo_recording.npz" in shipped
    assert "aura_edge/data/demo.aura/manifest.json" in shipped
    bundle = [size for name, size in shipped.items() if name.startswith("aura_edge/data/demo.aura/")]
    assert sum(bundle) <= 8_000_000
    notices = [name for name in shipped if name.startswith("aura_edge/data/") and name.endswith((".md", ".txt"))]
    assert any("CC BY 4.0" in wheel.read(name).decode() for name in notices)


def test_wheel_brings_the_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    """`aura-edge` is on the path after installing, and the licence is in the wheel."""
    (entry_points,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert "aura-edge = aura_edge.__main__:main" in wheel.read(entry_points).decode()
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel.namelist())


def test_device_never_installs_torch(metadata: Message) -> None:
    """The core is what goes on a device: these packages, and no other without a decision."""
    required = metadata.get_all("Requires-Dist") or []
    core = {line.split(";")[0] for line in required if "extra ==" not in line}
    names = {line.replace(">", "=").split("=")[0].strip() for line in core}
    assert names == {"msgspec", "numpy", "onnxruntime", "pyserial", "rich", "safetensors", "tomli", "typer"}


def test_extras_are_those_the_readme_names(metadata: Message) -> None:
    """Whoever needs more says which."""
    extras = set(metadata.get_all("Provides-Extra") or [])
    assert {"train", "export", "parquet", "vrs", "dev"} <= extras


def modules_after(*args: str) -> set[str]:
    """Top-level modules that `python ARGS` has imported when it ends, as the interpreter itself reports them."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *args],
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    rows = [line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert len(rows) > 20
    return {row.split(".")[0] for row in rows}


def test_import_costs_next_to_nothing() -> None:
    """`import aura_edge` is cheap enough for any program to do."""
    imported = modules_after("-c", "import aura_edge")
    assert not imported & (HEAVY | {"numpy", "typer", "rich", "serial"})


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS), ["bundle", "show"], ["bundle", "verify"]])
def test_help_imports_nothing_heavy(command: list[str]) -> None:
    """Asking for help is answered at once, also where torch is not installed."""
    assert not modules_after("-m", "aura_edge", *command, "--help") & HEAVY


def test_listing_the_commands_imports_none_of_them() -> None:
    """The list is only names."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "aura_edge", "--help"], capture_output=True, text=True, check=True
    )
    modules = {module for module, _ in (target.split(":") for target, _ in COMMANDS.values())}
    assert not {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()} & modules
    assert all(name in done.stdout for name in COMMANDS)
