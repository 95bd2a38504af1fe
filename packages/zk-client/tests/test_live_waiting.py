"""Bounds on waiting: without a connection, for a reply, in a retry."""

from __future__ import annotations

import pytest
from conftest import MakeClient
from live import (
    PATIENCE,
    Events,
    States,
    cut_off,
    in_thread,
)

from zk_client import (
    CallTimeoutError,
    Client,
    ConnectionLostError,
    NoNodeError,
    Outcome,
    RetryFailedError,
    RetryPolicy,
    SessionState,
)
from zk_testing.faults import FaultProxy
from zk_testing.stopwatch import Stopwatch

CONNECTED, SUSPENDED = SessionState.CONNECTED, SessionState.SUSPENDED


def test_requests_wait_for_a_connection_and_keep_their_order(away: Client, zk_faults: FaultProxy) -> None:
    away.create("/n")
    cut_off(away, zk_faults)
    calls = [away.set_async("/n", b"%d" % version, version=version) for version in range(300)]
    reading = in_thread(lambda: away.get("/n"))
    zk_faults.heal()
    assert [call.result(PATIENCE).version for call in calls] == list(range(1, 301))
    reading()
    assert away.get("/n")[0] == b"299"


def test_requests_fail_at_once_without_a_connection_when_asked_to(
    make_client: MakeClient, zk_faults: FaultProxy, zk_chroot: str
) -> None:
    zk = make_client(zk_faults.hosts + zk_chroot, when_disconnected="fail")
    states = States(zk)
    zk_faults.refuse()
    zk_faults.cut()
    states.wait(SUSPENDED)
    for action in (lambda: zk.get("/"), lambda: zk.create("/n")):
        with pytest.raises(ConnectionLostError) as lost:
            action()
        assert lost.value.outcome is Outcome.NOT_APPLIED
    zk_faults.heal()
    states.wait(CONNECTED)
    assert zk.exists("/n") is None


def test_a_call_is_bounded_by_the_call_timeout(make_client: MakeClient, zk_faults: FaultProxy, zk_chroot: str) -> None:
    zk = make_client(zk_faults.hosts + zk_chroot, 20.0, call_timeout=0.2)
    zk_faults.freeze("to_client")
    begun = Stopwatch()
    with pytest.raises(CallTimeoutError) as reading:
        zk.get("/")
    with pytest.raises(TimeoutError) as writing:
        zk.create("/n", b"late")
    assert begun.seconds >= 0.4 and begun.within(3), begun
    assert reading.value.outcome is Outcome.NOT_APPLIED
    assert isinstance(writing.value, CallTimeoutError)
    assert writing.value.outcome is Outcome.UNKNOWN

    zk_faults.heal()

    zk.call_timeout = None
    assert zk.get("/n")[0] == b"late"


def test_a_call_that_timed_out_before_it_was_sent_is_never_sent(
    make_client: MakeClient, zk_faults: FaultProxy, zk_chroot: str
) -> None:
    zk = make_client(zk_faults.hosts + zk_chroot, 20.0, call_timeout=0.1)
    cut_off(zk, zk_faults)
    with pytest.raises(CallTimeoutError) as late:
        zk.create("/n")
    assert late.value.outcome is Outcome.NOT_APPLIED

    zk_faults.heal()

    zk.call_timeout = None
    assert zk.exists("/n") is None


def test_retry_goes_on_until_there_is_a_server(make_client: MakeClient, zk_faults: FaultProxy, zk_chroot: str) -> None:
    zk = make_client(
        zk_faults.hosts + zk_chroot, when_disconnected="fail", command_retry=RetryPolicy(delay=0.02, max_delay=0.05)
    )
    cut_off(zk, zk_faults)
    tries = Events()

    def attempt() -> str:
        tries(None)
        return zk.create("/n", b"1")

    result = in_thread(lambda: zk.retry(attempt))
    tries.wait(3)
    zk_faults.heal()
    assert result() == "/n"


def test_retry_gives_up_with_the_last_error_as_its_cause(
    make_client: MakeClient, zk_faults: FaultProxy, zk_chroot: str
) -> None:
    zk = make_client(
        zk_faults.hosts + zk_chroot,
        when_disconnected="fail",
        command_retry=RetryPolicy(max_tries=3, delay=0.01, max_delay=0.02),
    )
    cut_off(zk, zk_faults)
    with pytest.raises(RetryFailedError, match="3 tries") as failed:
        zk.retry(zk.get, "/")
    assert isinstance(failed.value.__cause__, ConnectionLostError)


def test_retry_does_not_repeat_what_the_server_refused(zk: Client) -> None:
    tries = Events()

    def attempt() -> None:
        tries(None)
        zk.get("/nothing")

    with pytest.raises(NoNodeError):
        zk.retry(attempt)
    assert len(tries.seen) == 1
