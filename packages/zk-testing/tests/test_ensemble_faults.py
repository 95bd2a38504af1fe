"""What faults do to an ensemble in memory, and what its clients may and may not see of them."""

from __future__ import annotations

import pytest
from embedded_client import OPEN, RefusedError
from ensemble_talk import answered, connect_at, data_at, ensemble_of, pending, talk, there

from zk_testing.errors import ClusterError
from zk_wire import (
    CheckVersionRequest,
    CloseSessionRequest,
    ConnectRequest,
    CreateRequest,
    DeleteRequest,
    ErrorCode,
    ExistsRequest,
    GetDataRequest,
    GetEphemeralsRequest,
    MultiReadRequest,
    MultiRequest,
    SetDataRequest,
    SetWatches,
    SyncRequest,
)

TICK_MS = 200
NOTICED = 2.0  # seconds until a follower gives its leader up: ten ticks
LEADER_NOTICED = 2.2  # and until a leader without a quorum does


def word(ensemble: object, number: int, name: str) -> str:
    line = ensemble.connect(number)  # type: ignore[attr-defined]
    line.send(name.encode())
    return line.take().decode()


# Partitions


def test_a_follower_that_is_cut_off_shows_the_past_until_it_notices() -> None:
    ensemble = ensemble_of(3, leader=3)
    cut_off, other = talk(ensemble, 1), talk(ensemble, 3)
    ensemble.isolate(1)
    other.create("/a")
    ensemble.advance(NOTICED - 0.001)
    assert not there(cut_off, "/a")
    ensemble.advance(0.001)
    assert cut_off.closed
    assert word(ensemble, 1, "isro") == "null"


def test_a_write_at_a_cut_off_follower_is_never_done_when_it_notices() -> None:
    ensemble = ensemble_of(3, leader=3)
    cut_off = talk(ensemble, 1)
    ensemble.isolate(1)
    write = pending(cut_off, CreateRequest("/a", b"", OPEN, 0))
    ensemble.advance(NOTICED)
    assert cut_off.closed
    assert not answered(cut_off, write)
    ensemble.reconnect()
    ensemble.advance(1)
    assert [data_at(ensemble, number, "/a") for number in (1, 2, 3)] == [None] * 3


def test_a_cut_that_nobody_noticed_costs_only_time() -> None:
    ensemble = ensemble_of(3, leader=3)
    cut_off, other = talk(ensemble, 1), talk(ensemble, 3)
    ensemble.isolate(1)
    write = pending(cut_off, CreateRequest("/a", b"", OPEN, 0))
    other.create("/b")
    ensemble.advance(NOTICED - 0.1)
    ensemble.reconnect()
    assert answered(cut_off, write)
    assert there(cut_off, "/b")
    assert ensemble.leader() == 3


def test_the_majority_elects_while_a_cut_off_leader_still_answers_reads_with_the_past() -> None:
    ensemble = ensemble_of(3, leader=3)
    past, present = talk(ensemble, 3), talk(ensemble, 1)
    ensemble.isolate(3)
    ensemble.advance(NOTICED + 0.05)
    assert ensemble.leader() == 2
    again = talk(ensemble, 1, session=present.session)
    again.create("/a")
    assert not there(past, "/a")
    ensemble.advance(LEADER_NOTICED - NOTICED)
    assert past.closed
    ensemble.reconnect()
    ensemble.advance(0.1)
    assert data_at(ensemble, 3, "/a") == b""


def test_a_write_at_a_cut_off_leader_vanishes_when_the_others_elect_without_it() -> None:
    ensemble = ensemble_of(3, leader=3)
    client = talk(ensemble, 3)
    ensemble.isolate(3)
    write = pending(client, CreateRequest("/a", b"", OPEN, 0))
    read = pending(client, GetDataRequest("/a", False))
    ensemble.advance(LEADER_NOTICED)
    assert client.closed
    assert not answered(client, write)
    assert not answered(client, read)
    ensemble.reconnect()
    ensemble.advance(1)
    assert ensemble.leader() == 2
    assert [data_at(ensemble, number, "/a") for number in (1, 2, 3)] == [None] * 3


def test_a_write_at_a_cut_off_leader_is_done_when_it_wins_the_next_election() -> None:
    ensemble = ensemble_of(3, leader=3)
    client = talk(ensemble, 3)
    ensemble.stop(1)
    ensemble.isolate(3)
    write = pending(client, CreateRequest("/a", b"", OPEN, 0))
    ensemble.advance(LEADER_NOTICED)
    assert client.closed
    assert not answered(client, write)
    ensemble.reconnect()
    ensemble.advance(1)
    assert ensemble.leader() == 3
    ensemble.start(1)
    ensemble.advance(1)
    assert [data_at(ensemble, number, "/a") for number in (1, 2, 3)] == [b""] * 3


def test_a_write_that_waits_for_a_quorum_is_answered_when_the_network_is_mended_in_time() -> None:
    ensemble = ensemble_of(3, leader=3)
    client = talk(ensemble, 3)
    ensemble.isolate(3)
    first = pending(client, CreateRequest("/a", b"", OPEN, 0))
    second = pending(client, CreateRequest("/a", b"", OPEN, 0))
    third = pending(client, CreateRequest("/a/b", b"", OPEN, 0))
    ensemble.advance(1)
    ensemble.reconnect()
    assert answered(client, third)
    assert (first.error, second.error, third.error) == (0, ErrorCode.NODE_EXISTS, 0)
    assert data_at(ensemble, 1, "/a/b") == b""


def test_a_proposal_that_reached_one_follower_is_done_when_that_wins() -> None:
    ensemble = ensemble_of(5, leader=5)
    client = talk(ensemble, 5)
    ensemble.partition([4, 5])
    pending(client, CreateRequest("/a", b"", OPEN, 0))
    assert data_at(ensemble, 4, "/a") is None
    ensemble.stop(5)
    ensemble.stop(1)  # so that the three others cannot elect without member 4
    ensemble.advance(LEADER_NOTICED)
    assert ensemble.leader() is None
    ensemble.reconnect()
    ensemble.advance(1)
    assert ensemble.leader() == 4
    assert [data_at(ensemble, number, "/a") for number in (2, 3, 4)] == [b""] * 3


def test_a_member_cut_off_from_the_leader_alone_finds_no_other_leader() -> None:
    ensemble = ensemble_of(3, leader=3)
    ensemble.cut(1, 3)
    ensemble.advance(5)
    assert ensemble.leader() == 3
    assert word(ensemble, 1, "isro") == "null"


# Pauses


def test_a_paused_follower_answers_when_it_goes_on() -> None:
    ensemble = ensemble_of(3, leader=3)
    client, other = talk(ensemble, 1), talk(ensemble, 3)
    ensemble.pause(1)
    write = pending(client, CreateRequest("/a", b"", OPEN, 0))
    other.create("/b")
    ensemble.advance(1)
    assert not answered(client, write)
    ensemble.resume(1)
    assert answered(client, write)
    assert there(client, "/b")


def test_a_follower_that_was_paused_for_too_long_loses_its_clients_when_it_goes_on() -> None:
    ensemble = ensemble_of(3, leader=3)
    client = talk(ensemble, 1)
    ensemble.pause(1)
    ensemble.advance(NOTICED + 1)
    assert not client.closed
    ensemble.resume(1)
    assert client.closed
    ensemble.advance(0.1)
    assert ensemble.followers() == [1, 2]


def test_a_paused_leader_is_replaced_and_answers_once_more_with_the_past_when_it_goes_on() -> None:
    ensemble = ensemble_of(3, leader=3)
    client, other = talk(ensemble, 3), talk(ensemble, 1)
    ensemble.pause(3)
    read = pending(client, ExistsRequest("/a", False))
    write = pending(client, CreateRequest("/b", b"", OPEN, 0))
    ensemble.advance(NOTICED + 0.1)
    assert ensemble.leader() == 2
    talk(ensemble, 1, session=other.session).create("/a")
    ensemble.resume(3)
    assert answered(client, read)
    assert read.error == ErrorCode.NO_NODE
    ensemble.advance(TICK_MS / 2000)
    assert client.closed
    assert not answered(client, write)
    ensemble.advance(1)
    assert [data_at(ensemble, number, "/b") for number in (1, 2, 3)] == [None] * 3


def test_what_a_client_sent_before_it_left_a_paused_member_is_done_when_that_goes_on() -> None:
    ensemble = ensemble_of(3, leader=3)
    client = talk(ensemble, 1)
    ensemble.pause(1)
    pending(client, CreateRequest("/a", b"", OPEN, 0))
    client.lose()
    ensemble.resume(1)
    assert data_at(ensemble, 2, "/a") == b""


def test_a_connection_that_was_opened_during_a_pause_gets_its_session_after_it() -> None:
    ensemble = ensemble_of(3, leader=3)
    ensemble.pause(1)
    client = talk(ensemble, 1)
    assert not client.connected
    ensemble.resume(1)
    client._pump()
    assert client.connected


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_a_stopped_member_can_be_neither_paused_nor_resumed(verb: str) -> None:
    ensemble = ensemble_of(3, leader=3)
    ensemble.stop(1)
    with pytest.raises(ClusterError, match="does not run"):
        getattr(ensemble, verb)(1)


def test_sessions_of_a_paused_leader_expire_when_it_goes_on() -> None:
    ensemble = ensemble_of(3, leader=3, sync_limit=100)
    client = talk(ensemble, 1, timeout_ms=1000)
    client.create("/e", flags=1)
    ensemble.pause(3)
    for _ in range(10):
        ensemble.advance(0.5)
        there(client, "/")
    assert data_at(ensemble, 1, "/e") == b""
    ensemble.resume(3)
    assert data_at(ensemble, 1, "/e") is None
    assert client.closed


# Stops and starts


def test_a_member_that_was_stopped_catches_up_with_the_leader() -> None:
    ensemble = ensemble_of(3, leader=3)
    talker = talk(ensemble, 3)
    talker.create("/before")
    ensemble.stop(1)
    talker.create("/meanwhile")
    ensemble.start(1)
    ensemble.advance(0.1)
    again = talk(ensemble, 1, session=talker.session)
    assert there(again, "/before")
    assert there(again, "/meanwhile")


def test_a_rolling_restart_keeps_a_session_and_its_nodes() -> None:
    ensemble = ensemble_of(3, leader=3)
    client = talk(ensemble, 1)
    client.create("/e", flags=1)
    for number in (1, 2, 3):
        ensemble.stop(number)
        ensemble.advance(0.1)
        ensemble.start(number)
        ensemble.advance(0.1)
        client = talk(ensemble, number % 3 + 1, session=client.session)
        client.set("/e", b"%d" % number)
    assert [data_at(ensemble, number, "/e") for number in (1, 2, 3)] == [b"3"] * 3


def test_all_members_can_be_stopped_and_started_with_their_data() -> None:
    ensemble = ensemble_of(3, leader=3)
    client = talk(ensemble, 1)
    client.create("/e", flags=1)
    for number in (1, 2, 3):
        ensemble.stop(number)
    ensemble.advance(3600)
    for number in (1, 2, 3):
        ensemble.start(number)
    ensemble.advance(0.1)
    again = talk(ensemble, 2, session=client.session)
    assert there(again, "/e")


def test_a_member_far_behind_takes_over_the_leaders_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zk_testing.embedded.agreement._LONG_LOG", 10)
    ensemble = ensemble_of(3, leader=3)
    talker = talk(ensemble, 3)
    ensemble.stop(1)
    for number in range(50):
        talker.create(f"/{number}", flags=number % 2)
    assert ensemble.core.log.base > 0
    ensemble.start(1)
    ensemble.advance(0.1)
    talker.create("/last")
    again = talk(ensemble, 1, session=talker.session)
    assert all(there(again, f"/{number}") for number in range(50))
    assert there(again, "/last")
    again.close_session()
    assert not there(talk(ensemble, 1), "/1")


# Without a quorum: protocol, section 9.5


@pytest.fixture(params=["3.6", "3.9"])
def version(request: pytest.FixtureRequest) -> str:
    version: str = request.param
    return version


def test_a_minority_serves_nobody_and_then_read_only_clients(version: str) -> None:
    ensemble = ensemble_of(3, leader=3, version=version, read_only=True)
    client = talk(ensemble, 3)
    ensemble.stop(1)
    ensemble.stop(2)
    assert client.closed
    assert word(ensemble, 3, "isro") == "null"
    ensemble.advance(1.999)
    assert word(ensemble, 3, "isro") == "null"
    ensemble.advance(0.001)
    assert word(ensemble, 3, "isro") == "ro"
    assert "Mode: read-only" in word(ensemble, 3, "srvr")


def test_a_minority_without_read_only_mode_serves_nobody_for_ever() -> None:
    ensemble = ensemble_of(3, leader=3)
    ensemble.stop(1)
    ensemble.stop(2)
    ensemble.advance(60)
    assert word(ensemble, 3, "isro") == "null"


def minority(version: str, **options: object) -> tuple[object, tuple[int, bytes]]:
    ensemble = ensemble_of(3, leader=3, version=version, read_only=True, **options)
    client = talk(ensemble, 3)
    client.create("/kept", b"data")
    ensemble.stop(1)
    ensemble.stop(2)
    ensemble.advance(2)
    return ensemble, client.session


@pytest.mark.parametrize("version", ["3.6", "3.9"])
@pytest.mark.parametrize("read_only", [False, None])
def test_a_read_only_member_closes_on_clients_that_do_not_accept_one(version: str, read_only: bool | None) -> None:
    ensemble, _session = minority(version)
    request = ConnectRequest(0, 10_000, 0, bytes(16), read_only)
    assert connect_at(ensemble, 3, request) == (None, 0, True)  # type: ignore[arg-type]


def test_until_3_6_a_read_only_member_grants_and_resumes_sessions() -> None:
    ensemble, session = minority("3.6")
    new = talk(ensemble, 3, read_only=True)  # type: ignore[arg-type]
    assert new.connected
    again = talk(ensemble, 3, session=session, read_only=True)  # type: ignore[arg-type]
    assert again.session == session


def test_since_3_7_a_read_only_member_grants_no_session_without_local_ones() -> None:
    ensemble, session = minority("3.9")
    line = ensemble.connect(3)  # type: ignore[attr-defined]
    frame = ConnectRequest(0, 10_000, 0, bytes(16), True).encode()
    line.send(len(frame).to_bytes(4, "big") + frame)
    assert (line.take()[-4:], line.closed) == ((-119 & 0xFFFFFFFF).to_bytes(4, "big"), False)
    again = ConnectRequest(0, 10_000, *session, read_only=True)
    assert connect_at(ensemble, 3, again) == (None, 0, True)  # type: ignore[arg-type]


def test_since_3_7_a_read_only_member_grants_local_sessions() -> None:
    ensemble, session = minority("3.9", local_sessions=True)
    assert talk(ensemble, 3, read_only=True).connected  # type: ignore[arg-type]
    answer, _length, closed = connect_at(
        ensemble,  # type: ignore[arg-type]
        3,
        ConnectRequest(0, 10_000, *session, read_only=True),
    )
    assert (answer.session_id, closed) == (0, True)


REFUSED = [
    CreateRequest("/new", b"", OPEN, 0),
    DeleteRequest("/kept", -1),
    SetDataRequest("/kept", b"", -1),
    MultiRequest([CheckVersionRequest("/kept", 0)]),
    SyncRequest("/"),
]
ALLOWED = [
    ExistsRequest("/kept", True),
    GetDataRequest("/kept", True),
    GetEphemeralsRequest(None),
    MultiReadRequest([GetDataRequest("/kept", False)]),
    SetWatches(0, [], [], []),
]


@pytest.mark.parametrize("request_", REFUSED, ids=lambda r: type(r).__name__)
def test_a_read_only_member_refuses_what_changes_something(request_: ExistsRequest) -> None:
    ensemble, _session = minority("3.6")
    client = talk(ensemble, 3, read_only=True)  # type: ignore[arg-type]
    assert client.code(request_) == ErrorCode.NOT_READ_ONLY
    assert not client.closed


@pytest.mark.parametrize("request_", ALLOWED, ids=lambda r: type(r).__name__)
def test_a_read_only_member_answers_what_changes_nothing(request_: ExistsRequest) -> None:
    ensemble, _session = minority("3.6")
    assert talk(ensemble, 3, read_only=True).code(request_) == 0  # type: ignore[arg-type]


def test_a_read_only_member_closes_all_connections_when_the_quorum_is_back() -> None:
    ensemble, session = minority("3.6")
    client = talk(ensemble, 3, read_only=True)  # type: ignore[arg-type]
    ensemble.start(1)  # type: ignore[attr-defined]
    ensemble.advance(0.1)  # type: ignore[attr-defined]
    assert client.closed
    assert word(ensemble, 3, "isro") == "rw"
    assert talk(ensemble, 1, session=session).session == session  # type: ignore[arg-type]


# Local sessions: protocol, section 9.4


def test_a_local_session_costs_no_transaction_and_is_known_to_its_member_only() -> None:
    ensemble = ensemble_of(3, leader=3, local_sessions=True)
    before = len(ensemble.core.log)
    client = talk(ensemble, 1)
    assert len(ensemble.core.log) == before
    answer, _length, closed = connect_at(ensemble, 2, ConnectRequest(0, 10_000, *client.session))
    assert (answer.session_id, closed) == (0, True)
    client.create("/a")
    assert there(client, "/a")
    again = talk(ensemble, 1, session=client.session)
    assert again.session == client.session
    again.close_session()
    assert len(ensemble.core.log) == before + 1


def test_a_local_session_has_no_ephemerals_unless_it_may_be_upgraded() -> None:
    ensemble = ensemble_of(3, leader=3, local_sessions=True)
    client = talk(ensemble, 1)
    assert client.code(CreateRequest("/e", b"", OPEN, 1)) == ErrorCode.EPHEMERAL_ON_LOCAL_SESSION
    results = client.ask(MultiRequest([CreateRequest("/p", b"", OPEN, 0), CreateRequest("/e", b"", OPEN, 1)])).results
    assert [getattr(result, "code", None) for result in results] == [0, ErrorCode.SESSION_EXPIRED]
    assert not there(client, "/p")


@pytest.mark.parametrize("in_multi", [False, True])
def test_an_ephemeral_node_makes_a_local_session_one_of_all_members(in_multi: bool) -> None:
    ensemble = ensemble_of(3, leader=3, local_sessions=True, local_session_upgrading=True)
    client = talk(ensemble, 1)
    before = len(ensemble.core.log)
    create = CreateRequest("/e", b"", OPEN, 1)
    client.ask(MultiRequest([create]) if in_multi else create)
    assert len(ensemble.core.log) == before + 2
    moved = talk(ensemble, 2, session=client.session)
    assert moved.session == client.session
    moved.close_session()
    assert data_at(ensemble, 3, "/e") is None


def test_a_silent_local_session_ends_without_a_transaction() -> None:
    ensemble = ensemble_of(3, leader=3, local_sessions=True)
    client = talk(ensemble, 1, timeout_ms=1000)
    before = len(ensemble.core.log)
    ensemble.advance(1.5)
    assert client.closed
    assert len(ensemble.core.log) == before


def test_a_local_session_is_lost_when_its_member_loses_the_quorum() -> None:
    ensemble = ensemble_of(3, leader=3, local_sessions=True)
    client = talk(ensemble, 1)
    ensemble.elect()
    ensemble.advance(0.1)
    answer, _length, _closed = connect_at(ensemble, 1, ConnectRequest(0, 10_000, *client.session))
    assert answer.session_id == 0


def test_a_local_session_can_be_expired_from_outside() -> None:
    ensemble = ensemble_of(3, leader=3, local_sessions=True)
    client = talk(ensemble, 1)
    ensemble.expire_session(client.session[0])
    assert client.closed


# Observers


def test_an_observer_reads_and_writes_and_does_not_vote() -> None:
    ensemble = ensemble_of(4, leader=3, observers=1)
    assert ensemble.members[3].role == "observer"
    client = talk(ensemble, 4)
    client.create("/a")
    assert data_at(ensemble, 3, "/a") == b""
    ensemble.stop(1)
    ensemble.stop(2)
    assert client.closed
    assert ensemble.leader() is None


def test_an_observer_cannot_be_elected() -> None:
    ensemble = ensemble_of(4, leader=3, observers=1)
    with pytest.raises(ClusterError, match="cannot win"):
        ensemble.elect(4)


def test_an_observer_finds_the_next_leader() -> None:
    ensemble = ensemble_of(4, leader=3, observers=1)
    ensemble.stop(3)
    ensemble.advance(0.1)
    assert ensemble.members[3].role == "observer"
    talk(ensemble, 4).create("/a")
    assert data_at(ensemble, 1, "/a") == b""


# Containers and TTL nodes


def test_the_leader_removes_containers_whose_time_has_come_at_every_member() -> None:
    from zk_wire import CreateContainerRequest

    ensemble = ensemble_of(3, leader=3, container_check_ms=1000)
    client = talk(ensemble, 1, timeout_ms=60_000)
    client.ask(CreateContainerRequest("/c", b"", OPEN, 4))
    client.create("/c/x")
    client.ask(DeleteRequest("/c/x", -1))
    ensemble.advance(1)
    assert [data_at(ensemble, number, "/c") for number in (1, 2, 3)] == [None] * 3


# Control without a leader


def test_nobody_can_end_a_session_while_nobody_leads() -> None:
    ensemble = ensemble_of(3, leader=3)
    client = talk(ensemble, 3)
    ensemble.stop(1)
    ensemble.stop(2)
    with pytest.raises(ClusterError, match="nobody leads"):
        ensemble.expire_session(client.session[0])


def test_a_request_behind_the_end_of_its_session_is_refused_or_lost() -> None:
    ensemble = ensemble_of(3, leader=3)
    client = talk(ensemble, 1)
    ensemble.hold(1)
    end = pending(client, CloseSessionRequest())
    late = pending(client, CreateRequest("/late", b"", OPEN, 0))
    ensemble.let_go(1)
    assert answered(client, end)
    assert client.closed
    assert not answered(client, late)
    with pytest.raises(RefusedError):
        talk(ensemble, 2).ask(ExistsRequest("/late", False))
