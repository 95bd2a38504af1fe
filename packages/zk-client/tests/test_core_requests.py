"""The core with requests under way: what becomes of each when the connection is lost, and in which order."""

from __future__ import annotations

import pytest
from corepair import AUTH_FAILED, DATA, NO_NODE, PASSWORD, SESSION, STAT, UNIMPLEMENTED, CorePair, Sink, stat

from zk_client import (
    AuthFailedError,
    CancelledCallError,
    ConnectionLostError,
    NoNodeError,
    Outcome,
    ServerError,
    SessionState,
    UnimplementedError,
)
from zk_client._session.machine import MOST_LOSSES, READY, WAITING
from zk_wire import (
    AuthPacket,
    ConnectResponse,
    CreateRequest,
    CreateResponse,
    EmptyResponse,
    EventType,
    ExistsRequest,
    ExistsResponse,
    GetDataRequest,
    GetDataResponse,
    MultiRequest,
    MultiResponse,
    SessionExpiredError,
    SetDataRequest,
    SetDataResponse,
    WhoAmIRequest,
)

S = SessionState


def outcome_of(call: object) -> Outcome:
    """What the error of a call says."""
    error = call.exception()  # type: ignore[attr-defined]
    assert error is not None
    return error.outcome  # type: ignore[no-any-return]


def test_requests_made_before_there_is_a_connection_are_sent_in_their_order() -> None:
    pair = CorePair()
    calls = [pair.operations.exists(f"/{name}") for name in "abc"]
    pair.start()
    pair.submit(calls[0])
    pair.connect()
    pair.submit(calls[1])
    pair.core.add_identity(("digest", b"u:p"))
    pair.grant()
    pair.submit(calls[2])
    pair.reply(pair.next(AuthPacket), zxid=0)
    assert [request.request.path for request in pair.requests] == ["/a", "/b", "/c"]  # type: ignore[attr-defined]


def test_a_read_whose_reply_was_lost_is_sent_again() -> None:
    pair = CorePair()
    pair.open()
    call = pair.submit(pair.operations.get("/a"))
    pair.close()
    pair.reopen()
    pair.reply(pair.next(GetDataRequest), DATA)
    assert call.result() == (b"data", STAT)


def test_a_read_is_not_sent_again_for_ever() -> None:
    pair = CorePair()
    pair.open()
    call = pair.submit(pair.operations.get("/a"))
    for _ in range(MOST_LOSSES - 1):
        pair.close()
        pair.reopen()
    assert not call.done
    pair.close()
    assert isinstance(call.exception(), ConnectionLostError)
    assert outcome_of(call) is Outcome.NOT_APPLIED


def test_a_reply_that_cannot_be_read_fails_its_own_request_only() -> None:
    pair = CorePair()
    pair.open()
    first = pair.submit(pair.operations.get("/first"))
    poison = pair.submit(pair.operations.get("/poison"))
    last = pair.submit(pair.operations.get("/last"))
    assert pair.server is not None
    good = pair.frame(pair.next(GetDataRequest), DATA)
    pair.send(good, pair.server.reply(pair.next(GetDataRequest).xid, 200, EmptyResponse()))
    assert first.result() == (b"data", STAT)
    assert "protocol error" in str(poison.exception())
    pair.reopen()
    assert pair.next(GetDataRequest).request == GetDataRequest("/last", False)
    assert not last.done


def test_an_oversized_reply_fails_the_request_it_answers_and_is_not_asked_for_again() -> None:
    pair = CorePair(max_frame=1000)
    pair.open()
    call = pair.submit(pair.operations.get("/big"))
    pair.reply(pair.next(GetDataRequest), GetDataResponse(bytes(2000), STAT))
    assert isinstance(call.exception(), ConnectionLostError)
    pair.reopen()
    assert pair.requests == []


def test_an_unanswered_credential_is_not_blamed_for_a_reply_that_cannot_be_read() -> None:
    pair = CorePair()
    pair.open()
    poison = pair.submit(pair.operations.get("/poison"))
    auth = pair.submit(pair.operations.add_auth("digest", b"u:p"))
    pair.reply(pair.next(GetDataRequest), EmptyResponse())
    assert poison.done
    assert not auth.done


def test_a_write_whose_reply_cannot_be_read_is_unknown() -> None:
    pair = CorePair()
    pair.open()
    call = pair.submit(pair.operations.set("/a", b"x"))
    pair.reply(pair.next(SetDataRequest), EmptyResponse())
    assert outcome_of(call) is Outcome.UNKNOWN


def test_replies_received_before_bad_bytes_complete_their_requests() -> None:
    pair = CorePair()
    pair.open()
    calls = [pair.submit(pair.operations.get(f"/{i}")) for i in range(3)]
    frames = [pair.frame(pair.next(GetDataRequest), DATA) for _ in calls[:2]]
    pair.send(*frames, b"\xff\xff\xff\xff")
    assert [call.result() for call in calls[:2]] == [(b"data", STAT)] * 2
    assert isinstance(calls[2].exception(), ConnectionLostError)
    assert pair.states[-1] is S.SUSPENDED


def test_replies_in_the_piece_that_ends_the_session_complete_their_requests() -> None:
    pair = CorePair()
    pair.open()
    sink = Sink()
    before = pair.submit(pair.operations.get("/before"))
    auth = pair.submit(pair.operations.add_auth("digest", b"u:p"))
    after = pair.submit(pair.operations.get("/after", sink))
    unanswered = pair.submit(pair.operations.get("/unanswered"))
    requests = list(pair.requests)
    pair.send(
        pair.frame(requests[0], DATA),
        pair.frame(requests[1], err=AUTH_FAILED, zxid=0),
        pair.frame(requests[2], DATA),
    )
    assert before.result() == after.result() == (b"data", STAT)
    assert isinstance(auth.exception(), AuthFailedError)
    assert isinstance(unanswered.exception(), AuthFailedError)
    assert [(event.type, event.state) for event in sink.events] == [(EventType.NONE, S.AUTH_FAILED)]
    assert len(pair.core.watches) == 0


def test_two_refused_credentials_in_one_piece_end_both_calls() -> None:
    pair = CorePair()
    pair.open()
    calls = [pair.submit(pair.operations.add_auth("digest", secret)) for secret in (b"u:1", b"u:2")]
    pair.send(*[pair.frame(request, err=AUTH_FAILED, zxid=0) for request in pair.requests])
    assert [type(call.exception()) for call in calls] == [AuthFailedError] * 2
    assert pair.states == [S.CONNECTING, S.CONNECTED, S.AUTH_FAILED]


def test_frames_that_never_left_are_sent_again_as_they_were_whatever_they_do() -> None:
    pair = CorePair()
    pair.open()
    write = pair.submit_unsent(pair.operations.set("/a", b"x"))
    pair.core.closed(pair.now, "gone")
    pair.settle()
    pair.reopen()
    assert pair.kinds() == ["SetDataRequest"]
    pair.reply(pair.next(SetDataRequest), SetDataResponse(STAT))
    assert write.result() == STAT


def test_unsent_frames_come_before_what_was_queued_later_and_resent_reads_before_both() -> None:
    pair = CorePair()
    pair.open()
    paths = ["/sent1", "/sent2", "/unsent1", "/unsent2"]
    for path in paths[:2]:
        pair.submit(pair.operations.get(path))
    for path in paths[2:]:
        pair.submit_unsent(pair.operations.set(path, b""))
    pair.core.closed(pair.now, "gone")
    pair.settle()
    pair.submit(pair.operations.get("/queued"))
    pair.reopen()
    assert [request.request.path for request in pair.requests] == [*paths, "/queued"]  # type: ignore[attr-defined]


def test_lost_writes_are_looked_up_before_resent_reads_which_keep_their_order() -> None:
    pair = CorePair()
    pair.open()
    pair.submit(pair.operations.get("/r0"))
    pair.reply(pair.next(GetDataRequest), DATA)
    pair.submit(pair.operations.get("/r1"))
    write = pair.submit(pair.operations.set("/w", b"x"))
    pair.submit(pair.operations.get("/r2"))
    pair.submit_unsent(pair.operations.set("/u", b"x"))
    pair.core.closed(pair.now, "gone")
    pair.settle()
    pair.reopen()
    pair.agree()
    assert pair.next(GetDataRequest).request.path == "/w"  # type: ignore[attr-defined]
    assert pair.kinds() == ["ExistsRequest"]
    assert not write.done
    assert pair.server is not None
    pair.send(pair.server.reply(2, 200, GetDataResponse(b"old", stat(mzxid=1))))
    pair.reply(pair.next(ExistsRequest), ExistsResponse(STAT))
    assert outcome_of(write) is Outcome.NOT_APPLIED
    assert [request.request.path for request in pair.requests] == ["/r1", "/r2", "/u"]  # type: ignore[attr-defined]


def test_a_second_loss_keeps_the_order_of_reads_and_queue() -> None:
    pair = CorePair()
    pair.open()
    for path in ("/1", "/2"):
        pair.submit(pair.operations.get(path))
    pair.close()
    pair.submit(pair.operations.get("/3"))
    pair.reopen()
    pair.reply(pair.next(GetDataRequest), DATA)
    pair.close()
    pair.submit(pair.operations.get("/4"))
    pair.reopen()
    assert [request.request.path for request in pair.requests] == ["/2", "/3", "/4"]  # type: ignore[attr-defined]


def test_a_lost_write_is_looked_up_again_when_the_next_connection_ends_as_well() -> None:
    pair = CorePair()
    pair.open()
    call = pair.submit(pair.operations.create("/a", ephemeral=True))
    pair.close()
    pair.reopen()
    pair.agree()
    pair.close()
    pair.reopen()
    pair.agree()
    found = stat(czxid=200, ephemeral_owner=SESSION)
    pair.reply(pair.next(ExistsRequest), ExistsResponse(found))
    pair.reply(pair.next(ExistsRequest), ExistsResponse(STAT))
    assert call.result() == "/a"
    assert pair.core.phase == READY


def test_a_lost_write_that_cannot_be_looked_up_in_time_is_unknown() -> None:
    pair = CorePair(timeout=9.0, resolve_timeout=3.0)
    pair.open()
    call = pair.submit(pair.operations.set("/a", b"x"))
    pair.close()
    pair.wait_for(2.9)
    assert not call.done
    pair.wait_for(0.2)
    assert outcome_of(call) is Outcome.UNKNOWN


def test_a_lost_write_waits_for_as_long_as_the_session_may_be_resumed_when_nothing_else_is_said() -> None:
    pair = CorePair(timeout=9.0)
    pair.open(timeout=6.0)
    call = pair.submit(pair.operations.set("/a", b"x"))
    pair.close()
    pair.wait_for(7.9)  # longer than the timeout: the server counts from what it heard last, and in ticks
    assert not call.done
    pair.wait_for(0.2)
    assert isinstance(call.exception(), SessionExpiredError)
    assert outcome_of(call) is Outcome.UNKNOWN


def test_a_lost_write_whose_answers_end_every_connection_is_unknown_after_the_session_timeout() -> None:
    pair = CorePair(timeout=9.0)
    pair.open()
    call = pair.submit(pair.operations.set("/a", b"x"))
    pair.close()
    for _ in range(10):
        assert not call.done
        pair.reopen()
        pair.agree()
        pair.wait_for(0.5)
        pair.close()
    assert not call.done
    pair.wait_for(4.1)
    assert outcome_of(call) is Outcome.UNKNOWN
    assert pair.core.state is SessionState.SUSPENDED


def test_a_request_can_be_taken_back_while_it_waits_in_the_queue() -> None:
    pair = CorePair()
    pair.start()
    call = pair.submit(pair.operations.set("/a", b"x"))
    assert call.cancel()
    assert isinstance(call.exception(), CancelledCallError)
    assert outcome_of(call) is Outcome.NOT_APPLIED
    pair.connect()
    pair.grant()
    assert pair.requests == []


def test_a_read_that_waits_to_be_sent_again_can_be_taken_back() -> None:
    pair = CorePair()
    pair.open()
    call = pair.submit(pair.operations.get("/a"))
    pair.close()
    assert call.cancel()
    pair.reopen()
    assert pair.requests == []


def test_a_request_on_its_way_cannot_be_taken_back_and_its_reply_is_consumed() -> None:
    pair = CorePair()
    pair.open()
    call = pair.submit(pair.operations.get("/a"))
    other = pair.submit(pair.operations.get("/b"))
    assert not call.cancel()
    for _ in range(2):
        pair.reply(pair.next(GetDataRequest), DATA)
    assert other.result() == (b"data", STAT)


def test_a_request_given_up_by_its_caller_is_not_sent_again() -> None:
    pair = CorePair()
    pair.open()
    read = pair.submit(pair.operations.get("/a"))
    write = pair.submit(pair.operations.set("/a", b""))
    read.cancel()
    write.cancel()
    pair.close()
    assert (outcome_of(read), outcome_of(write)) == (Outcome.NOT_APPLIED, Outcome.UNKNOWN)
    pair.reopen()
    assert pair.requests == []


def test_an_unknown_operation_fails_alone_and_costs_one_reconnect() -> None:
    pair = CorePair()
    pair.open()
    earlier = pair.submit(pair.operations.get("/a"))
    call = pair.submit(pair.operations.whoami())
    later = pair.submit(pair.operations.get("/b"))
    requests = list(pair.requests)
    pair.send(pair.frame(requests[0], DATA), pair.frame(requests[1], err=UNIMPLEMENTED, zxid=-1))
    assert isinstance(requests[1].request, WhoAmIRequest)
    assert earlier.done
    assert isinstance(call.exception(), UnimplementedError)
    assert pair.states[-1] is S.SUSPENDED
    pair.reopen()
    pair.reply(pair.next(GetDataRequest), DATA)
    assert later.result() == (b"data", STAT)


def test_what_comes_with_the_news_that_an_operation_is_unknown_still_counts() -> None:
    pair = CorePair()
    pair.open()
    fired, armed = Sink(), Sink()
    pair.submit(pair.operations.get("/a", fired))
    pair.reply(pair.next(GetDataRequest), DATA)
    pair.submit(pair.operations.whoami())
    created = pair.submit(pair.operations.create("/e", ephemeral=True))
    lost = pair.submit(pair.operations.create("/e", ephemeral=True))
    pair.submit(pair.operations.exists("/w", armed))
    requests = list(pair.requests)
    pair.send(
        pair.frame(requests[0], err=UNIMPLEMENTED, zxid=-1),
        pair.event(EventType.CHANGED, "/a"),
        pair.frame(requests[1], CreateResponse("/e"), zxid=300),
    )
    assert created.result() == "/e"
    assert fired.kinds == [("CHANGED", "/a")]
    pair.reopen()
    assert pair.hello is not None and pair.hello.last_zxid_seen == 300
    pair.agree()
    node = stat(czxid=300, ephemeral_owner=SESSION)
    pair.reply(pair.next(ExistsRequest), ExistsResponse(node))
    pair.reply(pair.next(ExistsRequest), ExistsResponse(STAT))
    # The node is that of the first create, which was answered.
    assert outcome_of(lost) is Outcome.NOT_APPLIED


def test_a_watch_event_of_an_unknown_type_ends_the_connection_and_nothing_else() -> None:
    pair = CorePair()
    pair.open()
    pair.submit(pair.operations.add_watch("/a", Sink(), recursive=True))
    assert pair.server is not None
    call = pair.submit(pair.operations.get("/b"))
    pair.send(pair.event(99, "/a"))
    assert pair.core.phase == WAITING
    assert "unknown type 99" in pair.core.reason
    pair.reopen()
    assert not call.done


def test_an_error_of_the_server_is_the_calls_own() -> None:
    pair = CorePair()
    pair.open()
    call = pair.submit(pair.operations.get("/a"))
    pair.reply(pair.next(GetDataRequest), err=NO_NODE)
    with pytest.raises(NoNodeError) as caught:
        call.result()
    assert (caught.value.path, caught.value.outcome) == ("/a", Outcome.NOT_APPLIED)


@pytest.mark.parametrize("code", [-12345, -124, -2, 77])
def test_an_error_code_nobody_knows_is_the_calls_own_and_harms_nothing(code: int) -> None:
    pair = CorePair()
    pair.open()
    first, second = pair.submit(pair.operations.get("/a")), pair.submit(pair.operations.get("/b"))
    pair.reply(pair.next(GetDataRequest), err=code)
    pair.reply(pair.next(GetDataRequest), DATA)
    with pytest.raises(ServerError, match=str(code)):
        first.result()
    assert second.result() == (DATA.data, STAT)
    assert pair.core.state is SessionState.CONNECTED
    assert pair.reasons == []


def test_a_write_given_up_without_being_looked_up_still_spoils_the_proof_of_its_twin() -> None:
    pair = CorePair(resolve_timeout=1.0)
    pair.open()
    first = pair.submit(pair.operations.create("/e", ephemeral=True))
    pair.next(CreateRequest)
    pair.close()
    pair.wait_for(0.2)
    pair.connect()
    pair.wait_for(1.1)
    assert outcome_of(first) is Outcome.UNKNOWN
    pair.grant()
    second = pair.submit(pair.operations.create("/e", ephemeral=True))
    pair.close()
    pair.reopen()
    pair.agree()
    pair.reply(pair.next(ExistsRequest), ExistsResponse(stat(czxid=500, ephemeral_owner=SESSION)))
    pair.reply(pair.next(ExistsRequest), ExistsResponse(STAT))
    assert outcome_of(second) is Outcome.UNKNOWN


def test_a_handshake_answer_and_replies_may_come_in_any_portions() -> None:
    pair = CorePair()
    pair.start()
    pair.connect()
    call = pair.submit(pair.operations.get("/a"))
    assert pair.server is not None
    for byte in pair.server.accept(ConnectResponse(9000, SESSION, PASSWORD, False)):
        pair.send(bytes((byte,)))
    for byte in pair.frame(pair.next(GetDataRequest), DATA):
        pair.send(bytes((byte,)))
    assert call.result() == (b"data", STAT)


@pytest.mark.parametrize("behind", ["the session", "an answer to a step", "a watch that is renewed"])
def test_bad_bytes_right_behind_good_ones_end_the_connection_and_nothing_else(behind: str) -> None:
    pair = CorePair()
    pair.open()
    pair.core.watches.add(3, "/p", Sink())
    call = pair.submit(pair.operations.get("/p", Sink()))
    if behind == "a watch that is renewed":
        pair.send(pair.frame(pair.next(GetDataRequest), DATA), b"\xff\xff\xff\xff")
        assert call.result() == (b"data", STAT)
    else:
        pair.submit(pair.operations.set("/a", b""))
        pair.close()
        pair.wait_for(0.2)
        pair.connect()
        if behind == "the session":
            pair.grant(also=b"\xff\xff\xff\xff")
        else:
            pair.grant()
            pair.requests.pop(0)
            pair.send(pair.frame(pair.next(MultiRequest), MultiResponse([])), b"\xff\xff\xff\xff")
        assert not call.done
    assert pair.core.phase == WAITING
    pair.reopen()
    assert pair.core.session_id == SESSION
