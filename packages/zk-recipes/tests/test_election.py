"""Elections in virtual time: who leads, for how long, and how a leader hears that it should go."""

from __future__ import annotations

import logging

import pytest
from finding import finds, meets
from schedules import on_every_schedule
from sim_storm import Storm
from sim_world import FAULTS, PATH, TaskCancelled, World
from simulated import Faults

from zk_client import TransactionFailedError
from zk_recipes import AsyncElection, AsyncTerm, LockInUseError, LockLostError, LockTimeout
from zk_recipes.election import _Seat
from zk_wire import SetDataRequest, Stat, ZooKeeperError


def election(world: World, client: int = 0, **options: object) -> AsyncElection:
    return AsyncElection(world.clients[client], PATH, f"client-{client}", **options)  # type: ignore[arg-type]


def test_a_term_is_led_inside_its_block_and_can_be_led_again() -> None:
    world = World()

    async def body() -> None:
        term = election(world).lead()
        assert (term.is_leader, term.token, term.lease_remaining, term.should_step_down) == (False, None, 0.0, False)
        with pytest.raises(LockLostError, match='leadership "/locks/one" is not held'):
            term.guard()
        async with term as led:
            assert led is term and term.is_leader and term.lease_remaining > 0
            first = term.token
            with pytest.raises(LockInUseError):
                async with term:
                    pass
            assert term.is_leader
        assert not term.is_leader
        async with term:
            assert term.token is not None and first is not None and term.token > first

    world.run(body())


def test_contenders_lead_in_the_order_they_stood() -> None:
    world = World(clients=4)
    led: list[int] = []

    async def body(number: int) -> None:
        await world.sim.sleep(number)
        candidate = election(world, number)
        for _ in range(2):
            async with candidate.lead():
                led.append(number)
                if len(led) == 1:
                    await world.sim.sleep(10)
                    assert await candidate.contenders() == ["client-0", "client-1", "client-2", "client-3"]
                await world.sim.sleep(1)

    world.run(*(body(number) for number in range(4)))
    assert led == [0, 1, 2, 3, 0, 1, 2, 3]


def test_a_timeout_of_a_candidate_is_a_total_and_leaves_the_queue() -> None:
    world = World()

    async def body() -> None:
        async with election(world).lead():
            before = world.sim.now()
            with pytest.raises(LockTimeout):
                async with election(world, 1).lead(timeout=3.0):
                    pass
            assert world.sim.now() - before == pytest.approx(3.0, abs=0.02)
            await world.sim.sleep(0.1)
            assert len(world.queue()) == 1
        with pytest.raises(ValueError, match="timeout"):
            election(world).lead(timeout=-1)

    world.run(body())


# run


def test_run_calls_the_function_as_leader_with_its_arguments_and_ends_the_term() -> None:
    world = World()
    calls: list[object] = []

    async def work(*args: object, **kwargs: object) -> None:
        await world.sim.sleep(1)
        calls.append((args, kwargs, len(world.queue())))

    async def body() -> None:
        mine = election(world)
        await mine.run(calls.append, "plain")
        await mine.run(work, 1, two=2)
        assert calls == ["plain", ((1,), {"two": 2}, 1)]
        assert world.queue() == []
        with pytest.raises(ValueError, match="func must be callable, not str"):
            await mine.run("work")  # type: ignore[arg-type]

    world.run(body())


def test_what_the_function_raises_comes_out_of_run() -> None:
    world = World()

    def fail() -> None:
        raise KeyError

    async def body() -> None:
        with pytest.raises(KeyError):
            await election(world).run(fail)
        assert world.queue() == []

    world.run(body())


def test_a_cancelled_run_returns_without_having_led() -> None:
    world = World()
    calls: list[int] = []

    async def body() -> None:
        mine = election(world, 1)
        mine.cancel()  # nobody waits: nothing happens, now or later
        async with election(world).lead() as term:
            tasks = [world.sim.spawn(mine.run(calls.append, number), f"run {number}") for number in range(2)]
            await world.sim.sleep(1)
            mine.cancel()
            for task in tasks:
                await task.join()
            assert calls == [] and term.is_leader
        await mine.run(calls.append, 3)
        assert calls == [3]

    world.run(body())


def test_cancelling_an_election_does_not_touch_its_leader() -> None:
    world = World()

    async def body() -> None:
        mine = election(world)
        async with mine.lead() as term:
            mine.cancel()
            await world.sim.sleep(1)
            assert term.is_leader

    world.run(body())


def test_a_run_whose_leadership_was_lost_says_so() -> None:
    world = World()

    async def work() -> None:
        world.clients[0].cut(30)
        await world.sim.sleep(100)

    def intruded() -> None:
        world.server.intrude(world.queue()[0])

    async def busy() -> None:
        intruded()
        await world.sim.sleep(0)
        await world.sim.sleep(1)

    async def body() -> None:
        with pytest.raises(LockLostError, match="the block was cancelled"):
            await election(world).run(work)
        assert world.sim.now() < 10.0
        with pytest.raises(LockLostError, match="leadership"):
            await election(world, 1).run(busy)

    world.run(body())


# Trouble


@pytest.mark.parametrize("seed", range(5))
def test_a_leader_in_trouble_is_told_before_the_next_term(seed: int) -> None:
    world = World(seed)
    told: list[float] = []

    async def lead() -> None:
        # As under threads, where nobody is interrupted: the work goes on, and has to ask.
        seat = election(world).lead(on_lost=lambda: told.append(world.sim.now()))._seat
        await seat.acquire()
        await world.sim.sleep(1)
        deadline = world.sim.now() + seat.lease_remaining
        world.clients[0].cut(9.5)
        await world.sim.sleep(100)
        assert len(told) == 1 and told[0] <= deadline + 1e-3
        assert not seat.is_acquired and await seat.release() is False

    async def follow() -> None:
        await world.sim.sleep(0.5)
        async with election(world, 1).lead():
            assert len(told) == 1

    world.run(lead(), follow())


def test_a_leaders_block_is_cancelled_before_the_next_term() -> None:
    world = World()
    order: list[str] = []

    async def lead() -> None:
        try:
            async with election(world).lead():
                world.clients[0].cut(30)
                try:
                    await world.sim.sleep(100)
                finally:
                    order.append("cancelled")
        except LockLostError:
            order.append("left")

    async def follow() -> None:
        await world.sim.sleep(0.5)
        async with election(world, 1).lead():
            order.append("next")

    world.run(lead(), follow())
    assert order == ["cancelled", "left", "next"]


def test_wait_returns_when_the_leadership_is_lost_and_by_its_timeout() -> None:
    world = World()

    async def body() -> None:
        term = election(world).lead()
        assert await term.wait() is True  # it does not lead
        await term._seat.acquire()  # without a block, which would be cancelled when it is lost
        before = world.sim.now()
        assert await term.wait(timeout=2.0) is False
        assert world.sim.now() - before == pytest.approx(2.0, abs=0.01)
        world.server.intrude(world.queue()[0])
        assert await term.wait(timeout=5.0) is True
        assert world.sim.now() - before < 2.1
        assert not term.is_leader and not term.should_step_down

    world.run(body())


def test_a_leaders_block_is_cancelled_when_a_stranger_deletes_its_node() -> None:
    world = World()

    async def lead() -> None:
        async with election(world).lead():
            world.server.intrude(world.queue()[0])
            await world.sim.sleep(100)

    async def body() -> None:
        with pytest.raises(LockLostError, match="the block was cancelled"):
            await lead()
        assert world.sim.now() < 1.0

    world.run(body())


# Stepping down


def test_a_leader_hears_that_it_should_step_down_and_may_go_on() -> None:
    world = World()
    told: list[str] = []

    async def body() -> None:
        other = election(world, 1)
        assert await other.request_step_down() is False
        async with election(world).lead(on_step_down=lambda: told.append("asked")) as term:
            assert not term.should_step_down
            waiting = world.sim.spawn(term.wait(), "wait")
            await world.sim.sleep(1)
            assert await other.request_step_down() is True
            assert await waiting.join() is True
            assert term.should_step_down and term.is_leader
            assert await other.request_step_down() is True
            await world.sim.sleep(1)
            assert told == ["asked"]
            assert await other.contenders() == ["client-0"]
            await term.check()
        assert await other.request_step_down() is False

    world.run(body())


def test_a_request_to_step_down_is_for_one_term() -> None:
    world = World(clients=3)

    async def body() -> None:
        asker = election(world, 2)
        term = election(world).lead()
        async with term:
            old = term.token
            assert await asker.request_step_down(token=old) is True
            await world.sim.sleep(1)
            assert term.should_step_down
        async with term:
            await world.sim.sleep(1)
            assert not term.should_step_down
            assert await asker.request_step_down(token=old) is False
            await world.sim.sleep(1)
            assert not term.should_step_down
            assert await asker.request_step_down(token=term.token) is True
            await world.sim.sleep(1)
            assert term.should_step_down

    world.run(body())


@pytest.mark.parametrize("seed", range(5))
def test_only_the_leader_of_many_candidates_is_asked_to_step_down(seed: int) -> None:
    world = World(seed, 4)
    led: list[bool] = []

    async def stand(number: int) -> None:
        async with election(world, number).lead() as term:
            await world.sim.sleep(1)
            led.append(term.should_step_down)

    async def body() -> None:
        async with election(world).lead() as term:
            for number in (1, 2):
                world.sim.spawn(stand(number), f"candidate {number}")
            await world.sim.sleep(1)
            assert await election(world, 3).request_step_down(term.token) is True
            await world.sim.sleep(1)
            assert term.should_step_down

    world.run(body())
    assert led == [False, False]


def test_a_guard_outlives_a_request_to_step_down() -> None:
    world = World()

    async def body() -> None:
        port = world.clients[0].port
        await port.create("/data")
        async with election(world).lead() as term:
            guard = term.guard()
            await election(world, 1).request_step_down()
            await world.sim.sleep(1)
            assert term.should_step_down
            await port.commit([guard, SetDataRequest("/data", b"last words", -1)])
        with pytest.raises(TransactionFailedError):
            await port.commit([guard, SetDataRequest("/data", b"too late", -1)])

    world.run(body())


def test_an_exception_in_on_step_down_is_logged_and_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    world = World()

    def broken() -> None:
        raise KeyError("mine")

    async def body() -> None:
        async with election(world).lead(on_step_down=broken) as term:
            await election(world, 1).request_step_down()
            await world.sim.sleep(1)
            assert term.should_step_down and term.is_leader

    with caplog.at_level(logging.ERROR):
        world.run(body())
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [KeyError]


@pytest.mark.parametrize("seed", range(40))
def test_a_candidate_cancelled_at_any_await_leaves_nothing(seed: int) -> None:
    world = World(seed)

    async def work() -> None:
        async with election(world, 1).lead(on_lost=lambda: None, on_step_down=lambda: None):
            await world.sim.sleep(1)

    async def body() -> None:
        task = world.sim.spawn(work(), "victim", home=world.clients[1])
        await world.sim.sleep(world.sim.between(0.0, 0.15))
        task.cancel()
        with pytest.raises(TaskCancelled):
            await task.join()
        async with election(world).lead(timeout=5):
            pass

    world.run(body())


@pytest.mark.parametrize(
    ("naming", "mark"), [("kazoo", "__lock__"), ("curator", "-lock-"), ("curator-latch", "-latch-"), ("go", "-lock-")]
)
def test_a_candidate_is_named_as_its_naming_says(naming: str, mark: str) -> None:
    world = World()

    async def body() -> None:
        async with election(world, naming=naming).lead():
            assert mark in world.queue()[0]
            assert await election(world, 1, naming=naming).request_step_down()

    world.run(body())


# The search


class BelievesUntilTheEnd(_Seat):
    """Naive: leads until it is told to stop, as one does who looks at a flag that nobody clears."""

    @property
    def is_acquired(self) -> bool:
        return self._holding is not None and not self._holding.ended


class AsksTheOffice(AsyncElection):
    """Naive: asks whoever leads, by a mark that the next leader finds as well."""

    marked = False

    async def request_step_down(self, token: int | None = None) -> bool:
        asked = await super().request_step_down(token)
        type(self).marked = asked
        return asked


class ReadsTheMark(_Seat):
    """The seat that goes with it."""

    def _read(self, stat: Stat) -> None:
        super()._read(stat._replace(version=1) if AsksTheOffice.marked else stat)


def search(
    seed: int,
    kind: type[AsyncElection] = AsyncElection,
    seat: type[_Seat] = _Seat,
    *,
    faults: Faults = FAULTS,
) -> set[str]:
    """Let three or four candidates lead in turn, step down when they are asked to, and check everything on the way."""
    storm = Storm(seed, 3 + seed % 2, faults=faults)
    sim, server = storm.sim, storm.server
    elections = [kind(client, PATH, client.name) for client in storm.clients]
    terms: list[AsyncTerm] = []
    tokens: list[int] = []
    asked: set[int] = set()
    seen: set[str] = set()
    server.on_set(lambda stat: asked.add(stat.czxid))

    def alone() -> None:
        leaders = [term for term in terms if term.is_leader]
        assert len(leaders) <= 1, f"{len(leaders)} leaders at once"

    sim.always(alone)

    async def body(number: int) -> None:
        mine = elections[number]
        for _ in range(2):
            await sim.sleep(sim.between(0.0, 0.1))
            lost = (lambda: seen.add("told")) if sim.random() < 0.5 else None
            term = mine.lead(sim.between(0.5, 60.0) if sim.random() < 0.3 else None, on_lost=lost)
            term._seat.__class__ = seat
            terms.append(term)
            try:
                async with term:
                    await work(term)
                    if sim.random() < 0.5:
                        try:
                            if await sim.choose(elections).request_step_down():
                                seen.add("asked")
                        except ZooKeeperError:
                            pass
                    await work(term)
            except LockTimeout:
                seen.add("timeout")
            except LockLostError:
                seen.add("lost")

    async def work(term: AsyncTerm) -> None:
        token = term.token
        if term.is_leader and token is not None and token not in tokens:
            assert not tokens or token > max(tokens), "a term's token is not greater than all before"
            tokens.append(token)
        if await term.wait(sim.between(0.0, 0.1 if sim.random() < 0.8 else 20.0)):
            seen.add("went")
        if term.should_step_down and token is not None:
            seen.add("heard")
            assert token in asked, "a leader hears a request that was for another"

    def intrude() -> None:
        if len(queue := storm.ephemerals(PATH)) > 1:
            server.intrude(queue[-1])

    storm.run(body, intrude)
    assert all(not one._waiting for one in elections)
    return seen


@on_every_schedule
def test_never_two_leaders_whatever_goes_wrong(seeds: range) -> None:
    for seed in seeds:
        search(seed)


def test_the_search_of_an_election_meets_everything_it_is_for() -> None:
    meets(search, {"asked", "heard", "went", "lost", "timeout"})


@pytest.mark.parametrize(
    ("kind", "seat", "symptom"),
    [
        (AsyncElection, BelievesUntilTheEnd, "leaders at once"),
        (AsksTheOffice, ReadsTheMark, "a request that was for another"),
    ],
)
def test_the_search_finds_a_naive_election(kind: type[AsyncElection], seat: type[_Seat], symptom: str) -> None:
    def run(seed: int) -> None:
        AsksTheOffice.marked = False
        search(seed, kind, seat)

    finds(run, symptom)
