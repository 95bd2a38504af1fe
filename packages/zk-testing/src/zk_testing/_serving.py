"""Servers for the fixtures and the unittest harness: started when first asked for, kept, stopped together.

Rule: one server of each choice, one life. A server that cannot be had fails everybody who asks with the same error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from ._choice import Choice

if TYPE_CHECKING:
    from .cluster import Cluster
    from .embedded import EmbeddedServer
    from .member import ZooKeeperServer

    Server: TypeAlias = ZooKeeperServer | EmbeddedServer
    Owned: TypeAlias = Cluster | EmbeddedServer

__all__ = ["Servers", "members_of", "start_standalone"]


def start_standalone(choice: Choice) -> Owned:
    """Start one server.

    Raises NoServerError when a real one cannot be had here; ValueError for a version that cannot be embedded.
    """
    if choice.embedded:
        from .embedded import EmbeddedServer

        server = EmbeddedServer(version=choice.exact)
        server.start()
        return server
    from .cluster import start_cluster

    return start_cluster(1, choice.exact)


class Servers:
    """Standalone servers by choice.   started: is called with each one that was started."""

    def __init__(self, started: Callable[[Owned], None]) -> None:
        self._started = started
        self._servers: dict[Choice, Owned] = {}
        self._errors: dict[Choice, Exception] = {}

    def get(self, choice: Choice) -> Server:
        """The server of a choice, started if need be. Raises as `start_standalone`, and again later."""
        if choice in self._errors:
            raise self._errors[choice]
        if choice not in self._servers:
            try:
                self._servers[choice] = start_standalone(choice)
            except Exception as error:
                self._errors[choice] = error
                raise
            self._started(self._servers[choice])
        return self._servers[choice][0]

    def stop(self) -> list[Owned]:
        """Stop all of them; return what was stopped."""
        servers, self._servers = list(self._servers.values()), {}
        for server in servers:
            server.stop()
        return servers


def members_of(owned: Owned | Server) -> list[Server]:
    """The single servers of what may be several."""
    from .member import ZooKeeperServer

    return [owned] if isinstance(owned, ZooKeeperServer) else list(owned.members)
