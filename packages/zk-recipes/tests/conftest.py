"""Fixtures of the tests on running servers, embedded and real: clients that are stopped; and which tests are slow.

That they leave nothing behind is what the plugin of zk-testing looks for after each test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from zk_client import Client
    from zk_testing.member import ZooKeeperServer


# What takes long, and says nothing new of a copy of the package: that a search finds what it is there for, and searches
# of every step.
SLOW = (
    "test_the_search_",
    "test_each_kind_of_fault_alone_is_survived",
    "test_a_recipe_keeps_its_promise_whichever_step_fails",
    "test_a_recipe_cancelled_at_any_request",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow."""
    for item in items:
        if item.name.startswith(SLOW):
            item.add_marker("slow")


@pytest.fixture
def make_client(zk_server: ZooKeeperServer, zk_chroot: str) -> Iterator[Callable[..., Client]]:
    """Start a client below a fresh node: of the server, or of the proxy whose hosts are given."""
    from zk_client import Client

    made: list[Client] = []

    def make(hosts: str | None = None, timeout: float = 6.0) -> Client:
        client = Client((hosts or zk_server.hosts) + zk_chroot, timeout)
        made.append(client)
        client.start()
        return client

    yield make
    for client in made:
        client.stop()
