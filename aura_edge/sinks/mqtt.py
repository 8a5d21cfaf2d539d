"""To an MQTT broker, and so to home automation: `mqtt://[USER@]HOST[:PORT][/NAME]`, or `mqtts://` over TLS (extra `[mqtt]`).

Below `aura-edge/NAME/` (NAME: this computer's, unless the URL says another), JSON objects as `jsonl.py` has them:

    status      `online` or `offline`, kept by the broker; `offline` is the last will, said by the broker where we vanish
    label       the label in force, as the event that started it; kept
    event       every start and end; delivered at least once, in order, and those of a time without the broker after it, up to `QUEUED`
    prediction  every window; delivered at most once, and not at all without the broker
    summary     how the run ended; kept

Home Assistant finds the device by itself: its discovery messages lie below `homeassistant/`, unless the URL ends with `?discovery=no`. The
password comes from the environment, `AURA_EDGE_MQTT_PASSWORD`: a command line can be read by everybody on a machine.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import msgspec

import aura_edge
from aura_edge.errors import SinkError, require
from aura_edge.sinks.jsonl import encoded
from aura_edge.types import Event, Prediction, Summary

if TYPE_CHECKING:
    from paho.mqtt.client import Client

EXTRA = "mqtt"
PASSWORD = "AURA_EDGE_MQTT_PASSWORD"
QUEUED = 1000
"""So many events wait for a broker that is away; what comes on top is dropped, and counted."""
AGAIN_S = (1, 30)
"""Between two tries to reach it: at first, and at most."""
LAST_WORDS_S = 5.0
"""How long the end waits for what is still on its way."""
FORM = "mqtt://[USER@]HOST[:PORT][/NAME], or mqtts:// over TLS"

_log = logging.getLogger("aura_edge.mqtt")


@dataclass(frozen=True, slots=True)
class Broker:
    """Where messages go, and under which name."""

    host: str
    port: int
    tls: bool
    name: str
    user: str | None = None
    discovery: bool = True

    @property
    def topic(self) -> str:
        return f"aura-edge/{self.name}"


def parse_broker(url: str) -> Broker:
    """The broker that `url` names. Raises `SinkError` for one that makes no sense, or that holds a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SinkError(f"{url!r}: {error}; expected {FORM}.") from error
    if parts.password is not None:
        raise SinkError(f"mqtt: a password in a command line is read by everybody; put it into {PASSWORD} instead.")
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.fragment:
        raise SinkError(f"{url!r}: no broker; expected {FORM}.")
    if parts.query not in ("", "discovery=no", "discovery=yes"):
        raise SinkError(f"{url!r}: {parts.query!r} means nothing here; expected ?discovery=no, or nothing.")
    name = unquote(parts.path.strip("/")) or re.sub(r"[^\w-]", "-", socket.gethostname(), flags=re.ASCII) or "device"
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise SinkError(f"{url!r}: the name {name!r} is no part of a topic; expected letters, digits, _ and -.")
    tls = parts.scheme == "mqtts"
    user = unquote(parts.username) if parts.username else None
    return Broker(parts.hostname, port or (8883 if tls else 1883), tls, name, user, parts.query != "discovery=no")


class MqttSink:
    """Hands messages to paho's thread, which keeps, repeats and delivers them; the stream waits for no broker."""

    def __init__(self, broker: Broker, *, title: str = "") -> None:
        """Connects in the background, again and again. Raises `MissingExtraError` without the extra."""
        require("paho.mqtt.client", extra=EXTRA)
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self._broker, self._title = broker, title
        self._label: bytes | None = None
        self.dropped = 0
        """Events that no place was left for."""
        self._client: Client = Client(CallbackAPIVersion.VERSION2)
        self._client.max_queued_messages_set(QUEUED)
        self._client.reconnect_delay_set(*AGAIN_S)
        self._client.will_set(f"{broker.topic}/status", "offline", qos=1, retain=True)
        if broker.user is not None:
            self._client.username_pw_set(broker.user, os.environ.get(PASSWORD))
        if broker.tls:
            self._client.tls_set()
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_connect_fail = self._failed
        self._told = ""
        self._client.connect_async(broker.host, broker.port, keepalive=30)
        self._client.loop_start()

    def emit(self, item: Prediction | Event | Summary) -> None:
        """Queue one message; nothing is waited for."""
        if isinstance(item, Prediction):
            self._client.publish(f"{self._broker.topic}/prediction", encoded(item), qos=0)
        elif isinstance(item, Event):
            line = encoded(item)
            self._queue("event", line)
            if item.kind == "start":
                self._label = line
                if self._client.is_connected():  # else the newest is told on coming back
                    self._queue("label", line, retain=True)
        else:
            self._queue("summary", encoded(item), retain=True)

    def close(self) -> None:
        """Wait a moment for what is on its way, say `offline`, and go."""
        from paho.mqtt.enums import MQTTErrorCode

        if self._client.is_connected():
            last = self._client.publish(f"{self._broker.topic}/status", "offline", qos=1, retain=True)
            if last.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
                last.wait_for_publish(LAST_WORDS_S)  # the broker takes them in order: the others are there too
            self._client.disconnect()
        else:
            _log.warning("%s is not reachable: what was not delivered is lost", self._broker.host)
        self._client.loop_stop()

    def _queue(self, topic: str, line: bytes, *, retain: bool = False) -> None:
        from paho.mqtt.enums import MQTTErrorCode

        sent = self._client.publish(f"{self._broker.topic}/{topic}", line, qos=1, retain=retain)
        self.dropped += sent.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE

    # ---- paho's thread ----

    def _connected(self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._say(f"{self._broker.host}:{self._broker.port} refuses us: {reason}")
            return
        self._told = ""
        client.publish(f"{self._broker.topic}/status", "online", qos=1, retain=True)
        if self._label is not None:
            client.publish(f"{self._broker.topic}/label", self._label, qos=1, retain=True)  # it missed it, or lost it
        for topic, config in _discovery(self._broker, self._title) if self._broker.discovery else ():
            client.publish(topic, msgspec.json.encode(config), qos=1, retain=True)

    def _disconnected(self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._say(f"{self._broker.host}:{self._broker.port} went away ({reason}); trying again")

    def _failed(self, client: Client, userdata: Any) -> None:
        self._say(f"{self._broker.host}:{self._broker.port} cannot be reached; trying again")

    def _say(self, text: str) -> None:
        if text != self._told:
            self._told = text
            _log.warning("%s", text)


def _discovery(broker: Broker, title: str) -> list[tuple[str, dict[str, Any]]]:
    """What Home Assistant reads to show us: topic and configuration of each of its sensors."""
    shared = {
        "availability_topic": f"{broker.topic}/status",
        "device": {
            "identifiers": [f"aura_edge_{broker.name}"],
            "name": f"aura-edge {broker.name}",
            "manufacturer": "aura-edge",
            "model": title,
            "sw_version": aura_edge.__version__,
        },
    }
    prediction = f"{broker.topic}/prediction"
    sensors: dict[str, dict[str, Any]] = {
        "activity": {
            "name": "Activity",
            "state_topic": f"{broker.topic}/label",
            "value_template": "{{ value_json.label | truncate(250) }}",
            "json_attributes_topic": f"{broker.topic}/label",
            "icon": "mdi:run",
        },
        "score": {
            "name": "Score",
            "state_topic": prediction,
            "value_template": "{{ (value_json.score * 100) | round(0) }}",
            "unit_of_measurement": "%",
            "state_class": "measurement",
            "icon": "mdi:percent",
        },
        "latency": {
            "name": "Latency",
            "state_topic": prediction,
            "value_template": "{{ value_json.latency_ms.total | round(1) }}",
            "unit_of_measurement": "ms",
            "device_class": "duration",
            "state_class": "measurement",
            "entity_category": "diagnostic",
        },
    }
    return [
        (
            f"homeassistant/sensor/aura_edge_{broker.name}/{key}/config",
            {**sensor, **shared, "unique_id": f"aura_edge_{broker.name}_{key}"},
        )
        for key, sensor in sensors.items()
    ]
