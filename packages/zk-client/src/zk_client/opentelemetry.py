"""Spans and metrics of a client by OpenTelemetry: the extra `zk-client[opentelemetry]`.

    from zk_client.opentelemetry import OpenTelemetryObserver

    Client(hosts, observers=[OpenTelemetryObserver()])

Rule: the API alone is imported. Where an application has installed no SDK, it does nothing.

ZooKeeper is described as a database, because those conventions are stable and what tools draw dependencies from; the
ones for remote calls would say nothing more. What they have no name for is below `zookeeper.`. A request is one span of
kind CLIENT, a child of what was current when it was made. Paths are on spans only: there are too many for metrics.
Source: OpenTelemetry semantic conventions 1.45, database client spans and metrics; `db.system.name` may be a name that
they do not list.
"""

from __future__ import annotations

import time

from opentelemetry.metrics import get_meter_provider
from opentelemetry.trace import SpanKind, Status, StatusCode, get_tracer_provider

from zk_wire import ServerError

from ._version import __version__
from .observing import Observer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

    from .observing import RequestEnded, RequestStarted
    from .states import SessionState, WatchedEvent

NAME = "zk_client"
# The boundaries that the conventions advise for db.client.operation.duration, in seconds.
DURATIONS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
SIZES = (64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0)


class OpenTelemetryObserver(Observer):
    """Makes a span of each request, and counts; one may serve any number of clients.

    tracer_provider, meter_provider: the application's own by default.   paths: whether spans tell nodes' paths.

    db.client.operation.duration          histogram, s     from the call to the reply
    zookeeper.client.request.size         histogram, By    whole frames; also zookeeper.client.response.size
    zookeeper.client.requests.active      up-down counter  requests made and not answered yet
    zookeeper.client.session.transitions  counter          by zookeeper.session.state
    zookeeper.client.disconnects          counter
    zookeeper.client.watch.events         counter          by zookeeper.watch.event
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        paths: bool = True,
    ) -> None:
        self._paths = paths
        self._tracer = (tracer_provider or get_tracer_provider()).get_tracer(NAME, __version__)
        meter = (meter_provider or get_meter_provider()).get_meter(NAME, __version__)
        self._durations = meter.create_histogram(
            "db.client.operation.duration",
            unit="s",
            description="Duration of ZooKeeper requests.",
            explicit_bucket_boundaries_advisory=DURATIONS,
        )
        self._sent = meter.create_histogram(
            "zookeeper.client.request.size",
            unit="By",
            description="Size of requests.",
            explicit_bucket_boundaries_advisory=SIZES,
        )
        self._received = meter.create_histogram(
            "zookeeper.client.response.size",
            unit="By",
            description="Size of replies.",
            explicit_bucket_boundaries_advisory=SIZES,
        )
        self._active = meter.create_up_down_counter(
            "zookeeper.client.requests.active", unit="{request}", description="Requests not answered yet."
        )
        self._transitions = meter.create_counter(
            "zookeeper.client.session.transitions", unit="{transition}", description="Changes of session state."
        )
        self._disconnects = meter.create_counter(
            "zookeeper.client.disconnects", unit="{disconnect}", description="Connections and attempts that ended."
        )
        self._events = meter.create_counter(
            "zookeeper.client.watch.events", unit="{event}", description="Events given to watches."
        )

    def request_started(self, request: RequestStarted) -> tuple[Span, int]:
        """Begin a span, in the caller's context."""
        attributes = _attributes(request)
        if self._paths and request.path is not None:
            attributes["zookeeper.path"] = request.path
        begun = time.time_ns()
        span = self._tracer.start_span(request.operation, kind=SpanKind.CLIENT, attributes=attributes, start_time=begun)
        self._active.add(1)
        return span, begun

    def request_ended(self, request: RequestEnded) -> None:
        """End the span at the moment of the reply, and measure."""
        if request.token is None:  # it could not be begun
            return
        span, begun = request.token
        self._active.add(-1)
        attributes = _attributes(request.started)
        error = request.error
        if error is not None:
            failure: dict[str, str | int] = {"error.type": _name(error)}
            if isinstance(error, ServerError) and request.size:  # and not one that was made here
                failure["db.response.status_code"] = str(error.code)
            attributes |= failure
            span.set_attributes(failure)
            span.set_status(Status(StatusCode.ERROR, str(error) if self._paths else None))
        span.end(begun + int(request.duration * 1e9))
        self._durations.record(request.duration, attributes)
        self._sent.record(request.started.size, attributes)
        if request.size:
            self._received.record(request.size, attributes)

    def state_changed(self, state: SessionState) -> None:
        """Count a change of state."""
        self._transitions.add(1, {"zookeeper.session.state": state.name})

    def disconnected(self, reason: str) -> None:
        """Count the end of a connection."""
        self._disconnects.add(1)

    def watch_delivered(self, event: WatchedEvent) -> None:
        """Count an event."""
        self._events.add(1, {"zookeeper.watch.event": event.type.name})


def _attributes(request: RequestStarted) -> dict[str, str | int]:
    found: dict[str, str | int] = {"db.system.name": "zookeeper", "db.operation.name": request.operation}
    if request.host is not None:
        found["server.address"] = request.host.name
        found["server.port"] = request.host.port
    return found


def _name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
