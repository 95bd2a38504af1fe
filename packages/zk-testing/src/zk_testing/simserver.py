"""A ZooKeeper in memory for simulations: a tree, sessions, watches, and nothing else.

Rule: every method is one atomic moment of the server. Who may not see it yet (a reply on its way, a client that
is cut off) is the simulated client's business. There is one server, so reads are never stale, with one exception
that real ensembles show: a session is known to be expired a little before its ephemeral nodes are gone.

Sequence numbers are the parent's signed 32-bit counter, printed as the real server does (``%010d``), so they wrap
and become negative; `set_counter` forges it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from zk_wire import (
    BadVersionError,
    CheckResult,
    CheckVersionRequest,
    Create2Request,
    CreateMode,
    CreateRequest,
    CreateResult,
    CreateTTLRequest,
    DeleteRequest,
    DeleteResult,
    EventType,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistencyError,
    ServerError,
    SessionExpiredError,
    SetDataRequest,
    SetDataResult,
    Stat,
    UnimplementedError,
    parent_path,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .sim import Simulation

SimulatedOperation = (
    CreateRequest | Create2Request | CreateTTLRequest | DeleteRequest | SetDataRequest | CheckVersionRequest
)
SimulatedResult = CreateResult | DeleteResult | SetDataResult | CheckResult
SimulatedReadResult = tuple["bytes | None", Stat] | list[str] | ServerError


class RefusedTransaction(Exception):  # noqa: N818 - carried to the client, which raises its own error
    """A transaction failed at `index`; `results` holds one error per operation."""

    def __init__(self, index: int, results: list[ServerError]) -> None:
        super().__init__(f"operation {index} failed: {results[index]}")
        self.index = index
        self.results = results


class Armed(Protocol):
    """A watch as the server knows it."""

    def fire(self, event_type: EventType, path: str, zxid: int) -> None: ...

    def may_arm(self) -> bool: ...


class _Node:
    __slots__ = (
        "children",
        "counter",
        "ctime",
        "cversion",
        "czxid",
        "data",
        "mtime",
        "mzxid",
        "owner",
        "pzxid",
        "version",
    )

    def __init__(self, data: bytes | None, owner: int, zxid: int, time_ms: int) -> None:
        self.data = data
        self.owner = owner
        self.czxid = self.mzxid = self.pzxid = zxid
        self.ctime = self.mtime = time_ms
        self.version = self.cversion = 0
        self.counter = 0
        self.children: dict[str, None] = {}

    def stat(self) -> Stat:
        return Stat(
            czxid=self.czxid,
            mzxid=self.mzxid,
            ctime=self.ctime,
            mtime=self.mtime,
            version=self.version,
            cversion=self.cversion,
            aversion=0,
            ephemeral_owner=self.owner,
            data_length=len(self.data or b""),
            num_children=len(self.children),
            pzxid=self.pzxid,
        )


class _Watch(NamedTuple):
    session_id: int
    armed: Armed


class _Subscription(NamedTuple):
    session_id: int
    path: str
    armed: Armed
    recursive: bool

    def hears(self, path: str, event_type: EventType) -> bool:
        if not self.recursive:
            return path == self.path
        if event_type is EventType.CHILD:
            return False
        return path == self.path or self.path == "/" or path.startswith(self.path + "/")


class SimulatedServer:
    """The server's whole state. Sessions come from `open_session`; a session id is an argument of every write.

    persistent_watches: False for a server older than 3.6, which does not know them.
    """

    def __init__(self, simulation: Simulation, *, persistent_watches: bool = True) -> None:
        self.simulation = simulation
        self.persistent_watches = persistent_watches
        self.zxid = 0x100000000
        self._nodes: dict[str, _Node] = {"/": _Node(b"", 0, 0, 0)}
        self._sessions: dict[int, bool] = {}
        self._data_watches: dict[str, list[_Watch]] = {}
        self._child_watches: dict[str, list[_Watch]] = {}
        self._subscriptions: list[_Subscription] = []
        self._in_transaction = False
        self._is_rehearsal = False

    # Sessions

    def open_session(self) -> int:
        """Grant a session and return its id."""
        session_id = 0x1000_0000_0000 + len(self._sessions)
        self._sessions[session_id] = True
        self._note(f"opens session 0x{session_id:x}")
        return session_id

    def is_alive(self, session_id: int) -> bool:
        """Whether the session is neither expired nor closed."""
        return self._sessions[session_id]

    def expire(self, session_id: int) -> None:
        """Give a session up: it is refused from now on, and its ephemeral nodes go in a moment."""
        if self._sessions[session_id]:
            self._sessions[session_id] = False
            self._note(f"expires session 0x{session_id:x}")
            when = self.simulation.now() + self.simulation.between(0.0, 0.5)
            self.simulation.call_at(when, lambda: self._reap(session_id))

    def _reap(self, session_id: int) -> None:
        for watches in (self._data_watches, self._child_watches):
            for path in list(watches):
                self._keep(watches, path, [watch for watch in watches[path] if watch.session_id != session_id])
        self._subscriptions = [watch for watch in self._subscriptions if watch.session_id != session_id]
        self._advance()
        for path in [path for path, node in self._nodes.items() if node.owner == session_id]:
            self._remove(path)

    # Writes

    def create(
        self, session_id: int, path: str, data: bytes | None, *, ephemeral: bool, sequence: bool, makepath: bool = False
    ) -> tuple[str, Stat]:
        """Create a node; return its path and Stat."""
        self._check_session(session_id, path)
        parent = parent_path(path)
        if parent not in self._nodes and makepath:
            self.ensure_path(parent)
        above = self._find(parent, path)
        if above.owner:
            raise NoChildrenForEphemeralsError(path)
        if sequence:
            path += f"{above.counter:010d}"
        if path in self._nodes:
            raise NodeExistsError(path)
        # The server counts creations, in 32 bits with a sign.
        above.counter = (above.counter + 1 + 2**31) % 2**32 - 2**31
        self._advance()
        node = self._nodes[path] = _Node(data, session_id if ephemeral else 0, self.zxid, self._time_ms())
        above.children[path.rpartition("/")[2]] = None
        above.cversion += 1
        above.pzxid = self.zxid
        self._note(f"creates {path}")
        self._fire_creation(path)
        return path, node.stat()

    def ensure_path(self, path: str) -> None:
        """Create a node and its parents where they are missing."""
        if path not in self._nodes:
            parent = parent_path(path)
            self.ensure_path(parent)
            above = self._nodes[parent]
            self._advance()
            self._nodes[path] = _Node(b"", 0, self.zxid, self._time_ms())
            above.children[path.rpartition("/")[2]] = None
            above.counter += 1
            above.cversion += 1
            above.pzxid = self.zxid
            self._fire_creation(path)

    def delete(self, session_id: int, path: str, version: int = -1) -> None:
        """Delete a node without children."""
        self._check_session(session_id, path)
        node = self._find(path, path)
        if version not in (-1, node.version):
            raise BadVersionError(path)
        if node.children:
            raise NotEmptyError(path)
        self._advance()
        self._remove(path)

    def set(self, session_id: int, path: str, data: bytes | None, version: int = -1) -> Stat:
        """Replace a node's data."""
        self._check_session(session_id, path)
        node = self._find(path, path)
        if version not in (-1, node.version):
            raise BadVersionError(path)
        self._advance()
        node.data, node.mzxid, node.mtime = data, self.zxid, self._time_ms()
        # As real servers do, up to 3.9: from 2147483647 to -2147483648, and over -1, which a request cannot ask for.
        node.version = (node.version + 1 + 2**31) % 2**32 - 2**31
        self._note(f"sets {path}")
        self._fire(self._data_watches, path, EventType.CHANGED)
        self._tell(path, EventType.CHANGED)
        return node.stat()

    def commit(self, session_id: int, operations: Sequence[SimulatedOperation]) -> list[SimulatedResult]:
        """Apply all operations or none. Raises RefusedTransaction."""
        self._check_session(session_id, None)
        # All or none: what an operation needs is checked against the tree as the ones before it would leave it,
        # on a copy of the tree without watches.
        rehearsal = SimulatedServer(self.simulation)
        rehearsal._is_rehearsal = True
        rehearsal._sessions = self._sessions
        rehearsal._nodes = {path: _copy(node) for path, node in self._nodes.items()}
        for index, operation in enumerate(operations):
            try:
                rehearsal._apply(session_id, operation)
            except ServerError as error:
                results: list[ServerError] = [RolledBackError() for _ in operations[:index]]
                results.append(error)
                results.extend(RuntimeInconsistencyError() for _ in operations[index + 1 :])
                raise RefusedTransaction(index, results) from error
        self._advance()
        self._in_transaction = True
        try:
            return [self._apply(session_id, operation) for operation in operations]
        finally:
            self._in_transaction = False

    def _apply(self, session_id: int, operation: SimulatedOperation) -> SimulatedResult:
        if isinstance(operation, CheckVersionRequest):
            node = self._find(operation.path, operation.path)
            if operation.version not in (-1, node.version):
                raise BadVersionError(operation.path)
            return CheckResult()
        if isinstance(operation, DeleteRequest):
            self.delete(session_id, operation.path, operation.version)
            return DeleteResult()
        if isinstance(operation, SetDataRequest):
            return SetDataResult(self.set(session_id, operation.path or "", operation.data, operation.version))
        mode = CreateMode(operation.flags)
        ttl_ms = operation.ttl_ms if isinstance(operation, CreateTTLRequest) else None
        if mode.is_container or mode.is_ttl is (ttl_ms is None):
            raise UnimplementedError(operation.path)
        path, stat = self.create(
            session_id, operation.path, operation.data, ephemeral=mode.is_ephemeral, sequence=mode.is_sequential
        )
        if ttl_ms is not None and not self._is_rehearsal:
            self._expect_the_end(path, stat.czxid, ttl_ms)
        return CreateResult(path, None if isinstance(operation, CreateRequest) else stat)

    def _expect_the_end(self, path: str, czxid: int, ttl_ms: int) -> None:
        """Delete a node some time after it has not been written to for so long."""
        node = self._nodes.get(path)
        if node is None or node.czxid != czxid:
            return
        if node.mtime + ttl_ms > self._time_ms() or node.children:
            when = max(node.mtime + ttl_ms, self._time_ms()) / 1000 + self.simulation.between(0.001, 0.5)
            self.simulation.call_at(when, lambda: self._expect_the_end(path, czxid, ttl_ms))
            return
        self._note(f"has the time of {path} run out")
        self._advance()
        self._remove(path)

    def set_counter(self, path: str, counter: int) -> None:
        """Forge the number the next sequential child of *path* gets."""
        self.ensure_path(path)
        self._nodes[path].counter = counter

    def set_version(self, path: str, version: int) -> None:
        """Forge a node's data version."""
        self._find(path, path).version = version

    def intrude(self, path: str) -> bool:
        """Delete a node as an administrator would; False when there is none or it has children."""
        node = self._nodes.get(path)
        if node is None or node.children:
            return False
        self._note(f"has {path} deleted by a stranger")
        self._advance()
        self._remove(path)
        return True

    # Reads

    def stat(self, path: str) -> Stat | None:
        """Return a node's Stat, or None."""
        node = self._nodes.get(path)
        return None if node is None else node.stat()

    def get(self, path: str) -> tuple[bytes | None, Stat]:
        """Return a node's data and Stat."""
        node = self._find(path, path)
        return node.data, node.stat()

    def children(self, path: str) -> list[str]:
        """Return the names of a node's children, in an order the seed chooses."""
        names = list(self._find(path, path).children)
        shuffled: list[str] = []
        while names:
            shuffled.append(names.pop(int(self.simulation.random() * len(names))))
        return shuffled

    def read(self, path: str, *, children: bool) -> SimulatedReadResult:
        """Return what one of many reads gives: data and Stat, or the names of the children, or the error."""
        try:
            return self.children(path) if children else self.get(path)
        except NoNodeError as error:
            return error

    def paths(self) -> list[str]:
        """Return every path there is, without the root, in order."""
        return sorted(path for path in self._nodes if path != "/")

    # Watches

    def watch_data(self, session_id: int, path: str, armed: Armed) -> None:
        """Arm a one-shot watch on a node's existence and data."""
        self._data_watches.setdefault(path, []).append(_Watch(session_id, armed))

    def watch_children(self, session_id: int, path: str, armed: Armed) -> None:
        """Arm a one-shot watch on a node's children."""
        self._child_watches.setdefault(path, []).append(_Watch(session_id, armed))

    def unwatch(self, armed: Armed) -> None:
        """Forget a watch, wherever it is armed."""
        for watches in (self._data_watches, self._child_watches):
            for path in list(watches):
                self._keep(watches, path, [watch for watch in watches[path] if watch.armed is not armed])

    def subscribe(self, session_id: int, path: str, armed: Armed, recursive: bool) -> None:
        """Arm a persistent watch."""
        if not self.persistent_watches:
            raise UnimplementedError(path)
        if armed.may_arm():
            self._subscriptions.append(_Subscription(session_id, path, armed, recursive))

    def unsubscribe(self, armed: Armed) -> None:
        """Forget a persistent watch."""
        self._subscriptions = [watch for watch in self._subscriptions if watch.armed is not armed]

    def watches(self) -> list[str]:
        """Return the path of every armed watch, in order."""
        both = (self._data_watches, self._child_watches)
        one_shot = [path for watches in both for path, armed in watches.items() for _ in armed]
        return sorted(one_shot + [watch.path for watch in self._subscriptions])

    # Inside

    def _advance(self) -> None:
        # Every write has a zxid of its own; the writes of one transaction share one.
        if not self._in_transaction:
            self.zxid += 1

    def _find(self, path: str, named: str) -> _Node:
        node = self._nodes.get(path)
        if node is None:
            raise NoNodeError(named)
        return node

    def _check_session(self, session_id: int, path: str | None) -> None:
        if not self._sessions[session_id]:
            raise SessionExpiredError(path)

    def _remove(self, path: str) -> None:
        del self._nodes[path]
        parent = parent_path(path)
        above = self._nodes[parent]
        del above.children[path.rpartition("/")[2]]
        above.cversion += 1
        above.pzxid = self.zxid
        self._note(f"deletes {path}")
        self._fire(self._data_watches, path, EventType.DELETED)
        self._fire(self._child_watches, path, EventType.DELETED)
        self._tell(path, EventType.DELETED)
        self._fire(self._child_watches, parent, EventType.CHILD)
        self._tell(parent, EventType.CHILD)

    def _fire_creation(self, path: str) -> None:
        parent = parent_path(path)
        self._fire(self._data_watches, path, EventType.CREATED)
        self._tell(path, EventType.CREATED)
        self._fire(self._child_watches, parent, EventType.CHILD)
        self._tell(parent, EventType.CHILD)

    def _tell(self, path: str, event_type: EventType) -> None:
        for watch in list(self._subscriptions):
            if watch.hears(path, event_type):
                watch.armed.fire(event_type, path, self.zxid)

    def _fire(self, watches: dict[str, list[_Watch]], path: str, event_type: EventType) -> None:
        for watch in watches.pop(path, ()):
            watch.armed.fire(event_type, path, self.zxid)

    @staticmethod
    def _keep(watches: dict[str, list[_Watch]], path: str, kept: list[_Watch]) -> None:
        if kept:
            watches[path] = kept
        else:
            del watches[path]

    def _time_ms(self) -> int:
        return int(self.simulation.now() * 1000)

    def _note(self, what: str) -> None:
        if not self._is_rehearsal:
            self.simulation.note("server", what)


def _copy(node: _Node) -> _Node:
    copy = _Node(node.data, node.owner, node.czxid, node.ctime)
    for name in ("mzxid", "pzxid", "mtime", "version", "cversion", "counter"):
        setattr(copy, name, getattr(node, name))
    copy.children = dict(node.children)
    return copy
