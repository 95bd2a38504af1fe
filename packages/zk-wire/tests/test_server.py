"""The server's side of a connection: what it tolerates, what it answers, what it closes for."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pairs import connected_pair, portions
from strategies import REQUESTS, of_record

from zk_wire import (
    ACL,
    AddWatchRequest,
    AdminCommand,
    AuthPacket,
    CheckWatchesRequest,
    ClientConnection,
    ConnectReceived,
    ConnectRequest,
    ExistsRequest,
    GetDataRequest,
    Id,
    LocalProtocolError,
    MalformedRequest,
    PingRequest,
    RemoteProtocolError,
    RemoveWatchesRequest,
    Request,
    RequestReceived,
    ServerConnection,
    SetACLRequest,
    SetDataRequest,
    SetDataResponse,
    Stat,
    UnknownRequest,
    frame,
)

CONNECT = ClientConnection().connect(ConnectRequest(timeout_ms=1))


def connected() -> ServerConnection:
    server = ServerConnection()
    server.receive(CONNECT)
    return server


def failure(server: ServerConnection) -> RemoteProtocolError:
    with pytest.raises(RemoteProtocolError) as caught:
        server.receive(b"")
    assert caught.value is server.pending_error
    return caught.value


@pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_every_request_arrives_as_it_was_sent(kind: type[Request[object]], data: st.DataObject) -> None:
    connected_pair().send(data.draw(of_record(kind)))


@given(st.lists(st.integers(0, 120), max_size=10))
def test_any_split_of_the_stream_gives_the_same_requests(cuts: list[int]) -> None:
    stream = CONNECT + frame(1, GetDataRequest("/a", True).payload()) + frame(-2, PingRequest().payload())
    server = ServerConnection()
    events = [event for part in portions(stream, cuts) for event in server.receive(part)]
    assert events == [
        ConnectReceived(ConnectRequest(timeout_ms=1)),
        RequestReceived(1, 4, GetDataRequest("/a", True)),
        RequestReceived(-2, 11, PingRequest()),
    ]


def test_bytes_behind_a_request_are_ignored() -> None:
    payload = ExistsRequest("/a", False).payload()
    assert connected().receive(frame(1, payload + b"more")) == [RequestReceived(1, 3, ExistsRequest("/a", False))]
    assert connected().receive(frame(-2, PingRequest().payload() + b"more")) == [RequestReceived(-2, 11, PingRequest())]


def test_a_path_that_is_no_utf8_is_read_as_java_reads_it() -> None:
    [received] = connected().receive(frame(1, struct.pack(">ii", 4, 3) + b"/\xff\xfe" + b"\0"))
    assert received == RequestReceived(1, 4, GetDataRequest("/\ufffd\ufffd", False))


@pytest.mark.parametrize("opcode", [1, 3, 4, 9, 14, 18, 100, 101, 102, 103, 106])
def test_a_request_that_is_no_record_is_malformed_and_the_next_one_is_read(opcode: int) -> None:
    bad = frame(7, struct.pack(">ii", opcode, 2**31 - 1))
    [malformed, received] = connected().receive(bad + frame(8, PingRequest().payload()))
    assert isinstance(malformed, MalformedRequest)
    assert (malformed.xid, malformed.opcode) == (7, opcode)
    assert received == RequestReceived(8, 11, PingRequest())


@pytest.mark.parametrize(
    "request_",
    [
        SetACLRequest(None, None, 1),
        AddWatchRequest(None, 1),
        CheckWatchesRequest(None, 3),
        RemoveWatchesRequest(None, 3),
    ],
)
def test_a_missing_path_is_read_where_servers_read_it(request_: Request[object]) -> None:
    [received] = connected().receive(frame(1, request_.payload()))
    assert received == RequestReceived(1, request_.opcode, request_)


NULL = b"\xff\xff\xff\xff"


@pytest.mark.parametrize(
    ("opcode", "body", "is_null"),
    [
        (2, NULL + NULL, True),
        (2, NULL + b"\0", False),
        (101, bytes(8) + 2 * (b"\0\0\0\2" + NULL + NULL) + bytes(4), True),
        (101, bytes(8) + b"\0\0\0\1" + NULL + NULL + bytes(4), False),
        (101, bytes(8) + b"\0\0\1\0" + 256 * NULL + bytes(8), False),  # more than anybody looks behind
        (14, bytes(3) + b"\2\0" + NULL + NULL + NULL + NULL + b"\1" + NULL, True),
        (14, bytes(3) + b"\2\0" + NULL + NULL + NULL + NULL + b"\1", False),
    ],
)
def test_null_is_told_from_what_cannot_be_decoded_at_all(opcode: int, body: bytes, is_null: bool) -> None:
    [malformed] = connected().receive(frame(1, struct.pack(">i", opcode) + body))
    assert isinstance(malformed, MalformedRequest)
    assert malformed.is_null is is_null


@pytest.mark.parametrize(
    ("scheme", "is_read"),
    [
        (None, True),
        (b"", True),
        (b"auth", True),
        (b"nosuch", True),
        (b"world", False),
        (b"digest", False),
        (b"ip", False),
    ],
)
def test_an_identity_may_lack_a_name_that_no_server_looks_at(scheme: bytes | None, is_read: bool) -> None:
    name = b"\xff\xff\xff\xff" if scheme is None else struct.pack(">i", len(scheme)) + scheme
    entry = struct.pack(">iii", -1, 1, 31) + name + b"\xff\xff\xff\xff"
    [received] = connected().receive(frame(1, struct.pack(">i", 7) + entry + bytes(4)))
    if is_read:
        shown = (scheme or b"").decode()
        assert received == RequestReceived(1, 7, SetACLRequest(None, [ACL(31, Id(shown, ""))], 0))
    else:
        assert isinstance(received, MalformedRequest) and "SetACLRequest.acl: null" in received.reason
        assert received.is_null


def test_only_servers_create_sessions_by_request() -> None:
    [malformed] = connected().receive(frame(1, struct.pack(">i", -10)))
    assert isinstance(malformed, MalformedRequest)


@pytest.mark.parametrize("opcode", [0, -1, 10, 23, 99, 108, 2**31 - 1, -(2**31)])
def test_an_unknown_request_and_what_came_with_it_are_the_last(opcode: int) -> None:
    server = connected()
    unknown = frame(3, struct.pack(">i", opcode))
    ping = frame(4, PingRequest().payload())
    assert server.receive(unknown + ping) == [UnknownRequest(3, opcode), RequestReceived(4, 11, PingRequest())]
    assert server.receive(b"\xff" * 100) == []
    assert server.pending_error is None


def test_a_second_connect_request_is_an_unknown_request() -> None:
    assert connected().receive(CONNECT) == [UnknownRequest(0, 0)]


@pytest.mark.parametrize("size", [0, 1, 20, 43])
def test_a_first_frame_too_short_to_connect_is_an_error(size: int) -> None:
    server = ServerConnection()
    assert server.receive(struct.pack(">i", size) + CONNECT[4 : 4 + size]) == []
    failure(server)


@pytest.mark.parametrize("size", [0, 4, 7])
def test_a_frame_too_short_for_a_header_is_an_error(size: int) -> None:
    server = connected()
    assert server.receive(frame(-2, PingRequest().payload()) + struct.pack(">i", size) + bytes(size)) == [
        RequestReceived(-2, 11, PingRequest())
    ]
    failure(server)


@pytest.mark.parametrize("length", [1_048_576, 2**31 - 1, -1])
def test_a_length_beyond_the_limit_is_an_error_before_the_frame_is_there(length: int) -> None:
    server = connected()
    assert server.receive(struct.pack(">i", length)) == []
    assert f"a frame of {length} bytes" in str(failure(server))


def test_the_limit_itself_passes() -> None:
    request = SetDataRequest("/ab", bytes(1_048_552), -1)
    [received] = connected().receive(frame(1, request.payload()))
    assert received == RequestReceived(1, 5, request)
    server = connected()
    server.receive(frame(1, SetDataRequest("/ab", bytes(1_048_553), -1).payload()))
    failure(server)


@pytest.mark.parametrize("opening", [b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00\x01", b"quit"])
def test_another_protocol_is_an_error(opening: bytes) -> None:
    server = ServerConnection()
    assert server.receive(opening) == []
    failure(server)


@given(st.sampled_from(["ruok", "srvr", "stmk", "isro", "mntr"]), st.lists(st.integers(0, 12), max_size=4))
def test_a_four_letter_word_is_told_in_any_portions(word: str, cuts: list[int]) -> None:
    server = ServerConnection()
    events = [event for part in portions(word.encode() + bytes(8), cuts) for event in server.receive(part)]
    assert events == [AdminCommand(word, bytes(8) if word == "stmk" else b"")]


def test_a_four_letter_word_later_is_a_bad_length() -> None:
    server = connected()
    assert server.receive(b"ruok") == []
    failure(server)


def test_an_answer_that_cannot_be_encoded_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match=r"SetDataResponse\.stat"):
        connected().reply(1, 2, SetDataResponse((1, 2)))  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match=r"ReplyHeader\.zxid"):
        connected().reply(1, 2**63)


def test_an_error_may_have_a_body() -> None:
    body = SetDataResponse(Stat(*range(11)))
    assert connected().reply(1, 2, body, -5) == struct.pack(">iiqi", 84, 1, 2, -5) + body.encode()


def test_a_credential_shows_in_no_event() -> None:
    [received] = connected().receive(frame(-4, AuthPacket("digest", b"user:hunter2").payload()))
    assert "hunter2" not in repr(received)


def test_an_auth_packet_without_a_scheme_is_read() -> None:
    content = b"\0\0\0\5\0\0\0\x64" + bytes(4) + b"\xff\xff\xff\xff" * 2
    events = connected().receive(len(content).to_bytes(4, "big") + content)
    assert events == [RequestReceived(5, 100, AuthPacket(None, None))]
