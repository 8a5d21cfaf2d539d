"""The control socket of a running stream: a local socket that only its user can open, one JSON line in, one out, one pair a connection.

    {"do": "list"} | {"do": "add", "phrase": "..."} | {"do": "remove", "phrase": "..."}
    {"ok": true, "said": "...", "labels": [...], "digest": "..."} | {"ok": false, "said": "..."}

It lies at `RUNTIME/aura-edge-UID/PID.sock` (RUNTIME: $XDG_RUNTIME_DIR, else the folder for temporary files), in a folder that nobody else
may enter.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import tempfile
import threading
from pathlib import Path
from typing import Literal

import msgspec

from aura_edge.errors import AuraEdgeError, InputError, SinkError
from aura_edge.label_set import LabelSet

LARGEST_LINE = 1 << 16
PATIENCE_S = 2.0
"""How long whoever has connected may take to ask."""
ANSWER_S = 60.0
"""How long an answer may take: a text tower is loaded in seconds."""


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked of the stream."""

    do: Literal["list", "add", "remove"]
    phrase: str = ""


class Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What it answers."""

    ok: bool
    said: str
    labels: tuple[str, ...] = ()
    digest: str = ""


def own_folder() -> Path:
    """Where the sockets of this user's streams lie. Raises `SinkError` where that place is not this user's alone."""
    folder = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"aura-edge-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise SinkError(f"{folder}: cannot be made: {error.strerror}. Name another place with --control.") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise SinkError(f"{folder}: is not this user's alone. Remove it, or name another place with --control.")
    return folder


class ControlSocket:
    """Answers one request after the other, from a thread of its own, until it is closed."""

    def __init__(self, labels: LabelSet, path: Path | None = None) -> None:
        """Raises `SinkError` where the socket cannot be made."""
        self._labels = labels
        self.path = path or own_folder() / f"{os.getpid()}.sock"
        self._listener = _listener(self.path)
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="aura-edge control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering, and take the socket away."""
        self._closed = True
        with contextlib.suppress(OSError):
            self.path.unlink()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while not self._closed:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):  # whoever asked may be gone
                connection.settimeout(PATIENCE_S)
                connection.sendall(msgspec.json.encode(self._answer(_line(connection))) + b"\n")

    def _answer(self, line: bytes) -> Reply:
        try:
            request = msgspec.json.decode(line, type=Request)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return Reply(False, f"no request: {error}")
        try:
            if request.do == "list":
                known = self._labels.prototypes
                return Reply(True, f"{len(known.labels)} labels", known.labels, known.digest)
            change = (self._labels.add if request.do == "add" else self._labels.remove)(request.phrase)
        except AuraEdgeError as error:
            return Reply(False, str(error))
        return Reply(True, change.said, change.labels, change.digest)


def ask(path: Path, request: Request) -> Reply:
    """Put one request to the stream behind `path`. Raises `InputError` where none answers."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(ANSWER_S)
            connection.connect(os.fspath(path))
            connection.sendall(msgspec.json.encode(request) + b"\n")
            return msgspec.json.decode(_line(connection), type=Reply)
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"{path}: no stream answers there ({error}). Is it still running?") from error


def find_socket() -> Path:
    """The socket of the one stream of this user that runs now. Raises `InputError` where there is none, or more than one."""
    found = []
    for path in sorted(own_folder().glob("*.sock")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(PATIENCE_S)
            try:
                connection.connect(os.fspath(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)  # of a process that was killed
            except OSError:
                continue
            else:
                found.append(path)
    if len(found) != 1:
        raise InputError(
            f"{len(found)} streams run that take labels{': ' + ', '.join(map(str, found)) if found else ''}. "
            + ("Name one with --control." if found else "Start one first: aura-edge stream ...")
        )
    return found[0]


def _listener(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket() and _is_dead(path):
            path.unlink()
        listener.bind(os.fspath(path))
        path.chmod(0o600)
        listener.listen(8)  # before this nobody gets in, whatever the mode was
    except OSError as error:
        listener.close()
        raise SinkError(
            f"{path}: cannot be made a control socket: {error.strerror or error}. Name another place with --control."
        ) from error
    return listener


def _is_dead(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(os.fspath(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return False


def _line(connection: socket.socket) -> bytes:
    """One line; what is longer than any request is cut, and makes no sense then."""
    received = b""
    while not received.endswith(b"\n") and len(received) < LARGEST_LINE:
        if not (more := connection.recv(4096)):
            break
        received += more
    return received
