"""Retry policies and `retrying`: how long the pauses are, when it ends, and what is worth another try."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zk_client import (
    CallTimeoutError,
    CancelledCallError,
    ConfigurationError,
    ConnectionLostError,
    NodeExistsError,
    NoNodeError,
    OperationTimeoutError,
    Outcome,
    RetryFailedError,
    RetryInterruptedError,
    RetryPolicy,
    SessionClosedError,
    SessionExpiredError,
    ZooKeeperError,
    retrying,
    run_blocking,
)
from zk_wire import AuthFailedError, ThrottledOpError

APPLIED, NOT_APPLIED, UNKNOWN = Outcome.APPLIED, Outcome.NOT_APPLIED, Outcome.UNKNOWN


class Flag:
    """An event of the tiny port: it is set at a given time, or never."""

    def __init__(self, port: TinyPort, at: float) -> None:
        self.port, self.at = port, at

    async def wait(self, timeout: float | None = None) -> bool:
        """Pass the time until it is set, or until the time-out."""
        assert timeout is not None
        if self.at <= self.port.time + timeout:
            self.port.time = max(self.port.time, self.at)
            return True
        await self.port.sleep(timeout)
        return False


class TinyPort:
    """A clock that moves when somebody sleeps."""

    def __init__(self, chance: float = 0.5) -> None:
        self.time = 0.0
        self.pauses: list[float] = []
        self.luck = chance

    def now(self) -> float:
        """The time."""
        return self.time

    def chance(self) -> float:
        """Not quite random."""
        return self.luck

    async def sleep(self, seconds: float) -> None:
        """Let it pass."""
        self.pauses.append(seconds)
        self.time += seconds


class Attempts:
    """Something that fails as told, then succeeds; each attempt takes a second."""

    def __init__(self, port: TinyPort, *failures: BaseException) -> None:
        self.port, self.failures, self.made = port, list(failures), 0

    async def __call__(self) -> str:
        """One attempt."""
        self.made += 1
        self.port.time += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


def lost(outcome: Outcome = NOT_APPLIED) -> ConnectionLostError:
    return ConnectionLostError("/a", outcome=outcome)


def run(port: TinyPort, policy: RetryPolicy, attempt: Callable[[], object], interrupt: Flag | None = None) -> object:
    return run_blocking(retrying(port, policy, attempt, interrupt=interrupt))  # type: ignore[arg-type]


# Policies


@given(
    delay=st.floats(0, 100),
    backoff=st.floats(1, 1e9),
    jitter=st.floats(0, 1),
    cap=st.floats(0, 3600),
    failures=st.integers(1, 10**6),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_the_kth_pause_lies_within_the_jitter_around_the_capped_power(
    delay: float, backoff: float, jitter: float, cap: float, failures: int, chance: float
) -> None:
    policy = RetryPolicy(delay=delay, backoff=backoff, jitter=jitter, max_delay=cap).check()
    try:
        middle = min(delay * backoff ** (failures - 1), cap)
    except OverflowError:
        middle = cap if delay else 0.0
    pause = policy.pause(failures, chance)
    assert middle * (1 - jitter) * (1 - 1e-9) <= pause <= middle * (1 + jitter) * (1 + 1e-9)


def test_chance_spreads_the_pause_over_the_whole_jitter() -> None:
    policy = RetryPolicy(delay=1.0, jitter=0.4)
    assert [policy.pause(1, chance) for chance in (0.0, 0.5, 1.0)] == pytest.approx([0.6, 1.0, 1.4])


@pytest.mark.parametrize(
    ("policy", "rule"),
    [
        (RetryPolicy(max_tries=0), "max_tries must be at least 1"),
        (RetryPolicy(delay=-0.1), "delay must not be negative"),
        (RetryPolicy(delay=float("nan")), "delay must not be negative"),
        (RetryPolicy(max_delay=-1), "max_delay must not be negative"),
        (RetryPolicy(deadline=-1), "deadline must not be negative"),
        (RetryPolicy(backoff=0.5), "backoff must be at least 1"),
        (RetryPolicy(jitter=1.5), "jitter must lie in"),
        (RetryPolicy(jitter=-0.5), "jitter must lie in"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(policy: RetryPolicy, rule: str) -> None:
    with pytest.raises(ConfigurationError, match=rule):
        policy.check()


@pytest.mark.parametrize(
    ("error", "usually", "also_unknown"),
    [
        (lost(NOT_APPLIED), True, True),
        (lost(UNKNOWN), False, True),
        (lost(APPLIED), False, False),
        (SessionExpiredError("/a", outcome=NOT_APPLIED), True, True),
        (SessionExpiredError("/a", outcome=UNKNOWN), False, True),
        (OperationTimeoutError("/a"), False, True),
        (CallTimeoutError("/a", outcome=NOT_APPLIED), True, True),
        (ThrottledOpError("/a"), True, True),
        (NoNodeError("/a"), False, False),
        (NodeExistsError("/a"), False, False),
        (AuthFailedError("/a"), False, False),
        (SessionClosedError("closed"), False, False),
        (CancelledCallError("/a"), False, False),
    ],
)
def test_what_is_worth_another_try(error: ZooKeeperError, usually: bool, also_unknown: bool) -> None:
    assert RetryPolicy().repeats(error) is usually
    assert RetryPolicy(retry_unknown=True).repeats(error) is also_unknown


def test_an_expired_session_is_the_end_where_the_policy_says_so() -> None:
    error = SessionExpiredError("/a", outcome=NOT_APPLIED)
    assert not RetryPolicy(ignore_expiry=False, retry_unknown=True).repeats(error)


# retrying


def test_it_is_repeated_until_it_succeeds_with_growing_pauses() -> None:
    port = TinyPort()
    attempts = Attempts(port, lost(), lost(), lost())
    assert run(port, RetryPolicy(delay=0.5, backoff=2, jitter=0.1, max_delay=1.5), attempts) == "done"
    assert port.pauses == pytest.approx([0.5, 1.0, 1.5])


def test_an_error_that_is_not_worth_it_comes_through_unchanged() -> None:
    port, error = TinyPort(), NoNodeError("/a")
    with pytest.raises(NoNodeError) as caught:
        run(port, RetryPolicy(), Attempts(port, lost(), error))
    assert caught.value is error


def test_the_tries_are_counted() -> None:
    port, last = TinyPort(), lost()
    attempts = Attempts(port, lost(), lost(), last, lost())
    with pytest.raises(RetryFailedError, match="gave up after 3 tries") as caught:
        run(port, RetryPolicy(max_tries=3), attempts)
    assert attempts.made == 3
    assert caught.value.__cause__ is last
    assert caught.value.outcome is NOT_APPLIED


def test_no_try_is_begun_after_the_deadline() -> None:
    port = TinyPort()
    attempts = Attempts(port, *[lost() for _ in range(50)])
    with pytest.raises(RetryFailedError, match="deadline 10"):
        run(port, RetryPolicy(delay=1, backoff=1, jitter=0, deadline=10), attempts)
    assert port.time <= 10 + 1
    assert attempts.made == 6  # at 0, 2, ... 10 seconds


def test_an_interrupt_ends_a_long_pause_at_once() -> None:
    port, cause = TinyPort(), lost()
    with pytest.raises(RetryInterruptedError, match="interrupted after 1 tries") as caught:
        run(port, RetryPolicy(delay=3600, jitter=0, max_delay=3600), Attempts(port, cause, lost()), Flag(port, 5.0))
    assert port.time == 5.0
    assert caught.value.__cause__ is cause


def test_an_interrupt_that_never_comes_changes_nothing() -> None:
    port = TinyPort()
    assert run(port, RetryPolicy(), Attempts(port, lost(), lost()), Flag(port, 1e9)) == "done"


def test_the_outcome_of_the_last_error_is_kept() -> None:
    port = TinyPort()
    with pytest.raises(RetryFailedError) as caught:
        run(port, RetryPolicy(max_tries=1, retry_unknown=True), Attempts(port, lost(UNKNOWN)))
    assert caught.value.outcome is UNKNOWN
