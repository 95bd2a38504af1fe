"""The embedded server on a real loopback socket, in one background thread.

    with EmbeddedServer(version="3.8") as server:
        server.hosts                        # "127.0.0.1:40123"
        server.expire_session(session_id)
        server.pause()                      # sockets open, nothing answers
        server.heal()

Rule: it has the names of a real server (zk_testing.member) and of a cluster of one (zk_testing.cluster), so that one
test runs on all of them. All of its state belongs to its thread (sockets.py); every method here asks that thread.

For tests: nothing is written to disk, and nothing is safe from a crash. `stop` keeps the data, and `start` after it
serves them again on the same port, each session with a full timeout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TypeVar

from zk_wire import ServerStatus, parse_srvr

from .._words import ask_word
from ..errors import ClusterError
from .clock import Clock, VirtualClock
from .core import Mode, Output, ServerCore
from .settings import Settings
from .sockets import Sockets

__all__ = ["EmbeddedServer"]

T = TypeVar("T")


class EmbeddedServer:
    """A ZooKeeper server inside this process.

    version: whose behaviour it has: a line ("3.9"), a release ("3.8.4") or "newest".   port: 0 for any free one.
    tick_ms: the unit of session time-outs; a silent session ends up to one tick late.
    min/max_session_timeout: seconds; None is 2 ticks, and 60 s or 20 ticks.
    settings: everything else, and then all of it: the parameters before are not looked at.
    clock: a VirtualClock stands still until `advance` moves it.
    Raises ValueError for a version that cannot be embedded.
    """

    def __init__(
        self,
        *,
        version: str = "3.9",
        port: int = 0,
        host: str = "127.0.0.1",
        tick_ms: int = 200,
        min_session_timeout: float | None = None,
        max_session_timeout: float | None = None,
        settings: Settings | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings or Settings(
            version=version,
            tick_ms=tick_ms,
            min_session_timeout_ms=_to_ms(min_session_timeout),
            max_session_timeout_ms=_to_ms(max_session_timeout),
        )
        self._host = host
        self._port = port
        self._clock = clock or Clock()
        self._core: ServerCore | None = None
        self._sockets: Sockets | None = None
        self._paused = False
        self._steps = 0  # how often something was done to it; the leak check asks

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        where = f" at {self.address}" if self._port else ""
        return f"<EmbeddedServer {self._settings.version}{where}, {self.condition}>"

    # Life

    def start(self, *, wait: bool = True, timeout: float = 30.0) -> None:
        """Listen, and serve in a background thread; what an earlier life has left is still there.

        wait, timeout: as a real server takes them; it serves when this returns in any case.
        Raises OSError when the port is taken. A server that runs stays as it is.
        """
        if self._sockets is not None:
            return
        now_ms = self._clock.now_ms()
        core = self._core
        if core is None:
            core = ServerCore(self._settings, now_ms=now_ms)
        sockets = Sockets(self._clock, core.next_deadline_ms, core.tick)
        try:
            core.port = self._port = sockets.listen(core, self._host, self._port)
        except BaseException:
            sockets.stop()
            raise
        for session in core.sessions.all():
            core.sessions.touch(session, now_ms)
        self._core, self._sockets = core, sockets
        sockets.start(f"zk-embedded-{self._port}")

    def stop(self) -> None:
        """Close every connection and end the thread; the data stay for another `start`. Twice is once."""
        sockets = self._sockets
        if sockets is not None:
            sockets.stop()
            self._sockets = None
            self._paused = False

    def kill(self) -> None:
        """End it at once, as `kill -9` does a real one, which keeps its data: the same as `stop`."""
        self.stop()

    def restart(self, *, wait: bool = True, timeout: float = 30.0) -> None:
        """Stop (if it runs) and start again with the same data and port. Raises as `start`."""
        self.stop()
        self.start(wait=wait, timeout=timeout)

    def replace(self, *, wait: bool = True, timeout: float = 30.0) -> None:
        """Start anew on the same port, but without any data, as a new machine would. Raises as `start`."""
        self.stop()
        self._core = None
        self.start(wait=wait, timeout=timeout)

    # Where it is

    @property
    def number(self) -> int:
        """Its number among the members: 1."""
        return 1

    @property
    def port(self) -> int:
        """The port it listens on; 0 before the first start, unless one was asked for."""
        return self._port

    @property
    def address(self) -> str:
        """Host and port, as "127.0.0.1:40123"."""
        return f"{self._host}:{self._port}"

    @property
    def hosts(self) -> str:
        """The address, as a client takes it."""
        return self.address

    def connection_string(self, chroot: str = "") -> str:
        """The address followed by a chroot ("" or "/path")."""
        return self.hosts + chroot

    @property
    def version(self) -> str:
        """The exact release whose behaviour it has."""
        return self.core.profile.version

    @property
    def core(self) -> ServerCore:
        """The server itself, to be looked at; ask through `call` while it runs. Raises ValueError before the start."""
        if self._core is None:
            raise ValueError("the embedded server was not started yet")
        return self._core

    # In what condition

    @property
    def running(self) -> bool:
        """Whether it listens (a paused one does)."""
        return self._sockets is not None

    @property
    def paused(self) -> bool:
        """Whether it was paused and not resumed since."""
        return self._paused

    @property
    def condition(self) -> str:
        """ "running", "paused" or "stopped"."""
        return "paused" if self._paused else "running" if self.running else "stopped"

    @property
    def role(self) -> str | None:
        """ "standalone" or "read-only"; None while it serves nobody."""
        if not self.running or self._paused or self.core.mode is Mode.NOT_SERVING:
            return None
        return self.core.role

    @property
    def ready_role(self) -> str | None:
        """The same, under the name a real server has for it."""
        return self.role

    def send_command(self, word: str, *, timeout: float = 2.0) -> str:
        """Ask a four-letter word ("srvr", "mntr", "dump", ...) and return the whole answer as text.

        timeout: seconds, for connecting and for each wait for bytes.   Raises OSError when the server does not answer.
        """
        return ask_word(self._host, self._port, word, timeout=timeout)

    def status(self, *, timeout: float = 2.0) -> ServerStatus:
        """What `srvr` tells. Raises OSError, ServerNotServingError."""
        return parse_srvr(self.send_command("srvr", timeout=timeout))

    def wait_until_serving(self, *, timeout: float = 30.0) -> str:
        """Return the role. Raises ClusterError at once when it does not serve: nothing here happens by waiting."""
        role = self.role
        if role is None:
            raise ClusterError(f"{self!r} does not serve")
        return role

    # As a cluster of one

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[EmbeddedServer]:
        return iter((self,))

    def __getitem__(self, index: int) -> EmbeddedServer:
        return self.members[index]

    @property
    def members(self) -> tuple[EmbeddedServer, ...]:
        """All servers: this one."""
        return (self,)

    def leader(self, *, other_than: EmbeddedServer | None = None, timeout: float = 30.0) -> EmbeddedServer:
        """The server that decides: this one. Raises ClusterError when it may not be it, or does not serve."""
        if other_than is self or self.role is None:
            raise ClusterError(f"nobody else than {self!r} could lead")
        return self

    def followers(self) -> list[EmbeddedServer]:
        """Those who follow: nobody."""
        return []

    @property
    def damaged(self) -> bool:
        """Whether it is paused, stopped, or told to serve not everybody."""
        return self.condition != "running" or self.core.mode is not Mode.SERVING

    def heal(self, *, timeout: float = 30.0) -> None:
        """Start or resume it if need be, and serve everybody again."""
        if self._paused:
            self.resume()
        self.start()
        self.set_mode(Mode.SERVING)

    # What can be done to it

    def pause(self) -> None:
        """Do nothing until `resume`: connections stay open, new ones are accepted by the system, nothing answers.

        Time goes on. Raises ClusterError when it does not run.
        """
        sockets = self._running("pause")

        def freeze() -> None:
            if not self._paused:
                self._paused = True
                self.core.asleep = True
                sockets.freeze(self.core)

        sockets.call(freeze)

    def resume(self) -> None:
        """Go on after `pause`: sessions that ran out meanwhile end, then what has come is read.

        Raises ClusterError when it does not run.
        """
        sockets = self._running("resume")

        def thaw() -> None:
            if self._paused:
                self._paused = False
                self.core.asleep = False
                sockets.deliver(self.core.tick(self._clock.now_ms()))
                sockets.thaw(self.core)

        sockets.call(thaw)

    def expire_session(self, session_id: int) -> None:
        """End a session as if it had been silent for too long: its nodes go, its connection closes without a word.

        Raises KeyError when there is no such session.
        """
        self._do(lambda: self.core.expire_session(session_id, self._clock.now_ms()))

    def drop_connections(self, session_id: int | None = None) -> None:
        """Close the connection of one session, or all of them; the sessions live on."""
        self._do(lambda: self.core.drop_connections(session_id))

    def set_mode(self, mode: Mode) -> None:
        """Serve everybody, only read-only clients, or nobody; all connections are closed."""
        self._do(lambda: self.core.set_mode(mode, self._clock.now_ms()))

    def sessions(self) -> list[int]:
        """The numbers of the sessions that live."""
        return self.call(lambda core: [session.id for session in core.sessions.all()])

    def advance(self, seconds: float) -> None:
        """Let the time of a VirtualClock pass.

        Raises ValueError for less than 0 seconds, and for a server that lives in real time.
        """
        clock = self._clock
        if not isinstance(clock, VirtualClock):
            raise ValueError("only a server with a VirtualClock can be told the time")

        def step() -> list[Output]:
            until_ms = clock.after(seconds)
            output = self.core.advance(clock.now_ms(), until_ms)
            clock.move_to(until_ms)
            return output

        self._do(step)

    def call(self, function: Callable[[ServerCore], T]) -> T:
        """Run a function over the server's state, between two requests, and return what it returns or raises."""
        sockets = self._sockets
        if sockets is None:
            return function(self.core)
        return sockets.call(lambda: function(self.core))

    def _do(self, step: Callable[[], list[Output]]) -> None:
        self._steps += 1
        sockets = self._sockets
        if sockets is None:
            step()
        else:
            sockets.call(lambda: sockets.deliver(step()))

    def _running(self, verb: str) -> Sockets:
        sockets = self._sockets
        if sockets is None:
            raise ClusterError(f"cannot {verb} {self!r}: it does not run")
        return sockets


def _to_ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
