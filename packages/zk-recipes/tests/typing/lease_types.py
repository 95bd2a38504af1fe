"""What type checkers see of leases and of the partitioner. Checked, not run."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_type

from zk_client import Client, HasPort
from zk_recipes import (
    AsyncDurableLease,
    AsyncLease,
    AsyncMultiNonBlockingLease,
    AsyncNonBlockingLease,
    AsyncSetPartitioner,
    DurableLease,
    Lease,
    MultiNonBlockingLease,
    NonBlockingLease,
    PartitionState,
    SetPartitioner,
)
from zk_wire import CheckVersionRequest


def leases(client: Client) -> None:
    lease = Lease(client, "/a", 5.0, "me", on_lost=lambda: None)
    assert_type(lease.acquire(timeout=1.0), bool)
    assert_type(lease.renew(), None)
    assert_type(lease.lease_remaining, float)
    assert_type(lease.guard(), CheckVersionRequest)
    with DurableLease(client, "/a", 5.0, on_lost=lambda: None) as durable:
        assert_type(durable, DurableLease)
        assert_type(durable.holder(), str | None)
        assert_type(durable.token, int | None)
        assert_type(durable.renew(), None)
    Lease(client, "/a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Lease(client, "/a", timedelta(5))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def claims(client: Client) -> None:
    claim = NonBlockingLease(client, "/a", timedelta(hours=1), "me", datetime.now)
    assert_type(bool(claim), bool)
    assert_type(claim.obtained, bool)
    assert_type(claim.end, datetime | None)
    several = MultiNonBlockingLease(client, 2, "/a", timedelta(hours=1))
    assert_type(several.path, str | None)
    assert_type(several.end, datetime | None)
    NonBlockingLease(client, "/a", 3600)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def partitioner(client: Client) -> None:
    with SetPartitioner(client, "/a", [1, 2, 3], lambda me, members, items: items[:1]) as share:
        assert_type(share.state, PartitionState)
        assert_type(share.wait_for_acquire(1.0), bool)
        assert_type(list(share), list[object])
        assert_type(share.token(1), int)
        assert_type(share.guard(1), CheckVersionRequest)
        assert_type(share.release_set(), None)
    assert_type(share.finish(), None)
    SetPartitioner(client, "/a", ["a"], time_boundary="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def awaited(client: HasPort) -> None:
    async with AsyncLease(client, "/a", 5.0) as lease:
        assert_type(lease, AsyncLease)
        assert_type(lease.renew(), None)
    async with AsyncDurableLease(client, "/a", 5.0) as durable:
        assert_type(await durable.renew(), None)
    assert_type(await AsyncNonBlockingLease(client, "/a", timedelta(1)).obtain(), bool)
    assert_type(await AsyncMultiNonBlockingLease(client, 2, "/a", timedelta(1)).obtain(), bool)
    async with AsyncSetPartitioner(client, "/a", {"a", "b"}) as share:
        assert_type(await share.wait_for_acquire(), bool)
        share.finish()  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
