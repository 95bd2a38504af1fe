"""LockingQueue on threads on a running server: lost replies, dead consumers, and what a hundred of them cost."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from telling import wait_until

from zk_client import Client
from zk_recipes import LockingQueue
from zk_testing.faults import FaultProxy
from zk_testing.member import ZooKeeperServer

MakeClient = Callable[..., Client]
PATH = "/queues/one"
PATIENCE = 20.0


def names(client: Client, kind: str) -> list[str]:
    return client.get_children(f"{PATH}/{kind}") if client.exists(f"{PATH}/{kind}") else []


def requests(proxy: FaultProxy, mark: int) -> list[str]:
    """What the client has asked for since, but for pings and the syncs of `quiet`."""
    sent = [passed.kind for passed in proxy.record[mark:] if passed.direction == "to_server"]
    return [kind for kind in sent if kind not in ("ping", "sync")]


def quiet(client: Client, proxy: FaultProxy) -> None:
    """Wait until nobody asks for anything any more: nothing new during many round trips."""
    silent = 0
    while silent < 50:
        before = len(requests(proxy, 0))
        client.sync("/")
        silent = silent + 1 if len(requests(proxy, 0)) == before else 0


@pytest.mark.parametrize("lose", ["lose_reply", "lose_request"])
def test_a_claim_whose_message_was_lost_does_not_stick(
    lose: str, make_client: MakeClient, zk_faults: FaultProxy
) -> None:
    # K3: with kazoo the entry stays taken by a consumer that does not know it.
    client, other = make_client(zk_faults.hosts), make_client()
    mine, theirs = LockingQueue(client, PATH), LockingQueue(other, PATH)
    theirs.put_all([b"1", b"2"])
    fault = getattr(zk_faults, lose)("multi")
    assert mine.get(timeout=PATIENCE) in (b"1", b"2")
    fault.wait()
    wait_until(lambda: len(names(other, "taken")) == 1)
    fault = getattr(zk_faults, lose)("multi")
    assert mine.consume() is True
    fault.wait()
    assert theirs.get(timeout=PATIENCE) in (b"1", b"2")
    assert theirs.consume() is True
    assert len(theirs) == 0
    for kind in ("taken", "claims", "waiting"):
        assert names(other, kind) == []


def test_the_entry_of_a_frozen_consumer_goes_to_the_next_after_it_was_told(
    make_client: MakeClient, zk_faults: FaultProxy
) -> None:
    lost = threading.Event()
    mine = LockingQueue(make_client(zk_faults.hosts, 2.0), PATH, on_lost=lost.set)
    theirs = LockingQueue(make_client(), PATH)
    mine.put(b"1")
    assert mine.get() == b"1"
    zk_faults.freeze()
    assert theirs.get(timeout=PATIENCE) == b"1"
    assert lost.is_set() and not mine.is_held
    zk_faults.heal()
    assert mine.consume() is False
    assert theirs.consume() is True


def test_fifty_empty_gets_leave_nothing(make_client: MakeClient, zk_server: ZooKeeperServer) -> None:
    # K14: with kazoo each leaves its watches.
    client = make_client()
    queue = LockingQueue(client, PATH)
    before = zk_server.send_command("wchs")
    for _ in range(50):
        assert queue.get(timeout=0.01) is None
    wait_until(lambda: names(client, "waiting") == [])
    wait_until(lambda: zk_server.send_command("wchs") == before)
    assert client.handler.listeners == []


def test_a_new_entry_costs_the_same_however_many_wait(make_client: MakeClient, zk_faults: FaultProxy) -> None:
    client, producer = make_client(zk_faults.hosts), make_client()
    asked = []
    for waiting in (5, 40):
        start = zk_faults.mark()
        queues = [LockingQueue(client, PATH) for _ in range(waiting)]
        threads = [threading.Thread(target=queue.get, args=(PATIENCE,)) for queue in queues]
        for thread in threads:
            thread.start()
        wait_until(lambda waiting=waiting: len(names(producer, "waiting")) == waiting)  # type: ignore[misc]
        # Each but the first looks at the one before it, and then waits.
        wait_until(lambda start=start, waiting=waiting: requests(zk_faults, start).count("get_data") >= waiting - 1)  # type: ignore[misc]
        quiet(client, zk_faults)
        mark = zk_faults.mark()
        LockingQueue(producer, PATH).put(b"1")
        wait_until(lambda waiting=waiting: len(names(producer, "waiting")) == waiting - 1)  # type: ignore[misc]
        quiet(client, zk_faults)
        asked.append(len(requests(zk_faults, mark)))
        LockingQueue(producer, PATH).put_all([b"1"] * (waiting - 1))
        for thread in threads:
            thread.join(PATIENCE)
        assert all(queue.consume() for queue in queues)
    assert max(asked) <= 25, asked


def test_it_respects_and_is_respected_by_nodes_of_kazoo(make_client: MakeClient) -> None:
    client = make_client()
    queue = LockingQueue(client, PATH)
    queue.put_all([b"1", b"2"])
    client.ensure_path(f"{PATH}/taken")
    client.create(f"{PATH}/taken/entry-100-0000000000", b"ab" * 16, ephemeral=True)
    assert queue.get(0) == b"2"
    (theirs, ours) = sorted(names(client, "taken"))
    assert (theirs, ours) == ("entry-100-0000000000", "entry-100-0000000001")
    assert len(client.get(f"{PATH}/taken/{ours}")[0] or b"") == 32
    assert queue.consume()
