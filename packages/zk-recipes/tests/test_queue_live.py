"""Queue on threads on a running server, with a proxy that loses replies."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from telling import wait_until

from zk_client import Client
from zk_recipes import Queue
from zk_testing.faults import FaultProxy

MakeClient = Callable[..., Client]
PATH = "/queues/one"


@pytest.mark.parametrize("lose", ["lose_reply", "lose_request"])
def test_an_entry_is_put_once_and_got_once_although_messages_were_lost(
    lose: str, make_client: MakeClient, zk_faults: FaultProxy
) -> None:
    client, other = make_client(zk_faults.hosts), make_client()
    queue, theirs = Queue(client, PATH), Queue(other, PATH)
    queue.put(b"1")
    fault = getattr(zk_faults, lose)("multi")
    queue.put(b"2")
    fault.wait()
    assert len(theirs) == 2
    fault = getattr(zk_faults, lose)("multi")
    assert queue.get() == b"1"
    fault.wait()
    assert theirs.get() == b"2"
    assert queue.get() is None and len(queue) == 0
    wait_until(lambda: other.get_children(PATH + "-__writes__") == [])


def test_consumers_in_threads_share_the_entries(make_client: MakeClient) -> None:
    clients = [make_client() for _ in range(3)]
    for number in range(30):
        Queue(clients[0], PATH).put(str(number).encode())
    got: list[bytes] = []

    def work(client: Client) -> None:
        queue = Queue(client, PATH)
        while (value := queue.get()) is not None:
            got.append(value)

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(map(int, got)) == list(range(30))


def test_entries_lie_as_kazoo_puts_them(make_client: MakeClient) -> None:
    client = make_client()
    client.create(f"{PATH}/entry-005-", b"kazoo", sequence=True, makepath=True)
    Queue(client, PATH).put(b"ours", 7)
    assert sorted(client.get_children(PATH)) == ["entry-005-0000000000", "entry-007-0000000001"]
    assert [Queue(client, PATH).get(), Queue(client, PATH).get()] == [b"kazoo", b"ours"]
