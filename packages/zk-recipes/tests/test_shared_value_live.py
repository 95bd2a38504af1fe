"""SharedValue on threads on a running server, with a proxy that loses replies and notifications."""

from __future__ import annotations

import queue
from collections.abc import Callable

import pytest

from zk_client import Client
from zk_recipes import SharedReading, SharedValue
from zk_testing.faults import FaultProxy

MakeClient = Callable[..., Client]
PATH = "/values/one"
PATIENCE = 20.0


@pytest.mark.parametrize("lose", ["lose_reply", "lose_request"])
def test_a_comparison_is_answered_right_although_its_message_was_lost(
    lose: str, make_client: MakeClient, zk_faults: FaultProxy
) -> None:
    client, other = make_client(zk_faults.hosts), make_client()
    value = SharedValue(client, PATH)
    first = value.set(b"1")
    fault = getattr(zk_faults, lose)("multi")
    second = value.compare_and_set(first, b"2")
    fault.wait()
    assert second is not None and second == SharedValue(other, PATH).get()
    assert second.version == first.version + 1
    assert value.compare_and_set(first, b"3") is None


def test_a_listener_hears_in_order_across_a_lost_notification_and_a_deletion(
    make_client: MakeClient, zk_faults: FaultProxy
) -> None:
    client, other = make_client(zk_faults.hosts), make_client()
    heard: queue.Queue[SharedReading | None] = queue.Queue()
    listening = SharedValue(client, PATH).listen(heard.put)
    assert heard.get(timeout=PATIENCE) is None
    theirs = SharedValue(other, PATH)
    first = theirs.set(b"1")
    assert heard.get(timeout=PATIENCE) == first
    fault = zk_faults.lose_reply("notification")
    second = theirs.set(b"2")
    fault.wait()
    assert heard.get(timeout=PATIENCE) == second
    other.delete(PATH)
    assert heard.get(timeout=PATIENCE) is None
    third = theirs.set(b"2")
    assert heard.get(timeout=PATIENCE) == third
    assert third.czxid > second.czxid
    listening.stop()
