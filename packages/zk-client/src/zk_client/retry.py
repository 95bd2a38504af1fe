"""How often and how patiently something is tried again.

Rule: a policy is pure. It is told the try's number and a random number, and answers with a delay; the caller
sleeps. The waiting between tries grows, is spread at random so that clients that lost the same server do not
come back at the same instant, and is bounded in size, in number and in total time.
"""

from __future__ import annotations

from zk_wire import (
    ConnectionLostError,
    OperationTimeoutError,
    Outcome,
    SessionExpiredError,
    ThrottledOpError,
    ZooKeeperError,
)

from .errors import (
    ConfigurationError,
    RetryFailedError,
    RetryInterruptedError,
    SessionClosedError,
    TooManyRequestsError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import NamedTuple, TypeVar

    from .port import Event, Port
else:
    from ._typing import NamedTuple, TypeVar

T = TypeVar("T")


class RetryPolicy(NamedTuple):
    """When to try again, and after which pause.

    max_tries: tries in all; None for no limit.   delay: the first pause, in seconds.   backoff: factor from pause to
    pause.   jitter: each pause is spread over pause x (1 ± jitter).   max_delay: the longest pause, in seconds,
    before jitter.   deadline: seconds from the first try after which no further one is begun; None for no limit.
    retry_unknown: also repeat a write whose outcome is unknown. Off, because it may then be applied twice.
    ignore_expiry: go on after the session expired (with the next session).
    """

    max_tries: int | None = None
    delay: float = 0.1
    backoff: float = 2.0
    jitter: float = 0.4
    max_delay: float = 60.0
    deadline: float | None = None
    retry_unknown: bool = False
    ignore_expiry: bool = True

    def check(self) -> RetryPolicy:
        """Raise ConfigurationError unless every figure makes sense; returns the policy itself."""
        if self.max_tries is not None and self.max_tries < 1:
            raise ConfigurationError(f"max_tries must be at least 1 or None for no limit, not {self.max_tries}")
        for name in ("delay", "max_delay"):
            if not getattr(self, name) >= 0:
                raise ConfigurationError(f"{name} must not be negative, but is {getattr(self, name)} s")
        if self.deadline is not None and not self.deadline >= 0:
            raise ConfigurationError(f"deadline must not be negative, but is {self.deadline} s")
        if not self.backoff >= 1:
            raise ConfigurationError(f"backoff must be at least 1, not {self.backoff}")
        if not 0 <= self.jitter <= 1:
            raise ConfigurationError(f"jitter must lie in 0..1, not {self.jitter}")
        return self

    def pause(self, failures: int, chance: float) -> float:
        """Seconds to wait after that many failures in a row (1, 2, ...).

        chance: a random number in [0, 1); 0.5 gives the middle of the spread.
        """
        try:
            base = min(self.delay * float(self.backoff) ** (failures - 1), self.max_delay)
        except OverflowError:
            # A client that is away for days; nothing grows from a first pause of 0.
            base = self.max_delay if self.delay else 0.0
        return base * (1 + self.jitter * (2 * chance - 1))

    def repeats(self, error: BaseException) -> bool:
        """Whether an error is worth another try under this policy."""
        if isinstance(error, SessionClosedError):
            return False
        if isinstance(error, SessionExpiredError) and not self.ignore_expiry:
            return False
        if isinstance(error, (ConnectionLostError, SessionExpiredError, OperationTimeoutError)):
            return error.outcome is Outcome.NOT_APPLIED or (error.outcome is Outcome.UNKNOWN and self.retry_unknown)
        return isinstance(error, (ThrottledOpError, TooManyRequestsError))


async def retrying(
    port: Port,
    policy: RetryPolicy,
    attempt: Callable[[], Awaitable[T]],
    *,
    interrupt: Event | None = None,
) -> T:
    """Run `attempt` until it succeeds, fails for good, or the policy gives up (a body).

    interrupt: when it is set, a pause ends at once.
    Raises RetryFailedError with the last error as its cause; RetryInterruptedError when interrupted;
    any error that is not worth repeating, unchanged.
    """
    begun = port.now()
    failures = 0
    while True:
        try:
            return await attempt()
        except ZooKeeperError as error:
            if not policy.repeats(error):
                raise
            failures += 1
            outcome = getattr(error, "outcome", Outcome.UNKNOWN)
            if policy.max_tries is not None and failures >= policy.max_tries:
                raise RetryFailedError(f"gave up after {failures} tries: {error}", outcome=outcome) from error
            pause = policy.pause(failures, port.chance())
            spent = port.now() - begun
            if policy.deadline is not None and spent + pause > policy.deadline:
                message = f"gave up after {failures} tries in {spent:.1f} s (deadline {policy.deadline} s): {error}"
                raise RetryFailedError(message, outcome=outcome) from error
            if interrupt is None:
                await port.sleep(pause)
            elif await interrupt.wait(pause):
                raise RetryInterruptedError(f"interrupted after {failures} tries: {error}", outcome=outcome) from error
