"""`aura-edge train`: what it leaves and says, and that asking for help costs nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="training needs it; it comes with aura-edge[train]")
pytest.importorskip("sklearn", reason="validation scores need it; it comes with aura-edge[train]")

import aura_edge  # noqa: E402
from aura_edge import checkout, text  # noqa: E402
from aura_edge.encoders import checkpoint  # noqa: E402
from aura_edge.user_cache import user_cache  # noqa: E402
from aura_edge_train.commands import train_app  # noqa: E402
from aura_edge_train.learner import Learner  # noqa: E402

RECIPE = """
name = "small"
text_tower = "tiny"
[encoder]
kind = "transformer"
options = { width = 16, depth = 1, heads = 2, patch = 50, stride = 50, invariant_filters = 8, vector_filters = 0 }
[[data]]
name = "made-up"
[optimisation]
epochs = 2
batch = 24
"""


@pytest.fixture(autouse=True)
def tiny_tower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(text.TOWERS, "tiny", "aura_edge.testing:FakeTower")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "small.toml").write_text(RECIPE)
    return tmp_path / "small.toml"


def invoke(*arguments: Any) -> Any:
    return CliRunner().invoke(train_app, [str(argument) for argument in arguments])


def test_it_trains_and_says_what_next(recipe: Path, tmp_path: Path) -> None:
    """Epochs are reported on standard error, the next command on standard output, and the checkpoint is there."""
    result = invoke(
        recipe, "--data", tmp_path, "--out", tmp_path / "run", "--cache", tmp_path / "cache", "--threads", 1
    )
    assert result.exit_code == 0, result.output
    assert "epoch 2/2" in result.stderr
    assert f"aura-edge export {tmp_path / 'run'} -o small.aura" in result.stdout
    assert checkpoint.load(tmp_path / "run").header.name == "small"


def test_interrupted_says_how_to_go_on(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends with 130 and the command that resumes; that command finishes the run."""
    step, calls = Learner.step, []

    def interrupted(*arguments: Any) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(Learner, "step", interrupted)
    common = (recipe, "--data", tmp_path, "--out", tmp_path / "run", "--cache", tmp_path / "cache", "--threads", 1)
    stopped = invoke(*common)
    assert stopped.exit_code == 130
    assert "--resume" in stopped.stderr
    again = invoke(*common)
    assert again.exit_code == 1
    assert "holds a run already" in str(again.exception)
    assert invoke(*common, "--resume").exit_code == 0
    assert checkpoint.load(tmp_path / "run").header.metrics["epoch"] in (1, 2)


def test_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Resampled recordings go below the user's cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "aura-edge"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert user_cache() == Path.home() / ".cache" / "aura-edge"


def test_commands_import_nothing_heavy() -> None:
    """The module that `--help` loads brings neither torch nor onnxruntime nor scikit-learn."""
    code = (
        "import sys, aura_edge_train.commands; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'onnxruntime', 'sklearn', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode in (0,)


def test_commit_is_that_of_this_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Provenance names the commit of the checkout it runs from, and none where there is no checkout."""
    inside = (Path(aura_edge.__file__).parents[1] / ".git").exists()
    assert (checkout.commit() is not None) == (inside and shutil.which("git") is not None)
    monkeypatch.setattr(checkout, "__file__", str(tmp_path / "site-packages" / "aura_edge" / "checkout.py"))
    assert checkout.commit() is None


def test_two_processes_are_started_as_the_readme_says(recipe: Path, tmp_path: Path) -> None:
    """`torchrun -m aura_edge train`: both end well, and one of them says what comes next."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    (tmp_path / "towers.py").write_text(
        "from aura_edge import text\nfrom aura_edge.__main__ import main\n"
        "text.TOWERS['tiny'] = 'aura_edge.testing:FakeTower'\nmain()\n"
    )
    arguments = [
        "train",
        recipe,
        "--data",
        tmp_path,
        "--out",
        tmp_path / "run",
        "--cache",
        tmp_path / "cache",
        "--threads",
        1,
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launcher, str(tmp_path / "towers.py"), *map(str, arguments)],
        env=environment, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("aura-edge export") == 1
