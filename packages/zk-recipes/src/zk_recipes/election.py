"""Elections: one of many leads, for a term that has an end, and hears when somebody asks it to step down.

Rule: to lead is to hold a lock (`lock`); a term is one tenure of it, with its own token. Who asks a leader to step down
sets the leader's node again, to what it holds. So the request concerns that term and no other, needs no node of its
own, and goes with the term; the leader keeps watch over its node anyway, and sees that its version is not 0 any more.
It is for the leader to go: nothing is taken from it.

Layout (kazoo's, if no other ``naming`` is given): that of `lock`.
"""

from __future__ import annotations

import inspect
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from zk_client import Face, attribute, blocking, direct, run_blocking
from zk_wire import BadVersionError, NoNodeError, join_path

from ._holding import Holding
from ._sequence import before
from ._waiting import check_timeout
from .errors import LockCancelledError, LockLostError
from .lock import AsyncLock
from .naming import ELECTIONS, Naming, chosen

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import ParamSpec, Self

    from zk_client import HasPort
    from zk_wire import CheckVersionRequest, Stat

    from ._holding import OwnNode

    P = ParamSpec("P")

log = logging.getLogger(__name__)


class AsyncElection:
    """An election among all who use one path (asyncio, and every other port that suspends).

    client: whatever has a port.   path: the node under which contenders queue, created when missing.
    identifier: who stands, for people and `contenders`; kept in the contender's node.
    naming: "kazoo", "curator" (its LeaderSelector), "curator-latch" (its LeaderLatch), "go", "java", or a `Naming` of
    ones own.

    One object serves all workers of a program; each `run` and each `lead` is a contender of its own. What holds, each
    with the test that keeps it:

    - No two lead at once by the lease clock, whatever goes wrong, and a term's token is greater than those of all terms
      before: ``test_never_two_leaders_whatever_goes_wrong``.
    - Contenders lead in the order in which they stood: ``test_contenders_lead_in_the_order_they_stood``.
    - A leader in trouble withdraws before anybody else can lead: under asyncio its block is cancelled
      (``test_a_leaders_block_is_cancelled_before_the_next_term``), everywhere `is_leader` becomes false and `on_lost`
      is called (``test_a_leader_in_trouble_is_told_before_the_next_term``).
    - A request to step down reaches the leader it was made to, and never a later one:
      ``test_a_request_to_step_down_is_for_one_term``; a guard of the term stays good:
      ``test_a_guard_outlives_a_request_to_step_down``.
    - Whoever gives up leaves nothing behind: ``test_a_candidate_cancelled_at_any_await_leaves_nothing``.
    - `run` ends silently when it is cancelled while it waits, as kazoo's does:
      ``test_a_cancelled_run_returns_without_having_led``.
    """

    def __init__(
        self, client: HasPort, path: str, identifier: str | None = None, *, naming: str | Naming = "kazoo"
    ) -> None:
        self._client = client
        self._port = client.port
        self._naming = chosen(naming, ELECTIONS, Naming)
        # For what needs no candidate, and to refuse bad arguments now.
        self._nobody = AsyncLock(client, path, identifier, naming=self._naming)
        self._waiting: list[AsyncTerm] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r}>"

    @property
    def path(self) -> str:
        """The node under which contenders queue."""
        return self._nobody.path

    @property
    def identifier(self) -> str:
        """What `contenders` shows for this one."""
        return self._nobody.identifier

    def lead(
        self,
        timeout: float | None = None,
        *,
        on_lost: Callable[[], object] | None = None,
        on_step_down: Callable[[], object] | None = None,
    ) -> AsyncTerm:
        """Return a term, which is led inside ``with``: entering waits for it, leaving ends it.

        timeout: seconds to wait for it, a total; None without a bound.
        on_lost: called once when the term ends without having been left, at the latest when the lease ends. Nobody
        else leads before it has returned.   on_step_down: called once when somebody asks the leader to step down.
        Both run in workers of their own. A term can be led again, by standing anew at the end of the queue.
        """
        check_timeout(timeout)
        return AsyncTerm(self, timeout, on_lost, on_step_down)

    async def run(self, func: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Wait to lead, call *func* with the arguments (and await what it returns, if that can be awaited), then end.

        Returns without having called it when `cancel` ends the wait. What *func* raises comes out.
        Raises ValueError when *func* cannot be called; LockLostError when the leadership was lost while *func* ran:
        under asyncio it is cancelled then, elsewhere it runs to its end first. Else raises what AsyncLock raises.
        """
        if not callable(func):
            message = f"func must be callable, not {type(func).__name__}"
            raise ValueError(message)
        term = self.lead()
        try:
            await term.__aenter__()
        except LockCancelledError:
            return
        try:
            result = func(*args, **kwargs)
            if inspect.isawaitable(result):
                await result
            lost = not term.is_leader
        except BaseException as error:
            await term.__aexit__(type(error), error, error.__traceback__)
            raise
        await term.__aexit__(None, None, None)
        if lost:
            raise LockLostError(self.path, "it was lost while the function ran", term._seat._WHAT)

    def cancel(self) -> None:
        """Have everybody who waits to lead through this object give up. Who leads goes on. Callable from anywhere."""
        for term in list(self._waiting):
            term._seat.cancel()

    async def contenders(self) -> list[str]:
        """Return the identifiers of all who stand, the leader first; a round trip, and one more for each."""
        return await self._nobody.contenders()

    async def request_step_down(self, token: int | None = None) -> bool:
        """Ask the leader to step down; False when nobody leads, or its term is not that of *token*.

        It hears of it by `AsyncTerm.should_step_down`, `AsyncTerm.wait` and its `on_step_down`, if it is one of ours;
        others take no notice. Asking again changes nothing. Raises the client's errors; where their outcome is
        UNKNOWN, ask again.
        """
        port, naming = self._port, self._naming
        try:
            candidates = naming.contenders(await port.get_children(self.path))
        except NoNodeError:
            return False
        first = [one for one in candidates if before(one, candidates)[0] is None]
        ages: dict[str, int] = {}
        if len(first) > 1:  # Their numbers do not tell.
            await self._nobody._queue.ages(port, first, ages)
            first = sorted((one for one in first if one.name in ages), key=lambda one: ages[one.name])
        if not first:
            return False
        path = join_path(self.path, first[0].name)
        try:
            data, stat = await port.get(path)
            if token is not None and stat.czxid != token:
                return False
            if stat.version == 0:
                with suppress(BadVersionError):  # Somebody else has asked.
                    await port.set(path, data, 0)
        except NoNodeError:
            return False  # It has just gone.
        return True


class AsyncTerm:
    """One term of leading, as `AsyncElection.lead` gives it: ``async with election.lead() as term``.

    Where a body can be interrupted (asyncio), the block is cancelled before the lease ends when the leadership is lost,
    and LockLostError leaves it. Elsewhere the body asks: `is_leader`, `wait`, `check`, `guard`.
    """

    def __init__(
        self,
        election: AsyncElection,
        timeout: float | None,
        on_lost: Callable[[], object] | None,
        on_step_down: Callable[[], object] | None,
    ) -> None:
        self._election = election
        self._timeout = timeout
        self._on_lost = on_lost
        self._on_step_down = on_step_down
        self._port = election._port
        self._over = self._port.event()
        self._seat = _Seat(self)

    def __repr__(self) -> str:
        state = "not leading" if not self.is_leader else "asked to step down" if self.should_step_down else "leading"
        return f"<{type(self).__name__} {self._seat.path!r} {state}>"

    async def __aenter__(self) -> Self:
        """Wait to lead. Raises what AsyncLock.acquire raises."""
        waiting = self._election._waiting
        waiting.append(self)
        try:
            await self._seat.acquire(timeout=self._timeout)
        finally:
            waiting.remove(self)
        await self._seat._block.begin(self._seat.release, self._seat._held)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the term; bounded, as AsyncLock.release."""
        await self._seat.__aexit__(exc_type, exc, traceback)

    @property
    def is_leader(self) -> bool:
        """Whether this term goes on, as far as can be known without asking the server; never after the lease ended."""
        return self._seat.is_acquired

    @property
    def token(self) -> int | None:
        """The term's fencing token, greater than those of all terms before; None when it is not led."""
        return self._seat.token

    @property
    def lease_remaining(self) -> float:
        """Seconds for which nobody else can lead, even if the connection is gone; 0.0 when this term is not led."""
        return self._seat.lease_remaining

    @property
    def should_step_down(self) -> bool:
        """Whether somebody has asked this leader to step down."""
        return self._seat.asked

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is time to go: asked to step down, or no leader any more. False when time ran out first.

        timeout: seconds; None without a bound.
        """
        check_timeout(timeout)
        port = self._port
        deadline = None if timeout is None else port.now() + timeout
        while self.is_leader and not self.should_step_down:
            remaining = self.lease_remaining
            if deadline is not None:
                if port.now() >= deadline:
                    return False
                remaining = min(remaining, deadline - port.now())
            await self._over.wait(max(remaining, _INSTANT))
        return True

    def guard(self) -> CheckVersionRequest:
        """Return an operation for a transaction that lets it succeed only during this term.

        Raises LockLostError when this term is not led.
        """
        return self._seat.guard()

    async def check(self) -> None:
        """Make sure, with the leader of the ensemble, that this term goes on; one round trip.

        Raises LockLostError when it does not. Raises the client's errors when the server could not be asked.
        """
        await self._seat.check()


# Seconds. A wait is never so short that the clock cannot tell it from nothing.
_INSTANT = 1e-6


class _Seat(AsyncLock):
    """The lock that a term is one tenure of."""

    _WHAT: ClassVar[str] = "leadership"

    def __init__(self, term: AsyncTerm) -> None:
        election = term._election
        super().__init__(election._client, election.path, election.identifier, naming=election._naming)
        self.asked = False
        self._term = term

    def _hold(self, node: OwnNode) -> None:
        self.asked = False
        self._term._over.clear()
        # A request to step down changes the version, and must not spoil the guards that were made before.
        node = node._replace(version=-1)
        holding = self._holding = Holding(self._port, self.path, node, self._WHAT, on_read=self._read)
        self._keep(holding, self._tell)

    def _read(self, stat: Stat) -> None:
        """Called by the keeper with our node's Stat."""
        if stat.version != 0 and not self.asked:
            self.asked = True
            self._term._over.set()
            if self._term._on_step_down is not None:
                self._port.spawn(self._pass_on(self._term._on_step_down), f"step down {self.path}")

    async def _pass_on(self, on_step_down: Callable[[], object]) -> None:
        try:
            on_step_down()
        except Exception:
            log.exception("on_step_down of %s raised", self.path)

    def _tell(self) -> None:
        """Called by the keeper when the leadership is lost."""
        self._term._over.set()
        if self._term._on_lost is not None:
            self._term._on_lost()


class Election(Face[AsyncElection]):
    """An election among all who use one path (threads and gevent).

    client: whatever has a port, for example a Client.   path: the node under which contenders queue.
    identifier: who stands, for people and `contenders`.
    naming: "kazoo", "curator", "curator-latch", "go", "java", or a `Naming` of ones own.

    The blocking face of AsyncElection, whose docstring lists what holds.
    """

    def __init__(
        self, client: HasPort, path: str, identifier: str | None = None, *, naming: str | Naming = "kazoo"
    ) -> None:
        super().__init__(AsyncElection(client, path, identifier, naming=naming))

    def lead(
        self,
        timeout: float | None = None,
        *,
        on_lost: Callable[[], object] | None = None,
        on_step_down: Callable[[], object] | None = None,
    ) -> Term:
        """Return a term, which is led inside ``with``: entering waits for it, leaving ends it.

        timeout: seconds to wait for it, a total; None without a bound.
        on_lost: called once when the term ends without having been left, at the latest when the lease ends. Nobody
        else leads before it has returned.   on_step_down: called once when somebody asks the leader to step down.
        Both run in workers of their own. A term can be led again, by standing anew at the end of the queue.
        """
        return Term(self._body.lead(timeout, on_lost=on_lost, on_step_down=on_step_down))

    def run(self, func: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Wait to lead, call *func* with the arguments, then end.

        Returns without having called it when `cancel` ends the wait. What *func* raises comes out.
        Raises ValueError when *func* cannot be called; LockLostError when the leadership was lost while *func* ran.
        Else raises what Lock raises.
        """
        run_blocking(self._body.run(func, *args, **kwargs))

    cancel = direct(AsyncElection.cancel)
    contenders = blocking(AsyncElection.contenders)
    request_step_down = blocking(AsyncElection.request_step_down)
    path = attribute(AsyncElection, lambda election: election.path)
    identifier = attribute(AsyncElection, lambda election: election.identifier)


class Term(Face[AsyncTerm]):
    """One term of leading, as `Election.lead` gives it: ``with election.lead() as term``.

    Nobody can interrupt a thread, so its body asks: `is_leader`, `wait`, `check`, `guard`.
    """

    is_leader = attribute(AsyncTerm, lambda term: term.is_leader)
    token = attribute(AsyncTerm, lambda term: term.token)
    lease_remaining = attribute(AsyncTerm, lambda term: term.lease_remaining)
    should_step_down = attribute(AsyncTerm, lambda term: term.should_step_down)
    wait = blocking(AsyncTerm.wait)
    guard = direct(AsyncTerm.guard)
    check = blocking(AsyncTerm.check)

    def __enter__(self) -> Self:
        """Wait to lead. Raises what Lock.acquire raises."""
        run_blocking(self._body.__aenter__())
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the term; bounded, as Lock.release."""
        run_blocking(self._body.__aexit__(exc_type, exc, traceback))
