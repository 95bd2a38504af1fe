"""Our parties and kazoo's on the same nodes of one server see each other, both ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("kazoo")

from kazoo.client import KazooClient

from zk_client import Client
from zk_recipes import Party, ShallowParty
from zk_testing.member import ZooKeeperServer

MakeClient = Callable[..., Client]


@pytest.fixture
def kazoo(zk_server: ZooKeeperServer, zk_chroot: str) -> Iterator[Any]:
    """A kazoo client below the test's node."""
    client = KazooClient(zk_server.hosts + zk_chroot, timeout=6.0)
    client.start()
    yield client
    client.stop()
    client.close()


@pytest.mark.parametrize("kind", [Party, ShallowParty])
def test_members_of_both_are_members_for_both(make_client: MakeClient, kazoo: Any, kind: type[Party]) -> None:
    theirs = getattr(kazoo, kind.__name__)("/party", "theirs-1")
    theirs.join()
    with kind(make_client(), "/party", "ours-1") as ours:
        assert sorted(ours) == sorted(theirs) == ["ours-1", "theirs-1"]
        assert len(ours) == len(theirs) == 2
        theirs.leave()
        assert list(ours) == ["ours-1"] and len(theirs) == 1
    assert list(theirs) == []
