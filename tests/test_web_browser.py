"""The live page in a real browser: it loads, moves, edits labels, asks for its token, comes back, and leaks nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="needs aura-edge[web]")
pytest.importorskip("playwright", reason="needs playwright")

from playwright.sync_api import sync_playwright

from aura_edge.label_set import LabelSet
from aura_edge.lexicon import Vocabulary
from aura_edge.manifest import EncoderSpec, Manifest
from aura_edge.pipeline import Pipeline
from aura_edge.sinks.address import Address
from aura_edge.sinks.web import WebSink
from aura_edge.testing import TINY_LABELS, TINY_SPACE, FakeEngine, FakeTower, ListSink, motion, tiny_prototypes
from aura_edge.types import ImuChunk, SourceInfo

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
TOKEN = "a-token-of-twenty-letters"
MANIFEST = Manifest(name="tiny", encoder=EncoderSpec("tiny", {}, 1), text_space=TINY_SPACE, prototypes="tiny")
FACTS = {"title": "<b>endless</b> through tiny", "model": [("name", "tiny")], "card": "# tiny\n\n- for <i>tests</i>\n"}
WAIT_MS = 15_000

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]


class Endless:
    """The three motions, ten seconds each, over and over, `speed` times as fast as they were."""

    def __init__(self, speed: float = 5.0) -> None:
        self.info = SourceInfo("endless", 200.0, "m/s2, rad/s")
        self._speed = speed
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[ImuChunk]:
        signal = np.concatenate([motion(label, samples=2000) for label in TINY_LABELS], axis=1).T.copy()
        first = 0
        while not self._closed.wait(0.05 / self._speed):
            rows = np.arange(first, first + 10)
            yield ImuChunk(rows * 5_000_000, signal[rows % len(signal)], time.time_ns())
            first += 10

    def close(self) -> None:
        self._closed.set()


class Live:
    """A stream with its page."""

    def __init__(self, address: Address) -> None:
        self.labels = LabelSet(tiny_prototypes(), lambda: Vocabulary([tiny_prototypes()]), tower=FakeTower)
        self.web = WebSink(address, FACTS, rate_hz=200.0, labels=self.labels)
        self.list = ListSink()
        self.pipeline = Pipeline(Endless(), FakeEngine(), tiny_prototypes(), MANIFEST, [self.web, self.list])
        self.labels.goes_to(self.pipeline.relabel)
        self._thread = threading.Thread(target=self.pipeline.run)
        self._thread.start()

    def stop(self) -> None:
        self.pipeline.stop()
        self._thread.join()


@contextlib.contextmanager
def live(token: str | None = None, port: int = 0) -> Iterator[Live]:
    stream = Live(Address("127.0.0.1", port, token))
    try:
        yield stream
    finally:
        stream.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that complains of nothing while the test lasts, unless the test says so."""
    context = browser.new_context()
    context.set_default_timeout(WAIT_MS)
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda said: said.type == "error" and complaints.append(said.text))
    opened.expected = []  # words of complaints that belong to the test, whenever they are heard
    yield opened
    context.close()
    assert [said for said in complaints if not any(words in said for words in opened.expected)] == []


def picture(page: Any, selector: str) -> str:
    """What a canvas shows."""
    data: str = page.evaluate("selector => document.querySelector(selector).toDataURL()", selector)
    return data


def until(happens: Callable[[], bool]) -> None:
    ends = time.monotonic() + WAIT_MS / 1000
    while not happens():
        assert time.monotonic() < ends, "did not happen in time"
        time.sleep(0.02)


def test_page_loads_and_its_traces_move(page: Any) -> None:
    """Both charts and the timeline are drawn, and again; the label in force is the stream's; text is text."""
    with live() as stream:
        page.goto(stream.web.address.url)
        page.wait_for_selector("#status[data-state=live]")
        page.wait_for_selector("#now[data-state=activity]")
        for canvas in ("#acceleration canvas", "#rate canvas", "#lanes"):
            before = picture(page, canvas)
            until(lambda c=canvas, b=before: picture(page, c) != b)  # type: ignore[misc]
        label = "labels => labels.includes(document.querySelector('#label').textContent)"
        page.wait_for_function(label, arg=list(TINY_LABELS))
        assert page.inner_text("#title") == FACTS["title"]
        page.click("#model summary")
        assert page.inner_text("#card li") == "for <i>tests</i>"
        page.wait_for_function("() => document.querySelectorAll('#latency tbody tr').length === 6")
        rows = dict(
            zip(page.locator("#health dt").all_inner_texts(), page.locator("#health dd").all_inner_texts(), strict=True)
        )
        assert rows["true rate"].startswith("200.00 Hz")
        assert rows["lost"].startswith("0 %")


def digests(stream: Live) -> list[str]:
    return [prediction.prototypes for prediction in stream.list.predictions]


def test_label_added_on_the_page_appears_in_the_predictions(page: Any) -> None:
    """And one removed disappears from them; whatever is typed stays text."""
    phrase = '<img src=x onerror="document.title=1">'
    with live() as stream:
        page.goto(stream.web.address.url)
        page.wait_for_selector("#chips li")
        page.fill("#phrase", phrase)
        page.press("#phrase", "Enter")
        page.wait_for_selector("#said[data-ok=true]")
        until(lambda: digests(stream)[-1:] == [stream.labels.prototypes.digest])
        assert stream.labels.prototypes.labels == (*TINY_LABELS, phrase)
        page.wait_for_function(
            "digest => document.querySelector('#digest').textContent === digest",
            arg=stream.labels.prototypes.digest[:12],
        )
        assert phrase in page.locator("#chips li > span").all_inner_texts()
        page.get_by_role("button", name="Remove walking").click()
        until(lambda: "walking" not in dict(stream.list.predictions[-1].top) and bool(stream.list.predictions[-1].top))
        page.wait_for_function("() => document.querySelectorAll('#chips li').length === 3")
        page.fill("#phrase", "spinning")
        page.press("#phrase", "Enter")
        page.wait_for_selector("#said[data-ok=false]")
        assert "among the labels already" in page.inner_text("#said")
        assert page.locator("img").count() == 0
        assert page.title() != "1"


def test_token_is_required(page: Any) -> None:
    """Without it there are words only; with it the page works, and shows it no more."""
    with live(TOKEN) as stream:
        page.expected.append("401")
        port = stream.web.address.port
        refused = page.goto(f"http://127.0.0.1:{port}/")
        assert refused.status == 401
        assert "token" in page.inner_text("body")
        page.goto(stream.web.address.url)
        page.wait_for_selector("#status[data-state=live]")
        assert page.url == f"http://127.0.0.1:{port}/"
        assert page.evaluate("document.cookie") == ""


def test_another_page_cannot_open_the_socket(page: Any) -> None:
    """A page of another origin in the same browser gets nothing."""
    with live() as stream, live() as other:
        page.expected += ["WebSocket", "Content Security Policy"]
        page.goto(other.web.address.url)
        outcome = page.evaluate(
            """url => new Promise(done => {
                try { const s = new WebSocket(url); s.onmessage = () => done("told"); s.onerror = () => done("refused"); }
                catch { done("refused"); } })""",
            f"ws://127.0.0.1:{stream.web.address.port}/socket",
        )
        assert outcome == "refused"


def test_two_hundred_reconnects_leak_nothing(page: Any) -> None:
    """Neither in the server nor in the page."""
    with live() as stream:
        page.goto(stream.web.address.url)
        page.wait_for_selector("#status[data-state=live]")
        before = open_files()
        page.evaluate(
            """async () => { for (let i = 0; i < 200; i++) await new Promise((done, failed) => {
                const s = new WebSocket(new URL("socket", location.href.replace(/^http/, "ws")));
                s.onmessage = () => s.close(); s.onclose = done; s.onerror = failed; }) }"""
        )
        until(lambda: stream.web._server.browsers == 1)
        until(lambda: open_files() <= before + 2)
        assert page.get_attribute("#status", "data-state") == "live"


def open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(os.listdir(folder)) if folder.exists() else 0


def test_page_comes_back_with_the_stream(page: Any) -> None:
    """It says that the stream ended, or went; opened again at the same place, it goes on by itself after a loss."""
    with live() as stream:
        port = stream.web.address.port
        page.goto(stream.web.address.url)
        page.wait_for_selector("#status[data-state=live]")
        page.evaluate("window.stayed = true")
        page.expected.append("WebSocket connection")  # refused while there is no stream
        stream.web.close()  # without an end of the stream
        page.wait_for_selector("#status[data-state=lost]")
    with live(port=port) as again:
        page.wait_for_selector("#status[data-state=live]")
        page.wait_for_function("() => document.querySelector('#label').textContent !== ''")
        assert page.evaluate("window.stayed")
        again.pipeline.stop()
        page.wait_for_selector("#status[data-state=ended]")


def test_page_draws_thirty_times_a_second_at_most(page: Any) -> None:
    """However fast samples come; and not at all while it is paused."""
    with live() as stream:
        page.add_init_script(
            """window.drawn = 0;
            const clear = CanvasRenderingContext2D.prototype.clearRect;
            CanvasRenderingContext2D.prototype.clearRect = function (...area) {
                if (this.canvas.id !== "lanes") window.drawn++;
                return clear.apply(this, area);
            };"""
        )
        page.goto(stream.web.address.url)
        page.wait_for_selector("#status[data-state=live]")
        count = "async () => { const a = window.drawn; await new Promise(r => setTimeout(r, 2000)); return window.drawn - a; }"
        assert 2 * 2 < page.evaluate(count) <= 2 * 2 * 31
        page.click("#pause")
        assert page.evaluate(count) <= 2


@pytest.mark.parametrize("width", [320, 390, 820, 1440])
def test_page_fits_any_width(page: Any, width: int) -> None:
    """Nothing sticks out to the side, nothing lies on something else."""
    with live() as stream:
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(stream.web.address.url)
        page.wait_for_selector("#now[data-state=activity]")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        boxes = page.evaluate(
            "[...document.querySelectorAll('main > section')].map(s => s.getBoundingClientRect().toJSON())"
        )
        for one in range(len(boxes)):
            for other in boxes[one + 1 :]:
                a = boxes[one]
                apart = a["right"] <= other["left"] or other["right"] <= a["left"]
                assert apart or a["bottom"] <= other["top"] or other["bottom"] <= a["top"]
