"""`max_in_flight`: how many requests are on the wire, and what becomes of those for which there is no room."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conftest import MakeClient
from corepair import DATA, CorePair
from worlds import Threads

from zk_client import (
    Client,
    ConfigurationError,
    ConnectionLostError,
    NoNodeError,
    Outcome,
    RetryPolicy,
    SessionClosedError,
    SessionState,
    TooManyRequestsError,
)
from zk_testing import EmbeddedServer
from zk_testing.faults import FaultProxy
from zk_wire import AuthPacket, EmptyResponse, GetDataRequest


def limited(limit: int, **config: Any) -> CorePair:
    pair = CorePair(max_in_flight=limit, **config)
    pair.open()
    return pair


def asked_for(pair: CorePair) -> list[str]:
    return [request.request.path for request in pair.requests]


def test_no_more_requests_than_allowed_are_on_the_wire_and_others_follow_in_order() -> None:
    pair = limited(2)
    calls = [pair.submit(pair.operations.get(f"/{number}")) for number in range(5)]
    assert asked_for(pair) == ["/0", "/1"]
    pair.reply(pair.next(GetDataRequest), DATA)
    assert asked_for(pair) == ["/1", "/2"]
    late = pair.submit(pair.operations.get("/late"))
    for _ in range(5):
        assert len(pair.requests) <= 2
        pair.reply(pair.next(GetDataRequest), DATA)
    assert all(call.done for call in [*calls, late])
    assert [call.path for call in pair.done] == ["/0", "/1", "/2", "/3", "/4", "/late"]


def test_the_limit_holds_for_what_waited_for_a_connection() -> None:
    pair = CorePair(max_in_flight=3)
    pair.start()
    for number in range(10):
        pair.submit(pair.operations.get(f"/{number}"))
    pair.open()
    assert asked_for(pair) == ["/0", "/1", "/2"]


def test_what_waits_for_room_when_the_connection_is_lost_is_sent_behind_what_is_sent_again() -> None:
    pair = limited(2)
    calls = [pair.submit(pair.operations.get(f"/{number}")) for number in range(4)]
    pair.close()
    pair.reopen()
    assert asked_for(pair) == ["/0", "/1"]
    while pair.requests:
        pair.reply(pair.next(GetDataRequest), DATA)
    assert all(call.done and call.failure is None for call in calls)


def test_a_write_that_waits_for_room_was_not_applied_when_the_client_ends() -> None:
    pair = limited(1)
    pair.submit(pair.operations.get("/first"))
    write = pair.submit(pair.operations.set("/second", b""))
    pair.stop()
    pair.close()
    assert isinstance(write.failure, SessionClosedError)
    assert write.failure.outcome is Outcome.NOT_APPLIED


def test_what_waits_for_room_fails_with_the_connection_when_nothing_may_wait() -> None:
    pair = limited(1, queue_when_disconnected=False)
    pair.submit(pair.operations.get("/first"))
    write = pair.submit(pair.operations.set("/second", b""))
    assert not write.done
    pair.close()
    assert isinstance(write.failure, ConnectionLostError)
    assert write.failure.outcome is Outcome.NOT_APPLIED


def test_a_request_that_waits_for_room_can_be_taken_back() -> None:
    pair = limited(1)
    pair.submit(pair.operations.get("/first"))
    second = pair.submit(pair.operations.set("/second", b""))
    assert pair.cancel(second)
    pair.reply(pair.next(GetDataRequest), DATA)
    assert pair.requests == []


def test_an_identity_is_presented_however_full_it_is() -> None:
    pair = limited(1)
    pair.submit(pair.operations.get("/first"))
    pair.submit(pair.operations.add_auth("digest", "user:secret"))
    assert pair.kinds() == ["GetDataRequest", "AuthPacket"]
    pair.next(GetDataRequest)
    pair.reply(pair.next(AuthPacket), EmptyResponse())


def test_a_full_client_that_is_to_fail_refuses_at_once_and_takes_requests_again_after_a_reply() -> None:
    pair = limited(2, fail_when_full=True)
    for number in range(2):
        pair.submit(pair.operations.get(f"/{number}"))
    refused = pair.submit(pair.operations.set("/2", b""))
    with pytest.raises(TooManyRequestsError, match=r"'/2' refused: 2 are under way \(max_in_flight\)") as caught:
        refused.result()
    assert caught.value.outcome is Outcome.NOT_APPLIED
    pair.reply(pair.next(GetDataRequest), DATA)
    assert not pair.submit(pair.operations.get("/3")).done


def test_a_full_client_that_is_to_fail_counts_what_waits_for_a_connection_and_lost_writes() -> None:
    pair = limited(2, fail_when_full=True)
    pair.submit(pair.operations.set("/lost", b""))
    pair.close()
    assert not pair.submit(pair.operations.get("/queued")).done
    assert isinstance(pair.submit(pair.operations.get("/refused")).failure, TooManyRequestsError)


def test_a_refusal_is_worth_another_try() -> None:
    assert RetryPolicy().repeats(TooManyRequestsError("/a", 1))


@pytest.mark.parametrize("options", [{"max_in_flight": 0}, {"max_in_flight": True}, {"when_full": "drop"}])
def test_a_limit_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Client(**options)


# On sockets, in every world


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    with EmbeddedServer() as server, FaultProxy(server) as proxy:
        yield proxy


def most_on_the_wire(proxy: FaultProxy, since: int) -> int:
    """The most requests that had been seen and not been answered at any moment."""
    most = now = 0
    for passed in proxy.record:
        if passed.number > since and passed.kind in ("get_data", "set_data"):
            now += 1 if passed.direction == "to_server" else -1
            most = max(most, now)
    return most


def test_a_burst_keeps_to_the_limit_and_every_request_of_it_is_answered(
    world: Threads, make_client: MakeClient, proxy: FaultProxy
) -> None:
    zk = make_client(proxy.hosts, max_in_flight=4)
    zk.create("/a", b"data")
    mark = proxy.mark()
    reads = [zk.operations.get("/a") for _ in range(500)]
    missing = zk.operations.get("/missing")
    world.submit_all(zk, [*reads, missing])
    for _ in range(20):
        zk.set("/a", b"data")  # behind all of them
    assert all(read.result()[0] == b"data" for read in reads)
    with pytest.raises(NoNodeError):
        missing.result()
    assert 2 <= most_on_the_wire(proxy, mark) <= 4


def test_a_full_client_refuses_while_the_server_is_silent_and_goes_on_afterwards(
    world: Threads, make_client: MakeClient, proxy: FaultProxy
) -> None:
    zk = make_client(proxy.hosts, max_in_flight=3, when_full="fail")
    proxy.freeze()
    reads = [zk.operations.exists("/") for _ in range(3)]
    world.submit_all(zk, reads)
    with pytest.raises(TooManyRequestsError):
        zk.get("/")
    proxy.heal()
    assert zk.retry(zk.exists, "/") is not None
    assert all(read.result() is not None for read in reads)
    assert zk.state is SessionState.CONNECTED
