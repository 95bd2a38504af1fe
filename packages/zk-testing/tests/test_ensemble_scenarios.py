"""The same scenes on a real ensemble of three and on the embedded one: what clients see is the same."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from embedded_client import OPEN

from zk_testing import EmbeddedEnsemble, EmbeddedMember
from zk_testing.cluster import Cluster, start_cluster
from zk_testing.errors import ConversationError, NoServerError
from zk_testing.member import ZooKeeperServer
from zk_testing.rawclient import RawClient
from zk_wire import (
    CloseSessionRequest,
    CreateRequest,
    ExistsRequest,
    GetDataRequest,
    MultiRequest,
    NoNodeError,
    Request,
    SetDataRequest,
    SetWatches,
    SyncRequest,
)

Ensemble = Cluster | EmbeddedEnsemble
Server = ZooKeeperServer | EmbeddedMember


def real() -> Cluster:
    try:
        return start_cluster(3, "3.9", read_only_mode=True)
    except NoServerError as error:
        if os.environ.get("ZK_TESTING_REQUIRE_REAL") == "1":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=["embedded", pytest.param("real", marks=pytest.mark.cluster)])
def whole(request: pytest.FixtureRequest) -> Iterator[Ensemble]:
    with real() if request.param == "real" else EmbeddedEnsemble(3, version="3.9", read_only_mode=True) as ensemble:
        yield ensemble


@pytest.fixture
def ensemble(whole: Ensemble) -> Iterator[Ensemble]:
    yield whole
    if whole.damaged:
        whole.heal()


def zxid_of(raw: RawClient, request: Request[Any]) -> int:
    exchange = raw.send(request)
    raw.wait(exchange)
    return exchange.zxid


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"


def pair(old: Server, new: Server) -> tuple[RawClient, RawClient]:
    """A connection whose session has moved, and the one it has moved to."""
    stale = RawClient(old.address, reply_timeout=5)
    fresh = RawClient(new.address, session=stale.session, reply_timeout=5)
    for _ in range(3):
        # A real follower takes a commit for its own client's when session and xid are equal: let them differ.
        fresh.request(ExistsRequest("/", False))
    return stale, fresh


READS: list[Request[Any]] = [ExistsRequest("/", False), SyncRequest("/"), SetWatches(0, [], [], [])]
WRITES: list[Request[Any]] = [
    CreateRequest("/moved", b"", OPEN, 0),
    SetDataRequest("/zookeeper", b"", -1),
    MultiRequest([CreateRequest("/moved", b"", OPEN, 0)]),
]


@pytest.mark.parametrize("request_", READS, ids=lambda r: type(r).__name__)
def test_a_stale_connection_at_a_follower_may_read(ensemble: Ensemble, request_: Request[Any]) -> None:
    first, second = ensemble.followers()
    for new in (second, ensemble.leader()):
        stale, fresh = pair(first, new)
        stale.request(request_)
        stale.ping()
        stale.close()
        fresh.close_session()


@pytest.mark.parametrize("request_", [*READS, *WRITES], ids=lambda r: type(r).__name__)
def test_a_stale_connection_at_the_leader_is_closed_at_its_next_request(
    ensemble: Ensemble, request_: Request[Any]
) -> None:
    stale, fresh = pair(ensemble.leader(), ensemble.followers()[0])
    with pytest.raises(ConversationError):
        stale.request(request_)
    stale.close()
    with pytest.raises(NoNodeError):
        fresh.request(ExistsRequest("/moved", False))
    fresh.close_session()


@pytest.mark.parametrize("request_", WRITES, ids=lambda r: type(r).__name__)
def test_a_write_through_a_stale_connection_is_not_done_and_closes_it(
    ensemble: Ensemble, request_: Request[Any]
) -> None:
    first, second = ensemble.followers()
    for new in (second, ensemble.leader()):
        stale, fresh = pair(first, new)
        with pytest.raises(ConversationError):
            stale.request(request_)
        stale.close()
        fresh.request(SyncRequest("/"))
        with pytest.raises(NoNodeError):
            fresh.request(ExistsRequest("/moved", False))
        fresh.close_session()


def test_a_stale_connection_can_end_its_session(ensemble: Ensemble) -> None:
    leader, (first, second) = ensemble.leader(), ensemble.followers()
    for old, new in ((first, second), (first, leader), (leader, first)):
        stale, fresh = pair(old, new)
        stale.request(CloseSessionRequest())
        fresh.wait_closed()
        stale.close()
        fresh.close()


def test_one_leads_and_two_follow(ensemble: Ensemble) -> None:
    assert sorted(member.status().mode for member in ensemble) == ["follower", "follower", "leader"]
    assert [member.status().proposal_sizes is not None for member in ensemble] == [
        member is ensemble.leader() for member in ensemble
    ]
    assert {member.send_command("isro") for member in ensemble} == {"rw"}


def test_sync_shows_at_one_member_what_was_written_at_another(ensemble: Ensemble) -> None:
    first, second = ensemble.followers()
    with RawClient(first.address) as writer, RawClient(second.address) as reader:
        for number in range(20):
            path = writer.request(CreateRequest("/synced-", b"%d" % number, OPEN, 2)).path
            reader.request(SyncRequest("/"))
            assert reader.request(GetDataRequest(path, False)).data == b"%d" % number


def test_an_election_begins_an_epoch_whose_first_zxid_is_the_next_transactions(ensemble: Ensemble) -> None:
    with RawClient(ensemble[0].address) as raw:
        before = zxid_of(raw, CreateRequest("/before-", b"", OPEN, 2))
    leader = ensemble.leader()
    leader.stop()
    new = ensemble.leader(other_than=leader)
    ensemble.wait_until_serving()
    other = ensemble.followers()[0]
    assert new.status().zxid & 0xFFFFFFFF == 0
    assert new.status().zxid >> 32 > before >> 32
    assert other.status().zxid >> 32 == before >> 32
    with RawClient(other.address) as raw:
        assert zxid_of(raw, ExistsRequest("/", False)) == new.status().zxid == (new.status().zxid >> 32 << 32) + 1


def test_a_session_and_its_nodes_outlive_an_election(ensemble: Ensemble) -> None:
    raw = RawClient(ensemble.followers()[0].address, session_timeout=20)
    path = raw.request(CreateRequest("/mine-", b"", OPEN, 3)).path
    leader = ensemble.leader()
    leader.stop()
    raw.wait_closed()
    raw.close()
    ensemble.leader(other_than=leader)
    ensemble.wait_until_serving()
    with RawClient(ensemble.followers()[0].address, session=raw.session) as again:
        assert again.request(ExistsRequest(path, False)).stat.ephemeral_owner == raw.session_id


def test_a_member_that_was_restarted_knows_what_was_written_meanwhile(ensemble: Ensemble) -> None:
    away = ensemble.followers()[0]
    away.stop()
    with RawClient(ensemble.leader().address) as raw:
        path = raw.request(CreateRequest("/meanwhile-", b"", OPEN, 2)).path
    away.start()
    with RawClient(away.address) as raw:
        raw.request(SyncRequest("/"))
        raw.request(ExistsRequest(path, False))


def test_a_member_without_a_quorum_first_serves_nobody_and_then_readers(ensemble: Ensemble) -> None:
    raw = RawClient(ensemble.leader().address)
    left = ensemble.leader()
    for member in ensemble.followers():
        member.stop()
    raw.wait_closed()
    raw.close()
    until(lambda: left.role is None)
    assert left.send_command("ruok") == "imok"
    assert left.send_command("isro") == "null"
    for word in ("srvr", "mntr", "conf", "dump", "cons"):
        assert left.send_command(word) == "This ZooKeeper instance is not currently serving requests\n"
    assert left.send_command("envi").startswith("Environment:")
    with pytest.raises(ConversationError, match="ended the connection"):
        RawClient(left.address)
    until(lambda: left.role == "read-only")
    assert left.send_command("isro") == "ro"
    assert left.status().read_only
    with pytest.raises(ConversationError, match="code=-119"):
        RawClient(left.address, read_only=True)
    for options in ({"session": raw.session, "read_only": True}, {}):
        with pytest.raises(ConversationError, match="ended the connection"):
            RawClient(left.address, **options)  # type: ignore[arg-type]
    ensemble.heal()
    with RawClient(left.address, session=raw.session) as again:
        again.ping()


def test_a_frozen_leader_is_replaced_and_follows_when_it_thaws(ensemble: Ensemble) -> None:
    frozen = ensemble.leader()
    frozen.pause()
    assert ensemble.leader(other_than=frozen) is not frozen
    with RawClient(ensemble.leader(other_than=frozen).address) as raw:
        path = raw.request(CreateRequest("/during-", b"", OPEN, 2)).path
    frozen.resume()
    until(lambda: frozen.role == "follower")
    with RawClient(frozen.address) as raw:
        raw.request(SyncRequest("/"))
        raw.request(ExistsRequest(path, False))
