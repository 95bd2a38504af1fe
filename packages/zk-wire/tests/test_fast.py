"""The quick encoders and decoders say the same as the records, and are as strict."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import acls, ints, stats, texts

from zk_wire import (
    OPEN_ACL_BYTES,
    OPEN_ACL_UNSAFE,
    Create2Request,
    Create2Response,
    CreateContainerRequest,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    EmptyResponse,
    ExistsRequest,
    ExistsResponse,
    GetChildren2Request,
    GetChildren2Response,
    GetChildrenRequest,
    GetChildrenResponse,
    GetDataRequest,
    GetDataResponse,
    LocalProtocolError,
    RemoteProtocolError,
    Request,
    Response,
    SetDataRequest,
    Stat,
    create_payload,
    decode_children,
    decode_children2,
    decode_create,
    decode_create2,
    decode_get_data,
    decode_nothing,
    decode_stat,
    delete_payload,
    encode_acl,
    encode_get_data,
    encode_ustring,
    exists_payload,
    frame,
    get_children2_payload,
    get_children_payload,
    get_data_payload,
    set_data_payload,
)

STAT = Stat(*range(1, 12))
NAMES = [f"child-{number:010}" for number in range(1000)]
buffers = st.none() | st.binary()


@pytest.mark.parametrize(
    ("build", "request_type"),
    [
        (get_data_payload, GetDataRequest),
        (exists_payload, ExistsRequest),
        (get_children_payload, GetChildrenRequest),
        (get_children2_payload, GetChildren2Request),
    ],
)
@given(path=texts, watch=st.booleans())
def test_a_read_is_built_as_its_record(
    build: Callable[[bytes, bool], bytes], request_type: Callable[[str, bool], Request[object]], path: str, watch: bool
) -> None:
    assert build(encode_ustring(path), watch) == request_type(path, watch).payload()


@given(path=texts, data=buffers, version=ints)
def test_a_write_is_built_as_its_record(path: str, data: bytes | None, version: int) -> None:
    ustring = encode_ustring(path)
    assert set_data_payload(ustring, data, version) == SetDataRequest(path, data, version).payload()
    assert delete_payload(ustring, version) == DeleteRequest(path, version).payload()


@pytest.mark.parametrize("request_type", [CreateRequest, Create2Request, CreateContainerRequest])
@given(path=texts, data=buffers, acl=st.lists(acls, max_size=3), flags=ints)
def test_a_create_is_built_as_its_record(
    request_type: Any, path: str, data: bytes | None, acl: list[Any], flags: int
) -> None:
    payload = create_payload(request_type.opcode, encode_ustring(path), data, encode_acl(acl), flags)
    assert payload == request_type(path, data, acl, flags).payload()


def test_the_open_acl_is_encoded_once() -> None:
    assert encode_acl(OPEN_ACL_UNSAFE) == OPEN_ACL_BYTES


@given(xid=ints, path=texts, watch=st.booleans())
def test_a_whole_get_is_framed_as_its_record(xid: int, path: str, watch: bool) -> None:
    payload = GetDataRequest(path, watch).payload()
    expected = struct.pack(">ii", len(payload) + 4, xid) + payload
    assert encode_get_data(xid, path, watch) == frame(xid, payload) == expected


@pytest.mark.parametrize("wrong", ["text", bytearray(b"x"), 3])
def test_data_that_is_not_bytes_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="data must be bytes or None"):
        set_data_payload(b"", wrong, -1)
    with pytest.raises(TypeError, match="data must be bytes or None"):
        create_payload(1, b"", wrong, OPEN_ACL_BYTES, 0)


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1])
def test_a_number_that_does_not_fit_is_refused(number: int) -> None:
    for build in (
        lambda: frame(number, b""),
        lambda: encode_get_data(number, "/", False),
        lambda: delete_payload(b"", number),
        lambda: set_data_payload(b"", b"", number),
        lambda: create_payload(1, b"", b"", OPEN_ACL_BYTES, number),
    ):
        with pytest.raises(LocalProtocolError, match="signed 32-bit integer"):
            build()


def test_a_path_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match=r"U\+D800 at position 1"):
        encode_get_data(1, "/\ud800", False)
    with pytest.raises(TypeError, match="must be a str, not bytes"):
        encode_get_data(1, b"/a", False)  # type: ignore[arg-type]


# Replies

names = st.lists(texts, max_size=30) | st.lists(st.text("abc/\0\1\2\3\4", max_size=5), min_size=8, max_size=30)
replies: list[tuple[Callable[[bytes, int, int], Any], st.SearchStrategy[tuple[Any, Response]]]] = [
    (decode_get_data, st.builds(lambda d, s: ((d, s), GetDataResponse(d, s)), buffers, stats)),
    (decode_stat, st.builds(lambda s: (s, ExistsResponse(s)), stats)),
    (decode_create, st.builds(lambda p: (p, CreateResponse(p)), texts)),
    (decode_create2, st.builds(lambda p, s: ((p, s), Create2Response(p, s)), texts, stats)),
    (decode_children, st.builds(lambda n: (n, GetChildrenResponse(n)), names)),
    (decode_children2, st.builds(lambda n, s: ((n, s), GetChildren2Response(n, s)), names, stats)),
    (decode_nothing, st.just((None, EmptyResponse()))),
]
each_decoder = pytest.mark.parametrize(("decode", "values"), replies, ids=lambda value: getattr(value, "__name__", ""))


@each_decoder
@given(data=st.data())
def test_a_reply_is_read_as_its_record(decode: Any, values: Any, data: st.DataObject) -> None:
    value, response = data.draw(values)
    raw = response.encode()
    around = b"head" + raw + b"next frame"
    result = decode(around, 4, 4 + len(raw))
    assert result == value
    assert type(result) is type(value)


@each_decoder
@given(data=st.data())
def test_a_reply_with_trailing_bytes_is_an_error(decode: Any, values: Any, data: st.DataObject) -> None:
    _, response = data.draw(values)
    raw = response.encode() + data.draw(st.binary(min_size=1, max_size=80))
    with pytest.raises(RemoteProtocolError):
        decode(raw, 0, len(raw))


@each_decoder
@given(data=st.data())
def test_a_truncated_reply_is_an_error(decode: Any, values: Any, data: st.DataObject) -> None:
    _, response = data.draw(values)
    raw = response.encode()
    if raw:
        end = data.draw(st.integers(0, len(raw) - 1))
        with pytest.raises(RemoteProtocolError):
            decode(raw, 0, end)


@each_decoder
@given(raw=st.binary(max_size=120), head=st.integers(0, 4))
def test_any_bytes_are_read_as_the_record_reads_them(decode: Any, values: Any, raw: bytes, head: int) -> None:
    raw = raw[: head * 4] + raw
    response_type = {
        decode_get_data: GetDataResponse,
        decode_stat: ExistsResponse,
        decode_create: CreateResponse,
        decode_create2: Create2Response,
        decode_children: GetChildrenResponse,
        decode_children2: GetChildren2Response,
        decode_nothing: EmptyResponse,
    }[decode]
    try:
        record: Any = response_type.decode(raw)
    except RemoteProtocolError:
        with pytest.raises(RemoteProtocolError):
            decode(raw, 0, len(raw))
    else:
        values = tuple(getattr(record, field) for field in type(record).fields)
        assert decode(raw, 0, len(raw)) == (values if len(values) > 1 else values[0] if values else None)


# Names of children: three ways to cut them, one result


def children(names: list[bytes]) -> bytes:
    return struct.pack(">i", len(names)) + b"".join(struct.pack(">i", len(name)) + name for name in names)


@pytest.mark.parametrize(
    "names",
    [
        NAMES,
        [f"n{number}" for number in range(1000)],
        ["x" * 127 for _ in range(20)],
        ["x" * 128 for _ in range(20)],
        ["x" * 300 for _ in range(20)],
        ["" for _ in range(20)],
        ["a", ""] * 10,
        ["a", "\0"] * 10,
        ["\0\0\0\1" for _ in range(20)],
        ["a\0\0\0\4" for _ in range(20)],
        ["a\0\0\0\5" for _ in range(20)],
        ["a\0", "\0b", "\0\0\0c"] * 5,
        ["\0\0\0", "\1"] * 10,
        [f"ö{number}" for number in range(20)],
        ["\N{GRINNING FACE}"] * 20,
    ],
    ids=lambda names: repr(names[:2])[:40],
)
def test_names_of_any_shape_are_cut_right(names: list[str]) -> None:
    raw = GetChildrenResponse(names).encode()
    assert decode_children(raw, 0, len(raw)) == names
    assert decode_children(b"abc" + raw + raw, 3, 3 + len(raw)) == names


@pytest.mark.parametrize("where", [0, 4, 7, 200, 204, 207, 19_999])
def test_one_wrong_length_among_equal_names_is_an_error(where: int) -> None:
    raw = bytearray(children([name.encode() for name in NAMES]))
    position = 4 + where // 20 * 20 + where % 20 % 4  # one of the four bytes of some length
    raw[position] ^= 1
    with pytest.raises(RemoteProtocolError):
        decode_children(bytes(raw), 0, len(raw))


@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_zero_byte_in_a_name_does_not_stand_for_one_in_a_length(column: int) -> None:
    raw = bytearray(children([name.encode() for name in NAMES]))
    raw[4 + 20 * 5 + column] = 1
    raw[4 + 20 * 7 + 9] = 0
    with pytest.raises(RemoteProtocolError):
        decode_children(bytes(raw), 0, len(raw))


@given(st.integers(4, 20_003), st.integers(1, 255))
def test_a_changed_byte_among_equal_names_changes_the_result_or_is_an_error(position: int, change: int) -> None:
    raw = bytearray(children([name.encode() for name in NAMES]))
    raw[position] ^= change
    try:
        slow: list[str] | None = GetChildrenResponse.decode(bytes(raw)).children
    except RemoteProtocolError:
        slow = None
    if slow is None:
        with pytest.raises(RemoteProtocolError):
            decode_children(bytes(raw), 0, len(raw))
    else:
        assert decode_children(bytes(raw), 0, len(raw)) == slow != NAMES


@pytest.mark.parametrize("count", [2**31 - 1, 1001, 999, -1, -(2**31)])
def test_a_wrong_count_of_names_is_an_error(count: int) -> None:
    raw = struct.pack(">i", count) + children([name.encode() for name in NAMES])[4:]
    with pytest.raises(RemoteProtocolError):
        decode_children(raw, 0, len(raw))
