"""A seeded scheduler in virtual time: it runs bodies, interleaves them by a seed, and finds what waits for ever.

Rule: everything that happens is an action in one queue, ordered by virtual time, and by the seed where times are
equal. Nothing else decides: no thread, no real clock, no hash order, no random source but ``random()`` of one
seeded generator, whose values are the same on every Python. So a seed is a bug report: the same seed gives the
same run.

A body is an ``async def`` that awaits only what a simulation offers: `SimulatedEvent.wait`, `Simulation.sleep`,
`SimulatedTask.join`, and everything made of them (the simulated port in ``simport``). A run ends when nothing is
left to do; it fails when a task is still waiting then, when virtual time passes the limit, when a task raises, or
when a check given to `always` does. A failure says its seed and shows the last lines of the timeline.
"""

from __future__ import annotations

import heapq
import random
import types
import zlib
from collections import deque
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Sequence

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

# Lines of the timeline that a failure shows.
TIMELINE_LINES = 120

# Steps at one moment of virtual time after which somebody is said to be busy for ever.
STEPS_PER_MOMENT = 10_000


class SimulationFailedError(AssertionError):
    """A simulated run failed. seed: what replays it.   timeline: its last lines, oldest first."""

    def __init__(self, reason: str, seed: int, timeline: Sequence[str]) -> None:
        self.reason = reason
        self.seed = seed
        self.timeline = list(timeline)
        super().__init__(f"seed {seed}: {reason}\n" + "\n".join(self.timeline))


class StuckError(SimulationFailedError):
    """Somebody waits for ever (nothing is left to do, or virtual time passed the limit), or is busy for ever."""


class TaskCancelled(BaseException):
    """Raised at the ``await`` of a simulated task that was cancelled."""


class Home(Protocol):
    """Where tasks live; they do not run while it is frozen."""

    @property
    def frozen_until(self) -> float: ...


class Action:
    """Something that will happen at a moment of virtual time."""

    __slots__ = ("do",)

    def __init__(self, do: Callable[[], None]) -> None:
        self.do: Callable[[], None] | None = do

    def cancel(self) -> None:
        """Make it not happen."""
        self.do = None


class _Park:
    """What a task yields to the scheduler: wait for the event, at most until the deadline."""

    __slots__ = ("deadline", "event")

    def __init__(self, event: SimulatedEvent | None, deadline: float | None) -> None:
        self.event = event
        self.deadline = deadline


@types.coroutine
def _park(park: _Park) -> Generator[_Park, bool, bool]:
    woken = yield park
    return woken


class SimulatedEvent:
    """A flag that bodies wait for, in virtual time."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._up = False
        self._waiting: list[SimulatedTask[object]] = []

    def set(self) -> None:
        """Raise the flag and wake everybody who waits, in an order the seed chooses."""
        self._up = True
        waiting, self._waiting = self._waiting, []
        for task in waiting:
            task.wake(woken=True)

    def clear(self) -> None:
        """Lower the flag."""
        self._up = False

    def is_set(self) -> bool:
        """Whether the flag is up."""
        return self._up

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is up; False when *timeout* virtual seconds went by first."""
        if self._up:
            await self._simulation.pause()
            return True
        deadline = None if timeout is None else self._simulation.now() + max(timeout, 0.0)
        return await _park(_Park(self, deadline))

    def enlist(self, task: SimulatedTask[object]) -> None:
        """Add a waiting task (for the scheduler)."""
        self._waiting.append(task)

    def dismiss(self, task: SimulatedTask[object]) -> None:
        """Remove a waiting task (for the scheduler)."""
        if task in self._waiting:
            self._waiting.remove(task)


class SimulatedTask(Generic[T_co]):
    """A body on its way. Made by `Simulation.spawn`."""

    def __init__(
        self, simulation: Simulation, body: Coroutine[object, None, T_co], name: str, home: Home | None
    ) -> None:
        self.name = name
        self.waits_for = "its first step"
        self.cancelled = False
        self._simulation = simulation
        self._body = body
        self._home = home
        self._done = SimulatedEvent(simulation)
        self._result: list[T_co] = []
        self._error: BaseException | None = None
        self._cancels = 0
        self._started = False
        self._joiners = 0
        self._event: SimulatedEvent | None = None
        self._pending: Action | None = None
        self.wake(woken=True)

    @property
    def done(self) -> bool:
        """Whether the body has ended."""
        return self._done.is_set()

    def cancel(self) -> None:
        """Raise TaskCancelled at the current or next ``await``; each call counts once."""
        if not self.done:
            self.cancelled = True
            self._cancels += 1
            self.wake(woken=False)

    def take_back(self) -> None:
        """Forget one cancellation that has not been raised yet."""
        if self._cancels:
            self._cancels -= 1

    async def join(self, timeout: float | None = None) -> T_co:
        """Wait for the end and return the result, or raise what the body raised; TimeoutError when time runs out."""
        self._joiners += 1
        try:
            if not await self._done.wait(timeout):
                message = f"task {self.name!r} still runs after {timeout} s"
                raise TimeoutError(message)
        finally:
            self._joiners -= 1
        if self._error is not None:
            raise self._error
        return self._result[0]

    def wake(self, *, woken: bool) -> None:
        """Have the task go on now: with its event set, or without (the scheduler's side of `wait`)."""
        if self._event is not None:
            self._event.dismiss(self)
            self._event = None
        if self._pending is not None:
            self._pending.cancel()
        self._pending = self._simulation.call_at(self._simulation.now(), lambda: self._step(woken))

    def abandon(self) -> None:
        """Close the body where it stands: the run is over."""
        # Its clean-up may fail, or await, which the interpreter reports ("ignored GeneratorExit") and where it is
        # closed again: nobody runs any more.
        while not self.done:
            try:
                self._body.close()
            except RuntimeError:
                continue
            except Exception:  # noqa: BLE001 - the run has a failure already, and this is not news
                pass
            self._done.set()

    def _step(self, woken: bool) -> None:
        simulation = self._simulation
        if self._home is not None and self._home.frozen_until > simulation.now():
            self._pending = simulation.call_at(self._home.frozen_until, lambda: self._step(woken))
            return
        self._pending = None
        simulation.current = self
        try:
            if self._cancels:
                self._cancels -= 1
                park = self._body.throw(TaskCancelled())
            else:
                park = self._resume(woken)
        except StopIteration as done:
            self._result.append(done.value)
            self._done.set()
        except TaskCancelled as error:
            self._fail(error, expected=self.cancelled)
        except Exception as error:  # noqa: BLE001 - whatever a body raises ends it; an interrupt ends the run
            self._fail(error, expected=False)
        else:
            self._parked(park)
        finally:
            simulation.current = None

    def _resume(self, woken: bool) -> object:
        if not self._started:
            self._started = True
            return self._body.send(None)
        return self._body.send(woken)  # type: ignore[arg-type]  # only `_park` yields, and it takes the flag

    def _parked(self, park: object) -> None:
        if not isinstance(park, _Park):
            message = f"task {self.name!r} awaited {park!r}, which is not of this simulation"
            raise TypeError(message)
        self._event = park.event
        self.waits_for = "an event" if park.event is not None else "its turn"
        if park.event is not None:
            park.event.enlist(self)
        if park.deadline is not None:
            self._pending = self._simulation.call_at(park.deadline, lambda: self.wake(woken=False))
        if self._cancels:
            self.wake(woken=False)

    def _fail(self, error: BaseException, *, expected: bool) -> None:
        self._error = error
        if not expected and not self._joiners:
            self._simulation.fail(f"task {self.name!r} raised {type(error).__name__}: {error}", error)
        self._done.set()


class Simulation:
    """One run of some bodies under one seed. Virtual time starts at 0.

    time_limit: virtual seconds after which whoever still waits is said to wait for ever.
    """

    def __init__(self, seed: int, *, time_limit: float = 3600.0) -> None:
        self.seed = seed
        self.time_limit = time_limit
        self.steps = 0
        self.current: SimulatedTask[object] | None = None
        self._random = random.Random(seed)
        self._now = 0.0
        self._serial = 0
        self._queue: list[tuple[float, float, int, Action]] = []
        self._tasks: list[SimulatedTask[object]] = []
        self._checks: list[Callable[[], None]] = []
        self._timeline: deque[tuple[float, str, str]] = deque(maxlen=TIMELINE_LINES)
        self._digest = 0
        self._failure: SimulationFailedError | None = None
        self._cause: BaseException | None = None

    # What the seed decides

    def random(self) -> float:
        """Return the seed's next number in [0, 1)."""
        return self._random.random()

    def between(self, low: float, high: float) -> float:
        """Return a number the seed chooses in [low, high)."""
        return low + (high - low) * self.random()

    def choose(self, things: Sequence[T]) -> T:
        """Return the element the seed chooses. (Not ``random.choice``: its use of the generator may change.)"""
        return things[int(self.random() * len(things))]

    def guid(self) -> str:
        """Return 32 hex digits the seed chooses."""
        return "".join(f"{int(self.random() * 0x10000):04x}" for _ in range(8))

    # Time and tasks

    def now(self) -> float:
        """Virtual seconds since the start."""
        return self._now

    def call_at(self, when: float, do: Callable[[], None]) -> Action:
        """Have *do* called at virtual time *when*; among equals the seed chooses the order."""
        action = Action(do)
        self._serial += 1
        heapq.heappush(self._queue, (max(when, self._now), self.random(), self._serial, action))
        return action

    def event(self) -> SimulatedEvent:
        """Make an event, with its flag down."""
        return SimulatedEvent(self)

    async def pause(self) -> None:
        """Let others go first, where the seed wants it."""
        await _park(_Park(None, self._now))

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await _park(_Park(None, self._now + max(seconds, 0.0)))

    def spawn(self, body: Coroutine[object, None, T], name: str, *, home: Home | None = None) -> SimulatedTask[T]:
        """Run a body beside the others. It does not go on while *home* is frozen."""
        task = SimulatedTask(self, body, name, home)
        self._tasks.append(task)
        return task

    # The run

    def always(self, check: Callable[[], None]) -> None:
        """Call *check* after every step; whatever it raises fails the run."""
        self._checks.append(check)

    def note(self, who: str, what: str) -> None:
        """Write a line into the timeline."""
        self._timeline.append((self._now, who, what))
        self._digest = zlib.crc32(f"{self._now:.6f} {who} {what}".encode(), self._digest)

    def fingerprint(self) -> tuple[int, int]:
        """Return (steps, checksum of the whole timeline): equal for equal runs."""
        return self.steps, self._digest

    def fail(
        self, reason: str, cause: BaseException | None = None, kind: type[SimulationFailedError] = SimulationFailedError
    ) -> None:
        """End the run with a failure; the first one counts."""
        if self._failure is None:
            lines = [f"  {when:10.4f}  {who:<12} {what}" for when, who, what in self._timeline]
            self._failure = kind(f"{reason} (virtual time {self._now:.4f} s, step {self.steps})", self.seed, lines)
            self._cause = cause

    @property
    def failure(self) -> SimulationFailedError | None:
        """The first failure, if any."""
        return self._failure

    def run(self) -> None:
        """Run until nothing is left to do. Raises SimulationFailedError; StuckError when somebody waits for ever."""
        try:
            self._run()
        finally:
            self._close()

    def _run(self) -> None:
        queue = self._queue
        moment = 0
        while queue and self._failure is None:
            when, _, _, action = heapq.heappop(queue)
            if action.do is None:
                continue
            if when > self.time_limit:
                self.fail(f"{self._waiting()} still waiting when time ran out", kind=StuckError)
                break
            if when > self._now:
                self._now = when
                moment = self.steps
            self.steps += 1
            if self.steps - moment > STEPS_PER_MOMENT:
                reason = f"{self._waiting()} busy for ever: {STEPS_PER_MOMENT} steps, and no time passed"
                self.fail(reason, kind=StuckError)
                break
            try:
                action.do()
                for check in self._checks:
                    check()
            except Exception as error:  # noqa: BLE001 - whatever a check or an action raises fails the run
                self.fail(f"{type(error).__name__}: {error}", error)
        if self._failure is None and any(not task.done for task in self._tasks):
            self.fail(f"{self._waiting()} waiting for ever", kind=StuckError)
        if self._failure is not None:
            raise self._failure from self._cause

    def _waiting(self) -> str:
        return ", ".join(f"{task.name} (for {task.waits_for})" for task in self._tasks if not task.done) or "nobody"

    def _close(self) -> None:
        # Bodies that stand still after a failure are closed here, so that nothing is reported from the collector.
        self._queue.clear()
        while self._tasks:
            self._tasks.pop().abandon()
