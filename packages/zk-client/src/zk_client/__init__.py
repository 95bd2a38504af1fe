"""A ZooKeeper client: sessions, retry, and handlers for threads, gevent and asyncio.

    from zk_client import Client

    with Client("127.0.0.1:2181") as zk:
        zk.create("/greeting", b"hello")

    from zk_client import AsyncClient

    async with AsyncClient("127.0.0.1:2181") as zk:
        await zk.create("/greeting", b"hello")

Errors a server answers with (NoNodeError, ...) come from `zk_wire`, and are importable from here as well.
"""

from __future__ import annotations

from zk_wire import (
    ACL,
    CREATOR_ALL_ACL,
    OPEN_ACL_UNSAFE,
    READ_ACL_UNSAFE,
    AuthFailedError,
    BadArgumentsError,
    BadVersionError,
    ConnectionLostError,
    EventType,
    Id,
    InvalidACLError,
    InvalidPathError,
    NoAuthError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    NotReadOnlyError,
    OperationTimeoutError,
    Outcome,
    Permission,
    ServerError,
    SessionExpiredError,
    Stat,
    UnimplementedError,
    ZooKeeperError,
    make_acl,
    make_digest_acl,
)

from ._version import __version__
from .calls import Call
from .client import Client
from .errors import (
    CallTimeoutError,
    CancelledCallError,
    ConfigurationError,
    RetryFailedError,
    RetryInterruptedError,
    SessionClosedError,
    StartTimeoutError,
    TooManyRequestsError,
    TransactionFailedError,
)
from .faces import BodySuspendedError, Face, attribute, blocking, direct, run_blocking
from .hosts import Host, parse_hosts
from .port import Event, HasPort, Operation, OperationResult, Port, Read, Scope, Subscription, Task
from .port import Watcher as PortWatcher
from .retry import RetryPolicy, retrying
from .states import ALLOWED, SessionState, WatchedEvent
from .watching import PersistentWatch, Watcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .aio import AsyncClient, AsyncWatch
    from .async_port import AsyncWatcher
    from .async_transactions import AsyncReadBatch, AsyncTransaction
    from .handlers.gevent import GeventRuntime
    from .observing import Observer, RequestEnded, RequestStarted
    from .transactions import ReadBatch, Transaction

# Loaded when first asked for: asyncio by those who live in it, the rest by the few programs that name it.
_ROOMS = {
    "AsyncClient": "aio",
    "AsyncReadBatch": "async_transactions",
    "AsyncTransaction": "async_transactions",
    "AsyncWatch": "aio",
    "AsyncWatcher": "async_port",
    "GeventRuntime": "handlers.gevent",
    "Observer": "observing",
    "ReadBatch": "transactions",
    "RequestEnded": "observing",
    "RequestStarted": "observing",
    "Transaction": "transactions",
}


def __getattr__(name: str) -> object:
    """Load what not every program needs when it is first asked for."""
    room = _ROOMS.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(__import__(f"{__name__}.{room}", fromlist=[name]), name)
    globals()[name] = value
    return value


__all__ = [
    "ACL",
    "ALLOWED",
    "CREATOR_ALL_ACL",
    "OPEN_ACL_UNSAFE",
    "READ_ACL_UNSAFE",
    "AsyncClient",
    "AsyncReadBatch",
    "AsyncTransaction",
    "AsyncWatch",
    "AsyncWatcher",
    "AuthFailedError",
    "BadArgumentsError",
    "BadVersionError",
    "BodySuspendedError",
    "Call",
    "CallTimeoutError",
    "CancelledCallError",
    "Client",
    "ConfigurationError",
    "ConnectionLostError",
    "Event",
    "EventType",
    "Face",
    "GeventRuntime",
    "HasPort",
    "Host",
    "Id",
    "InvalidACLError",
    "InvalidPathError",
    "NoAuthError",
    "NoChildrenForEphemeralsError",
    "NoNodeError",
    "NodeExistsError",
    "NotEmptyError",
    "NotReadOnlyError",
    "Observer",
    "Operation",
    "OperationResult",
    "OperationTimeoutError",
    "Outcome",
    "Permission",
    "PersistentWatch",
    "Port",
    "PortWatcher",
    "Read",
    "ReadBatch",
    "RequestEnded",
    "RequestStarted",
    "RetryFailedError",
    "RetryInterruptedError",
    "RetryPolicy",
    "ServerError",
    "Scope",
    "SessionClosedError",
    "SessionExpiredError",
    "SessionState",
    "StartTimeoutError",
    "Stat",
    "Subscription",
    "Task",
    "TooManyRequestsError",
    "Transaction",
    "TransactionFailedError",
    "UnimplementedError",
    "WatchedEvent",
    "Watcher",
    "ZooKeeperError",
    "__version__",
    "attribute",
    "blocking",
    "direct",
    "make_acl",
    "make_digest_acl",
    "parse_hosts",
    "retrying",
    "run_blocking",
]
