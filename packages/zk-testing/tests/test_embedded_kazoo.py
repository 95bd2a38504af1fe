"""kazoo with the embedded server: the client that most Python programs have."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from zk_testing import EmbeddedServer

pytest.importorskip("kazoo")

from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, ConnectionLoss, NoAuthError, RolledBackError
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE

LARGEST = 0xFFFFF - 8 - (4 + len("/a")) - 4 - 4  # beside the header, the path, the length and the version


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as running:
        yield running


@pytest.fixture
def connect(server: EmbeddedServer) -> Iterator[Callable[..., Any]]:
    """Make clients that are connected, and end them after the test."""
    clients: list[Any] = []

    def new(**options: Any) -> Any:
        client = KazooClient(server.hosts, timeout=5, **options)
        clients.append(client)
        client.start()
        return client

    yield new
    for client in clients:
        client.stop()
        client.close()


class States:
    """What a listener is told, to be waited for."""

    def __init__(self, client: Any) -> None:
        self.told: list[str] = []
        self._changed = threading.Condition()
        client.add_listener(self._add)

    def _add(self, state: str) -> None:
        with self._changed:
            self.told.append(state)
            self._changed.notify_all()

    def until(self, *expected: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: tuple(self.told) == expected, 15), self.told


def test_kazoo_contends_for_a_lock(connect: Callable[..., Any]) -> None:
    first, second = connect().Lock("/lock", "one"), connect().Lock("/lock", "two")
    assert first.acquire(timeout=5)
    assert not second.acquire(blocking=False)
    assert second.contenders() == ["one"]
    first.release()
    assert second.acquire(timeout=5)
    second.release()


def test_kazoo_counts_queues_and_gathers(connect: Callable[..., Any]) -> None:
    mine, other = connect(), connect()
    counter = mine.Counter("/count")
    counter += 2
    queue = mine.LockingQueue("/queue")
    queue.put(b"entry")
    mine.Party("/party", "me").join()
    assert list(other.Party("/party")) == ["me"]
    assert other.Counter("/count").value == 2
    taken = other.LockingQueue("/queue")
    assert taken.get(5) == b"entry" and taken.consume()


def test_kazoo_hears_of_changes(connect: Callable[..., Any]) -> None:
    seen, changed = [], threading.Condition()

    def note(data: bytes | None, stat: object) -> None:
        with changed:
            seen.append(data)
            changed.notify_all()

    client = connect()
    client.DataWatch("/a", note)
    for step in (lambda: client.create("/a", b"1"), lambda: client.set("/a", b"2"), lambda: client.delete("/a")):
        before = len(seen)
        step()
        with changed:
            assert changed.wait_for(lambda known=before: len(seen) > known, 5)
    assert seen == [None, b"1", b"2", None]


def test_kazoo_commits_all_of_a_transaction_or_nothing(connect: Callable[..., Any]) -> None:
    client = connect()
    good = client.transaction()
    good.create("/a", b"1")
    good.set_data("/a", b"2")
    good.check("/a", 1)
    assert good.commit()[0] == "/a"
    bad = client.transaction()
    bad.create("/b", b"")
    bad.check("/a", 9)
    assert [type(result) for result in bad.commit()] == [RolledBackError, BadVersionError]
    assert client.exists("/b") is None


def test_kazoo_keeps_others_out_with_its_own_list(connect: Callable[..., Any]) -> None:
    owner = connect(auth_data=[("digest", "me:secret")])
    owner.create("/mine", b"", acl=CREATOR_ALL_ACL)
    with pytest.raises(NoAuthError):
        connect().get("/mine")
    owner.set_acls("/mine", OPEN_ACL_UNSAFE)
    assert connect().get("/mine")[0] == b""


def test_kazoo_is_told_of_a_lost_connection_and_of_a_lost_session(
    server: EmbeddedServer, connect: Callable[..., Any]
) -> None:
    client = connect()
    client.create("/e", b"", ephemeral=True)
    states = States(client)
    server.drop_connections()
    states.until("SUSPENDED", "CONNECTED")
    assert client.exists("/e") is not None
    server.stop()
    server.start()
    states.until("SUSPENDED", "CONNECTED", "SUSPENDED", "CONNECTED")
    assert client.exists("/e") is not None
    server.expire_session(client.client_id[0])
    states.until(*["SUSPENDED", "CONNECTED"] * 2, "SUSPENDED", "LOST", "CONNECTED")
    assert client.exists("/e") is None


def test_kazoo_may_send_the_largest_request_and_no_larger_one(connect: Callable[..., Any]) -> None:
    client = connect()
    client.create("/a", b"")
    client.set("/a", bytes(LARGEST))
    with pytest.raises(ConnectionLoss):
        client.set("/a", bytes(LARGEST + 1))
