"""Several locks held together on running servers, in each world."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from zk_client import AsyncClient, Client
from zk_recipes import AsyncLock, AsyncMultiLock, Lock, LockLostError, MultiLock
from zk_testing import EmbeddedServer
from zk_testing.faults import FaultProxy

MakeClient = Callable[..., Client]
A, B, C = "/locks/a", "/locks/b", "/locks/c"
PATIENCE = 20.0


def left(client: Client) -> list[str]:
    return [name for path in (A, B, C) if client.exists(path) for name in client.get_children(path)]


def test_threads_that_want_them_in_different_orders_do_not_deadlock(make_client: MakeClient) -> None:
    clients = [make_client() for _ in range(2)]
    inside: set[str] = set()
    mutex = threading.Lock()
    failures: list[BaseException] = []

    def work(number: int, *paths: str) -> None:
        try:
            for _ in range(3):
                with MultiLock(clients[number % 2], paths) as held:
                    with mutex:
                        assert inside.isdisjoint(paths), f"{inside} while {paths} are held"
                        inside.update(paths)
                    assert held.is_acquired
                    with mutex:
                        inside.difference_update(paths)
        except BaseException as error:
            failures.append(error)

    wanted = [(A, B), (B, A), (C, A, B), (B, C)]
    threads = [threading.Thread(target=work, args=(number, *paths)) for number, paths in enumerate(wanted)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE * 2)
    assert failures == [] and not any(thread.is_alive() for thread in threads)
    assert left(clients[0]) == []


def test_a_holder_of_several_that_is_cut_off_is_told_before_the_next_one_holds(
    make_client: MakeClient, zk_faults: FaultProxy
) -> None:
    known = threading.Event()
    first = MultiLock(make_client(zk_faults.hosts, 2.0), [A, B], on_lost=known.set)
    second = MultiLock(make_client(), [B, C])
    assert first.acquire(timeout=PATIENCE)
    zk_faults.freeze()
    assert second.acquire(timeout=PATIENCE)
    assert known.is_set() and not first.is_acquired
    with pytest.raises(LockLostError):
        first.guard()
    zk_faults.heal()
    assert not first.release()
    assert second.release() == {C: True, B: True}


def test_a_guarded_transaction_needs_all_of_them(make_client: MakeClient) -> None:
    client, other = make_client(), make_client()
    client.create("/data")
    with MultiLock(client, [A, B]) as held:
        guards = held.guard()
        transaction = client.transaction()
        for guard in guards:
            transaction.add(guard)
        transaction.set_data("/data", b"first")
        transaction.commit()
        held.check()
        (node,) = other.get_children(B)
        other.delete(f"{B}/{node}")
        with pytest.raises(LockLostError, match="locks/b"):
            held.check()
    assert left(other) == []


def test_tasks_take_several_together() -> None:
    async def main(hosts: str) -> None:
        async with AsyncClient(hosts) as zk, asyncio.timeout(PATIENCE):
            inside = 0

            async def work(*paths: str) -> None:
                nonlocal inside
                async with AsyncMultiLock(zk, paths):
                    inside += 1
                    assert inside == 1
                    await asyncio.sleep(0)
                    inside -= 1

            await asyncio.gather(work(A, B), work(B, A), work(C, B), work(B, C, A))
            async with AsyncMultiLock(zk, [A, B]):
                assert await AsyncLock(zk, A).acquire(blocking=False) is False
            assert [await zk.get_children(path) for path in (A, B, C)] == [[], [], []]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with EmbeddedServer() as server:
        asyncio.run(main(server.hosts), debug=True)


def test_greenlets_take_several_together() -> None:
    gevent = pytest.importorskip("gevent")
    with EmbeddedServer() as server, Client(server.hosts, runtime="gevent") as zk, gevent.Timeout(30):

        def work(*paths: str) -> None:
            with MultiLock(zk, paths, on_lost=lambda: None):
                assert Lock(zk, paths[0]).acquire(blocking=False) is False

        workers = [gevent.spawn(work, *paths) for paths in [(A, B), (B, A), (C, B)]]
        gevent.joinall(workers, raise_error=True)
        assert left(zk) == []
