"""The MQTT sink against a real Mosquitto: delivery, a broker that goes and comes, the last will, and what Home Assistant reads."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("paho.mqtt.client", reason="needs aura-edge[mqtt]")

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from test_pipeline import ChunkSource, manifest, story

from aura_edge.errors import SinkError
from aura_edge.pipeline import Pipeline
from aura_edge.sinks import is_sink_url, open_sink
from aura_edge.sinks.mqtt import PASSWORD, QUEUED, MqttSink, parse_broker
from aura_edge.testing import TINY_LABELS, FakeEngine, tiny_prototypes
from aura_edge.types import Event

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
needs_broker = pytest.mark.skipif(MOSQUITTO is None, reason="no mosquitto on this machine")
WAIT_S = 15.0


class Mosquitto:
    """A broker that can be stopped and started again at its port; what it keeps, it keeps in a file."""

    def __init__(self, folder: Path, *lines: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.config = folder / "mosquitto.conf"
        self._log = folder / "mosquitto.log"
        anonymous = [] if any("password_file" in line for line in lines) else ["allow_anonymous true"]
        keeps = [f"listener {self.port} 127.0.0.1", *anonymous, "persistence true", f"persistence_location {folder}/"]
        user = ["user root"] if os.getuid() == 0 else []
        self.config.write_text("\n".join([*keeps, *user, *lines]) + "\n")
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([str(MOSQUITTO), "-c", str(self.config)], stdout=log, stderr=log)
        until(self._answers)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(WAIT_S)

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Reader:
    """Subscribes to everything, and keeps it by topic; the broker keeps what comes while this is away."""

    def __init__(self, port: int, user: str | None = None, password: str | None = None) -> None:
        self.messages: list[tuple[str, bytes, bool]] = []
        self._subscribed = False
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=f"reader-{id(self)}", clean_session=False)
        if user is not None:
            self._client.username_pw_set(user, password)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: setattr(self, "_subscribed", True)
        self._client.on_message = lambda _, __, m: self.messages.append((m.topic, m.payload, bool(m.retain)))
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        until(lambda: self._subscribed)

    def of(self, topic: str) -> list[Any]:
        """What came under this topic, in order, decoded where it is JSON."""
        found = [payload for name, payload, _ in self.messages if name == topic]
        return [msgspec.json.decode(payload) if payload.startswith(b"{") else payload.decode() for payload in found]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def until(happens: Callable[[], Any]) -> None:
    ends = time.monotonic() + WAIT_S
    while not happens():
        assert time.monotonic() < ends, "did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    started = Mosquitto(tmp_path)
    yield started
    started.stop()


@pytest.fixture
def reader(broker: Mosquitto) -> Iterator[Reader]:
    opened = Reader(broker.port)
    yield opened
    opened.close()


def event(index: int) -> Event:
    return Event("start", f"label {index}", "activity", index, index, 0.5)


@needs_broker
def test_a_stream_is_delivered_whole(broker: Mosquitto, reader: Reader) -> None:
    """Every event and the summary, in order; the label in force and the summary stay with the broker; it begins online and ends offline."""
    sink = open_sink(f"mqtt://127.0.0.1:{broker.port}/kitchen", title="chunks through tiny")
    until(lambda: reader.of("aura-edge/kitchen/status") == ["online"])
    Pipeline(ChunkSource(story(*TINY_LABELS)), FakeEngine(), tiny_prototypes(), manifest(), [sink]).run()
    until(lambda: reader.of("aura-edge/kitchen/status") == ["online", "offline"])
    events = reader.of("aura-edge/kitchen/event")
    assert [e["label"] for e in events if e["kind"] == "start" and e["state"] == "activity"] == list(TINY_LABELS)
    assert [e["kind"] for e in events] == ["start", "end"] * (len(events) // 2)
    predictions = reader.of("aura-edge/kitchen/prediction")
    assert len(predictions) == 51
    assert (predictions[0]["schema"], predictions[0]["type"]) == (1, "prediction")
    assert predictions[-1]["prototypes"] == tiny_prototypes().digest
    late = Reader(broker.port)
    try:
        until(lambda: late.of("aura-edge/kitchen/summary"))
        assert late.of("aura-edge/kitchen/summary")[0]["samples"] == {"read": 6000, "used": 6000}
        assert late.of("aura-edge/kitchen/label")[0]["label"] == "spinning"
        assert late.of("aura-edge/kitchen/status") == ["offline"]
        assert late.of("aura-edge/kitchen/event") == late.of("aura-edge/kitchen/prediction") == []
    finally:
        late.close()


@needs_broker
def test_events_of_a_time_without_the_broker_are_delivered_when_it_is_back(broker: Mosquitto, reader: Reader) -> None:
    """Each of them, in order, and none that was delivered before a second time as a new one; `online` is said again."""
    sink = MqttSink(parse_broker(f"mqtt://127.0.0.1:{broker.port}/attic"))
    sink.emit(event(0))
    until(lambda: len(reader.of("aura-edge/attic/event")) == 1)
    broker.stop()
    until(lambda: not sink._client.is_connected())
    start_ns = time.perf_counter_ns()
    for index in range(1, 50):
        sink.emit(event(index))
    assert time.perf_counter_ns() - start_ns < 1e9
    broker.start()
    until(lambda: len({e["label"] for e in reader.of("aura-edge/attic/event")}) == 50)
    told = [e["t_ns"] for e in reader.of("aura-edge/attic/event")]
    assert told == sorted(told)
    until(lambda: reader.of("aura-edge/attic/status")[-1] == "online")
    assert reader.of("aura-edge/attic/label")[-1]["label"] == "label 49"
    sink.close()
    assert sink.dropped == 0


@needs_broker
def test_broker_that_comes_later_is_found(tmp_path: Path) -> None:
    """A device may start before its broker does; what happened meanwhile is told."""
    broker = Mosquitto(tmp_path)
    broker.stop()
    sink = MqttSink(parse_broker(f"mqtt://127.0.0.1:{broker.port}/cellar"))
    sink.emit(event(7))
    broker.start()
    reader = Reader(broker.port)
    try:
        until(lambda: [e["label"] for e in reader.of("aura-edge/cellar/label")][-1:] == ["label 7"])
        sink.close()
    finally:
        reader.close()
        broker.stop()


def test_without_a_broker_the_stream_goes_on_in_fixed_memory(caplog: pytest.LogCaptureFixture) -> None:
    """So many events wait and no more; the others are counted, and that it was lost is said at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sink = MqttSink(parse_broker(f"mqtt://127.0.0.1:{port}/nowhere"))
    for index in range(QUEUED + 70):
        sink.emit(event(index))
    until(lambda: "cannot be reached" in caplog.text)
    sink.close()
    assert sink.dropped == 70
    assert len(sink._client._out_messages) == QUEUED
    assert "what was not delivered is lost" in caplog.text


@needs_broker
def test_last_will_is_said_for_a_process_that_is_killed(broker: Mosquitto, reader: Reader) -> None:
    """The broker tells that we are gone."""
    program = "import sys, time; from aura_edge.sinks import open_sink; sink = open_sink(sys.argv[1]); time.sleep(60)  # until killed"
    process = subprocess.Popen([sys.executable, "-c", program, f"mqtt://127.0.0.1:{broker.port}/shed"])
    try:
        until(lambda: reader.of("aura-edge/shed/status") == ["online"])
        process.send_signal(signal.SIGKILL)
        until(lambda: reader.of("aura-edge/shed/status") == ["online", "offline"])
    finally:
        process.kill()
        process.wait()


@needs_broker
def test_home_assistant_finds_the_device(broker: Mosquitto, reader: Reader) -> None:
    """One device with three sensors; each names topics that we speak on, fields that are there, and when it is available."""
    sink = open_sink(f"mqtt://127.0.0.1:{broker.port}/den", title="walk.csv through demo")
    until(lambda: len([topic for topic, _, _ in reader.messages if topic.startswith("homeassistant/")]) == 3)
    configs = {name: msgspec.json.decode(raw) for name, raw, _ in reader.messages if name.startswith("homeassistant/")}
    assert set(configs) == {
        f"homeassistant/sensor/aura_edge_den/{key}/config" for key in ("activity", "score", "latency")
    }
    assert len({config["unique_id"] for config in configs.values()}) == 3
    assert {config["availability_topic"] for config in configs.values()} == {"aura-edge/den/status"}
    assert {config["device"]["identifiers"][0] for config in configs.values()} == {"aura_edge_den"}
    Pipeline(ChunkSource(story("walking")), FakeEngine(), tiny_prototypes(), manifest(), [sink]).run()
    until(lambda: reader.of("aura-edge/den/status")[-1] == "offline")
    for config in configs.values():
        message = reader.of(config["state_topic"])[-1]
        path = config["value_template"].split("value_json.")[1].split(")")[0].split(" ")[0].split(".")
        for key in path:
            message = message[key]
        assert isinstance(message, str | float)


@needs_broker
def test_discovery_can_be_left_out(broker: Mosquitto, reader: Reader) -> None:
    """For brokers that serve something else."""
    sink = open_sink(f"mqtt://127.0.0.1:{broker.port}/lab?discovery=no")
    until(lambda: reader.of("aura-edge/lab/status") == ["online"])
    sink.close()
    assert [topic for topic, _, _ in reader.messages if topic.startswith("homeassistant/")] == []


@needs_broker
@pytest.mark.skipif(shutil.which("mosquitto_passwd") is None, reason="no mosquitto_passwd on this machine")
def test_user_and_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The user from the URL, the password from the environment; a refusal is said."""
    words = tmp_path / "words"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(words), "ann", "a secret"], check=True, capture_output=True)
    broker = Mosquitto(tmp_path, f"password_file {words}")
    try:
        monkeypatch.setenv(PASSWORD, "wrong")
        sink = MqttSink(parse_broker(f"mqtt://ann@127.0.0.1:{broker.port}/safe"))
        until(lambda: "refuses us" in caplog.text)
        sink.close()
        monkeypatch.setenv(PASSWORD, "a secret")
        sink = MqttSink(parse_broker(f"mqtt://ann@127.0.0.1:{broker.port}/safe"))
        reader = Reader(broker.port, "ann", "a secret")
        until(lambda: reader.of("aura-edge/safe/status") == ["online"])
        sink.close()
        reader.close()
    finally:
        broker.stop()


@needs_broker
@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on this machine")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves the refused socket open
def test_broker_over_tls_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A certificate that the system trusts is needed, and enough."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*made, *names, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    broker = Mosquitto(tmp_path, f"certfile {cert}", f"keyfile {key}")
    try:
        sink = MqttSink(parse_broker(f"mqtts://127.0.0.1:{broker.port}/vault"))
        until(lambda: "cannot be reached" in caplog.text)
        assert not sink._client.is_connected()
        sink.close()
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        sink = MqttSink(parse_broker(f"mqtts://127.0.0.1:{broker.port}/vault"))
        until(sink._client.is_connected)
        sink.close()
    finally:
        broker.stop()


def test_numbers_of_numpy_are_written() -> None:
    """An engine or classifier of one's own may hand them over: messages are written as JSON lines are."""
    sink = MqttSink(parse_broker("mqtt://127.0.0.1:1/x"))
    try:
        sink.emit(Event("start", "walking", "activity", 5, 0, np.float64(0.5), np.float32(0.5)))  # type: ignore[arg-type]
        assert sink._label is not None
        assert msgspec.json.decode(sink._label)["score"] == 0.5
    finally:
        sink.close()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://pi4/den", ("pi4", 1883, False, "den", None, True)),
        ("mqtts://ann@pi4/den", ("pi4", 8883, True, "den", "ann", True)),
        ("mqtt://[::1]:99/den?discovery=no", ("::1", 99, False, "den", None, False)),
    ],
)
def test_brokers(url: str, expected: tuple[object, ...]) -> None:
    """Port by scheme, name by path."""
    found = parse_broker(url)
    assert is_sink_url(url)
    assert (found.host, found.port, found.tls, found.name, found.user, found.discovery) == expected


def test_name_is_the_computers_where_none_is_given() -> None:
    """One that is part of a topic, whatever the computer is called."""
    assert parse_broker("mqtt://pi4").name.replace("-", "").replace("_", "").isalnum()


def test_password_in_the_url_is_refused_and_not_repeated() -> None:
    """It would be read by everybody who lists processes; the error says where it belongs."""
    with pytest.raises(SinkError, match=PASSWORD) as refused:
        parse_broker("mqtt://ann:hunter2@pi4")
    assert "hunter2" not in str(refused.value)


@given(rest=st.text(max_size=30))
def test_any_url_is_a_broker_or_our_error(rest: str) -> None:
    """And no name reaches out of its topic."""
    try:
        found = parse_broker(f"mqtt://{rest}")
    except SinkError:
        return
    assert found.host
    assert not set("/#+ ") & set(found.name)
