"""The core at the end of a session: expiry and stopping, in every phase, and what everybody is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from corepair import AUTH_FAILED, DATA, PASSWORD, SESSION, STAT, CorePair, Sink

from zk_client import ConnectionLostError, Outcome, SessionClosedError, SessionExpiredError, SessionState
from zk_client._session.machine import CLOSING, CONNECTING, HANDSHAKE, IDLE, PREPARING, READY, WAITING
from zk_client._session.wishes import GRANT_GRACE
from zk_wire import (
    AuthPacket,
    CloseSessionRequest,
    ConnectRequest,
    EmptyResponse,
    EventType,
    GetDataRequest,
    MultiRequest,
    SetWatches,
)

S = SessionState
OTHER = 0x2000_0000_0002


def lose(pair: CorePair) -> None:
    """Lose a connection that has proved itself, so that the next attempt is due at once."""
    pair.submit(pair.operations.get("/proof"))
    pair.reply(pair.next(GetDataRequest), DATA)
    pair.close()


def to_waiting(pair: CorePair) -> None:
    lose(pair)


def to_connecting(pair: CorePair) -> None:
    lose(pair)
    pair.wait_for(0)


def to_handshake(pair: CorePair) -> None:
    to_connecting(pair)
    pair.connect()


def to_preparing(pair: CorePair) -> None:
    pair.submit(pair.operations.add_auth("digest", b"u:p"))
    pair.reply(pair.next(AuthPacket), EmptyResponse(), zxid=0)
    to_handshake(pair)
    pair.grant()


def to_ready(pair: CorePair) -> None:
    pass


PHASES: dict[int, Callable[[CorePair], None]] = {
    WAITING: to_waiting,
    CONNECTING: to_connecting,
    HANDSHAKE: to_handshake,
    PREPARING: to_preparing,
    READY: to_ready,
}


def in_phase(phase: int, **config: object) -> CorePair:
    """A pair whose session has been connected once, in one of the phases."""
    pair = CorePair(**config)  # type: ignore[arg-type]
    pair.open()
    PHASES[phase](pair)
    assert pair.core.phase == phase
    return pair


# Expiry


@pytest.mark.parametrize("phase", [WAITING, CONNECTING, HANDSHAKE])
def test_a_session_no_server_was_heard_of_for_four_thirds_of_its_timeout_is_expired(phase: int) -> None:
    pair = in_phase(phase, timeout=9.0, connect_timeout=60.0)
    heard = pair.now
    call = pair.submit(pair.operations.get("/a"))
    pair.wait_for(11.9)
    assert pair.core.state is S.SUSPENDED
    pair.wait_for(0.2)
    assert pair.states[-2:] == [S.EXPIRED, S.CONNECTING]
    assert pair.core.session_id == 0
    assert isinstance(call.exception(), SessionExpiredError)
    assert "session 0x100000000001 expired: no server heard for 12.0 s (session timeout 9.0 s)" in str(call.exception())
    assert pair.now - heard < 13


def test_a_session_that_is_served_does_not_expire_by_itself() -> None:
    pair = in_phase(READY, timeout=9.0)
    for _ in range(10):
        pair.wait_for(3.1)
        while pair.requests:
            pair.reply(pair.requests.pop(0), zxid=0)
    assert pair.core.state is S.CONNECTED


def test_the_servers_word_that_the_session_is_gone_is_an_expiry() -> None:
    pair = in_phase(HANDSHAKE)
    pair.gone()
    assert pair.states == [S.CONNECTING, S.CONNECTED, S.SUSPENDED, S.EXPIRED, S.CONNECTING]


def test_a_dead_session_id_is_never_presented_again() -> None:
    pair = in_phase(HANDSHAKE)
    pair.gone()
    pair.reopen(session_id=OTHER)
    assert pair.hello == ConnectRequest(0, 9000, 0, bytes(16), False)
    assert pair.core.session_id == OTHER
    assert pair.states[-1] is S.CONNECTED


def test_another_session_id_in_the_answer_is_an_expiry_whatever_the_server_says() -> None:
    pair = in_phase(HANDSHAKE)
    sink = Sink()
    pair.core.watches.add(0, "/a", sink)
    queued = pair.submit(pair.operations.get("/q"))
    pair.grant(OTHER)
    assert pair.states[-3:] == [S.EXPIRED, S.CONNECTING, S.CONNECTED]
    assert isinstance(queued.exception(), SessionExpiredError)
    assert [(event.type, event.state) for event in sink.events] == [(EventType.NONE, S.EXPIRED)]
    assert pair.core.session_id == OTHER


def test_another_session_id_ends_a_client_that_is_not_to_begin_a_new_session() -> None:
    pair = in_phase(HANDSHAKE, renew_after_expiry=False)
    pair.grant(OTHER)
    assert pair.states[-1] is S.EXPIRED
    assert pair.core.phase == IDLE
    assert pair.server is None


def test_without_renewal_an_expired_client_refuses_requests_until_it_is_started_again() -> None:
    pair = in_phase(HANDSHAKE, renew_after_expiry=False)
    pair.gone()
    assert isinstance(pair.submit(pair.operations.get("/a")).exception(), SessionExpiredError)
    pair.start()
    pair.open(OTHER)
    assert pair.states[-3:] == [S.EXPIRED, S.CONNECTING, S.CONNECTED]


def test_expiry_ends_every_call_and_says_what_is_known_of_each() -> None:
    pair = CorePair()
    pair.open()
    write = pair.submit(pair.operations.set("/lost", b""))
    pair.close()
    queued = pair.submit(pair.operations.set("/queued", b""))
    pair.reopen()
    pair.next(MultiRequest)
    pair.close()
    pair.wait_for(0.2)
    pair.connect()
    pair.gone()
    for call, outcome in ((write, Outcome.UNKNOWN), (queued, Outcome.NOT_APPLIED)):
        error = call.exception()
        assert isinstance(error, SessionExpiredError)
        assert error.outcome is outcome


def test_every_watch_is_told_once_of_the_expiry_and_forgotten() -> None:
    class Owner:
        def __init__(self) -> None:
            self.told: list[object] = []

        def hear(self, event: object) -> None:
            self.told.append(event)

    owner = Owner()
    pair = CorePair()
    pair.open()
    # Two bound methods of one object are equal, but not the same object.
    pair.core.watches.add(0, "/a", owner.hear)
    pair.core.watches.add(2, "/a", owner.hear)
    pair.core.watches.add(3, "/b", owner.hear)
    pair.close()
    pair.wait_for(0.2)
    pair.connect()
    pair.gone()
    assert sorted(event.path for event in owner.told) == ["/a", "/b"]  # type: ignore[attr-defined]
    assert len(pair.core.watches) == 0


def test_the_lease_is_zero_after_an_expiry_and_counts_anew_for_the_next_session() -> None:
    pair = in_phase(HANDSHAKE)
    assert pair.core.lease_remaining(pair.now) > 0
    pair.gone()
    assert pair.core.lease_remaining(pair.now) == 0
    pair.reopen(session_id=OTHER)
    assert pair.core.lease_remaining(pair.now) == pytest.approx(9.0 * 0.9)


def test_a_resumed_session_is_presented_at_once_and_expires_when_the_server_does_not_know_it() -> None:
    pair = CorePair(resume=(OTHER, PASSWORD))
    pair.start()
    pair.connect()
    assert pair.hello == ConnectRequest(0, 9000, OTHER, PASSWORD, False)
    pair.gone()
    assert pair.states == [S.CONNECTING, S.EXPIRED, S.CONNECTING]
    pair.reopen(session_id=SESSION)
    assert pair.hello.session_id == 0


# Stopping


@pytest.mark.parametrize("phase", [WAITING, CONNECTING])
def test_stop_ends_at_once_where_there_is_nobody_to_tell(phase: int) -> None:
    pair = in_phase(phase)
    call = pair.submit(pair.operations.get("/a"))
    pair.stop()
    assert pair.core.phase == IDLE
    assert pair.states[-1] is S.CLOSED
    assert isinstance(call.exception(), SessionClosedError)
    assert pair.server is None


@pytest.mark.parametrize("session", ["granted", "confirmed", "another"])
def test_a_session_that_is_granted_while_stop_is_under_way_is_closed(session: str) -> None:
    pair = CorePair() if session == "granted" else in_phase(HANDSHAKE)
    if session == "granted":
        pair.start()
        pair.connect()
    pair.stop()
    assert pair.core.phase == CLOSING
    assert isinstance(pair.submit(pair.operations.get("/a")).exception(), SessionClosedError)
    pair.grant(OTHER if session == "another" else SESSION)
    pair.reply(pair.next(CloseSessionRequest))
    assert pair.core.phase == IDLE
    assert pair.states[-1] is S.CLOSED and S.EXPIRED not in pair.states
    assert pair.logs[-1].message == f"session 0x{OTHER if session == 'another' else SESSION:x} closed"


@pytest.mark.parametrize("how", ["refused", "eof", "silence", "abort"])
def test_stop_waits_no_longer_than_it_must_for_a_session_that_is_not_granted(how: str) -> None:
    pair = in_phase(HANDSHAKE)
    waiting = pair.submit(pair.operations.get("/a"))
    pair.stop()
    assert not waiting.done
    if how == "refused":
        pair.gone()
    elif how == "eof":
        pair.close()
    elif how == "silence":
        pair.wait_for(GRANT_GRACE)
    else:
        pair.core.abort()
        pair.settle()
    assert pair.core.phase == IDLE
    assert pair.states[-1] is S.CLOSED and S.EXPIRED not in pair.states
    assert isinstance(waiting.exception(), SessionClosedError)
    assert pair.server is None


def test_a_session_to_be_left_open_is_not_waited_for() -> None:
    pair = in_phase(HANDSHAKE)
    pair.stop(close_session=False)
    assert pair.core.phase == IDLE
    pair.start()
    pair.connect()
    assert pair.hello is not None and pair.hello.session_id == SESSION


def test_stop_sends_close_session_behind_what_was_asked_and_waits_for_its_answer() -> None:
    pair = in_phase(READY)
    call = pair.submit(pair.operations.get("/a"))
    pair.stop()
    assert pair.core.phase == CLOSING
    assert pair.core.state is S.CONNECTED
    pair.reply(pair.next(GetDataRequest), DATA)
    assert call.result() == (b"data", STAT)
    pair.reply(pair.next(CloseSessionRequest))
    assert pair.states[-1] is S.CLOSED
    assert pair.core.phase == IDLE


def test_stop_while_the_session_is_prepared_closes_it_and_prepares_no_further() -> None:
    pair = in_phase(PREPARING)
    pair.core.watches.add(0, "/a", Sink())
    queued = pair.submit(pair.operations.get("/q"))
    pair.stop()
    pair.reply(pair.next(AuthPacket), zxid=0)
    assert pair.kinds() == ["CloseSessionRequest"]
    pair.reply(pair.next(CloseSessionRequest))
    assert pair.states[-1] is S.CLOSED
    assert isinstance(queued.exception(), SessionClosedError)


def test_a_credential_refused_during_stop_still_ends_in_closed() -> None:
    pair = in_phase(PREPARING)
    pair.stop()
    pair.reply(pair.next(AuthPacket), err=AUTH_FAILED, zxid=0)
    assert pair.states[-1] is S.CLOSED


@pytest.mark.parametrize("how", ["eof", "silence", "abort"])
def test_stop_ends_even_when_the_server_does_not_answer(how: str) -> None:
    pair = in_phase(READY)
    unsent_after = pair.submit(pair.operations.set("/a", b""))
    pair.stop()
    if how == "eof":
        pair.close()
    elif how == "silence":
        pair.wait_for(6.1)
    else:
        pair.core.abort()
        pair.settle()
    assert pair.states[-1] is S.CLOSED
    error = unsent_after.exception()
    assert isinstance(error, SessionClosedError)
    assert error.outcome is Outcome.UNKNOWN


def test_the_lease_is_zero_from_the_moment_close_session_is_on_its_way() -> None:
    pair = in_phase(READY)
    pair.submit(pair.operations.get("/a"))
    pair.stop()
    assert pair.core.lease_remaining(pair.now) == 0
    pair.reply(pair.next(GetDataRequest), DATA)
    assert pair.core.lease_remaining(pair.now) == 0
    pair.reply(pair.next(CloseSessionRequest))
    assert pair.core.lease_remaining(pair.now) == 0


@pytest.mark.parametrize("phase", [CLOSING, IDLE])
def test_requests_after_stop_are_refused(phase: int) -> None:
    pair = in_phase(READY)
    pair.stop()
    if phase == IDLE:
        pair.reply(pair.next(CloseSessionRequest))
    error = pair.submit(pair.operations.set("/a", b"")).exception()
    assert isinstance(error, SessionClosedError)
    assert error.outcome is Outcome.NOT_APPLIED


def test_stop_twice_and_stop_before_start_have_no_effect() -> None:
    pair = CorePair()
    pair.stop()
    assert pair.states == []
    pair.open()
    pair.stop()
    pair.stop()
    assert pair.kinds() == ["CloseSessionRequest"]
    pair.reply(pair.next(CloseSessionRequest))
    pair.stop()
    assert pair.states == [S.CONNECTING, S.CONNECTED, S.CLOSED]


def test_a_stopped_client_starts_with_a_new_session() -> None:
    pair = in_phase(READY)
    pair.stop()
    pair.reply(pair.next(CloseSessionRequest))
    pair.start()
    pair.connect()
    assert pair.hello == ConnectRequest(0, 9000, 0, bytes(16), False)


def test_stop_without_closing_leaves_the_session_to_be_resumed_by_the_next_start() -> None:
    pair = in_phase(READY)
    pair.stop(close_session=False)
    assert pair.requests == []
    assert pair.states[-1] is S.CLOSED
    assert pair.core.lease_remaining(pair.now) == 0
    pair.start()
    pair.connect()
    assert pair.hello is not None
    assert (pair.hello.session_id, pair.hello.password) == (SESSION, PASSWORD)


def test_stop_says_what_is_known_of_lost_and_unsent_writes() -> None:
    pair = in_phase(READY)
    lost = pair.submit(pair.operations.set("/a", b""))
    unsent = pair.submit_unsent(pair.operations.set("/a", b""))
    pair.core.abort()
    pair.settle()
    outcomes = [call.exception().outcome for call in (lost, unsent)]  # type: ignore[union-attr]
    assert outcomes == [Outcome.UNKNOWN, Outcome.NOT_APPLIED]


def test_watches_are_told_when_the_client_is_stopped() -> None:
    pair = in_phase(READY)
    sink = Sink()
    pair.core.watches.add(0, "/a", sink)
    pair.stop()
    pair.reply(pair.next(CloseSessionRequest))
    assert [(event.type, event.state) for event in sink.events] == [(EventType.NONE, S.CLOSED)]


def test_a_failure_of_the_handler_leaves_nothing_waiting() -> None:
    pair = in_phase(READY)
    call = pair.submit(pair.operations.get("/a"))
    pair.core.fail("internal error")
    pair.settle()
    assert isinstance(call.exception(), SessionClosedError)
    assert pair.states[-1] is S.CLOSED


def test_bytes_that_arrive_after_the_end_are_ignored() -> None:
    pair = in_phase(READY)
    pair.submit(pair.operations.get("/a"))
    frame = pair.frame(pair.next(GetDataRequest), DATA)
    pair.core.abort()
    pair.settle()
    pair.core.received(frame, pair.now)
    pair.core.closed(pair.now, "eof")
    pair.core.tick(pair.now)
    pair.settle()
    assert pair.core.phase == IDLE


def test_losing_the_connection_is_not_the_end_of_the_lease() -> None:
    pair = in_phase(READY)
    pair.close()
    assert pair.core.lease_remaining(pair.now) == pytest.approx(9.0 * 0.9)
    pair.wait_for(9.0)
    assert pair.core.lease_remaining(pair.now) == 0


def test_watches_set_in_the_first_session_are_not_set_in_the_second() -> None:
    pair = in_phase(HANDSHAKE)
    pair.core.watches.add(0, "/a", Sink())
    pair.gone()
    pair.reopen(session_id=OTHER)
    assert not any(isinstance(request.request, SetWatches) for request in pair.requests)


def test_an_error_while_disconnected_says_why_there_is_no_server() -> None:
    pair = CorePair("h1:1,h2:2", queue_when_disconnected=False)
    pair.start()
    pair.refuse("connection refused")
    error = pair.submit(pair.operations.get("/a")).exception()
    assert isinstance(error, ConnectionLostError)
    assert str(error) == "/a: disconnected (h1:1: connection refused); not applied"
