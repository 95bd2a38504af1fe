"""`reconfig` of an ensemble in memory: who may, what is refused with which code, and who votes afterwards."""

from __future__ import annotations

import pytest
from embedded_client import Talker
from ensemble_talk import data_at, ensemble_of, talk

from zk_testing.embedded import MemoryEnsemble
from zk_testing.embedded.configuration import Configuration, ServerLine
from zk_wire import ErrorCode, EventType, GetDataRequest, ReconfigRequest

CONFIG = "/zookeeper/config"


@pytest.fixture
def ensemble() -> MemoryEnsemble:
    return ensemble_of(3, leader=3, reconfig=True)


def admin(ensemble: MemoryEnsemble, number: int = 1) -> Talker:
    client = talk(ensemble, number)
    assert client.auth("digest", b"super:test") == 0
    return client


def incremental(joining: str | None = None, leaving: str | None = None, version: int = -1) -> ReconfigRequest:
    return ReconfigRequest(joining, leaving, None, version)


def test_the_configuration_names_every_member_and_has_the_first_zxid_as_its_version(ensemble: MemoryEnsemble) -> None:
    reply = talk(ensemble, 1).ask(GetDataRequest(CONFIG, False))
    assert (reply.data or b"").decode().split("\n") == [*ensemble.core.server_lines, "version=100000000"]
    assert (reply.stat.version, reply.stat.aversion, reply.stat.mzxid) == (-1, -1, 1 << 32)


def test_a_change_is_answered_with_the_new_configuration_and_fires_watches(ensemble: MemoryEnsemble) -> None:
    client = admin(ensemble)
    client.ask(GetDataRequest(CONFIG, True))
    exchange = client.exchange(incremental(leaving="2"))
    assert exchange.reply is not None
    lines = (exchange.reply.data or b"").decode().split("\n")
    assert lines == [ensemble.core.server_lines[0], ensemble.core.server_lines[2], f"version={exchange.zxid:x}"]
    assert (exchange.reply.stat.version, exchange.reply.stat.mzxid) == (-1, exchange.zxid)
    assert client.heard() == [(EventType.CHANGED, CONFIG)]
    assert data_at(ensemble, 2, CONFIG) == exchange.reply.data


# As on real servers; each of these refusals takes a zxid.
REFUSED = {
    "another version": (incremental(leaving="2", version=5), ErrorCode.BAD_VERSION),
    "an id that is no number": (incremental(leaving="x"), ErrorCode.MARSHALLING_ERROR),
    "a line that is none": (incremental(joining="server.9=nonsense"), ErrorCode.BAD_ARGUMENTS),
    "no client port": (incremental(joining="server.9=h:1:2:participant"), ErrorCode.BAD_ARGUMENTS),
    "a port of another member": (
        incremental(joining="server.9=127.0.0.1:2888:2:participant;1"),
        ErrorCode.BAD_ARGUMENTS,
    ),
    "one voter left": (incremental(leaving="1,2"), ErrorCode.BAD_ARGUMENTS),
    "one member": (ReconfigRequest(None, None, "server.1=127.0.0.1:1:2;3", -1), ErrorCode.BAD_ARGUMENTS),
    "nothing to change, without the right": (incremental(), ErrorCode.NO_AUTH),
    "an unknown id, without the right": (incremental(leaving="9"), ErrorCode.NO_AUTH),
    "members that are not there": (
        incremental(joining=",".join(f"server.{n}=h{n}:1:2;{n}" for n in (7, 8, 9))),
        ErrorCode.NEW_CONFIG_NO_QUORUM,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_change_is_refused_as_by_a_real_ensemble(ensemble: MemoryEnsemble, name: str) -> None:
    request, code = REFUSED[name]
    client = talk(ensemble, 1)
    before = data_at(ensemble, 1, CONFIG)
    zxid = ensemble.members[0].last_zxid
    exchange = client.exchange(request)
    assert (exchange.error, exchange.zxid) == (code, zxid + 1)
    assert data_at(ensemble, 1, CONFIG) == before


def test_where_it_is_not_enabled_every_change_is_refused() -> None:
    assert admin(ensemble_of(3)).code(incremental(leaving="2")) == ErrorCode.RECONFIG_DISABLED


def test_one_member_that_is_not_there_may_join_as_long_as_a_quorum_is(ensemble: MemoryEnsemble) -> None:
    assert admin(ensemble).code(incremental(joining="server.7=h:1:2:participant;3")) == 0
    assert ensemble.core.configuration.quorum == 3
    ensemble.stop(1)
    ensemble.advance(1)
    assert ensemble.leader() is None


def test_who_has_left_does_not_vote_and_votes_again_when_it_joins(ensemble: MemoryEnsemble) -> None:
    client = admin(ensemble)
    client.ask(incremental(leaving="1"))
    assert not client.closed
    ensemble.stop(2)
    ensemble.advance(1)
    assert ensemble.leader() is None
    ensemble.start(2)
    ensemble.advance(1)
    admin(ensemble, 2).ask(incremental(joining=ensemble.core.server_lines[0]))
    ensemble.stop(2)
    ensemble.advance(1)
    assert ensemble.leader() is not None


def test_a_leader_that_leaves_hands_over(ensemble: MemoryEnsemble) -> None:
    client = admin(ensemble)
    client.ask(incremental(leaving="3"))
    ensemble.advance(1)
    assert ensemble.leader() == 2
    again = talk(ensemble, 3, session=client.session)
    again.create("/still-served")
    assert data_at(ensemble, 2, "/still-served") == b""


def test_a_member_can_become_an_observer(ensemble: MemoryEnsemble) -> None:
    line = ensemble.core.server_lines[0].replace("participant", "observer")
    assert admin(ensemble, 2).code(incremental(joining=line)) == 0
    ensemble.advance(1)
    assert [member.role for member in ensemble.members] == ["observer", "follower", "leader"]


def test_a_whole_configuration_can_be_given(ensemble: MemoryEnsemble) -> None:
    lines = "\n".join(ensemble.core.server_lines[1:])
    assert admin(ensemble, 2).code(ReconfigRequest(None, None, lines, -1)) == 0
    assert ensemble.core.configuration.voters == {2, 3}


def test_a_configuration_outlives_a_restart_of_everybody(ensemble: MemoryEnsemble) -> None:
    admin(ensemble).ask(incremental(leaving="1"))
    for number in (1, 2, 3):
        ensemble.stop(number)
    for number in (1, 2, 3):
        ensemble.start(number)
    ensemble.advance(1)
    assert ensemble.core.configuration.voters == {2, 3}
    assert b"server.1" not in (data_at(ensemble, 1, CONFIG) or b"")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("127.0.0.1:1:2:participant;127.0.0.1:3", "127.0.0.1:1:2:participant;127.0.0.1:3"),
        ("127.0.0.1:1:2;3", "127.0.0.1:1:2:participant;0.0.0.0:3"),
        ("h:1:2:observer;3", "h:1:2:observer;0.0.0.0:3"),
        ("[::1]:1:2;[::1]:3", "[::1]:1:2:participant;[::1]:3"),
    ],
)
def test_a_line_is_written_in_full(text: str, written: str) -> None:
    assert str(ServerLine.parse(text)) == written


def test_a_configuration_is_read_as_it_was_written(ensemble: MemoryEnsemble) -> None:
    assert Configuration.parse(ensemble.core.configuration.encode()) == ensemble.core.configuration
