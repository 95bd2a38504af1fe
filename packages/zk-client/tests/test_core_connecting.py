"""The core on its way to a usable connection, and when it loses one: attempts, handshake, order, back-off."""

from __future__ import annotations

import pytest
from corepair import AUTH_FAILED, DATA, PASSWORD, SESSION, CorePair, Sink

from zk_client import ConnectionLostError, Outcome, RetryPolicy, SessionClosedError, SessionState
from zk_client._session.machine import HANDSHAKE, IDLE, READY, WAITING
from zk_wire import (
    AuthPacket,
    ConnectRequest,
    EmptyResponse,
    ExistsRequest,
    ExistsResponse,
    GetDataRequest,
    MultiRequest,
    PingRequest,
    SetWatches,
)

S = SessionState


def test_a_first_session_is_asked_for_with_nothing_in_hand() -> None:
    pair = CorePair(timeout=0.5)
    pair.start()
    pair.connect()
    assert pair.hello == ConnectRequest(0, 500, 0, bytes(16), False)
    pair.grant()
    assert pair.states == [S.CONNECTING, S.CONNECTED]
    assert (pair.core.session_id, pair.core.password) == (SESSION, PASSWORD)


def test_nothing_is_sent_between_the_connect_request_and_its_answer() -> None:
    pair = CorePair()
    pair.core.add_identity(("digest", b"u:p"))
    pair.start()
    pair.connect()
    pair.submit(pair.operations.get("/a"))
    assert pair.requests == []
    pair.grant()
    assert pair.kinds() == ["AuthPacket"]


def test_a_session_is_resumed_with_its_id_password_and_last_zxid() -> None:
    pair = CorePair()
    pair.open()
    pair.submit(pair.operations.get("/a"))
    pair.reply(pair.next(GetDataRequest), DATA, zxid=77)
    pair.close()
    pair.reopen()
    assert pair.hello == ConnectRequest(77, 9000, SESSION, PASSWORD, False)


def test_last_zxid_is_taken_from_replies_only_and_never_goes_back() -> None:
    pair = CorePair()
    pair.open()
    pair.submit(pair.operations.get("/a"))
    pair.reply(pair.next(GetDataRequest), err=-101, zxid=50)
    pair.submit(pair.operations.exists("/a"))
    pair.reply(pair.next(ExistsRequest), err=-101, zxid=49)
    pair.send(pair.event(3, "/a", zxid=99))
    pair.wait_for(3)
    pair.reply(pair.next(PingRequest), zxid=98)
    assert pair.core.last_zxid == 50


def test_after_a_reconnect_auth_comes_first_then_watches_then_lost_writes_then_requests() -> None:
    pair = CorePair()
    pair.core.add_identity(("digest", b"u:p"))
    pair.open()
    pair.reply(pair.next(AuthPacket), zxid=0)
    pair.submit(pair.operations.get("/a", Sink()))
    pair.reply(pair.next(GetDataRequest), DATA)
    pair.submit(pair.operations.set("/a", b"x"))
    pair.submit(pair.operations.get("/b"))
    pair.close()
    pair.reopen()
    order = pair.kinds()
    pair.reply(pair.next(AuthPacket), zxid=0)
    order += pair.kinds()
    pair.reply(pair.next(SetWatches))
    pair.reply(pair.next(MultiRequest), err=-119)
    order += pair.kinds()
    assert order == ["AuthPacket", "SetWatches", "MultiRequest", "GetDataRequest"]
    assert pair.core.phase == READY


def test_the_hosts_are_tried_in_order_and_a_pause_comes_after_the_last() -> None:
    pair = CorePair("a:1,b:2,c:3")
    pair.start()
    pair.refuse()
    pair.wait_for(0)
    pair.refuse()
    pair.wait_for(0)
    assert [connect.host.name for connect in pair.connects] == ["a", "b", "c"]
    pair.refuse()
    assert pair.core.phase == WAITING
    assert pair.core.deadline() == pytest.approx(pair.now + 0.1)


def test_the_pauses_between_rounds_grow_as_the_policy_says() -> None:
    pair = CorePair(reconnect=RetryPolicy(delay=0.1, backoff=2, jitter=0, max_delay=1.0), chance=0.9)
    pair.start()
    pauses = []
    for _ in range(7):
        pair.refuse()
        due = pair.core.deadline()
        assert due is not None
        pauses.append(due - pair.now)
        pair.wait_for(pauses[-1])
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0])


def test_the_handshake_has_a_time_limit_of_its_own() -> None:
    pair = CorePair("a:1,b:2", connect_timeout=2.0)
    pair.start()
    pair.connect()
    pair.wait_for(1.9)
    assert pair.core.phase == HANDSHAKE
    pair.wait_for(0.2)
    assert pair.server is None
    assert "no answer to the connect request" in pair.core.reason
    assert pair.connects[-1].host.name == "b"


@pytest.mark.parametrize("end", ["close", "reject", "garbage"])
def test_a_server_that_answers_no_session_is_no_expiry_and_the_next_host_is_tried(end: str) -> None:
    pair = CorePair("a:1,b:2")
    pair.open()
    pair.close()
    pair.wait_for(0.2)
    pair.connect()
    {"close": pair.close, "reject": pair.reject, "garbage": lambda: pair.send(b"HTTP/1.1 400 Bad Request\r\n")}[end]()
    pair.wait_for(0.2)
    assert pair.core.session_id == SESSION
    pair.connect()
    assert pair.hello is not None and pair.hello.session_id == SESSION
    pair.grant()
    assert pair.states == [S.CONNECTING, S.CONNECTED, S.SUSPENDED, S.CONNECTED]


def test_a_lost_connection_is_replaced_at_once_and_its_host_comes_last() -> None:
    pair = CorePair("a:1,b:2,c:3")
    pair.open()
    pair.submit(pair.operations.get("/a"))
    pair.reply(pair.next(GetDataRequest), DATA)
    pair.close()
    for _ in range(3):
        pair.wait_for(0)
        pair.refuse()
    assert [connect.host.name for connect in pair.connects[1:4]] == ["b", "c", "a"]


def test_a_server_that_accepts_and_closes_at_once_is_not_asked_in_a_tight_loop() -> None:
    pair = CorePair()
    pair.open()
    began = pair.now
    for _ in range(8):
        pair.close()
        pair.reopen()
    assert pair.now - began > 10
    assert pair.states.count(S.CONNECTED) == 9


def test_the_pauses_begin_anew_once_a_connection_has_proved_itself() -> None:
    pair = CorePair()
    pair.open()
    for _ in range(5):
        pair.close()
        pair.reopen()
    pair.submit(pair.operations.get("/a"))
    pair.reply(pair.next(GetDataRequest), DATA)
    pair.close()
    assert pair.core.deadline() == pair.now


def test_the_client_closes_when_the_policy_gives_up() -> None:
    pair = CorePair(reconnect=RetryPolicy(max_tries=2, delay=0.1, jitter=0))
    pair.start()
    waiting = pair.submit(pair.operations.get("/a"))
    pair.refuse()
    pair.wait_for(1)
    pair.refuse()
    assert pair.states == [S.CONNECTING, S.CLOSED]
    assert isinstance(waiting.exception(), SessionClosedError)
    assert "gave up connecting after 2 rounds: connection refused" in str(waiting.exception())


def test_a_connection_that_nobody_wants_any_more_is_closed() -> None:
    pair = CorePair()
    pair.start()
    pair.stop()
    reasons = len(pair.reasons)
    pair.core.connected(pair.now)
    pair.settle()
    assert pair.reasons[reasons:] == ["no longer wanted"]


def test_a_refused_credential_on_reconnect_ends_the_session_and_names_the_scheme_only() -> None:
    pair = CorePair()
    pair.open()
    pair.submit(pair.operations.add_auth("digest", "user:secret"))
    pair.reply(pair.next(AuthPacket), EmptyResponse(), zxid=0)
    pair.close()
    queued = pair.submit(pair.operations.get("/a"))
    pair.reopen()
    pair.reply(pair.next(AuthPacket), err=AUTH_FAILED, zxid=0)
    assert pair.states[-2:] == [S.SUSPENDED, S.AUTH_FAILED]
    assert "scheme digest" in str(queued.exception())
    assert pair.core.phase == IDLE


def test_an_identity_is_presented_on_every_connection_once_it_was_accepted() -> None:
    pair = CorePair()
    pair.open()
    call = pair.submit(pair.operations.add_auth("digest", b"u:p"))
    pair.reply(pair.next(AuthPacket), EmptyResponse(), zxid=0)
    assert call.result() is None
    for _ in range(2):
        pair.close()
        pair.reopen()
        assert pair.next(AuthPacket).request == AuthPacket("digest", b"u:p")


def test_an_identity_whose_answer_was_lost_is_presented_again() -> None:
    pair = CorePair()
    pair.open()
    call = pair.submit(pair.operations.add_auth("digest", b"u:p"))
    pair.close()
    pair.reopen()
    pair.reply(pair.next(AuthPacket), EmptyResponse(), zxid=0)
    assert call.result() is None


def test_xids_wrap_to_one() -> None:
    pair = CorePair()
    pair.open()
    assert pair.core.connection is not None
    pair.core.connection._xid = 2**31 - 2
    calls = [pair.submit(pair.operations.exists(f"/{i}")) for i in range(3)]
    assert [request.xid for request in pair.requests] == [2**31 - 1, 1, 2]
    for _ in calls:
        pair.reply(pair.next(ExistsRequest), ExistsResponse(DATA.stat))
    assert [call.result() for call in calls] == [DATA.stat] * 3


def test_a_reconnect_on_purpose_keeps_session_and_requests() -> None:
    pair = CorePair()
    pair.open()
    call = pair.submit(pair.operations.get("/a"))
    pair.core.reconnect(pair.now, "asked for")
    pair.settle()
    pair.reopen()
    pair.reply(pair.next(GetDataRequest), DATA)
    assert call.result() == (b"data", DATA.stat)
    assert pair.hellos[1].session_id == SESSION


def test_when_disconnected_fail_means_at_once_and_not_applied() -> None:
    pair = CorePair(queue_when_disconnected=False)
    pair.start()
    call = pair.submit(pair.operations.set("/a", b""))
    error = call.exception()
    assert isinstance(error, ConnectionLostError)
    assert error.outcome is Outcome.NOT_APPLIED


def test_when_disconnected_fail_ends_what_was_under_way_and_says_what_is_known() -> None:
    pair = CorePair(queue_when_disconnected=False)
    pair.open()
    read = pair.submit(pair.operations.get("/a"))
    write = pair.submit(pair.operations.set("/a", b""))
    unsent = pair.submit_unsent(pair.operations.set("/a", b""))
    pair.core.closed(pair.now, "gone")
    pair.settle()
    outcomes = [call.exception().outcome for call in (read, write, unsent)]  # type: ignore[union-attr]
    assert outcomes == [Outcome.NOT_APPLIED, Outcome.UNKNOWN, Outcome.NOT_APPLIED]
