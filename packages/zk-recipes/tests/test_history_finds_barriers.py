"""The history checker finds the faults of well-known clients: those of barriers.

Each test plays one scene twice: with a recipe that is wrong on purpose, whose history the checker must refuse, and with
ours, whose history it must accept. The numbers are those under which the faults were found: K of kazoo, A of aiozk, C
of Curator.
"""

from __future__ import annotations

import wrong_recipes as wrong
from recorded import Make, Recorded, refused

from zk_recipes import AsyncBarrier, AsyncDoubleBarrier
from zk_testing.history import History, barrier, double_barrier

PATH = "/recipe"


def a_waiter_at_a_barrier_reconnects(make: Make) -> History:
    """One waits at a barrier across a reconnect; then it is removed."""
    world = Recorded()
    sim = world.sim
    keeper, other = world.clients

    async def keep() -> None:
        mine = AsyncBarrier(keeper, PATH)
        with world.begin(keeper, "raise", PATH):
            await mine.create()
        await sim.sleep(10.0)
        with world.begin(keeper, "remove", PATH):
            await mine.remove()

    async def wait() -> None:
        await sim.sleep(1.0)
        what = world.begin(other, "pass", PATH)
        if await world.do(other, "waits", make(other).wait(), what):
            what.ok()

    async def cut() -> None:
        await sim.sleep(3.0)
        other.cut(1.0)

    return world.play(keep(), wait(), cut())


def test_k6_a_waiter_at_a_barrier_that_loses_its_watch_at_a_reconnect() -> None:
    history = a_waiter_at_a_barrier_reconnects(lambda client: wrong.Barrier(client, PATH))
    refused(barrier(history), "client-1 waits for ever at a barrier that was removed")
    barrier(a_waiter_at_a_barrier_reconnects(lambda client: AsyncBarrier(client, PATH))).assert_holds()


def wrong_double(kind: type[wrong.DoubleBarrier], needed: int) -> Make:
    return lambda client: kind(client, PATH, needed, client.name)


def double(needed: int) -> Make:
    return lambda client: AsyncDoubleBarrier(client, PATH, needed, client.name)


class Members(Recorded):
    """Members of a double barrier, written down."""

    def __init__(self, make: Make, needed: int, *, clients: int | None = None, there: bool = True) -> None:
        super().__init__(clients or needed)
        self.needed = needed
        self.members = [make(client) for client in self.clients]
        if there:
            self.server.ensure_path(PATH)

    async def enter(self, number: int) -> bool:
        """Have a member enter; whether it did."""
        what = self.begin(self.clients[number], "enter", PATH, self.needed)
        done = await self.do(self.clients[number], "enters", self.members[number].enter(), what)
        if done:
            what.ok()
        return done is not None

    async def leave(self, number: int) -> None:
        """Have a member leave."""
        what = self.begin(self.clients[number], "leave", PATH)
        if done := await self.do(self.clients[number], "leaves", self.members[number].leave(), what):
            what.ok(done.value)


def a_member_reconnects_while_it_waits(make: Make) -> History:
    """One enters, and reconnects while it waits; then the other one enters."""
    world = Members(make, 2)
    sim = world.sim

    async def member(number: int, wait: float) -> None:
        await sim.sleep(wait)
        if await world.enter(number):
            await sim.sleep(1.0)
            await world.leave(number)

    async def cut() -> None:
        await sim.sleep(3.0)
        world.clients[0].cut(1.0)

    return world.play(member(0, 0.0), member(1, 10.0), cut())


def one_enters_where_nothing_is(make: Make) -> History:
    """One of five enters a barrier below a node that is not there; then the others do not come."""
    world = Members(make, 5, clients=1, there=False)
    return world.play(_entering(world))


async def _entering(world: Members) -> None:
    await world.enter(0)


def the_lowest_member_ends(make: Make) -> History:
    """Three are inside; one begins to leave, and the session of the lowest one ends."""
    world = Members(make, 3)
    sim, server = world.sim, world.server

    async def member(number: int, leave_after: float) -> None:
        await sim.sleep(0.1 * number)
        if await world.enter(number) and leave_after:
            await sim.sleep(leave_after)
            await world.leave(number)

    async def end() -> None:
        await sim.sleep(5.0)
        world.history.happened("client-0", "lost", PATH)
        session = world.clients[0].session_id
        assert session is not None
        world.clients[0].cut(100.0)
        server.expire(session)

    return world.play(member(0, 0.0), member(1, 2.0), member(2, 30.0), end())


def one_member_is_slow(make: Make) -> History:
    """Four enter, and the last stands still once its node is there; the others go in, and out again."""
    world = Members(make, 4)
    sim = world.sim
    slow = world.clients[3]

    async def member(number: int) -> None:
        await sim.sleep(0.1 * number)
        if await world.enter(number):
            await sim.sleep(0.2)
            await world.leave(number)

    def sent(request: str) -> None:
        if request.startswith("create") and slow.on_request is not None:
            slow.on_request = None
            sim.call_at(sim.now() + 0.012, lambda: slow.freeze(4.0))  # it has arrived by then

    slow.on_request = sent
    return world.play(*(member(number) for number in range(4)))


def test_k7a_a_member_that_loses_its_watch_at_a_reconnect() -> None:
    history = a_member_reconnects_while_it_waits(wrong_double(wrong.ForgetfulDoubleBarrier, 2))
    refused(double_barrier(history), "client-0 waits for ever to enter, and client-1 did: all 2 had come")
    double_barrier(a_member_reconnects_while_it_waits(double(2))).assert_holds()


def test_k7b_a_member_that_takes_an_error_for_a_way_in() -> None:
    history = one_enters_where_nothing_is(wrong_double(wrong.CarelessDoubleBarrier, 5))
    refused(double_barrier(history), "client-0 entered with 1 of 5 there")
    double_barrier(one_enters_where_nothing_is(double(5))).assert_holds()


def test_k7c_a_member_that_waits_for_the_lowest_alone() -> None:
    history = the_lowest_member_ends(wrong_double(wrong.DoubleBarrier, 3))
    refused(double_barrier(history), "client-1 left while client-2 was inside")
    double_barrier(the_lowest_member_ends(double(3))).assert_holds()


def test_c6_a_slow_member_that_comes_too_late_to_see_the_others() -> None:
    history = one_member_is_slow(wrong_double(wrong.DoubleBarrier, 4))
    refused(double_barrier(history), "client-3 waits for ever to enter, and client-0 did: all 4 had come")
    double_barrier(one_member_is_slow(double(4))).assert_holds()
