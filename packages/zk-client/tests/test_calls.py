"""Calls: the future a caller holds, whatever it ends with."""

from __future__ import annotations

import pytest
from corepair import DATA, NO_NODE, STAT, CorePair

from zk_client import CallTimeoutError, NoNodeError, OperationTimeoutError
from zk_client.calls import Call
from zk_wire import ExistsRequest, GetChildrenRequest, GetChildrenResponse, GetDataRequest


class Patience:
    """An owner whose waiting ends when a test says so."""

    def __init__(self) -> None:
        self.waited: list[float | None] = []
        self.out_of_time = False

    def wait(self, call: Call[object], timeout: float | None) -> None:
        """Note the time-out; then complete the call, or run out of time."""
        self.waited.append(timeout)
        if self.out_of_time:
            raise CallTimeoutError(call.path)
        call.reply = b"reply"
        call.done = True

    def cancel(self, call: Call[object]) -> bool:
        """Taken back."""
        return True

    def call_when_done(self, call: Call[object], function: object) -> None:
        """Not needed here."""
        raise NotImplementedError


def make(owner: Patience) -> Call[bytes]:
    return Call(owner, b"", lambda buf, pos, end: b"", "/a")


def test_a_result_is_waited_for_once_and_stays() -> None:
    owner = Patience()
    call = make(owner)
    assert [call.result(3.0), call.result(), call.get()] == [b"reply"] * 3
    assert owner.waited == [3.0]
    assert call.exception() is None


def test_wait_says_whether_the_call_is_done() -> None:
    owner = Patience()
    call = make(owner)
    owner.out_of_time = True
    assert not call.wait(1.0)
    owner.out_of_time = False
    assert call.wait()
    assert call.wait()


def test_a_call_that_timed_out_can_be_asked_again() -> None:
    owner = Patience()
    call = make(owner)
    owner.out_of_time = True
    with pytest.raises(TimeoutError):
        call.result(1.0)
    with pytest.raises(OperationTimeoutError):
        call.exception(1.0)
    owner.out_of_time = False
    assert call.result() == b"reply"


def test_an_error_is_the_same_each_time() -> None:
    pair = CorePair()
    pair.open()
    call = pair.submit(pair.operations.get("/a"))
    pair.reply(pair.next(GetDataRequest), err=NO_NODE)
    error = call.exception()
    assert isinstance(error, NoNodeError)
    assert error.path == "/a"
    for _ in range(2):
        with pytest.raises(NoNodeError) as caught:
            call.result()
        assert caught.value is error


def test_a_missing_node_is_a_result_of_exists() -> None:
    pair = CorePair()
    pair.open()
    call = pair.submit(pair.operations.exists("/a"))
    pair.reply(pair.next(ExistsRequest), err=NO_NODE)
    assert call.result() is None
    assert call.exception() is None


def test_pipelined_calls_get_each_their_own_reply() -> None:
    pair = CorePair()
    pair.open()
    data, children = pair.submit(pair.operations.get("/a")), pair.submit(pair.operations.get_children("/a"))
    first, second = pair.next(GetDataRequest), pair.next(GetChildrenRequest)
    pair.send(pair.frame(first, DATA), pair.frame(second, GetChildrenResponse(["x"])))
    assert data.result() == (b"data", STAT)
    assert children.result() == ["x"]
    assert (data.zxid, children.zxid) == (101, 102)


def test_the_repr_says_where_a_call_is() -> None:
    pair = CorePair()
    queued = pair.operations.get("/a")
    assert repr(queued) == "<Call '/a' xid=0 queued>"
    pair.open()
    pair.submit(queued)
    assert repr(queued) == "<Call '/a' xid=1 sent>"
    pair.reply(pair.next(GetDataRequest), DATA)
    assert repr(queued) == "<Call '/a' xid=1 done>"
