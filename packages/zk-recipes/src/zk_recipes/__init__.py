"""Locks and other coordination recipes for ZooKeeper, written once for every kind of concurrency.

Each recipe is a module of its own, loaded when one of its names is first asked for: `Lock` is the class for threads
and gevent, `AsyncLock` the same for asyncio, and so with every other.
"""

from __future__ import annotations

from ._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._mirror import CachedNode, CacheEvent, CacheEventKind
    from .barrier import AsyncBarrier, Barrier
    from .caches import AsyncChildrenCache, AsyncNodeCache, AsyncTreeCache, ChildrenCache, NodeCache, TreeCache
    from .counter import AsyncCounter, Counter
    from .double_barrier import AsyncDoubleBarrier, DoubleBarrier
    from .durable_lease import AsyncDurableLease, DurableLease
    from .election import AsyncElection, AsyncTerm, Election, Term
    from .errors import (
        JobFailedError,
        LockCancelledError,
        LockInUseError,
        LockLostError,
        LockNotOwnedError,
        LockTimeout,
        LockUpgradeError,
        NumbersExhaustedError,
        QueueFullError,
        RecipeTimeoutError,
        UndecidedError,
        UnreadableDataError,
        WatchInUseError,
    )
    from .job import AsyncJob, Job
    from .lease import AsyncLease, Lease
    from .lock import AsyncLock, Lock
    from .locking_queue import AsyncLockingQueue, LockingQueue
    from .membership import AsyncGroupMembership, GroupMembership
    from .multilock import AsyncMultiLock, MultiLock, Released
    from .naming import Naming, ReadWriteNaming
    from .non_blocking_lease import (
        AsyncMultiNonBlockingLease,
        AsyncNonBlockingLease,
        MultiNonBlockingLease,
        NonBlockingLease,
    )
    from .partitioner import AsyncSetPartitioner, PartitionState, SetPartitioner
    from .party import AsyncParty, AsyncShallowParty, Party, ShallowParty
    from .patient import AsyncPatientChildrenWatch, PatientChildrenWatch
    from .persistent_node import AsyncPersistentNode, PersistentNode
    from .queue import AsyncQueue, Queue
    from .reentrant import AsyncReentrantLock, ReentrantLock
    from .rwlock import AsyncReadLock, AsyncReadWriteLock, AsyncWriteLock, ReadLock, ReadWriteLock, WriteLock
    from .semaphore import AsyncSemaphore, Semaphore
    from .shared_value import AsyncSharedValue, SharedListening, SharedReading, SharedValue
    from .watchers import AsyncChildrenWatch, AsyncDataWatch, ChildrenWatch, DataWatch
    from .work_queue import AsyncWorkQueue, WorkQueue

# Which module each name is loaded from.
_ROOMS = {
    "AsyncBarrier": "barrier",
    "AsyncChildrenCache": "caches",
    "AsyncChildrenWatch": "watchers",
    "AsyncCounter": "counter",
    "AsyncDataWatch": "watchers",
    "AsyncDoubleBarrier": "double_barrier",
    "AsyncDurableLease": "durable_lease",
    "AsyncElection": "election",
    "AsyncGroupMembership": "membership",
    "AsyncJob": "job",
    "AsyncLease": "lease",
    "AsyncLock": "lock",
    "AsyncLockingQueue": "locking_queue",
    "AsyncMultiLock": "multilock",
    "AsyncMultiNonBlockingLease": "non_blocking_lease",
    "AsyncNodeCache": "caches",
    "AsyncNonBlockingLease": "non_blocking_lease",
    "AsyncParty": "party",
    "AsyncPatientChildrenWatch": "patient",
    "AsyncPersistentNode": "persistent_node",
    "AsyncQueue": "queue",
    "AsyncReadLock": "rwlock",
    "AsyncReadWriteLock": "rwlock",
    "AsyncReentrantLock": "reentrant",
    "AsyncSemaphore": "semaphore",
    "AsyncSetPartitioner": "partitioner",
    "AsyncShallowParty": "party",
    "AsyncSharedValue": "shared_value",
    "AsyncTerm": "election",
    "AsyncTreeCache": "caches",
    "AsyncWorkQueue": "work_queue",
    "AsyncWriteLock": "rwlock",
    "Barrier": "barrier",
    "CacheEvent": "_mirror",
    "CacheEventKind": "_mirror",
    "CachedNode": "_mirror",
    "ChildrenCache": "caches",
    "ChildrenWatch": "watchers",
    "Counter": "counter",
    "DataWatch": "watchers",
    "DoubleBarrier": "double_barrier",
    "DurableLease": "durable_lease",
    "Election": "election",
    "GroupMembership": "membership",
    "Job": "job",
    "JobFailedError": "errors",
    "Lease": "lease",
    "Lock": "lock",
    "LockCancelledError": "errors",
    "LockInUseError": "errors",
    "LockLostError": "errors",
    "LockNotOwnedError": "errors",
    "LockTimeout": "errors",
    "LockUpgradeError": "errors",
    "LockingQueue": "locking_queue",
    "MultiLock": "multilock",
    "MultiNonBlockingLease": "non_blocking_lease",
    "Naming": "naming",
    "NodeCache": "caches",
    "NonBlockingLease": "non_blocking_lease",
    "NumbersExhaustedError": "errors",
    "PartitionState": "partitioner",
    "Party": "party",
    "PatientChildrenWatch": "patient",
    "PersistentNode": "persistent_node",
    "Queue": "queue",
    "QueueFullError": "errors",
    "ReadLock": "rwlock",
    "ReadWriteLock": "rwlock",
    "ReadWriteNaming": "naming",
    "RecipeTimeoutError": "errors",
    "ReentrantLock": "reentrant",
    "Released": "multilock",
    "Semaphore": "semaphore",
    "SetPartitioner": "partitioner",
    "ShallowParty": "party",
    "SharedListening": "shared_value",
    "SharedReading": "shared_value",
    "SharedValue": "shared_value",
    "Term": "election",
    "TreeCache": "caches",
    "UndecidedError": "errors",
    "UnreadableDataError": "errors",
    "WatchInUseError": "errors",
    "WorkQueue": "work_queue",
    "WriteLock": "rwlock",
}


def __getattr__(name: str) -> object:
    """Load a recipe when it is first asked for."""
    room = _ROOMS.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(__import__(f"{__name__}.{room}", fromlist=[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOMS})


__all__ = [
    "AsyncBarrier",
    "AsyncChildrenCache",
    "AsyncChildrenWatch",
    "AsyncCounter",
    "AsyncDataWatch",
    "AsyncDoubleBarrier",
    "AsyncDurableLease",
    "AsyncElection",
    "AsyncGroupMembership",
    "AsyncJob",
    "AsyncLease",
    "AsyncLock",
    "AsyncLockingQueue",
    "AsyncMultiLock",
    "AsyncMultiNonBlockingLease",
    "AsyncNodeCache",
    "AsyncNonBlockingLease",
    "AsyncParty",
    "AsyncPatientChildrenWatch",
    "AsyncPersistentNode",
    "AsyncQueue",
    "AsyncReadLock",
    "AsyncReadWriteLock",
    "AsyncReentrantLock",
    "AsyncSemaphore",
    "AsyncSetPartitioner",
    "AsyncShallowParty",
    "AsyncSharedValue",
    "AsyncTerm",
    "AsyncTreeCache",
    "AsyncWorkQueue",
    "AsyncWriteLock",
    "Barrier",
    "CacheEvent",
    "CacheEventKind",
    "CachedNode",
    "ChildrenCache",
    "ChildrenWatch",
    "Counter",
    "DataWatch",
    "DoubleBarrier",
    "DurableLease",
    "Election",
    "GroupMembership",
    "Job",
    "JobFailedError",
    "Lease",
    "Lock",
    "LockCancelledError",
    "LockInUseError",
    "LockLostError",
    "LockNotOwnedError",
    "LockTimeout",
    "LockUpgradeError",
    "LockingQueue",
    "MultiLock",
    "MultiNonBlockingLease",
    "Naming",
    "NodeCache",
    "NonBlockingLease",
    "NumbersExhaustedError",
    "PartitionState",
    "Party",
    "PatientChildrenWatch",
    "PersistentNode",
    "Queue",
    "QueueFullError",
    "ReadLock",
    "ReadWriteLock",
    "ReadWriteNaming",
    "RecipeTimeoutError",
    "ReentrantLock",
    "Released",
    "Semaphore",
    "SetPartitioner",
    "ShallowParty",
    "SharedListening",
    "SharedReading",
    "SharedValue",
    "Term",
    "TreeCache",
    "UndecidedError",
    "UnreadableDataError",
    "WatchInUseError",
    "WorkQueue",
    "WriteLock",
    "__version__",
]
