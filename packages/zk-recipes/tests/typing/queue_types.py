"""What type checkers see of queues. Checked, not run."""

from __future__ import annotations

from typing import assert_type

from zk_client import Client, HasPort
from zk_recipes import AsyncJob, AsyncLockingQueue, AsyncQueue, AsyncWorkQueue, Job, LockingQueue, Queue, WorkQueue
from zk_wire import CheckVersionRequest, SetDataRequest


def queues(client: Client) -> None:
    queue = Queue(client, "/a")
    assert_type(queue.put(b"1", priority=5, timeout=1.0), None)
    assert_type(queue.get(), bytes | None)
    assert_type(len(queue), int)
    assert_type(queue.length(1.0), int)
    queue.put("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    queue.put(b"1", "high")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def locking(client: Client) -> None:
    queue = LockingQueue(client, "/a", on_lost=lambda: None)
    assert_type(queue.put_all([b"1", b"2"]), None)
    assert_type(queue.get(5.0), bytes | None)
    assert_type(queue.holds_lock(), bool)
    assert_type(queue.is_held, bool)
    assert_type(queue.consume(), bool)
    assert_type(queue.release(), bool)
    assert_type(queue.token, int | None)
    assert_type(queue.guard(), CheckVersionRequest)
    queue.put_all("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def work(client: Client) -> None:
    queue = WorkQueue(client, "/a", max_tries=3, results=True)
    assert_type(queue.put(b"1"), str)
    job = queue.claim(timeout=1.0)
    assert_type(job, Job | None)
    assert job is not None
    assert_type(job.data, bytes)
    assert_type(job.id, str)
    assert_type(job.is_held, bool)
    assert_type(job.complete(b"done", [SetDataRequest("/b", b"", 1)]), bool)
    assert_type(job.release(), bool)
    assert_type(queue.claim(on_lost=lambda: None), Job | None)
    with job as held:
        assert_type(held, Job)
    assert_type(queue.result("0" * 32, timeout=1.0), bytes)
    assert_type(queue.dead_letters(), list[str])
    assert_type(queue.revive("0" * 32), bool)
    assert_type(queue.depth(), int)
    queue.claim().complete()  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    WorkQueue(client, "/a", 3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def awaited(client: HasPort) -> None:
    assert_type(await AsyncQueue(client, "/a").get(), bytes | None)
    assert_type(await AsyncLockingQueue(client, "/a").get(), bytes | None)
    job = await AsyncWorkQueue(client, "/a").claim()
    assert_type(job, AsyncJob | None)
    assert job is not None
    assert_type(await job.complete(), bool)
    async with job as held:
        assert_type(held, AsyncJob)
    job.release()  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
