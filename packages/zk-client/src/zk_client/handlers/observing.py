"""Tells observers what a handler does; a client without observers has the plain handler, and pays nothing.

Rule: it looks on. What is observed is put into values here; the handler's own dispatcher passes them on.

A request is followed by a callback of its own: it is run at once when the call is done, takes the time, and has the
observers told later. The size of a reply is seen by the call's decoder.
"""

from __future__ import annotations

from zk_wire import OpCode

from .._session.actions import Connect, Deliver, Disconnect
from ..calls import Inline
from ..observing import RequestEnded, RequestStarted
from .log import logger
from .performing import Performing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._session.actions import Action
    from ..calls import Call
    from ..observing import Observer
    from ..states import SessionState

# Bytes of a frame around a request's payload (length, xid) and around a reply's record (length, header).
AROUND_REQUEST = 8
AROUND_REPLY = 20


class Observing(Performing):
    """What an observed handler has beside its world's."""

    listeners: list[Callable[[SessionState], object]]
    observers: tuple[Observer, ...]
    clock: Callable[[], float]

    def look_on(self, observers: tuple[Observer, ...], clock: Callable[[], float]) -> None:
        """Begin to tell these observers; before the client is started."""
        self.observers = observers
        self.clock = clock
        for observer in observers:
            self.listeners.append(observer.state_changed)

    def follow(self, call: Call[Any]) -> Following:
        """Tell that a request starts, and see to it that its end is told."""
        following = Following(self, call)
        call.decode = following.decode
        if call.callbacks is None:
            call.callbacks = []
        call.callbacks.append(following)
        return following

    def tell_end(self, ended: RequestEnded, tokens: list[Any]) -> None:
        """Have the observers told of a request's end, each with its own token."""
        for observer, token in zip(self.observers, tokens, strict=True):
            self._tell(observer.request_ended, ended._replace(token=token))

    def _act_on(self, action: Action) -> None:
        super()._act_on(action)
        for observer in self.observers:
            if isinstance(action, Deliver):
                self._tell(observer.watch_delivered, action.event)
            elif isinstance(action, Connect):
                self._tell(observer.connecting, action.host)
            elif isinstance(action, Disconnect):
                self._tell(observer.disconnected, action.reason)


class Following(Inline):
    """One request under observation."""

    __slots__ = ("_begun", "_decode", "_ended", "_handler", "_size", "_started", "_tokens")

    def __init__(self, handler: Observing, call: Call[Any]) -> None:
        self._handler = handler
        self._decode = call.decode
        self._size = 0
        self._ended = False
        self._started = RequestStarted(
            operation_of(call.payload),
            call.path,
            len(call.payload) + AROUND_REQUEST,
            handler.core.in_flight,
            handler.core.host,
        )
        self._tokens = [self._start(observer) for observer in handler.observers]
        self._begun = handler.clock()

    def _start(self, observer: Observer) -> Any:
        try:
            return observer.request_started(self._started)
        except Exception:  # noqa: BLE001 - an observer's fault is its own
            logger().exception("exception in the observer %r", observer)
            return None

    def decode(self, buf: bytes, pos: int, end: int) -> Any:
        """Decode the reply, and see its size."""
        self._size = end - pos + AROUND_REPLY
        return self._decode(buf, pos, end)

    def __call__(self, call: Call[Any]) -> None:
        self.end(call, call.failure)

    def end(self, call: Call[Any], failure: BaseException | None) -> None:
        """The request has ended; only the first time counts."""
        if self._ended:
            return
        self._ended = True
        now = self._handler.clock()
        if failure is None:
            failure = call.exception() if call.done else None
        size = self._size or (AROUND_REPLY if call.error else 0)
        latency = now - call.sent_at if call.sent_at else None
        in_flight = self._handler.core.in_flight
        ended = RequestEnded(self._started, None, now - self._begun, latency, size, failure, call.zxid, in_flight)
        self._handler.tell_end(ended, self._tokens)


def operation_of(payload: bytes) -> str:
    """The name of the operation that a payload asks for."""
    code = int.from_bytes(payload[:4], "big", signed=True)
    try:
        return OpCode(code).name
    except ValueError:
        return str(code)
