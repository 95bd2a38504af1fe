"""A ZooKeeper server inside a test: in a thread, in an asyncio loop, or in memory.

Rule: it answers as the real server of the chosen version does, byte for byte; it is for tests, and stores nothing.

    versions settings         what is to be served
    tree hashset quotas       the state: nodes, the order of their names, what they may hold
    watches                   who is to hear of a change
    permissions sessions      who may do what, and how long they live
    prepare transactions      a write: decided once, then applied
    reads results decisions   answers
    front client rearm admin  the connections of a server
    core                      the whole server, without I/O
    member slots leadership   a member of an ensemble, what waits there, and what only the leader does
    log agreement             how requests become history, and history everybody's
    network elections         who reaches whom, and who wins
    configuration             who belongs to the ensemble
    awareness                 what members notice, and when
    quorum portrait           the whole ensemble, without I/O, and what its words tell
    controls                  what is done to an ensemble, in every world
    server ensemble sockets   with sockets and time, in a thread
    aio aio_ensemble          the same in an asyncio loop
    transports                its connections
    memory memory_ensemble    without them
    clock                     where time comes from
"""

from __future__ import annotations

from .clock import Clock, VirtualClock
from .core import Mode, ServerCore
from .memory import MemoryConnection, MemoryServer
from .server import EmbeddedServer
from .settings import EnsembleSettings, Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .aio import AsyncEmbeddedServer
    from .aio_ensemble import AsyncEmbeddedEnsemble
    from .ensemble import EmbeddedEnsemble, EmbeddedMember
    from .memory_ensemble import MemoryEnsemble
    from .quorum import EnsembleCore

__all__ = [
    "AsyncEmbeddedEnsemble",
    "AsyncEmbeddedServer",
    "Clock",
    "EmbeddedEnsemble",
    "EmbeddedMember",
    "EmbeddedServer",
    "EnsembleCore",
    "EnsembleSettings",
    "MemoryConnection",
    "MemoryEnsemble",
    "MemoryServer",
    "Mode",
    "ServerCore",
    "Settings",
    "VirtualClock",
]


# Loaded only for those who ask for them.
_LAZY = {
    "AsyncEmbeddedEnsemble": "aio_ensemble",
    "AsyncEmbeddedServer": "aio",
    "EmbeddedEnsemble": "ensemble",
    "EmbeddedMember": "ensemble",
    "EnsembleCore": "quorum",
    "MemoryEnsemble": "memory_ensemble",
}


def __getattr__(name: str) -> object:
    """Load ensembles and asyncio only for those who serve with them."""
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{module}", __name__), name)
