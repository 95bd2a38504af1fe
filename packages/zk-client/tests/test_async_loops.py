"""What loops differ in, and what becomes of a client whose loop ends without it: clocks, eager tasks, a closed loop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from loops import PATIENCE, at_every_turn, loop_kind, others, run, until

from zk_client import AsyncClient, ConfigurationError, SessionState, StartTimeoutError
from zk_testing import AsyncEmbeddedServer, EmbeddedServer, Settings

__all__ = ["loop_kind"]


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(settings=Settings(tick_ms=50)) as server:
        yield server


# Clocks


@pytest.mark.usefixtures("loop_kind")
def test_a_lease_runs_out_also_while_the_loop_is_kept_busy(server: EmbeddedServer) -> None:
    async def body() -> None:
        async with AsyncClient(server.hosts, 0.2) as zk:
            await zk.exists("/")
            assert zk.lease_remaining > 0
            busy_until = time.monotonic() + zk.session_timeout
            while time.monotonic() < busy_until:
                pass
            assert zk.lease_remaining == 0

    run(body)


# Eager tasks


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_a_client_works_where_tasks_begin_at_once(server: EmbeddedServer) -> None:
    async def body() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
        async with AsyncEmbeddedServer() as near, AsyncClient(near.hosts) as zk:
            await zk.create("/q")

            async def life() -> None:
                async with AsyncClient(near.hosts, 2.0) as other, other.watch("/q") as changes:
                    await other.set("/q", b"1")
                    await anext(changes)
                    await other.create("/q/n-", ephemeral=True, sequence=True)

            async def check() -> None:
                assert await zk.exists("/") is not None
                await until(lambda: others() == [])

            assert await at_every_turn(lambda _: life(), check) >= 8

    run(body)


# A loop that ends without its client

OPEN = "async def main():\n    global zk\n    zk = AsyncClient({hosts!r})\n"
LEFT_OPEN = {
    "idle": OPEN + "    await zk.start()\n",
    "with a callback": OPEN + "    await zk.start()\n    await zk.get('/', watch=print)\n",
    "with a watch that is iterated over": OPEN
    + "    await zk.start()\n    asyncio.ensure_future(anext(zk.watch('/')))\n    await zk.get('/')\n",
    "while it connects": OPEN + "    zk.start_async()\n",
    "in the middle of a request": OPEN + "    await zk.start()\n    asyncio.ensure_future(zk.get('/'))\n",
    "forgotten": OPEN + "    await zk.start()\n    zk = None\n",
}


@pytest.mark.parametrize("development", [False, True])
@pytest.mark.parametrize("left", LEFT_OPEN)
def test_a_loop_that_ends_without_its_client_costs_no_traceback(
    server: EmbeddedServer, left: str, development: bool
) -> None:
    program = "import asyncio\nfrom zk_client import AsyncClient\n" + LEFT_OPEN[left].format(hosts=server.hosts)
    options = ["-X", "dev"] if development else []
    ended = subprocess.run(
        [sys.executable, *options, "-c", program + "asyncio.run(main())"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in ended.stderr
    # The interpreter's own word for a connection that nobody has closed, and only where it is asked for.
    warnings = [line for line in ended.stderr.splitlines() if "ResourceWarning: unclosed" in line]
    assert len(warnings) <= (3 if development else 0), ended.stderr
    assert development or ended.stderr == ""


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # the interpreter's word, and it is right
@pytest.mark.usefixtures("loop_kind")
def test_a_client_whose_loop_was_closed_says_so_and_can_be_stopped_and_started_elsewhere(
    server: EmbeddedServer,
) -> None:
    zk = AsyncClient(server.hosts, 2.0)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(zk.start())
    first = zk.session_id
    loop.close()

    async def body() -> None:
        with pytest.raises(ConfigurationError, match="closed"):
            await zk.exists("/")
        await zk.stop()
        assert zk.state is SessionState.CLOSED
        async with zk:
            assert await zk.exists("/") and zk.session_id != first

    run(body)


def test_a_failure_of_the_clients_own_while_it_connects_ends_the_start_with_its_reason(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("of its own")

    async def body() -> None:
        with pytest.raises(StartTimeoutError, match="internal error: ZeroDivisionError"):
            await AsyncClient(server.hosts).start()

    monkeypatch.setattr("zk_client.handlers.stream.Stream.__init__", fail)
    run(body)
    assert "zk-client connect" in caplog.text


def test_a_client_whose_connecting_task_is_cancelled_by_another_has_ended(server: EmbeddedServer) -> None:
    async def body() -> None:
        zk = AsyncClient(server.hosts)
        zk.start_async()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        assert not await zk.wait_connected(PATIENCE)
        assert zk.state is SessionState.CLOSED
        await zk.stop()

    run(body)
