"""A greenlet that is killed, or runs out of a `gevent.Timeout`, at any wait of any call, leaves nothing behind.

Each test kills at the first wait of a call, then in another run at the second one, and so on to the last; once at
the moment of the wait and once a little later, when the reply may have come already.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

pytest.importorskip("gevent")

import gevent
from greenlets import every_wait, greenlets, until

from zk_client import (
    Client,
    ConnectionLostError,
    Outcome,
    RetryFailedError,
    RetryPolicy,
    SessionClosedError,
    SessionState,
)
from zk_testing import EmbeddedServer
from zk_testing.faults import FaultProxy

NUMBERS = count()
LARGE = bytes(200_000)


class OwnError(Exception):
    """An application's own exception, as `gevent.Timeout(1, OwnError)` throws it."""


class OwnTimeoutError(TimeoutError):
    """One that is an OSError too, as the socket's are."""


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def zk(server: EmbeddedServer) -> Iterator[Client]:
    with Client(server.hosts, runtime="gevent") as zk:
        yield zk
    assert greenlets() == []


def create_ephemeral_sequential(zk: Client, at: str) -> None:
    zk.create(f"{at}/n-", LARGE, ephemeral=True, sequence=True)


def create_sequential(zk: Client, at: str) -> None:
    zk.create(f"{at}/n-", b"", sequence=True)


def get(zk: Client, at: str) -> None:
    zk.get(at)


def get_with_a_timeout(zk: Client, at: str) -> None:
    zk.handler.call(zk.operations.get(at), 5.0)


def get_large(zk: Client, at: str) -> None:
    zk.get("/large")


def set_large(zk: Client, at: str) -> None:
    zk.set(at, LARGE)


def many_at_once(zk: Client, at: str) -> None:
    for call in [zk.get_async("/large") for _ in range(3)]:
        call.result()


def transaction(zk: Client, at: str) -> None:
    draft = zk.transaction()
    draft.check(at, 0)
    draft.commit()


def ensure_path(zk: Client, at: str) -> None:
    zk.ensure_path(f"{at}/a/b/c")
    zk.delete(f"{at}/a", recursive=True)


def steps_beside(zk: Client, at: str) -> None:
    zk.delete_async(f"{at}/a", recursive=True).result()


def watch(zk: Client, at: str) -> None:
    with zk.watch(at) as events:
        events.get(timeout=0.05)


def watcher(zk: Client, at: str) -> None:
    seen = zk.watcher()
    zk.exists(at, watch=seen)
    seen.wait(0.02)
    seen.close()


def retry(zk: Client, at: str) -> None:
    def fails() -> None:
        raise ConnectionLostError(at, outcome=Outcome.NOT_APPLIED)

    with pytest.raises(RetryFailedError):
        zk.retry(fails)


def four_letter_word(zk: Client, at: str) -> None:
    assert zk.command("ruok") == "imok"


CALLS = [
    create_ephemeral_sequential,
    create_sequential,
    get,
    get_with_a_timeout,
    get_large,
    set_large,
    many_at_once,
    transaction,
    ensure_path,
    steps_beside,
    watch,
    watcher,
    retry,
    four_letter_word,
]
ERRORS: list[Callable[[], BaseException]] = [gevent.GreenletExit, gevent.Timeout, OwnError, OwnTimeoutError]


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.001])
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_a_call_killed_at_any_wait_leaves_session_connection_and_tree_as_they_were(
    server: EmbeddedServer, call: Callable[[Client, str], Any], delay: float
) -> None:
    with Client(server.hosts, runtime="gevent", command_retry=RetryPolicy(max_tries=3, delay=0.003, jitter=0.0)) as zk:
        zk.ensure_path("/large")
        zk.set("/large", LARGE)
        states: list[SessionState] = []
        zk.add_listener(states.append)
        link = zk.handler.link
        assert link is not None
        # So that large requests wait for room again and again.
        link.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        for error in errors_for(call, delay):
            for at in everywhere(zk, call, error, delay):
                until(lambda at=at: not leftovers(zk, at), f"the tree is as before: {leftovers(zk, at)}")
                until(lambda: greenlets() == ["zk-client"], f"one greenlet, not {greenlets()}")
                zk.delete(at, recursive=True)
                assert not zk.handler.waiters
        zk.remove_listener(states.append)
        assert states == []
        assert zk.handler.link is link
    assert greenlets() == []


def errors_for(call: Callable[[Client, str], Any], delay: float) -> list[Callable[[], BaseException]]:
    """Every error for the basic calls; for the others one each, because they are made of the basic ones."""
    if call in (get, set_large):
        return ERRORS
    return [ERRORS[(CALLS.index(call) + (delay > 0)) % len(ERRORS)]]


def everywhere(
    zk: Client, call: Callable[[Client, str], Any], error: Callable[[], BaseException], delay: float
) -> Iterator[str]:
    """Yield the node each killed run worked on."""
    at = ""

    def run() -> None:
        nonlocal at
        at = zk.create(f"/kills-{next(NUMBERS)}")
        call(zk, at)

    for outcome in every_wait(run, error, delay):
        if outcome is not None:
            assert type(outcome) is type(error()), outcome
            if at and zk.exists(at) is not None:
                yield at


def leftovers(zk: Client, at: str) -> list[str]:
    """Nodes that nobody knows the names of."""
    return [name for name in zk.get_children(at) if name.startswith("n-")]


@pytest.mark.parametrize("delay", [0.0, 0.001])
@pytest.mark.parametrize("error", [gevent.GreenletExit, gevent.Timeout])
def test_a_start_killed_at_any_wait_leaves_nothing_and_can_be_repeated(
    server: EmbeddedServer, error: Callable[[], BaseException], delay: float
) -> None:
    zk = Client(server.hosts, runtime="gevent")
    for outcome in every_wait(zk.start, error, delay):
        if outcome is not None:
            assert isinstance(outcome, (gevent.GreenletExit, gevent.Timeout)), outcome
            until(lambda: greenlets() == [], f"no greenlet, not {greenlets()}")
            assert zk.core_state is SessionState.CLOSED
    assert zk.exists("/") is not None
    zk.stop()
    assert greenlets() == []


@pytest.mark.parametrize("delay", [0.0, 0.001])
def test_a_stop_killed_at_any_wait_stops_all_the_same(server: EmbeddedServer, delay: float) -> None:
    # The server never answers that the session is closed, so nothing but the kill ends the waiting for it.
    with FaultProxy(server.hosts) as proxy:
        zk = Client(proxy.hosts, runtime="gevent")

        def start_and_stop() -> None:
            zk.start()
            proxy.lose_reply("close_session", then="freeze")
            zk.stop(0.3)

        for _ in every_wait(start_and_stop, gevent.GreenletExit, delay):
            until(lambda: greenlets() == [], f"no greenlet, not {greenlets()}", 1.0)
            with pytest.raises(SessionClosedError):
                zk.exists("/")
            proxy.heal()
