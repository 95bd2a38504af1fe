"""The client on greenlets, in a process where nothing is patched: it costs no thread, and nothing halts the hub."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

pytest.importorskip("gevent")

import gevent
from greenlets import greenlets, until

from zk_client import (
    Client,
    ConfigurationError,
    GeventRuntime,
    Host,
    NoNodeError,
    Observer,
    RequestEnded,
    RequestStarted,
    SessionState,
    WatchedEvent,
)
from zk_testing import EmbeddedServer


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def zk(server: EmbeddedServer) -> Iterator[Client]:
    with Client(server.hosts, runtime="gevent") as zk:
        yield zk
    assert greenlets() == []


def test_a_client_costs_one_greenlet_and_no_thread(server: EmbeddedServer) -> None:
    threads = set(threading.enumerate())
    with Client(server.hosts, runtime="gevent") as zk:
        assert zk.exists("/") is not None
        assert set(threading.enumerate()) <= threads
        assert greenlets() == ["zk-client"]
    assert greenlets() == []


def test_a_time_out_of_gevents_ends_a_call_and_not_the_connection(zk: Client) -> None:
    states: list[SessionState] = []
    zk.add_listener(states.append)
    with gevent.Timeout(0.02, False), zk.watch("/nothing") as watch:
        watch.get()
    assert zk.exists("/") is not None
    zk.remove_listener(states.append)
    assert states == []


def test_a_client_is_refused_to_other_threads(zk: Client) -> None:
    seen: list[BaseException] = []

    def use() -> None:
        try:
            zk.get("/")
        except ConfigurationError as error:
            seen.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert "hub of another thread" in str(seen[0])


def test_the_runtime_can_be_handed_in(server: EmbeddedServer) -> None:
    with Client(server.hosts, runtime=GeventRuntime()) as zk:
        assert zk.runtime.name == "gevent"


class Looker(Observer):
    """Keeps what it is told, by kind, and in which greenlet."""

    def __init__(self) -> None:
        self.told: dict[str, list[object]] = {}
        self.greenlets: dict[str, set[object]] = {}

    def _note(self, kind: str, what: object) -> None:
        self.told.setdefault(kind, []).append(what)
        self.greenlets.setdefault(kind, set()).add(gevent.getcurrent())

    def request_started(self, request: RequestStarted) -> None:
        self._note("started", request.operation)

    def request_ended(self, request: RequestEnded) -> None:
        self._note("ended", (request.started.operation, type(request.error).__name__, request.size > 0))

    def state_changed(self, state: SessionState) -> None:
        self._note("state", state)

    def watch_delivered(self, event: WatchedEvent) -> None:
        self._note("watch", (event.type, event.path))

    def connecting(self, host: Host) -> None:
        self._note("connecting", host.port)

    def disconnected(self, reason: str) -> None:
        self._note("disconnected", bool(reason))


def live(zk: Client, server: EmbeddedServer, looker: Looker) -> None:
    """A short life of which everything is told."""
    seen = zk.watcher()
    zk.create("/watched")
    zk.get("/watched", watch=seen)
    zk.delete("/watched")
    with pytest.raises(NoNodeError):
        zk.get("/watched")
    seen.wait(5.0)
    server.drop_connections()
    until(lambda: looker.told["state"].count(SessionState.CONNECTED) == 2 and zk.connected, "connected again")
    assert zk.exists("/watched") is None
    zk.stop()


def test_observers_are_told_the_same_as_under_threads(server: EmbeddedServer) -> None:
    told = []
    for runtime in ("gevent", "threads"):
        looker = Looker()
        with Client(server.hosts, runtime=runtime, observers=[looker]) as zk:
            live(zk, server, looker)
        until(lambda looker=looker: len(looker.told.get("ended", ())) == 5, "every end is told")  # type: ignore[misc]
        told.append(looker.told)
    assert told[0] == told[1]
    assert greenlets() == []


def test_only_the_start_of_a_request_is_told_in_the_callers_greenlet(server: EmbeddedServer) -> None:
    looker = Looker()
    with Client(server.hosts, runtime="gevent", observers=[looker]) as zk:
        live(zk, server, looker)
    assert looker.greenlets["started"] == {gevent.getcurrent()}
    for kind in ("ended", "state", "watch", "connecting", "disconnected"):
        assert gevent.getcurrent() not in looker.greenlets[kind]
        assert gevent.get_hub() not in looker.greenlets[kind]


def test_an_observer_may_wait_and_call_the_client(server: EmbeddedServer) -> None:
    class Caller(Observer):
        def __init__(self) -> None:
            self.found: list[object] = []

        def state_changed(self, state: SessionState) -> None:
            if state is SessionState.CONNECTED:
                gevent.sleep(0)
                self.found.append(zk.exists("/"))

    caller = Caller()
    with Client(server.hosts, runtime="gevent", observers=[caller]) as zk:
        until(lambda: len(caller.found) == 1, "the observer was answered")
    assert caller.found != [None]
