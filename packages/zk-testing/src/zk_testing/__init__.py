"""ZooKeeper servers, faults and simulation for tests: real ones, and one inside the test process.

Rule: names are loaded when they are first asked for, so that importing this package is cheap.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._choice import Choice
    from .embedded import (
        AsyncEmbeddedEnsemble,
        AsyncEmbeddedServer,
        EmbeddedEnsemble,
        EmbeddedMember,
        EmbeddedServer,
        EnsembleSettings,
        MemoryEnsemble,
        MemoryServer,
        Mode,
        Settings,
        VirtualClock,
    )
    from .faults import FaultProxy, MemoryFaults
    from .harness import ZooKeeperHarness, ZooKeeperTestCase
    from .history import History

__all__ = [
    "Choice",
    "AsyncEmbeddedEnsemble",
    "AsyncEmbeddedServer",
    "EmbeddedEnsemble",
    "EmbeddedMember",
    "EmbeddedServer",
    "EnsembleSettings",
    "FaultProxy",
    "History",
    "MemoryEnsemble",
    "MemoryFaults",
    "MemoryServer",
    "Mode",
    "Settings",
    "VirtualClock",
    "ZooKeeperHarness",
    "ZooKeeperTestCase",
]


def __getattr__(name: str) -> object:
    """Load what is asked for."""
    if name == "Choice":
        from ._choice import Choice

        return Choice
    if name in ("FaultProxy", "MemoryFaults"):
        from . import faults

        return getattr(faults, name)
    if name == "History":
        from .history import History

        return History
    if name in ("ZooKeeperHarness", "ZooKeeperTestCase"):
        from . import harness

        return getattr(harness, name)
    if name in __all__:
        from . import embedded

        return getattr(embedded, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
