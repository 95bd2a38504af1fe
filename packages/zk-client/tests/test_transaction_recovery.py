"""What became of a lost transaction: its witness, the verdict, and the results put together again."""

from __future__ import annotations

from typing import Any

import pytest
from corepair import SESSION, CorePair, stat

from zk_client import ConnectionLostError, Outcome, TransactionFailedError
from zk_client._session.recovery import Answer, Situation
from zk_client._session.transaction_recovery import TransactionRecovery
from zk_client.transactions import Transaction
from zk_wire import (
    OPEN_ACL_UNSAFE,
    READ_ACL_UNSAFE,
    CheckResult,
    CheckVersionRequest,
    Create2Request,
    CreateContainerRequest,
    CreateMode,
    CreateRequest,
    CreateResult,
    CreateTTLRequest,
    DeleteRequest,
    DeleteResult,
    ErrorResult,
    ExistsRequest,
    ExistsResponse,
    MultiRequest,
    MultiResponse,
    SetDataRequest,
    SetDataResult,
)

EPHEMERAL, PERSISTENT = CreateMode.EPHEMERAL, CreateMode.PERSISTENT
BASELINE, WHEN = 100, 200
OURS = stat(czxid=WHEN, mzxid=WHEN, ephemeral_owner=SESSION)


def create(path: str, mode: CreateMode = PERSISTENT, *, with_stat: bool = False) -> Any:
    return (Create2Request if with_stat else CreateRequest)(path, b"", READ_ACL_UNSAFE, mode)


def outcome(operations: list[Any], unique: set[int], nodes: dict[str, Any], *, parent_zxid: int = WHEN) -> Any:
    """The verdict, where `nodes` are there and everything else is missing."""
    investigation = TransactionRecovery(operations, unique).investigate(Situation(BASELINE, SESSION, True))
    try:
        questions = next(investigation)
        while True:
            answers = []
            for question in questions:
                assert isinstance(question, ExistsRequest)
                found = nodes.get(question.path, stat(pzxid=parent_zxid) if question.path == "/" else None)
                answers.append(Answer(-101, None) if found is None else Answer(0, ExistsResponse(found)))
            questions = investigation.send(answers)
    except StopIteration as end:
        return end.value


@pytest.mark.parametrize(
    ("operations", "unique", "nodes", "verdict"),
    [
        ([create("/e", EPHEMERAL)], set(), {"/e": OURS}, Outcome.APPLIED),
        ([create("/u")], {0}, {"/u": stat(czxid=WHEN)}, Outcome.APPLIED),
        ([create("/e", EPHEMERAL)], {0}, {}, Outcome.NOT_APPLIED),
        ([create("/e", EPHEMERAL)], set(), {}, Outcome.UNKNOWN),
        ([create("/e", EPHEMERAL)], set(), {"/e": stat(czxid=BASELINE)}, Outcome.NOT_APPLIED),
        ([create("/u")], {0}, {}, Outcome.UNKNOWN),
        # No create proves anything: there is none, it is plain, or it does not outlive its transaction.
        ([SetDataRequest("/a", b"", -1)], set(), {"/a": stat(mzxid=WHEN)}, Outcome.UNKNOWN),
        ([create("/p")], set(), {"/p": stat(czxid=WHEN)}, Outcome.UNKNOWN),
        ([create("/e", EPHEMERAL), DeleteRequest("/e", -1)], set(), {"/e": OURS}, Outcome.UNKNOWN),
        ([DeleteRequest("/e", -1), create("/e", EPHEMERAL)], set(), {}, Outcome.UNKNOWN),
    ],
)
def test_the_verdict_follows_from_the_witness(
    operations: list[Any], unique: set[int], nodes: dict[str, Any], verdict: Outcome
) -> None:
    assert outcome(operations, unique, nodes).outcome is verdict


def test_an_untouched_parent_proves_that_nothing_was_applied() -> None:
    assert outcome([create("/e", EPHEMERAL)], set(), {}, parent_zxid=BASELINE).outcome is Outcome.NOT_APPLIED


def test_a_unique_name_is_preferred_as_witness() -> None:
    operations = [create("/e", EPHEMERAL), create("/u")]
    assert TransactionRecovery(operations, {1}).proofs() == {"/u"}


def test_the_results_of_an_applied_transaction_are_put_together_again() -> None:
    operations = [
        CheckVersionRequest("/c", -1),
        create("/e", EPHEMERAL, with_stat=True),
        create("/plain"),
        create("/second", with_stat=True),
        SetDataRequest("/s", b"", -1),
        DeleteRequest("/d", -1),
    ]
    second, changed = stat(czxid=WHEN, mzxid=WHEN), stat(mzxid=WHEN, version=4)
    verdict = outcome(operations, set(), {"/e": OURS, "/second": second, "/s": changed})
    assert verdict.reply == [
        CheckResult(),
        CreateResult("/e", OURS),
        CreateResult("/plain", None),
        CreateResult("/second", second),
        SetDataResult(changed),
        DeleteResult(),
    ]


@pytest.mark.parametrize(
    ("operations", "nodes"),
    [
        ([SetDataRequest("/s", b"", -1)], {"/s": stat(mzxid=WHEN + 1)}),
        ([SetDataRequest("/s", b"", -1)], {}),
        ([SetDataRequest("/s", b"", -1), SetDataRequest("/s", b"", -1)], {"/s": stat(mzxid=WHEN, version=2)}),
        ([create("/s", with_stat=True), SetDataRequest("/s", b"", -1)], {"/s": stat(mzxid=WHEN, czxid=WHEN)}),
        ([create("/q-", CreateMode.PERSISTENT_SEQUENTIAL)], {}),
        ([create("/s", with_stat=True)], {"/s": stat(mzxid=WHEN + 1, czxid=WHEN)}),
    ],
)
def test_a_result_that_cannot_be_known_any_more_leaves_the_outcome_applied_without_results(
    operations: list[Any], nodes: dict[str, Any]
) -> None:
    verdict = outcome([create("/e", EPHEMERAL), *operations], set(), {"/e": OURS, **nodes})
    assert (verdict.outcome, verdict.reply) == (Outcome.APPLIED, None)


# Through the core


def begin(pair: CorePair, **options: Any) -> Transaction:
    return Transaction(pair.operations, None, **options)


def test_a_lost_transaction_with_a_marker_ends_as_if_its_reply_had_come_and_the_marker_is_removed_once() -> None:
    pair = CorePair("h:1/app")
    pair.open()
    transaction = begin(pair, marker="/markers", guid="f" * 32)
    call = transaction.set_data("/s", b"x").commit_async()
    assert isinstance(pair.requests[0].request, MultiRequest)
    pair.close()
    pair.reopen()
    pair.agree()
    assert pair.requests[0].request == ExistsRequest("/app/markers/" + "f" * 32, False)
    pair.reply(pair.next(ExistsRequest), ExistsResponse(OURS))
    pair.reply(pair.next(ExistsRequest), ExistsResponse(stat(pzxid=WHEN)))
    pair.reply(pair.next(ExistsRequest), ExistsResponse(stat(mzxid=WHEN)))
    for _ in range(2):
        assert call.result() == [SetDataResult(stat(mzxid=WHEN))]
    assert pair.next(DeleteRequest).request == DeleteRequest("/app/markers/" + "f" * 32, -1)
    assert pair.requests == []


def test_an_applied_transaction_without_results_is_a_lost_connection_with_the_outcome_applied() -> None:
    pair = CorePair()
    pair.open()
    transaction = begin(pair)
    call = transaction.create("/e", ephemeral=True).create("/q-", sequence=True).commit_async()
    pair.close()
    pair.reopen()
    pair.agree()
    pair.reply(pair.next(ExistsRequest), ExistsResponse(OURS))
    pair.reply(pair.next(ExistsRequest), ExistsResponse(stat(pzxid=WHEN)))
    error = call.exception()
    assert isinstance(error, ConnectionLostError)
    assert error.outcome is Outcome.APPLIED


def test_a_refused_transaction_names_the_operation_and_every_result() -> None:
    pair = CorePair("h:1/app")
    pair.open()
    call = begin(pair).delete("/a").check("/b", 3).delete("/c").commit_async()
    request = pair.next(MultiRequest)
    assert [operation.path for operation in request.request.ops] == ["/app/a", "/app/b", "/app/c"]  # type: ignore[attr-defined]
    pair.reply(request, MultiResponse([ErrorResult(0), ErrorResult(-103), ErrorResult(-2)]))
    with pytest.raises(TransactionFailedError, match="operation 1 of 3 failed") as caught:
        call.result()
    assert caught.value.index == 1
    assert [(error.code, error.path) for error in caught.value.results] == [(0, "/a"), (-103, "/b"), (-2, "/c")]
    assert caught.value.outcome is Outcome.NOT_APPLIED


def test_results_are_below_the_chroot() -> None:
    pair = CorePair("h:1/app")
    pair.open()
    call = begin(pair).create("/n", sequence=True).delete("/d").commit_async()
    pair.reply(pair.next(MultiRequest), MultiResponse([CreateResult("/app/n0000000001", None), DeleteResult()]))
    assert call.result() == [CreateResult("/n0000000001", None), DeleteResult()]


def test_a_transaction_is_committed_once() -> None:
    pair = CorePair()
    pair.open()
    transaction = begin(pair).delete("/a")
    transaction.commit_async()
    with pytest.raises(ValueError, match="already committed"):
        transaction.delete("/b")
    with pytest.raises(ValueError, match="already committed"):
        transaction.commit_async()


def test_a_block_that_fails_commits_nothing() -> None:
    pair = CorePair()
    pair.open()
    transaction = begin(pair).delete("/a")
    with pytest.raises(KeyError), transaction:
        raise KeyError
    assert pair.requests == []


@pytest.mark.parametrize(
    ("operation", "sent"),
    [
        (create("/n"), create("/app/n")),
        (create("/n", with_stat=True), create("/app/n", with_stat=True)),
        (DeleteRequest("/n", 1), DeleteRequest("/app/n", 1)),
        (SetDataRequest("/n", b"x", 2), SetDataRequest("/app/n", b"x", 2)),
        (CheckVersionRequest("/n", 3), CheckVersionRequest("/app/n", 3)),
        (CreateTTLRequest("/n", b"", READ_ACL_UNSAFE, 5, 9), CreateTTLRequest("/app/n", b"", READ_ACL_UNSAFE, 5, 9)),
        (
            CreateContainerRequest("/n", b"", READ_ACL_UNSAFE, 4),
            CreateContainerRequest("/app/n", b"", READ_ACL_UNSAFE, 4),
        ),
    ],
)
def test_a_ready_made_operation_goes_below_the_chroot_like_any_other(operation: Any, sent: Any) -> None:
    pair = CorePair("h:1/app")
    pair.open()
    call = begin(pair).add(operation).commit_async()
    assert call.payload == MultiRequest([sent]).payload()


def test_a_ready_made_create_without_an_acl_gets_the_default_one() -> None:
    pair = CorePair("h:1/app")
    pair.open()
    call = begin(pair).add(CreateRequest("/n", b"", (), PERSISTENT)).commit_async()
    assert call.payload == MultiRequest([CreateRequest("/app/n", b"", OPEN_ACL_UNSAFE, PERSISTENT)]).payload()
