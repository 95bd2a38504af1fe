"""Requests that nobody waits for yet, of the `_async` twins: their order, their callbacks, and how long they wait."""

from __future__ import annotations

import pytest
from live import PATIENCE, Events, cut_off, in_thread
from worlds import Threads

from zk_client import (
    OPEN_ACL_UNSAFE,
    Call,
    CallTimeoutError,
    Client,
    NoNodeError,
    Outcome,
    Stat,
)
from zk_testing.faults import FaultProxy
from zk_wire import DeleteResult


def test_requests_reach_the_server_in_the_order_of_the_calls(zk: Client) -> None:
    path = zk.create("/n")
    # Each set succeeds only directly after the one before it.
    sets = [zk.set_async(path, b"%d" % version, version=version) for version in range(500)]
    assert [call.result(20).version for call in sets] == list(range(1, 501))


def test_twins_of_all_kinds_share_one_order(zk: Client) -> None:
    path = "/n"
    calls: list[Call[object]] = [
        zk.exists_async(path),
        zk.create_async(path, b"1"),
        zk.get_async(path),
        zk.set_async(path, b"2"),
        zk.get_async(path),
        zk.get_children_async("/"),
        zk.get_children_async("/", include_data=True),
        zk.get_acls_async(path),
        zk.set_acls_async(path, OPEN_ACL_UNSAFE),
        zk.sync_async(path),
        zk.get_all_children_number_async("/"),
        zk.get_ephemerals_async("/"),
        zk.get_config_async(),
        zk.multi_read().get(path).commit_async(),
        zk.transaction().delete(path).commit_async(),
        zk.exists_async(path),
        zk.delete_async(path),
    ]
    results = [call.exception(20) or call.result() for call in calls]

    assert results[0] is None
    assert results[1] == path
    assert results[2][0] == b"1"
    assert results[3].version == 1
    assert results[4][0] == b"2"
    assert results[5] == ["n"]
    assert results[6][0] == ["n"]
    assert results[7][0] == list(OPEN_ACL_UNSAFE)
    assert results[8].aversion == 1
    assert results[9] == path
    assert results[10] == 1
    assert results[11] == []
    assert isinstance(results[12][1], Stat)
    assert results[13][0][0] == b"2"
    assert results[14] == [DeleteResult()]
    assert results[15] is None
    assert isinstance(results[16], NoNodeError)


def test_a_done_callback_is_given_the_call_and_may_ask_the_client(world: Threads, zk: Client) -> None:
    seen = Events()
    ask = world.calling(lambda call: seen((call.result()[0], zk.get("/")[0])))
    zk.get_async("/").add_done_callback(ask)
    assert seen.wait(1) == [(b"", b"")]


def test_a_done_callback_added_late_is_called_all_the_same(zk: Client) -> None:
    seen = Events()
    call = zk.get_async("/")
    assert call.wait(20)
    call.add_done_callback(seen)
    assert [told.result()[0] for told in seen.wait(1)] == [b""]


@pytest.mark.worlds("threads", "gevent")
def test_a_future_may_be_waited_for_again_after_a_timeout(away: Client, zk_faults: FaultProxy) -> None:
    zk_faults.freeze("to_client")
    call = away.create_async("/n")
    with pytest.raises(CallTimeoutError) as late:
        call.result(0.05)
    assert late.value.outcome is Outcome.UNKNOWN
    assert not call.wait(0.05)
    zk_faults.heal()
    assert call.result(PATIENCE) == "/n"


@pytest.mark.worlds("threads", "gevent")
def test_a_future_that_waits_for_a_connection_is_unknown_because_it_will_be_sent(
    away: Client, zk_faults: FaultProxy
) -> None:
    cut_off(away, zk_faults)
    call = away.create_async("/n")
    with pytest.raises(CallTimeoutError) as late:
        call.result(0.05)
    assert late.value.outcome is Outcome.UNKNOWN
    zk_faults.heal()
    assert call.result(PATIENCE) == "/n"


def test_a_future_that_waits_for_a_connection_can_be_taken_back(away: Client, zk_faults: FaultProxy) -> None:
    cut_off(away, zk_faults)
    call, other = away.create_async("/n"), away.create_async("/m")
    assert call.cancel()
    assert not call.cancel()
    zk_faults.heal()
    assert other.result(PATIENCE) == "/m"
    assert away.exists("/n") is None


def test_several_threads_may_wait_for_one_future(away: Client, zk_faults: FaultProxy) -> None:
    zk_faults.freeze("to_client")
    call = away.create_async("/n")
    waiting = [in_thread(lambda: call.result(PATIENCE)) for _ in range(8)]
    zk_faults.heal()
    assert [wait() for wait in waiting] == ["/n"] * 8
