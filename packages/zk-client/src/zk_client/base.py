"""What every client has, whatever its world: how it is configured, and what is known of its session.

Rule: nothing here waits or speaks to a server, so it is written once and is the same under threads and asyncio.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from zk_wire import RemoteProtocolError

from . import _wire
from ._session.core import SessionCore
from ._session.machine import SessionConfig
from ._session.watches import PERSISTENT, RECURSIVE
from .errors import ConfigurationError
from .handlers.log import logger
from .hosts import Host, HostList, parse_hosts
from .operations import Operations, encode_acls
from .retry import RetryPolicy
from .states import SessionState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, Literal, Protocol

    from zk_wire import ACL

    from .calls import Call, CallOwner
    from .following import Answers
    from .handlers.base import RuntimeLock
    from .observing import Observer
    from .states import WatchedEvent

    class Handler(CallOwner, Protocol):
        """A world's handler, as far as this needs it."""

        state: SessionState
        listeners: list[Callable[[SessionState], object]]

        @property
        def peer(self) -> tuple[str, int] | None: ...

        def forget_watch(self, path: str, listener: Any) -> None: ...

        def forget_watcher(self, watcher: Any) -> None: ...

        def reconnect(self, reason: str) -> None: ...

        def set_hosts(
            self, hosts: Sequence[Host], fallback: Sequence[Host], connect_timeout: float, known_as: frozenset[str]
        ) -> None: ...

        def check_servers(self, hosts: Sequence[Host], then: Callable[[Answers], None]) -> None: ...

        def forked(self, reason: str) -> None: ...


# A client that lost its server looks for another at once, then with growing pauses.
RECONNECT = RetryPolicy(delay=0.1, backoff=2.0, jitter=0.5, max_delay=5.0)
RETRY = RetryPolicy()
# The configuration of the client made last: a process with many clients mostly has one for all of them.
_last_config: SessionConfig | None = None


class ClientBase(ABC):
    """The configuration and the session of a client; `Client` and `AsyncClient` say what the parameters mean."""

    _world: Handler
    operations: Operations
    reads_in_packs = True  # as long as no server has said that it does not know multi-reads

    def __init__(
        self,
        hosts: str | Iterable[str],
        timeout: float,
        *,
        chance: Callable[[], float],
        client_id: tuple[int, bytes] | None,
        default_acl: Sequence[ACL] | None,
        read_only: bool,
        randomize_hosts: bool,
        connect_timeout: float | None,
        read_timeout: float | None,
        connection_retry: RetryPolicy | None,
        command_retry: RetryPolicy | None,
        when_disconnected: Literal["queue", "fail"],
        call_timeout: float | None,
        resolve_timeout: float | None,
        renew_after_expiry: bool,
        max_in_flight: int | None,
        when_full: Literal["wait", "fail"],
        max_frame: int,
    ) -> None:
        self.hosts, self.chroot = parse_hosts(hosts)
        self._connect_timeout = connect_timeout
        check_seconds("timeout", timeout, least=0.001)
        check_seconds("connect_timeout", connect_timeout, least=0.001)
        check_seconds("read_timeout", read_timeout, least=0.001)
        check_seconds("call_timeout", call_timeout)
        check_seconds("resolve_timeout", resolve_timeout)
        if when_disconnected not in ("queue", "fail"):
            raise ConfigurationError(f'when_disconnected must be "queue" or "fail", not {when_disconnected!r}')
        if max_in_flight is not None and (isinstance(max_in_flight, bool) or max_in_flight < 1):
            raise ConfigurationError(f"max_in_flight must be at least 1, or None for no limit, not {max_in_flight!r}")
        if when_full not in ("wait", "fail"):
            raise ConfigurationError(f'when_full must be "wait" or "fail", not {when_full!r}')
        if default_acl is not None:
            encode_acls(default_acl)
        self._default_acl = default_acl
        self.call_timeout = call_timeout
        self._command_retry = (command_retry or RETRY).check()
        config = SessionConfig(
            timeout=timeout,
            connect_timeout=self._connect_timeout_for(timeout, len(self.hosts)),
            reconnect=(connection_retry or RECONNECT).check(),
            read_only=read_only,
            queue_when_disconnected=when_disconnected == "queue",
            resolve_timeout=resolve_timeout,
            renew_after_expiry=renew_after_expiry,
            max_frame=max_frame,
            chroot=self.chroot,
            max_in_flight=max_in_flight,
            fail_when_full=when_full == "fail",
            read_timeout=read_timeout,
        )

        listed = HostList(self.hosts, Shuffle(chance) if randomize_hosts else None)
        self._core = SessionCore(_shared(config), listed, chance, _check_id(client_id))

    @abstractmethod
    def _now(self) -> float:
        """Seconds on the monotonic clock by which this client lives."""

    def _follow_config(self) -> None:
        from .following import Follower

        self.add_listener(Follower(self))

    def _present(self, auth_data: Iterable[tuple[str, str | bytes]]) -> None:
        for scheme, credential in auth_data:
            identity = self.operations.add_auth(scheme, credential).auth
            assert identity is not None
            self._core.add_identity(identity)

    # The session

    @property
    def state(self) -> SessionState:
        """The session's state, as last told to listeners."""
        return self._world.state

    @property
    def core_state(self) -> SessionState:
        """The session's state as it is, told to listeners or not."""
        return self._core.state

    @property
    def connected(self) -> bool:
        """Whether a server serves the session right now."""
        return self._core.state.is_connected

    @property
    def session_id(self) -> int | None:
        """The session's id, as in a Stat's `ephemeral_owner`; None when there is no session."""
        return self._core.session_id or None

    @property
    def client_id(self) -> tuple[int, bytes] | None:
        """(session id, password) with which another client can resume the session; None when there is none."""
        return (self._core.session_id, self._core.password) if self._core.session_id else None

    @property
    def session_timeout(self) -> float:
        """The session timeout in force, in seconds: the server's answer to the one asked for."""
        return self._core.timers.timeout

    @property
    def lease_remaining(self) -> float:
        """Seconds for which no server can have given this session up; 0 when that is not certain.

        Counted from when the last request that was answered had been sent, so it errs on the safe side. A lock
        held by this session is certainly still held while this is above 0, as far as this client is concerned.
        """
        return self._core.lease_remaining(self._now())

    @property
    def last_zxid(self) -> int:
        """The highest transaction id seen in a reply."""
        return self._core.last_zxid

    @property
    def server_address(self) -> tuple[str, int] | None:
        """Address and port of the connected server; None while there is none."""
        return self._world.peer

    def add_listener(self, listener: Callable[[SessionState], object]) -> None:
        """Have `listener(state)` called with every change of state, in order, on the client's dispatcher.

        It may call the client. An exception in it is logged. Adding one twice has no effect.
        """
        if not callable(listener):
            raise ConfigurationError(f"a listener must be callable, but {listener!r} is not")
        if listener not in self._world.listeners:
            self._world.listeners.append(listener)

    def remove_listener(self, listener: Callable[[SessionState], object]) -> None:
        """Stop calling a listener; no effect on one that is not registered."""
        if listener in self._world.listeners:
            self._world.listeners.remove(listener)

    def reconnect(self) -> None:
        """Drop the connection and find a server again; the session goes on."""
        self._world.reconnect("reconnect() was called")

    def set_hosts(self, hosts: str | Iterable[str]) -> None:
        """Have other servers from now on, given as to the client; the session goes on.

        A client whose server is in the new list mostly stays there; when the list has grown, so many leave that all
        clients together are spread evenly again. One whose server is gone moves at once. The chroot cannot change:
        the new list has the same one, or none. Raises ConfigurationError, and nothing has changed then.
        """
        listed, chroot = parse_hosts(hosts)
        if chroot not in ("", self.chroot):
            raise ConfigurationError(f"the chroot of a client cannot change: it is {self.chroot!r}, not {chroot!r}")
        self.hosts = listed
        self._use_hosts(listed, ())

    def _use_hosts(
        self, hosts: Sequence[Host], fallback: Sequence[Host], known_as: frozenset[str] = frozenset()
    ) -> None:
        connect_timeout = self._connect_timeout_for(self._core.config.timeout, len(hosts))
        self._world.set_hosts(hosts, fallback, connect_timeout, known_as)

    def _check_servers(self, hosts: Sequence[Host], then: Callable[[Answers], None]) -> None:
        self._world.check_servers(hosts, then)

    def _connect_timeout_for(self, timeout: float, hosts: int) -> float:
        return min(timeout / hosts, 5.0) if self._connect_timeout is None else self._connect_timeout

    def set_session_timeout(self, timeout: float, *, reconnect: bool = False) -> None:
        """Ask for another session timeout, in seconds, with the next connection; with `reconnect` make that now.

        The session goes on. `session_timeout` tells what the server has made of it.
        """
        check_seconds("timeout", timeout, least=0.001)
        self._core.ask_for_timeout(timeout)
        if reconnect:
            self._world.reconnect("another session timeout is asked for")

    # Limits

    def window(self, most: int) -> int:
        """How many requests may be sent at once without being refused, where `most` are wished; others ask as well."""
        config = self._core.config
        if config.max_in_flight is None or not config.fail_when_full:
            return most
        return max(1, min(most, config.max_in_flight // 2))

    # Watches

    def remove_watch(self, path: str, listener: Callable[[WatchedEvent], object]) -> None:
        """Forget a listener's watches on a path, of every kind; here at once, then on the server."""
        self._world.forget_watch(self.operations.target_path(path), listener)

    def forget_watcher(self, watcher: Any) -> None:
        """Take a watcher off every path it watches."""
        self._world.forget_watcher(watcher)

    def add_watch_async(
        self, path: str, listener: Callable[[WatchedEvent], object], *, recursive: bool = False
    ) -> Call[None]:
        """As `add_watch`, returning a future at once."""
        call = self._watch_call(path, listener, recursive)
        self._world.submit(call)
        return call

    def _watch_call(self, path: str, listener: Any, recursive: bool) -> Call[None]:
        call = self.operations.add_watch(path, listener, recursive=recursive)
        assert call.watch is not None
        if self._core.watches.conflict(RECURSIVE if recursive else PERSISTENT, call.watch.path):
            raise ConfigurationError(
                f"{path!r} already has a persistent watch that is {'not ' if recursive else ''}recursive; "
                "servers before 3.9 keep one mode per path, so close that watch first"
            )
        return call

    # Forking, see `handlers.forking`

    def _look_after_forks(self) -> None:
        from .handlers.forking import watch

        watch(self)

    def _fork_lock(self) -> RuntimeLock | None:
        return None

    def _forked(self, reason: str) -> None:
        self._world.forked(reason)

    # Helpers

    def _warn_of_chroot(self, call: Call[Any]) -> None:
        if call.exception() is None and call.result() is None:
            logger().warning("the chroot %r does not exist; every path below it is missing", self.chroot)

    def __repr__(self) -> str:
        listed = ",".join(str(host) for host in self.hosts)
        return f"<{type(self).__name__} {listed}{self.chroot} {self._core.state} session=0x{self._core.session_id:x}>"


class Shuffle:
    """Puts hosts into an order that is left to chance."""

    __slots__ = ("_chance",)

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance

    def __call__(self, hosts: list[Host]) -> None:
        hosts.sort(key=lambda _: self._chance())


def _shared(config: SessionConfig) -> SessionConfig:
    global _last_config
    last = _last_config
    if last is None or config != last:
        last = _last_config = config
    return last


def check_observers(observers: Iterable[Observer]) -> tuple[Observer, ...]:
    """The observers as a tuple; ConfigurationError when one is none."""
    found = tuple(observers)
    if found:
        from .observing import Observer

        for observer in found:
            if not isinstance(observer, Observer):
                raise ConfigurationError(f"an observer must be an Observer, but {observer!r} is not")
    return found


def version_of(answer: str) -> tuple[int, ...]:
    """The version in a server's answer to `srvr`."""
    version = _wire.parse_srvr(answer).version
    numbers = version.partition("-")[0].split(".")
    if not all(number.isdigit() for number in numbers):
        raise RemoteProtocolError(f"the server calls its version {version!r}")
    return tuple(int(number) for number in numbers)


def check_seconds(name: str, value: float | None, least: float = 0.0) -> None:
    """Refuse what is no duration."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigurationError(f"{name} must be a number of seconds, not {value!r}")
    if not least <= value < 2_147_483:
        raise ConfigurationError(f"{name} must lie between {least} and 2147483 seconds, but is {value}")


def _check_id(client_id: tuple[int, bytes] | None) -> tuple[int, bytes] | None:
    if client_id is None:
        return None
    session_id, password = client_id
    if not isinstance(session_id, int) or not isinstance(password, bytes):
        raise ConfigurationError("client_id must be (session id, password), an int and bytes")
    return session_id, password
