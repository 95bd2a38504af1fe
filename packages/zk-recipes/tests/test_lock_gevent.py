"""The lock on greenlets, in a process where nothing is patched: killed at any wait, it leaves no contender."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("gevent")

import gevent
from killing import killed_at_every_wait

from zk_client import Client
from zk_recipes import Lock
from zk_testing import EmbeddedServer

PATH = "/lock"


@pytest.fixture
def clients() -> Iterator[tuple[Client, Client]]:
    with (
        EmbeddedServer() as server,
        Client(server.hosts, runtime="gevent") as one,
        Client(server.hosts, runtime="gevent") as other,
    ):
        yield one, other


def contenders(zk: Client) -> list[str]:
    return zk.get_children(PATH) if zk.exists(PATH) is not None else []


def wait_for_contenders(zk: Client, number: int) -> None:
    with gevent.Timeout(10):
        while len(contenders(zk)) != number:
            gevent.sleep(0.001)


def test_a_free_lock_killed_at_any_wait_of_acquire_and_release_is_free_again(clients: tuple[Client, Client]) -> None:
    one, other = clients

    def use() -> None:
        with Lock(one, PATH):
            pass

    for _ in killed_at_every_wait(use, more_than=3):
        wait_for_contenders(other, 0)
        assert Lock(other, PATH).acquire(timeout=5)
        other.delete(PATH, recursive=True)


def test_a_waiter_killed_at_any_wait_leaves_the_queue(clients: tuple[Client, Client]) -> None:
    one, other = clients
    with Lock(other, PATH):
        for _ in killed_at_every_wait(lambda: Lock(one, PATH).acquire(timeout=0.05), more_than=3):
            wait_for_contenders(other, 1)


def test_greenlets_exclude_each_other(clients: tuple[Client, Client]) -> None:
    inside = 0
    most = 0

    def work(zk: Client) -> None:
        nonlocal inside, most
        for _ in range(5):
            with Lock(zk, PATH):
                inside += 1
                most = max(most, inside)
                gevent.sleep(0)
                inside -= 1

    gevent.joinall([gevent.spawn(work, zk) for zk in clients * 3], timeout=60, raise_error=True)
    assert most == 1
