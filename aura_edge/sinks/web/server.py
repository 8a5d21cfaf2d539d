"""The page's server: its files, and a socket for each browser, all in one event loop on one thread.

Each browser says which frames it has got, and has at most `UNSEEN` on the way: what is slow gets fewer frames, each with the newest, and
nothing is queued for it. One that says nothing for `SILENT_S` is let go.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib import resources
from typing import TYPE_CHECKING

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from aura_edge.errors import AuraEdgeError
from aura_edge.sinks.address import Address
from aura_edge.sinks.web.feed import Cursor, Feed
from aura_edge.sinks.web.guard import Guard

if TYPE_CHECKING:
    from aura_edge.sinks.web import LabelDesk

TICK_S = 1 / 30
UNSEEN = 3
SILENT_S = 20.0
MOST_BROWSERS = 16
LARGEST_MESSAGE = 4096
LAST_FRAME_S = 0.3
"""Time for the last frame to reach everybody."""

PAGE = {
    "": ("index.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
    "signal.js": ("signal.js", "text/javascript; charset=utf-8"),
    "timeline.js": ("timeline.js", "text/javascript; charset=utf-8"),
    "panels.js": ("panels.js", "text/javascript; charset=utf-8"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
    "uPlot.js": ("vendor/uPlot.iife.min.js", "text/javascript; charset=utf-8"),
    "uPlot.css": ("vendor/uPlot.min.css", "text/css; charset=utf-8"),
    "uPlot-LICENSE.txt": ("vendor/uPlot-LICENSE.txt", "text/plain; charset=utf-8"),
}
"""Path to file and kind; nothing else is served."""


class FromPage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a browser says: that a frame has come, or an edit of the labels."""

    got: bool = False
    add: str | None = None
    remove: str | None = None


class PageServer:
    """`run` is a thread's whole life; `stop` may be called from another."""

    def __init__(self, feed: Feed, address: Address, listener: socket.socket, labels: LabelDesk | None) -> None:
        self._feed, self._listener, self._labels = feed, listener, labels
        self._sockets: set[WebSocket] = set()
        self.started = threading.Event()
        self._stopped = False
        self.application = Guard(
            Starlette(
                routes=[
                    *(Route(f"/{path}", _serve(*file)) for path, file in PAGE.items()),
                    WebSocketRoute("/socket", self._socket),
                ]
            ),
            address,
        )
        self._ticked: asyncio.Event | None = None

    @property
    def browsers(self) -> int:
        """How many look now."""
        return len(self._sockets)

    def run(self) -> None:
        """Serve until `stop`."""
        asyncio.run(self._run())

    def stop(self) -> None:
        """Send what is left, and end."""
        self._stopped = True

    async def _run(self) -> None:
        server = uvicorn.Server(
            uvicorn.Config(
                self.application,
                log_config=None,
                log_level="critical",
                access_log=False,
                lifespan="off",
                ws="websockets-sansio",
                ws_max_size=LARGEST_MESSAGE,
                ws_per_message_deflate=False,
                server_header=False,
                limit_concurrency=4 * MOST_BROWSERS,
                timeout_keep_alive=5,
                timeout_graceful_shutdown=1,
            )
        )
        serving = asyncio.create_task(server.serve(sockets=[self._listener]))
        last_frame_at: float | None = None
        now = asyncio.get_running_loop().time
        while not serving.done() and (last_frame_at is None or now() < last_frame_at):
            if server.started:
                self.started.set()
            if self._stopped and last_frame_at is None:
                last_frame_at = now() + (LAST_FRAME_S if self._sockets else 0.0)
            self._feed.take()
            self._tick()
            await asyncio.sleep(TICK_S)
        server.should_exit = True
        await serving

    def _tick(self) -> None:
        ticked, self._ticked = self._ticked, asyncio.Event()
        if ticked is not None:
            ticked.set()

    async def _socket(self, browser: WebSocket) -> None:
        if len(self._sockets) >= MOST_BROWSERS:
            await browser.close(1013)
            return
        await browser.accept()
        self._sockets.add(browser)
        pace = _Pace()
        tasks = [asyncio.create_task(self._send(browser, pace)), asyncio.create_task(self._hear(browser, pace))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._sockets.discard(browser)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(RuntimeError, WebSocketDisconnect, asyncio.TimeoutError):  # it may be closed already
            await asyncio.wait_for(browser.close(), 1.0)

    async def _send(self, browser: WebSocket, pace: _Pace) -> None:
        cursor = Cursor()
        while True:
            if pace.unseen < UNSEEN and (frame := self._feed.frame(cursor)) is not None:
                pace.sent()
                await asyncio.wait_for(browser.send_bytes(frame), SILENT_S)
            elif pace.silent_for() > SILENT_S:
                return
            if self._ticked is not None:
                await self._ticked.wait()
            else:
                await asyncio.sleep(TICK_S)

    async def _hear(self, browser: WebSocket, pace: _Pace) -> None:
        while True:
            try:
                said = msgspec.json.decode(await browser.receive_text(), type=FromPage)
            except (WebSocketDisconnect, KeyError, msgspec.DecodeError, UnicodeDecodeError):
                return  # gone, or no page of ours
            if said.got:
                pace.got()
            if said.add is not None or said.remove is not None:
                answer = await asyncio.to_thread(self._edit, said)  # a text tower may take its time
                await browser.send_text(msgspec.json.encode(answer).decode())

    def _edit(self, said: FromPage) -> dict[str, object]:
        if self._labels is None:
            return {"ok": False, "said": "the labels of this stream cannot be changed"}
        try:
            edited = self._labels.add(said.add) if said.add is not None else self._labels.remove(said.remove or "")
        except AuraEdgeError as error:
            return {"ok": False, "said": str(error)}
        return {"ok": True, "said": edited.said}


class _Pace:
    """How many frames are on the way to one browser, and since when it has said nothing of them."""

    def __init__(self) -> None:
        self.unseen = 0
        self._heard_at = self._now()

    def sent(self) -> None:
        if not self.unseen:
            self._heard_at = self._now()
        self.unseen += 1

    def got(self) -> None:
        self.unseen = max(0, self.unseen - 1)
        self._heard_at = self._now()

    def silent_for(self) -> float:
        """Seconds, while frames are on the way."""
        return self._now() - self._heard_at if self.unseen else 0.0

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _serve(name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    content = (resources.files("aura_edge.sinks.web") / "page" / name).read_bytes()

    async def answer(request: Request) -> Response:
        return Response(content, media_type=kind)

    return answer
