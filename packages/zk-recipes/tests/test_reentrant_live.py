"""A lock that its holder can acquire again, on running servers: the holder is a thread, a greenlet or a task."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from zk_client import AsyncClient, Client
from zk_recipes import AsyncReentrantLock, LockNotOwnedError, LockTimeout, ReentrantLock
from zk_testing import EmbeddedServer

MakeClient = Callable[..., Client]
PATH = "/locks/one"
PATIENCE = 20.0


def test_threads_share_an_object_and_exclude_each_other_at_any_depth(make_client: MakeClient) -> None:
    client = make_client()
    lock = ReentrantLock(client, PATH)
    inside: list[int] = []
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(3):
                with lock:
                    inside.append(number)
                    with lock:
                        assert inside == [number] and lock.count == 2
                    assert lock.is_acquired
                    inside.remove(number)
            assert lock.count == 0
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE * 2)
    assert failures == [] and not any(thread.is_alive() for thread in threads)
    assert client.get_children(PATH) == []


def test_another_thread_can_neither_release_nor_acquire(make_client: MakeClient) -> None:
    lock = ReentrantLock(make_client(), PATH)
    seen: list[object] = []

    def other() -> None:
        seen.append(lock.is_acquired)
        with pytest.raises(LockNotOwnedError, match="is not held by <Thread"):
            lock.release()
        with pytest.raises(LockTimeout):
            lock.acquire(timeout=0.2)
        seen.append(lock.acquire(blocking=False))

    with lock:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(PATIENCE)
        assert seen == [False, False]
        assert lock.is_acquired


def test_a_task_is_a_holder_of_its_own() -> None:
    async def main(hosts: str) -> None:
        async with AsyncClient(hosts) as zk, asyncio.timeout(30):
            lock = AsyncReentrantLock(zk, PATH)

            async def other() -> tuple[bool, bool]:
                with pytest.raises(LockNotOwnedError):
                    await lock.release()
                return lock.is_acquired, await lock.acquire(blocking=False)

            async with lock, lock:
                assert await asyncio.create_task(other()) == (False, False)
                assert lock.count == 2
                await lock.check()
            assert lock.count == 0 and await zk.get_children(PATH) == []
        assert not lock.is_acquired

    with EmbeddedServer() as server:
        asyncio.run(main(server.hosts), debug=True)


def test_what_only_looks_is_allowed_outside_of_a_task() -> None:
    lock = AsyncReentrantLock(AsyncClient("127.0.0.1:1"), PATH)
    assert (lock.is_acquired, lock.count, lock.token) == (False, 0, None)


def test_a_greenlet_is_a_holder_of_its_own() -> None:
    gevent = pytest.importorskip("gevent")
    with EmbeddedServer() as server, Client(server.hosts, runtime="gevent") as zk, gevent.Timeout(30):
        lock = ReentrantLock(zk, PATH)

        def other() -> bool:
            with pytest.raises(LockNotOwnedError, match="Greenlet"):
                lock.release()
            return lock.acquire(blocking=False)

        with lock, lock:
            assert gevent.spawn(other).get(timeout=10) is False
            assert lock.count == 2
        assert zk.get_children(PATH) == []
