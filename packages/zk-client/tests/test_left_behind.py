"""Writes whose callers have left: what they make by then that nobody knows of is deleted again, in every world.

A caller leaves when its time is up (`within`, `call_timeout`), when it is cancelled, killed or interrupted; those have
tests of their own as well, by world. What is not undone is a transaction: it is one with the rest of it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import MakeClient
from corepair import SESSION, CorePair, stat
from live import PATIENCE, comes_true

from zk_client import CallTimeoutError, Client, ConnectionLostError, Outcome
from zk_client._session.machine import HANDSHAKE
from zk_client._session.transaction_recovery import TransactionRecovery
from zk_client._session.wishes import GRANT_GRACE
from zk_client.handlers.leaving import left_behind
from zk_testing import EmbeddedServer, Settings
from zk_testing.faults import FaultProxy
from zk_testing.stopwatch import Stopwatch
from zk_wire import (
    CreateMode,
    CreateRequest,
    CreateResponse,
    ErrorResult,
    ExistsRequest,
    ExistsResponse,
    GetChildren2Request,
    GetChildren2Response,
    MultiRequest,
    SetDataRequest,
    SetDataResponse,
)


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(settings=Settings(tick_ms=100)) as server:
        yield server


@pytest.fixture
def proxy(server: EmbeddedServer) -> Iterator[FaultProxy]:
    with FaultProxy(server) as proxy:
        yield proxy


def children(server: EmbeddedServer, path: str) -> list[str]:
    return server.call(lambda core: sorted(core.tree.nodes[path].children))


BOUNDS: dict[str, dict[str, float]] = {"within": {}, "call_timeout": {"call_timeout": 0.3}}


def bounded(zk: Any, bound: str) -> Any:
    """A client's operations, of which none takes longer than 0.3 s."""
    return zk.within(0.3) if bound == "within" else zk


# Sequential nodes


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("reply", ["comes late", "was lost before", "is lost afterwards"])
def test_a_sequential_node_whose_create_ran_out_of_time_is_deleted(
    make_client: MakeClient, server: EmbeddedServer, proxy: FaultProxy, reply: str, bound: str
) -> None:
    zk = make_client(proxy.hosts, **BOUNDS[bound])
    zk.create("/q")
    session = zk.session_id
    if reply == "was lost before":
        proxy.lose_reply("create", then="freeze")
    else:
        proxy.freeze("to_client")
    with pytest.raises(CallTimeoutError) as late:
        bounded(zk, bound).create("/q/n-", ephemeral=True, sequence=True)
    assert late.value.outcome is Outcome.UNKNOWN
    assert comes_true(lambda: len(children(server, "/q")) == 1)
    if reply != "comes late":
        proxy.cut()
    proxy.heal()
    assert comes_true(lambda: children(server, "/q") == [])
    assert zk.session_id == session


@pytest.mark.parametrize("bound", BOUNDS)
def test_a_create_that_ran_out_of_time_before_it_was_sent_makes_nothing(
    make_client: MakeClient, server: EmbeddedServer, proxy: FaultProxy, bound: str
) -> None:
    zk = make_client(proxy.hosts, **BOUNDS[bound])
    zk.create("/q")
    proxy.refuse()
    proxy.cut()
    assert comes_true(lambda: not zk.connected)
    with pytest.raises(CallTimeoutError) as late:
        bounded(zk, bound).create("/q/n-", sequence=True)
    assert late.value.outcome is Outcome.NOT_APPLIED
    proxy.heal()
    assert comes_true(lambda: zk.connected)
    assert zk.get_children("/q") == []


def test_a_node_that_was_named_stays_though_its_create_ran_out_of_time(
    make_client: MakeClient, server: EmbeddedServer, proxy: FaultProxy
) -> None:
    zk = make_client(proxy.hosts)
    proxy.freeze("to_client")
    with pytest.raises(CallTimeoutError):
        zk.within(0.2).create("/named")
    proxy.heal()
    zk.sync("/")
    assert zk.exists("/named") is not None


def test_a_future_that_was_asked_too_early_is_not_given_up(server: EmbeddedServer, proxy: FaultProxy) -> None:
    with Client(proxy.hosts, runtime="threads") as zk:
        zk.create("/q")
        proxy.freeze("to_client")
        creating = zk.create_async("/q/n-", sequence=True)
        with pytest.raises(CallTimeoutError):
            creating.result(0.1)
        proxy.heal()
        assert creating.result(PATIENCE) == "/q/n-0000000000"
        zk.sync("/")
        assert zk.get_children("/q") == ["n-0000000000"]


# Transactions


@pytest.mark.parametrize("reply", ["comes late", "is lost afterwards"])
def test_a_transaction_that_ran_out_of_time_is_there_as_a_whole_and_leaves_no_marker(
    make_client: MakeClient, server: EmbeddedServer, proxy: FaultProxy, reply: str
) -> None:
    zk = make_client(proxy.hosts)
    for path in ("/q", "/marks"):
        zk.create(path)
    proxy.freeze("to_client")

    def commit(client: Any) -> Any:
        draft = client.within(0.2).transaction(marker="/marks")
        return draft.create("/q/n-", sequence=True).set_data("/q", b"new").commit()

    with pytest.raises(CallTimeoutError) as late:
        commit(zk)
    assert late.value.outcome is Outcome.UNKNOWN
    assert comes_true(lambda: len(children(server, "/marks")) == 1)
    if reply == "is lost afterwards":
        proxy.cut()
    proxy.heal()
    assert comes_true(lambda: children(server, "/marks") == [])
    # Undoing a part would make something that the caller never asked for; so the whole of it stays.
    assert zk.get_children("/q") == ["n-0000000000"]
    assert zk.get("/q")[0] == b"new"


def test_a_transaction_whose_results_are_lost_leaves_no_marker(
    make_client: MakeClient, server: EmbeddedServer, proxy: FaultProxy
) -> None:
    zk = make_client(proxy.hosts)
    for path in ("/q", "/marks"):
        zk.create(path)
    proxy.lose_reply("multi")
    with pytest.raises(ConnectionLostError) as lost:
        zk.transaction(marker="/marks").create("/q/n-", sequence=True).commit()
    assert lost.value.outcome is Outcome.APPLIED
    assert comes_true(lambda: children(server, "/marks") == [])
    assert zk.get_children("/q") == ["n-0000000000"]


@pytest.mark.parametrize("fault", ["lose_request", "lose_reply", "cut_before"])
def test_a_marker_whose_delete_is_lost_is_deleted_by_the_next_connection(
    make_client: MakeClient, server: EmbeddedServer, proxy: FaultProxy, fault: str
) -> None:
    zk = make_client(proxy.hosts)
    for path in ("/q", "/marks"):
        zk.create(path)
    struck = getattr(proxy, fault)("delete")
    zk.transaction(marker="/marks").set_data("/q", b"new").commit()
    struck.wait()
    assert comes_true(lambda: children(server, "/marks") == [])
    zk.sync("/")


def test_a_refused_transaction_has_no_marker_to_delete() -> None:
    marker = CreateRequest("/marks/guid", b"", [], CreateMode.EPHEMERAL)
    recovery = TransactionRecovery([SetDataRequest("/q", b"", 7), marker], {1}, "/marks/guid")
    assert recovery.left_behind([ErrorResult(-103), ErrorResult(-2)]) is None
    assert recovery.left_behind(None) == "/marks/guid"


# Sessions


@pytest.mark.parametrize("session", ["new", "resumed"])
def test_a_client_that_is_stopped_while_a_server_grants_a_session_leaves_none(
    make_client: MakeClient, session: str
) -> None:
    with EmbeddedServer(settings=Settings(tick_ms=5000)) as server, FaultProxy(server) as proxy:

        def sessions() -> list[int]:
            return server.call(lambda core: [session.id for session in core.sessions.all()])

        zk = make_client(proxy.hosts, 60.0, start=session == "resumed")
        core = zk._core
        proxy.freeze("to_client")
        if session == "new":
            zk.start_async()
        else:
            proxy.cut()
        assert comes_true(lambda: core.phase == HANDSHAKE and len(sessions()) == 1)

        def heal_when_stopping() -> None:
            never = threading.Event()
            while core.phase == HANDSHAKE:
                never.wait(0.001)
            proxy.heal()

        healing = threading.Thread(target=heal_when_stopping)
        healing.start()
        zk.stop()
        healing.join(PATIENCE)
        assert sessions() == []


def test_a_server_that_grants_no_session_does_not_keep_stop(make_client: MakeClient, proxy: FaultProxy) -> None:
    zk = make_client(proxy.hosts, start=False)
    proxy.freeze("to_client")
    zk.start_async()
    core = zk._core
    assert comes_true(lambda: core.phase == HANDSHAKE)
    began = Stopwatch()
    zk.stop()
    assert began.within(GRANT_GRACE + 1.5), began


# Looking for what a caller has left behind


def test_what_nobody_waits_for_is_looked_up_however_long_the_connection_is_gone() -> None:
    pair = CorePair(timeout=60.0, resolve_timeout=1.0)
    pair.open()
    pair.submit(pair.operations.set("/x", b""))
    pair.reply(pair.next(SetDataRequest), SetDataResponse(stat()), zxid=100)
    left = pair.submit(pair.operations.create("/q/n-", ephemeral=True, sequence=True))
    waited = pair.submit(pair.operations.create("/q/m-", ephemeral=True, sequence=True))
    pair.abandon(left)
    pair.close()
    pair.wait_for(5.0)
    assert waited.done and isinstance(waited.failure, ConnectionLostError)
    assert not left.done
    pair.reopen()
    pair.agree()
    pair.reply(pair.next(GetChildren2Request), GetChildren2Response(["n-0000000007"], stat(pzxid=200)))
    pair.reply(pair.next(ExistsRequest), ExistsResponse(stat(czxid=200, ephemeral_owner=SESSION)))
    assert left.done and left_behind(left) == "/q/n-0000000007"


def test_what_a_read_only_server_cannot_tell_is_asked_of_the_next() -> None:
    pair = CorePair(timeout=60.0, read_only=True)
    pair.open()
    pair.submit(pair.operations.set("/x", b""))
    pair.reply(pair.next(SetDataRequest), SetDataResponse(stat()), zxid=100)
    left = pair.submit(pair.operations.create("/q/n-", ephemeral=True, sequence=True))
    pair.abandon(left)
    pair.close()
    pair.reopen(read_only=True)
    pair.reply(pair.next(MultiRequest), err=-119)
    assert not left.done
    pair.close()
    pair.reopen()
    pair.agree()
    pair.reply(pair.next(GetChildren2Request), GetChildren2Response([], stat(pzxid=50)))
    assert left.done and left_behind(left) is None


def test_a_create_that_was_answered_is_not_looked_up_again() -> None:
    pair = CorePair()
    pair.open()
    left = pair.submit(pair.operations.create("/q/n-", sequence=True))
    pair.abandon(left)
    pair.reply(pair.next(CreateRequest), CreateResponse("/q/n-0000000001"))
    assert left_behind(left) == "/q/n-0000000001"
    pair.close()
    pair.reopen()
    assert pair.kinds() == []
