"""What type checkers must know of zk_wire: nothing here is run, only checked."""

from __future__ import annotations

from typing import TypeVar, assert_type

from zk_wire import (
    ACL,
    AddWatchRequest,
    AuthPacket,
    ClientConnection,
    CloseSessionRequest,
    Connected,
    ConnectRequest,
    Create2Request,
    Create2Response,
    CreateRequest,
    CreateResponse,
    CreateResult,
    DeleteRequest,
    EmptyResponse,
    ErrorResponse,
    ErrorResult,
    Exchange,
    GetChildrenRequest,
    GetChildrenResponse,
    GetDataRequest,
    GetDataResponse,
    MultiRequest,
    MultiResponse,
    NoNodeError,
    Notification,
    OpCode,
    Outcome,
    Request,
    ServerConnection,
    ServerError,
    Stat,
    WhoAmIResponse,
    decode_children,
    decode_get_data,
    decode_nothing,
    error_for_code,
    strip_chroot,
)

R = TypeVar("R")


def a_request_knows_its_reply(buf: bytes) -> None:
    assert_type(CreateRequest("/a", b"", (), 0).decode_response(buf, 0, 1), CreateResponse)
    assert_type(Create2Request("/a", None, [], 0).decode_response(buf, 0, 1), Create2Response)
    assert_type(DeleteRequest("/a", -1).decode_response(buf, 0, 1), EmptyResponse)
    assert_type(GetDataRequest("/a", False).decode_response(buf, 0, 1), GetDataResponse)
    assert_type(GetChildrenRequest("/a", False).decode_response(buf, 0, 1), GetChildrenResponse)
    assert_type(AddWatchRequest("/a", 0).decode_response(buf, 0, 1), ErrorResponse)
    assert_type(AuthPacket("digest", None).decode_response(buf, 0, 1), EmptyResponse)
    assert_type(CloseSessionRequest().decode_response(buf, 0, 1), EmptyResponse)
    assert_type(MultiRequest([DeleteRequest("/a", 1)]).decode_response(buf, 0, 1), MultiResponse)


def an_exchange_knows_it_too(connection: ClientConnection) -> None:
    exchange = Exchange.of(GetDataRequest("/a", False))
    assert_type(exchange, Exchange[GetDataResponse])
    assert_type(exchange.reply, GetDataResponse | None)
    assert_type(connection.send(exchange), bytes)
    assert_type(Exchange(b"", decode_get_data), Exchange[tuple[bytes | None, Stat]])
    assert_type(Exchange(b"", decode_nothing).reply, None)


def a_generic_helper_can_be_written(request: Request[R], buf: bytes) -> R:
    return request.decode_response(buf, 0, len(buf))


def fields_have_their_types(buf: bytes) -> None:
    request = CreateRequest.decode(buf)
    assert_type(request, CreateRequest)
    assert_type(request.path, str)
    assert_type(request.data, bytes | None)
    assert_type(request.flags, int)
    assert_type(request.opcode, OpCode)
    assert_type(GetDataResponse.decode(buf).stat, Stat)
    assert_type(Stat(*range(11)).owner_session_id, int | None)
    assert_type(WhoAmIResponse.decode(buf).client_info[0].user, str)
    assert_type(decode_children(buf, 0, 1), list[str])
    assert_type(ConnectRequest().read_only, bool | None)
    assert_type(ACL(31, ("world", "anyone")).perms, int)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def constructors_are_checked() -> None:
    GetDataRequest("/a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    GetDataRequest(b"/a", False)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    GetDataRequest("/a", watch=True, more=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    request = GetDataRequest("/a", watch=True)
    request.path = "/b"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    MultiRequest([request])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


def results_can_be_told_apart(response: MultiResponse) -> None:
    for result in response.results:
        if isinstance(result, ErrorResult):
            assert_type(result.code, int)
        elif isinstance(result, CreateResult):
            assert_type(result.stat, Stat | None)


def events_can_be_told_apart(connection: ClientConnection, server: ServerConnection) -> None:
    for event in connection.receive(b""):
        if isinstance(event, Connected):
            assert_type(event.password, bytes)
        elif isinstance(event, Notification):
            assert_type(event.path, str)
        elif isinstance(event, Exchange):
            assert_type(event.zxid, int)
    assert_type(server.reply(1, 2, ErrorResponse(0)), bytes)


def errors_have_their_types() -> None:
    assert_type(error_for_code(-101), ServerError)
    assert_type(NoNodeError("/a").path, str | None)
    assert_type(NoNodeError().outcome, Outcome)
    assert_type(strip_chroot("/a", "/b"), str | None)
