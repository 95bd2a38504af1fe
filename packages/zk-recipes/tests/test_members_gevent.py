"""Members on greenlets, in a process where nothing is patched: killed at any wait, they leave no node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("gevent")

import gevent
from killing import killed_at_every_wait

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

    for _ in killed_at_every_wait(take_part, more_than=2):
        with gevent.Timeout(10):
            while other.get_children(PATH):
                gevent.sleep(0.001)
