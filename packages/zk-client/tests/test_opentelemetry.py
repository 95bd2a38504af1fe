"""Spans and metrics, as OpenTelemetry's own SDK collects them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conftest import MakeClient

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from zk_client import Client, NoNodeError
from zk_client.opentelemetry import OpenTelemetryObserver
from zk_testing import EmbeddedServer


class Collected:
    """What an application's SDK has collected."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)

    def observer(self, **options: Any) -> OpenTelemetryObserver:
        return OpenTelemetryObserver(tracer_provider=self.tracers, meter_provider=self.meters, **options)

    def spans(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def points(self, name: str) -> list[Any]:
        data: Any = self._reader.get_metrics_data()
        metrics = [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics if m.name == name]
        return [point for metric in metrics for point in metric.data.data_points]


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def collected() -> Iterator[Collected]:
    collected = Collected()
    yield collected
    collected.tracers.shutdown()
    collected.meters.shutdown()


def test_a_request_is_a_client_span_with_the_conventions_attributes(
    make_client: MakeClient, server: EmbeddedServer, collected: Collected
) -> None:
    zk = make_client(server.hosts, observers=[collected.observer()])
    zk.exists("/n")
    zk.stop()
    [span] = collected.spans("EXISTS")
    host, port = server.hosts.split(":")
    assert span.kind is SpanKind.CLIENT
    assert dict(span.attributes or {}) == {
        "db.system.name": "zookeeper",
        "db.operation.name": "EXISTS",
        "server.address": host,
        "server.port": int(port),
        "zookeeper.path": "/n",
    }
    assert span.status.status_code is StatusCode.UNSET


def test_a_span_lasts_from_the_call_to_the_reply(server: EmbeddedServer, collected: Collected) -> None:
    with Client(server.hosts, observers=[collected.observer()]) as zk:
        zk.exists("/n")
    [span], [duration] = collected.spans("EXISTS"), collected.points("db.client.operation.duration")
    assert span.start_time is not None
    assert span.end_time is not None
    assert (span.end_time - span.start_time) / 1e9 == pytest.approx(duration.sum, rel=1e-3)


def test_a_refused_request_is_a_failed_span_with_the_servers_code(
    make_client: MakeClient, server: EmbeddedServer, collected: Collected
) -> None:
    zk = make_client(server.hosts, observers=[collected.observer()])
    with pytest.raises(NoNodeError):
        zk.get("/none")
    zk.stop()
    [span] = collected.spans("GET_DATA")
    attributes = dict(span.attributes or {})
    assert span.status.status_code is StatusCode.ERROR
    assert attributes["db.response.status_code"] == "-101"
    assert str(attributes["error.type"]).endswith(".NoNodeError")


def test_a_span_belongs_to_what_was_current_when_the_request_was_made(
    server: EmbeddedServer, collected: Collected
) -> None:
    with Client(server.hosts, observers=[collected.observer()]) as zk:
        with collected.tracers.get_tracer("test").start_as_current_span("job") as job:
            first = zk.exists_async("/a")
        first.result()
        zk.exists("/b")
    inside, outside = collected.spans("EXISTS")
    assert inside.parent is not None
    assert inside.parent.span_id == job.get_span_context().span_id
    assert outside.parent is None


def test_spans_without_paths_tell_none(make_client: MakeClient, server: EmbeddedServer, collected: Collected) -> None:
    zk = make_client(server.hosts, observers=[collected.observer(paths=False)])
    with pytest.raises(NoNodeError):
        zk.get("/private")
    zk.stop()
    [span] = collected.spans("GET_DATA")
    assert "private" not in span.to_json()


def test_requests_states_and_events_are_counted(
    make_client: MakeClient, server: EmbeddedServer, collected: Collected
) -> None:
    zk = make_client(server.hosts, observers=[collected.observer()])
    zk.exists("/n", watch=lambda event: None)
    zk.create("/n", b"x" * 100)
    zk.get("/n")
    zk.stop()
    durations = {
        point.attributes["db.operation.name"]: point for point in collected.points("db.client.operation.duration")
    }
    assert {name: point.count for name, point in durations.items()} == {"EXISTS": 1, "CREATE": 1, "GET_DATA": 1}
    assert all(0 < point.sum < 60 for point in durations.values())
    assert "zookeeper.path" not in durations["EXISTS"].attributes
    replies = {p.attributes["db.operation.name"]: p for p in collected.points("zookeeper.client.response.size")}
    assert replies["GET_DATA"].sum == 4 + 16 + 104 + 68
    assert [point.value for point in collected.points("zookeeper.client.requests.active")] == [0]
    states = collected.points("zookeeper.client.session.transitions")
    assert {p.attributes["zookeeper.session.state"]: p.value for p in states} == {
        "CONNECTING": 1,
        "CONNECTED": 1,
        "CLOSED": 1,
    }
    [event] = collected.points("zookeeper.client.watch.events")
    assert (event.attributes["zookeeper.watch.event"], event.value) == ("CREATED", 1)
