"""Following the ensemble's configuration: the servers that a client uses are those that the config node names.

Rule: an address is used only after a server has answered there, because the node may name what cannot be reached from
here (an address inside a container, a port that is closed to clients). The hosts given to the client are never
forgotten: they end every round, whatever the node says. Nothing here waits; the handler asks the servers.

Source: ZooKeeper's dynamic configuration, `server.N=host:port:port:role;[address:]port` and `version=` in hexadecimal.
"""

from __future__ import annotations

from zk_wire import EventType

from .handlers.log import logger
from .hosts import DEFAULT_PORT, Host
from .states import SessionState, WatchedEvent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Protocol

    from .calls import Call
    from .operations import Operations

    Answers = Mapping[Host, frozenset[str]]

    class Following(Protocol):
        """A client, as far as this needs it."""

        hosts: tuple[Host, ...]
        operations: Operations

        @property
        def server_address(self) -> tuple[str, int] | None: ...

        def _check_servers(self, hosts: Sequence[Host], then: Callable[[Answers], None]) -> None: ...

        def _use_hosts(self, hosts: Sequence[Host], fallback: Sequence[Host], known_as: frozenset[str]) -> None: ...


# What stands for "every address of this machine".
ANY_ADDRESS = ("", "0.0.0.0", "::", "0:0:0:0:0:0:0:0")


def parse_config(data: bytes | None) -> tuple[int, tuple[Host, ...]]:
    """The version of a configuration, and the address of each member that tells its client port.

    Lines that cannot be read are passed over; a configuration without a version has version 0.
    """
    version = 0
    hosts: list[Host] = []
    for line in (data or b"").decode("utf-8", "replace").splitlines():
        key, _, value = (part.strip() for part in line.partition("="))
        if key == "version":
            try:
                version = int(value, 16)
            except ValueError:
                continue
        elif key.startswith("server."):
            host = _client_address(value)
            if host is not None:
                hosts.append(host)
    return version, tuple(dict.fromkeys(hosts))


def _client_address(value: str) -> Host | None:
    member, semicolon, client = value.partition(";")
    if not semicolon:
        return None
    address, _, port = client.rpartition(":")
    address = address.strip("[]")
    if address in ANY_ADDRESS:
        first = member.partition("|")[0]
        address = first[1:].partition("]")[0] if first.startswith("[") else first.partition(":")[0]
    port = port or str(DEFAULT_PORT)
    if not address or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        return None
    return Host(address.lower(), int(port))


class Follower:
    """Keeps a client's hosts as the config node has them."""

    def __init__(self, client: Following) -> None:
        self._client = client
        self._watching = False
        self._version = -1
        self._named: tuple[Host, ...] = ()
        self._verified: dict[Host, frozenset[str]] = {}

    def __call__(self, state: SessionState) -> None:
        """A state listener: read the node in each session, and ask again those who did not answer."""
        if state is SessionState.CONNECTING:
            self._watching = False  # a new session; one that goes on is SUSPENDED
        if not state.is_connected:
            return
        if not self._watching:
            self._read()
        elif not all(host in self._verified for host in self._named):
            self._check()

    def _read(self) -> None:
        self._watching = True
        call = self._client.operations.get_config(self._changed)
        call._owner.submit(call)
        call.add_done_callback(self._answered)

    def _changed(self, event: object) -> None:
        self._watching = False
        if isinstance(event, WatchedEvent) and event.type is not EventType.NONE:
            self._read()

    def _answered(self, call: Call[Any]) -> None:
        error = call.exception()
        if error is not None:
            self._watching = False
            logger().info("cannot read the ensemble's configuration: %s", error)
            return
        version, named = parse_config(call.result()[0])
        if version < self._version:
            return  # of a member that lags behind
        self._version, self._named = version, named
        self._check()

    def _check(self) -> None:
        unknown = [host for host in self._named if host not in self._verified]
        if unknown:
            self._client._check_servers(unknown, self._checked)
        else:
            self._apply()

    def _checked(self, answers: Answers) -> None:
        self._verified.update(answers)
        self._apply()

    def _apply(self) -> None:
        self._verified = {host: found for host, found in self._verified.items() if host in self._named}
        usable = [host for host in self._named if host in self._verified]
        if not usable:
            return
        peer = self._client.server_address
        known_as: frozenset[str] = frozenset()
        if peer is not None:
            known_as = frozenset(h.name for h in usable if h.port == peer[1] and peer[0] in self._verified[h])
        self._client._use_hosts(usable, self._client.hosts, known_as)
