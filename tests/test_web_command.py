"""What `--web`, `--labels-file` and the control socket add to a stream: read, opened, connected, and closed with it."""

from __future__ import annotations

import http.client
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.main import get_command

from aura_edge.bundle import Bundle
from aura_edge.commands.live import WebMayStandAlone, accept_edits, editable, open_web
from aura_edge.control import Request, ask, find_socket
from aura_edge.errors import InputError, SinkError
from aura_edge.prototypes import Prototypes, load_for
from aura_edge.sinks import TOKEN
from aura_edge.testing import TINY_LABELS, tiny_bundle

SECRET = "a-token-of-twenty-letters"


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv(TOKEN, raising=False)
    return tiny_bundle(tmp_path / "tiny.aura")


@pytest.mark.parametrize(
    ("args", "web", "demo"),
    [
        ([], None, False),
        (["--web"], "", False),
        (["--web", "--demo"], "", True),
        (["--web", "80", "--demo"], "80", True),
        (["--demo", "--web=0.0.0.0:80"], "0.0.0.0:80", True),
    ],
)
def test_web_needs_no_value(args: list[str], web: str | None, demo: bool) -> None:
    """It may stand alone, wherever it stands."""
    app, seen = typer.Typer(), []

    @app.command(cls=WebMayStandAlone)
    def stream(
        web: Annotated[str | None, typer.Option("--web")] = None, demo: Annotated[bool, typer.Option("--demo")] = False
    ) -> None:
        seen.append((web, demo))

    get_command(app)(args, standalone_mode=False)
    assert seen == [(web, demo)]


def test_stream_starts_with_the_labels_of_the_file(
    model: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In its order, and what was taken for a phrase is said; without a file they are those chosen."""
    file = tmp_path / "labels.txt"
    file.write_text("spinning\nwalk\n")
    known = load_for(model)
    labels = editable(model, known, None, file)
    assert labels.prototypes.labels == ("spinning", "walking")
    assert "'walk' is not known: using 'walking'" in capsys.readouterr().err
    assert editable(model, known, None, None).prototypes is known
    with pytest.raises(InputError, match="cannot be read"):
        editable(model, known, None, tmp_path / "missing.txt")


def test_edits_reach_the_stream_until_it_ends(model: Bundle) -> None:
    """Also those made before it was there; the socket goes with the stream."""
    labels = editable(model, load_for(model), None, None)
    labels.remove("walking")
    applied: list[Prototypes] = []
    with ExitStack() as opened:
        accept_edits(opened, labels, applied.append, None, None)
        at = find_socket()
        assert ask(at, Request("remove", "shaking")).ok
        assert [known.labels for known in applied] == [("shaking", "spinning"), ("spinning",)]
    assert not at.exists()


def test_stream_goes_on_without_a_control_socket(
    model: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where none can be made at the usual place; one that was asked for must be there."""
    labels = editable(model, load_for(model), None, None)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "missing"))
    with ExitStack() as opened:
        accept_edits(opened, labels, lambda known: None, None, None)
    assert "cannot reach this stream" in capsys.readouterr().err
    with ExitStack() as opened, pytest.raises(SinkError, match="another place"):
        accept_edits(opened, labels, lambda known: None, None, tmp_path / "missing" / "it.sock")


def test_page_is_served_and_its_address_said_once(model: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    """With the token of the environment where there is one, which then is asked for on the loopback too."""
    pytest.importorskip("uvicorn", reason="needs aura-edge[web]")
    labels = editable(model, load_for(model), None, None)
    page = open_web("127.0.0.1:0", "walk.csv through tiny", model, labels)
    try:
        assert capsys.readouterr().err == f"live page: http://127.0.0.1:{page.address.port}/\n"
        connection = http.client.HTTPConnection("127.0.0.1", page.address.port, timeout=10)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
    finally:
        page.close()
    assert labels.prototypes.labels == TINY_LABELS


def test_token_comes_from_the_environment(
    model: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command line is read by everybody on a machine."""
    pytest.importorskip("uvicorn", reason="needs aura-edge[web]")
    monkeypatch.setenv(TOKEN, SECRET)
    page = open_web(":0", "x", model, editable(model, load_for(model), None, None))
    page.close()
    assert capsys.readouterr().err.endswith(f"/?token={SECRET}\n")
    monkeypatch.setenv(TOKEN, "short")
    with pytest.raises(SinkError, match="12 to 128"):
        open_web(":0", "x", model, editable(model, load_for(model), None, None))
