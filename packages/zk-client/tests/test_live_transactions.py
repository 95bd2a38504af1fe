"""Transactions and batches of reads, on servers of every supported line."""

from __future__ import annotations

from contextlib import suppress

import pytest
from live import line
from worlds import Threads

from zk_client import CREATOR_ALL_ACL, Client, NodeExistsError, NoNodeError, Outcome, TransactionFailedError
from zk_testing.cluster import Cluster
from zk_wire import (
    CheckResult,
    CreateMode,
    CreateRequest,
    CreateResult,
    DeleteRequest,
    DeleteResult,
    RolledBackError,
    RuntimeInconsistencyError,
    SetDataResult,
)


def test_a_transaction_applies_every_kind_of_operation_at_once(shared: Client, top: str) -> None:
    shared.create(f"{top}/old")
    shared.create(f"{top}/data")
    transaction = shared.transaction()
    transaction.create(f"{top}/a", b"1").create(f"{top}/a/b", ephemeral=True).create(f"{top}/s", sequence=True)
    transaction.create(f"{top}/box", container=True).create(f"{top}/ttl", ttl=60).create(f"{top}/c", include_data=True)
    transaction.check(f"{top}/data", 0).set_data(f"{top}/data", b"new", 0).delete(f"{top}/old")

    results = transaction.commit()

    created = [result.path for result in results[:6] if isinstance(result, CreateResult)]
    assert created == [f"{top}/{name}" for name in ("a", "a/b", "s0000000003", "box", "ttl", "c")]
    assert results[6] == CheckResult()
    assert isinstance(results[7], SetDataResult)
    assert results[7].stat.version == 1
    assert results[8] == DeleteResult()
    assert sorted(shared.get_children(top)) == ["a", "box", "c", "data", "s0000000003", "ttl"]
    assert shared.exists(f"{top}/a/b").ephemeral_owner == shared.session_id


def test_create_with_include_data_in_a_transaction_gives_a_stat_where_the_server_does(
    each_server: Cluster, shared: Client, top: str
) -> None:
    (result,) = shared.transaction().create(f"{top}/a", include_data=True).commit()
    assert isinstance(result, CreateResult)
    assert result.path == f"{top}/a"
    if line(each_server) >= (3, 7, 2):
        assert result.stat == shared.exists(f"{top}/a")
    else:
        assert result.stat is None


def test_a_failed_transaction_names_the_operation_and_changes_nothing(shared: Client, top: str) -> None:
    transaction = shared.transaction()
    transaction.create(f"{top}/a").check(f"{top}/nothing").delete(f"{top}/b").create(f"{top}/c")
    with pytest.raises(TransactionFailedError) as failed:
        transaction.commit()

    error = failed.value
    assert error.index == 1
    assert isinstance(error.error, NoNodeError)
    assert error.error.path == f"{top}/nothing"
    assert [type(result) for result in error.results] == [
        RolledBackError,
        NoNodeError,
        RuntimeInconsistencyError,
        RuntimeInconsistencyError,
    ]
    assert error.outcome is Outcome.NOT_APPLIED
    assert shared.get_children(top) == []


def test_the_future_of_a_failed_transaction_holds_the_error(shared: Client, top: str) -> None:
    call = shared.transaction().create(f"{top}/a").create(f"{top}/a").commit_async()
    error = call.exception(20)
    assert isinstance(error, TransactionFailedError)
    assert error.index == 1
    assert isinstance(error.error, NodeExistsError)


def test_a_transaction_commits_when_its_block_ends(shared: Client, top: str) -> None:
    with shared.transaction() as transaction:
        transaction.create(f"{top}/a")
    assert shared.exists(f"{top}/a") is not None


def test_a_transaction_is_not_committed_when_its_block_raises(shared: Client, top: str) -> None:
    with suppress(KeyError), shared.transaction() as transaction:
        transaction.create(f"{top}/a")
        raise KeyError
    assert shared.get_children(top) == []


def test_a_transaction_is_committed_once(shared: Client, top: str) -> None:
    transaction = shared.transaction().create(f"{top}/a")
    transaction.commit()
    with pytest.raises(ValueError, match="already committed"):
        transaction.commit()
    with pytest.raises(ValueError, match="already committed"):
        transaction.delete(f"{top}/a")


def test_a_body_commits_with_a_marker_and_the_default_acl(world: Threads, each_server: Cluster, top: str) -> None:
    mine = CREATOR_ALL_ACL
    with world.client(each_server.hosts, 10.0, default_acl=mine, auth_data=[("digest", "bob:pw")]) as client:
        client.create(f"{top}/markers")
        create = CreateRequest(f"{top}/a", b"", (), CreateMode.PERSISTENT)
        (result,) = world.run_body(client, lambda port: port.commit([create], marker=f"{top}/markers"))
        assert isinstance(result, CreateResult) and result.path == f"{top}/a"
        assert client.get_acls(f"{top}/a")[0] == client.get_acls(f"{top}/markers")[0]
        assert client.get_children(f"{top}/markers") == []
        delete = DeleteRequest(f"{top}/a", -1)
        with pytest.raises(TransactionFailedError) as refused:
            world.run_body(client, lambda port: port.commit([delete], marker=f"{top}/missing"))
        assert refused.value.index == 1 and isinstance(refused.value.error, NoNodeError)


def test_the_marker_of_a_transaction_does_not_stay(shared: Client, top: str) -> None:
    shared.create(f"{top}/markers")
    results = shared.transaction(marker=f"{top}/markers").create(f"{top}/a").commit()
    assert len(results) == 1
    # The marker's delete went out behind the transaction; this read is behind it in turn.
    assert shared.get_children(f"{top}/markers") == []


def test_an_empty_transaction_is_nothing_done(shared: Client) -> None:
    assert shared.transaction().commit() == []


def test_reads_that_travel_together_succeed_or_fail_alone(shared: Client, top: str) -> None:
    shared.create(f"{top}/a", b"1")
    results = shared.multi_read().get(f"{top}/a").get(f"{top}/nothing").get_children(top).commit()
    assert results[0] == shared.get(f"{top}/a")
    assert isinstance(results[1], NoNodeError)
    assert results[1].path == f"{top}/nothing"
    assert results[2] == ["a"]
