"""Metrics for Prometheus at `http://HOST:PORT/metrics`: `prometheus:[HOST:]PORT` (extra `[prometheus]`).

On the loopback by default. Anywhere else a bearer token is asked for: the one in `AURA_EDGE_TOKEN`, or one that is made and said once.
Counts are those of the run so far, a second old at most; distributions are over every window.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aura_edge.errors import require
from aura_edge.sinks.address import Address
from aura_edge.types import Event, Prediction, Summary

PORT = 9642
EXTRA = "prometheus"
PATIENCE_S = 5.0
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)

_log = logging.getLogger("aura_edge.prometheus")


class PrometheusSink:
    """Counts as the stream goes; a thread of its own answers who asks."""

    def __init__(self, address: Address) -> None:
        """Raises `MissingExtraError` without the extra, `SinkError` where that address cannot be had."""
        require("prometheus_client", extra=EXTRA)
        from prometheus_client import CollectorRegistry, Gauge, Histogram, Info
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

        self._families = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}
        self._summary: Summary | None = None
        self._registry = CollectorRegistry()
        self._took = Histogram(
            "aura_edge_stage_seconds",
            "Compute time of one window by stage; total is from the arrival of its last chunk to the label.",
            ["stage"],
            registry=self._registry,
            buckets=BUCKETS_S,
        )
        self._score = Gauge("aura_edge_score", "Smoothed probability of the label in force.", registry=self._registry)
        self._residual = Gauge(
            "aura_edge_clock_residual_seconds", "Distance of arrivals from the fitted clock.", registry=self._registry
        )
        self._active = Gauge(
            "aura_edge_label_active", "1 for the label in force.", ["label", "state"], registry=self._registry
        )
        self._model = Info("aura_edge_model", "Digests of what gives the answers.", registry=self._registry)
        self._digests: tuple[str, str] | None = None
        self._registry.register(self)
        listener, self.address = address.listen()
        self._server = _Server(self.address, self._registry)
        self._server.socket.close()
        self._server.socket = listener
        self._thread = threading.Thread(target=self._server.serve_forever, name="aura-edge metrics", daemon=True)
        self._thread.start()
        if self.address.token is not None:
            print(
                f"metrics: http://{self.address.host}:{self.address.port}/metrics, bearer token {self.address.token}",
                file=sys.stderr,
            )

    def emit(self, item: Prediction | Event | Summary) -> None:
        """Count one item."""
        if isinstance(item, Prediction):
            for stage, took_ms in item.latency_ms.items():
                self._took.labels(stage).observe(took_ms / 1e3)
            self._score.set(item.score)
            if item.clock_residual_ms is not None:
                self._residual.set(item.clock_residual_ms / 1e3)
            if (digests := (item.model, item.prototypes)) != self._digests:
                self._digests = digests
                self._model.info({"weights": item.model, "prototypes": item.prototypes})
        elif isinstance(item, Event):
            self._active.clear()
            if item.kind == "start":
                self._active.labels(item.label, item.state).set(1)
        else:
            self._summary = item

    def progress(self, summary: Summary) -> None:
        """Keep the summary so far."""
        self._summary = summary

    def close(self) -> None:
        """Answer nobody any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def collect(self) -> Iterator[Any]:
        """What the summary so far says, as prometheus_client asks for it."""
        if (summary := self._summary) is None:
            return
        yield self._family("counter", "aura_edge_windows", "Windows answered.", {"": summary.windows})
        yield self._family(
            "counter", "aura_edge_windows_skipped", "Hops left out, being behind.", {"": summary.windows_skipped}
        )
        yield self._family(
            "counter", "aura_edge_samples_lost", "Samples the device counted and that never came.", {"": summary.lost}
        )
        yield self._family(
            "counter", "aura_edge_samples_interpolated", "Grid samples that bridge holes.", {"": summary.interpolated}
        )
        read = {"": summary.samples.get("read", 0)}
        yield self._family("counter", "aura_edge_samples_read", "Samples that came.", read)
        # What is pending now is used later: it can fall, and no counter may.
        outcomes = {name: n for name, n in summary.samples.items() if name not in ("read", "pending")}
        yield self._family("counter", "aura_edge_samples", "What became of them.", outcomes, "outcome")
        yield self._family(
            "counter", "aura_edge_label_seconds", "Device time in each label.", dict(summary.seconds), "label"
        )
        yield self._family(
            "gauge", "aura_edge_device", "What the source says of its wire and clock.", dict(summary.device), "name"
        )

    def _family(self, kind: str, name: str, text: str, values: dict[str, Any], label: str | None = None) -> Any:
        family = self._families[kind](name, text, labels=[label] if label else None)
        for key, value in values.items():
            family.add_metric([key] if label else [], value)
        return family


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: Address, registry: Any) -> None:
        super().__init__((address.host, address.port), _Handler, bind_and_activate=False)
        self.address, self.registry = address, registry


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = PATIENCE_S
    server_version, sys_version = "aura-edge", ""

    def do_GET(self) -> None:
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if not self.server.address.serves(self.headers.get("Host")):
            self._answer(HTTPStatus.MISDIRECTED_REQUEST, b"This answers to the names of its own machine only.\n")
        elif not self.server.address.admits(token.strip() if scheme.lower() == "bearer" else None):
            self._answer(HTTPStatus.UNAUTHORIZED, b"The bearer token is missing or wrong.\n")
        elif self.path.partition("?")[0] != "/metrics":
            self._answer(HTTPStatus.NOT_FOUND, b"Metrics are at /metrics.\n")
        else:
            self._answer(HTTPStatus.OK, generate_latest(self.server.registry), CONTENT_TYPE_LATEST)

    def _answer(self, status: HTTPStatus, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, form: str, *values: Any) -> None:
        _log.debug(form, *values)
