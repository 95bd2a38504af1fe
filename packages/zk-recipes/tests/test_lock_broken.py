"""Broken locks, which show that the search of test_lock_search.py finds what it is there for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import pytest
from finding import finds
from sim_world import FAULTS, chaos
from simulated import SimulationFailedError, faults_of

from zk_client import SessionState
from zk_recipes import AsyncLock, _queue
from zk_recipes._holding import Holding
from zk_recipes._queue import Attempt, Place, Queue
from zk_recipes._sequence import Contender, before
from zk_wire import NoNodeError


class LooksFirst(Queue):
    """Looks at the predecessor first and asks to be told afterwards."""

    async def _wait_for_turn(self, attempt: Attempt, place: Place, blocking: bool) -> bool | None:
        port = attempt.port
        while True:
            queue = self._naming.contenders(await port.get_children(self.path))
            if place.contender not in queue or port.session_id != place.node.session_id:
                return None
            ahead, _ = before(place.contender, queue)
            if ahead is None:
                return True
            watch = port.watcher(attempt.wake)
            if await port.exists(f"{self.path}/{ahead.name}"):
                try:
                    await port.exists(f"{self.path}/{ahead.name}", watch)
                    while watch.event is None and port.session_id == place.node.session_id:
                        await attempt.sleep()
                finally:
                    await port.shielded(watch.close())


class ForgetsCleanUp(Queue):
    """Leaves the node of a failed acquire to the session's end."""

    def abandon(self, guid: str, session_id: int | None) -> None:
        pass


class ForgetsItsWatch(Queue):
    """Never takes a watch back."""

    async def _wait_for_turn(self, attempt: Attempt, place: Place, blocking: bool) -> bool | None:
        port = attempt.port
        while True:
            queue = self._naming.contenders(await port.get_children(self.path))
            if place.contender not in queue or port.session_id != place.node.session_id:
                return None
            ahead, _ = before(place.contender, queue)
            if ahead is None:
                return True
            watch = port.watcher(attempt.wake)
            with contextlib.suppress(NoNodeError):
                await port.get(f"{self.path}/{ahead.name}", watch)
                while watch.event is None and port.session_id == place.node.session_id:
                    await attempt.sleep()


class IgnoresTheSession(Queue):
    """Holds on to its place in the queue when the session that owned it is gone."""

    async def _wait_for_turn(self, attempt: Attempt, place: Place, blocking: bool) -> bool | None:
        port = attempt.port
        while ahead := before(place.contender, self._naming.contenders(await port.get_children(self.path)))[0]:
            watch = port.watcher(attempt.wake)
            try:
                await port.get(f"{self.path}/{ahead.name}", watch)
                while watch.event is None:
                    await attempt.sleep()
            except NoNodeError:
                pass
            finally:
                await port.shielded(watch.close())
        return True


def with_queue(queue: type[Queue]) -> type[AsyncLock]:
    """A lock over a broken queue."""

    class Broken(AsyncLock):
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **options)  # type: ignore[arg-type]
            self._queue.__class__ = queue

    return Broken


def with_holding(holding: type[Holding]) -> type[AsyncLock]:
    """A lock whose holder is wrong about what it holds."""

    class Broken(AsyncLock):
        def _hold(self, place: Place) -> None:
            super()._hold(place)
            self._holding.__class__ = holding

    return Broken


class IgnoresExpiry(Holding):
    """Believes it holds until it releases."""

    __slots__ = ()

    def _is_ours(self) -> bool:
        return not self.lost


class IgnoresTheLease(Holding):
    """Believes it holds until it is told that the session expired."""

    __slots__ = ()

    def _is_ours(self) -> bool:
        return self._port.session_id == self.node.session_id and self._port.state is not SessionState.EXPIRED


def failures(lock_type: type[AsyncLock], schedules: int = 150, **options: object) -> list[str]:
    found = []
    for seed in range(schedules):
        try:
            chaos(seed, lock_type, **{"faults": FAULTS, **options})  # type: ignore[arg-type]
        except SimulationFailedError as failure:
            found.append(failure.reason)
    return found


@pytest.mark.parametrize(
    ("lock_type", "symptom"),
    [
        (with_queue(LooksFirst), "waiting"),
        (with_queue(ForgetsCleanUp), "left behind|waiting"),
        (with_queue(ForgetsItsWatch), "still watches"),
        (with_queue(IgnoresTheSession), "token|holders at once|waiting|left behind"),
        (with_holding(IgnoresExpiry), "holders at once"),
        (with_holding(IgnoresTheLease), "holders at once"),
    ],
)
def test_the_search_finds_a_broken_lock(lock_type: type[AsyncLock], symptom: str) -> None:
    finds(lambda seed: chaos(seed, lock_type, faults=FAULTS), symptom)


def test_the_search_finds_a_lock_that_orders_numbers_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def as_text(mine: Contender, others: Iterable[Contender]) -> tuple[Contender | None, list[Contender]]:
        ahead = [other for other in others if other.name[-10:] < mine.name[-10:]]
        return max(ahead, key=lambda other: other.name[-10:], default=None), []

    assert failures(AsyncLock, 20, counter=2**31 - 5, faults=faults_of(0.0, 0)) == []
    monkeypatch.setattr(_queue, "before", as_text)
    assert failures(AsyncLock, 20, faults=faults_of(0.0, 0)) == []
    found = failures(AsyncLock, 20, counter=2**31 - 5, faults=faults_of(0.0, 0))
    assert any("holders at once" in reason or "token" in reason for reason in found), found[:3]
