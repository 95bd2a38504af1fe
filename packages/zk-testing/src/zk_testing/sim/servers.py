"""The servers of a simulated world: one embedded server, or an ensemble of them, in virtual time.

Rule: the embedded servers as they are, over the simulated network; what happens to them is theirs to know.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from ..embedded.aio import AsyncEmbeddedServer
from ..embedded.aio_ensemble import AsyncEmbeddedEnsemble
from ..embedded.clock import Clock
from ..embedded.tree import Tree
from ..errors import ClusterError
from .process import Process
from .standins import EPOCH

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from ..embedded.client import Client
    from ..embedded.front import Endpoint, Output
    from ..embedded.member import Member
    from ..embedded.settings import EnsembleSettings, Settings
    from .loop import SimulatedLoop
    from .network import Network

_FIRST_PORT = 2181

__all__ = ["ServerEnsemble", "Servers", "SimulatedClock", "SingleServer"]


class SimulatedClock(Clock):
    """The servers' time: that of the loop."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return EPOCH * 1000 + int(self._loop.time() * 1000)


class Servers(ABC):
    """What a world asks of its servers."""

    kinds: tuple[str, ...] = ()

    def __init__(self, loop: SimulatedLoop, network: Network) -> None:
        self._loop = loop
        self._network = network
        self.clock = SimulatedClock(loop)
        self._at: Endpoint
        self._tasks: set[asyncio.Task[None]] = set()

    def can(self, kind: str) -> bool:
        """Whether a trouble can happen to them now."""
        return kind in self.kinds

    @property
    @abstractmethod
    def hosts(self) -> str:
        """Their addresses, as a client takes them."""

    @abstractmethod
    async def start(self) -> None:
        """Serve."""

    @abstractmethod
    async def stop(self) -> None:
        """Serve no more."""

    @abstractmethod
    def sessions(self) -> list[int]:
        """The sessions that live, in order."""

    @abstractmethod
    def expire_session(self, session_id: int) -> None:
        """End a session."""

    @abstractmethod
    def suffer(self, kind: str, which: float, seconds: float) -> str:
        """Have something happen to one of them, chosen by a number in [0, 1); return what it is, for people."""

    # For the stranger

    @abstractmethod
    def trees(self) -> list[Tree]:
        """What each of them has of the tree."""

    @abstractmethod
    def tree(self) -> Tree:
        """What the leader has of it."""

    def has_leader(self) -> bool:
        """Whether there is somebody who takes a write at once."""
        return True

    @abstractmethod
    def _endpoint(self) -> Endpoint:
        """Who takes a request now."""

    @abstractmethod
    def _deliver(self, output: list[Output]) -> None:
        """Send what they have to say."""

    def accept(self) -> Client:
        """Take a connection that no network is between."""
        self._at = self._endpoint()
        return self._at.accept("127.0.0.1", 0, self.clock.now_ms())

    def receive(self, client: Client, data: bytes) -> bytes:
        """Take bytes of such a connection; return what is answered at once."""
        output = self._at.receive(client, data, self.clock.now_ms())
        self._deliver([(other, data) for other, data in output if other is not client])
        return b"".join(data for other, data in output if other is client and data is not None)

    def _run(self, work: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _quiet(self) -> None:
        """Wait until nothing is happening to them."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))


class SingleServer(Servers):
    """One embedded server."""

    kinds = ("restart", "pause")

    def __init__(self, loop: SimulatedLoop, network: Network, settings: Settings) -> None:
        super().__init__(loop, network)
        self.server = AsyncEmbeddedServer(port=_FIRST_PORT, settings=settings, clock=self.clock)
        self._process = Process(loop, "zk")  # which can stand still

    @property
    def hosts(self) -> str:
        """Its address."""
        return self.server.hosts

    async def start(self) -> None:
        """Serve."""
        await self._process.spawn(self.server.start(), "zk")
        host, port = self.server.address.split(":")
        self._network.names[host, int(port)] = self._process.name

    async def stop(self) -> None:
        """Serve no more."""
        await self._quiet()
        if not self.has_leader():
            await asyncio.sleep(self._process.frozen_until - self._loop.time())
        await self.server.stop()

    def sessions(self) -> list[int]:
        """The sessions that live."""
        return sorted(session.id for session in self.server.core.sessions.all())

    def expire_session(self, session_id: int) -> None:
        """End a session."""
        self.server.expire_session(session_id)

    def trees(self) -> list[Tree]:
        """Its tree."""
        return [self.server.core.tree]

    def tree(self) -> Tree:
        """Its tree."""
        return self.server.core.tree

    def _endpoint(self) -> Endpoint:
        return self.server.core

    def _deliver(self, output: list[Output]) -> None:
        self.server.deliver(output)

    def has_leader(self) -> bool:
        """Whether it does not stand still."""
        return self._process.frozen_until <= self._loop.time()

    def can(self, kind: str) -> bool:
        """Whether it is there, and goes."""
        return super().can(kind) and not self._tasks and self.has_leader()

    def suffer(self, kind: str, which: float, seconds: float) -> str:
        """Stop it for some time, or have it stand still; its data stay."""
        if kind == "pause":
            self._process.freeze(seconds)
            return f"the server stands still for {seconds:.3f} s"
        self._run(self._restart(seconds))
        return f"the server is stopped for {seconds:.3f} s"

    async def _restart(self, seconds: float) -> None:
        await self.server.stop()
        await asyncio.sleep(seconds)
        await self._process.spawn(self.server.start(), "zk")
        self._network.note(self._process.name, "serves again")


class ServerEnsemble(Servers):
    """Some embedded servers that share one history."""

    kinds = ("restart", "pause", "isolate", "elect", "lag")

    def __init__(self, loop: SimulatedLoop, network: Network, settings: EnsembleSettings) -> None:
        super().__init__(loop, network)
        ports = [_FIRST_PORT + index for index in range(settings.size)]
        self.ensemble = AsyncEmbeddedEnsemble(settings.size, settings=settings, clock=self.clock, ports=ports)
        self._damaged: int | None = None  # one at a time, so that there is a quorum

    @property
    def hosts(self) -> str:
        """Their addresses."""
        return self.ensemble.hosts

    async def start(self) -> None:
        """Serve."""
        await self.ensemble.start()
        for member in self.ensemble:
            self._network.names[self.ensemble.host, member.port] = f"zk{member.number}"

    async def stop(self) -> None:
        """Serve no more."""
        await self._quiet()
        await self.ensemble.stop()

    def sessions(self) -> list[int]:
        """The sessions that live, as the leader knows them; none before the start, or while nobody leads."""
        try:
            return sorted(self.ensemble.sessions())
        except (ClusterError, ValueError):
            return []

    def expire_session(self, session_id: int) -> None:
        """End a session, if there is somebody to do it."""
        try:
            self.ensemble.expire_session(session_id)
        except (ClusterError, KeyError):
            pass

    def trees(self) -> list[Tree]:
        """What each member has applied; nothing before the start."""
        return [member.tree for member in self.members]

    def tree(self) -> Tree:
        """The leader's; while there is none, that of the member who knows most."""
        members = self.members
        if not members:
            return Tree()
        return (self.ensemble.core.leader or max(members, key=lambda member: member.last_zxid)).tree

    def has_leader(self) -> bool:
        """Whether somebody can be asked, and knows who is alive."""
        return bool(self.members) and self.ensemble.core.leader is not None

    @property
    def members(self) -> Sequence[Member]:
        """The inside of each; nothing before the start."""
        try:
            return self.ensemble.core.members
        except ValueError:  # it was not started yet
            return ()

    def _endpoint(self) -> Endpoint:
        core = self.ensemble.core
        return core.leader or core.members[0]

    def _deliver(self, output: list[Output]) -> None:
        self.ensemble.deliver(output)

    def can(self, kind: str) -> bool:
        """Whether nothing else happens to them."""
        return super().can(kind) and self._damaged is None

    def suffer(self, kind: str, which: float, seconds: float) -> str:
        """Do something to one of them."""
        member = self.ensemble[int(which * len(self.ensemble))]
        name = f"zk{member.number} ({member.role or 'not serving'})"
        self._damaged = member.number
        self._run(self._suffer(kind, member.number, seconds))
        match kind:
            case "restart":
                return f"{name} is stopped for {seconds:.3f} s"
            case "pause":
                return f"{name} stands still for {seconds:.3f} s"
            case "isolate":
                return f"{name} is cut off from the others for {seconds:.3f} s"
            case "lag":
                return f"{name} applies everything {min(seconds, 2.0):.3f} s late, for {seconds:.3f} s"
            case _:
                return "a leader is elected anew"

    async def _suffer(self, kind: str, number: int, seconds: float) -> None:
        ensemble = self.ensemble
        member = ensemble[number - 1]
        name = f"zk{number}"
        try:
            match kind:
                case "restart":
                    await member.stop()
                    await asyncio.sleep(seconds)
                    await member.start(wait=False)
                    self._network.note(name, "is started again")
                case "pause":
                    member.pause()
                    await asyncio.sleep(seconds)
                    member.resume()
                    self._network.note(name, "goes on")
                case "isolate":
                    ensemble.isolate(number)
                    await asyncio.sleep(seconds)
                    ensemble.reconnect()
                    self._network.note(name, "reaches the others again")
                case "lag":
                    ensemble.lag(number, min(seconds, 2.0))
                    await asyncio.sleep(seconds)
                    ensemble.lag(number, 0)
                    self._network.note(name, "does not lag any more")
                case _:
                    leader = await ensemble.elect()
                    self._network.note(f"zk{leader.number}", "leads")
        except ClusterError:
            pass  # nobody can be elected now, which is trouble enough
        finally:
            self._damaged = None
