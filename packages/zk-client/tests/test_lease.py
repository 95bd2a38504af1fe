"""The lease is counted from when an answered request was put on the wire, whatever way it and its answer went.

The server counts from when it received that request, which is later. Counted from anything later than that, such as the
moment of the answer, or of the call, a holder could trust a lease that the server has ended.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from corepair import DATA, NO_NODE, CorePair, Sink

from zk_wire import EventType, GetDataRequest, PingRequest

TIMEOUT = 9.0


def alone(pair: CorePair) -> float:
    pair.submit(pair.operations.get("/a"))
    sent = pair.now
    pair.wait_for(1.0)
    pair.reply(pair.next(GetDataRequest), DATA)
    return sent


def at_once_by_the_caller(pair: CorePair) -> float:
    sent = pair.now
    data = pair.core.send_alone(pair.operations.get("/a"), sent)
    assert data
    pair._receive(data)
    pair.wait_for(1.0)
    pair.reply(pair.next(GetDataRequest), DATA)
    return sent


def refused(pair: CorePair) -> float:
    pair.submit(pair.operations.get("/a"))
    sent = pair.now
    pair.wait_for(1.0)
    pair.reply(pair.next(GetDataRequest), err=NO_NODE)
    return sent


def with_a_watch(pair: CorePair) -> float:
    pair.submit(pair.operations.get("/a", Sink()))
    sent = pair.now
    pair.wait_for(1.0)
    pair.reply(pair.next(GetDataRequest), DATA)
    return sent


def answered_with_others(pair: CorePair) -> float:
    pair.submit(pair.operations.get("/a"))
    pair.wait_for(0.5)
    pair.submit(pair.operations.get("/b"))
    sent = pair.now
    pair.submit(pair.operations.get("/c"))
    pair.wait_for(1.0)
    frames = [pair.frame(pair.next(GetDataRequest), DATA) for _ in range(2)]
    pair.send(*frames)
    return sent


def waiting_for_a_connection(pair: CorePair) -> float:
    pair.close()
    pair.submit(pair.operations.get("/a"))
    pair.wait_for(0.2)
    pair.connect()
    pair.wait_for(0.5)
    pair.grant()
    sent = pair.now
    pair.wait_for(1.0)
    pair.reply(pair.next(GetDataRequest), DATA)
    return sent


def sent_again_on_another_connection(pair: CorePair) -> float:
    pair.submit(pair.operations.get("/a"))
    pair.next(GetDataRequest)
    pair.wait_for(0.5)
    pair.close()
    pair.wait_for(0.2)
    pair.connect()
    pair.wait_for(0.5)
    pair.grant()
    sent = pair.now
    pair.wait_for(1.0)
    pair.reply(pair.next(GetDataRequest), DATA)
    return sent


def only_asked_for_the_session(pair: CorePair) -> float:
    pair.close()
    pair.wait_for(0.2)
    pair.connect()
    sent = pair.now
    pair.wait_for(1.0)
    pair.grant()
    return sent


def pinged(pair: CorePair) -> float:
    sent = pair.core.timers.ping_due()
    pair.wait_for(sent - pair.now)
    ping = pair.next(PingRequest)
    pair.wait_for(1.0)
    pair.reply(ping, zxid=0)
    return sent


WAYS: list[Callable[[CorePair], float]] = [
    alone,
    at_once_by_the_caller,
    refused,
    with_a_watch,
    answered_with_others,
    waiting_for_a_connection,
    sent_again_on_another_connection,
    only_asked_for_the_session,
    pinged,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_the_lease_is_counted_from_when_the_answered_request_was_sent(way: Callable[[CorePair], float]) -> None:
    pair = CorePair(timeout=TIMEOUT)
    pair.open()
    pair.wait_for(1.0)
    sent = way(pair)
    assert sent < pair.now
    assert pair.core.lease_remaining(sent) == pytest.approx(TIMEOUT * 0.9)


def test_a_request_that_waited_for_room_counts_from_when_it_was_sent() -> None:
    pair = CorePair(timeout=TIMEOUT, max_in_flight=1)
    pair.open()
    pair.submit(pair.operations.get("/a"))
    pair.submit(pair.operations.get("/b"))
    pair.wait_for(1.0)
    pair.reply(pair.next(GetDataRequest), DATA)
    sent = pair.now
    pair.wait_for(1.0)
    pair.reply(pair.next(GetDataRequest), DATA)
    assert pair.core.lease_remaining(sent) == pytest.approx(TIMEOUT * 0.9)


def test_what_is_sent_and_not_answered_does_not_renew_the_lease() -> None:
    pair = CorePair(timeout=TIMEOUT)
    pair.open()
    begun = pair.now
    for _ in range(5):
        pair.wait_for(1.0)
        pair.submit(pair.operations.get("/a"))
    assert pair.core.lease_remaining(begun) == pytest.approx(TIMEOUT * 0.9)


def test_an_event_does_not_renew_the_lease() -> None:
    pair = CorePair(timeout=TIMEOUT)
    pair.open()
    begun = pair.now
    pair.wait_for(1.0)
    pair.notify(EventType.CREATED, "/a")
    assert pair.core.lease_remaining(begun) == pytest.approx(TIMEOUT * 0.9)
