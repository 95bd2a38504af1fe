"""Timers: pings, the read deadline, and a lease that never promises more than the server keeps."""

from __future__ import annotations

from typing import Any

import pytest
from corepair import DATA, SESSION, CorePair
from hypothesis import given, settings
from hypothesis import strategies as st

from zk_client._session.machine import CONNECTING, HANDSHAKE, READY
from zk_client._session.timers import LEASE_MARGIN, Timers
from zk_client.states import SessionState
from zk_wire import GetDataRequest, PingRequest


def ready(timeout: float = 9.0) -> CorePair:
    pair = CorePair(timeout=timeout)
    pair.open()
    return pair


@pytest.mark.parametrize(("timeout", "interval"), [(0.3, 0.1), (9.0, 3.0), (30.0, 10.0), (90.0, 10.0)])
def test_a_ping_goes_out_after_a_third_of_the_timeout_and_at_least_every_ten_seconds(
    timeout: float, interval: float
) -> None:
    pair = ready(timeout)
    pair.wait_for(interval * 0.99)
    assert pair.requests == []
    pair.wait_for(interval * 0.02)
    assert pair.kinds() == ["PingRequest"]


def test_no_ping_goes_out_while_requests_do() -> None:
    pair = ready()
    for _ in range(20):
        pair.submit(pair.operations.get("/a"))
        pair.reply(pair.next(GetDataRequest), DATA)
        pair.wait_for(2.9)
        assert pair.requests == []


def test_an_unanswered_ping_drops_the_connection_at_the_read_deadline() -> None:
    pair = ready()
    pair.wait_for(5.9)
    assert pair.core.phase == READY
    pair.wait_for(0.2)
    assert pair.states[-1] is SessionState.SUSPENDED
    assert "server silent for 6.0 s (read timeout 6.0 s)" in pair.core.reason


def test_a_frozen_server_is_noticed_while_the_application_keeps_sending() -> None:
    pair = ready()
    began = pair.now
    while pair.core.phase == READY and pair.now < began + 60:
        pair.submit(pair.operations.get("/a"))
        pair.wait_for(0.5)
    assert pair.now - began == pytest.approx(6.0, abs=0.6)


def test_a_frozen_server_is_noticed_during_a_stop() -> None:
    pair = ready()
    pair.stop()
    pair.wait_for(6.1)
    assert pair.states[-1] is SessionState.CLOSED


def test_anything_received_moves_the_read_deadline() -> None:
    pair = ready()
    for _ in range(5):
        pair.wait_for(2.5)
        pair.requests.clear()
        pair.notify(3, "/unwatched")
    assert pair.core.phase == READY


def test_the_servers_timeout_counts_not_the_one_asked_for() -> None:
    pair = CorePair(timeout=30.0)
    pair.open(timeout=6.0)
    pair.wait_for(2.1)
    assert pair.kinds() == ["PingRequest"]
    assert pair.core.lease_remaining(pair.now) < 6.0


def test_the_timeout_asked_for_stays_the_same_after_a_shorter_one_was_granted() -> None:
    pair = CorePair(timeout=30.0)
    pair.open(timeout=6.0)
    pair.close()
    pair.reopen()
    assert [hello.timeout_ms for hello in pair.hellos] == [30_000, 30_000]
    assert pair.core.timers.timeout == 30.0


def test_the_lease_counts_from_when_an_answered_request_was_sent() -> None:
    pair = ready()
    pair.wait_for(1.0)
    pair.submit(pair.operations.get("/a"))
    sent = pair.now
    pair.wait_for(1.0)
    before = pair.core.lease_remaining(pair.now)
    pair.reply(pair.next(GetDataRequest), DATA)
    assert before == pytest.approx(9.0 * (1 - LEASE_MARGIN) - 2.0)
    assert pair.core.lease_remaining(pair.now) == pytest.approx(sent + 9.0 * (1 - LEASE_MARGIN) - pair.now)


def test_the_lease_is_kept_up_by_pings() -> None:
    pair = ready()
    for _ in range(10):
        pair.wait_for(3.0)
        pair.reply(pair.next(PingRequest), zxid=0)
        assert pair.core.lease_remaining(pair.now) == pytest.approx(9.0 * (1 - LEASE_MARGIN))


def test_watch_events_say_nothing_about_the_lease() -> None:
    pair = ready()
    pair.wait_for(2.0)
    before = pair.core.lease_remaining(pair.now)
    pair.notify(3, "/a")
    assert pair.core.lease_remaining(pair.now) == before


def test_pings_are_answered_in_order_whatever_else_is_under_way() -> None:
    pair = ready()
    pair.wait_for(3.0)
    first = pair.now
    pair.wait_for(2.9)
    pair.submit(pair.operations.get("/a"))
    pair.send(pair.frame(pair.next(PingRequest), zxid=0))
    assert pair.core.lease_remaining(pair.now) == pytest.approx(first + 9.0 * (1 - LEASE_MARGIN) - pair.now)


def test_there_is_no_lease_before_the_first_session() -> None:
    assert Timers(9.0).lease_remaining(0.0) == 0.0
    pair = CorePair()
    pair.start()
    assert pair.core.lease_remaining(pair.now) == 0.0


class Expirer:
    """A server that expires a session when nothing of it was received for the timeout, as a standalone one does."""

    def __init__(self, pair: CorePair) -> None:
        self.pair = pair
        self.heard: float | None = None
        self.dead = False
        self.delayed: list[Any] = []  # requests that are on the wire

    def pass_time(self) -> None:
        pair = self.pair
        if self.heard is not None and pair.now > self.heard + pair.core.timers.timeout:
            self.dead = True

    def receive(self, count: int) -> list[Any]:
        """Take some of the requests on the wire."""
        self.pass_time()
        taken, self.pair.requests[:] = self.pair.requests[:count], self.pair.requests[count:]
        if taken and not self.dead:
            self.heard = self.pair.now
        return taken


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_lease_never_ends_later_than_the_server_may_expire_the_session(data: st.DataObject) -> None:
    pair = CorePair(timeout=9.0)
    server = Expirer(pair)
    pair.start()
    received: list[Any] = []
    for _ in range(data.draw(st.integers(5, 40))):
        step = data.draw(st.sampled_from(["submit", "wait", "receive", "answer", "lose", "connect"]))
        if step == "submit":
            pair.submit(pair.operations.get("/a"))
        elif step == "wait":
            pair.wait_for(data.draw(st.sampled_from([0.0, 0.01, 0.5, 1.0, 3.0, 8.0])))
        elif step == "receive":
            received += server.receive(data.draw(st.integers(1, 3)))
        elif step == "answer" and received and pair.server is not None and not server.dead:
            request = received.pop(0)
            ping = isinstance(request.request, PingRequest)
            pair.reply(request, None if ping else DATA, zxid=0 if ping else 7)
        elif step == "lose" and pair.server is not None:
            pair.close()
        elif step == "connect" and pair.core.phase == CONNECTING:
            pair.connect()
            received.clear()
            pair.wait_for(data.draw(st.sampled_from([0.0, 0.5, 1.5])))
            server.pass_time()
            if pair.core.phase == HANDSHAKE:
                if server.dead and pair.hello is not None and pair.hello.session_id:
                    pair.gone()
                else:
                    server.heard, server.dead = pair.now, False
                    pair.wait_for(data.draw(st.sampled_from([0.0, 0.1])))
                    if pair.core.phase == HANDSHAKE:
                        pair.grant(SESSION)
        if pair.server is None:
            received.clear()
        server.pass_time()
        lease = pair.core.lease_remaining(pair.now)
        if lease > 0:
            assert not server.dead
            assert server.heard is not None
            assert pair.now + lease <= server.heard + pair.core.timers.timeout * (1 - LEASE_MARGIN) + 1e-6
