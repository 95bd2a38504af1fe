"""The children of a node once they have stopped changing, for those who act on a settled group.

Rule: the time of quiet is counted from the last change seen; the watch that saw none of it is the one that later tells
of the next change, so nothing is missed in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from zk_client import Face, SessionClosedError, SessionState, attribute, direct, run_blocking
from zk_wire import EventType, NoNodeError, check_path

from ._waiting import FIRST_PAUSE, LONGEST_PAUSE, PASSING

if TYPE_CHECKING:
    from zk_client import HasPort, Port, PortWatcher, Task

T = TypeVar("T")


class AsyncLater(Generic[T]):
    """Something that will be there later (asyncio, and every other port that suspends)."""

    def __init__(self, port: Port) -> None:
        self._there = port.event()
        self._value: list[T] = []
        self._error: BaseException | None = None

    @property
    def ready(self) -> bool:
        """Whether `get` returns, or raises, at once."""
        return self._there.is_set()

    async def get(self, timeout: float | None = None) -> T:
        """Wait for it. Raises the built-in TimeoutError after *timeout* seconds, or what kept it from coming."""
        if not await self._there.wait(timeout):
            message = f"not there after {timeout} s"
            raise TimeoutError(message)
        if self._error is not None:
            raise self._error
        return self._value[0]

    def come(self, value: T) -> None:
        """Be there; the first word counts."""
        if not self.ready:
            self._value.append(value)
            self._there.set()

    def fail(self, error: BaseException) -> None:
        """Never be there, because of an error; no effect on what is there."""
        if not self.ready:
            self._error = error
            self._there.set()


class _Round(NamedTuple):
    task: Task[None]
    settled: AsyncLater[tuple[list[str], AsyncLater[bool]]]
    changed: AsyncLater[bool]


class AsyncPatientChildrenWatch:
    """Tells the children of a node once they have not changed for a while, and then when they change.

    client: whatever has a port.   path: the node; while it is missing, it has no children.
    time_boundary: seconds without a change after which the children count as settled.

    `start` returns at once. Its result, later, is ``(children, changed)``: the settled names, and what is later True
    when they change for the first time after that. One object serves one round at a time; start it again for the next.

    What holds, each with the test that keeps it:

    - The children told have not changed for that time, and the next change is told, whatever is lost or expires:
      ``test_settled_children_are_the_latest_and_the_next_change_is_told``.
    - Stopped, or ended with its client, it leaves nothing: ``test_a_stopped_round_leaves_nothing``.
    """

    def __init__(self, client: HasPort, path: str, time_boundary: float = 30) -> None:
        check_path(path)
        if isinstance(time_boundary, bool) or not isinstance(time_boundary, (int, float)) or not time_boundary >= 0:
            message = f"time_boundary must be a number of seconds, not negative: not {time_boundary!r}"
            raise ValueError(message)
        self._path = path
        self._port = client.port
        self._quiet = time_boundary
        self._round: _Round | None = None

    @property
    def path(self) -> str:
        """The node whose children are watched."""
        return self._path

    @property
    def time_boundary(self) -> float:
        """Seconds without a change after which the children count as settled."""
        return self._quiet

    def start(self) -> AsyncLater[tuple[list[str], AsyncLater[bool]]]:
        """Begin a round, and end the one before if it still runs; costs a task until it ends."""
        self.stop()
        settled: AsyncLater[tuple[list[str], AsyncLater[bool]]] = AsyncLater(self._port)
        changed: AsyncLater[bool] = AsyncLater(self._port)
        body = self._follow(settled, changed)
        try:
            self._round = _Round(self._port.spawn(body, f"children of {self._path}"), settled, changed)
        except BaseException:
            body.close()
            raise
        return settled

    def stop(self) -> None:
        """End the round under way, if any; what it promised then raises SessionClosedError. Returns at once."""
        under_way, self._round = self._round, None
        if under_way is not None:
            under_way.task.cancel()
            # A task that is cancelled before its first step never gets to say so itself.
            self._end(under_way.settled, under_way.changed)

    def _end(self, settled: AsyncLater[tuple[list[str], AsyncLater[bool]]], changed: AsyncLater[bool]) -> None:
        ended = SessionClosedError(f'the children of "{self._path}" are not watched any more: it was stopped')
        settled.fail(ended)
        changed.fail(ended)

    async def _follow(self, settled: AsyncLater[tuple[list[str], AsyncLater[bool]]], changed: AsyncLater[bool]) -> None:
        watcher: PortWatcher | None = None
        try:
            while True:
                names, watcher = await self._look()
                event = await watcher.wait(self._quiet)
                if event is None:
                    settled.come((names, changed))
                    event = await watcher.wait()
                if event is not None and event.type is EventType.NONE and event.state is not SessionState.EXPIRED:
                    message = f'the children of "{self._path}" are not watched any more: the session is {event.state}'
                    raise SessionClosedError(message)
                if settled.ready:
                    # After an expiry nobody knows: whoever acts on the children has to look again.
                    changed.come(True)
                    return
        except Exception as error:  # noqa: BLE001 - whoever waits gets it
            settled.fail(error)
            changed.fail(error)
        finally:
            self._end(settled, changed)
            if watcher is not None:
                await self._port.shielded(watcher.close())

    async def _look(self) -> tuple[list[str], PortWatcher]:
        """Read the children, and leave a watch."""
        port = self._port
        pause = FIRST_PAUSE
        while True:
            watcher = port.watcher()
            kept = False
            try:
                try:
                    names = await port.get_children(self._path, watcher)
                except NoNodeError:
                    await watcher.close()
                    watcher = port.watcher()
                    if await port.exists(self._path, watcher) is not None:
                        continue
                    names = []
                kept = True
                return names, watcher
            except PASSING:
                await port.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            finally:
                if not kept:
                    await port.shielded(watcher.close())


class Later(Face[AsyncLater[T]], Generic[T]):
    """Something that will be there later (threads and gevent)."""

    @property
    def ready(self) -> bool:
        """Whether `get` returns, or raises, at once."""
        return self._body.ready

    def get(self, timeout: float | None = None) -> T:
        """Wait for it. Raises the built-in TimeoutError after *timeout* seconds, or what kept it from coming."""
        return run_blocking(self._body.get(timeout))


class LaterChildren(Face["AsyncLater[tuple[list[str], AsyncLater[bool]]]"]):
    """Settled children that will be there later (threads and gevent)."""

    @property
    def ready(self) -> bool:
        """Whether `get` returns, or raises, at once."""
        return self._body.ready

    def get(self, timeout: float | None = None) -> tuple[list[str], Later[bool]]:
        """Wait for them. Raises the built-in TimeoutError after *timeout* seconds, or what kept them from coming."""
        names, changed = run_blocking(self._body.get(timeout))
        return names, Later(changed)


class PatientChildrenWatch(Face[AsyncPatientChildrenWatch]):
    __doc__ = AsyncPatientChildrenWatch.__doc__

    def __init__(self, client: HasPort, path: str, time_boundary: float = 30) -> None:
        super().__init__(AsyncPatientChildrenWatch(client, path, time_boundary))

    def start(self) -> LaterChildren:
        """Begin a round, and end the one before if it still runs; costs a thread (or greenlet) until it ends."""
        return LaterChildren(self._body.start())

    stop = direct(AsyncPatientChildrenWatch.stop)
    path = attribute(AsyncPatientChildrenWatch, lambda watch: watch.path)
    time_boundary = attribute(AsyncPatientChildrenWatch, lambda watch: watch.time_boundary)
