"""What can go wrong with a session, beside what a server answers.

    ZooKeeperError                       the root of everything of ours (zk_wire)
    ├── ServerError                      a reply with an error code: NoNodeError, BadVersionError, ... (zk_wire)
    │   ├── ConnectionLostError          the connection ended first; `.outcome` says what became of a write
    │   ├── SessionExpiredError          the server gave the session up, or must have done so by now
    │   ├── OperationTimeoutError
    │   │   └── CallTimeoutError         the caller's own patience ended (also a TimeoutError)
    │   ├── TransactionFailedError       a multi was refused as a whole: `.index`, `.results`
    │   ├── TooManyRequestsError         `max_in_flight` requests are under way already; the request was not sent
    │   └── CancelledCallError           the caller took the request back before it was sent
    ├── SessionClosedError               the client is not started, or stopped
    ├── StartTimeoutError                no server granted a session in time (also a TimeoutError)
    ├── ConfigurationError               an argument or a combination of them makes no sense (also a ValueError)
    └── RetryFailedError                 a retry policy gave up; the last error is its `__cause__`
        └── RetryInterruptedError        ... because it was told to

Rule: an error that concerns a write carries `.outcome`, one of APPLIED, NOT_APPLIED, UNKNOWN.
"""

from __future__ import annotations

from zk_wire import OperationTimeoutError, Outcome, ServerError, ZooKeeperError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class ConfigurationError(ZooKeeperError, ValueError):
    """An argument, or a combination of arguments, makes no sense; nothing was started."""


class SessionClosedError(ZooKeeperError):
    """The client is not started or already stopped; the request was not sent unless `.outcome` says otherwise."""

    def __init__(self, message: str, *, outcome: Outcome = Outcome.NOT_APPLIED) -> None:
        super().__init__(message)
        self.outcome = outcome


class StartTimeoutError(ZooKeeperError, TimeoutError):
    """No server granted a session within the time given to `start`; the client is stopped again."""


class CallTimeoutError(OperationTimeoutError, TimeoutError):
    """The reply did not come within the time the caller gave; `.outcome` says what is known of a write."""


class CancelledCallError(ServerError):
    """The caller took the request back before it was sent."""

    default_outcome = Outcome.NOT_APPLIED

    def __init__(self, path: str | None) -> None:
        super().__init__(path, code=0, message=f"request for {path!r} was cancelled before it was sent")


class TooManyRequestsError(ServerError):
    """As many requests are under way as `max_in_flight` allows, and `when_full` says to fail; it was not sent."""

    default_outcome = Outcome.NOT_APPLIED

    def __init__(self, path: str | None, limit: int) -> None:
        super().__init__(path, code=0, message=f"request for {path!r} refused: {limit} are under way (max_in_flight)")


class RetryFailedError(ZooKeeperError):
    """All tries, or the time for them, are used up; `__cause__` is the last error, `.outcome` what it knew."""

    def __init__(self, message: str, *, outcome: Outcome = Outcome.UNKNOWN) -> None:
        super().__init__(message)
        self.outcome = outcome


class RetryInterruptedError(RetryFailedError):
    """The retrying was interrupted, for example because the client was stopped."""


class TransactionFailedError(ServerError):
    """A transaction was refused as a whole: nothing of it was applied.

    index: position of the operation that failed.   error: its error.
    results: one exception per operation, in order: RolledBackError before the failing one,
    the error itself, RuntimeInconsistencyError after it.
    """

    default_outcome = Outcome.NOT_APPLIED

    def __init__(self, index: int, results: Sequence[ServerError]) -> None:
        self.index = index
        self.results = list(results)
        self.error = self.results[index]
        super().__init__(
            self.error.path,
            code=self.error.code,
            message=f"transaction refused: operation {index} of {len(self.results)} failed: {self.error}",
        )
