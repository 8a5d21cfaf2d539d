"""What stands before every answer of the page's server: the token, the name we are called by, and headers that let nothing else run.

On the page no script, style, picture or connection of another origin is allowed, and no script inside of it; it can be in no frame.
"""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aura_edge.sinks.address import Address

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
REFUSED = (
    "The token is missing or wrong. Open the address that aura-edge printed when the stream started, token and all.\n"
)
MISNAMED = "This page answers to the names of its own machine only, as in http://127.0.0.1 and http://localhost.\n"


class Guard:
    """Lets through to `inner` who may look.

    A token comes once in the address (`?token=`); the browser is then sent on without it, and shows it from then on in a cookie that no
    script can read. A program may send it as `Authorization: Bearer`.
    """

    def __init__(self, inner: ASGIApp, address: Address) -> None:
        self._inner, self._address = inner, address
        self._cookie = f"aura_edge_{address.port}"  # cookies do not know ports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        sent = _with_headers(send)
        if not self._address.serves(headers.get("host")):
            await self._refuse(scope, receive, sent, 421, MISNAMED)
            return
        in_address = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [None])[-1]
        shown = in_address or _bearer(headers) or _cookie(headers, self._cookie)
        if not self._address.admits(shown):
            await self._refuse(scope, receive, sent, 401, REFUSED)
        elif scope["type"] == "websocket" and not _same_origin(headers):
            await self._refuse(scope, receive, sent, 403, REFUSED)
        elif scope["type"] == "http" and in_address is not None and self._address.token is not None:
            onward = RedirectResponse("/", status_code=303)
            onward.set_cookie(self._cookie, self._address.token, httponly=True, samesite="strict", path="/")
            await onward(scope, receive, sent)
        else:
            await self._inner(scope, receive, sent)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, status: int, said: str) -> None:
        if scope["type"] == "websocket":
            await receive()  # the request to connect
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: 403
        else:
            await PlainTextResponse(said, status_code=status)(scope, receive, send)


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(HEADERS)
        await send(message)

    return sent


def _same_origin(headers: Headers) -> bool:
    """Whether the page that opens a socket is ours: browsers let any page open one, and say which it is."""
    origin = urlsplit(headers.get("origin", ""))
    return origin.scheme in ("http", "https") and bool(origin.netloc) and origin.netloc == headers.get("host")


def _bearer(headers: Headers) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _cookie(headers: Headers, name: str) -> str | None:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return None
    return None if found is None else found.value
