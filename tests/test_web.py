"""The live page's server: what it serves, whom it lets in, what a browser is told, and that the stream never waits for one."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("uvicorn", reason="needs aura-edge[web]")
pytest.importorskip("starlette", reason="needs aura-edge[web]")
pytest.importorskip("websockets", reason="needs aura-edge[web]")

from test_pipeline import ChunkSource, manifest, story
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from aura_edge.errors import BundleError, SinkError
from aura_edge.pipeline import Pipeline
from aura_edge.prototypes import Prototypes
from aura_edge.sinks.address import Address, is_loopback, parse_address
from aura_edge.sinks.web import WebSink
from aura_edge.sinks.web.card import facts_of
from aura_edge.sinks.web.feed import BLOCKS, KEPT_S, MOST_SAMPLES, SPELLS, Cursor, Feed, samples_of
from aura_edge.sinks.web.server import MOST_BROWSERS, PAGE, UNSEEN
from aura_edge.testing import TINY_LABELS, FakeEngine, tiny_bundle, tiny_prototypes
from aura_edge.types import NS_PER_S, Event, GridBlock, Prediction

TOKEN = "a-token-of-twenty-letters"
FACTS = {"title": "chunks through tiny", "model": [("name", "tiny")], "card": "# tiny\n\nFor tests."}
FOLDER = Path(str(resources.files("aura_edge.sinks.web"))) / "page"
WAIT_S = 10.0


class Desk:
    """Takes edits of the labels."""

    def __init__(self) -> None:
        self.prototypes = tiny_prototypes()
        self.apply: Callable[[Prototypes], None] = lambda wanted: None

    def add(self, phrase: str) -> Desk:
        if phrase in self.prototypes.labels:
            raise BundleError(f"{phrase!r} is among the labels already.")
        return self._take([*self.prototypes.labels, phrase])

    def remove(self, label: str) -> Desk:
        return self._take([name for name in self.prototypes.labels if name != label])

    def _take(self, labels: list[str]) -> Desk:
        self.prototypes = tiny_prototypes(labels)
        self.apply(self.prototypes)
        return self

    said = "done"


@contextlib.contextmanager
def serving(token: str | None = None, desk: Desk | None = None) -> Iterator[WebSink]:
    sink = WebSink(Address("127.0.0.1", 0, token), FACTS, rate_hz=200.0, labels=desk)
    try:
        yield sink
    finally:
        sink.close()


@pytest.fixture(scope="module")
def page() -> Iterator[WebSink]:
    """A page that nothing is streamed to."""
    with serving() as sink:
        yield sink


def get(sink: WebSink, path: str = "/", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", sink.address.port, timeout=WAIT_S)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    response.body = response.read()  # type: ignore[attr-defined]
    connection.close()
    return response


def browse(sink: WebSink, *, origin: str | None = "", host: str = "127.0.0.1", **headers: str) -> ClientConnection:
    """A socket as the page opens it; by default with the right origin."""
    port = sink.address.port
    known = f"http://{host}:{port}" if origin == "" else origin
    return connect(
        f"ws://{host}:{port}/socket", origin=known, additional_headers=headers, compression=None, open_timeout=WAIT_S
    )


def next_frame(browser: ClientConnection, *, got: bool = True) -> tuple[dict[str, Any], Any]:
    frame = browser.recv(timeout=WAIT_S)
    assert isinstance(frame, bytes)
    if got:
        browser.send('{"got":true}')
    return samples_of(frame)


def drain(browser: ClientConnection) -> None:
    """Read until the connection is closed by the other side."""
    while True:
        browser.recv(timeout=WAIT_S)


def until(happens: Callable[[], bool], *, within_s: float = WAIT_S) -> None:
    ends = time.monotonic() + within_s
    while not happens():
        assert time.monotonic() < ends, "did not happen in time"
        time.sleep(0.01)


def block(first: int = 0, length: int = 10, *, starts: bool = False, t0_ns: int | None = None) -> GridBlock:
    """Samples that carry their own number."""
    samples = np.repeat(np.arange(first, first + length, dtype=np.float32)[:, None], 6, axis=1)
    ones, none = np.ones(length, np.int64), np.zeros(length, np.int64)
    start_ns = first * 5_000_000 if t0_ns is None else t0_ns
    return GridBlock(start_ns, samples, np.zeros(length, np.bool_), ones, none, starts)


def prediction(index: int = 0, label: str = "walking") -> Prediction:
    t0_ns = index * NS_PER_S // 2
    took = {"encode": 2.0, "total": 3.0}
    return Prediction(
        t0_ns, t0_ns + 5 * NS_PER_S, t0_ns, label, 0.75, "activity", ((label, 0.75),), took, 0, 0, "a" * 64, "b" * 64
    )


# ---- what is served ----


def test_page_runs_nothing_but_its_own_files(page: WebSink) -> None:
    """No script inside of the page, nothing of another origin, no frame around it, nothing kept by the browser."""
    response = get(page)
    policy = dict(part.split(" ", 1) for part in (response.getheader("Content-Security-Policy") or "").split("; "))
    assert response.status == 200
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert response.getheader("X-Frame-Options") == "DENY"
    assert response.getheader("X-Content-Type-Options") == "nosniff"
    assert response.getheader("Cache-Control") == "no-store"
    assert response.getheader("Server") is None


@pytest.mark.parametrize("path", sorted(PAGE))
def test_each_file_is_served_as_what_it_is(page: WebSink, path: str) -> None:
    """The right kind, under the same protection as the page."""
    response = get(page, f"/{path}")
    assert (response.status, response.getheader("Content-Type")) == (200, PAGE[path][1])
    assert response.getheader("X-Frame-Options") == "DENY"


def test_nothing_else_is_served(page: WebSink) -> None:
    """Every file of the page's folder has a path, and there are no others, whatever the path looks like."""
    files = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file()}
    assert {name for name, _ in PAGE.values()} == files
    for path in ("/server.py", "/../server.py", "/%2e%2e/server.py", "/vendor/", "/socket", "//etc/passwd"):
        assert get(page, path).status == 404


def test_page_names_no_other_place_and_holds_no_inline_code() -> None:
    """It works without any network, and nothing in it asks for what the policy forbids."""
    html = (FOLDER / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)|\son[a-z]+=|\sstyle=|<style|javascript:", html) == []
    for path in FOLDER.rglob("*"):
        if path.is_file() and path.suffix != ".txt":
            places = set(re.findall(r"https?://[^\s\"')]+", path.read_text()))
            assert places <= {"http://www.w3.org/2000/svg", "https://github.com/leeoniya/uPlot"}


def test_text_never_becomes_markup() -> None:
    """Neither our scripts nor the vendored one have any way to make markup of a string."""
    for path in FOLDER.rglob("*.js"):
        assert (
            re.findall(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", path.read_text()
            )
            == []
        )


def test_vendored_plot_is_the_release_and_comes_with_its_licence() -> None:
    """uPlot 1.6.32 as published, unchanged."""
    digest = hashlib.sha256((FOLDER / "vendor/uPlot.iife.min.js").read_bytes()).hexdigest()
    assert digest == UPLOT_SHA256
    assert "MIT License" in (FOLDER / "vendor/uPlot-LICENSE.txt").read_text()


UPLOT_SHA256 = "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"


# ---- who is let in ----


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example"]
)
def test_loopback_answers_to_its_own_names_only(page: WebSink, host: str) -> None:
    """A name that somebody else made point here gets nothing: neither page nor socket."""
    assert get(page, Host=host).status == 421
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "A" * 22 + "==",
    }
    assert get(page, "/socket", Host=host, Origin=f"http://{host}", **upgrade).status == 403


def test_loopback_answers_to_localhost(page: WebSink) -> None:
    """By each of the names that mean this machine."""
    port = page.address.port
    assert [get(page, Host=f"{name}:{port}").status for name in ("localhost", "127.0.0.1", "[::1]")] == [200] * 3


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", None, "http://127.0.0.1:1", "file://"])
def test_no_other_page_may_open_a_socket(page: WebSink, origin: str | None) -> None:
    """Browsers let any page open a socket to anywhere, and say which page it is."""
    with pytest.raises(InvalidStatus) as refused:
        browse(page, origin=origin or None)
    assert refused.value.response.status_code == 403


def test_token_is_asked_for_on_page_and_socket() -> None:
    """Without it, or with a wrong one, there is no page, no file of it and no socket."""
    with serving(TOKEN) as sink:
        for path in ("/", "/page.js", "/?token=wrong", f"/?token={TOKEN}x", "/?token=", "/nowhere"):
            response = get(sink, path)
            assert response.status == 401
            assert TOKEN.encode() not in response.body  # type: ignore[attr-defined]
        cookie = f"aura_edge_{sink.address.port}"
        for headers in ({}, {"Cookie": f"{cookie}=wrong"}, {"Authorization": "Bearer wrong"}, {"Cookie": "=;;,"}):
            with pytest.raises(InvalidStatus):
                browse(sink, **headers)


def test_token_is_shown_once_and_then_in_a_cookie_that_no_script_reads() -> None:
    """The address with the token leads on to one without, and the cookie opens page, files and socket."""
    with serving(TOKEN) as sink:
        assert get(sink, f"//evil.example/?token={TOKEN}").getheader("Location") == "/"
        response = get(sink, f"/?token={TOKEN}")
        cookie = response.getheader("Set-Cookie") or ""
        assert (response.status, response.getheader("Location")) == (303, "/")
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        shown = cookie.split(";")[0]
        assert get(sink, Cookie=shown).status == 200
        assert get(sink, "/page.js", Authorization=f"Bearer {TOKEN}").status == 200
        with browse(sink, Cookie=shown) as browser:
            assert next_frame(browser)[0]["facts"]["title"] == "chunks through tiny"
        with pytest.raises(InvalidStatus):
            browse(sink, origin="http://evil.example", Cookie=shown)


@pytest.mark.parametrize(
    ("text", "host", "port", "token"),
    [
        ("", "127.0.0.1", 8642, False),
        ("8080", "127.0.0.1", 8080, False),
        (":8080", "127.0.0.1", 8080, False),
        ("localhost", "localhost", 8642, False),
        ("[::1]:90", "::1", 90, False),
        ("0.0.0.0", "0.0.0.0", 8642, True),
        ("pi4.local:90", "pi4.local", 90, True),
        ("[::]:90", "::", 90, True),
    ],
)
def test_addresses(text: str, host: str, port: int, token: bool) -> None:
    """Loopback where nothing is said; anywhere else there is a token, made where none is given."""
    found = parse_address(text, port=8642)
    assert (found.host, found.port, found.token is not None) == (host, port, token)
    assert (f"token={found.token}" in found.url) == token


@pytest.mark.parametrize("text", ["127.0.0.1:99999", "a b:1", "http://x:1", "1.2.3.4:x", "::1:80", "host/path"])
def test_what_is_no_address_is_said(text: str) -> None:
    """One error with an example."""
    with pytest.raises(SinkError, match=r"127\.0\.0\.1:8642"):
        parse_address(text, port=8642)


def test_tokens_differ_and_weak_ones_are_refused() -> None:
    """A token that is given must be long enough to keep anybody out."""
    assert len({parse_address("0.0.0.0", port=1).token for _ in range(8)}) == 8
    assert parse_address("0.0.0.0", port=1, token=TOKEN).admits(TOKEN)
    for weak in ("short", "with spaces in it all", "x" * 200):
        with pytest.raises(SinkError, match="12 to 128"):
            parse_address("0.0.0.0", port=1, token=weak)


@given(text=st.text(max_size=40))
def test_any_text_is_an_address_or_our_error(text: str) -> None:
    """And none but the loopback is ever without a token."""
    try:
        found = parse_address(text, port=8642)
    except SinkError:
        return
    assert found.token is not None or is_loopback(found.host)
    assert not found.admits("guess") or found.token is None


def test_port_that_is_taken_is_said(page: WebSink) -> None:
    """Before the stream starts."""
    with pytest.raises(SinkError, match="Choose another port"):
        WebSink(page.address, FACTS, rate_hz=200.0)


# ---- what a browser is told ----


def test_browser_sees_signal_labels_and_the_end() -> None:
    """Everything of a short stream: each sample once and in order, the last window, each spell, health, that it is over."""
    frames = []
    ready = threading.Event()

    def look(sink: WebSink) -> None:
        with browse(sink) as browser, contextlib.suppress(ConnectionClosed):
            ready.set()
            while True:
                frames.append(next_frame(browser))

    sink = WebSink(Address("127.0.0.1", 0), FACTS, rate_hz=200.0)
    looking = threading.Thread(target=look, args=(sink,))
    looking.start()
    assert ready.wait(WAIT_S)
    chunks = story(*TINY_LABELS)

    class Paced(ChunkSource):
        def __iter__(self) -> Iterator[Any]:
            for chunk in super().__iter__():
                time.sleep(0.004)
                yield chunk

    Pipeline(Paced(chunks), FakeEngine(), tiny_prototypes(), manifest(), [sink]).run()
    looking.join(WAIT_S)
    headers = [header for header, _ in frames]
    assert headers[0]["facts"]["rate_hz"] == 200.0
    signal = np.concatenate([samples for _, samples in frames])
    np.testing.assert_array_equal(signal, np.concatenate([chunk.samples for chunk in chunks]))
    firsts = [header["signal"]["first"] for header in headers if "signal" in header]
    assert firsts == sorted(set(firsts))
    assert headers[-1]["ended"] is True
    spells = {spell["id"]: spell for header in headers for spell in header.get("spells", [])}
    assert [spell["label"] for spell in spells.values() if spell["state"] == "activity"] == list(TINY_LABELS)
    assert sum(spell["duration_s"] for spell in spells.values()) == pytest.approx(30.0)
    health = next(header["health"] for header in reversed(headers) if "health" in header)
    assert (health["read"], health["lost"], health["gaps"], health["windows"]) == (6000, 0, 0, 51)
    last = next(header["prediction"] for header in reversed(headers) if "prediction" in header)
    assert (last["label"], last["prototypes"]) == ("spinning", tiny_prototypes().digest)


def test_browser_that_says_nothing_gets_no_more_than_a_few_frames() -> None:
    """Nothing piles up for one that does not keep up; when it goes on, it is told the newest."""
    with serving() as sink, browse(sink) as browser:
        next_frame(browser, got=False)
        for index in range(20):
            sink.emit(prediction(index))
            time.sleep(0.05)
        seen = [next_frame(browser, got=False)[0] for _ in range(UNSEEN - 1)]
        with pytest.raises(TimeoutError):
            browser.recv(timeout=0.3)
        assert seen[-1]["prediction"]["windows"] < 20
        browser.send('{"got":true}')
        assert next_frame(browser)[0]["prediction"]["windows"] == 20


def test_browser_that_stays_silent_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tab that is gone without a word does not stay for ever."""
    monkeypatch.setattr("aura_edge.sinks.web.server.SILENT_S", 0.2)
    with serving() as sink, browse(sink) as browser:
        sink.emit(prediction())
        with pytest.raises(ConnectionClosed):
            drain(browser)
        until(lambda: sink._server.browsers == 0)


def test_giving_to_the_sink_only_appends() -> None:
    """With browsers that never answer, 99 of 100 calls take well under a millisecond, and none waits."""
    with serving() as sink, browse(sink), browse(sink), browse(sink):
        took_ns = []
        for index in range(3000):
            start_ns = time.perf_counter_ns()
            sink.watch(block(index * 10))
            sink.emit(prediction(index))
            took_ns.append(time.perf_counter_ns() - start_ns)
            if index % 10 == 0:
                time.sleep(0.001)
        assert np.percentile(took_ns, 99) < 1e6


@pytest.mark.parametrize("message", ["", "{}x", "[]", '{"got":1}', '{"run":"rm"}', '{"add":7}', "x" * 100_000, b"\0\1"])
def test_what_no_page_of_ours_says_ends_the_connection(page: WebSink, message: str | bytes) -> None:
    """And only that one."""
    with browse(page) as browser:
        next_frame(browser)
        browser.send(message)
        with pytest.raises(ConnectionClosed):
            drain(browser)
    with browse(page) as browser:
        assert "facts" in next_frame(browser)[0]


def test_so_many_browsers_and_no_more(page: WebSink) -> None:
    """One too many is turned away, and finds room when another leaves."""
    until(lambda: page._server.browsers == 0)
    with contextlib.ExitStack() as stack:
        browsers = [stack.enter_context(browse(page)) for _ in range(MOST_BROWSERS)]
        with pytest.raises((InvalidStatus, ConnectionClosed)):
            browse(page).recv(timeout=WAIT_S)
        browsers[0].close()
        until(lambda: page._server.browsers < MOST_BROWSERS)
        with browse(page) as browser:
            assert "facts" in next_frame(browser)[0]


def test_coming_and_going_leaves_nothing_behind(page: WebSink) -> None:
    """Two hundred visits, some of which end without a word: as many files, threads and browsers as before."""
    until(lambda: page._server.browsers == 0)
    before = None
    for visit in range(200):
        with browse(page) as browser:
            next_frame(browser, got=visit % 2 == 0)
            if visit % 3 == 0:
                browser.socket.shutdown(socket.SHUT_RDWR)
        if visit == 20:
            until(lambda: page._server.browsers == 0)
            before = open_files()
    until(lambda: page._server.browsers == 0)
    if before is not None:
        until(lambda: (open_files() or 0) <= (before or 0) + 2)
    assert threading.active_count() < 20


def open_files() -> int | None:
    folder = Path("/proc/self/fd")
    return len(os.listdir(folder)) if folder.exists() else None


def test_closing_ends_the_thread_and_frees_the_port() -> None:
    """With a browser that looks."""
    sink = WebSink(Address("127.0.0.1", 0), FACTS, rate_hz=200.0)
    with browse(sink) as browser:
        next_frame(browser)
        sink.close()
    assert not sink._thread.is_alive()
    listener, _ = Address("127.0.0.1", sink.address.port).listen()
    listener.close()


# ---- edits ----


def test_label_added_on_the_page_is_in_force_and_told() -> None:
    """The edit goes to the stream, its answer to whoever asked, the new set to everybody who looks."""
    desk, applied = Desk(), []
    desk.apply = applied.append  # type: ignore[assignment]
    with serving(desk=desk) as sink, browse(sink) as browser, browse(sink) as other:
        assert next_frame(browser)[0]["labels"]["labels"] == list(TINY_LABELS)
        next_frame(other)
        browser.send(msgspec.json.encode({"add": "climbing stairs"}).decode())
        answers: list[Any] = [browser.recv(timeout=WAIT_S), browser.recv(timeout=WAIT_S)]
        (answer,) = (msgspec.json.decode(text) for text in answers if isinstance(text, str))
        assert answer == {"ok": True, "said": "done"}
        told = next_frame(other)[0]["labels"]
        assert told["labels"] == [*TINY_LABELS, "climbing stairs"]
        assert told["digest"] == desk.prototypes.digest == applied[-1].digest


def test_edit_that_is_refused_says_why() -> None:
    """In the words of the error, and nothing changes."""
    desk = Desk()
    with serving(desk=desk) as sink, browse(sink) as browser:
        next_frame(browser)
        browser.send('{"add":"walking"}')
        answer = msgspec.json.decode(browser.recv(timeout=WAIT_S))
        assert (answer["ok"], "among the labels already" in answer["said"]) == (False, True)
        assert desk.prototypes.labels == TINY_LABELS


def test_without_a_desk_nobody_edits(page: WebSink) -> None:
    """A stream that offers no edits refuses them."""
    with browse(page) as browser:
        assert next_frame(browser)[0]["facts"]["editable"] is False
        browser.send('{"remove":"walking"}')
        assert msgspec.json.decode(browser.recv(timeout=WAIT_S))["ok"] is False


def test_model_is_told_in_a_few_rows_and_its_card(tmp_path: Path) -> None:
    """What `bundle show` says, for a page; a bundle without a card has none."""
    told = facts_of("walk.csv through tiny", tiny_bundle(tmp_path / "tiny.aura"))
    rows = dict(told["model"])
    assert (told["title"], told["card"], rows["name"]) == ("walk.csv through tiny", "", "tiny")
    assert "5 s at 200 Hz" in rows["input"]
    msgspec.json.encode(told)


# ---- the feed ----


@given(lengths=st.lists(st.integers(1, 256), min_size=1, max_size=60), looks=st.lists(st.integers(1, 25), min_size=1))
def test_browser_that_looks_now_and_then_misses_no_sample(lengths: list[int], looks: list[int]) -> None:
    """However blocks and looks fall: each sample once, in order, at its time; or the newest, with a jump where too many came."""
    feed = Feed(FACTS, rate_hz=200.0, labels=None)
    cursor, first, expected = Cursor(), 0, 0
    for number, length in enumerate(lengths):
        feed.push_block(block(first, length, starts=first == 0))
        first += length
        if number % looks[number % len(looks)]:
            continue
        feed.take()
        header, samples = samples_of(feed.frame(cursor) or b"")
        begins = header["signal"]["first"]
        assert begins == max(expected, first - MOST_SAMPLES)
        np.testing.assert_array_equal(samples[:, 0], np.arange(begins, first))
        (index, t_s), *more = header["signal"]["runs"]
        assert (index, more) == (begins, [])
        assert t_s == pytest.approx(begins / 200.0)
        expected = first


def test_browser_that_fell_behind_gets_the_newest() -> None:
    """No more than a few seconds at once, however much has come since it last looked."""
    feed, cursor = Feed(FACTS, rate_hz=200.0, labels=None), Cursor()
    feed.push_block(block(0, 200, starts=True))
    feed.take()
    feed.frame(cursor)
    for number in range(1, 30):
        feed.push_block(block(number * 200, 200))
    feed.take()
    header, samples = samples_of(feed.frame(cursor) or b"")
    np.testing.assert_array_equal(samples[:, 0], np.arange(6000 - MOST_SAMPLES, 6000))
    assert header["signal"]["runs"] == [[6000 - MOST_SAMPLES, (6000 - MOST_SAMPLES) / 200.0]]


def test_browser_that_comes_late_gets_the_last_minute() -> None:
    """And with it the times of what it gets, over gaps."""
    feed = Feed(FACTS, rate_hz=200.0, labels=None)
    for number in range(100):  # 100 runs of a second, with a gap of a second after each
        for quarter in range(4):
            first = number * 200 + quarter * 50
            feed.push_block(block(first, 50, starts=quarter == 0, t0_ns=first * 5_000_000 + number * NS_PER_S))
        feed.take()
    header, samples = samples_of(feed.frame(Cursor()) or b"")
    kept = round(KEPT_S * 200)
    np.testing.assert_array_equal(samples[:, 0], np.arange(20_000 - kept, 20_000))
    runs = header["signal"]["runs"]
    assert runs[0] == [20_000 - kept, 80.0]
    assert [b[0] - a[0] for a, b in pairwise(runs)] == [200] * 59
    assert {b[1] - a[1] for a, b in pairwise(runs)} == {2.0}


def test_clock_that_is_set_back_goes_on_a_second_later() -> None:
    """On the page time never goes back: traces and timeline go on."""
    feed = Feed(FACTS, rate_hz=200.0, labels=None)
    feed.push_block(block(0, 200, starts=True, t0_ns=1_000 * NS_PER_S))
    feed.push_block(block(200, 200, starts=True, t0_ns=5 * NS_PER_S))
    feed.take()
    feed.push(Event("start", "walking", "activity", 5 * NS_PER_S, 0, 0.5))
    feed.take()
    header, _ = samples_of(feed.frame(Cursor()) or b"")
    assert header["signal"]["runs"] == [[0, 0.0], [200, 2.0]]
    assert header["spells"][0]["t_s"] == 2.0


def test_feed_stays_the_same_size_however_long_the_stream() -> None:
    """Old spells go, what nobody takes is dropped and counted, and labels are never dropped for samples."""
    feed = Feed(FACTS, rate_hz=200.0, labels=None)
    for index in range(2 * SPELLS):
        feed.push(Event("start", f"label {index}", "activity", index * NS_PER_S, 0, 0.5))
        feed.push(Event("end", f"label {index}", "activity", (index + 1) * NS_PER_S, 0, 0.5, 1.0))
    for index in range(3 * BLOCKS):
        feed.push_block(block(index * 10))
    feed.take()
    header, samples = samples_of(feed.frame(Cursor()) or b"")
    assert [spell["label"] for spell in header["spells"]] == [f"label {i}" for i in range(SPELLS, 2 * SPELLS)]
    assert feed.dropped == 2 * BLOCKS * 10
    assert len(samples) == BLOCKS * 10
    assert feed.frame(Cursor()) is not None


def test_there_is_no_frame_where_nothing_is_new() -> None:
    """An idle stream sends nothing."""
    feed, cursor = Feed(FACTS, rate_hz=200.0, labels=None), Cursor()
    assert feed.frame(cursor) is not None
    feed.take()
    assert feed.frame(cursor) is None


def test_health_counts_gaps_saturation_and_the_true_rate() -> None:
    """Over the last ten seconds, and in all."""
    from aura_edge.sinks.web.health import Health

    health = Health(200.0)
    for second in range(30):
        inputs = np.zeros(200, np.int64)
        inputs[::2] = 1  # a sensor of 100 Hz
        clipped = np.zeros(200, np.int64)
        clipped[:2] = second >= 25
        start_ns = second * NS_PER_S + (3 * NS_PER_S if second >= 15 else 0)
        samples = np.zeros((200, 6), np.float32)
        health.see(GridBlock(start_ns, samples, np.zeros(200, np.bool_), inputs, clipped, second in (0, 15)))
    health.take(Pipeline(ChunkSource([]), FakeEngine(), tiny_prototypes(), manifest(), []).summary())
    told = health.told(0)
    assert told is not None
    assert told["rate_hz"] == pytest.approx(100.0)
    assert (told["gaps"], told["gap_s"], told["resets"]) == (1, pytest.approx(3.0), 0)
    assert told["saturated"] == 10
    assert told["saturation"] == pytest.approx(10 / 1000)
