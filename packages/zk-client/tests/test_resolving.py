"""Names of servers: resolved anew for every attempt, with a bound, while the session's time goes on."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import MakeClient
from live import States

from zk_client import Host, SessionState, StartTimeoutError
from zk_client.handlers.resolving import Resolver, numeric
from zk_client.handlers.threading import ThreadRuntime
from zk_testing import EmbeddedServer
from zk_testing.faults import FaultProxy
from zk_testing.stopwatch import Stopwatch

CONNECTED, SUSPENDED, EXPIRED = SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.EXPIRED


class Names:
    """A resolver that knows what it is told, and may be made to hang."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[str, int]] = {}
        self.hanging: set[str] = set()
        self.asked: list[str] = []
        self.go = threading.Event()
        self._real = socket.getaddrinfo

    def __call__(self, name: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("flags", 0) & socket.AI_NUMERICHOST or not str(name).endswith(".test"):
            return self._real(name, port, *args, **kwargs)
        self.asked.append(name)
        if name in self.hanging:
            assert self.go.wait(60)
        if name not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "unknown name")
        return self._real(*self.known[name], *args, **kwargs)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names)
    yield names
    names.go.set()


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def proxies(server: EmbeddedServer) -> Iterator[tuple[FaultProxy, FaultProxy]]:
    """Two addresses of one server."""
    with FaultProxy(server) as first, FaultProxy(server) as second:
        yield first, second


@pytest.mark.worlds("threads", "asyncio")  # a greenlet asks the hub: see hubbeats
def test_a_name_whose_address_changed_is_found_at_the_next_reconnect(
    make_client: MakeClient, names: Names, proxies: tuple[FaultProxy, FaultProxy]
) -> None:
    first, second = proxies
    names.known["zk.test"] = ("127.0.0.1", first.port)
    zk = make_client("zk.test")
    session = zk.session_id
    states = States(zk)
    names.known["zk.test"] = ("127.0.0.1", second.port)
    first.refuse()
    first.cut()
    states.wait(SUSPENDED)
    states.wait(CONNECTED)
    assert zk.server_address == ("127.0.0.1", second.port)
    assert zk.session_id == session


@pytest.mark.worlds("threads", "asyncio")  # a greenlet asks the hub: see hubbeats
def test_a_name_that_is_not_known_is_told_with_the_reason(make_client: MakeClient, names: Names) -> None:
    zk = make_client("nobody.test", start=False)
    with pytest.raises(StartTimeoutError, match=r"cannot resolve 'nobody.test': .*unknown name"):
        zk.start(timeout=0.5)


@pytest.mark.worlds("threads", "asyncio")  # a greenlet asks the hub: see hubbeats
def test_a_resolver_that_hangs_costs_the_connect_timeout_and_the_next_host_is_tried(
    make_client: MakeClient, names: Names, server: EmbeddedServer
) -> None:
    names.hanging.add("slow.test")
    began = Stopwatch()
    zk = make_client(f"slow.test,{server.hosts}", randomize_hosts=False, connect_timeout=0.4)
    assert began.seconds > 0.35 and began.within(1.4), began
    assert zk.connected


@pytest.mark.worlds("threads", "asyncio")  # a greenlet asks the hub: see hubbeats
def test_a_session_expires_in_time_although_the_resolver_hangs(
    make_client: MakeClient, names: Names, proxies: tuple[FaultProxy, FaultProxy]
) -> None:
    first, _ = proxies
    names.known["zk.test"] = ("127.0.0.1", first.port)
    zk = make_client("zk.test", 0.9, connect_timeout=30.0)
    states = States(zk)
    names.hanging.add("zk.test")
    lost = Stopwatch()
    first.cut()
    states.wait(SUSPENDED)
    assert lost.within(0.9 * 4 / 3 + 1, until=states.wait(EXPIRED)), lost
    assert names.asked.count("zk.test") == 2, "the question that hangs was asked again and again"
    names.hanging.clear()
    names.go.set()
    states.wait(CONNECTED)


@pytest.mark.worlds("threads", "asyncio")  # a greenlet asks the hub: see hubbeats
def test_stop_returns_although_the_resolver_hangs(make_client: MakeClient, names: Names) -> None:
    names.hanging.add("slow.test")
    zk = make_client("slow.test", start=False)
    zk.start_async()
    began = Stopwatch()
    zk.stop()
    assert began.within(2), began


@pytest.mark.parametrize(("name", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_an_address_given_as_a_number_is_not_asked_for(name: str, family: int) -> None:
    found = numeric(Host(name, 2181))
    assert found is not None
    assert [(kind, address[:2]) for kind, address in found] == [(family, (name, 2181))]
    assert numeric(Host("localhost", 2181)) is None


class _Hanging(ThreadRuntime):
    """Answers when it is told to, and counts the questions."""

    def __init__(self) -> None:
        super().__init__()
        self.questions: list[str] = []
        self.go = threading.Event()

    def resolve(self, name: str, port: int) -> list[tuple[int, tuple[object, ...]]]:
        self.questions.append(name)
        assert self.go.wait(20)
        return [(socket.AF_INET, ("127.0.0.1", port))]


def test_a_question_that_is_under_way_is_joined_and_an_answer_used_once() -> None:
    runtime = _Hanging()
    answered = threading.Semaphore(0)
    wake: Callable[[], object] = answered.release
    resolver = Resolver(runtime, wake)
    first = resolver.ask(Host("a.test", 1))
    assert resolver.ask(Host("a.test", 1)) is first
    other = resolver.ask(Host("b.test", 2))
    assert other is not first
    runtime.go.set()
    for _ in range(2):
        assert answered.acquire(timeout=20)
    assert first.result() == [(socket.AF_INET, ("127.0.0.1", 1))]
    again = resolver.ask(Host("a.test", 1))
    assert again is not first
    assert answered.acquire(timeout=20)
    assert sorted(runtime.questions) == ["a.test", "a.test", "b.test"]
