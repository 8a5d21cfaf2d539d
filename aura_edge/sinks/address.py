"""Where a sink listens, and who may look: this machine alone, or whoever shows the token.

A page in anybody's browser can speak to this machine's ports. On the loopback only requests addressed to it by its own names are
answered, so that no other name can be made to point here (DNS rebinding); anywhere else the token is asked for.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
import socket
from dataclasses import dataclass

from aura_edge.errors import SinkError

LOOPBACK = "127.0.0.1"
GONE_AFTER_MS = 30_000
LOCAL_NAMES = frozenset(["localhost", "127.0.0.1", "[::1]"])
_TOKEN = re.compile(r"[A-Za-z0-9_.~-]{12,128}")


@dataclass(frozen=True, slots=True)
class Address:
    """A place to listen at, and the token that is asked for there; None on the loopback."""

    host: str
    port: int
    token: str | None = None

    @property
    def url(self) -> str:
        """What to open in a browser, token and all."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.host in ("0.0.0.0", "::"):
            host = socket.gethostname()
        return f"http://{host}:{self.port}/" + (f"?token={self.token}" if self.token else "")

    def serves(self, host_header: str | None) -> bool:
        """Whether a request that calls us by this name (`Host`) is meant for us."""
        if self.token is not None:
            return True  # the token proves it
        name = re.sub(r":\d+\Z", "", (host_header or "").lower())
        return name in LOCAL_NAMES or name == self.host.lower()

    def admits(self, token: str | None) -> bool:
        """Whether this token opens the door, compared in constant time; where none is asked for, any does."""
        if self.token is None:
            return True
        return hmac.compare_digest((token or "").encode(), self.token.encode())

    def listen(self) -> tuple[socket.socket, Address]:
        """A bound socket, and the address with the port it got. Raises `SinkError` where that place is not to be had."""
        try:
            family, _, _, _, at = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0]
            listener = socket.socket(family, socket.SOCK_STREAM)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if hasattr(socket, "TCP_USER_TIMEOUT"):  # whoever is gone without a word is let go by the system
                    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_AFTER_MS)
                listener.bind(at)
                listener.listen(64)
            except OSError:
                listener.close()
                raise
        except OSError as error:
            raise SinkError(
                f"{self.host}:{self.port}: cannot listen there: {error.strerror}. Choose another port, or stop what uses it."
            ) from error
        return listener, Address(self.host, listener.getsockname()[1], self.token)


def parse_address(text: str, *, port: int, token: str | None = None) -> Address:
    """`HOST:PORT`, `HOST`, `:PORT`, `PORT` or nothing; the loopback and `port` where they are not said.

    Off the loopback a token is made where none is given. Raises `SinkError` for what is none of these, or a token that is too easy.
    """
    asked = f":{text}" if text.isdecimal() else text
    found = re.fullmatch(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:\[\]/?#\s]*)(?::(?P<port>\d{1,5}))?", asked)
    if found is None or int(found["port"] or port) > 65535:
        raise SinkError(f"{text!r}: no address; expected HOST:PORT, as in 127.0.0.1:{port} or 0.0.0.0:{port}.")
    host = (found["host"] or LOOPBACK).strip("[]")
    if token is not None and not _TOKEN.fullmatch(token):
        raise SinkError(
            "the token must be 12 to 128 letters, digits or any of _ . ~ - : it is all that keeps others out."
        )
    if token is None and not is_loopback(host):
        token = secrets.token_urlsafe(24)
    return Address(host, int(found["port"] or port), token)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
