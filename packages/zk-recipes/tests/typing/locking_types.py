"""What type checkers see of the recipes built on locks. Checked, not run."""

from __future__ import annotations

from typing import assert_type

from zk_client import Client, HasPort
from zk_recipes import (
    AsyncElection,
    AsyncMultiLock,
    AsyncReadWriteLock,
    AsyncReentrantLock,
    AsyncSemaphore,
    AsyncTerm,
    Election,
    Lock,
    MultiLock,
    Naming,
    ReadLock,
    ReadWriteLock,
    ReadWriteNaming,
    ReentrantLock,
    Released,
    Semaphore,
    Term,
    WriteLock,
)
from zk_wire import CheckVersionRequest


def blocking(client: Client) -> None:
    Lock(client, "/a", naming="curator")
    Lock(client, "/a", naming=Naming("-mine-", ["__lock__"], before="x"))
    Lock(client, "/a", naming=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ReadLock(client, "/a", naming=ReadWriteNaming(Naming("r"), Naming("w")))
    ReadLock(client, "/a", naming=Naming("r"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with WriteLock(client, "/a", "me", ["-lock-"], on_lost=lambda: None) as written:
        assert_type(written, WriteLock)
        assert_type(written.token, int | None)
    both = ReadWriteLock(client, "/a")
    assert_type(both.read_lock, ReadLock)
    assert_type(both.downgrade(), None)
    lock = ReentrantLock(client, "/a")
    assert_type(lock.count, int)
    with lock as held:
        assert_type(held, ReentrantLock)
    semaphore = Semaphore(client, "/a", max_leases=None)
    assert_type(semaphore.acquire(timeout=1.0), bool)
    assert_type(semaphore.max_leases, int | None)
    assert_type(semaphore.lease_holders(), list[str])
    assert_type(semaphore.resize(3), None)
    several = MultiLock(client, ["/a", "/b"])
    assert_type(several.release(), Released)
    assert_type(several.tokens, dict[str, int])
    assert_type(several.guard(), list[CheckVersionRequest])
    assert_type(several.paths, tuple[str, ...])


def elected(number: int, *, name: str) -> bool:
    return bool(number) and bool(name)


def leading(client: Client) -> None:
    election = Election(client, "/a", naming="curator-latch")
    assert_type(election.run(elected, 1, name="x"), None)
    election.run(elected, "1", name="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type(election.request_step_down(token=None), bool)
    with election.lead(1.0, on_step_down=lambda: None) as term:
        assert_type(term, Term)
        assert_type(term.wait(timeout=1.0), bool)
        assert_type(term.guard(), CheckVersionRequest)


async def awaited(client: HasPort) -> None:
    async with AsyncElection(client, "/a").lead() as term:
        assert_type(term, AsyncTerm)
        assert_type(await term.wait(), bool)
        assert_type(term.should_step_down, bool)
    await AsyncElection(client, "/a").run(elected, 1, name="x")
    await AsyncReadWriteLock(client, "/a").downgrade()
    assert_type(await AsyncMultiLock(client, ["/a"]).release(), Released)
    assert_type(await AsyncSemaphore(client, "/a").acquire(), bool)
    async with AsyncReentrantLock(client, "/a") as held:
        assert_type(held, AsyncReentrantLock)
