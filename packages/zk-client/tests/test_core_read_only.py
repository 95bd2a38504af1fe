"""The core and servers without a quorum: read-only sessions, and the search for a better server."""

from __future__ import annotations

import itertools

import pytest
from corepair import DATA, PASSWORD, SESSION, STAT, CorePair, Sink

from zk_client import NotReadOnlyError, SessionState
from zk_client.hosts import Host
from zk_wire import (
    CloseSessionRequest,
    ConnectRequest,
    CreateRequest,
    EventType,
    GetDataRequest,
    PingRequest,
    SetWatches2,
)

S = SessionState
READ_ONLY_ID = 0x55
A, B = Host("a", 1), Host("b", 2)


def read_only_pair() -> CorePair:
    """A client attached to a read-only server that gave it a session of its own."""
    pair = CorePair("a:1,b:2", read_only=True)
    pair.open(READ_ONLY_ID, read_only=True)
    return pair


def idle(pair: CorePair, seconds: float) -> None:
    """Let time pass on a connection whose server answers pings."""
    end = pair.now + seconds
    while pair.now < end:
        pair.wait_for(min(0.5, end - pair.now))
        while pair.requests:
            pair.reply(pair.next(PingRequest), zxid=0)


def test_a_read_only_server_gives_a_read_only_state_to_who_asked_for_it() -> None:
    pair = read_only_pair()
    assert pair.hello == ConnectRequest(0, 9000, 0, bytes(16), True)
    assert pair.states == [S.CONNECTING, S.CONNECTED_READ_ONLY]


def test_all_hosts_are_searched_after_a_tenth_of_a_second_then_less_and_less_often() -> None:
    pair = read_only_pair()
    began = pair.now
    found: list[float] = []
    while pair.now < began + 200:
        idle(pair, 0.1)
        if len(pair.probes) > len(found):
            found.append(pair.now - began)
            pair.core.probed(pair.now, None)
    assert pair.probes[0].hosts == (A, B)
    pauses = [later - earlier for earlier, later in itertools.pairwise(found)]
    assert found[0] == pytest.approx(0.1, abs=0.11)
    assert pauses[:5] == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2], abs=0.11)
    assert max(pauses) == pytest.approx(60, abs=0.11)


def test_only_one_search_runs_at_a_time() -> None:
    pair = read_only_pair()
    idle(pair, 20)
    assert len(pair.probes) == 1


def test_a_read_write_server_that_was_found_is_connected_to_at_once() -> None:
    pair = read_only_pair()
    pair.wait_for(0.1)
    pair.core.probed(pair.now, B)
    pair.settle()
    pair.wait_for(0)
    assert pair.connects[-1].host == B
    pair.connect()
    pair.grant(SESSION)
    assert pair.states == [S.CONNECTING, S.CONNECTED_READ_ONLY, S.SUSPENDED, S.CONNECTED]


def test_finding_a_better_server_is_no_failure_of_the_one_that_is_left() -> None:
    pair = CorePair("a:1", read_only=True)
    pair.open(READ_ONLY_ID, read_only=True)
    pair.wait_for(0.1)
    pair.core.probed(pair.now, A)
    pair.settle()
    assert pair.core.deadline() == pair.now


def test_a_session_id_of_a_read_only_server_is_presented_nowhere() -> None:
    pair = read_only_pair()
    pair.close()
    pair.reopen(session_id=0x66, read_only=True)
    assert pair.hello == ConnectRequest(0, 9000, 0, bytes(16), True)


def test_a_session_of_a_read_write_server_is_presented_to_read_only_ones_and_kept() -> None:
    pair = CorePair("a:1,b:2", read_only=True)
    pair.open()
    pair.close()
    pair.reopen(read_only=True)
    assert pair.hello is not None and (pair.hello.session_id, pair.hello.password) == (SESSION, PASSWORD)
    assert pair.states[-2:] == [S.SUSPENDED, S.CONNECTED_READ_ONLY]
    pair.close()
    pair.reopen()
    assert pair.hello.session_id == SESSION
    assert S.EXPIRED not in pair.states


def test_reads_go_on_and_writes_are_refused() -> None:
    pair = read_only_pair()
    read = pair.submit(pair.operations.get("/a"))
    write = pair.submit(pair.operations.create("/a"))
    pair.reply(pair.next(GetDataRequest), DATA)
    pair.reply(pair.next(CreateRequest), err=-119)
    assert read.result() == (b"data", STAT)
    assert isinstance(write.exception(), NotReadOnlyError)


def test_watches_move_along_to_the_read_write_server_and_are_told_the_state_they_have() -> None:
    pair = CorePair("a:1,b:2", read_only=True)
    pair.open()
    sink = Sink()
    pair.core.watches.add(3, "/p", sink)
    pair.close()
    pair.reopen(read_only=True)
    assert isinstance(pair.requests[0].request, SetWatches2)
    assert [(event.type, event.state) for event in sink.events] == [(EventType.NONE, S.CONNECTED_READ_ONLY)]


def test_the_end_of_a_search_that_nobody_waits_for_any_more_changes_nothing() -> None:
    pair = read_only_pair()
    pair.wait_for(0.1)
    pair.stop()
    pair.core.probed(pair.now, B)
    pair.settle()
    pair.reply(pair.next(CloseSessionRequest))
    assert pair.states[-1] is S.CLOSED
    pair.core.probed(pair.now, B)
    pair.settle()
    assert pair.states[-1] is S.CLOSED


def test_a_read_only_server_that_refuses_with_a_reply_header_is_left_for_the_next_host() -> None:
    pair = CorePair("a:1,b:2", read_only=True)
    pair.start()
    pair.connect()
    pair.reject(-119)
    pair.wait_for(0)
    assert pair.connects[-1].host == B
