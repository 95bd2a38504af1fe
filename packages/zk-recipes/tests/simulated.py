"""The cast of the simulated tests: a simulation, real clients in processes of their own, and the server's inside.

Rule: bodies run on the port of a real `AsyncClient`, over its session core, against an embedded server, in virtual time
(`zk_testing.sim`). What stands here only gives them names that are short to write in a test.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Generic, NoReturn, TypeVar

from zk_client import AsyncClient, Port, SessionState
from zk_testing.embedded.front import Front
from zk_testing.sim import ServerEnsemble, SingleServer
from zk_testing.sim.faults import MESSAGE_FAULTS, Faults
from zk_testing.sim.network import Connection
from zk_testing.sim.process import Process
from zk_testing.sim.program import whereabouts
from zk_testing.sim.world import Simulation as World
from zk_testing.sim.world import SimulationFailedError, StuckError
from zk_wire import Decoder, ErrorResult, MultiRequest, Op, OpCode, Stat

T = TypeVar("T")

TaskCancelled = asyncio.CancelledError
NO_FAULTS = Faults(rate=0.0, limit=0, troubles=0)

# Virtual seconds after which what a recipe has left running is said to run for ever.
PATIENCE = 900.0

# Whether failures show what happened, message by message.
RECORD = bool(os.environ.get("ZK_SIM_RECORD"))


# What the client's methods call what the protocol has other names for.
KINDS = {
    "create2": "create",
    "get_data": "get",
    "set_data": "set",
    "get_children2": "get_children",
    "multi": "commit",
    "multi_read": "read",
    "add_watch": "watch",
}
# What a read of many is made of.
PARTS = {"GetDataRequest": "get", "GetChildrenRequest": "get_children"}


def faults_of_an_ensemble(rate: float, limit: int) -> Faults:
    """Faults of messages, and five of its members: one stops, is cut off, lags; somebody else is elected."""
    return Faults(rate, limit, (*MESSAGE_FAULTS, "restart", "isolate", "elect", "lag"), troubles=5)


def faults_of(rate: float = 0.08, limit: int = 6, kinds: tuple[str, ...] = MESSAGE_FAULTS) -> Faults:
    """Faults of messages alone."""
    return Faults(rate, limit, kinds, troubles=0)


class SimulatedEvent:
    """A flag that is waited for in virtual time."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.set, self.clear, self.is_set = self._event.set, self._event.clear, self._event.is_set

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is up; False when time ran out first."""
        try:
            async with asyncio.timeout(timeout):
                return await self._event.wait()
        except TimeoutError:
            return self._event.is_set()


class SimulatedTask(Generic[T]):
    """A body on its way; begun when the simulation runs. An exception in it that nobody waits for fails the run."""

    def __init__(
        self, simulation: Simulation, body: Coroutine[Any, Any, T], name: str, process: Process | None
    ) -> None:
        self.name = name
        self._simulation = simulation
        self._body = body
        self._process = process
        self._task: asyncio.Task[T] | None = None
        self._joiners = 0

    @property
    def task(self) -> asyncio.Task[T]:
        """The task that runs the body. Raises ValueError before it has begun."""
        if self._task is None:
            raise ValueError(f"{self.name} has not begun")
        return self._task

    @property
    def done(self) -> bool:
        """Whether the body has ended."""
        return self._task is not None and self._task.done()

    def begin(self) -> None:
        """Run the body."""
        process = self._process
        loop = self._simulation.world.loop
        self._task = (
            loop.create_task(self._body, name=self.name) if process is None else process.spawn(self._body, self.name)
        )
        self._task.add_done_callback(self._ended)

    def cancel(self) -> None:
        """Cancel the body."""
        self.task.cancel()

    async def join(self, timeout: float | None = None) -> T:
        """Wait for the end and return the result, or raise what the body raised; TimeoutError when time runs out."""
        self._joiners += 1
        try:
            await asyncio.wait([self.task], timeout=timeout)
        finally:
            self._joiners -= 1
        if not self.task.done():
            raise TimeoutError(f"task {self.name!r} still runs after {timeout} s")
        return self.task.result()

    @property
    def whereabouts(self) -> str:
        """Where its code stands."""
        return f"{self.name}: " + ("not begun" if self._task is None else whereabouts(self._task))

    def _ended(self, task: asyncio.Task[T]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        if not self._joiners:
            self._simulation.fail(f"task {self.name!r} raised {type(error).__name__}: {error}", error)


class Simulation:
    """A world whose clients are connected when the bodies begin; with one server, or three if faults need them."""

    def __init__(self, seed: int, *, faults: Faults = NO_FAULTS, time_limit: float = PATIENCE) -> None:
        servers = 3 if faults.troubles and "elect" in faults.kinds else 1
        self.world = World(seed, servers=servers, faults=faults, time_limit=100 * time_limit, recording=RECORD)
        self._prepared: list[Callable[[], object]] = []
        self.patience = time_limit
        self.seed = seed
        self.clients: list[SimulatedClient] = []
        self.watches: list[str] = []  # on the server, when all had ended
        self.random, self.between, self.choose = self.world.random, self.world.between, self.world.choose
        self.now, self.always, self.note, self.fail = (
            self.world.now,
            self.world.always,
            self.world.note,
            self.world.fail,
        )
        self.fingerprint = self.world.fingerprint
        self._tasks: list[SimulatedTask[Any]] = []
        self._running = False

    def guid(self) -> str:
        """32 hex digits the seed chooses."""
        return "".join(f"{int(self.random() * 0x10000):04x}" for _ in range(8))

    def prepare(self, do: Callable[[], object]) -> None:
        """Do something to the servers, at once or as soon as they are there."""
        if self._running or self.world.servers.has_leader():
            do()
        else:
            self._prepared.append(do)

    def call_at(self, when: float, do: Callable[[], object]) -> None:
        """Have something called at a moment of virtual time."""
        self.world.loop.call_at(when, do)

    def event(self) -> SimulatedEvent:
        """Make an event, with its flag down."""
        return SimulatedEvent()

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(max(seconds, 0.0))

    async def pause(self) -> None:
        """Let others go first."""
        await asyncio.sleep(0)

    def spawn(
        self, body: Coroutine[Any, Any, T], name: str, *, home: SimulatedClient | None = None
    ) -> SimulatedTask[T]:
        """Run a body beside the others: in the process of a client, or in none."""
        task = SimulatedTask(self, body, name, None if home is None else home.process)
        self._tasks.append(task)
        if self._running:
            task.begin()
        return task

    def run(self) -> None:
        """Run until all bodies have ended, and what they left running. Raises SimulationFailedError."""
        self.world.run(self._conduct)

    def refute(self, reason: str) -> NoReturn:
        """Fail after the run has ended."""
        raise SimulationFailedError(reason, self.seed, self.world.faults_struck, str(self.world.timeline))

    async def _conduct(self, world: World) -> None:
        world.calm = True
        for do in self._prepared:
            do()
        await asyncio.gather(*[client.process.spawn(client.zk.start(), "start") for client in self.clients])
        world.calm = False
        self._running = True
        for task in self._tasks:
            task.begin()
        end = self.now() + self.patience
        while pending := [task for task in self._tasks if not task.done]:
            if self.now() >= end:
                world.fail(f"waiting for ever: {'; '.join(task.whereabouts for task in pending)}", kind=StuckError)
                return
            await asyncio.wait([task.task for task in pending], timeout=end - self.now())
        world.calm = True
        if not await self._until(lambda: not self._busy()):
            stuck = "; ".join(self._busy())
            world.fail(f"waiting for ever, left running: {stuck}", kind=StuckError)
        await self._forget_the_gone()
        self.watches = server_watches(world)

    async def _forget_the_gone(self) -> None:
        """Have the servers notice that nobody is at the other end of connections that fell silent, as they do at last.

        Whoever came back at another member has left its watches behind on such a connection.
        """
        for connection in tuple(self.world.network.connections):
            if connection.hangs and connection.client.over:
                connection.cut()
                await asyncio.sleep(0.01)

    def _busy(self) -> list[str]:
        """What still runs, and sessions that have still to end: an election gives each a whole time-out more."""
        own = {client.session_id for client in self.clients} | {self.world.stranger.session_id}
        old = [f"session {session:#x}" for session in self.world.sessions() if session not in own]
        return [busy for client in self.clients for busy in client.busy] + old

    async def _until(self, condition: Callable[[], bool]) -> bool:
        end = self.now() + self.patience
        pause = 0.02
        while not condition():
            if self.now() > end:
                return False
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, 2.0)
        return True


class Watch:
    """A watch that a client keeps."""

    def __init__(self, path: str) -> None:
        self.path = path


class SimulatedClient:
    """A real client in a process of its own. `port` is what bodies are given.   timeout: of the session, in seconds.

    chroot, options: as of `AsyncClient`.
    on_request: called with "kind path" of every request, before it is sent; of a read of many with "read kind path,
    kind path, ...".
    """

    def __init__(
        self, simulation: Simulation, name: str, *, timeout: float = 10.0, chroot: str = "", **options: Any
    ) -> None:
        world = simulation.world
        self.name = name
        self.timeout = timeout
        self.on_request: Callable[[str], object] | None = None
        self.process = world.process(name)
        self.zk: AsyncClient = self.process.context.run(lambda: AsyncClient(world.hosts + chroot, timeout, **options))
        self._world = world
        simulation.clients.append(self)
        world.network.told.append(self._sent)

    @property
    def port(self) -> Port:
        """What bodies await."""
        return self.zk.port

    @property
    def frozen_until(self) -> float:
        """The moment until which nothing of it runs."""
        return self.process.frozen_until

    @property
    def session_id(self) -> int | None:
        """The session's id."""
        return self.zk.port.session_id

    def has(self, session_id: int | None) -> bool:
        """Whether a session is still its own, and is known to be neither expired nor closed."""
        return session_id is not None and self.session_id == session_id and session_id in self._world.sessions()

    @property
    def state(self) -> SessionState:
        """The session's state."""
        return self.zk.port.state

    @property
    def lease_remaining(self) -> float:
        """Seconds for which the server cannot have expired the session."""
        return self.zk.port.lease_remaining

    @property
    def is_connected(self) -> bool:
        """Whether a connection serves the session."""
        return self.zk.port.state is SessionState.CONNECTED

    @property
    def watchers(self) -> list[Watch]:
        """The watches this client keeps, in order of their paths."""
        tables = self.zk.handler.core.watches.tables
        return sorted((Watch(path) for table in tables for path in table), key=lambda watch: watch.path)

    @property
    def listeners(self) -> list[Callable[[SessionState], object]]:
        """Who is told the session's states."""
        return self.zk.handler.listeners

    @property
    def busy(self) -> list[str]:
        """What still runs in its process, or waits for a reply."""
        core = self.zk.handler.core
        if not self.is_connected or core.connection is None:
            return [f"{self.name} is {self.state}"]
        running = [f"{self.name}: {whereabouts(task)}" for task in self.process.tasks if not task.done()]
        waiting = [f"{self.name}: {exchange!r}" for exchange in core.connection.in_flight]
        return running + waiting

    def leaks(self) -> list[str]:
        """What bodies have left behind: watches and listeners."""
        return [f"{self.name}: a watcher on {watch.path}" for watch in self.watchers] + [
            f"{self.name}: the listener {listener!r}" for listener in self.listeners
        ]

    def cut(self, duration: float) -> None:
        """End the connection; no other can be made for so many seconds."""
        network = self._world.network
        network.block(self.process, None, duration)
        for connection in network.connections_of(self.process):
            connection.cut()

    def hang(self) -> None:
        """Let the connection fall silent both ways, and no other be made for a while after it was given up."""
        self._world.note(self.name, "has a connection that hangs")
        network = self._world.network
        network.block(self.process, None, self.timeout * self._world.between(0.7, 2.0))
        for connection in network.connections_of(self.process):
            connection.hangs = True

    def freeze(self, duration: float) -> None:
        """Let the whole client stand still: nothing of it runs, and no ping is sent."""
        self._world.note(self.name, f"freezes for {duration:.3f} s")
        self.process.freeze(duration)

    def _sent(self, connection: Connection, data: bytes) -> None:
        if self.on_request is not None and connection.client.process is self.process:
            for kind, path in requests_in(data):
                self.on_request(f"{kind} {path}")


def requests_in(data: bytes) -> Iterable[tuple[str, str]]:
    """The requests in some frames: the opcode's name and the path ("" where there is none)."""
    for message in Decoder(direction="client").feed(data):
        if message["kind"] == "request" and message["opcode"] != OpCode.PING.name:
            fields = message.get("fields")
            kind = str(message["opcode"]).lower()
            path = ""
            if isinstance(fields, dict):
                parts = fields["ops"] if message["opcode"] == OpCode.MULTI_READ.name else ()
                path = fields.get("path") or ", ".join(f"{PARTS[part['type']]} {part['path']}" for part in parts)
            yield KINDS.get(kind, kind), path


def endpoints(world: World) -> Sequence[Front]:
    """The inside of every server there is."""
    servers = world.servers
    if isinstance(servers, SingleServer):
        return [servers.server.core]
    assert isinstance(servers, ServerEnsemble)
    return servers.members


def server_watches(world: World) -> list[str]:
    """The path of every watch on the servers, in order."""
    return sorted(
        path
        for endpoint in endpoints(world)
        for table in (endpoint.watches.data, endpoint.watches.child)
        for path, who in table.by_path().items()
        for _ in who
    )


class RefusedTransactionError(Exception):
    """A transaction of the stranger's was refused."""


class SimulatedServer:
    """The inside of the server, for a stranger who reads and changes the tree at once."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._stranger = stranger = simulation.world.stranger
        self.paths = stranger.paths
        self.stat, self.get = stranger.exists, stranger.get

    def ensure_path(self, path: str) -> None:
        """Create a node and its parents where they are missing; an ensemble that was not started does so later."""
        self._simulation.prepare(lambda: self._stranger.ensure_path(path))

    def set_counter(self, path: str, counter: int) -> None:
        """Set the number that the next sequential child of a node gets."""
        self._simulation.prepare(lambda: self._stranger.forge_counter(path, counter))

    def forget_persistent_watches(self) -> None:
        """From now on be as servers before 3.6, which do not know them."""
        for endpoint in endpoints(self._simulation.world):
            del endpoint._reads[OpCode.ADD_WATCH]

    def set_version(self, path: str, version: int) -> None:
        """Set the version of a node's data."""
        self._stranger.forge_version(path, version)

    def intrude(self, path: str) -> bool:
        """Delete a node if it is there and has no children, and there is somebody to do it; whether it was deleted."""
        return self.has_leader and self._stranger.intrude(path)

    def children(self, path: str) -> list[str]:
        """The names of a node's children, in an order the seed chooses."""
        names = self._stranger.children(path)
        return sorted(names, key=lambda _: self._simulation.random())

    def open_session(self) -> int:
        """The stranger's session."""
        self._stranger.ensure_session()
        return self._stranger.session_id

    def create(self, session: int, path: str, data: bytes | None = b"", **kinds: bool) -> str:
        """Create a node."""
        return self._stranger.create(path, data, **kinds)

    def set(self, session: int, path: str, data: bytes | None, version: int = -1) -> Stat:
        """Replace a node's data."""
        return self._stranger.set(path, data, version)

    def delete(self, session: int, path: str, version: int = -1) -> None:
        """Delete a node."""
        self._stranger.delete(path, version)

    def commit(self, session: int, operations: Sequence[Op]) -> None:
        """Do all of it or nothing. Raises RefusedTransactionError."""
        response = self._stranger.request(MultiRequest(operations))
        if any(isinstance(result, ErrorResult) for result in response.results):
            raise RefusedTransactionError

    def on_set(self, told: Callable[[Stat], object]) -> None:
        """Have something called with the new Stat of every node whose data is replaced, by whomever."""
        seen = 0

        def look() -> None:
            nonlocal seen
            before, seen = seen, self.zxid
            if seen != before:
                for node in self._simulation.world.servers.tree().nodes.values():
                    if node.version and node.mzxid > before:
                        told(node.stat())

        self._simulation.always(look)

    def is_alive(self, session_id: int) -> bool:
        """Whether a session is known to be neither expired nor closed."""
        return session_id in self._simulation.world.sessions()

    def is_over(self, session_id: int) -> bool:
        """Whether a session is known to be expired or closed."""
        return self.has_leader and not self.is_alive(session_id)

    async def ready(self) -> None:
        """Wait until somebody does at once what the stranger wants."""
        while not self.has_leader:
            await self._simulation.sleep(0.1)

    @property
    def has_leader(self) -> bool:
        """Whether somebody does at once what the stranger wants."""
        return self._simulation.world.servers.has_leader()

    def expire(self, session_id: int) -> None:
        """End a session."""
        self._simulation.world.expire_session(session_id)

    def restart(self, seconds: float) -> None:
        """Stop the server for some time; its data and sessions stay."""
        self._simulation.world.servers.suffer("restart", 0.0, seconds)

    @property
    def zxid(self) -> int:
        """Of the last change."""
        servers = self._simulation.world.servers
        if isinstance(servers, SingleServer):
            return servers.server.core.last_zxid  # asked at every step
        return max((endpoint.last_zxid for endpoint in endpoints(self._simulation.world)), default=0)

    def watches(self) -> list[str]:
        """The path of every watch there is, or was when the run had ended."""
        return self._simulation.watches or server_watches(self._simulation.world)
