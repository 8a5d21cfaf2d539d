"""The README is true: its numbers are those of the committed results, and its commands are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from aura_edge.__main__ import COMMANDS, app
from aura_edge.errors import InputError
from aura_edge_bench.readme import RESULTS, filled

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
TRAINING = (ROOT / "docs" / "TRAINING.md").read_text("utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
LINES = [line.split("#")[0].split("|")[0].strip() for block in BLOCKS for line in block.splitlines()]


def test_numbers_are_those_of_the_results() -> None:
    """Filling the README anew changes nothing, and there is something to fill."""
    assert README.count("<!-- results:") == 4
    assert "<!-- results:" in TRAINING
    for page in (README, TRAINING):
        assert filled(page, ROOT / RESULTS / "epyc-2-cores") == page
    with pytest.raises(InputError, match="nothing fills"):
        filled("<!-- results:wishes -->\n<!-- /results -->", ROOT)


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("aura-edge ")])
def test_commands_take_what_the_readme_gives_them(line: str) -> None:
    """Each command of the README exists, and knows every option that is shown."""
    words = shlex.split(line)
    assert words[1] in COMMANDS
    shown = CliRunner().invoke(app, [words[1], "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert shown.exit_code == 0
    for word in words[2:]:
        if word.startswith("--"):
            assert word in shown.output


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith(("scripts/", "python -m "))])
def test_scripts_and_modules_are_there(line: str) -> None:
    """What the README runs is in the checkout."""
    if line.startswith("scripts/"):
        assert (ROOT / line.split()[0]).stat().st_mode & 0o111
    else:
        module = line.split()[2]
        assert list(ROOT.glob(f"*/{module.replace('.', '/')}.py"))


def test_links_lead_somewhere() -> None:
    """Every file the README links to is there."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
