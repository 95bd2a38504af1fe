"""What a real server and we put on the wire is the same, byte for byte, in both directions."""

from __future__ import annotations

import pytest
from captured import CONVERSATION, FRAMES, Step

from zk_wire import (
    AuthPacket,
    ClientConnection,
    Connected,
    ConnectReceived,
    ConnectRejected,
    ConnectRequest,
    ConnectResponse,
    Exchange,
    MultiResponse,
    Notification,
    PingAnswered,
    PingRequest,
    ReplyHeader,
    RequestReceived,
    ServerConnection,
    SessionGone,
    WatcherEvent,
    frame,
)

CONNECT_REQUEST = ConnectRequest(timeout_ms=10_000, read_only=False)
PASSWORD = bytes.fromhex("5e582384ca50c225d8ce3c65edddd307")
CONNECT_RESPONSE = ConnectResponse(10_000, 0x0100000B5C05001E, PASSWORD, False)

each_step = pytest.mark.parametrize("step", CONVERSATION, ids=lambda step: step.title)


def connected_server() -> ServerConnection:
    server = ServerConnection()
    server.receive(FRAMES["connect"][0][1])
    return server


def test_the_conversation_covers_every_block_of_the_capture() -> None:
    others = [title for title in FRAMES if title not in {step.title for step in CONVERSATION}]
    assert others == [
        "connect",
        "refused connect (unknown session)",
        "read-only server without local sessions: answer to a ConnectRequest (§9.5)",
        "NodeDeleted for a path with a character above U+FFFF (CESU-8)",
    ]


def test_the_connect_frames_are_written_as_captured() -> None:
    (_, request), (_, response) = FRAMES["connect"]
    assert ClientConnection().connect(CONNECT_REQUEST) == request
    assert ServerConnection().accept(CONNECT_RESPONSE) == response


def test_the_connect_frames_are_read_as_captured() -> None:
    (_, request), (_, response) = FRAMES["connect"]
    assert ServerConnection().receive(request) == [ConnectReceived(CONNECT_REQUEST)]
    client = ClientConnection()
    client.connect(CONNECT_REQUEST)
    assert client.receive(response) == [Connected(0x0100000B5C05001E, PASSWORD, 10_000, False, 0, True)]


@each_step
def test_a_request_is_written_as_captured(step: Step) -> None:
    assert frame(step.xid, step.request.payload()) == step.sent


@each_step
def test_a_request_is_read_as_captured(step: Step) -> None:
    [received] = connected_server().receive(step.sent)
    assert received == RequestReceived(step.xid, step.request.opcode, step.request)


@each_step
def test_a_reply_and_its_events_are_written_as_captured(step: Step) -> None:
    server = connected_server()
    written = [server.notify(event) for event in step.events]
    written.append(server.reply(step.xid, step.zxid, step.response, step.err))
    assert written == step.received


@each_step
def test_a_reply_is_read_as_captured(step: Step) -> None:
    reply = step.received[-1]
    assert ReplyHeader.decode(reply, 4, 20) == ReplyHeader(step.xid, step.zxid, step.err)
    if not step.err:
        assert step.request.decode_response(reply, 20, len(reply)) == step.response


def test_a_client_follows_the_whole_capture() -> None:
    client = ClientConnection()
    assert client.connect(CONNECT_REQUEST) == FRAMES["connect"][0][1]
    client.receive(FRAMES["connect"][1][1])
    for step in CONVERSATION:
        if step.xid == -8:  # our connections number SetWatches like any other request
            continue
        events = [Notification(event.type, event.state, event.path or "", -1) for event in step.events]
        exchange = Exchange.of(step.request)
        if isinstance(step.request, PingRequest):
            assert client.ping() == step.sent
            assert client.receive(b"".join(step.received)) == [PingAnswered(step.zxid)]
            continue
        send = client.send_auth if isinstance(step.request, AuthPacket) else client.send
        assert send(exchange) == step.sent
        assert client.receive(b"".join(step.received)) == [*events, exchange]
        assert (exchange.zxid, exchange.error) == (step.zxid, step.err)
        assert exchange.reply == (None if step.err else step.response)
    assert client.last_zxid == CONVERSATION[-1].zxid
    assert client.close() == []


def test_an_unknown_session_is_gone() -> None:
    [(_, refusal)] = FRAMES["refused connect (unknown session)"]
    client = ClientConnection()
    client.connect(CONNECT_REQUEST)
    assert client.receive(refusal) == [SessionGone(read_only=False)]
    assert ServerConnection().refuse(read_only=False) == refusal


def test_a_reply_header_in_place_of_a_session_is_a_rejection() -> None:
    [(_, answer)] = FRAMES["read-only server without local sessions: answer to a ConnectRequest (§9.5)"]
    client = ClientConnection()
    client.connect(CONNECT_REQUEST)
    assert client.receive(answer) == [ConnectRejected(-119)]
    assert ServerConnection().reply(0, 0x100000002, err=-119) == answer


def test_two_surrogates_of_three_bytes_are_one_character() -> None:
    [(_, event)] = FRAMES["NodeDeleted for a path with a character above U+FFFF (CESU-8)"]
    client = ClientConnection()
    client.connect(CONNECT_REQUEST)
    client.receive(FRAMES["connect"][1][1])
    assert client.receive(event) == [Notification(2, 3, "/\N{GRINNING FACE}", -1)]
    assert ServerConnection().notify(WatcherEvent(2, 3, "/\N{GRINNING FACE}")) == event


def test_a_failed_multi_has_no_error_in_its_header() -> None:
    step = next(step for step in CONVERSATION if step.title.startswith("multi failing"))
    assert step.err == 0
    assert isinstance(step.response, MultiResponse)
    assert [type(result).__name__ for result in step.response.results] == ["ErrorResult"] * 3
