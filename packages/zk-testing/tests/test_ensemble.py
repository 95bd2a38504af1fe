"""An ensemble in memory: one history, seen by each member at its own pace."""

from __future__ import annotations

import pytest
from embedded_client import OPEN
from ensemble_talk import answered, connect_at, data_at, ensemble_of, pending, read, state_of, talk, there

from zk_testing.errors import ClusterError
from zk_wire import (
    CloseSessionRequest,
    ConnectRequest,
    CreateRequest,
    ErrorCode,
    EventType,
    ExistsRequest,
    GetDataRequest,
    MultiRequest,
    SetDataRequest,
    SyncRequest,
)

# One history


def test_what_is_written_at_one_member_is_read_at_every_other() -> None:
    ensemble = ensemble_of(3)
    for number in (1, 2, 3):
        talk(ensemble, number).create(f"/{number}")
    assert all(there(talk(ensemble, number), f"/{other}") for number in (1, 2, 3) for other in (1, 2, 3))


def test_the_first_session_has_the_first_zxid_of_the_first_epoch() -> None:
    talker = talk(ensemble_of(3), 1)
    assert talker.exchange(ExistsRequest("/", False)).zxid == 0x100000001


def test_a_member_that_lags_shows_what_was_and_never_what_is() -> None:
    ensemble = ensemble_of(3, leader=3)
    slow, quick = talk(ensemble, 1), talk(ensemble, 3)
    ensemble.lag(1, 0.5)
    quick.create("/a", b"new")
    assert not there(slow, "/a")
    ensemble.advance(0.499)
    assert not there(slow, "/a")
    ensemble.advance(0.001)
    assert read(slow, "/a") == b"new"


def test_sync_waits_for_everything_the_leader_had_agreed_on() -> None:
    ensemble = ensemble_of(3, leader=3)
    slow, quick = talk(ensemble, 1), talk(ensemble, 3)
    ensemble.lag(1, 0.5)
    quick.create("/a")
    synced = pending(slow, SyncRequest("/"))
    ensemble.advance(0.2)
    quick.create("/later")
    ensemble.advance(0.3)
    assert answered(slow, synced)
    assert there(slow, "/a")
    assert not there(slow, "/later")


def test_sync_of_a_member_that_is_up_to_date_is_answered_at_once() -> None:
    ensemble = ensemble_of(3, leader=3)
    assert talk(ensemble, 1).ask(SyncRequest("/a")).path == "/a"


def test_an_own_write_at_a_member_that_lags_is_read_after_it_and_answered_in_order() -> None:
    ensemble = ensemble_of(3, leader=3)
    slow = talk(ensemble, 1)
    ensemble.lag(1, 0.5)
    write = pending(slow, CreateRequest("/a", b"1", OPEN, 0))
    get = pending(slow, GetDataRequest("/a", False))
    assert data_at(ensemble, 3, "/a") == b"1"
    ensemble.advance(0.5)
    assert answered(slow, get)
    assert (write.error, get.reply and get.reply.data) == (0, b"1")
    assert write.zxid == get.zxid


def test_pipelined_writes_at_a_member_that_lags_cost_one_lag() -> None:
    ensemble = ensemble_of(3, leader=3)
    slow = talk(ensemble, 1)
    ensemble.lag(1, 0.5)
    writes = [pending(slow, CreateRequest(f"/{n}", b"", OPEN, 0)) for n in range(100)]
    ensemble.advance(0.5)
    assert answered(slow, writes[-1])
    assert [write.zxid for write in writes] == list(range(writes[0].zxid, writes[0].zxid + 100))


def test_a_client_is_refused_by_a_member_that_knows_less_than_it_has_seen() -> None:
    ensemble = ensemble_of(3, leader=3)
    quick = talk(ensemble, 3)
    ensemble.hold(1)
    quick.create("/a")
    seen = quick.exchange(ExistsRequest("/", False)).zxid
    assert connect_at(ensemble, 1, ConnectRequest(seen, 10_000, *quick.session)) == (None, 0, True)
    assert not quick.closed
    ensemble.let_go(1)
    assert talk(ensemble, 1, session=quick.session, last_zxid=seen).connected


def test_a_watch_at_a_member_that_lags_fires_when_the_change_is_applied_there_and_not_before() -> None:
    ensemble = ensemble_of(3, leader=3)
    slow, quick = talk(ensemble, 1), talk(ensemble, 3)
    quick.create("/a")
    slow.ask(GetDataRequest("/a", True))
    ensemble.lag(1, 0.5)
    quick.set("/a")
    ensemble.advance(0.499)
    assert slow.heard() == []
    ensemble.advance(0.001)
    assert slow.heard() == [(EventType.CHANGED, "/a")]


def test_the_own_event_comes_before_the_answer_to_the_write_that_caused_it() -> None:
    ensemble = ensemble_of(3, leader=3)
    slow = talk(ensemble, 1)
    slow.create("/a")
    slow.ask(GetDataRequest("/a", True))
    ensemble.lag(1, 0.5)
    write = pending(slow, SetDataRequest("/a", b"", -1))
    ensemble.advance(0.5)
    slow._pump()
    kinds = [type(event).__name__ for event in slow.order[-2:]]
    assert kinds[0] == "Notification"
    assert write.reply is not None


def test_held_members_apply_nothing_until_they_are_let_go() -> None:
    ensemble = ensemble_of(3, leader=3)
    ensemble.hold(1)
    talk(ensemble, 3).create("/a")
    ensemble.advance(1)
    assert data_at(ensemble, 1, "/a") is None
    ensemble.let_go(1)
    assert data_at(ensemble, 1, "/a") == b""


def test_a_failed_write_is_refused_by_the_leaders_tree_and_has_a_zxid() -> None:
    ensemble = ensemble_of(3, leader=3)
    slow, quick = talk(ensemble, 1), talk(ensemble, 3)
    ensemble.lag(1, 0.5)
    quick.create("/a")
    write = pending(slow, CreateRequest("/a", b"", OPEN, 0))
    ensemble.advance(0.5)
    assert answered(slow, write)
    assert write.error == ErrorCode.NODE_EXISTS
    assert write.zxid == ensemble.members[2].last_zxid


def test_a_multi_is_one_entry_of_the_history_everywhere() -> None:
    ensemble = ensemble_of(3, leader=3)
    talker = talk(ensemble, 2)
    before = len(ensemble.core.log)
    talker.ask(MultiRequest([CreateRequest("/a", b"", OPEN, 0), SetDataRequest("/a", b"2", -1)]))
    assert len(ensemble.core.log) == before + 1
    assert [data_at(ensemble, number, "/a") for number in (1, 2, 3)] == [b"2"] * 3


# Sessions


def test_a_session_that_ends_takes_its_ephemerals_along_at_every_member() -> None:
    ensemble = ensemble_of(3)
    talker = talk(ensemble, 1)
    talker.create("/e", flags=1)
    talker.close_session()
    assert [data_at(ensemble, number, "/e") for number in (1, 2, 3)] == [None] * 3
    assert talker.closed
    assert ensemble.core.sessions() == []


def test_a_silent_session_expires_by_the_leaders_clock() -> None:
    ensemble = ensemble_of(3, leader=3, tick_ms=200)
    talker = talk(ensemble, 1, timeout_ms=1000)
    talker.create("/e", flags=1)
    ensemble.advance(0.9)
    assert data_at(ensemble, 3, "/e") == b""
    ensemble.advance(0.4)
    assert [data_at(ensemble, number, "/e") for number in (1, 2, 3)] == [None] * 3
    assert talker.closed


def test_what_a_member_hears_of_a_session_keeps_it_alive() -> None:
    ensemble = ensemble_of(3, leader=3, tick_ms=200)
    talker = talk(ensemble, 1, timeout_ms=1000)
    for _ in range(5):
        ensemble.advance(0.8)
        there(talker, "/")
    assert not talker.closed


def test_a_resumed_session_is_known_by_every_member() -> None:
    ensemble = ensemble_of(3)
    first = talk(ensemble, 1)
    first.create("/e", flags=1)
    first.lose()
    again = talk(ensemble, 2, session=first.session)
    assert again.session == first.session
    again.close_session()
    assert not there(talk(ensemble, 3), "/e")


def test_an_unknown_session_is_refused_by_every_member() -> None:
    ensemble = ensemble_of(3)
    gone = talk(ensemble, 1)
    gone.close_session()
    for number in (1, 2, 3):
        answer, _length, closed = connect_at(ensemble, number, ConnectRequest(0, 10_000, *gone.session))
        assert (answer.timeout_ms, answer.session_id, closed) == (0, 0, True)


def test_requests_behind_a_connect_are_answered_when_the_session_is_there() -> None:
    ensemble = ensemble_of(3, leader=3)
    ensemble.lag(1, 0.5)
    line = ensemble.connect(1)
    connect = ConnectRequest(0, 10_000).encode()
    ping = (8).to_bytes(4, "big") + (-2).to_bytes(4, "big", signed=True) + (11).to_bytes(4, "big")
    line.send(len(connect).to_bytes(4, "big") + connect + ping)
    line.send(ping)
    assert line.take() == b""
    ensemble.advance(0.5)
    assert len(line.take()) == 40 + 20 + 20


def test_bad_bytes_behind_a_connect_end_the_connection_when_the_session_is_there() -> None:
    ensemble = ensemble_of(3, leader=3)
    ensemble.lag(1, 0.5)
    line = ensemble.connect(1)
    connect = ConnectRequest(0, 10_000).encode()
    line.send(len(connect).to_bytes(4, "big") + connect + b"\xff\xff\xff\xff")
    ensemble.advance(0.499)
    assert not line.closed
    ensemble.advance(0.001)
    assert line.closed
    assert len(line.take()) == 40


def test_a_write_behind_a_request_of_an_unknown_kind_is_done_without_an_answer() -> None:
    ensemble = ensemble_of(3, leader=3)
    talker = talk(ensemble, 1)
    unknown = (8).to_bytes(4, "big") + (5).to_bytes(4, "big") + (99).to_bytes(4, "big")
    body = (6).to_bytes(4, "big") + (1).to_bytes(4, "big") + CreateRequest("/unheard", b"", OPEN, 0).encode()
    talker.line.send(unknown + len(body).to_bytes(4, "big") + body)
    assert talker.line.closed
    assert data_at(ensemble, 2, "/unheard") == b""


def test_an_expired_session_is_closed_at_the_member_that_has_its_connection_when_that_hears_of_it() -> None:
    ensemble = ensemble_of(3, leader=3)
    talker = talk(ensemble, 1)
    ensemble.hold(1)
    ensemble.expire_session(talker.session[0])
    assert not talker.closed
    with pytest.raises(KeyError):
        ensemble.expire_session(talker.session[0])
    ensemble.let_go(1)
    assert talker.closed


# A session that has moved: protocol, section 2.4

STALE_READS = [ExistsRequest("/", False), SyncRequest("/")]
STALE_WRITES = [
    CreateRequest("/moved", b"", OPEN, 0),
    SetDataRequest("/", b"", -1),
    MultiRequest([CreateRequest("/moved", b"", OPEN, 0)]),
]


@pytest.mark.parametrize("request_", STALE_READS, ids=lambda r: type(r).__name__)
def test_a_follower_answers_the_reads_of_a_connection_whose_session_has_moved(request_: ExistsRequest) -> None:
    ensemble = ensemble_of(3, leader=3)
    stale = talk(ensemble, 1)
    talk(ensemble, 2, session=stale.session)
    stale.ask(request_)


@pytest.mark.parametrize("request_", [*STALE_READS, *STALE_WRITES], ids=lambda r: type(r).__name__)
def test_a_leader_closes_a_connection_whose_session_has_moved(request_: ExistsRequest) -> None:
    ensemble = ensemble_of(3, leader=3)
    stale = talk(ensemble, 3)
    fresh = talk(ensemble, 1, session=stale.session)
    stale.exchange(request_)
    assert stale.closed
    assert not there(fresh, "/moved")


@pytest.mark.parametrize("new", [2, 3])
@pytest.mark.parametrize("request_", STALE_WRITES, ids=lambda r: type(r).__name__)
def test_a_write_of_a_moved_session_closes_its_stale_connection_without_an_answer(
    new: int, request_: CreateRequest
) -> None:
    ensemble = ensemble_of(3, leader=3)
    stale = talk(ensemble, 1)
    fresh = talk(ensemble, new, session=stale.session)
    exchange = stale.exchange(request_)
    assert stale.closed
    assert not answered(stale, exchange)
    assert not there(fresh, "/moved")
    assert fresh.create("/by-the-new-one") == "/by-the-new-one"


@pytest.mark.parametrize(("old", "new"), [(1, 2), (1, 3), (3, 1)])
def test_a_stale_connection_can_end_its_session(old: int, new: int) -> None:
    ensemble = ensemble_of(3, leader=3)
    stale = talk(ensemble, old)
    fresh = talk(ensemble, new, session=stale.session)
    assert stale.exchange(CloseSessionRequest()).error == 0
    assert fresh.closed
    assert ensemble.core.sessions() == []


# Elections


def test_a_new_leader_begins_a_new_epoch_and_keeps_every_acknowledged_write() -> None:
    ensemble = ensemble_of(3, leader=3)
    talk(ensemble, 1).create("/a")
    ensemble.stop(3)
    ensemble.advance(0.1)
    leader = ensemble.leader()
    assert leader == 2
    talker = talk(ensemble, 1)
    assert there(talker, "/a")
    epoch = ensemble.members[1].epoch
    assert talker.exchange(CreateRequest("/b", b"", OPEN, 0)).zxid == (epoch << 32) + 2


def test_members_that_look_for_a_leader_drop_connections_and_serve_nobody() -> None:
    ensemble = ensemble_of(3, leader=3)
    talker = talk(ensemble, 1)
    ensemble.stop(3)
    assert talker.closed
    assert connect_at(ensemble, 1, ConnectRequest(0, 10_000)) == (None, 0, True)
    line = ensemble.connect(1)
    line.send(b"srvr")
    assert line.take() == b"This ZooKeeper instance is not currently serving requests\n"


def test_sessions_have_their_whole_timeout_after_an_election() -> None:
    ensemble = ensemble_of(3, leader=3, tick_ms=200)
    talker = talk(ensemble, 1, timeout_ms=2000)
    talker.create("/e", flags=1)
    ensemble.advance(1.8)
    ensemble.stop(3)
    ensemble.advance(1.9)
    again = talk(ensemble, 1, session=talker.session, timeout_ms=2000)
    assert again.session == talker.session
    assert there(again, "/e")


def test_a_session_that_nobody_resumes_expires_under_the_next_leader() -> None:
    ensemble = ensemble_of(3, leader=3, tick_ms=200)
    talk(ensemble, 1, timeout_ms=2000).create("/e", flags=1)
    ensemble.stop(3)
    ensemble.advance(2.5)
    assert data_at(ensemble, 1, "/e") is None


def test_a_member_of_choice_can_be_elected() -> None:
    ensemble = ensemble_of(3, leader=3)
    for number in (1, 2, 3):
        ensemble.elect(number)
        ensemble.advance(0.1)
        assert ensemble.leader() == number


def test_a_member_that_lacks_what_others_have_logged_cannot_be_elected() -> None:
    ensemble = ensemble_of(3, leader=3)
    ensemble.isolate(1)
    talk(ensemble, 3).create("/a")
    ensemble.advance(3)
    with pytest.raises(ClusterError, match="no quorum"):
        ensemble.elect(1)
    ensemble.stop(3)
    ensemble.reconnect()
    with pytest.raises(ClusterError, match="has logged more"):
        ensemble.elect(1)
    ensemble.advance(1)
    assert ensemble.leader() == 2
    assert data_at(ensemble, 1, "/a") == b""


# Connections


def test_a_connection_that_its_client_ended_is_forgotten() -> None:
    ensemble = ensemble_of(3)
    gone, stays = talk(ensemble, 1), talk(ensemble, 2)
    gone.lose()
    assert list(ensemble._connections.values()) == [stays.line]


# Copies of the tree


def test_a_copied_tree_is_equal_and_another() -> None:
    ensemble = ensemble_of(3, leader=3)
    talker = talk(ensemble, 3)
    for number in range(40):
        talker.create(f"/a{number}", flags=number % 2)
    tree = ensemble.members[2].tree
    copied = tree.copy()
    assert state_of(copied) == state_of(tree)
    copied.set_data("/a0", b"x", version=7, zxid=1, time_ms=1)
    copied.delete("/a1", zxid=1)
    assert state_of(copied) != state_of(tree)
    assert state_of(tree) == state_of(ensemble.members[0].tree)


# Size


@pytest.mark.slow
def test_each_member_holds_a_thousand_sessions_and_ten_thousand_watches() -> None:
    ensemble = ensemble_of(3, leader=3)
    talk(ensemble, 3).create("/w")
    everybody = [talk(ensemble, number % 3 + 1, timeout_ms=60_000) for number in range(3000)]
    for talker in everybody:
        for number in range(10):
            talker.code(ExistsRequest(f"/w/{number}", True))
    assert [member.watches.data.counts()[2] for member in ensemble.members] == [10_000] * 3
    assert len(ensemble.core.sessions()) == 3001
    talk(ensemble, 1).create("/w/5")
    assert all(talker.heard() == [(EventType.CREATED, "/w/5")] for talker in everybody)
