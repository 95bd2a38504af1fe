"""What recipes do where a server has no numbers left for the children of a node: embedded, and real with --zk=real.

A server since 3.6 does not count above 2147483647. To those who come one by one it gives that number again and again;
to those who come together it gives numbers just above -2147483648 in between. So numbers tell no order there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from forging import LAST, forged

from zk_client import AsyncClient
from zk_recipes import (
    AsyncElection,
    AsyncLease,
    AsyncLock,
    AsyncLockingQueue,
    AsyncMultiLock,
    AsyncQueue,
    AsyncReadWriteLock,
    AsyncReentrantLock,
    AsyncSemaphore,
    AsyncWorkQueue,
    AsyncWriteLock,
    NumbersExhaustedError,
)
from zk_recipes._sequence import is_at_the_end

if TYPE_CHECKING:
    from zk_testing._choice import Choice

PATIENCE = 20.0
MANY = 12

# How each is made, to be used in ``async with``; the path is that of the node whose numbers have run out.
MAKE: dict[str, Callable[[AsyncClient, str], Any]] = {
    "lock": AsyncLock,
    "java": lambda zk, path: AsyncLock(zk, path, naming="java"),
    "write": AsyncWriteLock,
    "reentrant": AsyncReentrantLock,
    "multi": lambda zk, path: AsyncMultiLock(zk, [path]),
    "lease": lambda zk, path: AsyncLease(zk, path, PATIENCE),
    "semaphore": lambda zk, path: AsyncSemaphore(zk, path.removesuffix("-__lock__")),
    "election": lambda zk, path: AsyncElection(zk, path).lead(),
}
PATHS = {kind: f"/{kind}" if kind != "semaphore" else "/semaphore-__lock__" for kind in MAKE}
OTHERS = ["/numbers", "/together", "/by-hand", "/downgrade", "/step-down"]
QUEUES = [
    ("/queue", AsyncQueue, "/queue"),
    ("/locking", AsyncLockingQueue, "/locking/entries"),
    ("/work", AsyncWorkQueue, "/work/entries"),
]
BELOW = 5  # how many numbers are left


@pytest.fixture(scope="module")
def hosts(zk_choice: Choice, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on which the counters of all these nodes are about to end."""
    counters = dict.fromkeys((path for path, _, _ in QUEUES), 0)
    counters |= dict.fromkeys([*PATHS.values(), *OTHERS, *(entries for _, _, entries in QUEUES)], LAST - BELOW)
    with forged(zk_choice, counters, tmp_path_factory.mktemp("forged")) as hosts:
        yield hosts


@asynccontextmanager
async def client(hosts: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(hosts, 6.0) as zk, asyncio.timeout(PATIENCE):
        yield zk


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():
        pass


def test_a_server_gives_its_last_numbers_in_no_order(hosts: str) -> None:
    async def body() -> None:
        async with client(hosts) as zk:
            made = [zk.create(f"/numbers/{place}-", sequence=True) for place in range(100, 140)]
            numbers = [int(path.partition("-")[2]) for path in await asyncio.gather(*made)]
            assert numbers[:BELOW] == list(range(LAST - BELOW, LAST))
            assert all(is_at_the_end(number) for number in numbers[BELOW:])
            assert len(set(numbers[BELOW:])) < 40 - BELOW or min(numbers) < 0

    asyncio.run(body())


@pytest.mark.parametrize("kind", MAKE)
def test_contenders_hold_one_after_the_other_in_the_order_they_came(kind: str, hosts: str) -> None:
    async def body() -> None:
        async with client(hosts) as zk:
            served: list[int] = []
            holding: list[int] = []
            path = PATHS[kind]

            async def contend(number: int) -> None:
                async with MAKE[kind](zk, path):
                    holding.append(number)
                    assert holding == [number]
                    served.append(number)
                    await zk.sync("/")
                    holding.remove(number)

            async def queued(count: int) -> bool:
                return await zk.exists(path) is not None and len(await zk.get_children(path)) == count

            holder = MAKE[kind](zk, path)
            async with holder:
                first = 0 if kind == "semaphore" else 1  # whose holder has left the queue
                tasks = []
                for number in range(MANY):
                    tasks.append(asyncio.create_task(contend(number)))
                    await until(partial(queued, number + 1 + first))
                assert served == []
            await asyncio.gather(*tasks)
            assert served == list(range(MANY))
            assert await zk.get_children(path) == []

    asyncio.run(body())


def test_contenders_that_come_together_hold_one_at_a_time_and_their_tokens_grow(hosts: str) -> None:
    async def body() -> None:
        async with client(hosts) as zk, AsyncClient(hosts) as other:
            holding: list[int] = []
            tokens: list[int] = []

            async def contend(number: int) -> None:
                for _ in range(3):
                    async with AsyncLock((zk, other)[number % 2], "/together") as lock:
                        holding.append(number)
                        assert holding == [number], "held at once"
                        assert lock.token is not None
                        tokens.append(lock.token)
                        await zk.sync("/")
                        holding.remove(number)

            await asyncio.gather(*(contend(number) for number in range(MANY)))
            assert tokens == sorted(set(tokens)) and len(tokens) == 3 * MANY
            assert await zk.get_children("/together") == []

    asyncio.run(body())


@pytest.mark.parametrize("number", [-(2**31), -(2**31) + 700])
def test_a_holder_whose_number_came_after_the_last_is_waited_for(number: int, hosts: str) -> None:
    async def body() -> None:
        async with client(hosts) as zk:
            for place in range(BELOW):
                await zk.create(f"/by-hand/used-{number}-{place}")
            theirs = await zk.create(f"/by-hand/{'ab' * 16}__lock__{number:010d}", b"theirs", ephemeral=True)
            lock = AsyncLock(zk, "/by-hand", "ours")
            assert await lock.acquire(blocking=False) is False
            waiting = asyncio.create_task(lock.acquire())

            async def has_joined() -> bool:
                return await lock.contenders() == ["theirs", "ours"]

            await until(has_joined)
            await zk.delete(theirs)
            assert await waiting and await lock.release()

    asyncio.run(body())


def test_a_writer_does_not_become_a_reader_that_would_be_overtaken(hosts: str) -> None:
    async def body() -> None:
        async with client(hosts) as zk:
            for place in range(BELOW):
                await zk.create(f"/downgrade/used-{place}")
            lock = AsyncReadWriteLock(zk, "/downgrade")
            async with lock.write_lock:
                with pytest.raises(NumbersExhaustedError, match="delete it and create it again"):
                    await lock.downgrade()
                await lock.write_lock.check()
            async with lock.read_lock:
                pass
            assert [name for name in await zk.get_children("/downgrade") if "lock" in name] == []

    asyncio.run(body())


def test_the_leader_is_found_that_should_step_down(hosts: str) -> None:
    async def body() -> None:
        async with client(hosts) as zk:
            for place in range(BELOW):
                await zk.create(f"/step-down/used-{place}")
            leader, other = AsyncElection(zk, "/step-down", "leader"), AsyncElection(zk, "/step-down", "other")
            async with leader.lead() as term:
                waiting = other.lead()
                standing = asyncio.create_task(waiting.__aenter__())

                async def has_joined() -> bool:
                    return await leader.contenders() == ["leader", "other"]

                await until(has_joined)
                assert await other.request_step_down(term.token)
                while not term.should_step_down:
                    await term.wait(0.05)
            await standing
            assert waiting.is_leader and not waiting.should_step_down
            await waiting.__aexit__(None, None, None)

    asyncio.run(body())


@pytest.mark.parametrize(("path", "kind", "entries"), QUEUES)
def test_a_queue_says_that_it_takes_no_more_and_goes_on_when_made_anew(
    path: str, kind: Any, entries: str, hosts: str
) -> None:
    async def body() -> None:
        async with client(hosts) as zk:
            queue = kind(zk, path)
            given: list[bytes] = []

            async def fill() -> None:
                while True:
                    await queue.put(b"%d" % len(given))
                    given.append(b"%d" % len(given))

            with pytest.raises(NumbersExhaustedError, match="delete it and create it again"):
                await fill()
            assert BELOW <= len(given) <= BELOW + 1
            assert [await take(queue) for _ in given] == given
            await zk.delete(entries)
            await queue.put(b"again")
            assert await take(queue) == b"again"

    asyncio.run(body())


async def take(queue: Any) -> bytes | None:
    """Take an entry out of any of the queues."""
    if isinstance(queue, AsyncWorkQueue):
        job = await queue.claim(PATIENCE)
        assert job is not None and await job.complete()
        return job.data
    if isinstance(queue, AsyncLockingQueue):
        value = await queue.get(PATIENCE)
        assert await queue.consume()
        return value
    return await queue.get()
