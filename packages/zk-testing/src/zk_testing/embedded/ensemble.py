"""An ensemble of embedded servers on real loopback sockets, all of them in one background thread.

    with EmbeddedEnsemble(3) as ensemble:
        ensemble.hosts                      # "127.0.0.1:40123,127.0.0.1:40124,127.0.0.1:40125"
        ensemble.leader().pause()           # a frozen machine: sockets open, nothing answers
        ensemble.isolate(2)                 # cut off from the others, not from its clients
        ensemble[2].lag(0.5)                # applies everything half a second late
        ensemble.heal()                     # everybody runs, serves and agrees again

Rule: it has the names of a real cluster (zk_testing.cluster) and its members those of a real server
(zk_testing.member), so that one test runs on both; what only an ensemble in one's own process can do comes besides.
Members are named by their number, from 1, or are given themselves; `ensemble[0]` is number 1, as in a cluster.

With a VirtualClock nothing waits in real time: whatever waits lets the time of the clock pass instead.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TypeVar

from zk_wire import ServerStatus, parse_srvr

from .._words import ask_word
from ..errors import ClusterError
from .clock import VirtualClock
from .controls import EnsembleControls, MemberControls, Named
from .front import Output
from .member import State
from .quorum import EnsembleCore
from .sockets import Sockets

__all__ = ["EmbeddedEnsemble", "EmbeddedMember"]

T = TypeVar("T")

_POLL = 0.001  # seconds between two looks at whether something has happened


class EmbeddedMember(MemberControls):
    """One member of an EmbeddedEnsemble, which makes it."""

    def __init__(self, ensemble: EmbeddedEnsemble, number: int) -> None:
        super().__init__(ensemble, number)  # type: ignore[arg-type]  # which is generic in its members
        self._ensemble = ensemble
        self._kept: socket.socket | None = None  # its port while it is stopped: bound, not open

    # Asked over its port

    def send_command(self, word: str, *, timeout: float = 2.0) -> str:
        """Ask a four-letter word ("srvr", "mntr", "dump", ...) and return the whole answer as text.

        timeout: seconds, for connecting and for each wait for bytes.   Raises OSError when the member does not answer.
        """
        return ask_word(self._ensemble.host, self.port, word, timeout=timeout)

    def status(self, *, timeout: float = 2.0) -> ServerStatus:
        """What `srvr` tells. Raises OSError, ServerNotServingError."""
        return parse_srvr(self.send_command("srvr", timeout=timeout))

    def wait_until_serving(self, *, timeout: float = 30.0) -> str:
        """Wait until it serves, and return its role. Raises ClusterError after `timeout` seconds."""
        self._ensemble._wait(lambda: self.role is not None, timeout, f"member {self.number} does not serve")
        return self.role or ""

    # What to do to it

    def start(self, *, wait: bool = True, timeout: float = 30.0) -> None:
        """Start it if it does not run: it catches up with the leader.

        wait: until it serves; one without a quorum serves nobody, so waiting for it would be in vain.
        Raises ClusterError when it does not serve within `timeout` seconds; OSError when its port was taken.
        """
        self._ensemble._start_member(self._number)
        if wait:
            self.wait_until_serving(timeout=timeout)

    def stop(self) -> None:
        """End it; the others notice at once. Its data stay for another `start`."""
        self._ensemble._stop_member(self._number)

    def kill(self) -> None:
        """End it at once, as `kill -9` does a real one, which keeps its data: the same as `stop`."""
        self.stop()

    def restart(self, *, wait: bool = True, timeout: float = 30.0) -> None:
        """Stop (if it runs) and start again with the same data and port. Raises as `start`."""
        self.stop()
        self.start(wait=wait, timeout=timeout)

    def replace(self, *, wait: bool = True, timeout: float = 30.0) -> None:
        """Start anew with the same number and port, but without any data, as a new machine would.

        Raises as `start`; ClusterError when the others have no leader, because then its data may be all there is.
        """
        self.stop()
        self._ensemble.leader(timeout=timeout)
        self._ensemble.call(lambda core: core.wipe(self._number))
        self.start(wait=wait, timeout=timeout)

    def pause(self) -> None:
        """Do nothing until `resume`: connections stay open, the system accepts new ones, nothing answers.

        Raises ClusterError when it does not run.
        """
        self._ensemble._pause_member(self._number)

    def resume(self) -> None:
        """Go on after `pause`. Raises ClusterError when it does not run."""
        self._ensemble._resume_member(self._number)

    # For the ensemble

    def _keep_port(self) -> None:
        """Let nobody else have the port while it is stopped."""
        self._kept = socket.socket()
        self._kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # somebody was quicker: `start` will say so
            self._kept.bind((self._ensemble.host, self.port))

    def _free_port(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None


class EmbeddedEnsemble(EnsembleControls[EmbeddedMember]):
    """Embedded servers that share one history.

    size: of all members.   version: whose behaviour they have.   observers: how many of them, the last ones, do not
    vote.   tick_ms: the unit of time; a silent session ends up to one tick late.   read_only_mode: a member without a
    quorum serves read-only clients.   min/max_session_timeout: seconds; None is 2 ticks, and 60 s or 20 ticks.
    sync_limit: ticks of silence after which a follower gives its leader up.   election_time: seconds.
    host, ports: where they listen, a port for each; without ports on any that are free.
    settings: everything else, and then all of it: of the parameters before, only where they listen is looked at.
    clock: a VirtualClock stands still until `advance` moves it, or something waits.
    Raises ValueError for a version that cannot be embedded, and for numbers that make no ensemble.
    """

    _sockets: Sockets | None = None
    _steps = 0  # how often something was done to it; the leak check asks

    def __enter__(self) -> EmbeddedEnsemble:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # Life

    @property
    def running(self) -> bool:
        """Whether it was started, and not stopped since."""
        return self._sockets is not None

    def start(self, *, timeout: float = 30.0) -> None:
        """Start all members, and return when they serve; what an earlier life has left is still there.

        Raises OSError when a port is taken, ClusterError when they do not serve within `timeout` seconds; nothing runs
        then.
        """
        if self._sockets is not None:
            return
        now_ms = self._clock.now_ms()
        first = self._core is None
        core = self._core or EnsembleCore(self._settings, now_ms=now_ms)
        sockets = Sockets(self._clock, core.next_deadline_ms, core.tick)
        try:
            for index, member in enumerate(core.members):
                self._ports[index] = sockets.listen(member, self._host, self._ports[index])
        except BaseException:
            sockets.stop()
            raise
        if first:
            core.configure([(self._host, port) for port in self._ports], now_ms)
        else:
            for member in core.members:
                core.start(member.number, now_ms)
        self._core, self._sockets = core, sockets
        sockets.start(f"zk-embedded-ensemble-{self._ports[0]}")
        try:
            self.wait_until_serving(timeout=timeout)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Close every connection and port, and end the thread; the data stay for another `start`. Twice is once."""
        sockets = self._sockets
        if sockets is None:
            return
        core = self.core

        def end() -> None:
            for member in core.members:
                sockets.deliver(core.stop(member.number, self._clock.now_ms()))

        sockets.call(end)
        sockets.stop()
        self._sockets = None
        for its in self._members:
            its._free_port()

    # Who leads

    def leader(self, *, other_than: Named | None = None, timeout: float = 30.0) -> EmbeddedMember:
        """The member that leads a quorum now, waiting for an election if need be.

        other_than: a member that does not count, for one that has just been paused or cut off.
        Raises ClusterError when nobody leads within `timeout` seconds.
        """
        excluded = 0 if other_than is None else self._number(other_than)
        return self._wait(lambda: self._leader(excluded), timeout, "nobody leads")

    def wait_until_serving(self, *, timeout: float = 30.0) -> None:
        """Wait until every member that runs (and is not paused) serves and one of them leads.

        Raises ClusterError after `timeout` seconds.
        """

        self._wait(self._serves, timeout, "not every member serves with one leader")

    # What to do to it

    def heal(self, *, timeout: float = 30.0) -> None:
        """Undo all damage, and wait until everybody serves. Raises ClusterError."""
        self.start(timeout=timeout)
        for member in self._members:
            if member.paused:
                member.resume()
            member.start(wait=False)
            self.lag(member, 0)
            self.let_go(member)
        self.reconnect()
        self.wait_until_serving(timeout=timeout)

    def roll(self, *, timeout: float = 30.0) -> None:
        """Restart every member, one after the other, the leader last; each serves before the next one goes."""
        leader = self.leader(timeout=timeout)
        for member in sorted(self._members, key=lambda member: member is leader):
            member.restart(timeout=timeout)
        self.wait_until_serving(timeout=timeout)

    def elect(self, member: Named | None = None, *, timeout: float = 30.0) -> EmbeddedMember:
        """Have everybody look for a leader anew, wait until there is one, and return it.

        member: who is to win.   Raises ClusterError when that one cannot win.
        """
        number = None if member is None else self._number(member)
        self._do(lambda core, now_ms: core.elect(number, now_ms))
        return self.leader(timeout=timeout)

    # Its thread

    def call(self, function: Callable[[EnsembleCore], T]) -> T:
        """Run a function over the ensemble's state, between two requests; return what it returns or raises."""
        sockets = self._sockets
        if sockets is None:
            return function(self.core)
        return sockets.call(lambda: function(self.core))

    def _do(self, step: Callable[[EnsembleCore, int], list[Output]]) -> None:
        self._steps += 1

        def action(core: EnsembleCore) -> None:
            output = step(core, self._clock.now_ms())
            if self._sockets is not None:
                self._sockets.deliver(output)

        self.call(action)

    def _wait(self, condition: Callable[[], T | None], timeout: float, problem: str) -> T:
        clock = self._clock
        if isinstance(clock, VirtualClock):
            return self._wait_in_virtual_time(clock, condition, timeout, problem)
        deadline = time.monotonic() + timeout
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise self._error(problem, timeout)
            time.sleep(_POLL)
        return found

    # For the members

    def _make_member(self, number: int) -> EmbeddedMember:
        return EmbeddedMember(self, number)

    def _start_member(self, number: int) -> None:
        sockets = self._running("start")

        def step(core: EnsembleCore, now_ms: int) -> list[Output]:
            member = core.member(number)
            if member.state is State.STOPPED:
                self._members[number - 1]._free_port()
                sockets.listen(member, self._host, member.port)
            return core.start(number, now_ms)

        self._do(step)

    def _stop_member(self, number: int) -> None:
        sockets = self._sockets
        if sockets is None:
            return

        def step(core: EnsembleCore, now_ms: int) -> list[Output]:
            member = core.member(number)
            if member.state is State.STOPPED:
                return []
            sockets.deliver(core.stop(number, now_ms))
            sockets.close(member)
            self._members[number - 1]._keep_port()
            return []

        self._do(step)

    def _pause_member(self, number: int) -> None:
        sockets = self._running("pause")

        def step(core: EnsembleCore, now_ms: int) -> list[Output]:
            member = core.member(number)
            if member.state is not State.STOPPED and not member.paused:
                sockets.freeze(member)
            return core.pause(number, now_ms)

        self._do(step)

    def _resume_member(self, number: int) -> None:
        sockets = self._running("resume")

        def step(core: EnsembleCore, now_ms: int) -> list[Output]:
            member = core.member(number)
            was_paused = member.paused
            output = core.resume(number, now_ms)
            if was_paused:
                sockets.thaw(member)
            return output

        self._do(step)

    def _running(self, verb: str) -> Sockets:
        sockets = self._sockets
        if sockets is None:
            raise ClusterError(f"cannot {verb} a member of {self!r}: the ensemble does not run")
        return sockets
