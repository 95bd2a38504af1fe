"""Members on greenlets, in a process where nothing is patched: killed at any wait, they leave no node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("gevent")

import gevent
import greenlet

from zk_client import Client
from zk_recipes import GroupMembership, Party
from zk_testing import EmbeddedServer

PATH = "/group"


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
    assert wait > 2, f"only {wait} waits: too few to have tested anything"


@pytest.mark.parametrize(
    "make", [lambda zk: Party(zk, PATH, "me"), lambda zk: GroupMembership(zk, PATH, "me")], ids=["party", "group"]
)
def test_a_member_killed_at_any_wait_of_joining_and_leaving_is_gone(
    clients: tuple[Client, Client], make: Callable[[Client], Any]
) -> None:
    one, other = clients
    other.create(PATH)

    def take_part() -> None:
        with make(one):
            pass

    for _ in killed_at_every_wait(take_part):
        with gevent.Timeout(10):
            while other.get_children(PATH):
                gevent.sleep(0.001)
