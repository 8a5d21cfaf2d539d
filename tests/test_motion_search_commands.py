"""`aura-edge index` and `aura-edge search`, from the command line to what it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from aura_edge.commands.index import app as index_app
from aura_edge.commands.search import app as search_app
from aura_edge.testing import motion, tiny_bundle

pytest.importorskip("lancedb", reason="the extra search is not installed")


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of two recordings, one that is none, and the index that they went into."""
    home = tmp_path_factory.mktemp("search")
    tiny_bundle(home / "tiny.aura")
    (home / "in").mkdir()
    for name, labels in (("a", ("walking", "shaking")), ("b", ("spinning",))):
        imu = np.concatenate([motion(label, samples=4000).T for label in labels])
        t_ns = 1_700_000_000_000_000_000 + np.arange(len(imu), dtype=np.int64) * 5_000_000
        np.savez(home / "in" / f"{name}.npz", t_ns=t_ns, imu=imu, units="m/s2, rad/s")
    (home / "in" / "broken.npz").write_bytes(b"not one")
    args = [str(home / "in"), "--into", str(home / "ix"), "--bundle", str(home / "tiny.aura")]
    done = CliRunner().invoke(index_app, args)
    assert done.exit_code == 1  # for the broken one; what could be read is there
    assert done.stdout.startswith("2 recordings added (22 windows, 0 at rest left out")
    assert "failed: " in done.stderr
    assert "broken.npz" in done.stderr
    return home, home / "ix"


def test_again_is_nothing_new(indexed: tuple[Path, Path]) -> None:
    """Programs get the same in JSON."""
    home, index = indexed
    args = [str(home / "in" / "a.npz"), "--into", str(index), "--bundle", str(home / "tiny.aura"), "--json"]
    done = CliRunner().invoke(index_app, args)
    told = json.loads(done.stdout)
    assert done.exit_code == 0
    assert (told["added"], told["known"], told["windows_in_index"], told["failed"]) == (0, 1, 22, {})


def test_words_find_a_range(indexed: tuple[Path, Path], tmp_path: Path) -> None:
    """Score, recording, place and clock time; what stood for what; a page, and JSON."""
    _, index = indexed
    done = CliRunner().invoke(
        search_app, ["someone shaking", "--index", str(index), "--report", str(tmp_path / "r.html")]
    )
    assert done.exit_code == 0
    assert "'someone shaking' is not known: using 'shaking'" in done.stderr
    first = done.stdout.splitlines()[1]
    assert "a.npz" in first
    assert "2023-11-14 22:13:" in first
    assert "<svg" in (tmp_path / "r.html").read_text()
    told = json.loads(
        CliRunner().invoke(search_app, ["spinning", "--index", str(index), "--json", "--limit", "1"]).stdout
    )
    assert [(one["recording"], one["start_s"], one["end_s"]) for one in told] == [("b.npz", 0.0, 20.0)]


def test_an_index_of_nothing_says_so(tmp_path: Path) -> None:
    """Where no recording could be read there is an index all the same, and it can be asked."""
    tiny_bundle(tmp_path / "tiny.aura")
    (tmp_path / "broken.npz").write_bytes(b"not one")
    args = [str(tmp_path / "broken.npz"), "--into", str(tmp_path / "ix"), "--bundle", str(tmp_path / "tiny.aura")]
    assert CliRunner().invoke(index_app, args).exit_code == 1
    done = CliRunner().invoke(search_app, ["spinning", "--index", str(tmp_path / "ix")])
    assert (done.exit_code, done.stdout) == (0, "nothing is in the index\n")


def test_a_clip_finds_its_like(indexed: tuple[Path, Path]) -> None:
    """Any source is a clip."""
    home, index = indexed
    done = CliRunner().invoke(search_app, ["--index", str(index), "--like", str(home / "in" / "b.npz"), "--json"])
    assert json.loads(done.stdout)[0]["recording"] == "b.npz"


@pytest.mark.parametrize("args", [[], ["words", "--like", "x.csv"]])
def test_one_thing_is_searched_for(indexed: tuple[Path, Path], args: list[str]) -> None:
    """Neither nothing nor both: wrong usage."""
    assert CliRunner().invoke(search_app, [*args, "--index", str(indexed[1])]).exit_code == 2


@pytest.mark.parametrize("command", ["diary", "ask", "index", "search"])
def test_help_imports_nothing_heavy(command: str) -> None:
    """DuckDB, LanceDB, pyarrow, httpx and numpy wait until they are used."""
    script = (
        f"import sys; from typer.main import get_command; from aura_edge.commands.{command} import app\n"
        "try: get_command(app)(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'duckdb', 'lancedb', 'pyarrow', 'httpx', 'numpy', 'onnxruntime', 'torch'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.shared_data
def test_jogging_is_found_among_real_recordings(shared_data: Path, tmp_path: Path) -> None:
    """On a test subject of SisFall, words lead to the stretch in which that was done."""
    pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    path = shared_data / "sisfall" / "SE14.parquet"
    if not path.exists():
        pytest.skip(f"no {path}")
    from aura_edge.sources.presets import PRESETS
    from aura_edge.sources.recordings import read_trials

    args = [str(path), "--into", str(tmp_path / "ix"), "--preset", "sisfall"]
    assert CliRunner().invoke(index_app, args).exit_code == 0
    trials = [(int(one.t_ns[0]), one.segment[0]) for one in read_trials(path, PRESETS["sisfall"])]
    query = ["jogging quickly", "--index", str(tmp_path / "ix"), "--json", "--limit", "3"]
    found = json.loads(CliRunner().invoke(search_app, query).stdout)
    activities = [[code for t_ns, code in trials if t_ns <= one["t0_ns"]][-1] for one in found]
    assert activities[0] in ("D03", "D04")
