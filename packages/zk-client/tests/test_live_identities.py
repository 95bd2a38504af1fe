"""Identities: presented on every connection, refused once and for all."""

from __future__ import annotations

import logging

import pytest
from conftest import MakeClient
from live import (
    PATIENCE,
    States,
)

from zk_client import (
    CREATOR_ALL_ACL,
    AuthFailedError,
    Client,
    Outcome,
    SessionState,
)
from zk_testing.faults import FaultProxy
from zk_testing.member import ZooKeeperServer

CONNECTED, AUTH_FAILED = SessionState.CONNECTED, SessionState.AUTH_FAILED


def test_an_identity_is_presented_again_after_a_reconnect(
    away: Client, zk_faults: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        away.add_auth("digest", "ann:s3cret")
        away.create("/mine", b"private", acl=CREATOR_ALL_ACL)
        states = States(away)
        zk_faults.cut()
        states.wait(CONNECTED)
        assert away.get("/mine")[0] == b"private"
    assert len(zk_faults.wait_for("auth", 2)) == 2
    assert "s3cret" not in caplog.text
    kept = [getattr(away.operations, name) for name in type(away.operations).__slots__]
    assert "s3cret" not in repr(kept)


def test_identities_are_known_before_the_watches_are_set_again(away: Client, zk_faults: FaultProxy) -> None:
    away.add_auth("digest", "ann:secret")
    away.create("/mine", acl=CREATOR_ALL_ACL)
    watcher = away.watcher()
    away.get("/mine", watch=watcher)
    states = States(away)
    zk_faults.cut()
    states.wait(CONNECTED)
    away.set("/mine", b"")
    event = watcher.wait(PATIENCE)
    assert event is not None
    assert event.path == "/mine"


@pytest.mark.zk_leaks_allowed("sessions")  # the server has closed the connection
def test_a_refused_identity_ends_the_session_for_good(zk: Client) -> None:
    states = States(zk)
    with pytest.raises(AuthFailedError):
        zk.add_auth("no such scheme", "x:y")
    states.wait(AUTH_FAILED)
    with pytest.raises(AuthFailedError) as refused:
        zk.create("/n")
    assert refused.value.outcome is Outcome.NOT_APPLIED
    zk.restart()
    assert zk.exists("/n") is None


@pytest.mark.zk_leaks_allowed("sessions")  # the server has closed the connection
def test_a_refused_identity_given_at_the_start_is_told_by_start(
    make_client: MakeClient, zk_server: ZooKeeperServer, caplog: pytest.LogCaptureFixture
) -> None:
    zk = make_client(zk_server.hosts, start=False, auth_data=[("no such scheme", "x:s3cret")])
    with caplog.at_level(logging.DEBUG), pytest.raises(AuthFailedError, match="no such scheme") as refused:
        zk.start()
    assert "s3cret" not in caplog.text + str(refused.value) + repr(refused.value)
