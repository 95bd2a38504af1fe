"""A request under way, and the future its caller holds.

Rule: the session core fills a call in (`xid`, `zxid`, `error`, `reply`, `failure`); only the handler marks it done
and wakes whoever waits. A call is one object from the encoding to the result: it is the wire's `Exchange`, the
queue's entry and the caller's future at once, because three objects per request are what makes clients slow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from zk_wire import Exchange, NoNodeError, ServerError, error_for_code

from .errors import CallTimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any, Generic, Protocol, TypeVar

    from ._session.recovery import Recovery
    from ._session.watches import WatchTarget
else:
    from ._typing import Generic, Protocol, TypeVar

R = TypeVar("R")
NO_NODE = NoNodeError.code


class Awaited(Protocol):
    """What an awaiting caller waits for: a future of its loop."""

    def __iter__(self) -> Generator[Any, None, Any]: ...  # noqa: PYI058 - its result is what `yield from` gives


class CallOwner(Protocol):
    """The handler a call was submitted to, as far as the call needs it."""

    def wait(self, call: Call[Any], timeout: float | None) -> None: ...

    def cancel(self, call: Call[Any]) -> bool: ...

    def submit(self, call: Call[Any]) -> object: ...

    def waiter(self, call: Call[Any]) -> Awaited: ...

    def abandon(self, call: Call[Any]) -> None: ...

    def undo(self, call: Call[Any]) -> None: ...

    def call_when_done(self, call: Call[Any], function: Callable[[Call[Any]], object]) -> None: ...


class Inline(ABC):
    """Stands among a call's callbacks for something of the library's own, done at once when the call is."""

    __slots__ = ()

    @abstractmethod
    def __call__(self, call: Any) -> None:
        """The call is done."""


class Call(Exchange[R], Generic[R]):
    """One request and the future of its result; safe to share between threads.

    Order: requests reach the server in the order they were submitted, whichever thread waits for which.
    A connection lost under way does not end the call by itself: a read is sent again, a write is looked up on the
    server; see `Client`.
    """

    __slots__ = (
        "__dict__",
        "_owner",
        "auth",
        "callbacks",
        "convert",
        "done",
        "failure",
        "path",
        "recovery",
        "sent_at",
        "waiter",
        "watch",
    )

    # Rarely looked at, therefore not slots: most calls never carry a value of their own for these.
    absent_is_none: bool = False
    losses: int = 0
    abandoned: bool = False
    to_undo: bool = False  # abandoned, but what it has left behind is to be found and deleted
    armed: int | None = None  # the table in which its reply has armed a watch that was not there before

    def __init__(
        self,
        owner: CallOwner,
        payload: bytes,
        decode: Callable[[bytes, int, int], R],
        path: str | None,
        recovery: Recovery | None = None,
        watch: WatchTarget | None = None,
    ) -> None:
        self.payload = payload
        self.decode = decode
        self.xid = 0
        self.zxid = 0
        self.error = 0
        self.reply = None
        self.path = path
        self.recovery = recovery
        self.watch = watch
        self._owner = owner
        self.done = False
        self.waiter: Any = None  # what the handler wakes a caller by: a lock, or a future of the loop
        self.sent_at = 0.0
        self.failure: BaseException | None = None
        self.convert: Callable[[R], R] | None = None
        self.callbacks: list[Callable[[Call[R]], object]] | None = None
        self.auth: tuple[str, bytes] | None = None

    def result(self, timeout: float | None = None) -> R:
        """The reply, waited for at most `timeout` seconds (None: as long as it takes).

        Raises CallTimeoutError, after which the call goes on and may be asked again; otherwise the call's own error.
        """
        if not self.done:
            self._owner.wait(self, timeout)
        if self.error == 0 and self.failure is None:
            if self.convert is None:
                return self.reply  # type: ignore[return-value]
            return self.convert(self.reply)  # type: ignore[arg-type]
        error = self.exception()
        if error is None:
            return None  # type: ignore[return-value]
        raise error

    def __await__(self) -> Generator[Any, None, R]:
        """Wait for the reply under asyncio, in the loop of the client; a cancelled caller leaves the request behind."""
        if not self.done:
            try:
                yield from self._owner.waiter(self)
            except BaseException:
                self._owner.abandon(self)
                raise
        return self.result()

    get = result

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The error the call ended with, or None; waits like `result`."""
        if not self.done:
            self._owner.wait(self, timeout)
        if self.failure is not None:
            return self.failure
        if self.error == 0:
            if self.convert is not None:
                try:
                    self.convert(self.reply)  # type: ignore[arg-type]
                except ServerError as error:
                    return error
            return None
        if self.error == NO_NODE and self.absent_is_none:
            return None
        self.failure = error_for_code(self.error, self.path)
        return self.failure

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the call is done; False when `timeout` seconds pass first. Never raises the call's error."""
        if not self.done:
            try:
                self._owner.wait(self, timeout)
            except CallTimeoutError:
                return False
        return True

    def cancel(self) -> bool:
        """Take the request back: True when it was not sent yet and now never will be."""
        return self._owner.cancel(self)

    def add_done_callback(self, function: Callable[[Call[R]], object]) -> None:
        """Call `function(call)` once the call is done, on the client's dispatcher, never on the reader."""
        self._owner.call_when_done(self, function)

    def __repr__(self) -> str:
        state = "done" if self.done else ("sent" if self.xid else "queued")
        return f"<Call {self.path!r} xid={self.xid} {state}>"


def no_reply(buf: bytes, pos: int, end: int) -> Any:
    """Decode nothing: for futures that are no request of their own."""
