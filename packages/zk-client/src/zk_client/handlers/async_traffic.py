"""How a request of an asyncio client travels: written by its caller, or together with others when the loop comes round.

Rule: nothing here connects, keeps time or ends a session, and nothing is decided: the core is told, on its loop.

The first request is written at once; those that follow while it is under way are written together when the loop comes
round. A caller waits on a future of its own. A caller that is cancelled, or runs out of time, leaves its request
behind: one that was not sent never will be; the reply of one that was is consumed, and what a sequential create has
made by then is deleted again, because nobody knows its name; so is the marker of a transaction.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from asyncio import get_running_loop

from zk_wire import Outcome

from ..calls import Inline
from ..errors import CallTimeoutError, ConfigurationError
from .leaving import Undo, leaves, left_behind
from .performing import Performing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, TypeVar

    from ..calls import Call
    from .stream import Stream

    T = TypeVar("T")


class AsyncTraffic(Performing):
    """The part of the asyncio handler that sends and waits."""

    loop: asyncio.AbstractEventLoop | None
    now: Callable[[], float]
    undoing: Callable[[str, int], Coroutine[Any, Any, None]] | None
    _stream: Stream | None
    _flushing: bool

    async def call(self, call: Call[Any], timeout: float | None) -> Any:
        """Send a request, wait for its reply, return its result."""
        self.submit(call)
        if timeout is not None:
            await self._bounded(call, timeout)
        return await call

    async def finish(self, call: Call[Any], timeout: float | None) -> Any:
        """Wait for a request that was submitted, and return its result."""
        if timeout is not None:
            await self._bounded(call, timeout)
        return await call

    def submit(self, call: Call[Any]) -> None:
        """Send a request whose reply nobody waits for yet."""
        loop = self.loop
        core = self.core
        if loop is None:
            core.submit(call, 0.0)
            self.perform()
            return
        if loop is not get_running_loop():
            self._check_loop()
        connection, stream = core.connection, self._stream
        now = self.now()
        if stream is not None and connection is not None and not connection.in_flight:
            data = core.send_alone(call, now)
            if data:
                stream.write(data)
                return
        core.submit(call, now)
        if core.completed or core.actions:
            self.perform()
        if core.output and not self._flushing:
            self._flushing = True
            loop.call_soon(self._flush)

    def waiter(self, call: Call[Any]) -> asyncio.Future[None]:
        """What a caller awaits; several may wait for one call."""
        loop = self.loop
        assert loop is not None
        if loop is not get_running_loop():
            self._check_loop()
        future: asyncio.Future[None] = loop.create_future()
        if call.waiter is None:
            call.waiter = future
        else:
            self._add_callback(call, _Waiter(future))
        return future

    def abandon(self, call: Call[Any]) -> None:
        """The caller was cancelled, and will never see what its request came to."""
        if not call.done:
            self._leave(call)
        elif call.watch is not None:
            self.core.disarm(call)
            self._flush()
        elif call.failure is None:
            self.undo(call)

    def _leave(self, call: Call[Any]) -> bool:
        """Wait for a call no longer; True when its request was never sent and now never will be."""
        call.to_undo = leaves(call)
        if self.core.withdraw(call):
            self.core.cancelled(call)
            self.perform()
            return True
        if call.to_undo:
            self._add_callback(call, Undo(self.undo))
        return False

    def undo(self, call: Call[Any]) -> None:
        """Delete what a call has left behind that nobody knows of."""
        path = left_behind(call)
        if path is not None and self.undoing is not None:
            self.clean_up(self.undoing(path, self.core.session_id))

    async def _bounded(self, call: Call[Any], timeout: float) -> None:
        if call.done:
            return
        assert self.loop is not None
        future = self.waiter(call)
        timer = self.loop.call_later(timeout, _lapse, future)
        try:
            await future
        except asyncio.CancelledError:
            self.abandon(call)
            raise
        finally:
            timer.cancel()
        if call.done:
            return
        unknown = not self._leave(call) and call.recovery is not None
        raise CallTimeoutError(
            call.path,
            message=f"no reply for {call.path!r} within {timeout} s",
            outcome=Outcome.UNKNOWN if unknown else Outcome.NOT_APPLIED,
        )

    def wait(self, call: Call[Any], timeout: float | None) -> None:
        """Refuse to block the loop."""
        raise ConfigurationError(f"{call!r} is not done: await it instead of asking for its result")

    def cancel(self, call: Call[Any]) -> bool:
        """Take a request back that was not sent yet."""
        if not self.core.withdraw(call):
            return False
        self.core.cancelled(call)
        self.perform()
        return True

    def call_when_done(self, call: Call[Any], function: Callable[[Call[Any]], object]) -> None:
        """Have `function(call)` called once the call is done."""
        if call.done:
            self._tell(function, call)
        else:
            self._add_callback(call, function)

    def _add_callback(self, call: Call[Any], function: Callable[[Call[Any]], object]) -> None:
        if call.callbacks is None:
            call.callbacks = []
        call.callbacks.append(function)

    def _flush(self) -> None:
        self._flushing = False
        if self.core.output and self._stream is not None:
            self._stream.write(self.core.take_output())

    @abstractmethod
    def perform(self) -> None:
        """Do what the core asks for."""

    @abstractmethod
    def clean_up(self, body: Coroutine[Any, Any, None]) -> None:
        """Run a clean-up beside everything else."""

    @abstractmethod
    def _check_loop(self) -> None:
        """Raise ConfigurationError in another loop than the client's."""


class _Waiter(Inline):
    """Stands among a call's callbacks for a further caller that waits for it."""

    __slots__ = ("_future",)

    def __init__(self, future: asyncio.Future[None]) -> None:
        self._future = future

    def __call__(self, call: object) -> None:
        if not self._future.done():
            self._future.set_result(None)


def _lapse(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
