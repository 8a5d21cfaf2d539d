"""Metrics for Prometheus: what they count, that they read as such, and who may read them."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from dataclasses import replace

import pytest

pytest.importorskip("prometheus_client", reason="needs aura-edge[prometheus]")

from prometheus_client.parser import text_string_to_metric_families
from test_pipeline import ChunkSource, manifest, story

from aura_edge.pipeline import Pipeline
from aura_edge.sinks import TOKEN, is_sink_url, open_sink
from aura_edge.sinks.address import Address
from aura_edge.sinks.prometheus import PrometheusSink
from aura_edge.testing import TINY_LABELS, FakeEngine, ListSink, tiny_prototypes
from aura_edge.types import Event

SECRET = "a-token-of-twenty-letters"


@pytest.fixture
def sink() -> Iterator[PrometheusSink]:
    opened = PrometheusSink(Address("127.0.0.1", 0))
    yield opened
    opened.close()


def get(sink: PrometheusSink, path: str = "/metrics", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", sink.address.port, timeout=10)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


def metrics(sink: PrometheusSink) -> dict[tuple[str, ...], float]:
    """Name and values of labels, to number."""
    status, text = get(sink)
    assert status == 200
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def played(sink: PrometheusSink) -> ListSink:
    """A stream of three motions given to the sink, which stays open."""
    kept = ListSink()
    Pipeline(ChunkSource(story(*TINY_LABELS)), FakeEngine(), tiny_prototypes(), manifest(), [kept]).run()
    for item in kept.items:
        sink.emit(item)
    return kept


def test_metrics_say_what_the_summary_says(sink: PrometheusSink) -> None:
    """Windows, samples and what became of them, device time in each label, compute time by stage, digests."""
    kept = played(sink)
    found, summary = metrics(sink), kept.summary
    assert found["aura_edge_windows_total",] == summary.windows == 51
    assert found["aura_edge_samples_read_total",] == 6000
    assert found["aura_edge_samples_total", "used"] == 6000
    assert found["aura_edge_samples_lost_total",] == 0
    assert {key[1]: n for key, n in found.items() if key[0] == "aura_edge_label_seconds_total"} == summary.seconds
    assert found["aura_edge_stage_seconds_count", "total"] == 51
    assert found["aura_edge_score",] == kept.predictions[-1].score
    assert found["aura_edge_model_info", tiny_prototypes().digest, kept.predictions[-1].model] == 1


def test_one_label_is_active_at_most(sink: PrometheusSink) -> None:
    """The one in force; none after the end."""
    sink.emit(Event("start", "walking", "activity", 0, 0, 0.5))
    sink.emit(Event("end", "walking", "activity", 1, 0, 0.5, 1.0))
    sink.emit(Event("start", 'a "quoted"\nlabel', "activity", 1, 0, 0.5))
    assert [key[1:] for key in metrics(sink) if key[0] == "aura_edge_label_active"] == [
        ('a "quoted"\nlabel', "activity")
    ]
    sink.emit(Event("end", 'a "quoted"\nlabel', "activity", 2, 0, 0.5, 1.0))
    assert not [key for key in metrics(sink) if key[0] == "aura_edge_label_active"]


def test_progress_is_read_while_the_stream_runs(sink: PrometheusSink) -> None:
    """The counts of the run so far; none of them falls."""
    summary = played(sink).summary
    sink.progress(replace(summary, windows=60, samples={"read": 7000, "used": 6000, "pending": 1000}, lost=3))
    found = metrics(sink)
    assert (found["aura_edge_windows_total",], found["aura_edge_samples_lost_total",]) == (60, 3)
    assert ("aura_edge_samples_total", "pending") not in found


def test_before_the_first_summary_there_is_an_answer(sink: PrometheusSink) -> None:
    """An empty one."""
    assert ("aura_edge_windows_total",) not in metrics(sink)


def test_other_paths_and_names_get_nothing(sink: PrometheusSink) -> None:
    """On the loopback only the names of this machine are answered to."""
    assert get(sink, "/")[0] == 404
    assert get(sink, Host="evil.example")[0] == 421
    assert get(sink, Host=f"localhost:{sink.address.port}")[0] == 200


def test_token_is_asked_for_and_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    """As a bearer token, as Prometheus sends it."""
    sink = PrometheusSink(Address("127.0.0.1", 0, SECRET))
    try:
        assert SECRET in capsys.readouterr().err
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": SECRET},
            {"Authorization": f"Basic {SECRET}"},
        ):
            status, text = get(sink, **headers)
            assert status == 401
            assert SECRET not in text
        assert get(sink, Authorization=f"Bearer {SECRET}")[0] == 200
        assert capsys.readouterr().err == ""
    finally:
        sink.close()


def test_sink_is_opened_by_its_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the loopback; with the token of the environment where there is one."""
    assert is_sink_url("prometheus:")
    monkeypatch.setenv(TOKEN, SECRET)
    sink = open_sink("prometheus:127.0.0.1:0")
    assert isinstance(sink, PrometheusSink)
    try:
        assert (sink.address.host, sink.address.token) == ("127.0.0.1", SECRET)
    finally:
        sink.close()


def test_closing_frees_the_port(sink: PrometheusSink) -> None:
    """And ends the thread."""
    other = PrometheusSink(Address("127.0.0.1", 0))
    other.close()
    again = PrometheusSink(Address("127.0.0.1", other.address.port))
    again.close()
    assert not again._thread.is_alive()
