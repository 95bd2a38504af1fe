"""Servers for the fixtures and the unittest harness: started when first asked for, kept, stopped together.

Rule: one server of each choice, one life. A server that cannot be had fails everybody who asks with the same error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from ._choice import Choice

if TYPE_CHECKING:
    from .cluster import Cluster
    from .embedded import EmbeddedEnsemble, EmbeddedMember, EmbeddedServer
    from .member import ZooKeeperServer

    Server: TypeAlias = ZooKeeperServer | EmbeddedServer | EmbeddedMember
    Ensemble: TypeAlias = Cluster | EmbeddedEnsemble
    Owned: TypeAlias = Cluster | EmbeddedServer | EmbeddedEnsemble
    Standalone: TypeAlias = Cluster | EmbeddedServer

__all__ = ["Servers", "members_of", "start_ensemble", "start_standalone"]


def start_standalone(choice: Choice) -> Standalone:
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


def start_ensemble(choice: Choice, size: int, *, observers: int = 0) -> Ensemble:
    """Start an ensemble, and return when it serves. Raises as `start_standalone`.

    size: of all members.   observers: how many of them, the last ones, do not vote.
    """
    if choice.embedded:
        from .embedded import EmbeddedEnsemble

        ensemble = EmbeddedEnsemble(size, version=choice.exact, observers=observers)
        ensemble.start()
        return ensemble
    from .cluster import start_cluster

    return start_cluster(size, choice.exact, observers=observers)


class Servers:
    """Standalone servers by choice.   started: is called with each one that was started."""

    def __init__(self, started: Callable[[Standalone], None]) -> None:
        self._started = started
        self._servers: dict[Choice, Standalone] = {}
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

    def stop(self) -> list[Standalone]:
        """Stop all of them; return what was stopped."""
        servers, self._servers = list(self._servers.values()), {}
        for server in servers:
            server.stop()
        return servers


def members_of(owned: Owned | Server) -> list[Server]:
    """The single servers of what may be several."""
    from .embedded import EmbeddedMember
    from .member import ZooKeeperServer

    return [owned] if isinstance(owned, ZooKeeperServer | EmbeddedMember) else list(owned.members)
