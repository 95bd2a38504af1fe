"""What the tests on running servers share: servers of a version, waiting without sleeping, addresses that are traps.

Rule: nobody sleeps. A test waits for an event, a state or a change on the server, each with a bound, and in the way of
its world (`worlds.here`).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from worlds import here

from zk_client import EventType, SessionState, WatchedEvent
from zk_testing import Choice, EmbeddedEnsemble, EmbeddedServer, EnsembleSettings, Settings
from zk_testing.cluster import Cluster, start_cluster
from zk_testing.errors import NoServerError
from zk_testing.faults import FaultProxy
from zk_testing.rawclient import RawClient

T = TypeVar("T")

# Seconds after which something that must happen counts as not happening; generous, because CI machines are slow.
PATIENCE = 20.0


@contextmanager
def servers(
    choice: Choice,
    version: str,
    size: int = 1,
    *,
    read_only_mode: bool = False,
    local_sessions: bool = False,
    quotas: bool = False,
) -> Iterator[Cluster | EmbeddedServer | EmbeddedEnsemble]:
    """Servers with settings of their own, of the kind that was chosen.

    Skips (or fails, where CI demands real servers) when there are no real ones.
    """
    if choice.embedded:
        settings = Settings(
            version=version,
            enforce_quotas=quotas,
            local_sessions=local_sessions,
            local_session_upgrading=local_sessions,
        )
        if size == 1:
            with EmbeddedServer(settings=settings) as server:
                yield server
            return
        ensemble = EnsembleSettings(size=size, server=settings, read_only=read_only_mode)
        with EmbeddedEnsemble(settings=ensemble) as started:
            yield started
        return
    local = {"localSessionsEnabled": "true", "localSessionsUpgradingEnabled": "true"}
    try:
        cluster = start_cluster(
            size,
            version,
            read_only_mode=read_only_mode,
            config=local if local_sessions else {},
            java_properties={"zookeeper.enforceQuota": "true"} if quotas else {},
        )
    except NoServerError as error:
        if os.environ.get("ZK_TESTING_REQUIRE_REAL") == "1":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    with cluster:
        yield cluster


class States:
    """Listens to a client and remembers; waits for states in the order they were delivered."""

    def __init__(self, client: Any) -> None:
        self.seen: list[SessionState] = []
        self.times: list[float] = []
        self._condition = here().threading.Condition()
        self._read = 0
        client.add_listener(self)

    def __call__(self, state: SessionState) -> None:
        with self._condition:
            self.seen.append(state)
            self.times.append(time.monotonic())
            self._condition.notify_all()

    def wait(self, state: SessionState, timeout: float = PATIENCE) -> float:
        """Wait for a state that was not waited for yet; returns when it was delivered, in monotonic seconds."""
        with self._condition:

            def arrived() -> bool:
                return state in self.seen[self._read :]

            assert self._condition.wait_for(arrived, timeout), f"no {state} within {timeout} s, but {self.seen}"
            self._read = self.seen.index(state, self._read) + 1
            return self.times[self._read - 1]


class Events:
    """A watch function that collects what it is told."""

    def __init__(self) -> None:
        self.seen: list[WatchedEvent] = []
        self._condition = here().threading.Condition()

    def __call__(self, event: WatchedEvent) -> None:
        with self._condition:
            self.seen.append(event)
            self._condition.notify_all()

    def wait(self, count: int = 1, timeout: float = PATIENCE) -> list[WatchedEvent]:
        """Wait until at least that many events came, and return all of them."""
        with self._condition:
            enough = self._condition.wait_for(lambda: len(self.seen) >= count, timeout)
            assert enough, f"waited {timeout} s for {count} events, saw {len(self.seen)}: {self.seen[:5]}"
            return list(self.seen)


def flush(client: Any) -> None:
    """Return when every callback for what the server has sent so far has run."""
    done = Events()
    call = client.operations.sync("/")
    call.add_done_callback(done)
    here().submit_all(client, [call])
    done.wait()


def cut_off(client: Any, proxy: FaultProxy) -> None:
    """Part a client from its servers, and wait until it knows."""
    states = States(client)
    proxy.refuse()
    proxy.cut()
    states.wait(SessionState.SUSPENDED)
    client.remove_listener(states)


class Background:
    """Functions on threads (or greenlets) of their own; a failure in one is the test's."""

    def __init__(self) -> None:
        self._threads: list[Any] = []
        self._failures: list[BaseException] = []

    def __call__(self, function: Callable[[], object]) -> None:
        def run() -> None:
            try:
                function()
            except BaseException as error:
                self._failures.append(error)

        thread = here().threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self, timeout: float = PATIENCE) -> None:
        """Wait for all of them; raise what the first failed one raised."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._failures:
            raise self._failures[0]
        hung = [thread.name for thread in self._threads if thread.is_alive()]
        assert not hung, f"still running after {timeout} s: {hung}"


def in_thread(function: Callable[[], T]) -> Callable[[], T]:
    """Start a function on a thread; calling what is returned waits for its result, or raises its error."""
    background = Background()
    results: list[T] = []
    background(lambda: results.append(function()))

    def finish() -> T:
        background.join()
        return results[0]

    return finish


def expire(client: Any, address: str) -> None:
    """End a client's session on the server, as an expiry does; to be called while the client is cut off."""
    assert client.client_id is not None
    RawClient(address, session=client.client_id).close_session()


def descriptors() -> int:
    """How many file descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


def kinds(events: list[WatchedEvent]) -> list[tuple[EventType, str]]:
    """What happened, and where."""
    return [(event.type, event.path) for event in events]


def watches_on(server: Any) -> int:
    """How many watches a server keeps."""
    return int(mntr(server.send_command("mntr"))["zk_watch_count"])


def comes_true(holds: Callable[[], bool], timeout: float = PATIENCE) -> bool:
    """Wait for something that has no event of its own; whether it came true in time."""
    pause = here().threading.Event()
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.005)
    return True


def mntr(answer: str) -> Mapping[str, str]:
    """A `mntr` answer as a mapping."""
    return dict(line.split("\t", 1) for line in answer.splitlines() if "\t" in line)


class BlackHole:
    """An address that answers nothing: its queue of connections is full, so the system drops every further one."""

    def __init__(self) -> None:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._filling: list[socket.socket] = []

    def __enter__(self) -> BlackHole:
        for _ in range(16):
            filler = socket.socket()
            self._filling.append(filler)
            filler.settimeout(0.05)
            try:
                filler.connect(self._listener.getsockname())
            except TimeoutError:
                return self
        raise AssertionError("the queue of connections takes no end")

    def __exit__(self, *exc: object) -> None:
        for sock in [*self._filling, self._listener]:
            sock.close()


class Deaf:
    """An address where connections are made and nobody ever answers."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Deaf:
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.close()


@contextmanager
def unused_address() -> Iterator[str]:
    """An address that refuses connections."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # bound and not listening, so nobody else gets it either
        yield f"127.0.0.1:{sock.getsockname()[1]}"


def line(server: Any) -> tuple[int, ...]:
    """A server's version as numbers."""
    return tuple(int(number) for number in server.version.split("."))
