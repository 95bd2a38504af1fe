"""The lock on greenlets, in a process where nothing is patched: killed at any wait, it leaves no contender."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("gevent")

import gevent
import greenlet

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


def killed_at_every_wait(function: Callable[[], Any]) -> Iterator[None]:
    """Run a function in greenlets: the first is killed at its first wait, the next at its second, until one lives."""
    reached = True
    wait = 0
    while reached:
        reached, wait, waits = False, wait + 1, 0
        victim = gevent.Greenlet(function)

        def trace(event: str, switch: tuple[Any, Any], victim: Any = victim, wait: int = wait) -> None:
            nonlocal waits, reached
            if switch[0] is victim:
                waits += 1
                if waits == wait:
                    reached = True
                    gevent.get_hub().loop.run_callback(lambda: victim.kill(block=False))

        before = greenlet.settrace(trace)
        try:
            victim.start()
            victim.join(20)
        finally:
            greenlet.settrace(before)
        assert victim.dead
        yield
    assert wait > 3, f"only {wait} waits: too few to have tested anything"


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

    for _ in killed_at_every_wait(use):
        wait_for_contenders(other, 0)
        assert Lock(other, PATH).acquire(timeout=5)
        other.delete(PATH, recursive=True)


def test_a_waiter_killed_at_any_wait_leaves_the_queue(clients: tuple[Client, Client]) -> None:
    one, other = clients
    with Lock(other, PATH):
        for _ in killed_at_every_wait(lambda: Lock(one, PATH).acquire(timeout=0.05)):
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
