"""An ensemble of embedded servers inside a running asyncio loop.

    async with AsyncEmbeddedEnsemble(3) as ensemble:
        leader = await ensemble.leader()
        await leader.restart()
        ensemble.isolate(2)

Rule: all of it runs in the loop's thread (transports.py). What waits is awaited; everything else is done when the call
returns, with the names that EmbeddedEnsemble has for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from ..errors import ClusterError
from .clock import VirtualClock
from .controls import EnsembleControls, MemberControls, Named
from .front import Output
from .member import State
from .quorum import EnsembleCore
from .transports import Transports

__all__ = ["AsyncEmbeddedEnsemble", "AsyncEmbeddedMember"]

T = TypeVar("T")

_POLL = 0.001  # seconds between two looks at whether something has happened


class AsyncEmbeddedMember(MemberControls):
    """One member of an AsyncEmbeddedEnsemble, which makes it."""

    def __init__(self, ensemble: AsyncEmbeddedEnsemble, number: int) -> None:
        super().__init__(ensemble, number)  # type: ignore[arg-type]  # which is generic in its members
        self._ensemble = ensemble

    async def wait_until_serving(self, *, timeout: float = 30.0) -> str:  # as the blocking one
        """Wait until it serves, and return its role. Raises ClusterError after `timeout` seconds."""
        await self._ensemble._wait(lambda: self.role is not None, timeout, f"member {self.number} does not serve")
        return self.role or ""

    async def start(self, *, wait: bool = True, timeout: float = 30.0) -> None:
        """Start it if it does not run: it catches up with the leader.   wait: until it serves.

        Raises ClusterError when it does not serve within `timeout` seconds; OSError when its port was taken.
        """
        await self._ensemble._start_member(self._number)
        if wait:
            await self.wait_until_serving(timeout=timeout)

    async def stop(self) -> None:
        """End it; the others notice at once. Its data stay for another `start`."""
        await self._ensemble._stop_member(self._number)

    async def restart(self, *, wait: bool = True, timeout: float = 30.0) -> None:
        """Stop (if it runs) and start again with the same data and port. Raises as `start`."""
        await self.stop()
        await self.start(wait=wait, timeout=timeout)

    def pause(self) -> None:
        """Do nothing until `resume`: connections stay open, nothing answers. Raises ClusterError if it is stopped."""
        self._ensemble._do(lambda core, now_ms: core.pause(self._number, now_ms))

    def resume(self) -> None:
        """Go on after `pause`. Raises ClusterError when it does not run."""
        self._ensemble._do(lambda core, now_ms: core.resume(self._number, now_ms))


class AsyncEmbeddedEnsemble(EnsembleControls[AsyncEmbeddedMember]):
    """Embedded servers that share one history, in this loop; the parameters are those of EmbeddedEnsemble."""

    _transports: Transports | None = None

    async def __aenter__(self) -> AsyncEmbeddedEnsemble:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    # Life

    @property
    def running(self) -> bool:
        """Whether it was started, and not stopped since."""
        return self._transports is not None

    async def start(self, *, timeout: float = 30.0) -> None:
        """Start all members, and return when they serve; what an earlier life has left is still there.

        Raises OSError when a port is taken, ClusterError when they do not serve within `timeout` seconds; nothing runs
        then.
        """
        if self._transports is not None:
            return
        now_ms = self._clock.now_ms()
        first = self._core is None
        core = self._core or EnsembleCore(self._settings, now_ms=now_ms)
        transports = Transports(self._clock, core.next_deadline_ms, core.tick)
        try:
            for index, member in enumerate(core.members):
                self._ports[index] = await transports.listen(member, self._host, self._ports[index])
        except BaseException:
            for member in core.members:
                await transports.close(member)
            raise
        if first:
            core.configure([(self._host, port) for port in self._ports], now_ms)
        else:
            for member in core.members:
                core.start(member.number, now_ms)
        self._core, self._transports = core, transports
        transports.schedule()
        try:
            await self.wait_until_serving(timeout=timeout)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close every connection and port; the data stay for another `start`."""
        if self._transports is not None:
            for member in self._members:
                await member.stop()
            self._transports = None

    # Who leads

    async def leader(self, *, other_than: Named | None = None, timeout: float = 30.0) -> AsyncEmbeddedMember:
        """The member that leads a quorum now, waiting for an election if need be.

        other_than: a member that does not count.   Raises ClusterError when nobody leads within `timeout` seconds.
        """
        excluded = 0 if other_than is None else self._number(other_than)
        return await self._wait(lambda: self._leader(excluded), timeout, "nobody leads")

    async def wait_until_serving(self, *, timeout: float = 30.0) -> None:
        """Wait until every member that runs (and is not paused) serves and one of them leads.

        Raises ClusterError after `timeout` seconds.
        """
        await self._wait(self._serves, timeout, "not every member serves with one leader")

    # What to do to it

    async def heal(self, *, timeout: float = 30.0) -> None:
        """Undo all damage, and wait until everybody serves. Raises ClusterError."""
        await self.start(timeout=timeout)
        for member in self._members:
            if member.paused:
                member.resume()
            await member.start(wait=False)
            self.lag(member, 0)
            self.let_go(member)
        self.reconnect()
        await self.wait_until_serving(timeout=timeout)

    async def roll(self, *, timeout: float = 30.0) -> None:
        """Restart every member, one after the other, the leader last; each serves before the next one goes."""
        leader = await self.leader(timeout=timeout)
        for member in sorted(self._members, key=lambda member: member is leader):
            await member.restart(timeout=timeout)
        await self.wait_until_serving(timeout=timeout)

    async def elect(self, member: Named | None = None, *, timeout: float = 30.0) -> AsyncEmbeddedMember:
        """Have everybody look for a leader anew, wait until there is one, and return it.

        member: who is to win.   Raises ClusterError when that one cannot win.
        """
        number = None if member is None else self._number(member)
        self._do(lambda core, now_ms: core.elect(number, now_ms))
        return await self.leader(timeout=timeout)

    # In the loop

    def call(self, function: Callable[[EnsembleCore], T]) -> T:
        """Run a function over the ensemble's state; return what it returns or raises."""
        return function(self.core)

    def deliver(self, output: list[Output]) -> None:
        """Send what something done to `core` by hand gave to send."""
        if self._transports is not None:
            self._transports.deliver(output)

    def _do(self, step: Callable[[EnsembleCore, int], list[Output]]) -> None:
        self.deliver(step(self.core, self._clock.now_ms()))

    async def _wait(self, condition: Callable[[], T | None], timeout: float, problem: str) -> T:
        clock = self._clock
        if isinstance(clock, VirtualClock):
            return self._wait_in_virtual_time(clock, condition, timeout, problem)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while not (found := condition()):
            if loop.time() > deadline:
                raise self._error(problem, timeout)
            await asyncio.sleep(_POLL)
        return found

    # For the members

    def _make_member(self, number: int) -> AsyncEmbeddedMember:
        return AsyncEmbeddedMember(self, number)

    async def _start_member(self, number: int) -> None:
        transports = self._transports
        if transports is None:
            raise ClusterError(f"cannot start a member of {self!r}: the ensemble does not run")
        member = self.core.member(number)
        if member.state is State.STOPPED:
            await transports.listen(member, self._host, member.port)
            self._do(lambda core, now_ms: core.start(number, now_ms))

    async def _stop_member(self, number: int) -> None:
        transports = self._transports
        if transports is not None:
            self._do(lambda core, now_ms: core.stop(number, now_ms))
            await transports.close(self.core.member(number))
