"""One run of a simulated world under one seed: servers, a network, and programs in processes of their own.

    async def main(sim):
        for name in ("a", "b"):
            sim.start(name, lambda: work(sim.hosts))

    Simulation(17, faults=FAULTS).run(main)

Rule: everything runs in one thread and one loop, and everything that is drawn is drawn from the seed, so the same seed
gives the same run. Clients are whatever asyncio code connects to `hosts`; nothing here knows one.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from ..embedded.settings import EnsembleSettings, Settings
from .faults import NO_FAULTS, Faults, Mischief
from .loop import BusyError, IdleError, SimulatedLoop
from .network import Network
from .process import Process
from .program import Program, whereabouts
from .servers import ServerEnsemble, Servers, SingleServer
from .standins import standins
from .stranger import Stranger
from .timeline import Timeline, heard, silence

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Sequence

__all__ = ["Simulation", "SimulationFailedError", "StuckError"]

T = TypeVar("T")

_TICK_MS = 200
_NOT_REPEATED = (
    "run again, it did not fail like that: something in it is not decided by the seed (what an earlier run left in a "
    "variable, the order of a set, a clock or a file of the system)"
)


class SimulationFailedError(AssertionError):
    """A run failed.   seed: what repeats it.   faults: those that struck, by name and text.   timeline: for people."""

    def __init__(self, reason: str, seed: int, faults: Sequence[tuple[str, str]], timeline: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.seed = seed
        self.faults = list(faults)
        self.timeline = timeline
        self.found_with: int | None = None  # how many faults struck when it was found; these are enough
        self.fewest = True  # none of these can be spared
        self.repeated = True  # it failed again, in the same way, when it was run again
        self.again = ""  # what runs it again

    def __str__(self) -> str:
        """All of it, for people."""
        count = len(self.faults)
        which = "faults that struck" if self.found_with is None else f"of {self.found_with} faults, enough for this"
        if not self.fewest:
            which += ", and fewer may be"
        struck = "\n".join(f"  {place}: {text}" for place, text in self.faults)
        lines = [f"seed {self.seed}: {self.reason}", f"{which}: {count or 'none'}"]
        lines += [struck] if count else []
        if self.timeline:
            lines += ["timeline (virtual seconds, who, what):", self.timeline]
        lines += [] if self.repeated else [_NOT_REPEATED]
        lines += [f"to run this again: {self.again}"] if self.again else []
        return "\n".join(lines)


class StuckError(SimulationFailedError):
    """Somebody waits for ever (nothing is left to happen, or virtual time passed the limit), or is busy for ever."""


class Simulation:
    """A world, for one run.

    servers: 1 for a single server, more for an ensemble of so many; `settings` says what they are.
    faults: what goes wrong.   only: the names of the faults that may strike, None for all.
    time_limit: virtual seconds after which whoever still waits is said to wait for ever.
    recording: whether the timeline is kept for people.
    Raises ValueError for what makes no world: servers that `settings` contradict, faults that nobody knows.
    """

    def __init__(
        self,
        seed: int,
        *,
        servers: int = 1,
        settings: Settings | EnsembleSettings | None = None,
        faults: Faults = NO_FAULTS,
        only: frozenset[str] | None = None,
        time_limit: float = 3600.0,
        recording: bool = False,
    ) -> None:
        if not time_limit > 0:
            raise ValueError(f"time_limit is more than 0 seconds, not {time_limit}")
        self.seed = seed
        self.time_limit = time_limit
        self.timeline = Timeline(recording=recording)
        self.programs: list[Program] = []
        self.loop = SimulatedLoop()
        latency = random.Random(seed).random
        self.network = self.loop.network = Network(self.loop, lambda: 0.0005 + 0.0095 * latency())
        self.servers = _servers(self.loop, self.network, servers, settings)
        self.stranger = Stranger(self.servers, self.note)
        self._random = random.Random(-1 - seed)
        self._mischief = Mischief(self, faults, only)
        self.crash_listeners: list[Callable[[str], object]] = []
        self._checks: list[Callable[[], object]] = []
        self._processes: list[Process] = []  # those made by hand
        self._conductor: asyncio.Task[None] | None = None
        self._in_main = True
        self._failure: tuple[type[SimulationFailedError], str, BaseException | None] | None = None
        self.network.note = self.note
        self.network.arrived = lambda end, data: self.timeline.add_message(self.loop.time(), end, data)
        self.network.lost = lambda end, data: self.timeline.add_message(self.loop.time(), end.other, data, lost=True)
        if self._mischief.strikes_messages:
            self.network.fault = self._mischief.at_message

    # What the seed decides

    def random(self) -> float:
        """Return the seed's next number in [0, 1)."""
        return self._random.random()

    def between(self, low: float, high: float) -> float:
        """Return a number the seed chooses in [low, high)."""
        return low + (high - low) * self.random()

    def choose(self, things: Sequence[T]) -> T:
        """Return the element the seed chooses."""
        return things[int(self.random() * len(things))]

    # The world

    @property
    def hosts(self) -> str:
        """The servers' addresses, as a client takes them."""
        return self.servers.hosts

    def now(self) -> float:
        """Virtual seconds since the beginning."""
        return self.loop.time()

    def process(self, name: str) -> Process:
        """Make a process, to run something in by hand. It is not crashed by the seed."""
        process = Process(self.loop, name)
        self._processes.append(process)
        return process

    def start(
        self,
        name: str,
        main: Callable[[], Coroutine[Any, Any, object]],
        *,
        may_raise: type[Exception] | tuple[type[Exception], ...] = (),
    ) -> Program:
        """Run a program in a process of its own; after a crash it begins again from the start.

        may_raise: the exceptions it may end with; any other fails the run.
        Raises ValueError for a name that another program has: faults are named by it.
        """
        if any(program.name == name for program in self.programs):
            raise ValueError(f"each program has a name of its own: there is one called {name!r} already")
        program = Program(self, name, main, may_raise)
        self.programs.append(program)
        program.begin()
        return program

    def sessions(self) -> list[int]:
        """The sessions that live on the servers."""
        return self.servers.sessions()

    def expire_session(self, session_id: int) -> None:
        """End a session, as a server does that heard nothing for too long."""
        self.servers.expire_session(session_id)

    @property
    def calm(self) -> bool:
        """Whether nothing goes wrong, whatever the seed wants; to be set."""
        return self._mischief.paused

    @calm.setter
    def calm(self, calm: bool) -> None:
        self._mischief.paused = calm

    @property
    def faults_struck(self) -> list[tuple[str, str]]:
        """The faults that struck so far: name and text."""
        return self._mischief.done

    # The run

    def always(self, check: Callable[[], object]) -> None:
        """Call `check` after every step; whatever it raises fails the run."""
        self._checks.append(check)
        self.loop.after_step = self._check

    def on_crash(self, tell: Callable[[str], object]) -> None:
        """Call `tell` with the name of each program that crashes, when it does: `sim.on_crash(history.crashed)`."""
        self.crash_listeners.append(tell)

    def _check(self) -> None:
        if self._failure is None:
            try:
                for check in self._checks:
                    check()
            except BaseException as error:
                if _is_no_failure(error):
                    raise
                self.fail(_told(error), error)

    def note(self, who: str, what: str) -> None:
        """Write a line into the timeline."""
        self.timeline.add(self.loop.time(), who, what)

    def fail(
        self, reason: str, cause: BaseException | None = None, kind: type[SimulationFailedError] = SimulationFailedError
    ) -> None:
        """End the run with a failure; the first one counts."""
        if self._failure is None:
            where = f" (virtual time {self.loop.time():.6f} s, step {self.loop.steps})"
            self.note("failure", reason)
            self._failure = (kind, reason + where, cause)
            self.loop.stop()

    def fingerprint(self) -> str:
        """What equal runs have in common, and different ones do not: a checksum of all that happened."""
        return f"{self.loop.time():.6f}/{self.timeline.checksum:08x}"

    def run(self, main: Callable[[Simulation], Coroutine[Any, Any, T]]) -> T:
        """Run until `main` and every program have ended, and return what main does.

        Raises SimulationFailedError when one of them raised, or a check did, or a task that nobody waited for;
        StuckError when somebody waits for ever. What says that a test is skipped goes on as it is.
        """
        __tracebackhide__ = True  # pytest shows the user's code only
        loop = self.loop
        loop.set_exception_handler(self._unhandled)
        result: list[T] = []

        async def conduct() -> None:
            __tracebackhide__ = True
            await self.servers.start()
            try:
                self._mischief.begin()
                result.append(await main(self))
                self._in_main = False
                for program in self.programs:
                    await program.ended.wait()
                for owner, unheard in self._unheard():
                    self.fail(f"{owner} did not wait for a task that raised {_told(unheard)}", unheard)
            except BaseException as error:
                if _is_no_failure(error):
                    raise
                self.fail(_told(error), error)
            self.calm = True
            await self.servers.stop()

        with standins(loop, self.seed), heard(self.timeline, loop), _uncollected():
            limit = loop.call_at(self.time_limit, self._out_of_time)
            self._conductor = loop.create_task(conduct(), name="the run")
            try:
                loop.run_until_complete(self._conductor)
            except IdleError:
                self.fail(f"waiting for ever: {self._unfinished()}", kind=StuckError)
            except BusyError:
                self.fail(f"busy for ever, and no time passes: {self._unfinished()}", kind=StuckError)
            except SystemExit as error:
                self.fail(f"somebody raised {_told(error)}", error)
            except RuntimeError:
                if self._failure is None:
                    raise
            finally:
                limit.cancel()
                self._close()
        if self._failure is not None:
            kind, reason, cause = self._failure
            raise kind(reason, self.seed, self.faults_struck, str(self.timeline)) from cause
        return result[0]

    def _out_of_time(self) -> None:
        self.fail(
            f"still waiting when time ran out: {self._unfinished()}",
            kind=StuckError,
        )

    def _unfinished(self) -> str:
        waiting = [f"{program.name} {program.whereabouts}" for program in self.programs if not program.done]
        if self._in_main and self._conductor is not None:
            waiting.append(f"main {whereabouts(self._conductor, within=1)}")
        unheard = [f"{owner} did not wait for a task that raised {_told(error)}" for owner, error in self._unheard()]
        return "; ".join(waiting + unheard) or "nobody"

    def _unheard(self) -> list[tuple[str, BaseException]]:
        """What tasks raised that nobody waited for. asyncio tells when it collects them, which is at no moment."""
        owners: list[tuple[str, list[asyncio.Task[Any]], tuple[type[Exception], ...]]] = []
        owners.append(("main", self.loop.strays, ()))
        owners += [(process.name, process.tasks, ()) for process in self._processes if not process.dead]
        for program in self.programs:
            if not program.process.dead:
                owners.append((program.name, program.process.tasks, program.may_raise))
        return [
            (owner, error)
            for owner, tasks, allowed in owners
            for task in tasks
            if task.done() and getattr(task, "_log_traceback", False)
            if (error := task.exception()) is not None and not isinstance(error, allowed)
        ]

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.fail(f"{context['message']}: {error!r}", error)

    def _close(self) -> None:
        """End whatever still runs, without running it: what it would do now happens in no world."""
        loop = self.loop
        loop.set_exception_handler(_ignore)
        known: set[asyncio.Task[Any]] = set()
        self.network.close()
        asyncio._set_running_loop(loop)  # for what the abandoned code asks at its end
        try:
            with silence(), warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # of coroutines that it makes, and nobody awaits
                while left := [task for task in asyncio.all_tasks(loop) if task not in known]:
                    for task in left:
                        known.add(task)
                        _abandon(task)
        finally:
            asyncio._set_running_loop(None)
        for process in {*self._processes, *(program.process for program in self.programs)}:
            process.tasks.clear()
        loop.strays.clear()
        loop.close()


@contextmanager
def _uncollected() -> Generator[None, None, None]:
    """Keep the garbage collector away: when it comes by is decided by no seed, and what it frees may speak."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _is_no_failure(error: BaseException) -> bool:
    """Whether it ends a run and says nothing against it: the user's interrupt, a test that is skipped."""
    kinds: list[type[BaseException]] = [KeyboardInterrupt, GeneratorExit]
    if pytest := sys.modules.get("pytest"):
        kinds += [pytest.skip.Exception, pytest.xfail.Exception, pytest.exit.Exception]
    if unittest := sys.modules.get("unittest.case"):
        kinds.append(unittest.SkipTest)
    return isinstance(error, tuple(kinds))


def _ignore(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What abandoned code complains of."""


def _abandon(task: asyncio.Task[Any]) -> None:
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    coroutine = task.get_coro()
    for _ in range(100):
        try:
            coroutine.close()
            return
        except RuntimeError:
            continue  # its clean-up awaits something
        except Exception:  # noqa: BLE001 - the run has its outcome already
            return


def _servers(
    loop: SimulatedLoop, network: Network, count: int, settings: Settings | EnsembleSettings | None
) -> Servers:
    if count < 1:
        raise ValueError(f"servers is at least 1, not {count}")
    if isinstance(settings, EnsembleSettings):
        if count not in (1, settings.size):
            raise ValueError(f"servers={count}, and settings for an ensemble of {settings.size}")
        return ServerEnsemble(loop, network, settings)
    settings = settings or Settings(tick_ms=_TICK_MS)
    if count == 1:
        return SingleServer(loop, network, settings)
    return ServerEnsemble(loop, network, EnsembleSettings(size=count, server=settings))


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
