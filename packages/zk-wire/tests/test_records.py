"""Every record: there and back again, as a value, and in what it refuses."""

from __future__ import annotations

import copy
import inspect
import pickle
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import RECORDS, REQUESTS, RESPONSES, of_record

import zk_wire
from zk_wire import (
    OPEN_ACL_UNSAFE,
    REQUEST_TYPES,
    AuthPacket,
    ClientInfo,
    ConnectRequest,
    ConnectResponse,
    CreateRequest,
    DeleteRequest,
    GetChildrenResponse,
    GetDataRequest,
    GetDataResponse,
    GetEphemeralsResponse,
    LocalProtocolError,
    OpCode,
    ReconfigRequest,
    RemoteProtocolError,
    ReplyHeader,
    SaslRequest,
    SaslResponse,
    SetDataRequest,
    SetWatches,
    Stat,
    SyncRequest,
    WhoAmIResponse,
)
from zk_wire.primitives import Int

WITHOUT_LENGTH = ("CreateResult",)  # the header of a result tells its two forms apart: see test_multi.py


@pytest.mark.parametrize("record", [r for r in RECORDS if r.__name__ not in WITHOUT_LENGTH], ids=lambda r: r.__name__)
@given(data=st.data())
def test_a_record_comes_back_as_it_was(record: type[zk_wire.Record], data: st.DataObject) -> None:
    value = data.draw(of_record(record))
    encoded = value.encode()
    assert record.decode(encoded) == value
    assert record.decode(b"before" + encoded, 6, 6 + len(encoded)) == value


@pytest.mark.parametrize("record", REQUESTS, ids=lambda r: r.__name__)
@given(data=st.data())
def test_what_stands_behind_a_request_is_ignored_as_servers_do(
    record: type[zk_wire.Request[object]], data: st.DataObject
) -> None:
    value = data.draw(of_record(record))
    assert record.decode(value.encode() + b"more") == value


@pytest.mark.parametrize("record", RESPONSES, ids=lambda r: r.__name__)
@given(data=st.data())
def test_what_stands_behind_a_response_is_an_error(record: type[zk_wire.Response], data: st.DataObject) -> None:
    with pytest.raises(RemoteProtocolError, match="4 trailing bytes"):
        record.decode(data.draw(of_record(record)).encode() + b"more")


@pytest.mark.parametrize(
    "record", [r for r in RECORDS if r.fields and r.__name__ not in WITHOUT_LENGTH], ids=lambda r: r.__name__
)
@given(data=st.data())
def test_a_truncated_record_is_an_error_at_every_length(record: type[zk_wire.Record], data: st.DataObject) -> None:
    encoded = data.draw(of_record(record)).encode()
    end = data.draw(st.integers(0, len(encoded) - 1))
    if record in (ConnectRequest, ConnectResponse) and end == len(record.decode(encoded).encode()) - 1:
        return  # without its last byte it is a whole record of an older peer
    with pytest.raises(RemoteProtocolError):
        record.decode(encoded, 0, end)


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: r.__name__)
@given(data=st.data())
def test_a_record_is_a_value(record: type[zk_wire.Record], data: st.DataObject) -> None:
    value = data.draw(of_record(record))
    assert value == copy.deepcopy(value) == pickle.loads(pickle.dumps(value))  # noqa: S301
    assert hash(value) == hash(copy.deepcopy(value))
    assert value != object()


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: r.__name__)
def test_a_record_has_no_dict(record: type[zk_wire.Record]) -> None:
    assert not hasattr(record.__new__(record), "__dict__")


# As values


def test_a_record_is_frozen() -> None:
    request = GetDataRequest("/a", False)
    with pytest.raises(AttributeError, match="frozen"):
        request.path = "/b"  # type: ignore[misc]
    with pytest.raises(AttributeError, match="frozen"):
        del request.path
    assert request.path == "/a"


def test_a_list_and_a_tuple_make_the_same_record() -> None:
    assert CreateRequest("/a", b"", list(OPEN_ACL_UNSAFE), 0) == CreateRequest("/a", b"", OPEN_ACL_UNSAFE, 0)


def test_records_of_two_kinds_differ_even_with_the_same_fields() -> None:
    assert GetDataRequest("/a", True) != zk_wire.ExistsRequest("/a", True)


def test_arguments_are_taken_by_position_or_name() -> None:
    assert DeleteRequest("/a", 3) == DeleteRequest(version=3, path="/a")
    assert ConnectRequest(5) == ConnectRequest(last_zxid_seen=5)


@pytest.mark.parametrize(
    ("args", "kwargs", "complaint"),
    [
        ((), {}, "needs the argument 'path'"),
        (("/a", 1, 2), {}, "takes 2 arguments, not 3"),
        (("/a",), {"path": "/b"}, "'path' is given twice"),
        (("/a", 1), {"other": 1}, "'other' is not a field"),
    ],
)
def test_wrong_arguments_are_named(args: tuple[object, ...], kwargs: dict[str, object], complaint: str) -> None:
    make: typing.Any = DeleteRequest
    with pytest.raises(TypeError, match=complaint):
        make(*args, **kwargs)


def test_help_shows_the_fields() -> None:
    assert str(inspect.signature(AuthPacket)) == "(scheme: 'UString | None', auth: 'Buffer | None', type: 'Int' = 0)"


def test_a_record_can_be_matched_by_position() -> None:
    match GetDataRequest("/a", True):
        case GetDataRequest(path, watch):
            assert (path, watch) == ("/a", True)


@pytest.mark.parametrize(
    "record",
    [
        AuthPacket("digest", b"user:hunter2"),
        ConnectRequest(password=b"hunter2-hunter2!"),
        ConnectResponse(1, 2, b"hunter2-hunter2!", None),
        SaslRequest(b"hunter2"),
        SaslResponse(b"hunter2"),
    ],
    ids=lambda r: type(r).__name__,
)
def test_a_secret_shows_in_no_repr(record: zk_wire.Record) -> None:
    assert "<redacted>" in repr(record)
    assert "hunter2" not in repr(record)


def test_a_record_derived_from_another_has_the_fields_of_both() -> None:
    class Longer(ReplyHeader):
        more: Int = 7

    assert ReplyHeader(1, 2, 3).encode() == Longer(1, 2, 3).encode()[:16]
    assert Longer.decode(Longer(1, 2, 3).encode()) == Longer(1, 2, 3, 7) != ReplyHeader(1, 2, 3)


# On the wire


def test_every_opcode_a_client_may_send_has_its_request() -> None:
    internal = {OpCode.NOTIFICATION, OpCode.ERROR, OpCode.CREATE_SESSION}
    assert set(REQUEST_TYPES) == set(OpCode) - internal
    assert all(kind.opcode == opcode for opcode, kind in REQUEST_TYPES.items())
    assert set(REQUEST_TYPES.values()) == set(REQUESTS)


@pytest.mark.parametrize("record", REQUESTS, ids=lambda r: r.__name__)
def test_a_request_reads_the_reply_its_type_promises(record: type[zk_wire.Request[object]]) -> None:
    promised = record.__dict__["__orig_bases__"][0].__args__[0]
    assert record._response is promised
    assert issubclass(promised, zk_wire.Response)


@pytest.mark.parametrize("absent", [None, b""])
def test_null_data_and_empty_data_differ(absent: bytes | None) -> None:
    response = GetDataResponse(absent, Stat(*range(11)))
    assert GetDataResponse.decode(response.encode()).data == absent
    assert (response.encode()[:4] == b"\xff\xff\xff\xff") == (absent is None)


@pytest.mark.parametrize("absent", [None, ""])
def test_a_null_string_and_an_empty_one_differ(absent: str | None) -> None:
    request = ReconfigRequest(absent, absent, absent, -1)
    assert ReconfigRequest.decode(request.encode()) == request
    assert request.encode()[:4] == (b"\0\0\0\0" if absent == "" else b"\xff\xff\xff\xff")


@pytest.mark.parametrize("absent", [None, []])
def test_a_null_vector_and_an_empty_one_differ(absent: list[zk_wire.ACL] | None) -> None:
    request = CreateRequest("/a", b"", absent, 0)
    assert CreateRequest.decode(request.encode()).acl == absent


@pytest.mark.parametrize("kind", [GetDataRequest, DeleteRequest, CreateRequest, zk_wire.GetChildrenRequest])
def test_a_null_path_cannot_be_decoded_where_servers_cannot(kind: type[zk_wire.Request[object]]) -> None:
    with pytest.raises(RemoteProtocolError, match=f"{kind.__name__}.path: null at offset 0"):
        kind.decode(b"\xff\xff\xff\xff" + bytes(40))


def test_a_null_path_is_read_where_servers_read_it() -> None:
    assert SyncRequest.decode(b"\xff\xff\xff\xff") == SyncRequest(None)
    assert SetDataRequest.decode(b"\xff\xff\xff\xff" * 3) == SetDataRequest(None, None, -1)


def acl_with_a_null_id(scheme: str) -> bytes:
    name = scheme.encode()
    return (
        b"\0\0\0\2/a" + bytes(7) + b"\1" + b"\0\0\0\x1f" + bytes([0, 0, 0, len(name)]) + name + b"\xff" * 4 + bytes(4)
    )


def test_a_null_id_of_the_scheme_auth_is_an_empty_one() -> None:
    request = CreateRequest.decode(acl_with_a_null_id("auth"))
    assert request == CreateRequest("/a", b"", list(zk_wire.CREATOR_ALL_ACL), 0)


@pytest.mark.parametrize("scheme", ["world", "digest"])
def test_a_null_id_of_another_scheme_cannot_be_decoded(scheme: str) -> None:
    with pytest.raises(RemoteProtocolError, match="null at offset"):
        CreateRequest.decode(acl_with_a_null_id(scheme))


def test_null_vectors_of_watches_cannot_be_decoded() -> None:
    with pytest.raises(RemoteProtocolError, match=r"SetWatches.data_watches: a vector of -1 items at offset 8"):
        SetWatches.decode(bytes(8) + b"\xff\xff\xff\xff" * 3)


@pytest.mark.parametrize("byte", [1, 5, 255])
def test_any_byte_but_zero_is_true(byte: int) -> None:
    assert GetDataRequest.decode(b"\0\0\0\2/a" + bytes([byte])) == GetDataRequest("/a", True)


@pytest.mark.parametrize("read_only", [None, False, True])
def test_the_read_only_byte_is_there_or_not(read_only: bool | None) -> None:
    response = ConnectResponse(10_000, -5, bytes(16), read_only)
    assert len(response.encode()) == (36 if read_only is None else 37)
    assert ConnectResponse.decode(response.encode()) == response
    request = ConnectRequest(read_only=read_only)
    assert ConnectRequest.decode(request.encode()) == request


@pytest.mark.parametrize("password", [None, b"", b"short", bytes(40)])
def test_a_new_session_may_be_asked_for_with_any_password(password: bytes | None) -> None:
    request = ConnectRequest(password=password, read_only=True)
    assert ConnectRequest.decode(request.encode() + b"trailing").password == password


def test_zxids_and_session_ids_are_signed() -> None:
    header = ReplyHeader(-1, -(2**63), -2)
    assert ReplyHeader.decode(header.encode()) == header
    assert ConnectResponse(1, -(2**55), bytes(16), None).encode()[8:16] == (-(2**55)).to_bytes(8, "big", signed=True)


# What cannot be sent


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        (GetDataRequest("/\ud800", False), r"GetDataRequest.path: character U\+D800 at position 1"),
        (GetDataRequest(b"/a", False), "GetDataRequest.path: a string must be a str, not bytes"),  # type: ignore[arg-type]
        (SetDataRequest("/a", "text", -1), "SetDataRequest.data: data must be bytes, not str"),  # type: ignore[arg-type]
        (SetDataRequest("/a", b"", 2**31), "SetDataRequest.version: 2147483648 is not a signed 32-bit integer"),
        (DeleteRequest("/a", 1.5), "DeleteRequest.version: 1.5 is not a signed 32-bit"),  # type: ignore[arg-type]
        (SetWatches(2**63, [], [], []), "SetWatches.relative_zxid: 9223372036854775808 is not a signed 64-bit"),
        (SetWatches(0, "/a", [], []), "SetWatches.data_watches: a vector must be a list or tuple, not str"),
        (CreateRequest("/a", b"", [(31, "x")], 0), "CreateRequest.acl: not an ACL"),  # type: ignore[list-item]
    ],
)
def test_what_has_no_encoding_is_refused_with_its_field(request_: zk_wire.Request[object], complaint: str) -> None:
    with pytest.raises(LocalProtocolError, match=complaint):
        request_.payload()


# What cannot be believed


@pytest.mark.parametrize(
    "record", [GetChildrenResponse, GetEphemeralsResponse, WhoAmIResponse, SetWatches], ids=lambda r: r.__name__
)
@pytest.mark.parametrize("count", [2**31 - 1, 2**20, -2, -(2**31)])
def test_a_vector_is_not_made_before_its_bytes_were_seen(record: type[zk_wire.Record], count: int) -> None:
    prefix = bytes(8) if record is SetWatches else b""
    with pytest.raises(RemoteProtocolError, match=r"truncated|a vector of -"):
        record.decode(prefix + count.to_bytes(4, "big", signed=True) + bytes(64))


@pytest.mark.parametrize("length", [2**31 - 1, -7, -(2**31)])
def test_an_absurd_length_is_an_error(length: int) -> None:
    with pytest.raises(RemoteProtocolError, match=r"truncated|is the least allowed"):
        GetDataResponse.decode(length.to_bytes(4, "big", signed=True) + bytes(68))


def test_client_info_keeps_its_fields() -> None:
    response = WhoAmIResponse([ClientInfo("ip", "::1"), ClientInfo("digest", "")])
    assert WhoAmIResponse.decode(response.encode()) == response
