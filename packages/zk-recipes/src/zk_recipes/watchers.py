"""Functions that are called with a node's data, or with its children, now and after every change.

Rule: a one-shot watch is set with each read, so nothing that happens after a read is missed; it survives reconnects in
the session. Whatever wakes a watch, it reads again and tells what it finds: events are never believed, so that changes
in quick succession are told as one. Reads and calls happen on one worker for each client (``_attending``).

Names and parameters are kazoo's.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

from zk_client import Face, SessionClosedError, SessionState, attribute, blocking, run_blocking
from zk_wire import EventType, NoNodeError, ZooKeeperError, check_path

from ._attending import Attendant, Member
from ._telling import refuse_async, takes, tell
from ._waiting import FIRST_PAUSE, LONGEST_PAUSE, PASSING
from .errors import WatchInUseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from zk_client import HasPort, PortWatcher, WatchedEvent
    from zk_wire import Stat

log = logging.getLogger(__name__)

# Seconds between two reads of a node that may not be read: it may become readable, and no event would tell.
_REFUSED_PAUSE = 30.0

F = TypeVar("F", bound="Callable[..., object]")
Found = TypeVar("Found")


class _AsyncNodeWatch(Member, Generic[Found]):
    """What both kinds of watches share: read, tell, wait for the event, and again."""

    _awaits = True  # whether the function may be asynchronous

    def __init__(self, client: HasPort, path: str, func: Callable[..., object] | None = None) -> None:
        check_path(path)
        self._path = path
        self._port = client.port
        self._attendant = Attendant.of(client, "watches")
        self._func: Callable[..., object] | None = None
        self._watcher: PortWatcher | None = None
        self._again_at: float | None = None
        self._pause = FIRST_PAUSE
        self._stopped = False
        self._called = client.port.event()
        self._right_to_read = [None]
        if func is not None:
            self(func)

    def __repr__(self) -> str:
        state = "stopped" if self._stopped else "watching" if self._func is not None else "without a function"
        return f"<{type(self).__name__} {self._path!r} {state}>"

    @property
    def path(self) -> str:
        """The node that is watched."""
        return self._path

    @property
    def stopped(self) -> bool:
        """Whether the function will not be called any more."""
        return self._stopped

    def __call__(self, func: F) -> F:
        """Watch with this function, and return it; for use as a decorator. Raises WatchInUseError for a second one."""
        self._take(func)
        self._again_at = self._port.now()
        self._attendant.enroll(self)
        return func

    async def called(self, timeout: float | None = None) -> bool:
        """Wait until the function has been called for the first time; False when *timeout* seconds go by first."""
        return await self._called.wait(timeout)

    async def stop(self) -> None:
        """Have the function not called any more, and take the watch back from the server; callable from the function.

        Does not wait for the server, nor for a call under way, and raises nothing for the connection's sake.
        """
        self._stopped = True
        self._attendant.dismiss(self)
        watcher, self._watcher = self._watcher, None
        if watcher is not None and watcher.event is None:
            await self._port.shielded(watcher.close())

    async def begin(self, func: Callable[..., object]) -> None:
        """Read and call the function here and now, and leave the rest to the worker.

        Raises WatchInUseError, and the client's errors when waiting cannot help (closed client, no permission): then
        nothing is watched.
        """
        self._take(func)
        self._right_to_read.pop()
        try:
            self._attendant.enroll(self)
            await self._once(None, is_first=True)
        except BaseException:
            await self._port.shielded(self.stop())
            raise
        finally:
            self._right_to_read.append(None)
            self._attendant.wake.set()

    # For the worker

    def due(self) -> float | None:
        """When it has to be read again."""
        if self._stopped or not self._right_to_read:
            return None
        if self._watcher is not None and self._watcher.event is not None:
            return self._port.now()
        return self._again_at

    async def attend(self) -> None:
        """Read again and tell."""
        try:
            self._right_to_read.pop()
        except IndexError:
            return
        try:
            event = None if self._watcher is None else self._watcher.event
            await self._once(event, is_first=False)
        finally:
            self._right_to_read.append(None)

    # Inside

    def _take(self, func: Callable[..., object]) -> None:
        if not callable(func):
            message = f"func must be callable, not {type(func).__name__}"
            raise TypeError(message)
        if self._func is not None:
            raise WatchInUseError(self._path)
        self._func = func
        self._look_at(func)

    async def _once(self, event: WatchedEvent | None, *, is_first: bool) -> None:
        self._again_at = None
        if event is not None and event.type is EventType.NONE and not self._goes_on(event.state):
            await self.stop()
            return
        try:
            if event is not None and event.type is EventType.NONE:
                # Another session may be served by a server that lags behind what was told.
                await self._port.sync(self._path)
            found = await self._read()
        except PASSING as error:
            log.debug("%r: reading again after %r", self, error)
            self._try_again(self._pause)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            return
        except SessionClosedError:
            await self.stop()
            if is_first:
                raise
            return
        except ZooKeeperError as error:
            if is_first:
                raise
            log.warning("%r cannot read its node, and will try again: %s", self, error)
            self._try_again(_REFUSED_PAUSE)
            return
        self._pause = FIRST_PAUSE
        if not self._stopped and self._is_news(found):
            if event is not None and event.type is EventType.NONE:
                event = None
            answer = await tell(self._function, *self._arguments(found, event), what=repr(self), awaits=self._awaits)
            self._called.set()
            if answer is False:
                await self.stop()

    def _goes_on(self, state: SessionState) -> bool:
        return state is SessionState.EXPIRED

    def _try_again(self, pause: float) -> None:
        self._watcher = None
        self._again_at = self._port.now() + pause

    @property
    def _function(self) -> Callable[..., object]:
        assert self._func is not None
        return self._func

    async def _read(self) -> Found:
        """Read, and leave a watch."""
        while True:
            self._watcher = None
            watcher = self._port.watcher(self._attendant.wake)
            kept = False
            try:
                try:
                    found = await self._look(watcher)
                except NoNodeError:
                    await watcher.close()
                    watcher = self._port.watcher(self._attendant.wake)
                    if await self._port.exists(self._path, watcher) is not None:
                        continue  # created in between
                    found = self._missing()
                self._watcher = watcher
                # One that was stopped meanwhile did not see this watcher.
                kept = not self._stopped
                return found
            finally:
                if not kept:
                    await self._port.shielded(watcher.close())

    # What the kinds differ in

    @abstractmethod
    def _look_at(self, func: Callable[..., object]) -> None:
        """See what the function takes."""

    @abstractmethod
    async def _look(self, watcher: PortWatcher) -> Found:
        """Read the node, leaving the watch."""

    @abstractmethod
    def _missing(self) -> Found:
        """What stands for a missing node."""

    @abstractmethod
    def _is_news(self, found: Found) -> bool:
        """Whether the function is to be told."""

    @abstractmethod
    def _arguments(self, found: Found, event: WatchedEvent | None) -> tuple[object, ...]:
        """What the function is called with."""


class AsyncDataWatch(_AsyncNodeWatch["tuple[bytes | None, Stat] | None"]):
    """Calls a function with a node's data and Stat, now and after every change, until it is stopped.

    client: whatever has a port.   path: the node, which need not exist.
    func: ``func(data, stat)``, or ``func(data, stat, event)`` if it takes three arguments (read from its signature);
    all None while the node is missing, and the event None when no event of the node was the cause. Under asyncio it
    may be ``async``. Returning False stops the watch; an exception is logged and changes nothing. Functions of all
    watches of one client are called one after the other on one worker, so one that blocks delays the others.

    `DataWatch` has read the node and called the function when it returns; `AsyncDataWatch` begins beside the caller
    (`called` waits for it). Both can decorate a function.

    What holds, each with the test that keeps it:

    - The function's last call is with the node's latest state, whatever is lost, expires or is recreated:
      ``test_the_last_call_tells_the_latest_state_whatever_goes_wrong``. A state it was told already is not told again,
      and of changes in quick succession only the last may be told.
    - A node deleted and created again is told, even when that happened unseen: ``test_a_recreated_node_is_told``.
    - A stopped watch, and one whose client is stopped, leaves nothing behind on the server or in the client:
      ``test_a_hundred_stopped_watches_leave_nothing``.
    - A hundred watches cost one thread, also when the connection comes back:
      ``test_a_hundred_watches_are_served_by_one_thread``.
    """

    _told: tuple[int, int] | None = None
    _has_told = False
    _with_event = False

    def _look_at(self, func: Callable[..., object]) -> None:
        self._with_event = takes(func, 3)

    async def _look(self, watcher: PortWatcher) -> tuple[bytes | None, Stat] | None:
        return await self._port.get(self._path, watcher)

    def _missing(self) -> tuple[bytes | None, Stat] | None:
        return None

    def _is_news(self, found: tuple[bytes | None, Stat] | None) -> bool:
        state = None if found is None else (found[1].czxid, found[1].mzxid)
        if self._has_told and state == self._told:
            return False
        self._told, self._has_told = state, True
        return True

    def _arguments(self, found: tuple[bytes | None, Stat] | None, event: WatchedEvent | None) -> tuple[object, ...]:
        data, stat = (None, None) if found is None else found
        return (data, stat, event) if self._with_event else (data, stat)


class AsyncChildrenWatch(_AsyncNodeWatch["list[str]"]):
    """Calls a function with the names of a node's children, now and after every change, until it is stopped.

    client: whatever has a port.   path: the node, which need not exist; while it does not, it has no children.
    func: ``func(children)``, or with *send_event* ``func(children, event)``, the event None when no event of the node
    was the cause. For the rest see `DataWatch`.
    allow_session_lost: False stops the watch when its session expires.

    What holds, each with the test that keeps it:

    - The function's last call is with the latest children, whatever is lost, expires or is recreated:
      ``test_the_last_call_tells_the_latest_children_whatever_goes_wrong``. It may be called again with the same names:
      a child may have been deleted and created again.
    - A node that is missing, or deleted and created again, is followed:
      ``test_children_of_a_missing_node_are_told_when_it_comes``.
    - What `DataWatch` says of stopping and of threads: same tests.
    """

    def __init__(
        self,
        client: HasPort,
        path: str,
        func: Callable[..., object] | None = None,
        allow_session_lost: bool = True,
        send_event: bool = False,
    ) -> None:
        self._allow_session_lost = allow_session_lost
        self._send_event = send_event
        super().__init__(client, path, func)

    def _goes_on(self, state: SessionState) -> bool:
        return self._allow_session_lost and super()._goes_on(state)

    def _look_at(self, func: Callable[..., object]) -> None:
        pass  # what it takes is said by `send_event`

    async def _look(self, watcher: PortWatcher) -> list[str]:
        return await self._port.get_children(self._path, watcher)

    def _missing(self) -> list[str]:
        return []

    def _is_news(self, found: list[str]) -> bool:
        return True

    def _arguments(self, found: list[str], event: WatchedEvent | None) -> tuple[object, ...]:
        return (found, event) if self._send_event else (found,)


class DataWatch(Face[AsyncDataWatch]):
    __doc__ = AsyncDataWatch.__doc__

    def __init__(self, client: HasPort, path: str, func: Callable[..., object] | None = None) -> None:
        super().__init__(AsyncDataWatch(client, path))
        self._body._awaits = False
        if func is not None:
            self(func)

    def __call__(self, func: F) -> F:
        """Read the node, call the function, and watch; return the function. Raises WatchInUseError for a second one."""
        refuse_async(func)
        run_blocking(self._body.begin(func))
        return func

    called = blocking(AsyncDataWatch.called)
    stop = blocking(AsyncDataWatch.stop)
    begin = blocking(AsyncDataWatch.begin)
    path = attribute(AsyncDataWatch, lambda watch: watch.path)
    stopped = attribute(AsyncDataWatch, lambda watch: watch.stopped)


class ChildrenWatch(Face[AsyncChildrenWatch]):
    __doc__ = AsyncChildrenWatch.__doc__

    def __init__(
        self,
        client: HasPort,
        path: str,
        func: Callable[..., object] | None = None,
        allow_session_lost: bool = True,
        send_event: bool = False,
    ) -> None:
        super().__init__(AsyncChildrenWatch(client, path, None, allow_session_lost, send_event))
        self._body._awaits = False
        if func is not None:
            self(func)

    def __call__(self, func: F) -> F:
        """Read the node, call the function, and watch; return the function. Raises WatchInUseError for a second one."""
        refuse_async(func)
        run_blocking(self._body.begin(func))
        return func

    called = blocking(AsyncChildrenWatch.called)
    stop = blocking(AsyncChildrenWatch.stop)
    begin = blocking(AsyncChildrenWatch.begin)
    path = attribute(AsyncChildrenWatch, lambda watch: watch.path)
    stopped = attribute(AsyncChildrenWatch, lambda watch: watch.stopped)
