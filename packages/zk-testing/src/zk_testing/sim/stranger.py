"""Somebody who reads and changes the servers' tree at once, between two messages: an administrator, or a test.

Rule: a write goes to the server as a request of a session of its own, over no network, and whoever watches is told as
always. Reading costs nothing and leaves no trace. In an ensemble it is the leader who is asked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from zk_wire import (
    OPEN_ACL_UNSAFE,
    ClientConnection,
    Connected,
    ConnectRequest,
    CreateMode,
    CreateRequest,
    DeleteRequest,
    Exchange,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    SetDataRequest,
    Stat,
    error_for_code,
    parent_path,
)

from ..errors import ConversationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from zk_wire import Request

    from ..embedded.client import Client
    from ..embedded.tree import Node
    from .servers import Servers

__all__ = ["Stranger"]

R = TypeVar("R")

_TIMEOUT_MS = 60_000
_LONGEST = 100  # bytes of data that a line shows


class Stranger:
    """See the module's text. Made by `Simulation.stranger`."""

    def __init__(self, servers: Servers, note: Callable[[str, str], None]) -> None:
        self._servers = servers
        self._note = note
        self._client: Client | None = None
        self._connection = ClientConnection()
        self._answered: set[int] = set()
        self.session_id = 0

    # Writes

    def request(self, request: Request[R]) -> R:
        """Have the server do something, and return its reply.

        Raises the server's error; ConversationError when no server takes the request now.
        """
        self.ensure_session()
        exchange = Exchange.of(request)
        self._send(self._connection.send(exchange))
        if id(exchange) not in self._answered:
            raise ConversationError(f"no server answers {exchange!r} at once")
        self._answered.clear()
        if exchange.error:
            raise error_for_code(exchange.error, getattr(request, "path", None))
        assert exchange.reply is not None
        self._note("stranger", _told(request))
        return exchange.reply

    def create(self, path: str, data: bytes | None = b"", *, ephemeral: bool = False, sequence: bool = False) -> str:
        """Create a node and return its path."""
        mode = CreateMode((1 if ephemeral else 0) | (2 if sequence else 0))
        return self.request(CreateRequest(path, data, OPEN_ACL_UNSAFE, mode)).path

    def ensure_path(self, path: str) -> None:
        """Create a node and its parents where they are missing."""
        if path != "/" and self.exists(path) is None:
            self.ensure_path(parent_path(path))
            try:
                self.create(path)
            except NodeExistsError:
                pass

    def set(self, path: str, data: bytes | None, version: int = -1) -> Stat:
        """Replace a node's data."""
        return self.request(SetDataRequest(path, data, version)).stat

    def delete(self, path: str, version: int = -1) -> None:
        """Delete a node."""
        self.request(DeleteRequest(path, version))

    def intrude(self, path: str) -> bool:
        """Delete a node if it is there and has no children; whether it was deleted."""
        try:
            self.delete(path)
        except (NoNodeError, NotEmptyError):
            return False
        return True

    # What no client could do

    def forge_counter(self, path: str, counter: int) -> None:
        """Set the number that the next sequential child of a node gets."""
        self.ensure_path(path)
        for tree in self._servers.trees():
            tree.nodes[path].creations = counter

    def forge_version(self, path: str, version: int) -> None:
        """Set the version of a node's data."""
        self._node(path)
        for tree in self._servers.trees():
            tree.nodes[path].version = version

    # Reads

    def exists(self, path: str) -> Stat | None:
        """A node's Stat, or None."""
        node = self._servers.tree().nodes.get(path)
        return None if node is None else node.stat()

    def get(self, path: str) -> tuple[bytes | None, Stat]:
        """A node's data and Stat. Raises NoNodeError."""
        node = self._node(path)
        return node.data, node.stat()

    def children(self, path: str) -> list[str]:
        """The names of a node's children, in order. Raises NoNodeError."""
        return sorted(self._node(path).children)

    def paths(self) -> list[str]:
        """Every path there is, without the servers' own, in order."""
        nodes = self._servers.tree().nodes
        return sorted(path for path in nodes if len(path) > 1 and not path.startswith("/zookeeper"))

    # Inside

    def _node(self, path: str) -> Node:
        node = self._servers.tree().nodes.get(path)
        if node is None:
            raise NoNodeError(path)
        return node

    def ensure_session(self) -> None:
        """Open a session, unless there is one. Raises ConversationError when no server grants one now."""
        if self._client is not None and not self._client.closed and self.session_id in self._servers.sessions():
            return
        self._connection = ClientConnection()
        self.session_id = 0
        self._client = self._servers.accept()
        self._send(self._connection.connect(ConnectRequest(timeout_ms=_TIMEOUT_MS)))
        if not self.session_id:
            raise ConversationError("no server grants a session at once")

    def _send(self, data: bytes) -> None:
        assert self._client is not None
        for event in self._connection.receive(self._servers.receive(self._client, data)):
            if isinstance(event, Connected):
                self.session_id = event.session_id
            elif isinstance(event, Exchange):
                self._answered.add(id(event))


def _told(request: Request[R]) -> str:
    """A request as one short line."""
    path = getattr(request, "path", "")
    if isinstance(request, DeleteRequest):
        return f"{path} is deleted by a stranger"
    what = re.sub("(?<=[a-z])(?=[A-Z])", "_", type(request).__name__.removesuffix("Request")).lower()
    data: bytes | None = getattr(request, "data", None)
    shown = "" if not data else f", data {data[:_LONGEST].decode(errors='replace')}"
    return f"{what}(path {path}{shown})"
