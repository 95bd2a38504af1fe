"""Our recipes and kazoo's on the same nodes of one server: they exclude each other, both ways."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("kazoo")

from kazoo.client import KazooClient

from zk_client import Client
from zk_recipes import Election, Lock, ReadLock, ReadWriteLock, Semaphore, WriteLock
from zk_testing.member import ZooKeeperServer

MakeClient = Callable[..., Client]
PATH = "/locks/one"
PATIENCE = 20.0

# How ours is made, and how kazoo's is, for them to respect each other.
PAIRS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"naming": "curator"}, {"extra_lock_patterns": ["-lock-"]}),
    ({"naming": "go"}, {"extra_lock_patterns": ["-lock-"]}),
]


@pytest.fixture
def kazoo(zk_server: ZooKeeperServer, zk_chroot: str) -> Iterator[Any]:
    """A kazoo client below the test's node."""
    client = KazooClient(zk_server.hosts + zk_chroot, timeout=6.0)
    client.start()
    yield client
    client.stop()
    client.close()


class Waiting:
    """An acquire in a thread of its own, and whether it came back."""

    def __init__(self, acquire: Callable[[], object]) -> None:
        self._acquire = acquire
        self.result: object = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        self.result = self._acquire()

    def finish(self) -> object:
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        return self.result


def wait_for_children(client: Client, path: str, count: int) -> None:
    """Wait until a node has that many children, told by watches."""
    while True:
        watch = client.watcher()
        if len(client.get_children(path, watch=watch)) == count:
            watch.close()
            return
        assert watch.wait(PATIENCE) is not None


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_kazoos_lock_waits_for_ours(
    ours: dict[str, Any], theirs: dict[str, Any], make_client: MakeClient, kazoo: Any
) -> None:
    client = make_client()
    mine, other = Lock(client, PATH, "mine", **ours), kazoo.Lock(PATH, "other", **theirs)
    with mine:
        assert other.acquire(blocking=False) is False
        waiting = Waiting(lambda: other.acquire(timeout=PATIENCE))
        wait_for_children(client, PATH, 2)
        assert other.contenders() == mine.contenders() == ["mine", "other"]
        assert not other.is_acquired
    assert waiting.finish() is True
    other.release()


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_our_lock_waits_for_kazoos(
    ours: dict[str, Any], theirs: dict[str, Any], make_client: MakeClient, kazoo: Any
) -> None:
    client = make_client()
    mine, other = Lock(client, PATH, "mine", **ours), kazoo.Lock(PATH, "other", **theirs)
    with other:
        assert mine.acquire(blocking=False) is False
        waiting = Waiting(lambda: mine.acquire(timeout=PATIENCE))
        wait_for_children(client, PATH, 2)
        assert other.contenders() == mine.contenders() == ["other", "mine"]
        assert not mine.is_acquired
    assert waiting.finish() is True
    mine.release()


# Readers and writers. What an acquire without blocking says, of each kind behind each kind.
KINDS = {"read": ReadLock, "write": WriteLock}
BEHIND = [("read", "read", True), ("read", "write", False), ("write", "read", False), ("write", "write", False)]


def theirs(kazoo: Any, kind: str) -> Any:
    return kazoo.ReadLock(PATH, "theirs") if kind == "read" else kazoo.WriteLock(PATH, "theirs")


@pytest.mark.parametrize(("held", "wanted", "together"), BEHIND)
def test_kazoos_readers_and_writers_respect_ours(
    held: str, wanted: str, together: bool, make_client: MakeClient, kazoo: Any
) -> None:
    mine, other = KINDS[held](make_client(), PATH, "ours"), theirs(kazoo, wanted)
    with mine:
        assert other.acquire(blocking=False) is together
    if together:
        other.release()


@pytest.mark.parametrize(("held", "wanted", "together"), BEHIND)
def test_our_readers_and_writers_respect_kazoos(
    held: str, wanted: str, together: bool, make_client: MakeClient, kazoo: Any
) -> None:
    mine, other = KINDS[wanted](make_client(), PATH, "ours"), theirs(kazoo, held)
    with other:
        assert mine.acquire(blocking=False) is together
    if together:
        mine.release()


def test_a_writer_of_kazoo_that_waits_does_not_overtake_our_downgrade(make_client: MakeClient, kazoo: Any) -> None:
    client = make_client()
    mine, other = ReadWriteLock(client, PATH, "ours"), kazoo.WriteLock(PATH, "theirs")
    mine.write_lock.acquire()
    waiting = Waiting(lambda: other.acquire(timeout=PATIENCE))
    wait_for_children(client, PATH, 2)
    mine.downgrade()
    late = kazoo.ReadLock(PATH, "late")
    assert late.acquire(blocking=False) is False
    mine.read_lock.check()
    assert not other.is_acquired
    mine.read_lock.release()
    assert waiting.finish() is True
    other.release()


# A semaphore


def test_kazoos_semaphore_and_ours_share_the_leases(make_client: MakeClient, kazoo: Any) -> None:
    client = make_client()
    one, two = Semaphore(client, PATH, "ours", max_leases=2), Semaphore(client, PATH, max_leases=2)
    other, late = kazoo.Semaphore(PATH, "theirs", max_leases=2), kazoo.Semaphore(PATH, "late", max_leases=2)
    with one:
        assert other.acquire(blocking=False) is True
        assert late.acquire(blocking=False) is False and two.acquire(blocking=False) is False
        assert sorted(one.lease_holders()) == sorted(other.lease_holders()) == ["ours", "theirs"]
        waiting = Waiting(lambda: two.acquire(timeout=PATIENCE))
        wait_for_children(client, f"{PATH}-__lock__", 1)
        other.release()
        assert waiting.finish() is True
        waiting = Waiting(lambda: late.acquire(timeout=PATIENCE))
        wait_for_children(client, f"{PATH}-__lock__", 1)
    assert waiting.finish() is True
    late.release()
    two.release()


def test_a_number_of_leases_that_differs_is_refused_on_both_sides(make_client: MakeClient, kazoo: Any) -> None:
    client = make_client()
    with Semaphore(client, PATH, max_leases=2), pytest.raises(ValueError, match="max leases: 2, expected: 3"):
        kazoo.Semaphore(PATH, max_leases=3).acquire(blocking=False)
    with pytest.raises(ValueError, match="has 2 leases, not 3"):
        Semaphore(client, PATH, max_leases=3).acquire(blocking=False)


# An election


def test_kazoos_candidates_and_ours_lead_in_turn(make_client: MakeClient, kazoo: Any) -> None:
    client = make_client()
    mine, other = Election(client, PATH, "ours"), kazoo.Election(PATH, "theirs")
    led: list[str] = []
    with mine.lead() as term:
        waiting = Waiting(lambda: other.run(led.append, "theirs"))
        wait_for_children(client, PATH, 2)
        assert mine.contenders() == other.contenders() == ["ours", "theirs"]
        assert led == [] and term.is_leader
    waiting.finish()
    assert led == ["theirs"]
    other.run(lambda: led.append(str(mine.contenders())))
    assert led[1] == "['theirs']"
