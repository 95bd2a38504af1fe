"""What type checkers see of locks. Checked, not run."""

from __future__ import annotations

from typing import assert_type

from zk_client import Client, HasPort
from zk_recipes import AsyncLock, Lock
from zk_wire import CheckVersionRequest


def blocking(client: Client) -> None:
    lock = Lock(client, "/a", "me", ["-lock-"], on_lost=lambda: None)
    assert_type(lock.acquire(), bool)
    assert_type(lock.acquire(timeout=1.0), bool)
    assert_type(lock.acquire(False), bool)
    assert_type(lock.release(), bool)
    assert_type(lock.cancel(), None)
    assert_type(lock.is_acquired, bool)
    assert_type(lock.token, int | None)
    assert_type(lock.lease_remaining, float)
    assert_type(lock.guard(), CheckVersionRequest)
    assert_type(lock.check(), None)
    assert_type(lock.contenders(), list[str])
    assert_type(lock.path, str)
    with lock as held:
        assert_type(held, Lock)
    lock.acquire(timeout="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    lock.acquire(timeot=1.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Lock(client, "/a", b"me")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def awaited(client: HasPort) -> None:
    lock = AsyncLock(client, "/a")
    assert_type(await lock.acquire(timeout=1.0), bool)
    assert_type(await lock.release(), bool)
    assert_type(await lock.contenders(), list[str])
    assert_type(lock.token, int | None)
    async with lock as held:
        assert_type(held, AsyncLock)
    lock.release()  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
