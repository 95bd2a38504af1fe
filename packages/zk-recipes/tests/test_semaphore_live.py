"""A semaphore on running servers, in each world: leases shared, a herd that sleeps, lost messages, nothing left."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from zk_client import AsyncClient, Client
from zk_recipes import AsyncSemaphore, LockTimeout, Semaphore
from zk_testing import EmbeddedServer
from zk_testing.faults import FaultProxy

MakeClient = Callable[..., Client]
PATH = "/pool"
GUARDS = f"{PATH}-__lock__"
PATIENCE = 20.0


def wait_for_children(client: Client, path: str, count: int) -> None:
    """Wait until a node has that many children, told by watches."""
    client.ensure_path(path)
    while True:
        watch = client.watcher()
        if len(client.get_children(path, watch=watch)) == count:
            watch.close()
            return
        assert watch.wait(PATIENCE) is not None


def test_threads_hold_a_semaphore_together_and_not_too_many(make_client: MakeClient) -> None:
    clients = [make_client() for _ in range(2)]
    mutex = threading.Lock()
    both = threading.Event()
    inside = 0
    most = 0
    failures: list[BaseException] = []

    def work(number: int) -> None:
        nonlocal inside, most
        try:
            for _ in range(3):
                with Semaphore(clients[number % 2], PATH, max_leases=2) as held:
                    with mutex:
                        inside += 1
                        most = max(most, inside)
                        if inside == 2:
                            both.set()
                    assert both.wait(PATIENCE), "never two inside"
                    assert held.is_acquired
                    with mutex:
                        inside -= 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE * 2)
    assert failures == [] and not any(thread.is_alive() for thread in threads)
    assert most == 2
    assert clients[0].get_children(PATH) == [] == clients[0].get_children(GUARDS)


@pytest.mark.parametrize("kind", ["create", "get_children", "get_data", "multi", "delete"])
@pytest.mark.parametrize("lose", ["lose_reply", "lose_request"])
def test_a_lost_message_of_a_semaphore_leaves_one_lease_and_then_none(
    kind: str, lose: str, make_client: MakeClient, zk_faults: FaultProxy
) -> None:
    client, other = make_client(zk_faults.hosts), make_client()
    other.create(PATH, b"1")
    other.ensure_path(GUARDS)
    mine = Semaphore(client, PATH, "mine")
    fault = getattr(zk_faults, lose)(kind)
    assert mine.acquire(timeout=PATIENCE)
    wait_for_children(other, PATH, 1)
    wait_for_children(other, GUARDS, 0)
    mine.check()
    assert mine.lease_holders() == ["mine"]
    assert Semaphore(other, PATH).acquire(blocking=False) is False
    assert mine.release() is True
    fault.wait()
    wait_for_children(other, PATH, 0)
    wait_for_children(other, GUARDS, 0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


def children(server: EmbeddedServer, path: str) -> int:
    return server.call(lambda core: len(core.tree.nodes[path].children) if path in core.tree.nodes else 0)


def test_a_release_wakes_one_of_a_hundred_waiters() -> None:
    """Counted by the server: a hundred wait, and what a release makes of them is a handful of requests."""

    def watches(server: EmbeddedServer) -> tuple[int, int]:
        return server.call(lambda core: (core.watches.data.counts()[2], core.watches.child.counts()[2]))

    async def main(server: EmbeddedServer) -> None:
        async with AsyncClient(server.hosts) as zk:
            holder = AsyncSemaphore(zk, PATH)
            await holder.acquire()
            waiters = [AsyncSemaphore(zk, PATH, f"waiter-{number}") for number in range(100)]
            tasks = [asyncio.create_task(waiter.acquire()) for waiter in waiters]
            # The first watches the number and the leases, each other one its predecessor.
            await until(lambda: watches(server) == (100, 1))
            before = server.call(lambda core: core.received)
            await holder.release()
            await until(lambda: watches(server) == (99, 1))
            after = server.call(lambda core: core.received)
            assert [task.done() for task in tasks].count(True) == 1
            # The release; the first looks, and takes the lease; the next one gets the guard, looks twice, and waits.
            assert after - before <= 14
            for waiter in waiters:
                waiter.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for waiter in waiters:
                await waiter.release()
            await until(lambda: children(server, PATH) + children(server, GUARDS) == 0)

    with EmbeddedServer() as server:
        asyncio.run(main(server))


def test_tasks_hold_a_semaphore_together_and_hear_of_a_new_number() -> None:
    async def main(server: EmbeddedServer) -> None:
        async with AsyncClient(server.hosts) as zk, asyncio.timeout(PATIENCE):
            async with AsyncSemaphore(zk, PATH, "one") as first:
                second = AsyncSemaphore(zk, PATH, "two")
                with pytest.raises(LockTimeout):
                    await second.acquire(timeout=0.05)
                waiting = asyncio.create_task(second.acquire())
                await until(lambda: children(server, GUARDS) == 1)
                await first.resize(2)
                assert await waiting is True
                assert sorted(await first.lease_holders()) == ["one", "two"]
                await second.release()
            await until(lambda: children(server, PATH) + children(server, GUARDS) == 0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with EmbeddedServer() as server:
        asyncio.run(main(server), debug=True)


def test_greenlets_hold_a_semaphore_together_and_not_too_many() -> None:
    gevent = pytest.importorskip("gevent")
    inside = most = 0

    def work(zk: Client) -> None:
        nonlocal inside, most
        with Semaphore(zk, PATH, max_leases=2):
            inside += 1
            most = max(most, inside)
            while most < 2:
                gevent.sleep(0)
            inside -= 1

    with EmbeddedServer() as server, Client(server.hosts, runtime="gevent") as zk, gevent.Timeout(30):
        gevent.joinall([gevent.spawn(work, zk) for _ in range(6)], raise_error=True)
        assert most == 2
        assert zk.get_children(PATH) == [] == zk.get_children(GUARDS)
