"""Calls: the future a caller holds, whatever it ends with."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from corepair import DATA, NO_NODE, STAT, CorePair

from zk_client import (
    CallTimeoutError,
    CancelledCallError,
    Client,
    NoNodeError,
    OperationTimeoutError,
    Outcome,
    SessionClosedError,
)
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


# Through the handler, with no server there


@pytest.fixture
def unconnected() -> Iterator[Client]:
    """A client that has been started and will find no server."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refuses every connection
        client = Client(f"127.0.0.1:{taken.getsockname()[1]}", 60.0)
        client.start_async()
        yield client
        client.stop()


def test_a_blocking_call_that_times_out_while_it_waits_for_a_connection_is_never_sent(unconnected: Client) -> None:
    unconnected.call_timeout = 0.02
    with pytest.raises(CallTimeoutError) as caught:
        unconnected.set("/a", b"x")
    assert caught.value.outcome is Outcome.NOT_APPLIED
    assert len(unconnected._core._queue) == 0


def test_a_future_that_timed_out_goes_on_so_its_outcome_is_unknown(unconnected: Client) -> None:
    call = unconnected.set_async("/a", b"x")
    with pytest.raises(CallTimeoutError) as caught:
        call.result(0.02)
    assert caught.value.outcome is Outcome.UNKNOWN
    assert list(unconnected._core._queue) == [call]
    assert call.cancel()
    assert isinstance(call.exception(), CancelledCallError)


def test_requests_that_wait_for_a_connection_end_when_the_client_is_stopped(unconnected: Client) -> None:
    call = unconnected.get_async("/a")
    unconnected.stop()
    assert isinstance(call.exception(5.0), SessionClosedError)
