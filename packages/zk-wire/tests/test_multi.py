"""Multi and multiRead: results are read by what they say they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pairs import connected_pair
from strategies import RESULTS, of_record

from zk_wire import (
    CheckVersionRequest,
    Create2Request,
    CreateContainerRequest,
    CreateRequest,
    CreateResult,
    CreateTTLRequest,
    DeleteRequest,
    DeleteResult,
    ErrorResult,
    GetDataRequest,
    GetDataResult,
    LocalProtocolError,
    MultiHeader,
    MultiReadRequest,
    MultiReadResponse,
    MultiRequest,
    MultiResponse,
    RemoteProtocolError,
    SetDataRequest,
    Stat,
    SyncRequest,
)

STAT = Stat(*range(11))
END = MultiHeader(-1, True, -1).encode()


@given(st.lists(st.one_of([of_record(kind) for kind in RESULTS]), max_size=6))
def test_results_come_back_as_they_were(results: list[object]) -> None:
    response = MultiResponse(results)  # type: ignore[arg-type]
    assert MultiResponse.decode(response.encode()) == response
    assert MultiReadResponse.decode(response.encode()).results == results


def test_a_create2_may_be_answered_as_a_create() -> None:
    pair = connected_pair()
    request = MultiRequest([Create2Request("/a", b"", (), 0), CreateContainerRequest("/b", b"", (), 4)])
    response = MultiResponse([CreateResult("/a", None), CreateResult("/b", STAT)])
    assert pair.ask(request, response) == response


@pytest.mark.parametrize("code", [0, -2, -101, -126, -9999, 7])
def test_a_result_may_carry_any_code(code: int) -> None:
    response = MultiResponse([ErrorResult(code), DeleteResult()])
    assert MultiResponse.decode(response.encode()) == response


def test_the_code_in_the_record_counts() -> None:
    raw = MultiHeader(-1, False, -110).encode() + (-101).to_bytes(4, "big", signed=True) + END
    assert MultiResponse.decode(raw).results == [ErrorResult(-101)]


def test_an_empty_multi_is_only_an_end() -> None:
    assert MultiRequest([]).encode() == MultiResponse([]).encode() == END
    assert MultiRequest.decode(END) == MultiRequest([])


def test_done_ends_a_multi_whatever_its_type() -> None:
    for kind in (1, 5, 999):
        assert MultiRequest.decode(MultiHeader(kind, True, 0).encode()) == MultiRequest([])
        assert MultiResponse.decode(MultiHeader(kind, True, 0).encode()) == MultiResponse([])


def test_a_multi_without_an_end_is_an_error() -> None:
    request = MultiRequest([DeleteRequest("/a", -1)])
    with pytest.raises(RemoteProtocolError, match=r"MultiHeader\.type: truncated"):
        MultiRequest.decode(request.encode()[:-9])
    with pytest.raises(RemoteProtocolError, match=r"MultiHeader\.type: truncated"):
        MultiResponse.decode(MultiResponse([DeleteResult()]).encode()[:-9])


@pytest.mark.parametrize("kind", [0, 3, 6, 14, 19, 21, 22, -2, 999])
def test_a_result_of_an_unknown_type_is_an_error(kind: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"unknown type {kind}"):
        MultiResponse.decode(MultiHeader(kind, False, 0).encode() + END)


@pytest.mark.parametrize("kind", [3, 4, 6, 7, 9, 14, 16, 20, 22, 100, -1, 999])
def test_an_operation_servers_refuse_cannot_be_read(kind: int) -> None:
    with pytest.raises(RemoteProtocolError, match=rf"MultiRequest.ops\[0\]: type {kind} is not allowed"):
        MultiRequest.decode(MultiHeader(kind, False, -1).encode() + bytes(40) + END)


def test_a_multi_inside_a_multi_can_be_neither_sent_nor_read() -> None:
    with pytest.raises(LocalProtocolError, match=r"MultiRequest.ops\[1\]: MultiRequest is not allowed there"):
        MultiRequest([DeleteRequest("/a", -1), MultiRequest([])]).payload()  # type: ignore[list-item]
    nested = MultiHeader(14, False, -1).encode() * 10_000
    with pytest.raises(RemoteProtocolError):
        MultiRequest.decode(nested)


def test_reads_and_writes_do_not_mix() -> None:
    with pytest.raises(LocalProtocolError, match=r"MultiRequest.ops\[0\]: GetDataRequest is not allowed"):
        MultiRequest([GetDataRequest("/a", False)]).payload()  # type: ignore[list-item]
    with pytest.raises(LocalProtocolError, match=r"MultiReadRequest.ops\[0\]: SetDataRequest is not allowed"):
        MultiReadRequest([SetDataRequest("/a", b"", -1)]).payload()  # type: ignore[list-item]
    with pytest.raises(LocalProtocolError, match="SyncRequest"):
        MultiRequest([SyncRequest("/a")]).payload()  # type: ignore[list-item]


def test_every_write_may_be_part_of_a_multi() -> None:
    request = MultiRequest(
        [
            CreateRequest("/a", None, (), 0),
            Create2Request("/b", b"", (), 1),
            CreateContainerRequest("/c", b"", (), 4),
            CreateTTLRequest("/d", b"", (), 5, 1000),
            DeleteRequest("/e", 1),
            SetDataRequest("/f", None, -1),
            CheckVersionRequest("/g", 3),
        ]
    )
    assert connected_pair().send(request).payload == request.payload()


def test_a_multi_read_has_results_of_its_own() -> None:
    response = MultiReadResponse([GetDataResult(None, STAT), ErrorResult(-101)])
    assert connected_pair().ask(MultiReadRequest([GetDataRequest("/a", False)]), response) == response


def test_a_wrong_operation_inside_a_multi_is_named() -> None:
    with pytest.raises(LocalProtocolError, match=r"DeleteRequest\.version"):
        MultiRequest([DeleteRequest("/a", 2**40)]).payload()
