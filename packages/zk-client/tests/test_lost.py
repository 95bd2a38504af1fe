"""Lost writes: each comes out exactly once, with its own verdict, however the questions go."""

from __future__ import annotations

from corepair import SESSION, CorePair, stat

from zk_client import ConnectionLostError, NodeExistsError, NoNodeError, Outcome
from zk_client._session.machine import PREPARING, READY
from zk_wire import (
    ExistsRequest,
    ExistsResponse,
    GetDataRequest,
    GetDataResponse,
    MultiRequest,
    SetDataRequest,
    SetDataResponse,
)


def seasoned() -> CorePair:
    """A pair whose session has a baseline above 0."""
    pair = CorePair()
    pair.open()
    pair.submit(pair.operations.set("/x", b""))
    pair.reply(pair.next(SetDataRequest), SetDataResponse(stat()), zxid=100)
    return pair


def reach_questions(pair: CorePair) -> None:
    """Lose the connection, reconnect, and answer the sync."""
    pair.close()
    pair.reopen()
    pair.agree()


def test_reads_wait_until_the_last_verdict_is_in() -> None:
    pair = seasoned()
    pair.submit(pair.operations.create("/e", ephemeral=True))
    pair.close()
    read = pair.submit(pair.operations.get("/r"))
    pair.reopen()
    assert pair.core.phase == PREPARING
    assert pair.kinds() == ["MultiRequest"]
    pair.agree()
    pair.reply(pair.next(ExistsRequest), err=-101)
    assert pair.core.phase == PREPARING
    pair.reply(pair.next(ExistsRequest), ExistsResponse(stat(pzxid=1)))
    assert pair.core.phase == READY
    assert pair.kinds() == ["GetDataRequest"]
    assert not read.done


def test_several_lost_writes_end_in_the_order_they_were_sent() -> None:
    pair = seasoned()
    calls = [pair.submit(pair.operations.create(f"/e{i}", ephemeral=True)) for i in range(3)]
    reach_questions(pair)
    for i in range(3):
        found = stat(czxid=200 + i, ephemeral_owner=SESSION)
        pair.reply(pair.next(ExistsRequest), ExistsResponse(found))
        pair.reply(pair.next(ExistsRequest), ExistsResponse(stat(pzxid=300)))
    assert [call for call in pair.done if call in calls] == calls
    assert [call.result() for call in calls] == ["/e0", "/e1", "/e2"]


def test_two_creates_of_one_node_prove_nothing_for_each_other() -> None:
    pair = seasoned()
    calls = [pair.submit(pair.operations.create("/e", ephemeral=True)) for _ in range(2)]
    reach_questions(pair)
    for _ in calls:
        pair.reply(pair.next(ExistsRequest), ExistsResponse(stat(czxid=200, ephemeral_owner=SESSION)))
        pair.reply(pair.next(ExistsRequest), ExistsResponse(stat(pzxid=200)))
    assert [call.exception().outcome for call in calls] == [Outcome.UNKNOWN] * 2  # type: ignore[union-attr]


def test_a_verdict_with_an_error_code_raises_that_error_with_the_outcome() -> None:
    pair = seasoned()
    create = pair.submit(pair.operations.create("/old"))
    delete = pair.submit(pair.operations.delete("/gone"))
    reach_questions(pair)
    pair.reply(pair.next(ExistsRequest), ExistsResponse(stat(czxid=50)))
    pair.reply(pair.next(ExistsRequest), ExistsResponse(stat(pzxid=300)))
    pair.reply(pair.next(ExistsRequest), err=-101)
    pair.reply(pair.next(ExistsRequest), ExistsResponse(stat(pzxid=300)))
    existed, gone = create.exception(), delete.exception()
    assert isinstance(existed, NodeExistsError)
    assert (existed.path, existed.outcome) == ("/old", Outcome.NOT_APPLIED)
    assert isinstance(gone, NoNodeError)
    assert (gone.path, gone.outcome) == ("/gone", Outcome.UNKNOWN)


def test_a_server_that_refuses_to_sync_leaves_every_verdict_unknown() -> None:
    pair = seasoned()
    calls = [pair.submit(pair.operations.set(path, b"")) for path in "/a /b".split()]
    pair.close()
    pair.reopen()
    pair.reply(pair.next(MultiRequest), err=-119)
    errors = [call.exception() for call in calls]
    assert all(isinstance(error, ConnectionLostError) for error in errors)
    assert [error.outcome for error in errors] == [Outcome.UNKNOWN] * 2  # type: ignore[union-attr]
    assert pair.core.phase == READY


def test_writes_lost_on_two_connections_keep_each_their_own_baseline() -> None:
    pair = seasoned()
    first = pair.submit(pair.operations.set("/a", b"1"))
    pair.close()
    pair.reopen()
    pair.close()
    pair.wait_for(0)
    queued = pair.submit(pair.operations.get("/r"))
    pair.reopen()
    pair.agree(zxid=500)
    pair.reply(pair.next(GetDataRequest), err=-102)
    pair.reply(pair.next(ExistsRequest), err=-102)
    pair.next(GetDataRequest)
    second = pair.submit(pair.operations.set("/b", b"2"))
    reach_questions(pair)
    # 400 is above the first baseline (100) and below the second (500).
    pair.reply(pair.next(GetDataRequest), GetDataResponse(b"", stat(mzxid=400)))
    pair.reply(pair.next(ExistsRequest), ExistsResponse(stat(pzxid=600)))
    assert first.exception().outcome is Outcome.UNKNOWN  # type: ignore[union-attr]
    assert second.exception().outcome is Outcome.NOT_APPLIED  # type: ignore[union-attr]
    assert not queued.done


def test_an_unknown_outcome_says_why_in_one_sentence() -> None:
    pair = seasoned()
    call = pair.submit(pair.operations.set("/a", b""))
    pair.close("connection reset by peer")
    pair.reopen()
    pair.reply(pair.next(MultiRequest), err=-119)
    assert str(call.exception()) == "/a: disconnected (connection reset by peer); outcome unknown"
