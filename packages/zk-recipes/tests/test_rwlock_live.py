"""Read and write locks on running servers, in each world: readers together, writers alone, and a lost downgrade."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from zk_client import AsyncClient, Client, NoNodeError
from zk_recipes import AsyncReadLock, AsyncReadWriteLock, AsyncWriteLock, Lock, ReadLock, ReadWriteLock, WriteLock
from zk_testing import EmbeddedServer
from zk_testing.faults import FaultProxy
from zk_wire import ConnectionLostError, Outcome

MakeClient = Callable[..., Client]
PATH = "/locks/one"
PATIENCE = 20.0


def children(client: Client) -> list[str]:
    try:
        return client.get_children(PATH)
    except NoNodeError:
        return []


def test_threads_read_together_and_write_alone(make_client: MakeClient) -> None:
    clients = [make_client() for _ in range(2)]
    together = threading.Barrier(4)
    inside: list[str] = []
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            with ReadLock(clients[number % 2], PATH):
                together.wait(PATIENCE)  # passes only when all four hold
            for _ in range(3):
                with WriteLock(clients[number % 2], PATH):
                    inside.append("writer")
                    assert inside == ["writer"], "somebody else is inside"
                    inside.remove("writer")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE * 2)
    assert failures == [] and not any(thread.is_alive() for thread in threads)
    assert children(clients[0]) == []


@pytest.mark.parametrize("lose", ["lose_reply", "lose_request"])
def test_after_a_lost_message_of_a_downgrade_it_reads_or_writes_and_knows_which(
    lose: str, make_client: MakeClient, zk_faults: FaultProxy
) -> None:
    client, other = make_client(zk_faults.hosts), make_client()
    mine = ReadWriteLock(client, PATH, "mine")
    waiting = WriteLock(other, PATH, "other")
    mine.write_lock.acquire(timeout=PATIENCE)
    thread = threading.Thread(target=lambda: waiting.acquire(timeout=PATIENCE))
    thread.start()
    fault = getattr(zk_faults, lose)("multi")
    if lose == "lose_reply":
        mine.downgrade()
        kept: Lock = mine.read_lock
    else:
        with pytest.raises(ConnectionLostError) as lost:
            mine.downgrade()
        assert lost.value.outcome is Outcome.NOT_APPLIED
        kept = mine.write_lock
    fault.wait()
    kept.check()
    assert kept.is_acquired and not waiting.is_acquired
    assert kept.release() is True
    thread.join(PATIENCE)
    assert waiting.is_acquired
    waiting.release()
    assert children(other) == []


def test_tasks_read_together_write_alone_and_go_from_one_to_the_other() -> None:
    async def main(hosts: str) -> None:
        async with AsyncClient(hosts) as one, AsyncClient(hosts) as two, asyncio.timeout(30):
            async with AsyncReadLock(one, PATH), AsyncReadLock(two, PATH):
                assert await AsyncWriteLock(two, PATH).acquire(blocking=False) is False
            mine = AsyncReadWriteLock(one, PATH)
            async with mine.write_lock:
                assert await AsyncReadLock(two, PATH).acquire(blocking=False) is False
                await mine.downgrade()
                async with AsyncReadLock(two, PATH):
                    pass
            assert mine.read_lock.is_acquired
            await mine.read_lock.release()
            assert await two.get_children(PATH) == []
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with EmbeddedServer() as server:
        asyncio.run(main(server.hosts), debug=True)


def test_greenlets_read_together_write_alone_and_go_from_one_to_the_other() -> None:
    gevent = pytest.importorskip("gevent")
    with (
        EmbeddedServer() as server,
        Client(server.hosts, runtime="gevent") as one,
        Client(server.hosts, runtime="gevent") as two,
        gevent.Timeout(30),
    ):
        mine = ReadWriteLock(one, PATH)
        with mine.write_lock:
            reader = gevent.spawn(lambda: ReadLock(two, PATH).acquire())
            while len(two.get_children(PATH)) < 2:
                gevent.sleep(0)
            mine.downgrade()
            assert reader.get(timeout=10) is True
        assert mine.read_lock.release() is True
