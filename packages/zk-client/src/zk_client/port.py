"""The port: everything a body (a recipe, or an operation with steps) may ask for.

Rule: bodies are ``async def`` and await nothing but what stands here. A port for threads or gevent blocks
inside and never suspends; a port for asyncio, or a simulated one, suspends. A body cannot tell, so it is
written once. This module imports no clock, thread, socket or event loop, and neither do bodies.

What every implementation promises, beside the single docstrings:

- *Order.* Requests of one port reach the server in the order of the calls, also the ones whose caller has
  stopped waiting. A request whose call ended with an error is never sent afterwards; one that was sent before
  may still be applied, until the session is served by another connection. A read that waited for a connection may
  be answered in a later session than the one it was called in; a write never is.
- *Outcome.* A call that fails because the connection did raises ConnectionLostError, SessionExpiredError or
  OperationTimeoutError with ``.outcome``. A write whose request went out is resolved by the port where the
  protocol allows telling; where it does not, the outcome is ``Outcome.UNKNOWN``.
- *Leaving.* A sequential node whose create ended without an answer (its time was up, or it was cancelled) is deleted
  again by the port, should it have been made; nobody may adopt it. What a transaction has made stays.
- *Cancellation.* Any ``await`` of a body may end with an exception of the outside world (a cancelled task, a
  killed greenlet, KeyboardInterrupt). The plain functions (no ``async``) never do, never block and never raise
  for the connection's sake: clean-up may rest on them.
- Paths are as the client names them, below its chroot.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import NamedTuple, Protocol, TypeAlias, TypeVar

    from zk_wire import (
        ACL,
        CheckResult,
        CheckVersionRequest,
        Create2Request,
        CreateContainerRequest,
        CreateRequest,
        CreateResult,
        CreateTTLRequest,
        DeleteRequest,
        DeleteResult,
        SetDataRequest,
        SetDataResult,
        Stat,
    )

    from .states import SessionState, WatchedEvent
    from .transactions import ReadResult

    # What a transaction is made of, and what it gives back: one result per operation, in order.
    Operation: TypeAlias = (
        CreateRequest
        | Create2Request
        | CreateContainerRequest
        | CreateTTLRequest
        | DeleteRequest
        | SetDataRequest
        | CheckVersionRequest
    )
    OperationResult: TypeAlias = CreateResult | DeleteResult | SetDataResult | CheckResult
else:
    from ._typing import NamedTuple, Protocol, TypeVar

    Operation = OperationResult = object


class Read(NamedTuple):
    """One of many reads: a node's data and Stat, or with *children* the names of its children."""

    path: str
    children: bool = False
    watch: Watcher | None = None


T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Event(Protocol):
    """A flag that bodies wait for. `set` may be called from anywhere, a listener or another thread included."""

    def set(self) -> None:
        """Raise the flag and wake everybody who waits."""
        ...

    def clear(self) -> None:
        """Lower the flag."""
        ...

    def is_set(self) -> bool:
        """Whether the flag is up."""
        ...

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is up; False when *timeout* seconds went by first."""
        ...


class Watcher(Protocol):
    """A one-shot watch as a value: hand it to one read, then wait for it.

    It survives reconnects of the same session. When the session ends it is resolved with
    ``EventType.NONE`` and the state EXPIRED or CLOSED.
    """

    @property
    def event(self) -> WatchedEvent | None:
        """What the watch saw; None so far."""
        ...

    async def wait(self, timeout: float | None = None) -> WatchedEvent | None:
        """Wait for the event; None when *timeout* seconds went by first, or the watcher was closed."""
        ...

    async def close(self) -> None:
        """Forget the watch: here at once, and on the server when it was the last one of this client on its path.

        Wakes whoever waits, with None. Also forgets a watch whose read is still under way. Does not wait for
        the server and raises nothing for the connection's sake; a watch that has fired or was never used costs nothing.
        """
        ...


class Subscription(Protocol):
    """A persistent watch as a value: every change of a node, or of everything below it, until told otherwise.

    It survives reconnects of the same session, but no server reports what it missed meanwhile: an event of type NONE
    with a connected state says so (read again). An event of type NONE with any other state, or of type
    PERSISTENT_WATCH_REMOVED, is the last one.
    """

    @property
    def closed(self) -> bool:
        """Whether no further event will come; those that came before can still be taken."""
        ...

    def take(self) -> WatchedEvent | None:
        """Return the next event if it is there already, in the server's order; else None. Never waits."""
        ...

    async def next(self, timeout: float | None = None) -> WatchedEvent | None:
        """Wait for the next event; None when *timeout* seconds went by first, or it is closed and all are taken."""
        ...

    async def close(self) -> None:
        """Forget the watch: here at once, and on the server when it was the last one of this client on its path.

        Wakes whoever waits. Does not wait for the server and raises nothing for the connection's sake.
        """
        ...


class Task(Protocol[T_co]):
    """A body running beside its creator."""

    @property
    def done(self) -> bool:
        """Whether the body has ended."""
        ...

    def cancel(self) -> None:
        """Ask the body to end: its current or next ``await`` raises. No effect on a body that has ended."""
        ...

    async def join(self, timeout: float | None = None) -> T_co:
        """Wait for the end and return the body's result, or raise what it raised.

        Raises the built-in TimeoutError when the body still runs after *timeout* seconds; it runs on.
        """
        ...


class Scope(Protocol):
    """A stretch of somebody's work that can be cut short from beside it, where the world can do that.

    asyncio can: the task that began the scope is cancelled. Threads and greenlets cannot be interrupted safely in the
    middle of anything; there `cancel` is only noted, and the work has to ask.
    """

    @property
    def interrupts(self) -> bool:
        """Whether `cancel` reaches the work, or is only noted."""
        ...

    @property
    def cancelled(self) -> bool:
        """Whether it was cut short."""
        ...

    def cancel(self) -> None:
        """Cut it short: the current or next `await` in it raises. No effect once it was left."""
        ...

    async def leave(self, error: BaseException | None) -> bool:
        """End it, with the exception that leaves it, if any; True when that is its own cancellation.

        Its own cancellation is taken back: whoever called goes on as if it had never been cancelled.
        """
        ...


class Port(Protocol):
    """What bodies await: requests, watches, events, time, tasks and clean-up."""

    # Requests

    async def create(
        self,
        path: str,
        value: bytes | None = b"",
        acl: Sequence[ACL] | None = None,
        *,
        ephemeral: bool = False,
        sequence: bool = False,
        makepath: bool = False,
        unique: bool = False,
    ) -> str:
        """Create a node and return its path, with the number the server added when *sequence*.

        acl: None for the client's default.   makepath: create missing parents as well.
        unique: the caller promises that the last component holds a GUID of its own (from `guid`). A lost reply is
        then resolved by the port: it syncs, searches the parent, and accepts only a node owned by the session the
        request was sent in; the call returns as if the reply had come, or raises with an outcome.
        """
        ...

    async def create_with_stat(
        self,
        path: str,
        value: bytes | None = b"",
        acl: Sequence[ACL] | None = None,
        *,
        ephemeral: bool = False,
        sequence: bool = False,
        makepath: bool = False,
        unique: bool = False,
    ) -> tuple[str, Stat]:
        """As `create`, and return the new node's Stat as well, in one round trip where the server can."""
        ...

    async def delete(self, path: str, version: int = -1) -> None:
        """Delete a node without children; *version* -1 skips the check.

        Raises NoNodeError; its ``.outcome`` is UNKNOWN when a request of this very call may have been what
        deleted the node (its reply was lost), NOT_APPLIED when the node was gone before.
        """
        ...

    async def exists(self, path: str, watch: Watcher | None = None) -> Stat | None:
        """Return the node's Stat, or None. The watch is left in both cases."""
        ...

    async def get(self, path: str, watch: Watcher | None = None) -> tuple[bytes | None, Stat]:
        """Return the node's data and Stat. A missing node raises NoNodeError and leaves no watch."""
        ...

    async def set(self, path: str, value: bytes | None, version: int = -1) -> Stat:
        """Replace the node's data and return its new Stat."""
        ...

    async def get_children(self, path: str, watch: Watcher | None = None) -> list[str]:
        """Return the names of the node's children, in no order. A missing node raises and leaves no watch."""
        ...

    async def read_many(self, reads: Sequence[Read]) -> list[ReadResult]:
        """Read many nodes in few round trips: per read, in order, its result, or NoNodeError or NoAuthError as a value.

        Reads without a watch go up to 60 in one request where the server can (3.6 and newer); others are sent without
        waiting for each other. A read that gave an error leaves no watch. They are not one moment of the server.
        Raises every other error; close all the watches you gave then, since some may be armed.
        """
        ...

    async def sync(self, path: str) -> str:
        """Bring the connected server up to date with the leader, then return *path*."""
        ...

    async def ensure_path(self, path: str, acl: Sequence[ACL] | None = None) -> None:
        """Create the node and its parents where they are missing."""
        ...

    async def commit(self, operations: Sequence[Operation], *, marker: str | None = None) -> list[OperationResult]:
        """Apply all operations or none; one result per operation, in order.

        A create whose ACL is empty gets the client's default. marker: an existing node under which the transaction
        leaves an ephemeral node for a moment, so that a lost reply is resolved by the port for as long as the session
        lives: the call returns as if the reply had come, or raises with an outcome; UNKNOWN when the session, or the
        time, ended first, and APPLIED when all that is lost are the results.
        Raises TransactionFailedError (``.index``, ``.error``, ``.results``), after which nothing was applied; a
        *marker* that is not there is the NoNodeError of an operation after the last.
        """
        ...

    # Waiting, time, tasks

    def watcher(self, wake: Event | None = None) -> Watcher:
        """Make a watcher. *wake*: an event of this port, set as well once the watcher's `event` is there.

        With it a body waits in one place for several things: a watch, a change of state, a word from outside.
        """
        ...

    async def watch(self, path: str, *, recursive: bool = False, wake: Event | None = None) -> Subscription:
        """Watch a node until told otherwise, with *recursive* everything below it too; the node need not exist.

        A read begun afterwards sees every change that no event tells.   wake: set with every event.
        Raises UnimplementedError on servers older than 3.6, and ConfigurationError for a path that this client watches
        persistently in the other mode; after any error nothing is watched.
        """
        ...

    def event(self) -> Event:
        """Make an event, with its flag down."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Pause."""
        ...

    def now(self) -> float:
        """Seconds on the monotonic clock."""
        ...

    def chance(self) -> float:
        """A random number in [0, 1); from the port because bodies have no randomness of their own."""
        ...

    def until(self, deadline: float | None) -> Port:
        """Return this port with every request and `sleep` bounded by *deadline*, a time of `now`.

        A request that has no answer by then raises OperationTimeoutError, whose outcome says what is known, and
        so does one begun later, without being sent. Events, watchers and tasks are those of the port itself.
        None: unbounded.
        """
        ...

    def spawn(self, body: Coroutine[object, None, T], name: str) -> Task[T]:
        """Run a body beside this one: a task, a greenlet, or a thread of its own. *name* is for people."""
        ...

    def scope(self) -> Scope:
        """Begin a scope of the worker (task, thread, greenlet) that calls."""
        ...

    async def shielded(self, body: Coroutine[object, None, T]) -> T:
        """Run a body to its end even when the caller is cancelled meanwhile; then return its result."""
        ...

    # Clean-up and identity

    def background_delete(self, parent: str, name_prefix: str, session_id: int) -> None:
        """See to it that no child of *parent* whose name begins with *name_prefix* (a GUID) is left. Returns at once.

        The client keeps trying, across reconnects, until a listing made after the last request of that name shows
        none, or until the session *session_id* has ended, with which its ephemeral nodes go anyway.
        """
        ...

    def guid(self) -> str:
        """Return 32 hex digits that nobody else has."""
        ...

    def caller(self) -> object | None:
        """Return the worker (task, thread, greenlet) that calls: hashable, and the same for as long as it lives.

        None where no worker does, as in a callback of asyncio's loop. A body that something else runs for the caller
        (a task, `shielded`) is called by that.
        """
        ...

    # The session

    @property
    def session_id(self) -> int | None:
        """The session's id, as in a Stat's ``ephemeral_owner``; None before there is one."""
        ...

    @property
    def state(self) -> SessionState:
        """The session's state, as last told to listeners."""
        ...

    @property
    def lease_remaining(self) -> float:
        """Seconds for which the server cannot have expired the session, by the monotonic clock; then 0 or less."""
        ...

    def add_listener(self, listener: Callable[[SessionState], None]) -> None:
        """Have *listener* called with every new state, in order, never on the thread that reads the socket."""
        ...

    def remove_listener(self, listener: Callable[[SessionState], None]) -> None:
        """Stop calling *listener*; no effect on one that is not registered."""
        ...


class HasPort(Protocol):
    """Whatever recipes can be built on: a client of any world."""

    @property
    def port(self) -> Port:
        """The port of this client's world."""
        ...
