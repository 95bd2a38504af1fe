"""The client whose calls block: a session, its life, and its watches; the operations are in `requests`."""

from __future__ import annotations

import sys

from .base import ClientBase, check_observers, check_seconds, version_of
from .blocking_port import BlockingPort
from .calls import Call, no_reply
from .errors import SessionClosedError, StartTimeoutError
from .faces import run_blocking
from .hosts import Host
from .operations import Operations
from .requests import Requests
from .retry import RetryPolicy, retrying
from .states import SessionState
from .steps import undo_create
from .watching import PersistentWatch, Watcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence
    from types import TracebackType
    from typing import ParamSpec, TypeVar

    from zk_wire import ACL

    from .handlers.base import Runtime, RuntimeLock
    from .observing import Observer
    from .states import WatchedEvent

    P = ParamSpec("P")
    T = TypeVar("T")
    from typing import Any, Literal


class Client(ClientBase, Requests):
    """A ZooKeeper client whose calls block, for threads and greenlets.

    hosts: "host:port,host:port/chroot", or a list of such parts.   timeout: session timeout asked for, in seconds;
    the server may change it (`session_timeout`).   client_id: (session id, password) of a session to resume.
    default_acl: for nodes created without one; None lets anyone do anything.   auth_data: (scheme, credential)
    pairs presented on every connection.   read_only: accept a server that lost its quorum, and look for a better one.
    randomize_hosts: try the hosts in a new random order each round.   connect_timeout: seconds for each address, and
    for the server's answer; by default timeout / number of hosts, at most 5 s, so that a dead host costs little.
    read_timeout: seconds of silence after which a server counts as dead; by default, and at most, two thirds of the
    session timeout. A shorter one makes pings more frequent, and leaves more time to find another server.
    connection_retry: pauses between rounds over all hosts.   command_retry: what `retry` does.
    when_disconnected: "queue" lets requests wait for a connection, "fail" raises ConnectionLostError at once.
    call_timeout: seconds after which a blocking call raises CallTimeoutError; None leaves it to the session, which
    ends every call at the latest when it expires.   resolve_timeout: seconds a lost write may wait to be looked up;
    by default as long as the session may be resumed.   renew_after_expiry: begin a new session when one expires.
    follow_config: use the servers that the ensemble's config node names, each once it has answered here, also when
    the node changes; the hosts given are never forgotten, and tried when no other will do.
    max_in_flight: requests that may be on the wire unanswered; None for no limit.   when_full: "wait" lets further
    ones wait in the client, in their order and without blocking whoever made them; "fail" raises TooManyRequestsError
    at once, also while as many wait for a connection.
    max_frame: bytes of the longest reply accepted.   max_request: bytes of the longest request sent, the server's
    jute.maxbuffer.   runtime: "threads", "gevent", or a runtime; by default what `threading` stands for in this
    process, which is greenlets once gevent has patched it. ConfigurationError when that cannot work here.

    observers: told of requests, states, watches and connections, for metrics and tracing; see `Observer`.

    One client serves any number of threads, or of greenlets of one thread. It costs one background thread (or
    greenlet) while started, and a second one while callbacks run. A client may be started again after `stop`.

    After a fork the session stays with the parent, which notices nothing. In the child the client is not started:
    calls raise SessionClosedError, which says so, and `start` begins a session of the child's own.
    """

    def __init__(
        self,
        hosts: str | Iterable[str] = "127.0.0.1:2181",
        timeout: float = 10.0,
        *,
        client_id: tuple[int, bytes] | None = None,
        default_acl: Sequence[ACL] | None = None,
        auth_data: Iterable[tuple[str, str | bytes]] = (),
        read_only: bool = False,
        randomize_hosts: bool = True,
        connect_timeout: float | None = None,
        read_timeout: float | None = None,
        connection_retry: RetryPolicy | None = None,
        command_retry: RetryPolicy | None = None,
        when_disconnected: Literal["queue", "fail"] = "queue",
        call_timeout: float | None = None,
        resolve_timeout: float | None = None,
        renew_after_expiry: bool = True,
        follow_config: bool = False,
        max_in_flight: int | None = None,
        when_full: Literal["wait", "fail"] = "wait",
        max_frame: int = 64 * 1024 * 1024,
        max_request: int = 1_048_575,
        observers: Iterable[Observer] = (),
        runtime: Runtime | Literal["threads", "gevent"] | None = None,
    ) -> None:
        # The world is imported with the first client: who imports this package may live in another one.
        from .handlers.blocking import BlockingHandler
        from .handlers.worlds import choose

        self.runtime: Runtime = choose(runtime)
        super().__init__(
            hosts,
            timeout,
            chance=self.runtime.chance,
            client_id=client_id,
            default_acl=default_acl,
            read_only=read_only,
            randomize_hosts=randomize_hosts,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            connection_retry=connection_retry,
            command_retry=command_retry,
            when_disconnected=when_disconnected,
            call_timeout=call_timeout,
            resolve_timeout=resolve_timeout,
            renew_after_expiry=renew_after_expiry,
            max_in_flight=max_in_flight,
            when_full=when_full,
            max_frame=max_frame,
        )
        watching = check_observers(observers)
        handler: BlockingHandler
        if watching:
            from .handlers.observed import ObservedBlockingHandler

            handler = ObservedBlockingHandler(self._core, self.runtime, watching)
        else:
            handler = BlockingHandler(self._core, self.runtime)
        self._world = self.handler = handler
        self.operations = Operations(self.handler, self.chroot, default_acl, max_request)
        self.port = BlockingPort(self)
        self.handler.undoing = self._undo
        self._interrupt = self.port.event()
        self._present(auth_data)
        if follow_config:
            self._follow_config()

    # Life

    def start(self, timeout: float = 15.0) -> None:
        """Connect, and return when a server has granted a session.

        timeout: seconds; StartTimeoutError when they pass first, AuthFailedError when the credentials are refused,
        SessionClosedError when somebody calls `stop` meanwhile; the client is stopped then. No effect on a client
        that is connected already.
        """
        check_seconds("timeout", timeout)
        self.runtime.may_block()
        self.start_async()
        try:
            state = self.handler.wait_settled(timeout)
        except BaseException:
            # Interrupted or killed: nobody would know of a client that goes on to connect.
            self.stop()
            raise
        if state.is_connected:
            if self.chroot:
                self.exists_async("/").add_done_callback(self._warn_of_chroot)
            return
        reason = self._core.reason
        stopped = self._interrupt.is_set()
        self.stop()
        if stopped:
            raise SessionClosedError("start() was ended by stop()")
        listed = ",".join(str(host) for host in self.hosts)
        if state is SessionState.AUTH_FAILED:
            raise self._core.auth_error(reason)
        raise StartTimeoutError(f"no session from {listed} within {timeout} s: {reason}")

    def start_async(self) -> None:
        """Begin to connect and return at once; `add_listener` or `wait_connected` tell when it is done."""
        self._interrupt.clear()
        self._look_after_forks()
        self.handler.start()

    def wait_connected(self, timeout: float | None = None) -> bool:
        """Wait until the session is connected; False when `timeout` seconds pass first or it ends for good."""
        self.runtime.may_block()
        return self.handler.wait_settled(timeout).is_connected

    def stop(self, timeout: float = 5.0, *, close_session: bool = True) -> None:
        """End the session, and return when nothing of the client runs any more.

        timeout: seconds to wait for the server's confirmation; the session is closed here in any case.
        close_session: False leaves it to the server, with its ephemeral nodes, until it expires; the next `start`
        resumes it, and so does another client given `client_id`.
        Requests under way are answered first; those that cannot be raise SessionClosedError. May be called from any
        thread, from a callback, more than once, and on a client that never started. In a signal handler or a `__del__`
        that interrupts a call of the client's own it returns when the end was asked for, and the rest is done beside;
        so it does at the interpreter's end, after the functions of `atexit`, when nothing runs beside any more.
        """
        if sys.is_finalizing():
            self.handler.leave(close_session=close_session)
            return
        if self.handler.is_interrupted_in(sys._getframe().f_back):
            self.handler.stop_beside(self._interrupt.set, timeout, close_session=close_session)
            return
        with self.handler.mutex:
            # Turns a caller away that may not, before anything has an effect.
            pass
        self._interrupt.set()
        self.handler.stop(timeout, close_session=close_session)

    def close(self) -> None:
        """End the session as `stop` does."""
        self.stop()

    def restart(self, timeout: float = 15.0) -> None:
        """End the session and begin a new one, also after an expiry or a refused authentication."""
        self.stop()
        self.start(timeout)

    def __enter__(self) -> Client:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Asking servers

    def command(self, word: str = "ruok", timeout: float = 5.0) -> str:
        """Send a four-letter word to the connected server, on a connection of its own, and return its whole answer.

        Raises ConnectionLostError while there is no server, OSError when it does not answer in time.
        """
        from .handlers.asking import ask

        self.runtime.may_block()
        address = self.server_address
        if address is None:
            raise self._core.no_connection()
        return ask(self.runtime, Host(*address), word, timeout)

    def server_version(self) -> tuple[int, ...]:
        """The connected server's version, for example (3, 9, 4); asks `srvr`, which servers allow by default."""
        return version_of(self.command("srvr"))

    # Watches

    def watcher(self) -> Watcher:
        """Make a one-shot watch as a value: give it to one read as `watch`, then wait for its event."""
        return Watcher(self.runtime, self.forget_watcher, None)

    def watch(self, path: str, *, recursive: bool = False) -> PersistentWatch:
        """Watch a node until told otherwise; with `recursive` everything below it too (servers of 3.6 and newer).

        Returns a value to iterate over. The node need not exist. After a reconnect it yields an event of type NONE
        with a connected state, because no server reports what a persistent watch missed: read again then.
        Raises ConfigurationError for a path that this client watches persistently in the other mode already:
        servers before 3.9 keep one mode per path.
        """
        watch = PersistentWatch(self.runtime, path, recursive, self.forget_watcher)
        self._add_watch(path, watch, recursive)
        return watch

    def add_watch(self, path: str, listener: Callable[[WatchedEvent], object], *, recursive: bool = False) -> None:
        """As `watch`, calling `listener(event)` on the client's dispatcher for every event."""
        self._add_watch(path, listener, recursive)

    def _add_watch(self, path: str, listener: Any, recursive: bool) -> None:
        self._run(self._watch_call(path, listener, recursive))

    # Deadlines and retrying

    def within(self, seconds: float) -> Requests:
        """The same operations, all of which end within so many seconds from now: `zk.within(2.0).get("/a")`.

        One that has not ended by then raises CallTimeoutError; of a write `.outcome` says what is known. One that
        would begin later is not sent. Operations in several steps count as one. Futures of `_async` twins are not
        bounded; give `result` a time-out. Without it `call_timeout` holds, for each request by itself.
        """
        from .within import Within

        check_seconds("seconds", seconds)
        return Within(self, seconds)

    def retry(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function again while a lost connection keeps it from succeeding, as `command_retry` says.

        A write whose outcome is unknown is not repeated unless the policy says so. `stop` interrupts a pause.
        Raises RetryFailedError when the policy gives up, RetryInterruptedError when the client is stopped.
        """

        async def attempt() -> T:
            return function(*args, **kwargs)

        return run_blocking(retrying(self.port, self._command_retry, attempt, interrupt=self._interrupt))

    # Forking

    def _fork_lock(self) -> RuntimeLock:
        return self.handler.mutex

    def _forked(self, reason: str) -> None:
        super()._forked(reason)
        self._interrupt = self.port.event()

    # What the faces in `requests` run on

    def _run(self, call: Call[T]) -> T:
        return self.handler.call(call, self.call_timeout)

    def _submit(self, call: Call[T]) -> Call[T]:
        self.handler.submit(call)
        return call

    def _body(self, body: Coroutine[object, None, T]) -> T:
        return run_blocking(body)

    def _body_async(self, path: str, body: Coroutine[object, None, T]) -> Call[T]:
        future: Call[T] = Call(self.handler, b"", no_reply, path)

        def run() -> None:
            try:
                future.reply = run_blocking(body)
            except BaseException as error:  # noqa: BLE001 - the future raises it
                future.failure = error
            self.handler.complete(future)

        self.handler.workers.spawn("zk-client steps", run)
        return future

    def _now(self) -> float:
        return self.runtime.now()

    def clean_up(self, body: Coroutine[Any, Any, None]) -> None:
        """Run a clean-up beside everything else."""
        self.handler.workers.clean_up(body)

    def _undo(self, path: str, session_id: int) -> Coroutine[Any, Any, None]:
        return undo_create(self.port, path, session_id)
