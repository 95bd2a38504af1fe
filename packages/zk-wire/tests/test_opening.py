"""How a session is opened, answered and refused, on the client's side of a connection."""

from __future__ import annotations

import struct

import pytest
from pairs import GET, PASSWORD, Pair, failure

from zk_wire import (
    ClientConnection,
    Connected,
    ConnectionState,
    ConnectRejected,
    ConnectRequest,
    ConnectResponse,
    Exchange,
    LocalProtocolError,
    Notification,
    ServerConnection,
    SessionGone,
    WatcherEvent,
)


def test_a_session_opens_from_both_sides() -> None:
    assert Pair().connect() == Connected(0x1234, PASSWORD, 10_000, False, 0, True)


def test_the_session_password_shows_in_no_repr() -> None:
    assert "redacted" in repr(Pair().connect())
    assert PASSWORD.decode() not in repr(Pair().connect())


@pytest.mark.parametrize("read_only", [None, False, True])
def test_both_forms_of_the_answer_are_understood(read_only: bool | None) -> None:
    client, server = ClientConnection(), ServerConnection()
    client.connect(ConnectRequest(timeout_ms=1))
    [connected] = client.receive(server.accept(ConnectResponse(4000, -7, PASSWORD, read_only)))
    assert connected == Connected(-7, PASSWORD, 4000, bool(read_only), 0, read_only is not None)


@pytest.mark.parametrize("timeout_ms", [0, -1])
def test_no_timeout_means_that_the_session_is_gone(timeout_ms: int) -> None:
    client, server = ClientConnection(), ServerConnection()
    client.connect(ConnectRequest(session_id=5))
    assert client.receive(server.accept(ConnectResponse(timeout_ms, 0, bytes(16), True))) == [SessionGone(True)]
    assert client.state is ConnectionState.REFUSED


@pytest.mark.parametrize("size", [0, 1, 15, 17, 35, 38, 50])
def test_an_answer_of_another_size_is_an_error(size: int) -> None:
    client = ClientConnection()
    client.connect(ConnectRequest())
    body = struct.pack(">iiqi16s?", 0, 1, 2, 16, PASSWORD, True)
    assert client.receive(struct.pack(">i", size) + body.ljust(size, b"\0")[:size]) == []
    failure(client)


def test_a_header_without_an_error_is_no_answer() -> None:
    client = ClientConnection()
    client.connect(ConnectRequest())
    assert client.receive(struct.pack(">iiqi", 16, 0, 1, 0)) == []
    assert "without an error" in str(failure(client))


@pytest.mark.parametrize("answer", [SessionGone(False), ConnectRejected(-119)])
def test_nothing_may_follow_a_refusal(answer: SessionGone | ConnectRejected) -> None:
    client, server = ClientConnection(), ServerConnection()
    client.connect(ConnectRequest())
    refusal = server.refuse(False) if isinstance(answer, SessionGone) else server.reply(0, 1, err=-119)
    assert client.receive(refusal + b"x") == [answer]
    failure(client)


def test_replies_right_behind_the_session_are_read_with_it() -> None:
    pair = Pair()
    pair.client.connect(ConnectRequest())
    opened = pair.server.accept(ConnectResponse(1, 2, PASSWORD, None))
    event = pair.server.notify(WatcherEvent(1, 3, "/a"))
    assert [type(event) for event in pair.client.receive(opened + event)] == [Connected, Notification]


def test_connecting_twice_is_refused(pair: Pair) -> None:
    with pytest.raises(LocalProtocolError, match=r"connect\(\) on a connection that is open"):
        pair.client.connect(ConnectRequest())


@pytest.mark.parametrize("opened", ["new", "connecting", "refused", "closed"])
def test_a_request_can_be_sent_only_on_an_open_connection(opened: str) -> None:
    client, server = ClientConnection(), ServerConnection()
    if opened != "new":
        client.connect(ConnectRequest())
    if opened == "refused":
        client.receive(server.refuse())
    if opened == "closed":
        client.close()
    assert client.state is ConnectionState(opened)
    for send in (client.send, client.send_auth):
        with pytest.raises(LocalProtocolError, match=f"the connection is {opened}"):
            send(Exchange.of(GET))
    with pytest.raises(LocalProtocolError, match=f"the connection is {opened}"):
        client.ping()
    assert client.close() == []


def test_bytes_before_the_first_request_are_an_error() -> None:
    client = ClientConnection()
    client.receive(b"HTTP/1.1 400 Bad Request")
    assert "on a connection that is new" in str(failure(client))
