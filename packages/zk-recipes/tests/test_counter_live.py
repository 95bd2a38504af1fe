"""Counter on threads on a running server, with a proxy that loses replies."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from telling import wait_until

from zk_client import Client
from zk_recipes import Counter
from zk_testing.faults import FaultProxy

MakeClient = Callable[..., Client]
PATH = "/numbers/one"


@pytest.mark.parametrize("lose", ["lose_reply", "lose_request"])
@pytest.mark.parametrize("curator", [False, True])
def test_an_addition_counts_once_although_its_message_was_lost(
    lose: str, curator: bool, make_client: MakeClient, zk_faults: FaultProxy
) -> None:
    client, other = make_client(zk_faults.hosts), make_client()
    counter = Counter(client, PATH, support_curator=curator)
    counter += 1
    fault = getattr(zk_faults, lose)("multi")
    counter += 2
    fault.wait()
    assert counter.post_value == 3
    assert Counter(other, PATH, support_curator=curator).value == 3
    wait_until(lambda: other.get_children(PATH + "-__writes__") == [])


def test_threads_that_add_at_once_lose_nothing(make_client: MakeClient) -> None:
    clients = [make_client() for _ in range(2)]

    def work(client: Client) -> None:
        counter = Counter(client, PATH)
        for _ in range(10):
            counter += 3
            counter -= 1

    threads = [threading.Thread(target=work, args=(clients[number % 2],)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert Counter(clients[0], PATH).value == 80


def test_a_number_kazoo_wrote_is_read_and_added_to(make_client: MakeClient) -> None:
    client = make_client()
    client.create("/float", b"2.5")
    counter = Counter(client, "/float", 0.0)
    counter += 1.0
    assert counter.value == 3.5 and counter.pre_value == 2.5
    assert client.get("/float")[0] == b"3.5"
