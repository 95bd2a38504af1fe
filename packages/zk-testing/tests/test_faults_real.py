"""The fault proxy in front of a real server: what the server has done is there to be read past the proxy."""

from __future__ import annotations

import pytest

from zk_testing.errors import ConversationError
from zk_testing.faults import FaultProxy
from zk_testing.member import ZooKeeperServer
from zk_testing.rawclient import RawClient
from zk_wire import (
    OPEN_ACL_UNSAFE,
    Create2Request,
    CreateMode,
    CreateRequest,
    ExistsRequest,
    GetChildrenRequest,
    GetDataRequest,
    NodeExistsError,
    NoNodeError,
    SetDataRequest,
)


@pytest.fixture
def witness(zk_server: ZooKeeperServer):  # type: ignore[no-untyped-def]
    """A client that sees the server without the proxy."""
    with RawClient(zk_server.address) as raw:
        yield raw


def test_a_create_whose_reply_was_lost_is_applied(zk_faults: FaultProxy, zk_chroot: str, witness: RawClient) -> None:
    zk_faults.lose_reply("create")
    raw = RawClient(zk_faults.address)
    with pytest.raises(ConversationError):
        raw.request(Create2Request(f"{zk_chroot}/a", b"x", OPEN_ACL_UNSAFE, 0))
    raw.close()
    assert witness.request(GetDataRequest(f"{zk_chroot}/a", False)).data == b"x"


def test_a_create_whose_request_was_lost_is_not_applied(
    zk_faults: FaultProxy, zk_chroot: str, witness: RawClient
) -> None:
    zk_faults.lose_request("create", nth=2)
    raw = RawClient(zk_faults.address)
    # The server need not read what comes right before a cut, so the first one's reply is waited for.
    raw.wait(raw.send(CreateRequest(f"{zk_chroot}/a", b"", OPEN_ACL_UNSAFE, 0)))
    second = raw.send(CreateRequest(f"{zk_chroot}/b", b"", OPEN_ACL_UNSAFE, 0))
    with pytest.raises(ConversationError):
        raw.wait(second)
    raw.close()
    with RawClient(zk_faults.address, session=raw.session) as again:
        with pytest.raises(NodeExistsError):
            again.request(CreateRequest(f"{zk_chroot}/a", b"", OPEN_ACL_UNSAFE, 0))
        with pytest.raises(NoNodeError):
            again.request(ExistsRequest(f"{zk_chroot}/b", False))


def test_frozen_to_the_client_a_write_is_applied_and_answered_after_healing(
    zk_faults: FaultProxy, zk_chroot: str, witness: RawClient
) -> None:
    with RawClient(zk_faults.address) as raw:
        witness.request(GetDataRequest(zk_chroot, True))
        zk_faults.freeze("to_client")
        exchange = raw.send(SetDataRequest(zk_chroot, b"new", -1))
        witness.wait_notification()
        zk_faults.heal()
        assert raw.wait(exchange).stat.version == 1


def test_a_frozen_client_loses_its_session_and_its_ephemeral_node(
    zk_faults: FaultProxy, zk_chroot: str, witness: RawClient
) -> None:
    raw = RawClient(zk_faults.address, session_timeout=0.4)
    raw.request(CreateRequest(f"{zk_chroot}/e", b"", OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL))
    witness.request(GetChildrenRequest(zk_chroot, True))
    zk_faults.freeze()
    witness.wait_notification()
    zk_faults.heal()
    raw.wait_closed()
    raw.close()


def test_a_lost_notification_is_the_end_of_the_connection(
    zk_faults: FaultProxy, zk_chroot: str, witness: RawClient
) -> None:
    fault = zk_faults.lose_reply("notification")
    with RawClient(zk_faults.address) as raw:
        raw.request(GetDataRequest(zk_chroot, True))
        witness.request(SetDataRequest(zk_chroot, b"", -1))
        with pytest.raises(ConversationError):
            raw.wait_notification()
    assert fault.wait().kind == "notification"


def test_the_four_letter_words_of_a_server_pass(zk_faults: FaultProxy, zk_server: ZooKeeperServer) -> None:
    import socket

    with socket.create_connection(("127.0.0.1", zk_faults.port), 5) as connection:
        connection.sendall(b"isro")
        assert connection.recv(100) == b"rw"
