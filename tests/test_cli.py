"""The command line as a whole: exit codes, errors as one line, and what is imported when."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import typer

import aura_edge
from aura_edge.__main__ import COMMANDS, main
from aura_edge.errors import InputError, MissingExtraError, SinkError


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aura_edge", *args],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Adds a command named `probe` that does what it is given."""

    def add(what: Callable[[], None]) -> None:
        module = ModuleType("probe_commands")
        module.app = typer.Typer()  # type: ignore[attr-defined]
        module.app.command()(what)
        monkeypatch.setitem(sys.modules, "probe_commands", module)
        monkeypatch.setitem(COMMANDS, "probe", ("probe_commands:app", "Does what a test wants."))

    return add


def exit_code(*args: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(args))
    code = ended.value.code
    return code if isinstance(code, int) else 0


def test_version_is_said() -> None:
    """`--version` names program and version."""
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"aura-edge {aura_edge.__version__}\n")


@pytest.mark.parametrize("args", [[], ["strem"], ["--verbose"], ["stream", "--hop", "soon"], ["stream", "--hop", "60"]])
def test_wrong_usage_exits_with_2(args: list[str]) -> None:
    """A mistyped command or option is wrong usage, and says how it is used."""
    done = run(*args)
    assert done.returncode == 2
    assert "Usage:" in done.stdout + done.stderr


def test_mistyped_command_is_answered_with_the_likely_one() -> None:
    """Whoever types `strem` is told of `stream`."""
    assert "'stream'" in run("strem").stderr


def test_own_error_is_one_line_and_exit_1(
    command: Callable[[Callable[[], None]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """What we raise on purpose is told on standard error without a traceback."""

    def fail() -> None:
        raise InputError("walk.csv: the file is empty. Record it again.")

    command(fail)
    assert exit_code("probe") == 1
    captured = capsys.readouterr()
    assert captured.err == "aura-edge: walk.csv: the file is empty. Record it again.\n"
    assert captured.out == ""


def test_missing_extra_is_told_and_not_thrown(
    command: Callable[[Callable[[], None]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without an optional package the answer is what to install."""

    def fail() -> None:
        from aura_edge.errors import require

        require("a_package_that_nobody_has", extra="train")

    command(fail)
    with pytest.raises(MissingExtraError):
        fail()
    assert exit_code("probe") == 1
    assert "pip install 'aura-edge[train]'" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["train", "demo", "--data"], ["evaluate", "--data"]], ids=["train", "evaluate"])
def test_commands_without_torch_say_what_to_install(tmp_path: Path, words: list[str]) -> None:
    """On a machine with the core only, what needs torch is answered with the extra that brings it."""
    program = "import sys; sys.modules['torch'] = None; from aura_edge.__main__ import main; main(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", program, *words, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install 'aura-edge[train]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_bug_is_not_dressed_as_a_user_error(command: Callable[[Callable[[], None]], None]) -> None:
    """An error that is not ours passes through as it is, with its traceback."""

    def fail() -> None:
        raise ZeroDivisionError

    command(fail)
    with pytest.raises(ZeroDivisionError):
        main(["probe"])


def test_interrupt_exits_with_130(command: Callable[[Callable[[], None]], None]) -> None:
    """Ctrl-C in a command that does not handle it ends like that of any program."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    command(interrupted)
    assert exit_code("probe") == 130


def test_reader_that_went_away_is_no_news(
    command: Callable[[Callable[[], None]], None], capfd: pytest.CaptureFixture[str]
) -> None:
    """`aura-edge ... | head` ends silently."""

    def fail() -> None:
        raise SinkError("standard output: cannot be written") from BrokenPipeError(32, "Broken pipe")

    command(fail)
    assert exit_code("probe") == 1
    assert capfd.readouterr().err == ""


def test_broken_pipe_leaves_no_complaint_of_the_interpreter() -> None:
    """What could not be written is not tried again when the interpreter ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "aura_edge", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    process.wait()
    assert errors == ""


def test_commands_are_named_like_their_apps() -> None:
    """Every command of the list answers `--help` with its own usage line."""
    for name in COMMANDS:
        done = run(name, "--help")
        assert done.returncode == 0, done.stderr
        assert f"aura-edge {name}" in done.stdout


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize("words", [["--help"], ["bundle", "show"], ["stream", "--help"]], ids=" ".join)
def test_full_standard_output_is_one_line(words: list[str]) -> None:
    """Help and tables into a full disk end with an error of ours and no traceback."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "aura_edge", *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "standard output cannot be written" in done.stderr
