"""The search for faults of read and write locks: seeded schedules, with everything that can go wrong at any await."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from finding import finds, meets
from schedules import on_every_schedule, some
from sim_storm import Storm
from sim_world import FAULTS, PATH
from simulated import NO_FAULTS, Faults, faults_of

from zk_client import Operation, Port
from zk_recipes import AsyncReadWriteLock, AsyncWriteLock, LockLostError, LockTimeout, Naming, ReadWriteNaming, rwlock
from zk_recipes.naming import READ_WRITE_LOCKS
from zk_wire import ConnectionLostError, Outcome, ZooKeeperError


class Naive(AsyncReadWriteLock):
    """Becomes a reader by going to the end of the queue, after it has released."""

    async def downgrade(self) -> None:
        await self.write_lock.release()
        await self.read_lock.acquire()


def search(
    seed: int, kind: type[AsyncReadWriteLock] = AsyncReadWriteLock, *, faults: Faults = FAULTS, counter: int = 0
) -> list[str]:
    """Let three to five contenders read, write and go from one to the other, and check everything on the way.

    Returns what they did, in order.
    """
    storm = Storm(seed, 3 + seed % 3, faults=faults)
    sim, server = storm.sim, storm.server
    server.set_counter(PATH, counter)
    locks = [
        kind(client, PATH, client.name, on_lost=_ignore if sim.random() < 0.5 else None) for client in storm.clients
    ]
    tokens: list[int] = []
    done: list[str] = []

    def exclusive() -> None:
        writers = [lock for lock in locks if lock.write_lock.is_acquired]
        readers = [lock for lock in locks if lock.read_lock.is_acquired]
        assert len(writers) <= 1, f"{len(writers)} writers at once"
        assert not (writers and readers), f"{len(readers)} readers beside a writer"
        for lock in locks:
            assert not (lock.write_lock.is_acquired and lock.read_lock.is_acquired)

    sim.always(exclusive)

    async def read(lock: AsyncReadWriteLock) -> None:
        await lock.read_lock.acquire(timeout=_some_timeout())
        try:
            done.append("read")
            await sim.sleep(sim.between(0.0, 0.1 if sim.random() < 0.8 else 20.0))
        finally:
            await lock.read_lock.release()

    async def write(lock: AsyncReadWriteLock) -> None:
        await lock.write_lock.acquire(timeout=_some_timeout())
        try:
            token = lock.write_lock.token
            if token is not None and lock.write_lock.is_acquired:
                assert not tokens or token > max(tokens), "a writer's token is not greater than all before"
                tokens.append(token)
            done.append("write")
            await sim.sleep(sim.between(0.0, 0.1))
            if sim.random() < 0.6:
                await downgrade(lock, token)
        finally:
            await lock.read_lock.release()
            await lock.write_lock.release()

    async def downgrade(lock: AsyncReadWriteLock, token: int | None) -> None:
        written = len(tokens)
        try:
            await lock.downgrade()
        except LockLostError:
            done.append("lost")
            assert not lock.write_lock.is_acquired and not lock.read_lock.is_acquired
            return
        except ZooKeeperError:
            done.append("failed")
            assert not lock.read_lock.is_acquired
            return
        assert len(tokens) == written, "somebody wrote while a writer became a reader"
        assert lock.read_lock.is_acquired and not lock.write_lock.is_acquired
        assert lock.read_lock.token == token, "the token has changed"
        done.append("downgraded")
        await sim.sleep(sim.between(0.0, 0.1 if sim.random() < 0.8 else 20.0))

    def _some_timeout() -> float | None:
        return sim.between(0.5, 60.0) if sim.random() < 0.3 else None

    async def body(number: int) -> None:
        for _ in range(2):
            await sim.sleep(sim.between(0.0, 0.1))
            try:
                await (read if sim.random() < 0.5 else write)(locks[number])
            except LockTimeout:
                done.append("timeout")

    def intrude() -> None:
        # The youngest, if it is a writer that waits: what happens to a holder is a test of its own.
        queue = storm.ephemerals(PATH)
        if len(queue) > 1 and "__lock__" in queue[-1]:
            server.intrude(queue[-1])

    storm.run(body, intrude)
    return done


def _ignore() -> None:
    pass


@on_every_schedule
def test_never_a_writer_beside_anybody(seeds: range) -> None:
    for seed in seeds:
        search(seed)


@pytest.mark.parametrize("kind", ["lose request", "lose reply", "cut", "hang", "freeze"])
def test_a_downgrade_is_never_overtaken_whatever_goes_wrong(kind: str) -> None:
    seen: set[str] = set()
    for seed in some(50, least=20):
        seen.update(search(seed, faults=faults_of(rate=0.3, limit=12, kinds=(kind,))))
    assert {"downgraded", "read", "write"} <= seen


def test_order_of_readers_and_writers_holds_across_the_overflow() -> None:
    for seed in range(40):
        search(seed, faults=faults_of(rate=0.04, limit=3), counter=2**31 - 5)


def test_the_search_meets_downgrades_that_succeed_fail_and_find_the_lock_lost() -> None:
    meets(search, {"read", "write", "downgraded", "lost", "failed", "timeout"})


@pytest.mark.parametrize("faults", [FAULTS, NO_FAULTS])
def test_the_search_finds_a_naive_downgrade(faults: Faults) -> None:
    finds(lambda seed: search(seed, Naive, faults=faults), "somebody wrote")


def test_the_search_finds_a_downgrade_that_believes_in_what_it_did_not_hear(monkeypatch: pytest.MonkeyPatch) -> None:
    async def believe(port: Port, operations: Sequence[Operation], witness: str, session_id: int) -> None:
        try:
            await port.commit(operations)
        except ConnectionLostError as error:
            if error.outcome is not Outcome.UNKNOWN:
                raise

    monkeypatch.setattr(rwlock, "commit_witnessed", believe)
    finds(search, "waiting|left behind")


def test_the_search_finds_readers_that_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = READ_WRITE_LOCKS["kazoo"]
    blind = ReadWriteNaming(pair.read, Naming("__other__"))
    monkeypatch.setitem(READ_WRITE_LOCKS, "kazoo", blind)  # type: ignore[arg-type]
    monkeypatch.setattr(AsyncWriteLock, "__init__", _kazoo_writer(pair))
    finds(search, "beside a writer")


def _kazoo_writer(pair: ReadWriteNaming) -> Callable[..., None]:
    init = AsyncWriteLock.__init__

    def start(self: AsyncWriteLock, *args: Any, **options: Any) -> None:
        init(self, *args, **{**options, "naming": pair})

    return start
