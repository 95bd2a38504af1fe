"""What an observer is told of a client: for metrics and tracing, in every world alike.

Rule: values and empty methods, nothing else. An observer sees; it cannot change what a client does. Who calls it, and
when, is in `handlers.observing`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple

    from .hosts import Host
    from .states import SessionState, WatchedEvent
else:
    from ._typing import NamedTuple


class RequestStarted(NamedTuple):
    """A request as it was handed in.

    operation: as in `zk_wire.OpCode`, for example "GET_DATA".   path: the user's, below the chroot; None where there is
    none.   size: bytes of its frame.   in_flight: requests on the wire unanswered before it.
    host: the server connected to, or tried last, as it was configured; None before the first.
    """

    operation: str
    path: str | None
    size: int
    in_flight: int
    host: Host | None


class RequestEnded(NamedTuple):
    """What came of a request.

    started: what it was; the same object as `request_started` was given.   token: what `request_started` returned.
    duration: seconds from the call to the reply.   latency: the part of them since the request was last put on the
    wire; None when it never was.   size: bytes of the reply's frame, 0 without a reply; of an error its header alone.
    error: what the caller gets to see, or None.   zxid: of the reply.   in_flight: requests still on the wire.
    """

    started: RequestStarted
    token: Any
    duration: float
    latency: float | None
    size: int
    error: BaseException | None
    zxid: int
    in_flight: int


class Observer:
    """Told what a client does; override what is of interest.

    `request_started` runs in the caller's own thread, greenlet or task, before the request is sent, so that it sees
    the caller's context; it must be quick. Everything else runs where callbacks do, in the order in which it
    happened, never on the reader. An exception in an observer is logged, and harms nothing.
    """

    def request_started(self, request: RequestStarted) -> Any:
        """A request is about to be sent; what is returned comes back in `request_ended`."""

    def request_ended(self, request: RequestEnded) -> None:
        """A request was answered, or ended with an error; told once for each that was started.

        A caller that gives up (CallTimeoutError, cancellation) does not end a request that was sent: its reply does.
        """

    def state_changed(self, state: SessionState) -> None:
        """The session's state is another one."""

    def watch_delivered(self, event: WatchedEvent) -> None:
        """A listener of a watch was given an event; told once for each listener."""

    def connecting(self, host: Host) -> None:
        """A connection to a host is attempted."""

    def disconnected(self, reason: str) -> None:
        """A connection, or an attempt at one, has ended; another follows unless the session is over."""
