"""The asyncio client, on an embedded server: operations, watches, states, cancellation, loops."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from loops import PATIENCE, loop_kind, run, until

from zk_client import (
    AsyncClient,
    AuthFailedError,
    CallTimeoutError,
    ConfigurationError,
    ConnectionLostError,
    EventType,
    NoNodeError,
    Outcome,
    SessionClosedError,
    SessionExpiredError,
    SessionState,
    StartTimeoutError,
    TransactionFailedError,
)
from zk_testing import EmbeddedServer, Mode, Settings
from zk_testing.faults import FaultProxy

pytestmark = pytest.mark.usefixtures("loop_kind")
__all__ = ["loop_kind"]


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(settings=Settings(tick_ms=20)) as server:
        yield server


@pytest.fixture
def proxy(server: EmbeddedServer) -> Iterator[FaultProxy]:
    with FaultProxy(server) as proxy:
        yield proxy


@asynccontextmanager
async def connected(hosts: str, **options: Any) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(hosts, **{"timeout": 2.0, **options}) as zk:
        yield zk


# Operations


def test_every_operation_gives_what_its_blocking_twin_gives(server: EmbeddedServer) -> None:
    async def body() -> None:
        async with connected(server.hosts) as zk:
            path, stat = await zk.create("/a/b", b"1", makepath=True, include_data=True)
            assert (path, stat.version) == ("/a/b", 0)
            assert await zk.create("/a/s-", sequence=True) == "/a/s-0000000001"
            assert await zk.get("/a/b") == (b"1", stat)
            assert (await zk.set("/a/b", b"2", version=0)).version == 1
            assert await zk.exists("/nothing") is None
            assert sorted(await zk.get_children("/a")) == ["b", "s-0000000001"]
            assert (await zk.get_children("/a", include_data=True))[1].num_children == 2
            assert await zk.get_all_children_number("/a") == 2
            assert await zk.create("/e", ephemeral=True) == "/e"
            assert await zk.get_ephemerals() == ["/e"]
            assert await zk.sync("/a") == "/a"
            assert await zk.ensure_path("/x/y/z") == "/x/y/z"
            assert (await zk.get_acls("/a"))[1].aversion == 0
            await zk.add_auth("digest", "u:p")
            assert {info.auth_scheme for info in await zk.whoami()} >= {"digest"}
            assert await zk.server_version() == tuple(map(int, server.version.split(".")))
            assert await zk.multi_read().get("/a/b").get_children("/x").commit() == [
                (b"2", (await zk.get("/a/b"))[1]),
                ["y"],
            ]
            await zk.delete("/a", recursive=True)
            with pytest.raises(NoNodeError):
                await zk.get("/a")

    run(body)


def test_a_transaction_is_applied_as_a_whole_or_not_at_all(server: EmbeddedServer) -> None:
    async def body() -> None:
        async with connected(server.hosts) as zk:
            async with zk.transaction() as transaction:
                transaction.create("/a", b"1").create("/a/b")
            refused = zk.transaction().delete("/a/b").check("/a", version=7)
            with pytest.raises(TransactionFailedError) as error:
                await refused.commit()
            assert error.value.index == 1
            assert await zk.exists("/a/b")

    run(body)


def test_bad_arguments_are_refused_before_anything_is_sent(server: EmbeddedServer) -> None:
    async def body() -> None:
        async with connected(server.hosts) as zk:
            before = server.call(lambda core: core.received)
            with pytest.raises(ValueError, match="relative"):
                await zk.get("relative")
            with pytest.raises(TypeError, match="bytes"):
                await zk.set("/a", "text")  # type: ignore[arg-type]
            assert server.call(lambda core: core.received) == before

    run(body)


def test_requests_of_many_tasks_reach_the_server_in_order_and_together(
    server: EmbeddedServer, proxy: FaultProxy
) -> None:
    async def body() -> None:
        async with connected(proxy.hosts) as zk:
            names = await asyncio.gather(*(zk.create("/s-", sequence=True) for _ in range(100)))
            assert names == [f"/s-{number:010}" for number in range(100)]

    run(body)


def test_a_frame_larger_than_the_receive_buffer_arrives_whole(server: EmbeddedServer) -> None:
    async def body() -> None:
        data = bytes(range(256)) * 3500
        async with connected(server.hosts) as zk:
            await zk.create("/big", data)
            for _ in range(3):
                assert (await zk.get("/big"))[0] == data

    run(body)


# The session


def test_a_client_that_finds_no_server_says_so_and_leaves_nothing(server: EmbeddedServer) -> None:
    server.stop()

    async def body() -> None:
        with pytest.raises(StartTimeoutError, match="refused"):
            await AsyncClient(server.hosts).start(0.2)

    run(body)


def test_refused_credentials_end_the_start_with_the_servers_word(server: EmbeddedServer) -> None:
    async def body() -> None:
        with pytest.raises(AuthFailedError, match="scheme nonsense"):
            await AsyncClient(server.hosts, auth_data=[("nonsense", "secret")]).start()

    run(body)


def test_a_lost_connection_is_replaced_and_the_read_under_way_is_answered(
    server: EmbeddedServer, proxy: FaultProxy
) -> None:
    async def body() -> None:
        async with connected(proxy.hosts) as zk:
            await zk.create("/a", b"1")
            session = zk.session_id
            proxy.lose_reply("get_data")
            assert (await zk.get("/a"))[0] == b"1"
            assert zk.session_id == session

    run(body)


def test_a_lost_write_is_looked_up_and_ends_with_what_can_be_known(server: EmbeddedServer, proxy: FaultProxy) -> None:
    async def body() -> None:
        async with connected(proxy.hosts) as zk:
            proxy.lose_reply("create")
            assert await zk.create("/a", ephemeral=True) == "/a"
            await zk.create("/b", b"1")
            proxy.lose_reply("set_data")
            with pytest.raises(ConnectionLostError) as error:
                await zk.set("/b", b"2")
            assert error.value.outcome is Outcome.UNKNOWN  # anybody may have written the same

    run(body)


def test_a_frozen_server_is_noticed_and_the_session_expires_here(server: EmbeddedServer, proxy: FaultProxy) -> None:
    async def body() -> None:
        async with connected(proxy.hosts, timeout=0.3) as zk:
            states: list[SessionState] = []
            zk.add_listener(states.append)
            proxy.freeze()
            with pytest.raises((SessionExpiredError, ConnectionLostError)):
                await zk.set("/a", b"")
            async with asyncio.timeout(PATIENCE):
                async for state in zk.states():
                    if state is SessionState.EXPIRED:
                        break
            assert states[:1] == [SessionState.SUSPENDED]
            proxy.heal()

    run(body)


def test_states_yields_each_state_once_and_ends_with_the_client(server: EmbeddedServer) -> None:
    async def body() -> None:
        zk = AsyncClient(server.hosts, timeout=2.0)
        seen: list[SessionState] = []

        async def look() -> None:
            async for state in zk.states():
                seen.append(state)

        await zk.start()
        looking = asyncio.create_task(look())
        await asyncio.sleep(0)
        server.drop_connections()
        await until(lambda: seen.count(SessionState.CONNECTED) == 2)
        await zk.stop()
        await looking
        connected, suspended = SessionState.CONNECTED, SessionState.SUSPENDED
        assert seen == [connected, suspended, connected, SessionState.CLOSED]

    run(body)


def test_an_expired_session_is_told_and_replaced(server: EmbeddedServer) -> None:
    async def body() -> None:
        async with connected(server.hosts) as zk:
            first = zk.session_id
            assert first is not None
            await zk.create("/e", ephemeral=True)
            server.expire_session(first)
            await until(lambda: zk.session_id not in (first, None) and zk.connected)
            assert await zk.exists("/e") is None

    run(body)


def test_an_idle_client_pings_and_has_neither_thread_nor_task(server: EmbeddedServer, proxy: FaultProxy) -> None:
    async def body() -> None:
        threads = threading.active_count()
        async with connected(proxy.hosts, timeout=0.3):
            await asyncio.to_thread(proxy.wait_for, "ping", 3)
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            assert not tasks
            assert threading.active_count() <= threads + 1  # the one of to_thread

    run(body)


def test_stop_leaves_the_session_to_be_resumed_when_asked_to(server: EmbeddedServer) -> None:
    async def body() -> None:
        zk = AsyncClient(server.hosts, timeout=2.0)
        await zk.start()
        session = zk.session_id
        await zk.create("/e", ephemeral=True)
        await zk.stop(close_session=False)
        async with zk:
            assert zk.session_id == session
            assert await zk.exists("/e")
        assert server.sessions() == []

    run(body)


def test_calls_of_a_client_that_is_not_started_or_stopped_are_refused(server: EmbeddedServer) -> None:
    async def body() -> None:
        zk = AsyncClient(server.hosts)
        with pytest.raises(SessionClosedError):
            await zk.get("/a")
        await zk.stop()
        async with zk:
            pass
        with pytest.raises(SessionClosedError):
            await zk.get("/a")

    run(body)


@pytest.mark.parametrize("how", ["twice at once", "while it connects", "in a callback"])
def test_stop_returns_and_leaves_nothing(server: EmbeddedServer, how: str) -> None:
    async def body() -> None:
        zk = AsyncClient(server.hosts, timeout=2.0)
        if how == "while it connects":
            zk.start_async()
            await zk.stop()
            return
        await zk.start()
        if how == "twice at once":
            await asyncio.gather(zk.stop(), zk.stop())
            return
        stopped = asyncio.Event()

        async def stop(_event: object) -> None:
            await zk.stop()
            stopped.set()

        await zk.create("/a")
        await zk.get("/a", watch=stop)
        await zk.set("/a", b"")
        await stopped.wait()

    run(body)
    assert server.sessions() == []


def test_a_call_fails_at_its_deadline_and_says_what_is_known(server: EmbeddedServer, proxy: FaultProxy) -> None:
    async def body() -> None:
        async with connected(proxy.hosts, call_timeout=0.05) as zk:
            proxy.freeze("to_client")
            with pytest.raises(CallTimeoutError) as read:
                await zk.get("/a")
            with pytest.raises(CallTimeoutError) as write:
                await zk.create("/a")
            assert (read.value.outcome, write.value.outcome) == (Outcome.NOT_APPLIED, Outcome.UNKNOWN)
            proxy.heal()

    run(body)


def test_a_read_only_server_is_left_for_a_better_one(server: EmbeddedServer) -> None:
    with EmbeddedServer(version="3.6", settings=Settings(version="3.6", tick_ms=20)) as lonely:
        lonely.set_mode(Mode.READ_ONLY)

        async def body() -> None:
            zk = AsyncClient(f"{lonely.hosts},{server.hosts}", 2.0, read_only=True, randomize_hosts=False)
            async with zk, asyncio.timeout(PATIENCE):
                async for state in zk.states():
                    if state is SessionState.CONNECTED:
                        break
                assert zk.server_address == ("127.0.0.1", server.port)

        run(body)


# Watches


def test_a_watch_is_an_async_iterator(server: EmbeddedServer) -> None:
    async def body() -> None:
        async with connected(server.hosts) as zk, zk.watch("/a", recursive=True) as changes:
            await zk.create("/a")
            await zk.create("/a/b")
            await zk.set("/a/b", b"")
            seen = []
            async for event in changes:
                seen.append((event.type, event.path))
                if len(seen) == 3:
                    break
            assert seen == [
                (EventType.CREATED, "/a"),
                (EventType.CREATED, "/a/b"),
                (EventType.CHANGED, "/a/b"),
            ]
        assert server.call(lambda core: core.watches.data.counts()) == (0, 0, 0)

    run(body)


def test_a_watch_ends_its_iteration_with_the_client(server: EmbeddedServer) -> None:
    async def body() -> None:
        zk = AsyncClient(server.hosts, timeout=2.0)
        await zk.start()
        changes = await zk.watch("/a")
        await zk.stop()
        events = [event async for event in changes]
        assert [(event.type, event.state) for event in events] == [(EventType.NONE, SessionState.CLOSED)]

    run(body)


def test_a_one_shot_watcher_is_told_what_happened_while_there_was_no_connection(server: EmbeddedServer) -> None:
    async def body() -> None:
        async with connected(server.hosts) as zk, connected(server.hosts) as other:
            await zk.create("/a")
            watcher = zk.watcher()
            await zk.get("/a", watch=watcher)
            server.drop_connections(zk.session_id)
            await other.set("/a", b"2")
            event = await watcher.wait(PATIENCE)
            assert event is not None and event.type is EventType.CHANGED

    run(body)


def test_a_failing_callback_is_logged_and_harms_nothing(
    server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_event: object) -> None:
        raise RuntimeError("of its own")

    async def fail_later(_event: object) -> None:
        raise RuntimeError("of its own, later")

    async def body() -> None:
        async with connected(server.hosts) as zk:
            await zk.create("/a")
            await zk.get("/a", watch=fail)
            await zk.exists("/a", watch=fail_later)
            await zk.set("/a", b"2")
            await until(lambda: caplog.text.count("of its own") >= 2)
            assert (await zk.get("/a"))[0] == b"2"

    with caplog.at_level(logging.ERROR, logger="zk_client"):
        run(body)
    assert "of its own, later" in caplog.text


# Cancellation


def test_the_reply_of_a_cancelled_request_is_consumed(server: EmbeddedServer, proxy: FaultProxy) -> None:
    async def body() -> None:
        async with connected(proxy.hosts) as zk:
            await zk.create("/a", b"1")
            proxy.freeze("to_client")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await zk.get("/a")
            proxy.heal()
            assert (await zk.get("/a"))[0] == b"1"
            assert zk.state is SessionState.CONNECTED

    run(body)


def test_a_request_cancelled_before_it_was_sent_never_is(server: EmbeddedServer, proxy: FaultProxy) -> None:
    async def body() -> None:
        async with connected(proxy.hosts) as zk:
            proxy.refuse()
            proxy.cut()
            await until(lambda: not zk.connected)
            waiting = asyncio.create_task(zk.create("/a"))
            await asyncio.sleep(0)
            waiting.cancel()
            proxy.heal()
            assert await zk.exists("/a") is None

    run(body)


@pytest.mark.parametrize("reply", ["comes late", "was lost before", "is lost afterwards"])
def test_a_node_made_by_a_cancelled_sequential_create_is_deleted(
    server: EmbeddedServer, proxy: FaultProxy, reply: str
) -> None:
    async def body() -> None:
        async with connected(proxy.hosts) as zk:
            await zk.create("/q")
            if reply == "was lost before":
                fault = proxy.lose_reply("create", then="freeze")
            else:
                proxy.freeze("to_client")
            creating = asyncio.create_task(zk.create("/q/n-", ephemeral=True, sequence=True))
            await asyncio.to_thread(proxy.wait_for, "create", 2)
            await until(lambda: bool(server.call(lambda core: core.tree.nodes["/q"].children)))
            if reply == "was lost before":
                await asyncio.to_thread(fault.wait)
            creating.cancel()
            with pytest.raises(asyncio.CancelledError):
                await creating
            if reply != "comes late":
                proxy.cut()
            proxy.heal()
            await until(lambda: not server.call(lambda core: core.tree.nodes["/q"].children))
            assert await zk.get_children("/q") == []

    run(body)


def test_a_node_is_deleted_also_when_its_reply_and_the_cancellation_come_together(server: EmbeddedServer) -> None:
    async def body() -> None:
        async with connected(server.hosts) as zk:
            await zk.create("/q")
            creating = asyncio.create_task(zk.create("/q/n-", sequence=True))
            handler: Any = zk.handler
            settle = handler._settle

            def settle_and_cancel(call: Any) -> None:
                settle(call)
                creating.cancel()

            await asyncio.sleep(0)
            handler._settle = settle_and_cancel
            with pytest.raises(asyncio.CancelledError):
                await creating
            handler._settle = settle
            await until(lambda: not server.call(lambda core: core.tree.nodes["/q"].children))

    run(body)


def test_a_cancelled_start_leaves_nothing(server: EmbeddedServer, proxy: FaultProxy) -> None:
    async def body() -> None:
        proxy.freeze()
        zk = AsyncClient(proxy.hosts)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await zk.start()
        assert zk.state is SessionState.CLOSED

    run(body)


# Loops


def test_several_clients_share_a_loop_and_one_client_serves_one_loop_after_the_other(server: EmbeddedServer) -> None:
    shared = AsyncClient(server.hosts, timeout=2.0)

    async def body() -> None:
        async with shared, connected(server.hosts) as other:
            await shared.ensure_path("/a")
            assert await other.exists("/a")

    run(body)
    run(body)


def test_another_loop_gets_a_clear_error(server: EmbeddedServer) -> None:
    async def body() -> None:
        async with connected(server.hosts) as zk:

            def elsewhere() -> None:
                with pytest.raises(ConfigurationError, match="another event loop"):
                    asyncio.run(zk.get("/"))

            await asyncio.to_thread(elsewhere)
            assert await zk.exists("/")

    run(body)


def test_a_call_is_awaited_and_not_asked(server: EmbeddedServer) -> None:
    async def body() -> None:
        async with connected(server.hosts) as zk:
            call = zk.operations.get("/")
            zk.handler.submit(call)
            with pytest.raises(ConfigurationError, match="await"):
                call.result()
            await call

    run(body)


def test_tasks_of_a_group_use_one_client(server: EmbeddedServer) -> None:
    async def body() -> None:
        async with connected(server.hosts) as zk:
            async with asyncio.TaskGroup() as group:
                for number in range(10):
                    group.create_task(zk.create(f"/n{number}"))
            assert len(await zk.get_children("/")) == 11

    run(body)
