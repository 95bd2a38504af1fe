"""The raw client, against a real server."""

from __future__ import annotations

import pytest

from zk_testing.errors import ConversationError
from zk_testing.member import ZooKeeperServer
from zk_testing.rawclient import RawClient
from zk_wire import (
    OPEN_ACL_UNSAFE,
    AuthFailedError,
    CreateMode,
    CreateRequest,
    DeleteRequest,
    EventType,
    ExistsRequest,
    GetDataRequest,
    NoNodeError,
    SetDataRequest,
)


def test_requests_are_answered_and_errors_raised(zk_server: ZooKeeperServer, zk_chroot: str) -> None:
    with RawClient(zk_server.address) as raw:
        path = f"{zk_chroot}/a"
        assert raw.request(CreateRequest(path, b"1", OPEN_ACL_UNSAFE, 0)).path == path
        assert raw.request(GetDataRequest(path, False)).data == b"1"
        with pytest.raises(NoNodeError):
            raw.request(DeleteRequest(f"{path}/b", -1))


def test_requests_may_be_pipelined_and_awaited_in_any_order(zk_server: ZooKeeperServer, zk_chroot: str) -> None:
    with RawClient(zk_server.address) as raw:
        exchanges = [raw.send(SetDataRequest(zk_chroot, b"%d" % number, -1)) for number in range(5)]
        versions = [raw.wait(exchange).stat.version for exchange in reversed(exchanges)]
        assert versions == [5, 4, 3, 2, 1]


def test_notifications_are_kept_in_order(zk_server: ZooKeeperServer, zk_chroot: str) -> None:
    with RawClient(zk_server.address) as raw:
        raw.request(GetDataRequest(zk_chroot, True))
        raw.request(SetDataRequest(zk_chroot, b"", -1))
        event = raw.wait_notification()
        assert (event.type, event.path) == (EventType.CHANGED, zk_chroot)


def test_a_session_can_be_resumed_on_a_new_connection(zk_server: ZooKeeperServer, zk_chroot: str) -> None:
    first = RawClient(zk_server.address)
    first.request(CreateRequest(f"{zk_chroot}/e", b"", OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL))
    first.close()
    with RawClient(zk_server.address, session=first.session) as second:
        assert second.session_id == first.session_id
        owner = second.request(ExistsRequest(f"{zk_chroot}/e", False)).stat.ephemeral_owner
        assert owner == first.session_id


def test_leaving_the_block_ends_the_session(zk_server: ZooKeeperServer, zk_chroot: str) -> None:
    with RawClient(zk_server.address) as raw:
        raw.request(CreateRequest(f"{zk_chroot}/e", b"", OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL))
        session = raw.session
    with pytest.raises(ConversationError, match="refused the session"):
        RawClient(zk_server.address, session=session)
    with RawClient(zk_server.address) as raw, pytest.raises(NoNodeError):
        raw.request(ExistsRequest(f"{zk_chroot}/e", False))


def test_a_ping_is_answered(zk_server: ZooKeeperServer) -> None:
    with RawClient(zk_server.address) as raw:
        raw.ping()
        raw.ping()


@pytest.mark.zk_leaks_allowed("sessions")  # the server has closed the connection
def test_authentication_is_answered_and_refusal_raised(zk_server: ZooKeeperServer) -> None:
    with RawClient(zk_server.address) as raw:
        raw.auth("digest", b"super:test")
        with pytest.raises(AuthFailedError):
            raw.auth("nonsense", b"")


def test_a_silent_server_is_told(zk_server: ZooKeeperServer) -> None:
    with RawClient(zk_server.address, reply_timeout=0.1) as raw:
        with pytest.raises(ConversationError, match="did not send a watch event within"):
            raw.wait_notification()
        with pytest.raises(ConversationError, match="did not send the end of the connection"):
            raw.wait_closed()


def test_no_password_is_in_its_repr(zk_server: ZooKeeperServer) -> None:
    with RawClient(zk_server.address) as raw:
        assert raw.session[1].hex() not in repr(raw)
        assert repr(raw.session[1]) not in repr(raw)
        assert f"{raw.session_id & (1 << 64) - 1:x}" in repr(raw)
