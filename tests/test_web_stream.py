"""`aura-edge stream --web` from end to end: the page is there, labels change while it runs, Ctrl-C ends it in order."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="needs aura-edge[web]")

from aura_edge.control import Request, ask
from aura_edge.testing import tiny_bundle


def until(happens: Callable[[], Any]) -> None:
    ends = time.monotonic() + 20
    while not happens():
        assert time.monotonic() < ends, "did not happen in time"
        time.sleep(0.05)


def test_stream_with_page_and_edits(tmp_path: Path) -> None:
    """A label removed by socket and a file saved are in force in the lines that follow; the stream ends with its summary and code 0."""
    bundle, out, socket, file = (tmp_path / name for name in ("tiny.aura", "out.jsonl", "it.sock", "labels.txt"))
    tiny_bundle(bundle)
    file.write_text("walking\nshaking\nspinning\n")
    args = [
        "stream",
        "--synthetic",
        "--speed",
        "4",
        "--bundle",
        str(bundle),
        "--sink",
        f"jsonl:{out}",
        "--web",
        "127.0.0.1:0",
    ]
    args += ["--labels-file", str(file), "--control", str(socket)]
    process = subprocess.Popen(
        [sys.executable, "-m", "aura_edge", *args],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stderr is not None
        said = ""
        while not (found := re.search(r"live page: http://127\.0\.0\.1:(\d+)/", said)):
            line = process.stderr.readline()
            assert line, said
            said += line
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=10)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()

        def digests() -> list[str]:
            lines = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
            return [line["prototypes"] for line in lines if line["type"] == "prediction"]

        until(digests)
        reply = ask(socket, Request("remove", "walking"))
        until(lambda: digests()[-1] == reply.digest)
        file.write_text("spinning\n")
        until(lambda: ask(socket, Request("list")).labels == ("spinning",))
        until(lambda: digests()[-1] == ask(socket, Request("list")).digest)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert json.loads(out.read_text().splitlines()[-1])["type"] == "summary"
        assert not socket.exists()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
