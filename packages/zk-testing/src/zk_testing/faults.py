"""A proxy in front of a ZooKeeper server that loses, delays and cuts on demand, frame by frame.

    with start_cluster() as cluster, FaultProxy(cluster[0]) as proxy:
        client = ...                                     # connects to proxy.hosts

        fault = proxy.lose_reply("create")               # the next create reaches the server, its reply nobody
        ...                                              # client.create(...) in another thread
        fault.wait()                                     # until it happened

        proxy.lose_request("set_data", nth=2)            # the second set from now never reaches the server
        proxy.lose_reply("multi", then="freeze")         # swallowed, and the connection stays open, silent for good
        proxy.freeze("to_client")                        # requests still arrive, replies wait for heal()
        proxy.freeze()                                   # a dead network: sockets open, nothing passes
        proxy.delay(0.2, "get_data")                     # each get's reply (and what is behind it) 0.2 s later
        proxy.refuse()                                   # new connections are closed at once
        proxy.cut()                                      # every connection ends now
        proxy.half_open(keep="client")                   # the server sees a FIN, the client nothing
        proxy.heal()                                     # no more faults

        proxy.wait_for("ping", count=2)                  # until two pings reached the server
        mark = proxy.mark()
        proxy.wait_for(lambda passed: passed.kind == "create" and passed.error == -110, since=mark)

Rule: nothing is duplicated, reordered or invented. TCP cannot lose one message and keep the next, so a lost frame is
always the last one of its connection in its direction: the connection is then cut, or frozen for good (`heal` cuts it).
Earlier frames of that direction are still delivered first.

Kinds are named as in `zk_testing.kinds`: "create" (every way to create), "delete", "set_data", "get_data", "multi",
"ping", "connect", "notification", "read", "write", "any", ... or one `OpCode`. Rules count the frames that pass from
the moment they are set, over all connections; `nth=1` is the next one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Protocol

from zk_wire import OpCode

from ._conversation import Conversation
from ._ports import release_ports, reserve_ports
from ._relay import BOTH, TO_CLIENT, TO_SERVER, Direction, Relay, Then
from .errors import TestingError
from .fault import Fault
from .record import Passed, Record

__all__ = ["Direction", "Fault", "FaultProxy", "HasAddress", "Passed", "Then"]

_HOST = "127.0.0.1"


class HasAddress(Protocol):
    """Something with an address, such as a ZooKeeperServer or another FaultProxy."""

    @property
    def address(self) -> str:
        """ "host:port"."""
        ...


class FaultProxy:
    """A TCP proxy in front of one server; see the module for what it can do.

    upstream: "host:port", (host, port), or something with an address (a ZooKeeperServer).
    listen_port: 0 takes a free one, which stays the proxy's own until `stop`.
    Listens from `start()` (or entering a `with`) to `stop()`, which leaves no thread and no socket.
    """

    def __init__(self, upstream: str | tuple[str, int] | HasAddress, *, listen_port: int = 0) -> None:
        self._upstream = _parse_address(upstream)
        if not 0 <= listen_port <= 65535:
            raise ValueError(f"listen_port is 0 or a TCP port, not {listen_port}")
        self._asked_port = listen_port
        self._reserved: list[int] = []
        self._relay: Relay | None = None
        self._record = Record()
        self._faults: list[Fault] = []

    def __enter__(self) -> FaultProxy:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        where = f"at {self.address}, {self.connections} connections" if self._relay is not None else "not running"
        return f"<FaultProxy for {self._upstream[0]}:{self._upstream[1]} {where}>"

    def start(self) -> None:
        """Listen. Raises OSError when the port is taken; a second call does nothing."""
        if self._relay is not None:
            return
        self._reserved = reserve_ports(1) if self._asked_port == 0 else []
        try:
            self._relay = Relay(self, self._upstream, _HOST, self._asked_port or self._reserved[0])
        except BaseException:
            release_ports(self._reserved)
            raise

    def stop(self) -> None:
        """Cut every connection and stop listening; a second call does nothing. The record stays readable.

        Raises TestingError when the proxy itself has failed meanwhile.
        """
        relay, self._relay = self._relay, None
        if relay is not None:
            self._faults.clear()
            try:
                relay.stop()
            finally:
                release_ports(self._reserved)

    # Where

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._running().port

    @property
    def address(self) -> str:
        """ "host:port" for a client."""
        return f"{_HOST}:{self.port}"

    @property
    def hosts(self) -> str:
        """The same, under the name a cluster has for it."""
        return self.address

    # What goes wrong

    def lose_reply(self, kind: str | OpCode, nth: int = 1, *, then: Then = "cut") -> Fault:
        """Let the nth request of a kind reach the server, and swallow its reply.

        then: "cut" ends the connection, "freeze" leaves it open and passes nothing more, either way.
        For kind "notification" the nth watch event is swallowed.
        """
        return self._set(kind, nth, TO_CLIENT, lose=then)

    def lose_request(self, kind: str | OpCode, nth: int = 1, *, then: Then = "cut") -> Fault:
        """Swallow the nth request of a kind before it reaches the server; `then` as for `lose_reply`."""
        return self._set(kind, nth, TO_SERVER, lose=then)

    def delay(
        self, seconds: float, kind: str | OpCode = "any", nth: int | None = None, *, direction: Direction = TO_CLIENT
    ) -> Fault:
        """Hold frames of a kind, and whatever is behind them in the same direction, for some seconds.

        nth: only the nth one; None holds each of them.   direction: "to_client" holds replies (and notifications),
        "to_server" requests.   Set for "any" it is a line with that latency one way.
        """
        return self._set(kind, nth, direction, delay=seconds)

    def freeze(self, direction: Literal["both", "to_server", "to_client"] = "both") -> None:
        """Stop passing bytes, on present and future connections, until `heal`; they stay open and nothing is lost."""
        directions = BOTH if direction == "both" else (direction,)
        if not set(directions) <= set(BOTH):
            raise ValueError(f'a direction is "both", "to_server" or "to_client", not {direction!r}')
        relay = self._running()
        relay.call(lambda: relay.frozen.update(directions))

    def cut(self) -> None:
        """End every open connection now; new ones are welcome."""
        relay = self._running()

        def cut_all() -> None:
            for link in tuple(relay.links):
                relay.cut(link)

        relay.call(cut_all)

    def refuse(self, how: Literal["close", "not_listening"] = "close") -> None:
        """Take no new connections until `heal`; open ones go on.

        how: "close" accepts and closes at once, as a server without room does; "not_listening" has the system refuse.
        """
        if how not in ("close", "not_listening"):
            raise ValueError(f'how is "close" or "not_listening", not {how!r}')
        relay = self._running()

        def refuse() -> None:
            relay.refusing = how == "close"
            if how == "not_listening":
                relay.stop_listening()
            else:
                relay.listen()

        relay.call(refuse)

    def half_open(self, *, keep: Literal["client", "server"] = "client") -> None:
        """Close one side of every open connection; the other side stays open, and silent until `heal` or `cut`.

        keep: "client": the server sees the client leave, the client sees a frozen server. "server": the reverse.
        """
        if keep not in ("client", "server"):
            raise ValueError(f'keep is "client" or "server", not {keep!r}')
        relay = self._running()

        def half_open_all() -> None:
            for link in relay.links:
                relay.half_open(link, keep)

        relay.call(half_open_all)

    def heal(self) -> None:
        """Take every fault back: what was frozen flows again, new connections are welcome.

        Connections that cannot go on (a frame was lost, one side is closed) are cut.
        """
        relay = self._running()

        def heal() -> None:
            for fault in self._faults:
                fault.cancel()
            self._faults.clear()
            relay.frozen.clear()
            relay.refusing = False
            relay.listen()
            for link in tuple(relay.links):
                if link.frozen:
                    relay.cut(link)

        relay.call(heal)

    # What passed

    @property
    def record(self) -> tuple[Passed, ...]:
        """Every frame seen so far, in the order in which they passed (the last 100,000)."""
        return self._record.frames

    def mark(self) -> int:
        """The number of the last frame seen, to be given to `wait_for(since=...)` later."""
        return self._record.count

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return self._record.connections

    def wait_for(
        self,
        what: str | OpCode | Callable[[Passed], bool],
        count: int = 1,
        *,
        timeout: float = 10.0,
        direction: Direction | None = None,
        since: int = 0,
    ) -> list[Passed]:
        """Wait until `count` frames have passed, and return the first `count` of them.

        what: a kind or an OpCode (requests, unless `direction` is "to_client"; lost ones do not count), or a predicate
        on any frame, lost ones included.   since: only frames after that mark.
        Raises NotSeenError after `timeout` seconds, telling what did pass.
        """
        return self._record.wait_for(what, count, timeout=timeout, direction=direction, since=since)

    def wait_for_connections(self, count: int, *, timeout: float = 10.0) -> None:
        """Wait until exactly `count` connections are open. Raises NotSeenError after `timeout` seconds."""
        self._record.wait_for_connections(count, timeout)

    # For the relay, on its thread

    def opened(self, number: int) -> Conversation:
        """A connection came: who judges its frames."""
        return Conversation(number, self._faults, self._record)

    @property
    def passing(self) -> threading.Condition:
        """Held while a frame's last byte is handed on and entered in the record."""
        return self._record.condition

    def changed(self, connections: int) -> None:
        """A connection came or went; so many are open now."""
        self._record.set_connections(connections)

    # Details

    def _set(
        self, kind: str | OpCode, nth: int | None, direction: Direction, *, lose: Then | None = None, delay: float = 0.0
    ) -> Fault:
        fault = Fault(kind, nth, direction, condition=self._record.condition, lose=lose, delay=delay)
        # On the relay's thread, so that "from now on" is a point in the order of the frames.
        self._running().call(lambda: self._faults.append(fault))
        return fault

    def _running(self) -> Relay:
        if self._relay is None:
            host, port = self._upstream
            raise TestingError(f"the proxy for {host}:{port} is not running: start() it first")
        return self._relay


def _parse_address(upstream: str | tuple[str, int] | HasAddress) -> tuple[str, int]:
    if isinstance(upstream, tuple):
        return upstream
    text = upstream if isinstance(upstream, str) else upstream.address
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or "," in text or "/" in text:
        raise ValueError(f'an upstream is one "host:port", not {text!r}')
    return host, int(port)
