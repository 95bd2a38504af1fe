"""The client on greenlets, in a process where nothing is patched: it costs no thread, and nothing halts the hub."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

pytest.importorskip("gevent")

import gevent
from greenlets import greenlets

from zk_client import Client, ConfigurationError, GeventRuntime, SessionState
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
