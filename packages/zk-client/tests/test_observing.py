"""What observers are told, in both worlds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import MakeClient
from live import PATIENCE, States
from worlds import here

from zk_client import (
    AsyncClient,
    Client,
    ConfigurationError,
    Host,
    NodeExistsError,
    NoNodeError,
    Observer,
    RequestEnded,
    RequestStarted,
    SessionClosedError,
    SessionState,
    WatchedEvent,
)
from zk_testing import EmbeddedServer
from zk_testing.faults import FaultProxy


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def proxy(server: EmbeddedServer) -> Iterator[FaultProxy]:
    with FaultProxy(server) as proxy:
        yield proxy


class Recorder(Observer):
    """Keeps what it is told, as (name, what, thread); lets a test wait for it."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any, str]] = []
        self._changed = here().threading.Condition()

    def _note(self, name: str, what: Any) -> None:
        with self._changed:
            self.told.append((name, what, threading.current_thread().name))
            self._changed.notify_all()

    def request_started(self, request: RequestStarted) -> int:
        self._note("started", request)
        return len(self.told)

    def request_ended(self, request: RequestEnded) -> None:
        self._note("ended", request)

    def state_changed(self, state: SessionState) -> None:
        self._note("state", state)

    def watch_delivered(self, event: WatchedEvent) -> None:
        self._note("watch", event)

    def connecting(self, host: Host) -> None:
        self._note("connecting", host)

    def disconnected(self, reason: str) -> None:
        self._note("disconnected", reason)

    def of(self, name: str) -> list[Any]:
        return [what for told, what, _ in self.told if told == name]

    def wait(self, found: Callable[[], Any]) -> None:
        with self._changed:
            assert self._changed.wait_for(found, PATIENCE), self.told

    def last(self, operation: str) -> RequestEnded:
        """The end of the last request of an operation, waited for."""

        def ends() -> list[RequestEnded]:
            return [ended for ended in self.of("ended") if ended.started.operation == operation]

        self.wait(ends)
        return ends()[-1]


def test_a_request_is_told_with_its_sizes_and_times(make_client: MakeClient, server: EmbeddedServer) -> None:
    recorder = Recorder()
    zk = make_client(server.hosts, observers=[recorder])
    zk.create("/n", b"x" * 100)
    zk.get("/n")

    ended = recorder.last("GET_DATA")

    host, port = server.hosts.split(":")
    # length, xid, opcode, the path with its length, the watch flag; then length, header, data with its length, Stat.
    assert ended.started == RequestStarted("GET_DATA", "/n", 4 + 4 + 4 + 6 + 1, 0, Host(host, int(port)))
    assert (ended.size, ended.error, ended.in_flight) == (4 + 16 + 104 + 68, None, 0)
    assert ended.latency is not None
    assert 0 < ended.latency <= ended.duration < PATIENCE
    assert ended.zxid == zk.last_zxid


def test_what_request_started_returns_comes_back(make_client: MakeClient, server: EmbeddedServer) -> None:
    first, second = Recorder(), Recorder()
    second._note("other", None)
    zk = make_client(server.hosts, observers=[first, second])
    zk.exists("/n")
    for recorder in (first, second):
        position = [what for _, what, _ in recorder.told].index(recorder.last("EXISTS").started) + 1
        assert recorder.last("EXISTS").token == position


def test_a_request_that_fails_is_told_with_its_error(make_client: MakeClient, server: EmbeddedServer) -> None:
    recorder = Recorder()
    zk = make_client(server.hosts, observers=[recorder])
    with pytest.raises(NoNodeError) as missing:
        zk.get("/none")
    with pytest.raises(NodeExistsError):
        zk.create("/zookeeper")
    assert recorder.last("GET_DATA").error is missing.value
    assert recorder.last("GET_DATA").size == 20
    assert isinstance(recorder.last("CREATE").error, NodeExistsError)
    zk.exists("/none")
    assert recorder.last("EXISTS").error is None


def test_a_request_that_was_never_sent_is_told_without_a_latency(
    make_client: MakeClient, server: EmbeddedServer
) -> None:
    recorder = Recorder()
    zk = make_client(server.hosts, observers=[recorder])
    zk.stop()
    with pytest.raises(SessionClosedError):
        zk.get("/n")
    ended = recorder.last("GET_DATA")
    assert ended.latency is None
    assert isinstance(ended.error, SessionClosedError)


def test_every_request_that_starts_ends_once(make_client: MakeClient, proxy: FaultProxy) -> None:
    recorder = Recorder()
    zk = make_client(proxy.hosts, observers=[recorder])
    states = States(zk)
    for number in range(20):
        if number == 10:
            proxy.cut()
        zk.exists(f"/n{number}")
    zk.stop()
    states.wait(SessionState.CLOSED)
    recorder.wait(lambda: len(recorder.of("ended")) == 20)
    assert [ended.started for ended in recorder.of("ended")] == recorder.of("started")


def test_states_connections_and_watches_are_told_in_their_order(make_client: MakeClient, proxy: FaultProxy) -> None:
    recorder = Recorder()
    zk = make_client(proxy.hosts, observers=[recorder])
    zk.exists("/n", watch=lambda event: None)
    zk.create("/n")
    recorder.wait(lambda: recorder.of("watch"))
    assert recorder.of("watch")[0].path == "/n"
    zk.reconnect()
    recorder.wait(lambda: recorder.of("state").count(SessionState.CONNECTED) == 2)
    order = [(name, what) for name, what, _ in recorder.told if name in ("state", "connecting", "disconnected")]
    host = recorder.of("connecting")[0]
    assert order == [
        ("state", SessionState.CONNECTING),
        ("connecting", host),
        ("state", SessionState.CONNECTED),
        ("disconnected", "reconnect() was called"),
        ("state", SessionState.SUSPENDED),
        ("connecting", host),
        ("state", SessionState.CONNECTED),
    ]


def test_only_the_start_of_a_request_is_told_on_the_callers_thread(server: EmbeddedServer) -> None:
    recorder = Recorder()
    with Client(server.hosts, observers=[recorder]) as zk:
        zk.get("/")
        recorder.last("GET_DATA")
    here = threading.current_thread().name
    threads = {name: thread for name, _, thread in recorder.told}
    assert threads.pop("started") == here
    assert set(threads.values()) == {"zk-client callbacks"}


def test_an_error_in_an_observer_is_logged_and_harms_nothing(
    make_client: MakeClient, server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Observer):
        def request_started(self, request: RequestStarted) -> None:
            raise ValueError("at the start")

        def request_ended(self, request: RequestEnded) -> None:
            raise ValueError("at the end")

    recorder = Recorder()
    with caplog.at_level(logging.ERROR, "zk_client"):
        zk = make_client(server.hosts, observers=[Broken(), recorder])
        assert zk.get("/")[0] is not None
        recorder.last("GET_DATA")
    raised = [str(record.exc_info[1]) for record in caplog.records if record.exc_info]
    assert raised == ["at the start", "at the end"]


def test_a_client_without_observers_has_the_plain_handler() -> None:
    assert type(Client().handler).__name__ == "BlockingHandler"
    assert type(AsyncClient().handler).__name__ == "AsyncHandler"


def test_what_is_no_observer_is_refused() -> None:
    for made in (Client, AsyncClient):
        with pytest.raises(ConfigurationError, match="an observer must be an Observer, but <class"):
            made(observers=[Observer])  # type: ignore[list-item]
