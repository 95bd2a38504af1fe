"""WorkQueue in virtual time: every job has its effect once, whoever crashes at whatever step."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Coroutine, Sequence

import pytest
from data_world import IN_PEACE, CancelledByTestError, DataWorld, lose_next_commit
from finding import finds
from schedules import on_every_schedule
from sim_world import Client
from simulated import Faults, faults_of

from zk_client import TransactionFailedError
from zk_recipes import (
    AsyncJob,
    AsyncWorkQueue,
    JobFailedError,
    LockLostError,
    QueueFullError,
    RecipeTimeoutError,
    UndecidedError,
)
from zk_recipes._claims import Claims
from zk_wire import CreateMode, CreateRequest, NoNodeError

PATH = "/work"
FAULTS = faults_of(rate=0.1, limit=4)


class AppliesFirst(AsyncWorkQueue):
    """Applies the effects, and then deletes the job."""

    async def _complete(self, claim, result, effects, timeout):  # type: ignore[no-untyped-def]
        await self._port.commit(effects)
        return await super()._complete(claim, result, (), timeout)


class Unguarded(Claims):
    """Completes a job whoever has claimed it meanwhile."""

    def _unclaim(self, name: str, guid: str) -> list[object]:  # type: ignore[override]
        return super()._unclaim(name, guid)[1:]  # type: ignore[return-value]

    async def consume(self, patience, claim, effects=()):  # type: ignore[no-untyped-def]
        port = patience.port
        try:
            await port.commit([*effects])
            for operation in self._unclaim(claim.name, claim.node.guid):
                await port.delete(operation.path)  # type: ignore[attr-defined]
            await port.delete(f"{self.entries}/{claim.name}")
        except NoNodeError:
            return False
        return True


def effect(job: AsyncJob) -> CreateRequest:
    """A node more for each time that the job takes effect."""
    return CreateRequest(f"/effects/{job.id}-", job.data, (), CreateMode.PERSISTENT_SEQUENTIAL)


def search(
    seed: int, queue_type: type[AsyncWorkQueue] = AsyncWorkQueue, claims: type[Claims] = Claims, faults: Faults = FAULTS
) -> None:
    """Let one client put jobs and two do them, crash at any step, and count effects and results."""
    world = DataWorld(seed, 3, faults=faults)
    sim, server = world.sim, world.server
    server.ensure_path("/effects")
    queues = [queue_type(client, PATH) for client in world.clients]
    for queue in queues:
        queue._claims.__class__ = claims
    allowed: dict[str, set[int]] = {}
    completed: list[str] = []
    producing = True
    in_vain = world.keep_nobody_waiting(f"{PATH}/entries", f"{PATH}/taken")

    async def put(client: Client) -> None:
        nonlocal producing
        for turn in range(3):
            try:
                allowed[await world.do(client, queues[0].put(str(turn).encode()))] = {1}
            except (CancelledByTestError, UndecidedError):
                pass
            await sim.sleep(sim.between(0.0, 0.1))
        producing = False

    async def work(client: Client, queue: AsyncWorkQueue) -> None:
        idle = 0
        while idle < 1:
            try:
                patience = sim.between(0.1, 30.0)
                job = await world.do(client, queue.claim(timeout=patience))
                if job is None:
                    if patience > IN_PEACE + 1.0:
                        in_vain(client.name)
                    idle += not producing
                    continue
                await sim.sleep(sim.between(0.0, 0.05 if sim.random() < 0.8 else 20.0))
                if sim.random() < 0.1:
                    await world.do(client, job.release())
                elif await world.do(client, job.complete(b"by " + client.name.encode(), [effect(job)])):
                    completed.append(job.id)
            except (CancelledByTestError, UndecidedError):
                continue

    async def crash() -> None:
        """Have a worker gone for longer than its session lives."""
        await sim.sleep(sim.between(0.0, 0.5))
        sim.choose(world.clients).cut(30.0)

    world.finish(
        put(world.clients[0]),
        *(work(client, queue) for client, queue in zip(world.clients[1:], queues[1:], strict=True)),
        world.trouble(4 if faults.limit else 0),
        *([crash()] if faults.limit else []),
    )
    paths = server.paths()
    effects = Tally(path.rpartition("/")[2][:32] for path in paths if path.startswith("/effects/"))
    results = {path.rpartition("/")[2] for path in paths if path.startswith(f"{PATH}/results/")}
    waiting = {path.rpartition("/")[2][:32] for path in paths if path.startswith(f"{PATH}/entries/")}
    for job_id in {*allowed, *effects, *results}:
        times = effects[job_id]
        if times + (job_id in waiting) != 1 or (job_id in results) != (times == 1):
            sim.refute(
                f"job {job_id} took effect {times} times; result: {job_id in results}; left: {job_id in waiting}"
            )
    if len(set(completed)) != len(completed) or not set(completed) <= results:
        sim.refute(f"completed: {completed}, but results: {results}")
    left = [path for path in paths if any(f"{PATH}/{kind}/" in path for kind in ("taken", "claims", "waiting"))]
    if left:
        sim.refute(f"left behind: {left}")


@on_every_schedule
def test_every_job_has_its_effect_once_whatever_goes_wrong(seeds: range) -> None:
    for seed in seeds:
        search(seed)


@pytest.mark.parametrize(("queue_type", "claims"), [(AppliesFirst, Claims), (AsyncWorkQueue, Unguarded)])
def test_the_search_finds_a_naive_work_queue(queue_type: type[AsyncWorkQueue], claims: type[Claims]) -> None:
    finds(lambda seed: search(seed, queue_type, claims))


# One step at a time


def alone(body: Callable[[AsyncWorkQueue, DataWorld], Coroutine[object, None, None]], **options: object) -> DataWorld:
    world = DataWorld(0, 2)
    world.finish(body(AsyncWorkQueue(world.clients[0], PATH, **options), world))  # type: ignore[arg-type]
    return world


async def claimed(queue: AsyncWorkQueue, timeout: float = 1.0) -> AsyncJob:
    job = await queue.claim(timeout)
    assert job is not None
    return job


def test_a_job_is_put_claimed_completed_and_its_result_is_read() -> None:
    async def body(queue: AsyncWorkQueue, world: DataWorld) -> None:
        later, soon = await queue.put(b"later"), await queue.put(b"soon", priority=1)
        waiting = world.sim.spawn(queue.result(soon), "waits")
        job = await claimed(queue)
        assert (job.id, job.data, job.tries, job.is_held) == (soon, b"soon", 1, True)
        assert await queue.depth() == 2
        assert await job.complete(b"done\nwell") is True
        assert await waiting.join() == b"done\nwell" and await queue.depth() == 1
        assert not job.is_held and await job.complete() is False and await job.release() is False
        assert await queue.forget(soon) is True and await queue.forget(soon) is False
        assert (await claimed(queue)).id == later

    alone(body)


def test_a_refused_effect_leaves_the_job_held() -> None:
    async def body(queue: AsyncWorkQueue, world: DataWorld) -> None:
        await queue.put(b"x")
        job = await claimed(queue)
        fine = CreateRequest("/fine", b"", (), CreateMode.PERSISTENT)
        wrong = CreateRequest("/missing/x", b"", (), CreateMode.PERSISTENT)
        with pytest.raises(TransactionFailedError) as refused:
            await job.complete(b"", [fine, wrong])
        assert refused.value.index == 1 and len(refused.value.results) >= 2
        assert job.is_held and "/fine" not in world.server.paths()
        assert await job.complete(b"", [fine]) is True
        assert "/fine" in world.server.paths()

    alone(body)


def test_a_worker_that_lost_its_claim_completes_nothing() -> None:
    async def body(queue: AsyncWorkQueue, world: DataWorld) -> None:
        other = AsyncWorkQueue(world.clients[1], PATH)
        job_id = await queue.put(b"x")
        job = await claimed(queue)
        world.clients[0].cut(30.0)
        again = await claimed(other, 60.0)
        assert again.id == job_id and again.tries == 2 and again.token > job.token
        assert not job.is_held
        with pytest.raises(LockLostError):
            job.guard()
        assert await job.complete(b"old") is False
        assert await again.complete(b"new") is True
        assert await other.result(job_id) == b"new"

    alone(body)


def test_the_block_of_a_job_is_cancelled_before_its_lease_ends() -> None:
    world = DataWorld()
    left: list[float] = []

    async def work(queue: AsyncWorkQueue) -> None:
        job = await queue.claim()
        assert job is not None
        async with job:
            try:
                await world.sim.sleep(3600.0)
            finally:
                left.append(job.lease_remaining)

    async def body() -> None:
        mine, other = (AsyncWorkQueue(client, PATH) for client in world.clients)
        await mine.put(b"1")
        working = world.sim.spawn(expect_loss(work(mine)), "worker", home=world.clients[0])
        await world.sim.sleep(1.0)
        world.clients[0].cut(60.0)
        job = await other.claim()
        assert left and left[0] > 0, "somebody else has the job before the block has ended"
        assert job is not None and await job.complete()
        await working.join()

    world.finish(body())


async def expect_loss(body: Coroutine[object, None, None]) -> None:
    with pytest.raises(LockLostError):
        await body


def test_a_worker_is_told_that_its_job_is_lost_before_another_has_it() -> None:
    world = DataWorld()
    told: list[float] = []

    async def body() -> None:
        mine, other = (AsyncWorkQueue(client, PATH) for client in world.clients)
        await mine.put(b"1")
        lost = await mine.claim(on_lost=lambda: told.append(world.sim.now()))
        assert lost is not None
        await world.sim.sleep(1.0)
        world.clients[0].cut(60.0)
        job = await other.claim()
        assert len(told) == 1 and not lost.is_held
        assert job is not None and await job.complete() and not await lost.complete()
        await mine.put(b"2")
        job = await other.claim(on_lost=lambda: told.append(0.0))
        assert job is not None and await job.complete()
        await world.sim.sleep(100.0)
        assert len(told) == 1, "told of the loss of a job that was completed"

    world.finish(body())


def test_a_job_that_is_lost_in_a_session_that_lives_is_free_again() -> None:
    kept = 0

    async def body(world: DataWorld) -> None:
        nonlocal kept
        mine, other = (AsyncWorkQueue(client, PATH) for client in world.clients)
        client, told = world.clients[0], world.sim.event()
        await mine.put(b"1")
        session = client.session_id
        assert await mine.claim(on_lost=told.set) is not None
        client.cut(9.05)  # the lease is over then, and the servers keep the session for a moment yet
        await told.wait()
        job = await other.claim(60.0)
        assert job is not None and await job.complete()
        kept += client.session_id == session

    for seed in range(20):
        world = DataWorld(seed)
        world.finish(body(world))
    assert kept


def test_a_job_whose_completion_is_undecided_is_free_again() -> None:
    async def body(queue: AsyncWorkQueue, world: DataWorld) -> None:
        client = world.clients[0]
        session = client.session_id
        await queue.put(b"1")
        job = await claimed(queue)
        lose_next_commit(world, client)  # on its way: the job is not done
        with pytest.raises(UndecidedError):
            await job.complete()
        assert not job.is_held
        again = await claimed(AsyncWorkQueue(world.clients[1], PATH), 5.0)
        assert again.id == job.id and client.session_id == session
        assert await again.complete() is True

    alone(body, results=False)


def test_a_job_whose_block_ends_without_completing_it_is_free_again() -> None:
    world = DataWorld()

    async def fail(job: AsyncJob) -> None:
        async with job:
            raise KeyError

    async def body() -> None:
        mine, other = (AsyncWorkQueue(client, PATH) for client in world.clients)
        await mine.put(b"1")
        first = await mine.claim()
        assert first is not None
        with pytest.raises(KeyError):
            await fail(first)
        assert not first.is_held
        with pytest.raises(LockLostError):
            await fail(first)
        second = await other.claim(timeout=1.0)
        assert second is not None and second.tries == 2
        async with second:
            assert await second.complete(b"done")
        assert await other.result(second.id) == b"done" and await mine.depth() == 0

    world.finish(body())


def test_a_job_that_fails_too_often_is_put_aside() -> None:
    async def body(queue: AsyncWorkQueue, world: DataWorld) -> None:
        bad = await queue.put(b"bad", priority=1)
        good = await queue.put(b"good")
        for tries in (1, 2):
            job = await claimed(queue)
            assert (job.id, job.tries) == (bad, tries)
            assert await job.release() is True
        job = await claimed(queue)
        assert job.id == good
        assert await queue.dead_letters() == [bad]
        with pytest.raises(JobFailedError, match="too often") as failed:
            await queue.result(bad, timeout=5.0)
        assert failed.value.job_id == bad
        assert await queue.revive(bad) is True and await queue.revive(bad) is False
        assert await queue.dead_letters() == []
        again = await claimed(queue)
        assert (again.id, again.data, again.tries) == (bad, b"bad", 1)
        assert await again.complete() and await job.complete()

    alone(body, max_tries=2)


def test_times_are_totals_and_leave_nothing() -> None:
    async def body(queue: AsyncWorkQueue, world: DataWorld) -> None:
        before = world.sim.now()
        assert await queue.claim(timeout=2.0) is None
        assert world.sim.now() - before == pytest.approx(2.0, abs=0.1)
        before = world.sim.now()
        with pytest.raises(RecipeTimeoutError):
            await queue.result("ab" * 16, timeout=2.0)
        assert world.sim.now() - before == pytest.approx(2.0, abs=0.1)
        world.clients[0].cut(5.0)
        for asking in (queue.depth(timeout=1.0), queue.put(b"x", timeout=1.0), queue.dead_letters(timeout=1.0)):
            with pytest.raises(RecipeTimeoutError):
                await asking
        await world.sim.sleep(10)
        assert await queue.depth() == 0

    alone(body)


def test_a_full_queue_takes_no_more() -> None:
    async def body(queue: AsyncWorkQueue, world: DataWorld) -> None:
        for _ in range(3):
            await queue.put(b"x")
        with pytest.raises(QueueFullError, match="holds 3 entries, and may hold 3") as full:
            await queue.put(b"x")
        assert full.value.depth == 3
        assert await (await claimed(queue)).complete()
        await queue.put(b"x")

    alone(body, max_depth=3)


def test_a_queue_without_results_writes_none() -> None:
    async def body(queue: AsyncWorkQueue, world: DataWorld) -> None:
        await queue.put(b"x")
        assert await (await claimed(queue)).complete(b"unread")
        assert not any("/results" in path for path in world.server.paths())

    alone(body, results=False)


def test_a_result_is_told_from_anothers_after_the_session_ended() -> None:
    # The reply is lost, and the session with it: what the result says decides.
    decided: set[bool | None] = set()
    for seed in range(60):
        world = DataWorld(seed, 2, timeout=4.0)

        async def body(world: DataWorld = world) -> None:
            queue, other = (AsyncWorkQueue(client, PATH) for client in world.clients)
            job_id = await queue.put(b"x")
            job = await claimed(queue)
            world.sim.call_at(world.sim.now() + world.sim.between(0.0, 0.08), lambda: world.clients[0].cut(20.0))
            answer: bool | None
            try:
                answer = await job.complete(b"first")
            except UndecidedError:
                answer = None
            rival = await other.claim(1.0)
            if rival is not None:
                assert answer is False
                assert await rival.complete(b"second")
            assert await other.result(job_id, 5.0) == (b"second" if rival else b"first")
            assert answer is (rival is None)
            decided.add(answer)

        world.finish(body())
    assert decided == {True, False}


@pytest.mark.parametrize("wrong", ["", "xyz", "ab" * 15, "../" + "a" * 29, None])
def test_what_is_no_id_is_refused(wrong: str) -> None:
    async def body(queue: AsyncWorkQueue, world: DataWorld) -> None:
        for asking in (queue.result(wrong), queue.forget(wrong), queue.revive(wrong)):
            with pytest.raises(ValueError, match="32 hex digits"):
                await asking

    alone(body)


@pytest.mark.parametrize("options", [{"max_tries": 0}, {"max_tries": 1.5}, {"max_depth": True}, {"max_depth": -1}])
def test_limits_that_mean_nothing_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        AsyncWorkQueue(DataWorld(0, 1).clients[0], PATH, **options)  # type: ignore[arg-type]


def test_both_faces_of_a_job_say_the_same() -> None:
    from zk_recipes import Job

    names: Sequence[str] = ("complete", "release", "guard", "is_held", "token", "lease_remaining")
    for name in names:
        assert getattr(Job, name).__doc__ == getattr(AsyncJob, name).__doc__ != None  # noqa: E711
