"""Locks and other coordination recipes for ZooKeeper, written once for every kind of concurrency."""

from __future__ import annotations

from ._version import __version__
from .errors import LockCancelledError, LockInUseError, LockLostError, LockTimeout
from .lock import AsyncLock, Lock

__all__ = [
    "AsyncLock",
    "Lock",
    "LockCancelledError",
    "LockInUseError",
    "LockLostError",
    "LockTimeout",
    "__version__",
]
